//! What is done with a scheduler's state while it doesn't run: `epic-scheduler state`.

mod backup;
mod base;
mod forget;
mod publish;
mod restore;
mod show;
mod source;
mod verify;

use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use nix::unistd::{Uid, User};

use crate::config::offline::{State, Verb};
use crate::failure::{Code, Failure};

/// Does it, and says on standard output what came of it.
///
/// # Errors
///
/// Why it can't be done, or isn't without `--yes`.
pub async fn run(asked: &State) -> Result<(), Failure> {
    check_owner(asked.verb.writes_to(), Uid::effective())?;
    let said = match &asked.verb {
        Verb::Show(show) => show::show(show)?,
        Verb::Verify { dir } => verify::verify(dir)?,
        Verb::Backup { dir, file } => backup::backup(dir, file)?,
        Verb::Restore(restore) => restore::restore(restore).await?,
        Verb::Forget { dir, yes } => forget::forget(dir, *yes)?,
        Verb::Publish(publish) => publish::publish(publish).await?,
    };
    let mut out = io::stdout().lock();
    writeln!(out, "{said}").and_then(|()| out.flush()).map_err(|error| Failure::new(Code::Io, &error))
}

/// Refuses another user than the directory's: the scheduler couldn't read what that one writes there.
fn check_owner(dir: Option<&Path>, own: Uid) -> Result<(), Failure> {
    let Some((dir, facts)) = dir.and_then(|dir| Some((dir, dir.metadata().ok()?))) else { return Ok(()) };
    let owner = Uid::from_raw(facts.uid());
    if owner == own {
        return Ok(());
    }
    let name = User::from_uid(owner).ok().flatten().map_or_else(|| owner.to_string(), |user| user.name);
    let dir = dir.display();
    Err(refused(format!(
        "{dir} belongs to {name}, and a scheduler of {name} couldn't read what you write there; \
         run this as {name}: sudo -u {name} epic-scheduler state ..."
    )))
}

/// Refuses, and says what to do instead.
fn refused(why: impl Into<String>) -> Failure {
    Failure::text(Code::Usage, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_does_not_own_a_directory_is_told_who_does() {
        let dir = tempfile::tempdir().unwrap();
        let own = Uid::effective();
        let other = Uid::from_raw(own.as_raw() + 1);
        check_owner(None, other).unwrap();
        check_owner(Some(&dir.path().join("new")), other).unwrap();
        check_owner(Some(dir.path()), own).unwrap();
        let refused = check_owner(Some(dir.path()), other).unwrap_err();
        let name = User::from_uid(own).unwrap().map_or_else(|| own.to_string(), |user| user.name);
        assert!(refused.text.contains(&format!("belongs to {name}")), "{}", refused.text);
        assert!(refused.text.ends_with(&format!("sudo -u {name} epic-scheduler state ...")), "{}", refused.text);
    }
}
