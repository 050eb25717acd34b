//! What TLS needs of a process, whoever speaks it.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::iter;

use rustls::crypto::ring;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, Error};

/// Makes ring the cryptography of all that speaks TLS in this process, unless there is one already.
pub fn use_ring() {
    // An error means that somebody was first, and a process can have only one.
    ring::default_provider().install_default().ok();
}

/// Says whether a certificate can be for this host, a name or an address without brackets.
#[must_use]
pub fn is_server_name(host: &str) -> bool {
    ServerName::try_from(host).is_ok()
}

/// Why a handshake with a server failed, as far as somebody can do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distrust {
    /// No authority that is trusted has signed its certificate.
    Authority,
    /// The certificate is for other hosts.
    Host,
    /// The certificate has expired, or isn't valid yet.
    Time,
    /// It speaks no TLS.
    NoTls,
}

impl Distrust {
    /// Finds the reason among an error's causes; `None` if it is another one.
    #[must_use]
    pub fn of(error: &(dyn StdError + 'static)) -> Option<Self> {
        let causes = iter::successors(Some(error), |error| cause(*error));
        let error = causes.take(CAUSES_MAX).find_map(|cause| cause.downcast_ref::<Error>())?;
        if matches!(error, Error::InvalidMessage(_)) {
            return Some(Self::NoTls);
        }
        let Error::InvalidCertificate(error) = error else { return None };
        if matches!(error, CertificateError::UnknownIssuer | CertificateError::BadSignature) {
            Some(Self::Authority)
        } else if matches!(error, CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }) {
            Some(Self::Host)
        } else if matches!(
            error,
            CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. }
        ) {
            Some(Self::Time)
        } else {
            None
        }
    }
}

/// Says what is wrong with the server, as the end of a sentence.
impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authority => "its certificate is of no authority that is trusted here",
            Self::Host => "its certificate is for another host",
            Self::Time => "its certificate is not valid now",
            Self::NoTls => "no TLS is spoken there",
        })
    }
}

fn cause<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a (dyn StdError + 'static)> {
    match error.downcast_ref::<io::Error>() {
        // What an I/O error wraps is not among its sources.
        Some(wrapping) => wrapping.get_ref().map(|inner| inner as &(dyn StdError + 'static)),
        None => error.source(),
    }
}

const CAUSES_MAX: usize = 16;
