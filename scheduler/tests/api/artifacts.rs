//! Files survive their originals, crashes and damage.

use std::fs;
use std::path::Path;

use epic_common::ids::Digest;
use epic_common::spec::BundleSource;
use epic_scheduler::artifacts::{Artifacts, Error};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::fixture::bundle;

fn sha256(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder.join("artifacts"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_later_start_finds_what_was_added_without_its_original() {
    let folder = TempDir::new().unwrap();
    let program = folder.path().join("executor");
    fs::write(&program, "program").unwrap();
    let file = bundle(folder.path());
    let artifacts = Artifacts::open(folder.path()).unwrap();
    let executor = artifacts.add_executor(&program).unwrap();
    let facts = artifacts.add_bundle(&file).unwrap();
    assert_eq!(executor, sha256(b"program"));
    assert_eq!(artifacts.add_executor(&program).unwrap(), executor, "a repeat changes nothing");
    assert_eq!(artifacts.add_bundle(&file).unwrap(), facts);
    fs::remove_file(&program).unwrap();
    fs::remove_file(&file).unwrap();

    let artifacts = Artifacts::open(folder.path()).unwrap();
    assert_eq!(artifacts.verify().unwrap(), Vec::<std::path::PathBuf>::new());
    assert_eq!(fs::read(artifacts.find(&executor).unwrap().path).unwrap(), b"program");
    assert_eq!(artifacts.bundle(&facts.digest).unwrap(), facts);
    assert_eq!(facts.manifest.distro_id, "open/platform");
    assert_eq!(names(folder.path()).len(), 2);
}

#[test]
fn a_change_of_the_original_does_not_reach_the_copy() {
    let folder = TempDir::new().unwrap();
    let program = folder.path().join("executor");
    fs::write(&program, "program").unwrap();
    let artifacts = Artifacts::open(folder.path()).unwrap();
    let first = artifacts.add_executor(&program).unwrap();
    fs::write(&program, "another").unwrap();
    let second = artifacts.add_executor(&program).unwrap();
    assert_eq!(fs::read(artifacts.find(&first).unwrap().path).unwrap(), b"program");
    assert_eq!(second, sha256(b"another"));
}

#[test]
fn what_a_crash_left_is_removed_and_what_is_damaged_is_set_aside() {
    let folder = TempDir::new().unwrap();
    let program = folder.path().join("executor");
    fs::write(&program, "program").unwrap();
    let digest = Artifacts::open(folder.path()).unwrap().add_executor(&program).unwrap();
    let kept = folder.path().join("artifacts").join(digest.to_string());
    fs::write(kept.with_extension("part"), "half").unwrap();
    fs::write(&kept, "damaged").unwrap();

    let artifacts = Artifacts::open(folder.path()).unwrap();
    assert_eq!(names(folder.path()), [digest.to_string()]);
    assert_eq!(artifacts.verify().unwrap(), [kept.with_extension("damaged")]);
    assert_eq!(artifacts.find(&digest), None);
    assert_eq!(artifacts.add_executor(&program).unwrap(), digest, "the original makes up for it");
    assert_eq!(fs::read(&kept).unwrap(), b"program");
    fs::write(&kept, "Program").unwrap();
    artifacts.add_executor(&program).unwrap();
    assert_eq!(fs::read(&kept).unwrap(), b"program", "damage of the same length is found when it is added again");
}

#[test]
fn what_is_no_bundle_or_another_one_is_refused_and_leaves_nothing() {
    let folder = TempDir::new().unwrap();
    let text = folder.path().join("text");
    fs::write(&text, "hello").unwrap();
    let file = bundle(folder.path());
    let artifacts = Artifacts::open(folder.path()).unwrap();
    let resolve =
        |path: &Path, sha256| artifacts.resolve(&BundleSource { path: path.to_str().unwrap().to_owned(), sha256 });
    assert!(matches!(resolve(&text, None), Err(Error::Bundle(_))));
    assert!(matches!(resolve(Path::new("/dev/zero"), None), Err(Error::Io { operation: "read", .. })));
    assert!(matches!(resolve(Path::new(""), Some(Digest([1; 32]))), Err(Error::Unknown(_))));
    assert_eq!(names(folder.path()), Vec::<String>::new());
    let expected = Digest([1; 32]);
    assert!(
        matches!(resolve(&file, Some(expected)), Err(Error::WrongDigest { expected: said, .. }) if said == expected)
    );
    let facts = resolve(&file, None).unwrap();
    fs::remove_file(&file).unwrap();
    assert_eq!(resolve(&file, Some(facts.digest)).unwrap(), facts, "a digest that is known needs no file");
}
