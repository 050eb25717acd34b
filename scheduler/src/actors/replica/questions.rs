//! What the machine asks about the journal, answered.

use std::future::Future;
use std::rc::Rc;

use epic_common_io::driver::Inbox;
use epic_scheduler_core::replica::election::Ask;
use epic_scheduler_core::replica::{Answer, At, Input, Peer, Question, Record, Recovered, Written};

use super::session::{self, Error};
use super::{NO_SESSION, Session, World, candidacy};
use crate::chain;
use crate::journal::codec;
use crate::journal::ring::{self, Next, Ring};
use crate::store::standing;
use crate::zookeeper::Refusal;

impl World {
    /// Finds the answer to a question about the journal.
    pub(super) fn answer(
        &self,
        ask: Ask,
        question: Question,
        inbox: Inbox<Input>,
    ) -> impl Future<Output = Answer> + use<> {
        let (connect, own, ring, sessions) =
            (self.connect.clone(), self.own.clone(), self.ring(), Rc::clone(&self.session));
        async move {
            if question == Question::Open {
                return match session::open(&connect).await {
                    Ok(ring) => {
                        let (journal, timeout) = (ring.id().to_owned(), ring.session().timeout());
                        let watch = session::watch(ring.session(), ask, inbox);
                        sessions.replace(Some(Session { ring: Rc::new(ring), watch }));
                        Answer::Opened { journal, timeout }
                    }
                    Err(error) => not_opened(&error),
                };
            }
            let Some(ring) = ring else { return Answer::Failed(NO_SESSION.to_owned()) };
            let answered = match question {
                Question::Compare(at, last_crc32) => compare(&ring, &at, last_crc32).await,
                Question::Recover => recover(&ring).await,
                Question::End(batch) => ring.is_at_end(batch).await.map(end),
                Question::Read(after) => ring.next(after).await.map(|next| read(after, next)),
                Question::Probe => ring.probe().await.map(|()| Answer::Writable),
                Question::Time(candidate) => return time(&ring, &candidate, &own).await,
                Question::Open => unreachable!("it was answered above"),
            };
            answered.unwrap_or_else(|error| Answer::Failed(chain(&error)))
        }
    }
}

fn not_opened(error: &Error) -> Answer {
    let why = chain(error);
    match error {
        Error::Ring(ring::Error::NotInitialised { url, .. }) => Answer::Missing { url: url.clone(), why },
        Error::Ring(_) | Error::Session(_) => Answer::Failed(why),
    }
}

async fn compare(ring: &Ring, at: &At, last_crc32: Option<u32>) -> Result<Answer, ring::Error> {
    standing(at, last_crc32, ring).await.map(Answer::Compared)
}

async fn recover(ring: &Ring) -> Result<Answer, ring::Error> {
    let recovered = ring.recover().await?;
    let (batch, last) = (ring.position(), recovered.batches.last());
    let last_crc32 = last.map(|(_, bytes)| crc32fast::hash(bytes));
    // Very many tasks take long, and this thread has others to serve.
    let folded = tokio::task::spawn_blocking(move || crate::start::state(&recovered)).await;
    Ok(match folded {
        Ok(Ok(state)) => Answer::Recovered(Box::new(Recovered { batch, last_crc32, state })),
        Ok(Err(failure)) => Answer::Failed(failure.text),
        Err(error) => Answer::Failed(error.to_string()),
    })
}

const fn end(is_at_end: bool) -> Answer {
    if is_at_end { Answer::AtEnd } else { Answer::NotAtEnd }
}

fn read(after: u64, next: Next) -> Answer {
    let Next::Batch(bytes) = next else { return Answer::Lapped };
    match codec::decode_batch(&bytes) {
        Ok((first, entries)) => {
            let written = Written { crc32: crc32fast::hash(&bytes), bytes: bytes.into() };
            Answer::Next(Record { first, entries, written })
        }
        Err(error) => Answer::Failed(format!("cannot read batch {} of the journal: {}", after + 1, chain(&error))),
    }
}

async fn time(ring: &Ring, candidate: &str, own: &Peer) -> Answer {
    match candidacy::time(ring.session(), candidate, own).await {
        Ok(time) => Answer::Time(time),
        Err(error) if error.says(Refusal::NoNode) => Answer::CandidateGone,
        Err(error) => Answer::Failed(chain(&error)),
    }
}
