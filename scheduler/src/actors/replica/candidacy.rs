//! What the election asks of ZooKeeper, carried out.

use std::rc::Rc;

use epic_common::time::Timestamp;
use epic_scheduler_core::replica::Peer;
use epic_scheduler_core::replica::election::{Answer, Question};
use tracing::warn;

use super::NO_SESSION;
use crate::chain;
use crate::journal::ring::Ring;
use crate::peers;
use crate::zookeeper::{Error, Kind, Node, Refusal, Session};

/// Where candidates are.
const ELECTION: &str = "/election";

/// Carries out what the election asks; without a session nothing can be.
pub(super) async fn answer(ring: Option<Rc<Ring>>, question: Question, own: &Peer) -> Answer {
    let session = ring.as_ref().map(|ring| ring.session());
    match (question, session) {
        (Question::Create, Some(session)) => create(session, own).await,
        (Question::Create, None) => Answer::CreateFailed,
        (Question::List, Some(session)) => list(session).await,
        (Question::Watch(predecessor), Some(session)) => gone(session, &predecessor).await,
        (Question::List | Question::Watch(_), None) => Answer::ListFailed,
        (Question::Withdraw(name), session) => {
            if let Some(session) = session {
                withdraw(session, &name).await;
            }
            Answer::Withdrawn
        }
    }
}

async fn create(session: &Session, own: &Peer) -> Answer {
    match session.create(&format!("{ELECTION}/candidate-"), &peers::written(own), Kind::Numbered).await {
        Ok(number) => Answer::Created(format!("candidate-{number:010}")),
        Err(error) => {
            warn!(error = chain(&error), "no candidate");
            Answer::CreateFailed
        }
    }
}

/// Asks what time it is where the journal is kept, by a write to this session's candidate.
///
/// # Errors
///
/// A server's refusal, such as that the candidate is gone; or no answer.
pub(super) async fn time(session: &Session, candidate: &str, own: &Peer) -> Result<Timestamp, Error> {
    let (path, about) = (format!("{ELECTION}/{candidate}"), peers::written(own));
    let written = session.surely(async || session.write(&path, &about, None).await).await?;
    Ok(written.modified)
}

async fn withdraw(session: &Session, own: &str) {
    if let Err(error) = session.surely(async || session.delete(&format!("{ELECTION}/{own}")).await).await {
        warn!(error = chain(&error), "the candidate stays");
    }
}

/// Lists the candidates, and says which is of this session.
async fn list(session: &Session) -> Answer {
    match listed(session).await {
        Ok((own, names)) => Answer::Candidates { own, names },
        Err(error) => {
            warn!(error = chain(&error), "candidates can't be listed");
            Answer::ListFailed
        }
    }
}

/// The lowest of this session's candidates is the one that counts: a creation whose answer was lost may have made one
/// all the same, and whoever waited for its own would wait for ever. A node that no session keeps is no candidate.
async fn listed(session: &Session) -> Result<(Option<String>, Vec<String>), Error> {
    session.surely(async || session.sync().await).await?;
    let mut all = session.surely(async || session.children(ELECTION).await).await?;
    all.sort_unstable();
    let mut names = Vec::new();
    for name in all {
        match read(session, &name).await? {
            Candidate::Known(node) if session.is_own(&node) => {
                names.push(name.clone());
                return Ok((Some(name), names));
            }
            Candidate::Known(node) if node.owner == 0 => warn!(name, "a node of the election that is no candidate"),
            Candidate::Known(_) | Candidate::Hidden => names.push(name),
            Candidate::Gone => {}
        }
    }
    Ok((None, names))
}

/// What is found where a candidate was listed.
enum Candidate {
    Known(Node),
    /// This replica may not read it: one that was started with other credentials.
    Hidden,
    Gone,
}

async fn read(session: &Session, name: &str) -> Result<Candidate, Error> {
    let path = format!("{ELECTION}/{name}");
    match session.surely(async || session.read(&path).await).await {
        Ok(node) => Ok(Candidate::Known(node)),
        Err(error) if error.says(Refusal::NoNode) => Ok(Candidate::Gone),
        Err(error) if error.says(Refusal::NoAuth) => {
            warn!(error = chain(&error), "a replica has other credentials in --zk than this one");
            Ok(Candidate::Hidden)
        }
        Err(error) => Err(error),
    }
}

/// Reads who takes part, at most [`PEERS_MAX`]; what isn't understood is left out.
///
/// # Errors
///
/// A server's refusal, or no answer.
pub(super) async fn peers(ring: Option<Rc<Ring>>) -> Result<Vec<Peer>, String> {
    let ring = ring.ok_or_else(|| NO_SESSION.to_owned())?;
    taking_part(ring.session()).await.map_err(|error| chain(&error))
}

async fn taking_part(session: &Session) -> Result<Vec<Peer>, Error> {
    let mut names = session.surely(async || session.children(ELECTION).await).await?;
    names.sort_unstable();
    let mut found = Vec::new();
    for name in names.iter().take(PEERS_MAX) {
        if let Candidate::Known(node) = read(session, name).await?
            && let Some(peer) = peers::read(&node.bytes)
            && node.owner != 0
        {
            found.push(peer);
        }
    }
    Ok(found)
}

/// Waits until a candidate is gone.
async fn gone(session: &Session, predecessor: &str) -> Answer {
    let path = format!("{ELECTION}/{predecessor}");
    loop {
        let watch = match session.exists_and_watch(&path).await {
            Ok((true, watch)) => watch,
            Ok((false, _)) => return Answer::PredecessorGone,
            Err(_) => return Answer::ListFailed,
        };
        if watch.changed().await.is_err() {
            return Answer::ListFailed;
        }
    }
}

const PEERS_MAX: usize = 64;
