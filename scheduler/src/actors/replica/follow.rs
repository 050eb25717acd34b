//! How a replica reads what others have written.

use std::sync::Arc;

use epic_scheduler_core::director;
use epic_scheduler_core::state::entry::Entry;

use super::{Known, Replica};
use crate::chain;
use crate::journal::codec;
use crate::journal::ring::{self, Next, Ring};
use crate::metrics;
use crate::replica::Mode;
use crate::store::At;
use crate::store::standing::{Standing, standing};

impl Replica {
    /// Reads the journal to its end, and makes sure that this replica may take part.
    ///
    /// # Errors
    ///
    /// Why it can't, for people; nothing is lost, and trying again may help.
    pub(super) async fn catch_up(&mut self, ring: &Ring) -> Result<(), String> {
        let failed = |error: ring::Error| chain(&error);
        if self.known.position == 0 {
            self.check_floor(ring)?;
            self.restore(ring).await?;
        } else {
            self.check_history(ring).await?;
        }
        while !ring.is_at_end(self.known.position).await.map_err(failed)? {
            let next = ring.next(self.known.position).await;
            self.follow(ring, next).await?;
        }
        self.check_role()?;
        // Before anybody counts on it: a leader that can't write its largest batch would come to a stop.
        ring.probe().await.map_err(failed)
    }

    /// Applies what comes next.
    ///
    /// # Errors
    ///
    /// It can't be read or understood; this replica follows no further.
    pub(super) async fn follow(&mut self, ring: &Ring, next: Result<Next, ring::Error>) -> Result<(), String> {
        match next.map_err(|error| chain(&error))? {
            Next::Batch(bytes) => self.take(bytes.into()).await,
            Next::Lapped => self.restore(ring).await,
        }
    }

    /// Makes sure that the journal has what this replica has applied.
    async fn check_history(&mut self, ring: &Ring) -> Result<(), String> {
        let Some(at) = self.at() else { return Ok(()) };
        let standing = standing(&at, self.known.last_crc32, ring).await.map_err(|error| chain(&error))?;
        standing.problem(&at).map_or(Ok(()), Err)
    }

    /// Makes sure that it is the journal that was once followed here, if that is known.
    fn check_floor(&self, ring: &Ring) -> Result<(), String> {
        let other = self.known.floor.as_ref().filter(|floor| floor.journal != ring.id());
        other.and_then(|floor| Standing::Other.problem(floor)).map_or(Ok(()), Err)
    }

    /// Tells whether a journal was ever followed here.
    pub(super) fn has_followed(&self) -> bool {
        self.known.position > 0 || self.known.floor.is_some()
    }

    async fn take(&mut self, bytes: Arc<[u8]>) -> Result<(), String> {
        let batch = self.known.position + 1;
        let unreadable = |error| format!("cannot read batch {batch} of the journal: {}", chain(&error));
        let (first, entries) = codec::decode_batch(&bytes).map_err(unreadable)?;
        if entries.is_empty() {
            self.apply(&entries, bytes);
            return Ok(());
        }
        let expected = self.known.state.index.next();
        if first != expected {
            let next = "restore ZooKeeper from a backup";
            return Err(format!("batch {batch} begins with entry {}, not {}; {next}", first.0, expected.0));
        }
        self.apply(&entries, bytes);
        self.tell(director::Input::Followed(first, entries)).await;
        Ok(())
    }

    /// Reads snapshot and ring anew: what lies between was overwritten, or was never followed here.
    async fn restore(&mut self, ring: &Ring) -> Result<(), String> {
        let (mode, problem) = (Mode::Standby, "this replica reads the journal".to_owned());
        self.show(mode, problem);
        let recovered = ring.recover().await.map_err(|error| chain(&error))?;
        let position = ring.position();
        if let Some(floor) = self.known.floor.as_ref().filter(|floor| floor.batch > position) {
            return Standing::Ahead.problem(floor).map_or(Ok(()), Err);
        }
        let last_crc32 = recovered.batches.last().map(|(_, bytes)| crc32fast::hash(bytes));
        // Very many tasks take long, and this thread has others to serve.
        let folded = tokio::task::spawn_blocking(move || crate::start::state(&recovered)).await;
        let state = folded.map_err(|error| error.to_string())?.map_err(|failure| failure.text)?;
        if state.index < self.known.state.index {
            let (has, had) = (state.index.0, self.known.state.index.0);
            let next = "restore ZooKeeper from a newer backup";
            return Err(format!(
                "the journal in ZooKeeper ends with entry {has}, though it once had entry {had}; {next}"
            ));
        }
        self.known =
            Known { journal: Some(ring.id().to_owned()), position, floor: None, last_crc32, state: state.clone() };
        self.reset_copy();
        self.tell(director::Input::Restored(Box::new(state))).await;
        Ok(())
    }

    /// Applies a batch that is durable, of these bytes.
    pub(super) fn apply(&mut self, entries: &[Entry], bytes: Arc<[u8]>) {
        for entry in entries {
            self.known.state.apply(entry);
        }
        self.known.position += 1;
        self.known.last_crc32 = Some(crc32fast::hash(&bytes));
        self.ends.keeper.batch(self.known.position, self.known.state.epoch(), bytes);
        self.keep_whole();
    }

    /// Gives the copy on disk the whole state if it needs that.
    pub(super) fn keep_whole(&self) {
        let health = self.ends.keeper.health().borrow().clone();
        if health.wants_reset {
            self.reset_copy();
        }
        metrics::stored(self.known.position, &health);
    }

    fn reset_copy(&self) {
        if let Some(at) = self.at() {
            self.ends.keeper.reset(at, self.known.state.clone());
        }
    }

    /// Says up to where this replica has followed which journal; `None` before it has followed any.
    fn at(&self) -> Option<At> {
        let (batch, epoch) = (self.known.position, self.known.state.epoch());
        self.known.journal.clone().map(|journal| At { journal, batch, epoch })
    }

    /// Leads no framework of another role than it was told to use.
    pub(super) fn check_role(&self) -> Result<(), String> {
        match self.known.state.identity.roles.first() {
            Some(role) if *role != self.terms.role => Err(format!(
                "the journal at {} belongs to a framework of role {role}, --role says {}; start with --role {role}, or \
                 choose another path with --zk",
                self.terms.connect.path, self.terms.role
            )),
            Some(_) | None => Ok(()),
        }
    }
}
