//! How a replica leads: its claim, its batches, and the end of it.

use std::sync::Arc;

use epic_common::machine::Machine as _;
use epic_scheduler_core::director;
use epic_scheduler_core::replica::election;
use epic_scheduler_core::state::State;
use tracing::{info, warn};

use super::{CLOSE_WITHIN, Proposal, Replica, Turn, candidacy};
use crate::actors::world;
use crate::chain;
use crate::journal::codec;
use crate::journal::ring::{self, Append, Ring};
use crate::metrics;
use crate::replica::Mode;
use crate::zookeeper::Refusal;

impl Replica {
    /// Reads to the end, then appends the claim; it is the fence. Answers whether it stands.
    ///
    /// # Errors
    ///
    /// Whether it stands isn't known, or this replica may not lead: it needs another session.
    pub(super) async fn claim(&mut self, turn: &mut Turn<'_>) -> Result<bool, String> {
        let failed = |error: ring::Error| chain(&error);
        while !turn.ring.is_at_end(self.known.position).await.map_err(failed)? {
            let next = turn.ring.next(self.known.position).await;
            self.follow(turn.ring, next).await?;
        }
        self.check_role()?;
        let claimed = self.ends.clock.now();
        let own = self.own();
        let candidate = turn.election.own().unwrap_or_default().to_owned();
        let time = match candidacy::time(turn.ring.session(), &candidate, &own).await {
            Ok(time) => time,
            // Somebody has removed the candidate: get in line again.
            Err(error) if error.says(Refusal::NoNode) => return Ok(false),
            Err(error) => return Err(chain(&error)),
        };
        let state = &self.known.state;
        let entry = election::claim(state, time, &self.terms.id, &self.terms.advertise);
        let (first, epoch, entries) = (state.index.next(), state.epoch() + 1, vec![entry]);
        let bytes: Arc<[u8]> = codec::encode_batch(first, &entries).into();
        match turn.ring.append(self.known.position + 1, epoch, &bytes).await {
            Ok(Append::Durable(_)) => {}
            Ok(Append::Deposed) => return Ok(false),
            Err(ring::Error::SnapshotNeeded { .. }) => {
                let snapshot = encoded(state.clone()).await?;
                turn.ring.snapshot(self.known.position, &snapshot).await.map_err(failed)?;
                return Ok(false);
            }
            Err(error) => return Err(chain(&error)),
        }
        self.apply(&entries, bytes);
        self.drain();
        self.tell(director::Input::Followed(first, entries)).await;
        self.tell(director::Input::Time { journal: self.known.state.at, clock: claimed }).await;
        let peers = candidacy::peers(turn.ring.session()).await.map_err(|error| chain(&error))?;
        self.introduce(&peers).await;
        self.ends.peers.send_replace(Arc::new(peers));
        let agreed = turn.ring.session().timeout() / 3;
        self.tell(director::Input::Fresh(agreed)).await;
        self.tell(director::Input::Lead { claimed: Some(claimed) }).await;
        turn.leading = Some((epoch, claimed));
        metrics::claimed();
        info!(epoch, "this replica leads");
        self.show(Mode::Leading, String::new());
        Ok(true)
    }

    pub(super) fn append<'a>(&self, turn: &mut Turn<'a>, proposal: Proposal) {
        // What was proposed in an earlier time of leading is void.
        let Some((epoch, _)) = turn.leading.filter(|_| proposal.first == self.known.state.index.next()) else { return };
        let bytes: Arc<[u8]> = codec::encode_batch(proposal.first, &proposal.entries).into();
        let (ring, batch): (&'a Ring, u64) = (turn.ring, self.known.position + 1);
        let needed = ring.must_snapshot(batch).then(|| self.known.state.clone());
        turn.appending = Some((
            proposal,
            Arc::clone(&bytes),
            Box::pin(async move {
                if let Some(state) = needed {
                    // Without it the append says that it needs one.
                    if let Ok(bytes) = encoded(state).await {
                        ring.snapshot(batch - 1, &bytes).await?;
                    }
                }
                ring.append(batch, epoch, &bytes).await
            }),
        ));
    }

    pub(super) async fn appended(&mut self, turn: &mut Turn<'_>, appended: Result<Append, ring::Error>) {
        let Some((proposal, bytes, _)) = turn.appending.take() else { return };
        match appended {
            Ok(Append::Durable(_)) => {
                self.apply(&proposal.entries, bytes);
                // Told from here, so that nothing that comes later in the journal can be heard of before.
                world::durable(proposal.first, &proposal.entries, &proposal.append, &self.ends.inbox).await;
                metrics::indexed(self.known.state.index.0);
                self.snapshot(turn);
            }
            Ok(Append::Deposed) => self.depose(turn, "another replica has written to the journal").await,
            Err(error) => {
                let why = chain(&error);
                self.depose(turn, &why).await;
            }
        }
    }

    async fn depose(&mut self, turn: &mut Turn<'_>, why: &str) {
        warn!(why, "deposed");
        self.stand_down(turn, why).await;
        self.show(Mode::Standby, String::new());
        turn.election.handle(self.ends.clock.now(), election::Input::Deposed);
    }

    /// Makes a snapshot beside everything else, if it is time.
    fn snapshot(&self, turn: &mut Turn<'_>) {
        if turn.snapshotting.is_some() || !turn.ring.should_snapshot() {
            return;
        }
        let (ring, batch, state) = (turn.ring, self.known.position, self.known.state.clone());
        turn.snapshotting = Some(Box::pin(async move {
            let Ok(bytes) = encoded(state).await else { return Ok(()) };
            let length = bytes.len();
            ring.snapshot(batch, &bytes).await?;
            metrics::snapshot(length);
            Ok(())
        }));
    }

    /// Decides nothing from now on; what others are shown is up to the caller, who knows whether this session goes on.
    pub(super) async fn stand_down(&mut self, turn: &mut Turn<'_>, why: &str) {
        turn.appending = None;
        if turn.leading.take().is_some() {
            info!(why, "this replica stands by");
        }
        self.tell(director::Input::StandDown(why.to_owned())).await;
        self.drain();
    }

    /// Ends in good order: the batch on its way becomes durable first.
    pub(super) async fn finish(&mut self, turn: &mut Turn<'_>) {
        if let Some((proposal, bytes, work)) = turn.appending.take()
            && let Ok(Ok(Append::Durable(_))) = tokio::time::timeout(CLOSE_WITHIN, work).await
        {
            self.apply(&proposal.entries, bytes);
            world::durable(proposal.first, &proposal.entries, &proposal.append, &self.ends.inbox).await;
        }
        // Mesos is let go before the session is: a session outlives whatever its holder subscribed.
        self.stand_down(turn, "this replica ends").await;
        self.show(Mode::Standby, "this replica ends".to_owned());
    }

    /// Drops what was proposed and not begun.
    fn drain(&mut self) {
        while self.ends.proposals.try_recv().is_ok() {}
    }
}

/// Writes a state of very many tasks, which takes long, where nobody waits for this thread.
async fn encoded(state: State) -> Result<Vec<u8>, String> {
    let encoded = tokio::task::spawn_blocking(move || codec::encode_snapshot(&state)).await;
    encoded.map_err(|error| error.to_string())
}
