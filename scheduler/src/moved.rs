//! Whether the journal in a state directory ends with the way to another one, and who may go on from it.

use std::path::Path;

use epic_scheduler_core::state::State;

use crate::failure::{Code, Failure};
use crate::journal::fold::fold;
use crate::journal::local::Local;
use crate::mesos::masters::{Masters, ZooKeeperPath};
use crate::store;

/// Refuses to go on alone from a journal that has moved.
///
/// # Errors
///
/// Where it went.
pub(crate) fn check_alone(state_dir: &Path, state: &State) -> Result<(), Failure> {
    let Some(url) = &state.identity.moved_to else { return Ok(()) };
    let next = format!("start with --zk {url}, or choose another directory with --state-dir");
    let text = format!("the journal of the state directory {} was moved to {url}; {next}", state_dir.display());
    Err(Failure::text(Code::Usage, text))
}

/// Refuses to begin alone where a replica has its copy of a journal: another framework would come to life beside its.
///
/// # Errors
///
/// There is such a copy.
pub(crate) fn check_copy(state_dir: &Path) -> Result<(), Failure> {
    if state_dir.join("journal").exists() || !store::forget::is_there(state_dir) {
        return Ok(());
    }
    let next = "start with that --zk, or choose another directory with --state-dir; to leave that journal for ever, run \
                epic-scheduler state forget first";
    let text =
        format!("the state directory {} belongs to a replica with its journal in ZooKeeper", state_dir.display());
    Err(Failure::text(Code::Usage, format!("{text}: {next}")))
}

/// Refuses a state directory with a journal of its own, unless that one was moved to `path`.
///
/// # Errors
///
/// What the journal is instead, or why it can't be read.
pub(crate) fn check_shared(state_dir: &Path, path: &ZooKeeperPath) -> Result<(), Failure> {
    if !state_dir.join("journal").exists() {
        return Ok(());
    }
    let state = fold(&Local::look(state_dir)?).map_err(|error| Failure::new(Code::Data, &error))?;
    let dir = state_dir.display();
    let text = match &state.identity.moved_to {
        Some(url) if is_same(url, path) => return Ok(()),
        Some(url) => format!(
            "the journal of the state directory {dir} was moved to {url}, --zk says {path}; use {url}, or choose another directory with --state-dir"
        ),
        None => format!(
            "the state directory {dir} holds a journal of its own; it belongs to a scheduler without --zk: move it there \
             with epic-scheduler state publish --state-dir {dir} --zk {path}, or choose another directory with --state-dir"
        ),
    };
    Err(Failure::text(Code::Usage, text))
}

/// Tells whether a URL that a journal holds is the same place: the same path, and at least one server in common, since
/// servers come and go.
pub(crate) fn is_same(url: &str, path: &ZooKeeperPath) -> bool {
    let Ok(Masters::ZooKeeper(there)) = Masters::parse(url) else { return false };
    there.path == path.path && there.servers.iter().any(|server| path.servers.contains(server))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_may_come_and_go_and_the_path_may_not() {
        let check = |url: &str, expected: bool| {
            let Masters::ZooKeeper(path) = Masters::parse("zk://me:secret@z1:2181,z2:2181/epic").unwrap() else {
                panic!("it is a path in ZooKeeper")
            };
            assert_eq!(is_same(url, &path), expected, "{url}");
        };
        check("zk://z1:2181,z2:2181/epic", true);
        check("zk://z2:2181,z1:2181/epic", true);
        check("zk://z2:2181,z3:2181/epic", true);
        check("zk://z1:2181,z2:2181/other", false);
        check("zk://z1:2182/epic", false);
        check("nonsense", false);
    }
}
