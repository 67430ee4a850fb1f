//! Which addresses an endpoint may have. A product chooses the URL that Latchkey calls, so without this guard a product
//! could make Latchkey call its own network (server-side request forgery).
//!
//! The guard is the client's resolver: a name is looked up once, every answer is checked, and the connection is made to a
//! checked address. There is no second lookup that could answer differently (DNS rebinding). An address that stands in
//! the URL itself passes the same check.

use std::{
    fmt,
    future::Future,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _},
    pin::Pin,
    sync::Arc,
};

use url::{Host, Url};

/// The port that an endpoint must have. A deployment with fixed egress lets no other out.
const HTTPS: u16 = 443;

/// IPv4 networks that are not public: IANA's special-purpose registry (RFC 6890), multicast and the reserved rest.
const NOT_PUBLIC_V4: [(Ipv4Addr, u8); 15] = [
    (Ipv4Addr::UNSPECIFIED, 8),           // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),      // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),   // shared address space, also inside AWS
    (Ipv4Addr::new(127, 0, 0, 0), 8),     // loopback
    (Ipv4Addr::new(169, 254, 0, 0), 16),  // link-local: AWS's metadata service
    (Ipv4Addr::new(172, 16, 0, 0), 12),   // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),    // protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24),    // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),  // 6to4 relays
    (Ipv4Addr::new(192, 168, 0, 0), 16),  // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),   // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),  // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),     // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),     // reserved, and broadcast
];

/// The only IPv6 network with public unicast addresses. Loopback, IPv4-mapped (`::ffff:0:0/96`), NAT64
/// (`64:ff9b::/96`), unique local (`fc00::/7`), link-local (`fe80::/10`) and multicast lie outside it.
const PUBLIC_V6: (Ipv6Addr, u8) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Networks inside [`PUBLIC_V6`] that are not public, or that carry an IPv4 address.
const NOT_PUBLIC_V6: [(Ipv6Addr, u8); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments: Teredo, benchmarks, ORCHID
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

/// Why an endpoint is not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// Its URL is not https.
    #[error("the URL must begin with https://")]
    NotHttps,
    /// Its URL names another port.
    #[error("the port must be 443")]
    OtherPort,
    /// Its URL has a user name or a password.
    #[error("the URL must have no user name and no password")]
    HasUser,
    /// Its address, or one of its addresses, is not public.
    #[error("the host has an address that is not public")]
    NotPublic,
    /// Its name has no address.
    #[error("the host name has no address")]
    NoAddress,
}

/// Looks a host name up.
pub trait Lookup: Send + Sync {
    /// All addresses of a name; empty: it has none.
    fn addresses(&self, name: String) -> Addresses;
}

/// The addresses of a name, on their way.
pub type Addresses = Pin<Box<dyn Future<Output = Vec<IpAddr>> + Send>>;

/// Checks every address that an endpoint may be called at. Cheap to clone.
#[derive(Clone)]
pub struct AddressGuard {
    lookup: Arc<dyn Lookup>,
    own: Option<(IpAddr, u8)>,
    allows: Allows,
}

/// What a guard lets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allows {
    PublicHttps,
    ThisMachine,
}

impl fmt::Debug for AddressGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddressGuard")
            .field("own", &self.own)
            .field("allows", &self.allows)
            .finish_non_exhaustive()
    }
}

impl AddressGuard {
    /// The guard of deployed functions: https, port 443, public addresses. `own` is the network of the functions
    /// themselves (`10.71.0.0/16`), where they have one.
    pub fn public(own: Option<(IpAddr, u8)>) -> Self {
        Self::public_through(Arc::new(SystemLookup), own)
    }

    /// The same guard with another lookup, for tests that command every DNS answer.
    pub fn public_through(lookup: Arc<dyn Lookup>, own: Option<(IpAddr, u8)>) -> Self {
        Self { lookup, own, allows: Allows::PublicHttps }
    }

    /// The guard of the local stack: this machine and nothing else. No deployed function makes one.
    pub fn this_machine() -> Self {
        Self { lookup: Arc::new(ThisMachine), own: None, allows: Allows::ThisMachine }
    }

    /// The same guard with another lookup.
    #[cfg(test)]
    pub(crate) fn this_machine_through(lookup: Arc<dyn Lookup>) -> Self {
        Self { lookup, ..Self::this_machine() }
    }

    /// Checks what can be known without a lookup: the scheme, the port, and an address in place of a name.
    pub fn check_url(&self, url: &Url) -> Result<(), GuardError> {
        if self.allows == Allows::PublicHttps {
            if url.scheme() != "https" {
                return Err(GuardError::NotHttps);
            }
            if url.port_or_known_default() != Some(HTTPS) {
                return Err(GuardError::OtherPort);
            }
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(GuardError::HasUser);
        }
        match url.host() {
            Some(Host::Ipv4(address)) => self.check(&[address.into()]),
            Some(Host::Ipv6(address)) => self.check(&[address.into()]),
            Some(Host::Domain(_)) => Ok(()),
            None => Err(GuardError::NoAddress),
        }
    }

    /// Checks all addresses of a host. One that is not public refuses the host: which of them is connected to is chance.
    pub fn check(&self, addresses: &[IpAddr]) -> Result<(), GuardError> {
        if addresses.is_empty() {
            return Err(GuardError::NoAddress);
        }
        let allowed = |address: &IpAddr| match self.allows {
            Allows::ThisMachine => address.is_loopback(),
            Allows::PublicHttps => {
                is_public(*address) && !self.own.is_some_and(|network| contains(network, *address))
            }
        };
        if addresses.iter().all(allowed) { Ok(()) } else { Err(GuardError::NotPublic) }
    }

    /// Looks a name up, once, and checks every answer.
    pub async fn resolve(&self, name: &str) -> Result<Vec<IpAddr>, GuardError> {
        let addresses = self.lookup.addresses(name.to_owned()).await;
        self.check(&addresses)?;
        Ok(addresses)
    }
}

impl reqwest::dns::Resolve for AddressGuard {
    fn resolve(&self, name: reqwest::dns::Name) -> reqwest::dns::Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let addresses = guard.resolve(name.as_str()).await?;
            // Port 0 means the URL's.
            let addresses: reqwest::dns::Addrs =
                Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

/// Whether an address is public unicast.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(_) => {
            !NOT_PUBLIC_V4.iter().any(|(network, bits)| contains((IpAddr::V4(*network), *bits), address))
        }
        IpAddr::V6(v6) => {
            let within =
                |network: &(Ipv6Addr, u8)| contains((IpAddr::V6(network.0), network.1), IpAddr::V6(v6));
            within(&PUBLIC_V6) && !NOT_PUBLIC_V6.iter().any(within)
        }
    }
}

/// Whether a network holds an address of its own family.
fn contains((network, bits): (IpAddr, u8), address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let shift = 32u32.saturating_sub(bits.into());
            shift == 32 || u32::from(network) >> shift == u32::from(address) >> shift
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let shift = 128u32.saturating_sub(bits.into());
            shift == 128 || u128::from(network) >> shift == u128::from(address) >> shift
        }
        _ => false,
    }
}

/// The system's resolver.
struct SystemLookup;

impl Lookup for SystemLookup {
    fn addresses(&self, name: String) -> Addresses {
        Box::pin(async move {
            let found = tokio::task::spawn_blocking(move || {
                (name.as_str(), HTTPS).to_socket_addrs().map(|found| found.map(|at| at.ip()).collect())
            });
            found.await.ok().and_then(Result::ok).unwrap_or_default()
        })
    }
}

/// `localhost` and `*.localhost` are this machine (RFC 6761 §6.3), which the system's resolver may not know.
struct ThisMachine;

impl Lookup for ThisMachine {
    fn addresses(&self, name: String) -> Addresses {
        let is_local = name == "localhost" || name.ends_with(".localhost");
        Box::pin(std::future::ready(if is_local { vec![Ipv4Addr::LOCALHOST.into()] } else { Vec::new() }))
    }
}

#[cfg(test)]
mod tests;
