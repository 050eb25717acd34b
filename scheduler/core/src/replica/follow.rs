//! How a replica reads what others have written.

use epic_common::time::Timestamp;

use super::election::{self, Ask};
use super::known::{Known, Summary};
use super::standing::Standing;
use super::traffic::{Answer, Connection, Copied, Question, Record, Recovered, Written};
use super::{Inquiry, Phase, Replica, Session};
use crate::director;

impl Replica {
    /// Asks this next; what was asked before is given up.
    pub(super) fn inquire_of_journal(&mut self, question: Question) {
        (self.next, self.open) = (Some(question), None);
    }

    pub(super) fn journal_answered(&mut self, now: Timestamp, ask: Ask, answer: Answer) {
        let outcome = match answer {
            Answer::Opened { journal, timeout } => {
                self.session = Some(Session { number: ask, journal, timeout, connection: Connection::Up });
                self.join()
            }
            Answer::Missing { url, why } => Err(self.missing(&url, why)),
            Answer::Compared(standing) => self.compared(standing),
            Answer::Recovered(recovered) => self.recovered(*recovered),
            Answer::AtEnd => self.at_end(),
            Answer::NotAtEnd => {
                self.inquire_of_journal(Question::Read(self.known.batch));
                Ok(())
            }
            Answer::Next(record) => self.follow(record),
            Answer::Lapped => {
                self.recover();
                Ok(())
            }
            Answer::Writable => {
                self.take_part(now);
                Ok(())
            }
            Answer::Time(time) => {
                self.timed = now;
                self.claim(time);
                Ok(())
            }
            Answer::CandidateGone => {
                self.depose(now, "somebody has removed this replica's candidate");
                Ok(())
            }
            Answer::Failed(why) => Err(why),
        };
        if let Err(why) = outcome {
            self.lose(now, why);
        }
    }

    /// Makes sure that it is the journal that was once followed here, if that is known, then reads it.
    fn join(&mut self) -> Result<(), String> {
        self.phase = Phase::Joining;
        if let Some(at) = self.known.at().filter(|at| at.batch > 0) {
            self.inquire_of_journal(Question::Compare(at, self.known.last_crc32));
            return Ok(());
        }
        let journal = self.session.as_ref().map(|session| &session.journal);
        let other = self.known.floor.as_ref().filter(|floor| Some(&floor.journal) != journal);
        if let Some(problem) = other.and_then(|floor| Standing::Other.problem(floor)) {
            return Err(problem);
        }
        self.recover();
        Ok(())
    }

    /// Whoever has followed a journal must not be told to make a new one: what ZooKeeper has lost would be lost for good.
    fn missing(&self, url: &str, why: String) -> String {
        if !self.known.has_followed() {
            return why;
        }
        format!(
            "there is no journal at {url} any more, though this replica has followed one there: restore ZooKeeper, or stop \
             all replicas, make a backup of the one that got furthest with epic-scheduler state backup, and restore it \
             with epic-scheduler state restore FILE --zk URL"
        )
    }

    fn compared(&mut self, standing: Standing) -> Result<(), String> {
        if let Some(problem) = self.known.at().and_then(|at| standing.problem(&at)) {
            return Err(problem);
        }
        self.inquire_of_journal(Question::End(self.known.batch));
        Ok(())
    }

    fn recover(&mut self) {
        READS.clone_into(&mut self.problem);
        self.inquire_of_journal(Question::Recover);
    }

    /// Takes the journal as it was read in place of all that was followed.
    fn recovered(&mut self, recovered: Recovered) -> Result<(), String> {
        let Recovered { batch, last_crc32, state } = recovered;
        if let Some(floor) = self.known.floor.as_ref().filter(|floor| floor.batch > batch) {
            return Standing::Ahead.problem(floor).map_or(Ok(()), Err);
        }
        let (has, had) = (state.index, self.known.summary.index);
        if has < had {
            let next = "restore ZooKeeper from a newer backup";
            return Err(format!(
                "the journal in ZooKeeper ends with entry {}, though it once had entry {}; {next}",
                has.0, had.0
            ));
        }
        let journal = self.session.as_ref().map(|session| session.journal.clone());
        self.known = Known { journal, batch, last_crc32, floor: None, summary: Summary::of(&state) };
        self.copy_wanted = true;
        self.direct(director::Input::Restored(Box::new(state)));
        self.go_on();
        Ok(())
    }

    /// Applies a batch that others have written.
    fn follow(&mut self, record: Record) -> Result<(), String> {
        let Record { first, entries, written } = record;
        let expected = self.known.summary.index.next();
        if !entries.is_empty() && first != expected {
            let (batch, next) = (self.known.batch + 1, "restore ZooKeeper from a backup");
            return Err(format!("batch {batch} begins with entry {}, not {}; {next}", first.0, expected.0));
        }
        self.take(self.known.summary.after(&entries), written);
        if !entries.is_empty() {
            self.direct(director::Input::Followed(first, entries));
        }
        self.go_on();
        Ok(())
    }

    /// Takes note of the next batch, after which the state is `summary`.
    pub(super) fn take(&mut self, summary: Summary, written: Written) {
        self.known.follow(summary, written.crc32);
        let (number, epoch, index) = (self.known.batch, self.known.summary.epoch(), self.known.summary.index);
        self.told.push_back(super::Output::Copy(Copied { number, epoch, index, bytes: written.bytes }));
    }

    /// Reads on: a standby waits for what comes next, others want to know whether anything does.
    fn go_on(&mut self) {
        let batch = self.known.batch;
        if self.phase == Phase::Standby {
            self.problem.clear();
            self.inquire_of_journal(Question::Read(batch));
        } else {
            self.inquire_of_journal(Question::End(batch));
        }
    }

    fn at_end(&mut self) -> Result<(), String> {
        self.check_role()?;
        let claims = self.phase == Phase::Claiming;
        let candidate = self.election.own().filter(|_| claims).map(str::to_owned);
        // Before anybody counts on it: a leader that can't write its largest batch would come to a stop.
        self.inquire_of_journal(candidate.map_or(Question::Probe, Question::Time));
        Ok(())
    }

    /// Leads no framework of another role than it was told to use.
    fn check_role(&self) -> Result<(), String> {
        match &self.known.summary.role {
            Some(role) if *role != self.terms.role => Err(format!(
                "the journal at {} belongs to a framework of role {role}, --role says {}; start with --role {role}, or \
                 choose another path with --zk",
                self.terms.place, self.terms.role
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Has read the journal to its end: follows it from here, and stands for election.
    fn take_part(&mut self, now: Timestamp) {
        self.phase = Phase::Standby;
        self.failures = 0;
        self.problem.clear();
        self.warned.clear();
        self.inquiry = Inquiry::Due;
        self.inquire_of_journal(Question::Read(self.known.batch));
        if self.is_up() {
            self.elect(now, election::Input::Connected);
        }
    }
}

const READS: &str = "this replica reads the journal";
