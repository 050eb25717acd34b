//! State directories that can't be used; the tests mount small file systems, so they need root.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use epic_scheduler::journal::local::{self, Local};
use epic_scheduler::journal::{Journal, Recovered};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tempfile::TempDir;

use crate::support::{chain, fill, refusal, segment, sum};

/// A file system in memory, unmounted when dropped.
struct Mount(TempDir);

impl Mount {
    fn new(flags: MsFlags, bytes: usize) -> Self {
        let dir = TempDir::new().unwrap();
        mount(Some("tmpfs"), dir.path(), Some("tmpfs"), flags, Some(format!("size={bytes}").as_str()))
            .expect("mounting a tmpfs needs root");
        Self(dir)
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        umount2(self.path(), MntFlags::MNT_DETACH).unwrap();
    }
}

#[test]
fn a_directory_in_use_names_who_uses_it() {
    let state = TempDir::new().unwrap();
    let (journal, _) = Local::open(state.path()).unwrap();
    let said = refusal(state.path());
    assert!(said.contains(&format!("is in use by pid {}; stop that process", std::process::id())), "{said}");
    drop(journal);
    Local::open(state.path()).unwrap();
}

#[test]
fn a_directory_that_is_let_go_is_free_at_once_whatever_is_being_started() {
    let state = TempDir::new().unwrap();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        // Each has a copy of all open files for a moment.
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                Command::new("/bin/true").status().unwrap();
            }
        });
        let taken: Result<Vec<_>, _> = (0..5000).map(|_| local::lock(state.path()).map(drop)).collect();
        is_over.store(true, Ordering::Relaxed);
        taken.unwrap();
    });
}

#[test]
fn a_look_finds_what_opening_finds_and_changes_nothing() {
    let parent = TempDir::new().unwrap();
    let state = parent.path().join("state");
    assert_eq!(Local::look(&state).unwrap(), Recovered::default());
    assert!(!state.exists(), "a look makes no directory");
    let (mut journal, _) = Local::open(&state).unwrap();
    fill(&mut journal, &[b"one", b"two"]);
    let in_use = chain(&Local::look(&state).unwrap_err());
    assert!(in_use.contains(&format!("is in use by pid {}", std::process::id())), "{in_use}");
    drop(journal);
    let torn = [fs::read(segment(&state, 1)).unwrap(), vec![7; 5]].concat();
    fs::write(segment(&state, 1), &torn).unwrap();
    let lock = fs::read(state.join("lock")).unwrap();
    let looked = Local::look(&state).unwrap();
    assert_eq!((sum(&looked).len(), looked.cut.as_ref().map(|cut| cut.bytes)), (2, Some(5)));
    assert_eq!(fs::read(segment(&state, 1)).unwrap(), torn, "a look cuts nothing");
    assert_eq!(fs::read(state.join("lock")).unwrap(), lock, "a look takes no lock");
    let (journal, opened) = Local::open(&state).unwrap();
    assert_eq!(opened, looked);
    drop(journal);
    fs::remove_file(state.join("fence")).unwrap();
    assert!(chain(&Local::look(&state).unwrap_err()).contains("is missing beside a journal that is there"));
    fs::remove_dir_all(state.join("journal")).unwrap();
    assert_eq!(Local::look(&state).unwrap(), Recovered::default());
}

#[test]
fn a_file_is_no_state_directory() {
    let parent = TempDir::new().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(refusal(&file).contains("is not a directory; choose another with --state-dir"));
    let below = refusal(&file.join("below"));
    assert!(below.contains("cannot create directory") && below.contains("Not a directory"), "{below}");
}

#[test]
fn a_directory_that_cannot_be_written_is_refused() {
    let mount = Mount::new(MsFlags::MS_RDONLY, 1 << 20);
    let said = refusal(mount.path());
    assert!(said.contains("; the state directory must be writable by this user: Read-only file system"), "{said}");
}

#[test]
fn a_segment_of_a_later_format_is_refused() {
    let state = TempDir::new().unwrap();
    let (mut journal, _) = Local::open(state.path()).unwrap();
    fill(&mut journal, &[b"one"]);
    drop(journal);
    let mut bytes = fs::read(segment(state.path(), 1)).unwrap();
    bytes[8] = 2;
    let checksum = crc32fast::hash(&bytes[..20]);
    bytes[20..24].copy_from_slice(&checksum.to_le_bytes());
    fs::write(segment(state.path(), 1), bytes).unwrap();
    let said = refusal(state.path());
    assert!(said.contains("has format 2, but this program knows only formats up to 1"), "{said}");
}

#[test]
fn a_full_disk_stops_the_journal_and_loses_nothing() {
    let mount = Mount::new(MsFlags::empty(), 256 << 10);
    let ballast = mount.path().join("ballast");
    fs::write(&ballast, vec![0; 64 << 10]).unwrap();
    let (mut journal, _) = Local::open(mount.path()).unwrap();
    let payload = vec![3; 10_000];
    let full = loop {
        match journal.append(journal.position() + 1, &payload) {
            Ok(()) => {}
            Err(error) => break chain(&error),
        }
    };
    let durable = journal.position();
    assert!(
        full.starts_with(&format!("cannot append batch {}; the journal takes nothing more", durable + 1)),
        "{full}"
    );
    assert!(full.contains("the disk is full: free some space and start again"), "{full}");
    let refused = journal.append(durable + 1, b"small").unwrap_err().to_string();
    assert!(refused.starts_with("the journal takes nothing more since it failed"), "{refused}");
    drop(journal);

    let filler = mount.path().join("filler");
    fs::write(&filler, vec![0; 256 << 10]).unwrap_err();
    assert!(refusal(&mount.path().join("another")).contains("the disk is full: free some space"));
    fs::remove_file(ballast).unwrap();
    let (mut journal, recovered) = Local::open(mount.path()).unwrap();
    assert_eq!(sum(&recovered), vec![payload; usize::try_from(durable).unwrap()]);
    fill(&mut journal, &[b"small"]);
}
