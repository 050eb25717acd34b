//! A certificate and its key, as two PEM files hold them.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use epic_common::time::Timestamp;
use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;

use crate::config::reach::PairFiles;

/// What the two files hold; compared to find out whether they have changed.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Contents {
    cert: Vec<u8>,
    key: Vec<u8>,
}

/// A pair that can be shown.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) certified: Arc<CertifiedKey>,
    /// When the first certificate, which is the server's own, ends.
    pub(super) expires: Timestamp,
}

/// Why a pair can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can't be read.
    #[error("cannot read {option} {}", path.display())]
    Unreadable {
        /// The option.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file doesn't hold what it should.
    #[error("{option} {} can't be used: it must hold {expected}", path.display())]
    Content {
        /// The option.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
        /// What is wrong, if more is known.
        source: Option<pem::Error>,
    },
    /// Each may be good, but they aren't a pair.
    #[error("--tls-key-file {} is not the key of the first certificate in --tls-cert-file {}", files.key.display(), files.cert.display())]
    Pair {
        /// Both.
        files: PairFiles,
        /// What the TLS library says.
        source: rustls::Error,
    },
}

/// Reads both files; at most a MiB of each.
pub(super) fn read(files: &PairFiles) -> Result<Contents, Error> {
    Ok(Contents { cert: bytes(CERT, &files.cert)?, key: bytes(KEY, &files.key)? })
}

/// Says whether the files can be shown as they are now.
pub(crate) fn look(files: &PairFiles) -> Result<(), Error> {
    read(files)?.pair(files).map(drop)
}

impl Contents {
    /// Takes the contents for what they should be.
    pub(super) fn pair(&self, files: &PairFiles) -> Result<Pair, Error> {
        let content = |option, path: &Path, expected| {
            let path = path.to_owned();
            move |source| Error::Content { option, path, expected, source }
        };
        let certs = content(CERT, &files.cert, "PEM certificates, the server's own first");
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.cert).collect();
        let (chain, expires) = match chain.map(|chain| (expires(&chain), chain)) {
            Ok((Some(expires), chain)) => (chain, expires),
            Ok((None, _)) => return Err(certs(None)),
            Err(error) => return Err(certs(Some(error))),
        };
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| {
            // Which kind of line is missing says no more than the sentence.
            let source = (!matches!(error, pem::Error::NoItemsFound)).then_some(error);
            content(KEY, &files.key, "one PEM key without a passphrase")(source)
        })?;
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider())
            .map_err(|source| Error::Pair { files: files.clone(), source })?;
        Ok(Pair { certified: Arc::new(certified), expires })
    }
}

impl Pair {
    /// Says whether clients that ask for this host, a name or an address without brackets, take it.
    pub(super) fn is_for(&self, host: &str) -> bool {
        let Ok(name) = ServerName::try_from(host) else { return false };
        let own = self.certified.end_entity_cert().ok().and_then(|own| ParsedCertificate::try_from(own).ok());
        own.is_some_and(|own| verify_server_name(&own, &name).is_ok())
    }
}

/// Finds out when the first certificate ends; `None` without one, or if it is none.
fn expires(chain: &[CertificateDer<'_>]) -> Option<Timestamp> {
    let (_, own) = x509_parser::parse_x509_certificate(chain.first()?).ok()?;
    let seconds = own.validity().not_after.timestamp();
    Some(Timestamp(u64::try_from(seconds).unwrap_or(0).saturating_mul(1_000_000)))
}

fn bytes(option: &'static str, path: &Path) -> Result<Vec<u8>, Error> {
    let unreadable = |source| Error::Unreadable { option, path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes));
    match read.map_err(unreadable)? {
        read if read as u64 > BYTES_MAX => Err(unreadable(io::ErrorKind::FileTooLarge.into())),
        _ => Ok(bytes),
    }
}

const CERT: &str = "--tls-cert-file";
const KEY: &str = "--tls-key-file";
const BYTES_MAX: u64 = 1 << 20;
