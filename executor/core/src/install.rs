//! The bundles of one executor: each is fetched and unpacked once, however many instances want it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use epic_common::backoff::Backoff;
use epic_common::conversation::{LaunchOrder, Phase};
use epic_common::ids::Digest;
use epic_common::manifest::Manifest;
use epic_common::time::Timestamp;

use crate::traffic::Output;

/// How long a bundle is asked for before its instances fail.
pub const PATIENCE: Duration = Duration::from_secs(600);

const BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(30) };

/// All bundles, by digest.
#[derive(Debug, Default)]
pub struct Installs {
    all: BTreeMap<Digest, Install>,
}

/// How far a bundle is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Install {
    /// On its way.
    Underway(Underway),
    /// In place.
    Done(Arc<Manifest>),
    /// Given up, with the reason for people.
    Failed(String),
}

/// A bundle that isn't in place yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Underway {
    /// [`Phase::Fetching`] or [`Phase::Installing`].
    pub phase: Phase,
    /// 0 to 100 of the phase.
    pub percent: u8,
    /// Why the last try to fetch it failed; empty if none did.
    pub trouble: String,
    bytes: u64,
    bases: Vec<String>,
    since: Timestamp,
    failures: u32,
    next: Option<Timestamp>,
    unpack: bool,
}

impl Installs {
    /// Wants a bundle; one that failed is tried anew, and one on its way learns where else it may be.
    pub fn want(&mut self, now: Timestamp, order: &LaunchOrder) {
        match self.all.get_mut(&order.bundle) {
            Some(Install::Done(_)) => {}
            Some(Install::Underway(underway)) => underway.bases.clone_from(&order.artifacts),
            Some(Install::Failed(_)) | None => {
                let underway = Underway {
                    phase: Phase::Fetching,
                    percent: 0,
                    trouble: String::new(),
                    bytes: order.bundle_bytes,
                    bases: order.artifacts.clone(),
                    since: now,
                    failures: 0,
                    next: Some(now),
                    unpack: false,
                };
                self.all.insert(order.bundle, Install::Underway(underway));
            }
        }
    }

    /// Returns how far a bundle is that was wanted.
    #[must_use]
    pub fn of(&self, bundle: &Digest) -> Option<&Install> {
        self.all.get(bundle)
    }

    /// Takes note of progress.
    pub fn progressed(&mut self, bundle: &Digest, phase: Phase, percent: u8) {
        if let Some(Install::Underway(underway)) = self.all.get_mut(bundle) {
            underway.phase = phase;
            underway.percent = percent.min(100);
            underway.trouble.clear();
        }
    }

    /// Takes note that the bundle is on disk.
    pub fn fetched(&mut self, bundle: &Digest) {
        if let Some(Install::Underway(underway)) = self.all.get_mut(bundle) {
            (underway.phase, underway.percent, underway.unpack) = (Phase::Installing, 0, true);
        }
    }

    /// Takes note of a failed try; another one comes after a back-off, until [`PATIENCE`] ends.
    pub fn fetch_failed(&mut self, now: Timestamp, bundle: &Digest, reason: String) {
        let Some(install) = self.all.get_mut(bundle) else { return };
        let Install::Underway(underway) = install else { return };
        underway.failures += 1;
        if now.since(underway.since) >= PATIENCE {
            *install = Install::Failed(format!(
                "bundle {} could not be fetched for {} s: {reason}",
                bundle.short(),
                PATIENCE.as_secs()
            ));
            return;
        }
        // A round over all sources is made before it waits.
        let sources = u32::try_from(underway.bases.len().max(1)).unwrap_or(u32::MAX);
        let wait =
            if underway.failures % sources == 0 { BACKOFF.delay(underway.failures / sources) } else { Duration::ZERO };
        underway.next = Some(now + wait);
        underway.percent = 0;
        underway.trouble = reason;
    }

    /// Takes note of how the installation ended.
    pub fn ended(&mut self, bundle: Digest, result: Result<Arc<Manifest>, String>) {
        self.all.insert(bundle, result.map_or_else(Install::Failed, Install::Done));
    }

    /// Returns the next bundle to fetch or to unpack.
    pub fn poll(&mut self, now: Timestamp) -> Option<Output> {
        for (bundle, install) in &mut self.all {
            let Install::Underway(underway) = install else { continue };
            if underway.unpack {
                underway.unpack = false;
                return Some(Output::Install(*bundle));
            }
            if underway.next.is_none_or(|next| next > now) {
                continue;
            }
            underway.next = None;
            if underway.bases.is_empty() {
                *install =
                    Install::Failed(format!("the order of bundle {} names no server that has it", bundle.short()));
                continue;
            }
            underway.phase = Phase::Fetching;
            let nth = usize::try_from(underway.failures).unwrap_or(0) % underway.bases.len();
            return Some(Output::Fetch { bundle: *bundle, bytes: underway.bytes, base: underway.bases[nth].clone() });
        }
        None
    }

    /// Returns when the next try is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        self.all
            .values()
            .filter_map(|install| match install {
                Install::Underway(underway) => underway.next,
                Install::Done(_) | Install::Failed(_) => None,
            })
            .min()
    }
}
