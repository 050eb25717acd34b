//! A certificate and its key, as two PEM files hold them.

use std::path::Path;
use std::sync::Arc;

use epic_common::time::Timestamp;
use rustls::client::verify_server_name;
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use x509_parser::time::ASN1Time;

use crate::config::file::{self, OptionFile};
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
    /// When the first certificate, which is the server's own, begins to be valid.
    pub(super) begins: Timestamp,
    /// When it ends.
    pub(super) expires: Timestamp,
}

/// Why a pair can't be shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One of them can't be used.
    #[error(transparent)]
    File(#[from] file::Error),
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
    let read = |option, path: &Path| OptionFile { option, path }.bytes(BYTES_MAX);
    Ok(Contents { cert: read(CERT, &files.cert)?, key: read(KEY, &files.key)? })
}

/// Says whether the files can be shown as they are now.
pub(crate) fn look(files: &PairFiles) -> Result<(), Error> {
    read(files)?.pair(files).map(drop)
}

impl Contents {
    /// Takes the contents for what they should be.
    pub(super) fn pair(&self, files: &PairFiles) -> Result<Pair, Error> {
        let certs = OptionFile { option: CERT, path: &files.cert };
        let wrong = |flaw| certs.must_hold("PEM certificates, the server's own first", flaw);
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.cert).collect();
        let (chain, (begins, expires)) = match chain.map(|chain| (validity(&chain), chain)) {
            Ok((Some(validity), chain)) => (chain, validity),
            Ok((None, _)) => return Err(wrong(None).into()),
            Err(error) => return Err(wrong(Some(error.into())).into()),
        };
        let key = PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| {
            // Which kind of line is missing says no more than the sentence.
            let flaw = (!matches!(error, pem::Error::NoItemsFound)).then(|| error.into());
            OptionFile { option: KEY, path: &files.key }.must_hold("one PEM key without a passphrase", flaw)
        })?;
        let certified = CertifiedKey::from_der(chain, key, &ring::default_provider())
            .map_err(|source| Error::Pair { files: files.clone(), source })?;
        Ok(Pair { certified: Arc::new(certified), begins, expires })
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

/// Finds out from when until when the first certificate is valid; `None` without one, or if it is none.
fn validity(chain: &[CertificateDer<'_>]) -> Option<(Timestamp, Timestamp)> {
    let (_, own) = x509_parser::parse_x509_certificate(chain.first()?).ok()?;
    let at = |time: ASN1Time| Timestamp(u64::try_from(time.timestamp()).unwrap_or(0).saturating_mul(1_000_000));
    Some((at(own.validity().not_before), at(own.validity().not_after)))
}

const CERT: &str = "--tls-cert-file";
const KEY: &str = "--tls-key-file";
const BYTES_MAX: u64 = 1 << 20;
