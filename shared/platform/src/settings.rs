//! Settings: from the environment, once, and complete or not at all.

use std::net::IpAddr;

use url::Url;

/// What a function must be told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The table's name (`TABLE_NAME`).
    pub table: String,
    /// The origin under which browsers and products reach us (`PUBLIC_URL`). No request's Host header, scheme
    /// or forwarding header is ever asked for it.
    pub public_url: PublicUrl,
    /// The keyring's name in Secrets Manager (`KEYRING_SECRET_ID`); authorize and errors have none.
    pub keyring: Option<String>,
    /// The fallback table's name (`FALLBACK_TABLE_NAME`), for the functions that refresh.
    pub fallback: Option<String>,
    /// The addresses from which Salesforce is called (`EGRESS_ADDRESSES`, separated by spaces): pages show them to admins
    /// who allow addresses. Empty where they are not fixed.
    pub egress: Vec<IpAddr>,
    /// The address of the queue of webhook attempts (`DELIVERY_QUEUE_URL`), for the functions that use it.
    pub delivery_queue: Option<String>,
    /// The EventBridge bus that gets every event (`EVENT_BUS_NAME`), where there is one.
    pub event_bus: Option<String>,
    /// The network of the functions themselves (`VPC_CIDR`), where they have one. No webhook is sent into it.
    pub vpc: Option<String>,
}

/// A setting that is absent or unusable.
#[derive(Debug, thiserror::Error)]
pub enum SettingError {
    /// It is not set.
    #[error("the environment variable {0} is not set; infra/template.yaml sets it on every function")]
    Missing(&'static str),
    /// It is set to something unusable.
    #[error("the environment variable {name} is unusable: {why}")]
    Unusable {
        /// Its name.
        name: &'static str,
        /// What it must be.
        why: &'static str,
    },
}

/// Our own origin: `https://connect.example.com`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

impl PublicUrl {
    /// An origin: https, or http on this machine, where `__Host-` cookies work as well.
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let local = url.host_str().is_some_and(|host| host == "localhost" || host.ends_with(".localhost"));
        let secure = url.scheme() == "https" || (url.scheme() == "http" && local);
        let bare = url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty();
        (secure && bare).then(|| Self(url.origin().ascii_serialization()))
    }

    /// The origin, without a slash at the end.
    pub fn origin(&self) -> &str {
        &self.0
    }

    /// An address of ours.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.0)
    }

    /// The callback that every app registers.
    pub fn callback(&self) -> String {
        self.at("/oauth/callback")
    }
}

impl Settings {
    /// Reads the environment.
    pub fn from_env() -> Result<Self, SettingError> {
        Self::read(|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
    }

    fn read(get: impl Fn(&str) -> Option<String>) -> Result<Self, SettingError> {
        let need = |name: &'static str| get(name).ok_or(SettingError::Missing(name));
        Ok(Self {
            table: need("TABLE_NAME")?,
            public_url: PublicUrl::parse(&need("PUBLIC_URL")?).ok_or(SettingError::Unusable {
                name: "PUBLIC_URL",
                why: "it must be an https origin such as https://connect.example.com",
            })?,
            keyring: get("KEYRING_SECRET_ID"),
            fallback: get("FALLBACK_TABLE_NAME"),
            egress: addresses(&get("EGRESS_ADDRESSES").unwrap_or_default())?,
            delivery_queue: get("DELIVERY_QUEUE_URL"),
            event_bus: get("EVENT_BUS_NAME"),
            vpc: get("VPC_CIDR"),
        })
    }

    /// The network of the functions themselves: its address and the length of its prefix.
    pub fn own_network(&self) -> Result<Option<(IpAddr, u8)>, SettingError> {
        let Some(text) = &self.vpc else { return Ok(None) };
        let read = |(address, bits): (&str, &str)| Some((address.parse().ok()?, bits.parse().ok()?));
        let unusable =
            SettingError::Unusable { name: "VPC_CIDR", why: "it must be a network such as 10.71.0.0/16" };
        text.split_once('/').and_then(read).map(Some).ok_or(unusable)
    }

    /// The keyring's name, for the functions that seal or open tokens.
    pub fn keyring(&self) -> Result<&str, SettingError> {
        self.keyring.as_deref().ok_or(SettingError::Missing("KEYRING_SECRET_ID"))
    }

    /// The fallback table's name, for the functions that refresh.
    pub fn fallback(&self) -> Result<&str, SettingError> {
        self.fallback.as_deref().ok_or(SettingError::Missing("FALLBACK_TABLE_NAME"))
    }
}

fn addresses(text: &str) -> Result<Vec<IpAddr>, SettingError> {
    let parsed: Result<_, _> = text.split_whitespace().map(str::parse).collect();
    parsed.map_err(|_| SettingError::Unusable {
        name: "EGRESS_ADDRESSES",
        why: "it must be IP addresses with spaces between them",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_setting_is_named() {
        let error =
            Settings::read(|name| (name == "PUBLIC_URL").then(|| "https://a.example".into())).unwrap_err();
        assert!(error.to_string().contains("TABLE_NAME"), "{error}");
    }

    #[test]
    fn the_public_url_is_a_secure_origin() {
        for good in
            ["https://connect.example.com", "https://connect.example.com/", "http://latchkey.localhost:7400"]
        {
            assert!(PublicUrl::parse(good).is_some(), "{good}");
        }
        for bad in ["http://connect.example.com", "https://a.example/path", "https://u@a.example", "connect"]
        {
            assert!(PublicUrl::parse(bad).is_none(), "{bad}");
        }
    }
}
