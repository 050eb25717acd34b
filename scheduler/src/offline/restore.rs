//! Makes a journal that begins with a backup.

use std::path::Path;

use epic_common_io::backup::{self, Backup};
use epic_scheduler_core::state::State;

use super::base::{base, connect, failure};
use super::refused;
use super::source::held;
use crate::config::offline::Restore;
use crate::failure::{Code, Failure};
use crate::journal::local::{self, Local};
use crate::journal::ring::{self, Initialised};
use crate::journal::{Snapshot, codec};
use crate::mesos::masters::ZooKeeperPath;
use crate::store;
use crate::zookeeper::OPEN_TO_ALL;

/// Restores it to a state directory or to `ZooKeeper`.
///
/// # Errors
///
/// The backup can't be used, the place can't, or `--yes` is missing.
pub(super) async fn restore(asked: &Restore) -> Result<String, Failure> {
    let read = backup::read(&asked.file).map_err(|error| super::backup::failure(&error))?;
    let state = state(&asked.file, &read)?;
    match (&asked.zk, &asked.state_dir) {
        (Some(zk), _) => to_zookeeper(asked, zk, state).await,
        (None, Some(dir)) => to_directory(asked, dir, read.batch, &state),
        (None, None) => Err(refused("say where to with --state-dir DIR or --zk URL")),
    }
}

/// Reads the state in a backup, and leaves out names that may have been given since.
fn state(file: &Path, read: &Backup) -> Result<State, Failure> {
    let of_file = |failure: Failure| failure.about(&file.display().to_string());
    let state = codec::decode_snapshot(&read.snapshot);
    let mut state = state.map_err(|error| of_file(Failure::new(Code::Data, &error)))?;
    if let Some(url) = &state.identity.moved_to {
        return Err(of_file(Failure::text(Code::Data, format!("it ends a journal that was moved to {url}"))));
    }
    if state.index.0 != read.index || state.index.0 == 0 {
        let text = format!("it says that it ends with entry {}, and ends with {}", read.index, state.index.0);
        return Err(of_file(Failure::text(Code::Data, text)));
    }
    state.skip_ahead();
    Ok(state)
}

async fn to_zookeeper(asked: &Restore, zk: &ZooKeeperPath, state: State) -> Result<String, Failure> {
    let (index, framework) = (state.index.0, framework(&state));
    let terms = asked.connect.connect(zk, asked.zk_session_timeout)?;
    let session = connect(&terms).await?;
    let open = if terms.has_user() { String::new() } else { format!("\nit is one that {OPEN_TO_ALL}") };
    let made = ring::init_from(&session, &base(state)).await.map_err(|error| failure(&error))?;
    Ok(match made {
        Initialised::New => format!("{zk}: begins with the state after entry {index} of {framework}{open}"),
        Initialised::Already => format!("{zk}: began with this backup before; nothing was changed"),
    })
}

fn to_directory(asked: &Restore, dir: &Path, batch: u64, state: &State) -> Result<String, Failure> {
    let _lock = local::lock(dir)?;
    if store::forget::is_there(dir) {
        let next =
            "choose another directory; or restore it to ZooKeeper with --zk, or run epic-scheduler state forget first";
        return Err(refused(format!("{} belongs to a replica with its journal in ZooKeeper: {next}", dir.display())));
    }
    let there = dir.join("journal").exists() || dir.join("fence").exists();
    if let Some(objection) = there.then(|| objection(dir, state)).flatten().filter(|_| !asked.yes) {
        let what = "the old journal would be set aside, not removed; nothing was done, repeat it with --yes";
        return Err(refused(format!("{}: {objection}; {what}", dir.display())));
    }
    // A first batch keeps a journal from looking new, whatever its number was.
    let base = Snapshot { batch: batch.max(1), bytes: codec::encode_snapshot(state) };
    let aside = local::restore(dir, &base)?;
    let (dir, index, framework) = (dir.display(), state.index.0, framework(state));
    let aside = aside.map(|path| format!("\nthe old journal is now {}", path.display())).unwrap_or_default();
    Ok(format!("{dir}: begins with the state after entry {index} of {framework}{aside}"))
}

/// Says what would be lost; `None` if it is the same framework, and nothing newer.
fn objection(dir: &Path, state: &State) -> Option<String> {
    let read = Local::look_inside(dir).map_err(Failure::from).and_then(|recovered| held(recovered, String::new()));
    let old = match read {
        Ok(held) => held.state,
        Err(failure) => return Some(format!("the journal that is there can't be read ({})", failure.text)),
    };
    if let Some(url) = &old.identity.moved_to {
        return Some(format!("the journal that is there was moved to {url}, and replicas may go on from it"));
    }
    if old.index.0 > 0 && old.identity.framework != state.identity.framework {
        return Some(format!("it belongs to {}, the backup to {}", framework(&old), framework(state)));
    }
    let (there, here) = (old.index.0, state.index.0);
    (there > here).then(|| format!("it is at entry {there}, and the backup goes back to entry {here}"))
}

fn framework(state: &State) -> String {
    state.identity.framework.as_ref().map_or_else(|| "no framework yet".to_owned(), |id| format!("framework {id}"))
}
