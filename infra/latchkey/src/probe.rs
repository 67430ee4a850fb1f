//! An app's configuration, asked of Salesforce without a user: what its endpoints say to requests that lead nowhere
//! (fact base 1.1, 1.3). Nothing is granted, spent or changed there.

use domain::{App, AppKind, Environment, secret::ConsumerSecret};
use http::header;
use salesforce::{
    HostRefused, Hosts, Http, LoginHost,
    authorize::{AuthorizeRequest, authorize_url},
};
use serde::Serialize;
use url::Url;

/// A challenge of the right form (RFC 7636 §4.2); no one has its verifier, and no code is ever asked with it.
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// What Salesforce says of one setting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which setting: `login_hosts`, `consumer_key`, `callback_url`, `pkce`, `secret`, `next_secret`, `previous_secret`.
    pub setting: &'static str,
    /// At which login host.
    pub host: String,
    /// Whether it is right.
    pub verdict: Verdict,
    /// What was seen, and what to do about it.
    pub why: String,
}

impl Finding {
    /// Where, and what was seen.
    pub fn told(&self) -> String {
        format!("{}: {}", self.host, self.why)
    }
}

/// Whether a setting is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Salesforce takes it.
    Right,
    /// Salesforce refuses it.
    Wrong,
    /// Salesforce takes less than it should.
    Lax,
    /// Salesforce did not say.
    Unknown,
}

/// Asks Salesforce.
#[derive(Debug, Clone)]
pub struct Probe {
    http: Http,
    hosts: Hosts,
    my_domains: Vec<LoginHost>,
}

/// What an endpoint answered.
enum Said {
    /// An OAuth error, on whatever way it was sent.
    Error { code: String, description: String },
    /// Something else: at the authorize endpoint, a page for the user.
    Nothing,
    /// No answer.
    Silence(String),
}

impl Probe {
    /// A probe that asks these hosts through this client.
    pub fn new(http: Http, hosts: Hosts) -> Self {
        Self { http, hosts, my_domains: Vec::new() }
    }

    /// Asks at these My Domains too: the hosts of orgs, as a person types them.
    pub fn and_at(mut self, my_domains: &[String]) -> Result<Self, HostRefused> {
        for typed in my_domains {
            self.my_domains.push(self.hosts.my_domain(typed)?);
        }
        Ok(self)
    }

    /// Everything that is configured of an app, at each of its login hosts that is the same for every org. Never
    /// nothing: where there is no host to ask, that is the finding.
    pub async fn app(
        &self,
        app: &App,
        callback: &str,
        secrets: &[(&'static str, ConsumerSecret)],
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        for host in self.login_hosts(app) {
            self.registration(&host, app, callback, &mut findings).await;
            for (setting, secret) in secrets {
                findings.push(self.secret(&host, app, setting, secret).await);
            }
        }
        or_nowhere(findings)
    }

    /// What each of those hosts says of a secret. Never nothing, as with [`Probe::app`].
    pub async fn secret_everywhere(
        &self,
        app: &App,
        setting: &'static str,
        secret: &ConsumerSecret,
    ) -> Vec<Finding> {
        let mut findings = Vec::new();
        for host in self.login_hosts(app) {
            findings.push(self.secret(&host, app, setting, secret).await);
        }
        or_nowhere(findings)
    }

    /// An org's own host is none of the app's: it is asked where it was named.
    fn login_hosts(&self, app: &App) -> Vec<LoginHost> {
        let common = app.login_hosts.iter().filter_map(|environment| match environment {
            Environment::Production => Some(self.hosts.production()),
            Environment::Sandbox => Some(self.hosts.sandbox()),
            Environment::MyDomain => None,
        });
        common.chain(self.my_domains.iter().cloned()).collect()
    }

    /// Consumer key, callback URL and PKCE: in this order Salesforce looks at them.
    async fn registration(&self, host: &LoginHost, app: &App, callback: &str, findings: &mut Vec<Finding>) {
        let mut found = |setting, verdict, why: String| {
            findings.push(Finding { setting, host: host.host().to_owned(), verdict, why });
        };
        let request = AuthorizeRequest {
            redirect_uri: callback,
            state: "check",
            code_challenge: CHALLENGE,
            nonce: "check",
            fresh_login: true,
        };
        let address = authorize_url(host, app, &request);
        let (code, description) = match self.authorize(&address, callback).await {
            Said::Nothing => (String::new(), String::new()),
            Said::Error { code, description } => (code, description),
            Said::Silence(why) => {
                for setting in ["consumer_key", "callback_url", "pkce"] {
                    found(setting, Verdict::Unknown, why.clone());
                }
                return;
            }
        };
        if code == "invalid_client_id" {
            let why = "Salesforce does not know it here. Copy it from the app's Manage Consumer Details; a new app \
                       takes up to 10 minutes, and one made in a sandbox is known in that sandbox alone";
            found("consumer_key", Verdict::Wrong, why.into());
            found("callback_url", Verdict::Unknown, "not looked at: the consumer key is not known".into());
            found("pkce", Verdict::Unknown, "not looked at: the consumer key is not known".into());
            return;
        }
        found("consumer_key", Verdict::Right, "known".into());
        if code == "redirect_uri_mismatch" {
            let why = format!(
                "the app does not list {callback}, to the letter. Add it to its Callback URLs; a change takes up to 10 minutes"
            );
            found("callback_url", Verdict::Wrong, why);
            found("pkce", Verdict::Unknown, "not looked at: the callback URL is not listed".into());
            return;
        }
        found("callback_url", Verdict::Right, "listed".into());
        if !code.is_empty() {
            found("pkce", Verdict::Unknown, format!("Salesforce says {code}: {description}"));
            return;
        }
        let (verdict, why) = match self.authorize(&without_challenge(&address), callback).await {
            Said::Error { code, description }
                if code == "invalid_request" && description.contains("challenge") =>
            {
                (Verdict::Right, "taken, and asked for".to_owned())
            }
            Said::Nothing => {
                let setting = match app.kind {
                    AppKind::ConnectedApp => {
                        "Require Proof Key for Code Exchange (PKCE) Extension for Supported Authorization Flows"
                    }
                    AppKind::ExternalClientApp => {
                        "Require Proof Key for Code Exchange (PKCE) extension for Supported Authorization Flows"
                    }
                };
                (
                    Verdict::Lax,
                    format!("taken, but not asked for. Tick \"{setting}\" in the app's OAuth settings"),
                )
            }
            Said::Error { code, description } => {
                (Verdict::Unknown, format!("Salesforce says {code}: {description}"))
            }
            Said::Silence(why) => (Verdict::Unknown, why),
        };
        found("pkce", verdict, why);
    }

    /// The secret: Salesforce refuses the app before it looks at a code, and this code is none.
    async fn secret(
        &self,
        host: &LoginHost,
        app: &App,
        setting: &'static str,
        secret: &ConsumerSecret,
    ) -> Finding {
        let body = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "authorization_code")
            .append_pair("code", "check")
            .append_pair("redirect_uri", "https://localhost/check")
            .append_pair("client_id", &app.consumer_key)
            .append_pair("client_secret", secret.expose())
            .finish();
        let request = http::Request::post(format!("{}/services/oauth2/token", host.origin()))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(header::ACCEPT, "application/json")
            .body(body.into_bytes());
        let said = match request {
            Ok(request) => self.ask(request, None).await,
            Err(error) => Said::Silence(error.to_string()),
        };
        let (verdict, why) = match said {
            Said::Error { code, .. } if code == "invalid_client" => (
                Verdict::Wrong,
                "refused. Copy the secret from the app's Manage Consumer Details; a new one takes up to 10 minutes".into(),
            ),
            Said::Error { code, .. } if code == "invalid_client_id" => {
                (Verdict::Unknown, "not looked at: the consumer key is not known".into())
            }
            Said::Error { code, .. } if code == "invalid_grant" => (Verdict::Right, "taken".into()),
            Said::Error { code, description } => (Verdict::Unknown, format!("Salesforce says {code}: {description}")),
            Said::Nothing => (Verdict::Unknown, "Salesforce's answer was none that is known".into()),
            Said::Silence(why) => (Verdict::Unknown, why),
        };
        Finding { setting, host: host.host().to_owned(), verdict, why }
    }

    async fn authorize(&self, address: &Url, callback: &str) -> Said {
        match http::Request::get(address.as_str()).body(Vec::new()) {
            Ok(request) => self.ask(request, Some(callback)).await,
            Err(error) => Said::Silence(error.to_string()),
        }
    }

    async fn ask(&self, request: http::Request<Vec<u8>>, callback: Option<&str>) -> Said {
        #[derive(serde::Deserialize)]
        struct Told {
            error: String,
            #[serde(default)]
            error_description: String,
        }
        let answer = match self.http.send(request).await {
            Ok(answer) if answer.status().is_server_error() => {
                return Said::Silence(format!("Salesforce answered {}: try again", answer.status().as_u16()));
            }
            Ok(answer) => answer,
            Err(error) => return Said::Silence(format!("no answer from Salesforce: {error}")),
        };
        let location = answer.headers().get(header::LOCATION).and_then(|to| to.to_str().ok());
        if let Some(query) = location.filter(|to| callback.is_some_and(|callback| to.starts_with(callback))) {
            return error_in(query.split_once('?').map_or("", |(_, query)| query));
        }
        if location.is_some() {
            return Said::Nothing;
        }
        if let Ok(Told { error, error_description }) = serde_json::from_slice(answer.body()) {
            return Said::Error { code: error, description: error_description };
        }
        // The authorize endpoint's bare text, at times inside a bare <pre> (fact base 1.1, S3).
        let text = String::from_utf8_lossy(answer.body());
        let bare = text.trim().trim_start_matches("<pre>").trim_end_matches("</pre>").trim();
        if bare.starts_with("error=") { error_in(bare) } else { Said::Nothing }
    }
}

fn or_nowhere(mut findings: Vec<Finding>) -> Vec<Finding> {
    if findings.is_empty() {
        findings.push(Finding {
            setting: "login_hosts",
            host: "none".into(),
            verdict: Verdict::Unknown,
            why: "the app has no login host that is the same for every org: name the My Domain of one, as --host \
                  acme.my.salesforce.com"
                .into(),
        });
    }
    findings
}

fn error_in(query: &str) -> Said {
    let value = |wanted: &str| {
        let mut pairs = url::form_urlencoded::parse(query.as_bytes());
        pairs.find(|(name, _)| name == wanted).map(|(_, value)| value.chars().take(200).collect::<String>())
    };
    match value("error") {
        Some(code) => Said::Error { code, description: value("error_description").unwrap_or_default() },
        None => Said::Nothing,
    }
}

fn without_challenge(address: &Url) -> Url {
    let kept: Vec<(String, String)> = address
        .query_pairs()
        .filter(|(name, _)| !name.starts_with("code_challenge"))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    let mut address = address.clone();
    address.query_pairs_mut().clear().extend_pairs(kept);
    address
}
