//! The certificate that is shown at `--listen`, read again while it is shown.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use epic_common::time::Timestamp;
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tracing::{info, warn};

use super::pair::{self, Contents, Error, Pair};
use crate::chain;
use crate::config::reach::PairFiles;
use crate::metrics;

/// A pair of files, and what they last held that could be shown.
pub struct Certificate {
    files: PairFiles,
    /// The host of `--advertise`.
    host: String,
    shown: Arc<Shown>,
    expires: Timestamp,
    /// What was found at the last look.
    last: Result<Contents, String>,
    /// It can be shown, but not yet.
    is_early: bool,
}

/// What handshakes show from now on.
#[derive(Debug)]
struct Shown(RwLock<Arc<CertifiedKey>>);

impl Certificate {
    /// Reads both files; `host` is what clients ask for, and a certificate for others is only warned of.
    ///
    /// # Errors
    ///
    /// A file can't be read or used, or they aren't a pair.
    pub fn open(files: PairFiles, host: String) -> Result<Self, Error> {
        let contents = pair::read(&files)?;
        let pair = contents.pair(&files)?;
        let shown = Arc::new(Shown(RwLock::new(Arc::clone(&pair.certified))));
        let certificate = Self { files, host, shown, expires: pair.expires, last: Ok(contents), is_early: false };
        certificate.tell(&pair);
        Ok(certificate)
    }

    /// Makes what a listener needs; it shows whatever is the newest at each handshake.
    ///
    /// TLS 1.2 and 1.3 are spoken. Sessions aren't resumed, since that would show nobody a new certificate.
    ///
    /// # Errors
    ///
    /// The TLS library refuses.
    pub fn server(&self) -> Result<ServerConfig, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions()?.with_no_client_auth();
        let mut server = builder.with_cert_resolver(Arc::clone(&self.shown) as Arc<dyn ResolvesServerCert>);
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        Ok(server)
    }

    /// Looks at the files every few seconds for as long as it is polled, so it is spawned.
    ///
    /// Contents are compared, since a volume of Kubernetes changes neither time nor file but a link on the way. A pair
    /// that can't be used is told once, and the one before it stays.
    pub async fn keep(mut self) {
        metrics::certificate_expires(self.expires);
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            ticks.tick().await;
            let files = self.files.clone();
            // A file system that hangs must not stop anything else.
            if let Ok(found) = tokio::task::spawn_blocking(move || pair::read(&files)).await {
                self.look(found);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn shows(&self) -> Vec<u8> {
        let shown = self.shown.0.read().unwrap_or_else(PoisonError::into_inner);
        shown.end_entity_cert().map(|own| own.to_vec()).unwrap_or_default()
    }

    pub(super) fn look(&mut self, found: Result<Contents, Error>) {
        let found = found.map_err(|error| chain(&error));
        let is_news = found != self.last;
        if !is_news && !self.is_early {
            return;
        }
        let pair = match &found {
            Ok(contents) => contents.pair(&self.files).map_err(|error| chain(&error)),
            Err(error) => Err(error.clone()),
        };
        self.last = found;
        let now = now();
        self.is_early = pair.as_ref().is_ok_and(|pair| now < pair.begins && now < self.expires);
        match pair {
            Ok(pair) if self.is_early => {
                if is_news {
                    metrics::certificate_stale(true);
                    let begins = pair.begins;
                    warn!(%begins, "the new certificate isn't valid yet; the old one is shown until then");
                }
            }
            Ok(pair) => {
                *self.shown.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&pair.certified);
                self.expires = pair.expires;
                metrics::certificate_stale(false);
                metrics::certificate_expires(pair.expires);
                self.tell(&pair);
            }
            Err(why) => {
                metrics::certificate_stale(true);
                warn!(why, "the new certificate can't be used; the old one is shown until there is a better one");
            }
        }
    }

    fn tell(&self, pair: &Pair) {
        let (file, host, expires) = (self.files.cert.display(), &self.host, pair.expires);
        info!(%file, %expires, "certificate read");
        if !pair.is_for(host) {
            warn!(%file, host, "the certificate is not for the host of --advertise; whoever asks for that host refuses it");
        }
        let (begins, now) = (pair.begins, now());
        if expires <= now {
            warn!(%file, %expires, "the certificate has expired; clients refuse it");
        } else if now < begins {
            warn!(%file, %begins, "the certificate isn't valid yet; clients refuse it until then");
        }
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("files", &self.files).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// Soon enough for whoever watches it being replaced.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(2);
