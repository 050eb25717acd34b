//! Keeps the artifacts here that the journal names: fetches those that lack, tells the director which are here, and
//! hands those that were brought here to replicas that were away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use epic_common::backoff::Backoff;
use epic_common::ids::Digest;
use epic_common_io::driver::Inbox;
use epic_scheduler_core::director::Input;
use epic_scheduler_core::replica::artifact_search::{Limits, Missing, Search};
use epic_scheduler_core::state::State;
use tokio::sync::watch;
use tracing::{info, warn};

use crate::artifacts::receive::Kind;
use crate::artifacts::{Artifact, Artifacts};
use crate::chain;
use crate::holders::{Enough, Holders};
use crate::metrics;
use crate::view::Published;

/// Whatever the supply of artifacts needs.
#[derive(Debug)]
pub struct Supply {
    /// What is here.
    pub artifacts: Arc<Artifacts>,
    /// Where the rest may be.
    pub holders: Holders,
    /// What the journal names.
    pub published: watch::Receiver<Arc<Published>>,
    /// The director.
    pub inbox: Inbox<Input>,
    /// How long whoever doesn't answer is waited for.
    pub limits: Limits,
}

impl Supply {
    /// Tells the director what is here, and goes on with everything else until the director has ended.
    pub async fn begin(self) {
        let mut held = self.artifacts.watch();
        let now_held = digests(&mut held);
        // A director that has ended is noticed by whoever started it.
        self.inbox.put(Input::Held(now_held)).await.ok();
        let inbox = self.inbox.clone();
        actix::spawn(async move {
            while held.changed().await.is_ok() {
                let now_held = digests(&mut held);
                if inbox.put(Input::Held(now_held)).await.is_err() {
                    return;
                }
            }
        });
        actix::spawn(hand_over(self.holders.clone()));
        actix::spawn(self.fetch());
    }

    /// Fetches what lacks, again and again after longer and longer waits, or as soon as something changes.
    async fn fetch(mut self) {
        let (mut held, mut peers) = (self.artifacts.watch(), self.holders.watch());
        let (mut said, mut search) = (BTreeMap::new(), Search::new(self.limits));
        loop {
            let seen = Arc::clone(&self.published.borrow_and_update());
            peers.borrow_and_update();
            search.asks(self.holders.others());
            let here = digests(&mut held);
            let missing: BTreeMap<_, _> =
                named(&seen.state).into_iter().filter(|(digest, _)| !here.contains(digest)).collect();
            said.retain(|digest, _| missing.contains_key(digest));
            metrics::artifacts_missing(missing.len());
            let mut missed = BTreeMap::new();
            for (digest, kind) in missing {
                if let Some(miss) = self.fetch_one(digest, kind, &mut said).await {
                    missed.insert(digest, miss);
                }
            }
            // Its own success is no news.
            metrics::artifacts_missing(said.len());
            let outcome = search.round_ended(&missed, rand::random());
            self.holders.give_up(outcome.given_up);
            held.borrow_and_update();
            tokio::select! {
                () = another(&mut self.published, &seen.state) => search.look_again_soon(),
                Ok(()) = held.changed() => {}
                Ok(()) = peers.changed() => search.look_again_soon(),
                () = sleep_for(outcome.wait) => {}
            }
        }
    }

    /// Answers why it didn't come, if so; the same reason is told once.
    async fn fetch_one(&self, digest: Digest, kind: Kind, said: &mut BTreeMap<Digest, String>) -> Option<Missing> {
        match self.holders.fetch(&digest, kind).await {
            Ok(from) => {
                info!(sha256 = %digest, from, "artifact fetched");
                said.remove(&digest);
                None
            }
            Err(error) => {
                let why = chain(&error);
                if said.get(&digest) != Some(&why) {
                    warn!(sha256 = %digest, why, "an artifact is missing: supply it with epicctl bundle push FILE");
                    said.insert(digest, why);
                }
                Some(error.miss())
            }
        }
    }
}

/// Finds an artifact that the journal names, isn't here, and may yet come from another replica.
pub fn awaited(state: &State, holders: &Holders) -> Option<Digest> {
    named(state).into_keys().find(|digest| holders.awaits(digest))
}

/// What the journal names: the bundle, and the executors that may live.
fn named(state: &State) -> BTreeMap<Digest, Kind> {
    let executors = state.ledger.executors.values().map(|executor| (executor.sha256, Kind::Named));
    executors.chain(bundle(state).map(|bundle| (bundle, Kind::Bundle))).collect()
}

fn bundle(state: &State) -> Option<Digest> {
    state.platform().map(|desired| desired.bundle.sha256)
}

/// Waits until the journal may name something else; looking costs the same however much it names.
async fn another(published: &mut watch::Receiver<Arc<Published>>, seen: &State) {
    let is_same =
        |state: &State| bundle(state) == bundle(seen) && state.ledger.executors.ptr_eq(&seen.ledger.executors);
    if published.wait_for(|published| !is_same(&published.state)).await.is_err() {
        // Whoever publishes has ended, and with it soon this process.
        std::future::pending::<()>().await;
    }
}

/// Hands what was offered to replicas that lack it whenever others take part, and after longer and longer waits.
async fn hand_over(holders: Holders) {
    let (mut offers, mut known) = (holders.offers(), holders.watch());
    let (mut failures, mut said) = (0, String::new());
    loop {
        known.borrow_and_update();
        let mut lacking = String::new();
        let offered = offers.borrow_and_update().clone();
        for (digest, token) in offered.iter().filter(|(digest, _)| holders.holds(digest)) {
            let held = holders.spread(digest, token, Enough::All).await;
            if !held.lacking.is_empty() {
                lacking = format!("artifact sha256:{digest}: {held}");
            }
        }
        if !lacking.is_empty() && lacking != said {
            warn!(why = lacking, "replicas lack an artifact; it is offered to them again");
        }
        failures = if lacking.is_empty() { 0 } else { failures + 1 };
        let wait = (!lacking.is_empty()).then(|| RETRY.jittered(failures, rand::random()));
        said = lacking;
        tokio::select! {
            Ok(()) = known.changed() => failures = 0,
            () = sleep_for(wait) => {}
            Ok(()) = offers.changed() => {}
        }
    }
}

/// Waits so long, for ever if there is no need to wake.
async fn sleep_for(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

fn digests(held: &mut watch::Receiver<BTreeMap<Digest, Artifact>>) -> BTreeSet<Digest> {
    held.borrow_and_update().keys().copied().collect()
}

/// How often what was brought here is offered to replicas that lack it.
const RETRY: Backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(60) };
