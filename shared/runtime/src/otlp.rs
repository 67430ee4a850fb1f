//! Where spans are sent, in a deployment that has a collector: OTLP over HTTP, in JSON.

use std::time::Duration;

use salesforce::Http;
use tokio::time::timeout;
use url::Url;

use platform::SettingError;

/// How long an invocation waits for the collector: its caller waits with it.
const PATIENCE: Duration = Duration::from_millis(500);

/// A collector.
#[derive(Debug, Clone)]
pub struct Collector {
    http: Http,
    address: String,
}

impl Collector {
    /// The collector at this endpoint (`OTEL_EXPORTER_OTLP_ENDPOINT`): https, or http in the sandbox itself, where an
    /// extension listens.
    pub fn at(endpoint: &str) -> Result<Self, SettingError> {
        let unusable = SettingError::Unusable {
            name: "OTEL_EXPORTER_OTLP_ENDPOINT",
            why: "it must be an https origin, or http://localhost:4318",
        };
        let Ok(url) = Url::parse(endpoint) else { return Err(unusable) };
        let here = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
        let safe = url.scheme() == "https" || (url.scheme() == "http" && here);
        if !safe || !url.username().is_empty() || url.query().is_some() {
            return Err(unusable);
        }
        let address = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
        Ok(Self { http: Http::to_collector(), address })
    }

    /// Sends an invocation's spans. What the collector does not take is lost: the line in the log is there.
    pub(crate) async fn send(&self, spans: String) {
        let request = http::Request::post(&self.address)
            .header(http::header::CONTENT_TYPE, "application/json")
            .body(spans.into_bytes());
        let Ok(request) = request else { return };
        match timeout(PATIENCE, self.http.send(request)).await {
            Ok(Ok(answer)) if answer.status().is_success() => {}
            Ok(Ok(answer)) => {
                tracing::debug!(status = answer.status().as_u16(), "the collector refuses spans");
            }
            Ok(Err(error)) => tracing::debug!(%error, "the collector does not answer"),
            Err(_) => tracing::debug!("the collector is slow"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_leave_the_sandbox_by_https_alone() {
        for good in ["https://otel.example.com", "https://otel.example.com:4318/", "http://localhost:4318"] {
            assert!(Collector::at(good).is_ok(), "{good}");
        }
        for bad in
            ["http://otel.example.com", "https://key@otel.example.com", "otel:4318", "https://a/?key=1"]
        {
            assert!(Collector::at(bad).is_err(), "{bad}");
        }
    }
}
