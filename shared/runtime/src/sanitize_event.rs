//! Tames what lambda_http makes a request of. It panics at what is no URI, which ends the sandbox without an
//! answer or a log line; it takes no event with a header that is none, and no cookie beside one that is none.

use http::{HeaderName, HeaderValue};
use lambda_http::request::LambdaRequest;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

/// More than any handler reads: what is cut here is still refused there as too large. With [`MAX_PATH`] it
/// stays under the 64 kB that a URI may have.
const MAX_QUERY: usize = 32 * 1024;

/// A longer path is none of ours.
const MAX_PATH: usize = 8 * 1024;

/// What a path holds as it is (RFC 3986 §3.3), and `%`, which is its own business.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'!')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b'+')
    .remove(b',')
    .remove(b';')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'/')
    .remove(b'%');

/// What a query holds as it is (RFC 3986 §3.4).
const QUERY: &AsciiSet = &PATH.remove(b'?');

/// Words of the caller's on host, scheme and port. Ours are in the settings.
const ORIGIN: [&str; 5] = ["host", "forwarded", "x-forwarded-host", "x-forwarded-port", "x-forwarded-proto"];

/// An event, whatever the caller put into it, that makes a request.
#[derive(Debug, serde::Deserialize)]
#[serde(try_from = "Value")]
pub(crate) struct SanitizedEvent(pub(crate) LambdaRequest);

impl TryFrom<Value> for SanitizedEvent {
    type Error = serde_json::Error;

    fn try_from(mut event: Value) -> Result<Self, Self::Error> {
        tame(&mut event);
        serde_json::from_value(event).map(Self)
    }
}

fn tame(event: &mut Value) {
    if let Some(Value::String(raw)) = event.get_mut("rawPath") {
        *raw = path(raw);
    }
    if let Some(Value::String(raw)) = event.get_mut("rawQueryString") {
        *raw = query(raw);
    }
    if let Some(Value::Object(headers)) = event.get_mut("headers") {
        headers.retain(|name, value| {
            let name: Option<HeaderName> = name.parse().ok();
            name.is_some_and(|name| !ORIGIN.contains(&name.as_str())) && is_header_value(value)
        });
    }
    // They are joined to one header: one that cannot be read would cost all of them.
    if let Some(Value::Array(cookies)) = event.get_mut("cookies") {
        cookies.retain(is_header_value);
    }
    if let Some(Value::Object(context)) = event.get_mut("requestContext") {
        context.remove("domainName");
    }
}

fn path(raw: &str) -> String {
    let path = encoded(raw, PATH);
    if path.starts_with('/') && path.len() <= MAX_PATH { path } else { "/".into() }
}

fn query(raw: &str) -> String {
    let mut query = encoded(raw, QUERY);
    query.truncate(MAX_QUERY);
    query
}

fn encoded(raw: &str, legal: &'static AsciiSet) -> String {
    utf8_percent_encode(raw, legal).to_string()
}

fn is_header_value(value: &Value) -> bool {
    let value = value.as_str().and_then(|value| HeaderValue::from_str(value).ok());
    value.is_some_and(|value| value.to_str().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};
    use serde_json::json;
    use web::Request;

    /// What lambda_http makes of an event.
    fn request(path: &str, query: &str, headers: &[(&str, &str)], cookies: &[&str]) -> Request {
        let headers: serde_json::Map<_, _> =
            headers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let event = json!({
            "version": "2.0",
            "rawPath": path,
            "rawQueryString": query,
            "cookies": cookies,
            "requestContext": {
                "domainName": headers.get("host"),
                "stage": "$default",
                "http": { "method": "GET", "path": path },
            },
            "headers": headers,
            "isBase64Encoded": false,
        });
        serde_json::from_value::<SanitizedEvent>(event).expect("an event").0.into()
    }

    /// Any characters, those that no URI holds among them.
    fn text(longest: usize) -> impl Strategy<Value = String> {
        vec(prop_oneof![any::<char>(), proptest::char::range('\0', '\u{7f}')], 0..longest)
            .prop_map(String::from_iter)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_event_is_a_request(
            path in text(60),
            query in text(60),
            slash: bool,
            host in prop_oneof!["[ -~]{0,40}", text(20)],
            proto in prop_oneof!["[ -~]{0,12}", text(20)],
            (name, value) in (text(8), text(20)),
        ) {
            let path = format!("{}{path}", if slash { "/" } else { "" });
            let headers = [("host", &*host), ("x-forwarded-proto", &*proto), (&*name, &*value), ("accept", "*/*")];
            let request = request(&path, &query, &headers, &[&value, "a=b"]);

            prop_assert!(request.uri().path().starts_with('/'));
            prop_assert_eq!(request.uri().host(), None);
            prop_assert_eq!(&request.headers()["accept"], "*/*");
            prop_assert!(request.headers()["cookie"].to_str().expect("ASCII").ends_with("a=b"));
            prop_assert!(ORIGIN.iter().all(|name| !request.headers().contains_key(*name)));
        }

        #[test]
        fn what_was_sent_is_what_is_read(query in text(60)) {
            let read = request("/", &query, &[], &[]);
            let read = read.uri().query().unwrap_or_default();
            let pairs = |text: &str| form_urlencoded::parse(text.as_bytes()).into_owned().collect::<Vec<_>>();

            prop_assert_eq!(pairs(read), pairs(&query));
        }

        #[test]
        fn what_is_legal_stays(
            legal_path in "/([A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2}){0,80}",
            legal_query in "([A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2}){0,80}",
        ) {
            prop_assert_eq!(path(&legal_path), legal_path);
            prop_assert_eq!(query(&legal_query), legal_query);
        }
    }

    #[test]
    fn what_is_too_long_is_cut_to_what_is_refused() {
        let long = "<".repeat(100_000);
        let request = request(&format!("/{long}"), &long, &[], &[]);

        assert_eq!(request.uri().path(), "/");
        assert_eq!(request.uri().query().map(str::len), Some(MAX_QUERY));
    }
}
