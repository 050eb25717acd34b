//! An authority of our own, what it signs, and clients that trust it.

use std::fmt;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::Replicas;

/// Signs certificates for servers.
pub struct Authority {
    params: CertificateParams,
    key: KeyPair,
    own: CertificateDer<'static>,
    pem: String,
}

/// A certificate and its key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// The certificate.
    pub cert: String,
    /// The key.
    pub key: String,
    /// The certificate as it is sent.
    pub der: Vec<u8>,
}

impl Authority {
    /// Makes one.
    ///
    /// # Errors
    /// The library refuses.
    pub fn new() -> Result<Self> {
        let (mut params, key) = (CertificateParams::default(), KeyPair::generate()?);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "authority of tests");
        let own = params.self_signed(&key)?;
        Ok(Self { params, key, pem: own.pem(), own: own.der().clone() })
    }

    /// Returns its certificate, for those who are to trust it.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Signs a certificate for a server at this name or address, with a new key.
    ///
    /// # Errors
    /// The library refuses.
    pub fn sign(&self, host: &str) -> Result<Signed> {
        let key = KeyPair::generate()?;
        let issuer = Issuer::from_params(&self.params, &self.key);
        let cert = CertificateParams::new([host.to_owned()])?.signed_by(&key, &issuer)?;
        Ok(Signed { cert: cert.pem(), key: key.serialize_pem(), der: cert.der().to_vec() })
    }

    /// Makes a client that trusts nobody else.
    ///
    /// # Errors
    /// The library refuses.
    pub fn client(&self) -> Result<reqwest::Client> {
        // An error says that a provider is installed already, which is as good.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let builder = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).timeout(Duration::from_secs(5));
        let own = reqwest::Certificate::from_der(&self.own)?;
        Ok(builder.tls_certs_only([own]).build()?)
    }

    /// Shakes hands with a server, and returns the certificate that it shows for its own address.
    ///
    /// # Errors
    /// It can't be reached, or its certificate isn't trusted.
    pub fn shown(&self, server: SocketAddr) -> Result<Vec<u8>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.own.clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let connection = ClientConnection::new(Arc::new(config), ServerName::from(server.ip()))?;
        let socket = TcpStream::connect_timeout(&server, Duration::from_secs(5))?;
        socket.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut stream = StreamOwned::new(connection, socket);
        stream.write_all(b"GET /healthz HTTP/1.0\r\n\r\n")?;
        stream.read_exact(&mut [0])?;
        Ok(stream.conn.peer_certificates().context("no certificate")?[0].to_vec())
    }
}

impl Replicas {
    /// Returns the file with the authority that replicas trust, if they speak TLS.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.dir.join("ca.pem")
    }

    /// Replaces the certificate and key of a replica on its disk.
    ///
    /// # Errors
    /// They can't be written.
    pub fn certify(&self, index: usize, signed: &Signed) -> Result<()> {
        write_pair(&self.dir.join(format!("r{index}")), signed)
    }

    /// Signs a certificate for a replica, and returns the flags for it.
    pub(super) fn tls_args(
        &self,
        authority: &Authority,
        home: &Path,
        (listen, agents): (SocketAddr, &str),
    ) -> Result<Vec<String>> {
        fs::write(self.ca_file(), authority.pem())?;
        write_pair(home, &authority.sign(&listen.ip().to_string())?)?;
        let flags = [
            ("--listen-agents", agents.trim_start_matches("http://").to_owned()),
            ("--tls-cert-file", home.join("tls.crt").display().to_string()),
            ("--tls-key-file", home.join("tls.key").display().to_string()),
            ("--tls-ca-file", self.ca_file().display().to_string()),
        ];
        Ok(flags.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect())
    }
}

/// Replaces `tls.crt` and `tls.key` in a directory, each at once.
fn write_pair(dir: &Path, signed: &Signed) -> Result<()> {
    for (name, text) in [("tls.crt", &signed.cert), ("tls.key", &signed.key)] {
        let part = dir.join(format!("{name}.part"));
        fs::write(&part, text)?;
        fs::rename(&part, dir.join(name))?;
    }
    Ok(())
}

/// Keeps the key out of logs.
impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}
