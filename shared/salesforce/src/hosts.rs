//! Which hosts are Salesforce's. Nothing secret is sent anywhere else, whoever names the host: a product
//! file, a user, the table, or Salesforce's own `instance_url`.

use domain::{Environment, HostChoice};
use url::Url;

/// The policy: Salesforce's own hosts or, in the local stack alone, a stand-in on this machine.
#[derive(Debug, Clone, Default)]
pub struct Hosts {
    stand_in: Option<StandIn>,
}

/// Where the local stack's Salesforce answers.
#[derive(Debug, Clone)]
struct StandIn {
    production: Url,
    sandbox: Url,
    /// What follows an org's name in its My Domain: `.my.salesforce.localhost`.
    my_domain: String,
}

/// The origin of a login host that has passed the policy. There is no other way to make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginHost {
    origin: String,
    environment: Environment,
}

/// Why a host was refused. The messages are for the person who typed it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostRefused {
    /// Nothing was typed.
    #[error("Enter your My Domain, for example acme.my.salesforce.com.")]
    Empty,
    /// It cannot be a host.
    #[error("That is not a web address. A My Domain looks like acme.my.salesforce.com.")]
    NotAHost,
    /// It is a host, but not one where people sign in to Salesforce.
    #[error("That is not a Salesforce sign-in address. A My Domain looks like acme.my.salesforce.com.")]
    NotSalesforce,
}

/// A host that the local stack named is not on this machine.
#[derive(Debug, thiserror::Error)]
#[error("a stand-in must be on this machine (localhost, *.localhost or 127.0.0.1), not {0}")]
pub struct NotOnThisMachine(String);

impl NotOnThisMachine {
    pub(crate) fn check(stand_in: &Url) -> Result<(), Self> {
        if stand_in.host_str().is_some_and(is_loopback) { Ok(()) } else { Err(Self(stand_in.to_string())) }
    }
}

/// Endings of hosts where an org signs in (fact base 3.1).
const MY_DOMAINS: [&str; 3] = [".my.salesforce.com", ".my.salesforce.mil", ".my.sfcrmproducts.cn"];

/// Endings of hosts where an org's API or identity may answer (fact base 3.1, 3.4).
const INSTANCES: [&str; 5] =
    [".salesforce.com", ".salesforce.mil", ".crmforce.mil", ".sfcrmproducts.cn", ".sfcrmapps.cn"];

/// What people copy from the address bar of an org, and the ending that signs in instead.
const REPAIRS: [(&str, &str); 3] = [
    (".lightning.force.com", ".my.salesforce.com"),
    (".my.salesforce-setup.com", ".my.salesforce.com"),
    (".lightning.crmforce.mil", ".my.salesforce.mil"),
];

impl Hosts {
    /// Salesforce's own hosts: what every deployed function uses.
    pub fn salesforce() -> Self {
        Self::default()
    }

    /// A stand-in for Salesforce on this machine, for the local stack: `production` and `sandbox` are login
    /// origins, `my_domain` the ending of My Domains. Only loopback names are taken, so that even a mistaken
    /// call cannot let another host in.
    pub fn on_this_machine(
        production: &Url,
        sandbox: &Url,
        my_domain: &str,
    ) -> Result<Self, NotOnThisMachine> {
        for login in [production, sandbox] {
            NotOnThisMachine::check(login)?;
        }
        if !my_domain.ends_with(".localhost") {
            return Err(NotOnThisMachine(my_domain.to_owned()));
        }
        Ok(Self {
            stand_in: Some(StandIn {
                production: production.clone(),
                sandbox: sandbox.clone(),
                my_domain: my_domain.to_owned(),
            }),
        })
    }

    /// Production's login host.
    pub fn production(&self) -> LoginHost {
        LoginHost {
            origin: self
                .stand_in
                .as_ref()
                .map_or_else(|| "https://login.salesforce.com".into(), |local| origin(&local.production)),
            environment: Environment::Production,
        }
    }

    /// The sandboxes' login host.
    pub fn sandbox(&self) -> LoginHost {
        LoginHost {
            origin: self
                .stand_in
                .as_ref()
                .map_or_else(|| "https://test.salesforce.com".into(), |local| origin(&local.sandbox)),
            environment: Environment::Sandbox,
        }
    }

    /// The login host that a session fixes, if it fixes one.
    pub fn fixed(&self, choice: &HostChoice) -> Result<Option<LoginHost>, HostRefused> {
        match choice {
            HostChoice::Open => Ok(None),
            HostChoice::Production => Ok(Some(self.production())),
            HostChoice::Sandbox => Ok(Some(self.sandbox())),
            HostChoice::MyDomain(host) => self.my_domain(host).map(Some),
        }
    }

    /// Reads what a person typed or pasted: a My Domain with or without its ending, a whole address, a
    /// Lightning or Setup address, a sandbox's name. The answer is always a host where orgs sign in.
    pub fn my_domain(&self, typed: &str) -> Result<LoginHost, HostRefused> {
        let host = host_of(typed)?;
        for login in [self.production(), self.sandbox()] {
            if login.host() == host {
                return Ok(login);
            }
        }
        let (ending, host) = self.with_ending(&host).ok_or(HostRefused::NotSalesforce)?;
        let name =
            host.strip_suffix(ending).filter(|name| is_org_name(name)).ok_or(HostRefused::NotSalesforce)?;
        debug_assert!(!name.is_empty());
        Ok(LoginHost { origin: self.origin_of(&host), environment: Environment::MyDomain })
    }

    /// Admits a login origin that was stored: the table is not trusted to name a host.
    pub fn readmit(&self, stored: &str) -> Result<LoginHost, HostRefused> {
        [self.production(), self.sandbox()]
            .into_iter()
            .find(|login| login.origin == stored)
            .map_or_else(|| self.my_domain(stored), Ok)
            .and_then(|host| if host.origin == stored { Ok(host) } else { Err(HostRefused::NotSalesforce) })
    }

    /// The origin of an address that Salesforce gave (`instance_url`, `id`, an issuer), if it is its own.
    pub fn own(&self, address: &str) -> Option<Url> {
        let url = Url::parse(address).ok()?;
        let host = url.host_str()?;
        let plain = url.username().is_empty() && url.password().is_none();
        let own = match &self.stand_in {
            None => {
                url.scheme() == "https"
                    && url.port().is_none()
                    && INSTANCES.iter().any(|end| host.ends_with(end))
            }
            Some(local) => is_loopback(host) && url.port() == local.production.port(),
        };
        (plain && own).then_some(url)
    }

    fn with_ending(&self, host: &str) -> Option<(&str, String)> {
        if let Some(local) = &self.stand_in {
            let bare = !host.contains('.');
            let whole =
                if bare { format!("{host}{}", sandboxed(host, &local.my_domain)) } else { host.to_owned() };
            return whole.ends_with(&local.my_domain).then_some((local.my_domain.as_str(), whole));
        }
        if !host.contains('.') {
            return Some((MY_DOMAINS[0], format!("{host}{}", sandboxed(host, MY_DOMAINS[0]))));
        }
        if let Some((wrong, right)) = REPAIRS.iter().find(|(wrong, _)| host.ends_with(wrong)) {
            return Some((right, format!("{}{right}", host.strip_suffix(wrong)?)));
        }
        MY_DOMAINS.iter().find(|ending| host.ends_with(*ending)).map(|ending| (*ending, host.to_owned()))
    }

    fn origin_of(&self, host: &str) -> String {
        match &self.stand_in {
            None => format!("https://{host}"),
            Some(local) => {
                let port = local.production.port().map(|port| format!(":{port}")).unwrap_or_default();
                format!("{}://{host}{port}", local.production.scheme())
            }
        }
    }
}

impl LoginHost {
    /// `https://acme.my.salesforce.com`, without a slash at the end.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Which kind of host it is.
    pub fn environment(&self) -> Environment {
        self.environment
    }

    /// The host's name, without scheme and port.
    pub fn host(&self) -> &str {
        let rest = self.origin.split_once("://").map_or(self.origin.as_str(), |(_, rest)| rest);
        rest.split_once(':').map_or(rest, |(host, _)| host)
    }

    pub(crate) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.origin)
    }
}

/// The name of a bare sandbox (`acme--uat`) goes before `.sandbox`.
fn sandboxed(name: &str, ending: &str) -> String {
    if name.contains("--") { format!(".sandbox{ending}") } else { ending.to_owned() }
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

fn is_loopback(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "[::1]") || host.ends_with(".localhost")
}

/// The host in what was typed. Everything after the host is dropped; whatever could make two readers see
/// two hosts (user names, backslashes, odd characters) is refused rather than interpreted.
fn host_of(typed: &str) -> Result<String, HostRefused> {
    let typed = typed.trim().trim_matches(['<', '>', '"', '\'']).trim();
    if typed.is_empty() {
        return Err(HostRefused::Empty);
    }
    let lower = typed.to_ascii_lowercase();
    let rest = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://")).unwrap_or(&lower);
    let host = rest.split(['/', '?']).next().unwrap_or_default();
    let host = host.split_once(':').map_or(host, |(host, port)| {
        if port.len() <= 5 && port.bytes().all(|b| b.is_ascii_digit()) { host } else { "" }
    });
    let host = host.strip_suffix('.').unwrap_or(host);
    let well_formed = host.len() <= 200
        && host.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        });
    if well_formed { Ok(host.to_owned()) } else { Err(HostRefused::NotAHost) }
}

/// What may stand before the ending: `acme`, `acme.develop`, `acme--uat.sandbox`.
fn is_org_name(name: &str) -> bool {
    matches!(name.split('.').count(), 1 | 2) && !matches!(name, "login" | "test" | "localhost")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn local() -> Hosts {
        Hosts::on_this_machine(
            &"http://login.salesforce.localhost:7402".parse().unwrap(),
            &"http://test.salesforce.localhost:7402".parse().unwrap(),
            ".my.salesforce.localhost",
        )
        .unwrap()
    }

    #[test]
    fn what_people_type_becomes_a_login_host() {
        let hosts = Hosts::salesforce();
        for (typed, origin) in [
            ("acme", "https://acme.my.salesforce.com"),
            (" ACME.my.salesforce.com ", "https://acme.my.salesforce.com"),
            ("https://acme.my.salesforce.com/", "https://acme.my.salesforce.com"),
            ("https://acme.lightning.force.com/lightning/page/home", "https://acme.my.salesforce.com"),
            (
                "acme.my.salesforce-setup.com/lightning/setup/SetupOneHome/home",
                "https://acme.my.salesforce.com",
            ),
            ("acme--uat", "https://acme--uat.sandbox.my.salesforce.com"),
            ("acme--uat.sandbox.lightning.force.com", "https://acme--uat.sandbox.my.salesforce.com"),
            ("acme.develop.my.salesforce.com", "https://acme.develop.my.salesforce.com"),
            ("login.salesforce.com", "https://login.salesforce.com"),
            ("https://test.salesforce.com/?un=x", "https://test.salesforce.com"),
        ] {
            assert_eq!(hosts.my_domain(typed).unwrap().origin(), origin, "{typed}");
        }
        assert_eq!(hosts.my_domain("test.salesforce.com").unwrap().environment(), Environment::Sandbox);
    }

    #[test]
    fn what_is_not_salesforces_is_refused() {
        let hosts = Hosts::salesforce();
        for typed in [
            "evil.com#.my.salesforce.com",
            "evil.com/.my.salesforce.com",
            "evil.com?.my.salesforce.com",
            "evil.com\\.my.salesforce.com",
            "acme.my.salesforce.com@evil.com",
            "evil.com:80@acme.my.salesforce.com",
            "acme.my.salesforce.com.evil.com",
            "acmemy.salesforce.com",
            "my.salesforce.com",
            ".my.salesforce.com",
            "a.b.c.my.salesforce.com",
            "acme.my.salesforce.com:evil",
            "javascript:alert(1)",
            "аcme.my.salesforce.com", // a Cyrillic а
            "127.0.0.1",
            "localhost",
            "acme.my.salesforce.localhost",
            "",
            "   ",
        ] {
            assert!(hosts.my_domain(typed).is_err(), "{typed}");
        }
    }

    #[test]
    fn a_stored_origin_is_checked_again() {
        let hosts = Hosts::salesforce();
        assert!(hosts.readmit("https://login.salesforce.com").is_ok());
        assert!(hosts.readmit("https://acme.my.salesforce.com").is_ok());
        assert!(hosts.readmit("http://acme.my.salesforce.com").is_err());
        assert!(hosts.readmit("https://evil.example").is_err());
        assert!(hosts.readmit("http://login.salesforce.localhost:7402").is_err());
        assert!(local().readmit("http://acme.my.salesforce.localhost:7402").is_ok());
        assert!(local().readmit("https://acme.my.salesforce.com").is_err());
    }

    #[test]
    fn an_instance_url_must_be_salesforces_own() {
        let hosts = Hosts::salesforce();
        assert!(hosts.own("https://acme.my.salesforce.com").is_some());
        assert!(hosts.own("https://na139.salesforce.com").is_some());
        for bad in [
            "http://acme.my.salesforce.com",
            "https://u@acme.my.salesforce.com",
            "https://salesforce.com.evil.com",
        ] {
            assert!(hosts.own(bad).is_none(), "{bad}");
        }
        assert!(local().own("http://acme.my.salesforce.localhost:7402").is_some());
        assert!(local().own("http://acme.my.salesforce.localhost:80").is_none());
    }

    #[test]
    fn a_stand_in_is_on_this_machine_or_nowhere() {
        let (ok, bad): (Url, Url) =
            ("http://127.0.0.1:9".parse().unwrap(), "https://evil.com".parse().unwrap());
        assert!(Hosts::on_this_machine(&ok, &ok, ".localhost").is_ok());
        assert!(Hosts::on_this_machine(&bad, &ok, ".localhost").is_err());
        assert!(Hosts::on_this_machine(&ok, &ok, ".evil.com").is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_typed_only_salesforces_hosts_come_out(typed in "\\PC{0,80}") {
            if let Ok(host) = Hosts::salesforce().my_domain(&typed) {
                let url = Url::parse(host.origin()).unwrap();
                prop_assert!(url.host_str().unwrap().ends_with(".salesforce.com") || url.host_str().unwrap().ends_with(".salesforce.mil") || url.host_str().unwrap().ends_with(".sfcrmproducts.cn"));
                prop_assert_eq!(url.path(), "/");
            }
        }
    }
}
