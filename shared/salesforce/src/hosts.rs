//! Which hosts are Salesforce's. Nothing secret is sent anywhere else, whoever names the host: a product
//! file, a user, the table, or Salesforce's own `instance_url`.

use std::sync::LazyLock;

use domain::{Environment, HostChoice};
use url::Url;

mod copied;
mod typed;

use typed::TypedHost;

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

/// A login host that has passed the policy. It holds the parsed address, so whoever has one can build a request
/// without a further check. There is no other way to make one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginHost {
    url: Url,
    /// The same as text: `https://acme.my.salesforce.com`.
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
    /// It is the id of an org.
    #[error("That is an org ID. Enter the org's My Domain, which looks like acme.my.salesforce.com.")]
    OrgId,
    /// It has a user name in it, or is an e-mail address.
    #[error(
        "That is a username or an email address. Enter your My Domain, for example acme.my.salesforce.com."
    )]
    Username,
    /// It names several orgs.
    #[error("Enter one My Domain only, without other words, for example acme.my.salesforce.com.")]
    Several,
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

/// What people copy from the address bar of an org, and the ending that signs in instead (Salesforce Help,
/// "My Domain URL Formats").
const REPAIRS: [(&str, &str); 8] = [
    (".lightning.force.com", ".my.salesforce.com"),
    (".my.salesforce-setup.com", ".my.salesforce.com"),
    (".file.force.com", ".my.salesforce.com"),
    (".vf.force.com", ".my.salesforce.com"),
    (".lightning.crmforce.mil", ".my.salesforce.mil"),
    (".my.salesforce-setup.mil", ".my.salesforce.mil"),
    (".lightning.sfcrmapps.cn", ".my.sfcrmproducts.cn"),
    (".my.sfcrmproducts-setup.cn", ".my.sfcrmproducts.cn"),
];

/// Visualforce pages have their package's name in the host: `acme--c.vf.force.com`.
const VISUALFORCE: &str = ".vf.force.com";

/// Labels between an org's name and the ending, for orgs that are not production (Salesforce Help, "Partitioned
/// Domains").
const PARTITIONS: [&str; 10] =
    ["sandbox", "develop", "scratch", "trailblaze", "demo", "free", "patch", "malware", "stm", "wsm"];

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
        let url = self.stand_in.as_ref().map_or(&*PRODUCTION, |local| &local.production);
        LoginHost::new(url, Environment::Production)
    }

    /// The sandboxes' login host.
    pub fn sandbox(&self) -> LoginHost {
        let url = self.stand_in.as_ref().map_or(&*SANDBOX, |local| &local.sandbox);
        LoginHost::new(url, Environment::Sandbox)
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
    /// Lightning or Setup address, a sandbox's name. Copy artifacts are repaired. The answer is always a host where
    /// orgs sign in, and its name is in the text. It may be a shared login host: check [`LoginHost::environment`].
    pub fn my_domain(&self, typed: &str) -> Result<LoginHost, HostRefused> {
        typed::read(typed, |typed| {
            let host = self.admit(&self.repaired(typed))?;
            let name = self.endings().find_map(|ending| host.host().strip_suffix(ending));
            if name.is_none_or(is_in_partition) { Ok(host) } else { Err(HostRefused::NotSalesforce) }
        })
    }

    /// Admits a login origin that was stored: the table is not trusted to name a host. Nothing is repaired.
    pub fn readmit(&self, stored: &str) -> Result<LoginHost, HostRefused> {
        let url = Url::parse(stored).map_err(|_| HostRefused::NotAHost)?;
        let host = self.admit(url.host_str().ok_or(HostRefused::NotAHost)?)?;
        if host.origin == stored { Ok(host) } else { Err(HostRefused::NotSalesforce) }
    }

    /// The policy, and the only parse: a host that passes is a login host with its address.
    fn admit(&self, host: &str) -> Result<LoginHost, HostRefused> {
        for login in [self.production(), self.sandbox()] {
            if login.host() == host {
                return Ok(login);
            }
        }
        let name = self.endings().find_map(|ending| host.strip_suffix(ending));
        if !name.is_some_and(is_org_name) {
            return Err(HostRefused::NotSalesforce);
        }
        let url = Url::parse(&self.origin_of(host)).map_err(|_| HostRefused::NotAHost)?;
        if url.host_str() != Some(host) {
            return Err(HostRefused::NotAHost);
        }
        Ok(LoginHost::new(&url, Environment::MyDomain))
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

    /// The endings of My Domains, the usual one first.
    fn endings(&self) -> impl Iterator<Item = &str> {
        let local = self.stand_in.as_ref().map(|local| local.my_domain.as_str());
        local.into_iter().chain(MY_DOMAINS.into_iter().filter(move |_| local.is_none()))
    }

    /// The host that was meant: an ending that is cut short or of another service is replaced, and a sandbox gets its
    /// `.sandbox`. What cannot be repaired comes back as it is.
    fn repaired(&self, typed: &TypedHost) -> String {
        let host = typed.name.as_str();
        if [self.production(), self.sandbox()].iter().any(|login| login.host() == host) {
            return host.to_owned();
        }
        let usual = self.endings().next().unwrap_or(MY_DOMAINS[0]);
        if let Some((name, ending)) = self.endings().find_map(|end| Some((host.strip_suffix(end)?, end))) {
            return format!("{}{ending}", in_partition(without_instance(name)));
        }
        let other =
            REPAIRS.iter().find_map(|(wrong, right)| Some((host.strip_suffix(wrong)?, *wrong, *right)));
        if let Some((name, wrong, right)) = other {
            let right = if self.stand_in.is_some() { usual } else { right };
            let name = if wrong == VISUALFORCE { without_package(name) } else { name.to_owned() };
            return format!("{}{right}", in_partition(&name));
        }
        let cut_short = [".my.salesforce", ".my"].iter().find_map(|end| host.strip_suffix(end));
        let name = cut_short.unwrap_or(host);
        let is_completed = typed.is_alone && is_bare(name) && !typed::is_record_id(name);
        if is_completed { format!("{}{usual}", in_partition(name)) } else { host.to_owned() }
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

static PRODUCTION: LazyLock<Url> = LazyLock::new(|| constant("https://login.salesforce.com"));
static SANDBOX: LazyLock<Url> = LazyLock::new(|| constant("https://test.salesforce.com"));

fn constant(address: &'static str) -> Url {
    Url::parse(address).expect("a constant, which the tests parse")
}

impl LoginHost {
    fn new(url: &Url, environment: Environment) -> Self {
        Self { url: url.clone(), origin: url.origin().ascii_serialization(), environment }
    }

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
        self.url.host_str().unwrap_or_default()
    }

    /// The address of a path at this host.
    pub(crate) fn url_at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(path);
        url.set_query(None);
        url.set_fragment(None);
        url
    }

    pub(crate) fn at(&self, path: &str) -> String {
        self.url_at(path).into()
    }
}

/// `acme--uat--c` → `acme--uat`; `acme--uat--c.sandbox` → `acme--uat.sandbox`.
fn without_package(name: &str) -> String {
    let (first, partition) = name.find('.').map_or((name, ""), |dot| name.split_at(dot));
    let org = first.rsplit_once("--").map_or(first, |(org, _package)| org);
    format!("{org}{partition}")
}

/// Removes the instance that addresses of sandboxes used to have: `acme--uat.cs42`.
fn without_instance(name: &str) -> &str {
    let is_instance = |label: &str| {
        let number = label.trim_start_matches(|c: char| c.is_ascii_lowercase());
        let number = number.strip_suffix('s').unwrap_or(number);
        (2..=4).contains(&label.bytes().take_while(u8::is_ascii_lowercase).count())
            && (1..=4).contains(&number.len())
            && number.bytes().all(|b| b.is_ascii_digit())
    };
    match name.split_once('.') {
        Some((org, instance)) if org.contains("--") && is_instance(instance) => org,
        _ => name,
    }
}

/// Whether a name's second label is one that Salesforce uses. A sandbox's name contains `--`.
fn is_in_partition(name: &str) -> bool {
    name.split_once('.').is_none_or(|(org, partition)| {
        PARTITIONS.contains(&partition) && (partition != "sandbox" || org.contains("--"))
    })
}

/// A name without an ending: `acme`, `acme--uat`, `acme--uat.sandbox`.
fn is_bare(name: &str) -> bool {
    name.split_once('.').is_none_or(|(_, partition)| PARTITIONS.contains(&partition))
}

/// The name of a sandbox (`acme--uat`) goes before `.sandbox`.
fn in_partition(name: &str) -> String {
    if name.contains("--") && !name.contains('.') { format!("{name}.sandbox") } else { name.to_owned() }
}

fn is_loopback(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "[::1]") || host.ends_with(".localhost")
}

/// What may stand before the ending: `acme`, `acme.develop`, `acme--uat.sandbox`.
fn is_org_name(name: &str) -> bool {
    matches!(name.split('.').count(), 1 | 2)
        && name.split('.').all(typed::is_label)
        && !matches!(name, "login" | "test" | "localhost")
}

#[cfg(test)]
mod tests;
