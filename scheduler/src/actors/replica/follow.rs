//! How a replica reads what others have written.

use epic_scheduler_core::director;
use epic_scheduler_core::state::entry::Entry;

use super::Replica;
use crate::chain;
use crate::journal::codec;
use crate::journal::ring::{self, Next, Ring};
use crate::replica::Mode;

impl Replica {
    /// Reads the journal to its end, and makes sure that this replica may take part.
    ///
    /// # Errors
    ///
    /// Why it can't, for people; nothing is lost, and trying again may help.
    pub(super) async fn catch_up(&mut self, ring: &Ring) -> Result<(), String> {
        let failed = |error: ring::Error| chain(&error);
        if self.known.journal.is_none() {
            self.restore(ring).await?;
            self.known.journal = Some(ring.id().to_owned());
        }
        while !ring.is_at_end(self.known.position).await.map_err(failed)? {
            let next = ring.next(self.known.position).await;
            self.follow(ring, next).await?;
        }
        self.check_role()
    }

    /// Applies what comes next.
    ///
    /// # Errors
    ///
    /// It can't be read or understood; this replica follows no further.
    pub(super) async fn follow(&mut self, ring: &Ring, next: Result<Next, ring::Error>) -> Result<(), String> {
        match next.map_err(|error| chain(&error))? {
            Next::Batch(bytes) => self.take(&bytes).await,
            Next::Lapped => self.restore(ring).await,
        }
    }

    async fn take(&mut self, bytes: &[u8]) -> Result<(), String> {
        let (first, entries) = codec::decode_batch(bytes).map_err(|error| chain(&error))?;
        if entries.is_empty() {
            self.known.position += 1;
            return Ok(());
        }
        let expected = self.known.state.index.next();
        if first != expected {
            let batch = self.known.position + 1;
            return Err(format!("batch {batch} begins with entry {}, not {}", first.0, expected.0));
        }
        self.apply(&entries);
        self.tell(director::Input::Followed(first, entries)).await;
        Ok(())
    }

    /// Reads snapshot and ring anew: what lies between was overwritten, or was never followed here.
    async fn restore(&mut self, ring: &Ring) -> Result<(), String> {
        let (mode, problem) = (Mode::Standby, "this replica reads the journal".to_owned());
        self.show(mode, problem);
        let recovered = ring.recover().await.map_err(|error| chain(&error))?;
        let state = crate::start::state(&recovered).map_err(|failure| failure.text)?;
        if state.index < self.known.state.index {
            let (has, had) = (state.index.0, self.known.state.index.0);
            return Err(format!("the journal in ZooKeeper ends with entry {has}, though it once had entry {had}"));
        }
        self.known.position = ring.position();
        self.known.state = state.clone();
        self.tell(director::Input::Restored(Box::new(state))).await;
        Ok(())
    }

    pub(super) fn apply(&mut self, entries: &[Entry]) {
        for entry in entries {
            self.known.state.apply(entry);
        }
        self.known.position += 1;
    }

    /// Leads no framework of another role than it was told to use.
    pub(super) fn check_role(&self) -> Result<(), String> {
        match &self.known.state.role {
            Some(role) if *role != self.terms.role => Err(format!(
                "the journal at {} belongs to a framework of role {role}, --role says {}; start with --role {role}, or \
                 choose another path with --zk",
                self.terms.connect.path, self.terms.role
            )),
            Some(_) | None => Ok(()),
        }
    }
}
