//! The clients with which replicas ask each other, made anew when the authorities that they trust change.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use epic_common_io::http::{self, ClientOptions, Clients, clients};
use tracing::{info, warn};

use super::certificate::LOOK_EVERY;
use crate::chain;

/// The clients for other replicas; clones share them.
#[derive(Clone, Debug)]
pub struct PeerClients(Arc<RwLock<Clients>>);

/// The file of `--tls-ca-file`, and what it last held.
#[derive(Debug)]
pub struct Authorities {
    clients: PeerClients,
    path: PathBuf,
    last: Result<Vec<u8>, String>,
}

impl PeerClients {
    /// Makes clients that trust the system's authorities and those of `ca_file`, which is kept up with by what comes with
    /// them.
    ///
    /// # Errors
    ///
    /// What is wrong with `ca_file`, or that the HTTP library refuses to start.
    pub fn new(ca_file: Option<&Path>) -> Result<(Self, Option<Authorities>), http::Error> {
        // Read before it is trusted: what is put there meanwhile is found to have changed at the first look.
        let last = ca_file.map(|path| (path.to_owned(), std::fs::read(path).map_err(|error| error.to_string())));
        let clients = Self(Arc::new(RwLock::new(trusting(ca_file)?)));
        let authorities = last.map(|(path, last)| Authorities { clients: clients.clone(), path, last });
        Ok((clients, authorities))
    }

    /// Returns the client for short answers.
    #[must_use]
    pub fn calls(&self) -> reqwest::Client {
        self.0.read().unwrap_or_else(PoisonError::into_inner).calls.clone()
    }

    /// Returns the client for long ones, without a total time-out.
    #[must_use]
    pub fn stream(&self) -> reqwest::Client {
        self.0.read().unwrap_or_else(PoisonError::into_inner).stream.clone()
    }
}

impl Authorities {
    /// Looks at the file every few seconds for as long as it is polled, so it is spawned.
    ///
    /// What can't be used is told once, and the authorities before it stay. Requests under way end with the client that
    /// they began with.
    pub async fn keep(mut self) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        loop {
            ticks.tick().await;
            if let Some(found) = self.found().await {
                self.last = found;
                self.renew().await;
            }
        }
    }

    /// Reads the file; `None` if it is as it was.
    async fn found(&self) -> Option<Result<Vec<u8>, String>> {
        let found = tokio::fs::read(&self.path).await.map_err(|error| error.to_string());
        (found != self.last).then_some(found)
    }

    async fn renew(&self) {
        let (path, file) = (self.path.clone(), self.path.display());
        match tokio::task::spawn_blocking(move || trusting(Some(&path))).await {
            Ok(Ok(renewed)) => {
                *self.clients.0.write().unwrap_or_else(PoisonError::into_inner) = renewed;
                info!(%file, "authorities read");
            }
            Ok(Err(error)) => {
                let why = chain(&error);
                warn!(why, "the new --tls-ca-file can't be used; the authorities before it stay trusted");
            }
            Err(_) => {}
        }
    }
}

fn trusting(ca_file: Option<&Path>) -> Result<Clients, http::Error> {
    clients(&ClientOptions { ca_file: ca_file.map(Path::to_owned), connect_timeout: CONNECT_WITHIN })
}

const CONNECT_WITHIN: Duration = Duration::from_secs(2);
