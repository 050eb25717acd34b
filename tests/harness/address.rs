//! Loopback addresses that belong to one cluster alone.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

use anyhow::{Context, bail};

/// The addresses `127.a.b.*`, held until the value is dropped.
///
/// Linux answers on all of `127.0.0.0/8`, so each agent gets an address of its own: two hosts may use the
/// same port, and so may two clusters at the same time. A listener on [`GUARD_PORT`] of the first address
/// is the lock; it goes away with the process. Nobody else can reach them: with `EPIC_NETWORK=10` they are
/// `10.a.b.*` instead, for a network namespace in which all of these are local.
#[derive(Debug)]
pub struct Network {
    prefix: [u8; 3],
    _guard: TcpListener,
}

impl Network {
    /// Takes a network that no other process on this machine has taken.
    ///
    /// # Errors
    /// When no network is found after a hundred attempts, or `EPIC_NETWORK` is no number of a byte.
    pub fn take() -> anyhow::Result<Self> {
        let first = match std::env::var("EPIC_NETWORK") {
            Ok(text) => text.parse().with_context(|| format!("EPIC_NETWORK={text:?} must be a number up to 255"))?,
            Err(_unset) => 127,
        };
        for _ in 0..100 {
            let [a, b, ..] = RandomState::new().build_hasher().finish().to_be_bytes();
            // 127.0.*.* is where everybody else listens.
            let prefix = [first, a | 1, b];
            let lock = SocketAddr::new(address_in(prefix, 1), GUARD_PORT);
            if let Ok(guard) = TcpListener::bind(lock) {
                return Ok(Self { prefix, _guard: guard });
            }
        }
        bail!("cannot take a network: no {first}.a.b.1:{GUARD_PORT} is free")
    }

    /// The three first bytes, which tell this network from others.
    #[must_use]
    pub fn prefix(&self) -> [u8; 3] {
        self.prefix
    }

    /// The address of this network that ends in `last`.
    #[must_use]
    pub fn address(&self, last: u8) -> IpAddr {
        address_in(self.prefix, last)
    }

    /// A port of the address that ends in `last` on which nobody listens.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub fn free(&self, last: u8) -> anyhow::Result<SocketAddr> {
        let ip = self.address(last);
        TcpListener::bind((ip, 0))
            .and_then(|listener| listener.local_addr())
            .with_context(|| format!("cannot find a free port on {ip}"))
    }
}

fn address_in([first, a, b]: [u8; 3], last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(first, a, b, last))
}

/// The port of the listener that marks a network as taken.
pub const GUARD_PORT: u16 = 20_000;
