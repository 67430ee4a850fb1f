//! Listens on this machine alone, over both versions of IP: `localhost` is `::1` first on many machines.

use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr},
};

use tokio::net::TcpListener;

/// Maximum free ports that are tried until one is free for both versions of IP.
const MAX_TRIES: usize = 16;

/// One port of 127.0.0.1 and, where this machine has IPv6, of `::1`.
#[derive(Debug)]
pub struct Loopback {
    /// On 127.0.0.1.
    pub v4: TcpListener,
    /// On `::1`.
    pub v6: Option<TcpListener>,
}

impl Loopback {
    /// Takes this port; 0 takes one that is free on both.
    pub async fn bind(port: u16) -> io::Result<Self> {
        let mut tries = 0;
        loop {
            let v4 = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
            match TcpListener::bind((Ipv6Addr::LOCALHOST, v4.local_addr()?.port())).await {
                Ok(v6) => return Ok(Self { v4, v6: Some(v6) }),
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                    tries += 1;
                    if port != 0 {
                        return Err(error);
                    }
                    if tries == MAX_TRIES {
                        return Ok(Self { v4, v6: None });
                    }
                }
                // This machine has no IPv6.
                Err(_) => return Ok(Self { v4, v6: None }),
            }
        }
    }

    /// Its port.
    pub fn port(&self) -> io::Result<u16> {
        Ok(self.v4.local_addr()?.port())
    }

    /// Its listeners.
    pub fn into_listeners(self) -> impl Iterator<Item = TcpListener> {
        std::iter::once(self.v4).chain(self.v6)
    }
}
