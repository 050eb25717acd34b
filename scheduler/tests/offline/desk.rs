//! State directories made of entries, and the program that is asked about them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use epic_common::ids::Digest;
use epic_common::time::Timestamp;
use epic_scheduler::journal::fold::fold;
use epic_scheduler::journal::local::Local;
use epic_scheduler::journal::{Journal as _, Recovered, codec};
use epic_scheduler_core::mesos::TaskState;
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::entry::{Entry, Fact};
use tempfile::TempDir;

pub(crate) const FRAMEWORK: &str = "5f0c7b1e-8d5b-4d6f-9a43-2f6f0d7c1b11";

pub(crate) struct Desk {
    pub(crate) folder: TempDir,
}

/// What a command said: exit code, standard output, standard error.
pub(crate) type Said = (i32, String, String);

impl Desk {
    pub(crate) fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Types the program's arguments, with `~` for the folder.
    pub(crate) fn types(&self, line: &str) -> Said {
        // A scheduler that starts where it should refuse would run for ever.
        let mut command = Command::new("timeout");
        command.args(["30", env!("CARGO_BIN_EXE_epic-scheduler")]);
        let folder = format!("{}/", self.folder.path().display());
        command.args(line.split_whitespace().map(|word| word.replace('~', &folder)));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("EPIC_") {
                command.env_remove(name);
            }
        }
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&folder, "~");
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }

    /// Types what must be done, and returns what is said of it.
    pub(crate) fn done(&self, line: &str) -> String {
        let (code, said, error) = self.types(line);
        assert_eq!(code, 0, "{line}: {error}");
        said
    }

    /// Types what must be refused in one line with these parts.
    pub(crate) fn refused(&self, line: &str, code: i32, parts: &[&str]) {
        let (found, said, error) = self.types(line);
        assert_eq!((found, said.as_str()), (code, ""), "{line}: {error}");
        let reasons: Vec<_> = error.lines().filter(|line| line.starts_with("epic-scheduler: ")).collect();
        for part in parts {
            assert!(reasons.iter().any(|line| line.contains(part)), "{line} says nothing of \"{part}\":\n{error}");
        }
    }

    /// Makes a state directory, or goes on in it, with these facts, each in a batch of its own.
    pub(crate) fn decided(&self, name: &str, facts: Vec<Fact>) -> State {
        let (mut journal, recovered) = Local::open(self.path(name)).unwrap();
        let mut state = fold(&recovered).unwrap();
        for fact in facts {
            let entry = Entry::new(Timestamp(1_800_000_000_000_000 + state.index.0), fact);
            let bytes = codec::encode_batch(0, state.index.next(), std::slice::from_ref(&entry));
            journal.append(journal.position() + 1, &bytes).unwrap();
            state.apply(&entry);
        }
        journal.close().unwrap();
        state
    }

    /// Makes a snapshot of all that a state directory holds.
    pub(crate) fn snapshot(&self, name: &str) {
        let (mut journal, recovered) = Local::open(self.path(name)).unwrap();
        let state = fold(&recovered).unwrap();
        journal.snapshot(journal.position(), &codec::encode_snapshot(&state)).unwrap();
        journal.close().unwrap();
    }

    pub(crate) fn recovered(&self, name: &str) -> Recovered {
        Local::look(&self.path(name)).unwrap()
    }

    pub(crate) fn state(&self, name: &str) -> State {
        fold(&self.recovered(name)).unwrap()
    }

    /// Flips a bit in the middle of a file.
    pub(crate) fn damage(&self, name: &str) {
        let mut bytes = fs::read(self.path(name)).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(self.path(name), bytes).unwrap();
    }
}

/// The first decisions of a framework.
pub(crate) fn chosen(framework: &str) -> Vec<Fact> {
    vec![
        Fact::FrameworkChosen { framework: framework.into(), role: "BlueData".to_owned() },
        Fact::TokenSet { sha256: Digest([1; 32]) },
    ]
}

/// So many decisions that are one like the other.
pub(crate) fn more(count: usize) -> Vec<Fact> {
    let seen = |nth| Fact::StrangerSeen { task: format!("t{nth}"), agent: "a".into(), state: TaskState::Running };
    (0..count).map(seen).collect()
}

/// Lists the names in a directory.
pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
