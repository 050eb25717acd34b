//! What the election asks of ZooKeeper, carried out.

use epic_common::time::Timestamp;
use epic_scheduler_core::replica::election::{Ask, Input};
use tracing::warn;

use crate::chain;
use crate::peers::Peer;
use crate::zookeeper::{Error, Kind, Node, Refusal, Session};

/// Where candidates are.
const ELECTION: &str = "/election";

/// Makes a candidate of this session.
pub(super) async fn create(session: &Session, ask: Ask, own: &Peer) -> Input {
    let about = serde_json::to_vec(own).expect("numbers and text are always JSON");
    match session.create(&format!("{ELECTION}/candidate-"), &about, Kind::Numbered).await {
        Ok(number) => Input::Created { ask, name: format!("candidate-{number:010}") },
        Err(error) => {
            warn!(error = chain(&error), "no candidate");
            Input::CreateFailed { ask }
        }
    }
}

/// Asks what time it is where the journal is kept, by a write to this session's candidate.
///
/// # Errors
///
/// A server's refusal, such as that the candidate is gone; or no answer.
pub(super) async fn time(session: &Session, candidate: &str, own: &Peer) -> Result<Timestamp, Error> {
    let about = serde_json::to_vec(own).expect("numbers and text are always JSON");
    let path = format!("{ELECTION}/{candidate}");
    let written = session.surely(async || session.write(&path, &about, None).await).await?;
    Ok(written.modified)
}

/// Removes the candidate of this session.
pub(super) async fn withdraw(session: &Session, ask: Ask, own: &str) -> Input {
    if let Err(error) = session.surely(async || session.delete(&format!("{ELECTION}/{own}")).await).await {
        warn!(error = chain(&error), "the candidate stays");
    }
    Input::Withdrawn { ask }
}

/// Lists the candidates, and says which is of this session.
pub(super) async fn list(session: &Session, ask: Ask) -> Input {
    match listed(session).await {
        Ok((own, names)) => Input::Candidates { ask, own, names },
        Err(error) => {
            warn!(error = chain(&error), "candidates can't be listed");
            Input::ListFailed { ask }
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
pub(super) async fn peers(session: &Session) -> Result<Vec<Peer>, Error> {
    let mut names = session.surely(async || session.children(ELECTION).await).await?;
    names.sort_unstable();
    let mut peers = Vec::new();
    for name in names.iter().take(PEERS_MAX) {
        if let Candidate::Known(node) = read(session, name).await?
            && let Ok(peer) = serde_json::from_slice::<Peer>(&node.bytes)
            && node.owner != 0
        {
            peers.push(peer);
        }
    }
    Ok(peers)
}

/// Waits until a candidate is gone.
pub(super) async fn gone(session: Session, ask: Ask, predecessor: String) -> Input {
    let path = format!("{ELECTION}/{predecessor}");
    loop {
        let watch = match session.exists_and_watch(&path).await {
            Ok((true, watch)) => watch,
            Ok((false, _)) => return Input::PredecessorGone { ask },
            Err(_) => return Input::ListFailed { ask },
        };
        if watch.changed().await.is_err() {
            return Input::ListFailed { ask };
        }
    }
}

const PEERS_MAX: usize = 64;
