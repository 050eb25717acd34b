//! How a session with ZooKeeper is made.

use std::fmt;
use std::time::Duration;

use zookeeper_client::TlsOptions;

use crate::mesos::masters::ZooKeeperPath;

/// Where, with which client, and as whom.
#[derive(Clone, Debug)]
pub struct Connect {
    /// The servers, the path that all calls are below, and the user of the digest scheme.
    pub path: ZooKeeperPath,
    /// How long the servers are to keep the session when they don't hear of it.
    pub session_timeout: Duration,
    /// Which library speaks.
    pub client: Client,
    /// Encrypts what is said; for [`Client::ZooKeeperClient`] only, the other never looks at it.
    pub tls: Option<Tls>,
    /// Proves who we are; for [`Client::ZooKeeperClient`] only, as above.
    pub sasl: Option<Sasl>,
}

/// A library that speaks with ZooKeeper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Client {
    /// Its sessions outlive lost connections.
    #[default]
    #[value(name = "zookeeper-client")]
    ZooKeeperClient,
    /// One session is one connection: whoever loses it starts anew.
    #[value(name = "zookeeper-async")]
    ZooKeeperAsync,
}

/// Whom to trust, and what proves who we are.
#[derive(Clone)]
pub struct Tls(pub(super) TlsOptions);

/// A user and a password for SASL's DIGEST-MD5 (RFC 2831).
#[derive(Clone)]
pub struct Sasl {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

/// Something that was given isn't PEM of the right kind.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct PemError(zookeeper_client::Error);

/// What a journal is that was made without [`Connect::has_user`].
pub const OPEN_TO_ALL: &str =
    "everybody who reaches ZooKeeper may read and change, since no user and password were given (--zk-digest-file)";

impl Connect {
    /// Asks for the default client, without TLS and SASL.
    #[must_use]
    pub fn new(path: ZooKeeperPath, session_timeout: Duration) -> Self {
        Self { path, session_timeout, client: Client::default(), tls: None, sasl: None }
    }

    /// Says whether nodes can belong to somebody; else whoever reaches the servers may read and change them.
    pub const fn has_user(&self) -> bool {
        self.path.digest.is_some() || self.sasl.is_some()
    }
}

impl Tls {
    /// Trusts servers whose certificates these authorities (PEM) have signed.
    ///
    /// # Errors
    /// If there is no certificate in it.
    pub fn trusting(authorities: &str) -> Result<Self, PemError> {
        TlsOptions::new().with_pem_ca(authorities).map(Self).map_err(PemError)
    }

    /// Shows servers this certificate (PEM), which the key (PEM) belongs to.
    ///
    /// # Errors
    /// If either isn't there.
    pub fn showing(self, certificate: &str, key: &str) -> Result<Self, PemError> {
        self.0.with_pem_identity(certificate, key).map(Self).map_err(PemError)
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ZooKeeperClient => "zookeeper-client",
            Self::ZooKeeperAsync => "zookeeper-async",
        })
    }
}

/// Keeps the key out of logs.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

/// Keeps the password out of logs.
impl fmt::Debug for Sasl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sasl").field("user", &self.user).finish_non_exhaustive()
    }
}
