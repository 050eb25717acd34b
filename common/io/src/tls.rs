//! What TLS needs of a process, whoever speaks it.

use rustls::crypto::ring;
use rustls::pki_types::ServerName;

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
