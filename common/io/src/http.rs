//! The two HTTP clients that every program needs: one for streams, one for calls.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder};
use thiserror::Error;

/// How long a call may take from its start to the last byte of its answer.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);

/// How the clients are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOptions {
    /// PEM certificates to trust for https beside the machine's own.
    pub ca_file: Option<PathBuf>,
    /// The bound on opening a connection, TLS included.
    pub connect_timeout: Duration,
}

impl Default for ClientOptions {
    /// Trusts the machine's own certificates, and gives a connection 5 seconds.
    fn default() -> Self {
        Self { ca_file: None, connect_timeout: Duration::from_secs(5) }
    }
}

/// Two clients with connections of their own.
///
/// Neither follows a redirect, nor uses a proxy that the environment names: credentials go only
/// where the caller sends them.
#[derive(Clone, Debug)]
pub struct Clients {
    /// For answers that never end; no total time-out.
    pub stream: Client,
    /// For everything else; a call ends after [`CALL_TIMEOUT`].
    pub calls: Client,
}

/// Why the clients can't be made.
#[derive(Debug, Error)]
pub enum Error {
    /// The file with certificates can't be read.
    #[error("cannot read ca file {}", path.display())]
    CaUnreadable {
        /// The file, as it was given.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The file was read, but no certificate was found in it.
    #[error("ca file {} holds no certificate; it must hold PEM certificates, as in \
        /etc/ssl/certs/ca-certificates.crt", path.display())]
    CaEmpty {
        /// The file, as it was given.
        path: PathBuf,
    },
    /// Something in the file is no certificate.
    #[error("ca file {} holds a damaged certificate", path.display())]
    CaDamaged {
        /// The file, as it was given.
        path: PathBuf,
        /// What the TLS library says.
        source: reqwest::Error,
    },
    /// The HTTP library refuses to start.
    #[error("cannot make the http client")]
    Build {
        /// What it says.
        source: reqwest::Error,
    },
}

/// Makes both clients, with rustls and the cryptography of ring for https.
///
/// A machine without any certificates of its own is no failure: http works there, and https
/// does with a `ca_file`.
///
/// # Errors
/// What is wrong with `ca_file`, for the most part.
pub fn clients(options: &ClientOptions) -> Result<Clients, Error> {
    crate::tls::use_ring();
    let extra = extra_certificates(options)?;
    Ok(Clients {
        stream: build(options, &extra, |builder| builder)?,
        calls: build(options, &extra, |builder| builder.timeout(CALL_TIMEOUT))?,
    })
}

fn build(
    options: &ClientOptions,
    extra: &[Certificate],
    adjust: fn(ClientBuilder) -> ClientBuilder,
) -> Result<Client, Error> {
    let builder = || {
        let builder = Client::builder().connect_timeout(options.connect_timeout).redirect(Policy::none()).no_proxy();
        adjust(builder)
    };
    let built = builder().tls_certs_merge(extra.iter().cloned()).build();
    match (built, &options.ca_file) {
        (Ok(client), _) => Ok(client),
        (Err(source), Some(path)) => Err(Error::CaDamaged { path: path.clone(), source }),
        // Without certificates of the machine, merging fails; trusting nobody doesn't.
        (Err(merging), None) => builder()
            .tls_certs_only([])
            .build()
            .inspect(|_| tracing::info!(cause = %merging, "https needs a ca file on this machine"))
            .map_err(|source| Error::Build { source }),
    }
}

fn extra_certificates(options: &ClientOptions) -> Result<Vec<Certificate>, Error> {
    let Some(path) = options.ca_file.clone() else {
        return Ok(Vec::new());
    };
    let pem = match fs::read(&path) {
        Ok(pem) => pem,
        Err(source) => return Err(Error::CaUnreadable { path, source }),
    };
    match Certificate::from_pem_bundle(&pem) {
        Ok(found) if found.is_empty() => Err(Error::CaEmpty { path }),
        Ok(found) => Ok(found),
        Err(source) => Err(Error::CaDamaged { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use std::env;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::process::Command;
    use std::sync::Arc;
    use std::thread;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::pki_types::PrivatePkcs8KeyDer;
    use rustls::{ServerConfig, ServerConnection, StreamOwned};
    use tempfile::TempDir;

    use super::*;
    use crate::peer::{Peer, Step};
    use crate::tls::Distrust;

    /// Makes clients that trust what this file holds.
    fn with_ca(contents: &str) -> (TempDir, Result<Clients, Error>) {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("ca.pem");
        fs::write(&path, contents).unwrap();
        let options = ClientOptions { ca_file: Some(path), ..ClientOptions::default() };
        let clients = clients(&options);
        (folder, clients)
    }

    /// Starts an https server for one connection; its certificate is signed by the one returned.
    fn https_server() -> (SocketAddr, String) {
        crate::tls::use_ring();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca_key = KeyPair::generate().unwrap();
        let ca = params.self_signed(&ca_key).unwrap();
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(["127.0.0.1".to_owned()])
            .unwrap()
            .signed_by(&key, &Issuer::from_params(&params, &ca_key))
            .unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![server.der().clone()], PrivatePkcs8KeyDer::from(key.serialize_der()).into())
            .unwrap();

        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (connection, _) = listener.accept().unwrap();
            let session = ServerConnection::new(Arc::new(config)).unwrap();
            let mut stream = StreamOwned::new(session, connection);
            // A client that doesn't trust us ends the handshake here.
            if stream.read(&mut [0; 4096]).is_ok() {
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap();
            }
        });
        (address, ca.pem())
    }

    #[tokio::test]
    async fn plain_http_works() {
        let peer = Peer::start(vec![Step::Chunk("hello"), Step::End]).await;
        let clients = clients(&ClientOptions::default()).unwrap();
        let answer = clients.calls.get(peer.url()).send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "hello");
    }

    /// Runs `plain_http_works` anew, since a process can't change its own environment safely.
    #[test]
    fn plain_http_works_without_certificates_and_past_a_proxy_of_the_environment() {
        let output = Command::new(env::current_exe().unwrap())
            .args(["--exact", "http::tests::plain_http_works"])
            .env("SSL_CERT_FILE", "/nonexistent/ca.pem")
            .env("SSL_CERT_DIR", "/nonexistent")
            .env("http_proxy", "http://127.0.0.1:1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{text}");
    }

    #[tokio::test]
    async fn a_redirect_is_left_to_the_caller() {
        let head = "HTTP/1.1 307 Temporary Redirect\r\n\
            Location: //127.0.0.1:1/api\r\nContent-Length: 0\r\n\r\n";
        let peer = Peer::answering(head, Vec::new()).await;
        let clients = clients(&ClientOptions::default()).unwrap();
        let answer = clients.calls.post(peer.url()).send().await.unwrap();
        assert_eq!(answer.status(), 307);
        assert_eq!(answer.headers()["location"], "//127.0.0.1:1/api");
    }

    #[tokio::test]
    async fn https_trusts_the_certificates_of_the_file() {
        let (address, ca) = https_server();
        let (_folder, clients) = with_ca(&ca);
        let answer = clients.unwrap().stream.get(format!("https://{address}/")).send().await;
        assert_eq!(answer.unwrap().status(), 204);
    }

    #[tokio::test]
    async fn https_trusts_no_certificate_that_is_not_in_the_file() {
        let (address, _) = https_server();
        let (_, another_ca) = https_server();
        let (_folder, clients) = with_ca(&another_ca);
        let answer = clients.unwrap().stream.get(format!("https://{address}/")).send().await;
        let error = answer.unwrap_err();
        assert!(error.is_connect());
        assert_eq!(Distrust::of(&error), Some(Distrust::Authority));
    }

    #[tokio::test]
    async fn why_a_server_is_not_trusted_is_found_among_the_causes() {
        let (address, ca) = https_server();
        let (_folder, clients) = with_ca(&ca);
        let clients = clients.unwrap();
        let other = format!("https://localhost:{}/", address.port());
        let error = clients.stream.get(other).send().await.unwrap_err();
        assert_eq!(Distrust::of(&error), Some(Distrust::Host), "{error:?}");

        let plain = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = plain.local_addr().unwrap();
        thread::spawn(move || {
            let (mut connection, _) = plain.accept().unwrap();
            // What begins a handshake is no request.
            assert!(connection.read(&mut [0; 4096]).unwrap() > 0);
            connection.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").unwrap();
        });
        let error = clients.stream.get(format!("https://{address}/")).send().await.unwrap_err();
        assert_eq!(Distrust::of(&error), Some(Distrust::NoTls), "{error:?}");

        let error = clients.stream.get("https://127.0.0.1:1/").send().await.unwrap_err();
        assert_eq!(Distrust::of(&error), None, "{error:?}");
    }

    #[test]
    fn a_ca_file_that_is_not_there_is_named() {
        let path = PathBuf::from("/nonexistent/ca.pem");
        let options = ClientOptions { ca_file: Some(path), ..ClientOptions::default() };
        let error = clients(&options).unwrap_err();
        assert_eq!(error.to_string(), "cannot read ca file /nonexistent/ca.pem");
        assert!(matches!(error, Error::CaUnreadable { source, .. } if source.kind() == io::ErrorKind::NotFound));
    }

    #[test]
    fn a_ca_file_without_a_certificate_is_refused() {
        for contents in ["", "# none\n", "hello"] {
            let (_folder, clients) = with_ca(contents);
            assert!(matches!(clients, Err(Error::CaEmpty { .. })), "{contents:?}: {clients:?}");
        }
    }

    #[test]
    fn a_damaged_certificate_is_refused() {
        let begin = "-----BEGIN CERTIFICATE-----\n";
        let end = "\n-----END CERTIFICATE-----\n";
        for inside in ["aGVsbG8=", "!!!!"] {
            let (_folder, clients) = with_ca(&format!("{begin}{inside}{end}"));
            assert!(matches!(clients, Err(Error::CaDamaged { .. })), "{inside:?}: {clients:?}");
        }
    }
}
