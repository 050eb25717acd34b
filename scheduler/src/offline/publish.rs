//! Moves a scheduler's own journal to `ZooKeeper`.
//!
//! The local journal ends first, so that at no time two journals go on from the same state; the root there is written
//! last, so that nobody opens it half made. Whatever lies between is finished by the same command.

use std::time::SystemTime;

use epic_common::time::Timestamp;
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::entry::{Entry, Fact};

use super::base::{base, connect, failure};
use super::refused;
use super::source::{Held, held};
use crate::config::offline::Publish;
use crate::failure::{Code, Failure};
use crate::journal::fold::fold;
use crate::journal::local::Local;
use crate::journal::ring::{self, Initialised, Place, Ring};
use crate::journal::{Journal as _, codec};
use crate::mesos::masters::{Masters, ZooKeeperPath};
use crate::moved::is_same;
use crate::zookeeper::Session;

/// Moves it, or finishes what an earlier call has begun.
///
/// # Errors
///
/// There is nothing to move, the place can't be used, or `--yes` is missing.
pub(super) async fn publish(asked: &Publish) -> Result<String, Failure> {
    let dir = asked.state_dir.display();
    if !asked.state_dir.join("journal").is_dir() {
        return Err(refused(format!("{dir} holds no journal; give the state directory of a scheduler without --zk")));
    }
    let (mut journal, recovered) = Local::open(&asked.state_dir)?;
    let mut held = held(recovered, String::new())?;
    if held.state.index.0 == 0 {
        let next = format!("there is nothing to move; run epic-scheduler init --zk {}", asked.zk);
        return Err(refused(format!("the journal of {dir} is empty: {next}")));
    }
    if !asked.yes {
        return Err(would(asked, &held));
    }
    let session = connect(&asked.connect.connect(&asked.zk, asked.zk_session_timeout)?).await?;
    if !held.state.identity.moved_to.as_ref().is_some_and(|url| is_same(url, &asked.zk)) {
        abandoned(asked, held.state.identity.moved_to.as_deref()).await?;
        ring::prepare(&session).await.map_err(|error| failure(&error))?;
        end(&mut journal, &mut held.state, asked.zk.to_string())?;
    }
    journal.close()?;
    let made = finish(&session, &held.state).await?;
    let framework = held.state.identity.framework.as_ref().map_or_else(|| "none yet".to_owned(), ToString::to_string);
    let facts = format!("framework {framework}, {} members, entry {}", held.state.units.all.len(), held.state.index.0);
    let next = format!("start each replica with --zk {} and --token-file FILE, the same token for all", asked.zk);
    Ok(match made {
        Initialised::New => format!("{dir}: moved to {}: {facts}\n{next}", asked.zk),
        Initialised::Already => {
            format!("{dir}: was moved to {} before, nothing was changed: {facts}\n{next}", asked.zk)
        }
    })
}

fn would(asked: &Publish, held: &Held) -> Failure {
    let Publish { zk, state_dir, .. } = asked;
    let framework =
        held.state.identity.framework.as_ref().map_or_else(|| "no framework".to_owned(), ToString::to_string);
    let what = format!("{framework}, {} members, entry {}", held.state.units.all.len(), held.state.index.0);
    let after = "from then on that directory can be started on with --zk only; nothing was done, repeat it with --yes";
    refused(format!("would move the journal of {} to {zk}: {what}; {after}", state_dir.display()))
}

/// Refuses a second place unless nothing came of the first one.
async fn abandoned(asked: &Publish, first: Option<&str>) -> Result<(), Failure> {
    let Some(url) = first else { return Ok(()) };
    let next = format!("run it again with --zk {url}, or start replicas there");
    let elsewhere = format!("the journal of {} was moved to {url}", asked.state_dir.display());
    let Ok(Masters::ZooKeeper(path)) = Masters::parse(url) else {
        return Err(Failure::text(Code::Data, format!("{elsewhere}, which is no place in ZooKeeper")));
    };
    // The journal holds no credentials; whoever moves it has them.
    let path = ZooKeeperPath { digest: asked.zk.digest.clone(), ..path };
    let session = connect(&asked.connect.connect(&path, asked.zk_session_timeout)?)
        .await
        .map_err(|failure| failure.about(&elsewhere))?;
    match ring::look(&session).await {
        Ok(Place::Free) => Ok(()),
        Ok(Place::Begun | Place::Empty | Place::Used) => Err(refused(format!("{elsewhere} already; {next}"))),
        Err(error) => Err(failure(&error).about(&elsewhere)),
    }
}

/// Ends the local journal, durably.
fn end(journal: &mut Local, state: &mut State, url: String) -> Result<(), Failure> {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let now = Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX));
    let entry = Entry::new(now.max(state.at), Fact::MovedTo { url });
    let bytes = codec::encode_batch(0, state.index.next(), std::slice::from_ref(&entry));
    journal.append(journal.position() + 1, &bytes)?;
    state.apply(&entry);
    Ok(())
}

/// Makes the journal there, unless it is there already and has gone on.
async fn finish(session: &Session, state: &State) -> Result<Initialised, Failure> {
    let occupied = match ring::init_from(session, &base(state.clone())).await {
        Ok(made) => return Ok(made),
        Err(error @ ring::Error::Occupied { .. }) => error,
        Err(error) => return Err(failure(&error)),
    };
    let ring = Ring::open(session.clone()).await.map_err(|_| failure(&occupied))?;
    let recovered = ring.recover().await.map_err(|error| failure(&error))?;
    let there = fold(&recovered).map_err(|error| Failure::new(Code::Data, &error))?;
    if there.identity.framework == state.identity.framework && there.index >= state.index {
        return Ok(Initialised::Already);
    }
    Err(failure(&occupied))
}
