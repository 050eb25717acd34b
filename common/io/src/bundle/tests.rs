//! What a bundle gives back, and everything that is refused.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use epic_common::ids::Digest;
use sha2::{Digest as _, Sha256};
use tar::{EntryType, Header};
use tempfile::TempDir;

use super::trailer::Trailer;
use super::*;

const MANIFEST: &str = "kind: App
apiLevel: 1
distroID: open/probe
version: 1.0.0-1
label: {name: Probe}
roles:
  - {id: worker, cardinality: 1+, minCores: 0.1, minMemory: 16MiB}
services:
  - id: probe
    command: [bin/probe, --file, '{{ dir }}/probe.conf']
    templates: [{source: conf/probe.conf, target: probe.conf}]
config:
  selectedRoles: [worker]
  roleServices: [{roleID: worker, serviceIDs: [probe]}]
";

/// Writes a source directory with files, modes, links and a path too long for a plain tar header.
fn source(root: &Path) -> PathBuf {
    let source = root.join("source");
    let payload = source.join("payload");
    let deep = payload.join("lib").join("x".repeat(120)).join("y".repeat(120));
    for directory in [&payload.join("bin"), &payload.join("conf"), &payload.join("empty"), &deep] {
        fs::create_dir_all(directory).unwrap();
    }
    fs::write(source.join("manifest.yaml"), MANIFEST).unwrap();
    fs::write(payload.join("bin/probe"), "#!/bin/sh\nexit 0\n").unwrap();
    fs::set_permissions(payload.join("bin/probe"), Permissions::from_mode(0o700)).unwrap();
    fs::write(payload.join("conf/probe.conf"), "a").unwrap();
    fs::write(deep.join("long"), vec![7; 100_000]).unwrap();
    fs::write(payload.join("empty file"), "").unwrap();
    symlink("../conf/probe.conf", payload.join("bin/link")).unwrap();
    symlink(Path::new("lib").join("x".repeat(120)).join("y".repeat(120)), payload.join("long link")).unwrap();
    source
}

/// Builds the source above and returns the bundle's path and digest.
fn built(root: &Path) -> (PathBuf, Digest) {
    let file = root.join("probe.bin");
    let built = build(&source(root), &file).unwrap();
    assert_eq!(built.bytes, fs::metadata(&file).unwrap().len());
    (file, built.digest)
}

fn sha256(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// Lists a tree: path to mode and content or target.
fn tree(root: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut found = BTreeMap::new();
    let mut left = vec![root.to_owned()];
    while let Some(path) = left.pop() {
        let metadata = fs::symlink_metadata(&path).unwrap();
        let content = if metadata.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            b"directory".to_vec()
        } else if metadata.is_symlink() {
            format!("-> {}", fs::read_link(&path).unwrap().display()).into_bytes()
        } else {
            fs::read(&path).unwrap()
        };
        let name = path.strip_prefix(root).unwrap().display().to_string();
        found.insert(name, (metadata.permissions().mode() & 0o7777, content));
    }
    found
}

/// One entry of a forged payload.
fn entry(kind: EntryType, path: &str, target: &str, content: &[u8]) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(if kind == EntryType::Directory { 0o755 } else { 0o644 });
    header.set_size(content.len() as u64);
    header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
    header.as_old_mut().linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn file(path: &str) -> Vec<u8> {
    entry(EntryType::Regular, path, "", b"x")
}

fn directory(path: &str) -> Vec<u8> {
    entry(EntryType::Directory, path, "", b"")
}

fn link(path: &str, target: &str) -> Vec<u8> {
    entry(EntryType::Symlink, path, target, b"")
}

/// Puts a bundle together whose digests are right, whatever is in it.
struct Forged {
    manifest: String,
    archive: Vec<u8>,
    /// What the trailer says; `None` is the truth.
    unpacked: Option<u64>,
}

impl Forged {
    fn of(entries: &[Vec<u8>]) -> Self {
        let mut archive = entries.concat();
        archive.resize(archive.len() + 1024, 0);
        Self { manifest: MANIFEST.to_owned(), archive, unpacked: None }
    }

    fn write(&self, path: &Path) -> Digest {
        self.write_payload(path, &zstd::encode_all(self.archive.as_slice(), 1).unwrap())
    }

    fn write_with_window(&self, path: &Path, log: u32) -> Digest {
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(log).unwrap();
        encoder.write_all(&self.archive).unwrap();
        self.write_payload(path, &encoder.finish().unwrap())
    }

    fn write_payload(&self, path: &Path, payload: &[u8]) -> Digest {
        let stub = b"#!/bin/sh\n# EPIC bundle\nexit 0\n";
        let mut trailer = Trailer {
            stub: stub.len() as u64,
            payload: payload.len() as u64,
            manifest: self.manifest.len() as u64,
            unpacked: self.unpacked.unwrap_or(self.archive.len() as u64),
            digest: Digest([0; 32]),
        };
        let mut bytes = [stub, payload, self.manifest.as_bytes(), trailer.fields().as_bytes()].concat();
        trailer.digest = sha256(&bytes);
        bytes.extend(trailer.digest.to_string().bytes());
        fs::write(path, &bytes).unwrap();
        sha256(&bytes)
    }

    /// Asserts that verify and install both refuse it with these words, and that install leaves nothing behind.
    fn is_refused(&self, words: &str) {
        let root = TempDir::new().unwrap();
        let path = root.path().join("forged.bin");
        let digest = self.write(&path);
        let verified = chain(&verify(&path).unwrap_err());
        assert!(verified.contains(words), "{words}: {verified}");
        let into = root.path().join("into");
        assert_eq!(chain(&install(&path, digest, &into, &mut |_, _| {}).unwrap_err()), verified);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "{words}: something is left");
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {}", chain(cause)))
}

fn sh(bundle: &Path, args: &[&str]) -> Output {
    Command::new("sh").arg(bundle).args(args).output().unwrap()
}

#[test]
fn the_same_input_gives_the_same_digest_wherever_it_is() {
    let (one, other) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (first, digest) = built(one.path());
    let source = source(other.path());
    fs::set_permissions(source.join("payload/conf/probe.conf"), Permissions::from_mode(0o600)).unwrap();
    let second = build(&source, &other.path().join("b.bin")).unwrap();
    assert_eq!(digest, second.digest);
    assert_eq!(digest, sha256(&fs::read(&first).unwrap()));
    assert_eq!(verify(&first).unwrap(), digest);
    fs::write(source.join("payload/conf/probe.conf"), "b").unwrap();
    assert_ne!(build(&source, &other.path().join("b.bin")).unwrap().digest, digest);
}

#[test]
fn entries_are_sorted_and_each_directory_comes_first() {
    let root = TempDir::new().unwrap();
    let source = source(root.path());
    for name in ["b", "a", "d", "c", "z", "y", "B"] {
        fs::write(source.join("payload/empty").join(name), "").unwrap();
    }
    let file = root.path().join("b.bin");
    build(&source, &file).unwrap();
    let mut order = Order(Vec::new());
    Bundle::open(&file).unwrap().walk(&mut order).unwrap();
    let parts = |path: &String| path.split('/').map(ToOwned::to_owned).collect::<Vec<_>>();
    assert!(order.0.is_sorted_by_key(parts), "{:?}", order.0);
    assert_eq!(order.0.len(), 19);
}

/// Keeps the paths in their order.
struct Order(Vec<String>);

impl Sink for Order {
    fn entry(&mut self, path: &str, _: &Entry) -> Result<Option<(File, PathBuf)>, Error> {
        self.0.push(path.to_owned());
        Ok(None)
    }

    fn progress(&mut self, _: u64) {}
}

#[test]
fn the_umask_changes_nothing() {
    let again = "exec \"$0\" --exact bundle::tests::the_stub_and_the_library_install_the_same_tree";
    let this = std::env::current_exe().unwrap();
    let said = Command::new("sh").args(["-c", &format!("umask 077; {again}")]).arg(this).output().unwrap();
    assert!(said.status.success() && String::from_utf8_lossy(&said.stdout).contains("1 passed"), "{said:?}");
}

#[test]
fn what_is_opened_is_what_was_built() {
    let root = TempDir::new().unwrap();
    let (file, _) = built(root.path());
    let bundle = Bundle::open(&file).unwrap();
    assert_eq!((bundle.manifest().distro_id.as_str(), bundle.manifest_yaml()), ("open/probe", MANIFEST));
    assert_eq!(bundle.bytes(), fs::metadata(&file).unwrap().len());
}

#[test]
fn the_stub_and_the_library_install_the_same_tree() {
    let root = TempDir::new().unwrap();
    let (file, digest) = built(root.path());
    let (ours, theirs, third) = (root.path().join("ours"), root.path().join("theirs"), root.path().join("third"));
    let installed = install(&file, digest, &ours, &mut |_, _| {}).unwrap();
    assert_eq!(installed, Installed::Now { entries: 12 });
    let said = sh(&file, &["--payload", theirs.to_str().unwrap()]);
    assert!(said.status.success(), "{said:?}");
    let said = Command::new("sh").arg(&file).arg("--install").env("EPIC_INSTALL_DIR", &third).output().unwrap();
    assert!(said.status.success(), "{said:?}");
    assert_eq!(tree(&ours), tree(&theirs));
    assert_eq!(tree(&ours), tree(&third));
    assert_eq!(tree(&ours)["bin/probe"], (0o755, b"#!/bin/sh\nexit 0\n".to_vec()));
    assert_eq!(tree(&ours)["bin/link"].1, b"-> ../conf/probe.conf");
    assert_eq!(install(&file, digest, &theirs, &mut |_, _| {}).unwrap(), Installed::Already);
}

#[test]
fn the_stub_tells_what_is_in_it_and_refuses_what_is_damaged() {
    let root = TempDir::new().unwrap();
    let (file, digest) = built(root.path());
    assert_eq!(sh(&file, &["--meta"]).stdout, MANIFEST.as_bytes());
    assert!(String::from_utf8(sh(&file, &["--help"]).stdout).unwrap().contains("EPIC bundle open/probe 1.0.0-1"));
    assert!(sh(&file, &["--verify"]).status.success());
    assert_eq!(sh(&file, &["--frobnicate"]).status.code(), Some(2));
    let full = root.path().join("source").display().to_string();
    assert!(!sh(&file, &["--payload", &full]).status.success());
    let bytes = fs::read(&file).unwrap();
    for (name, damaged) in [("cut", bytes[..bytes.len() - 1].to_vec()), ("flipped", flipped(&bytes, bytes.len() - 250))]
    {
        let damaged_file = root.path().join(name);
        fs::write(&damaged_file, damaged).unwrap();
        let into = root.path().join("into").display().to_string();
        for args in [&["--verify"][..], &["--payload", &into]] {
            let said = sh(&damaged_file, args);
            assert_eq!(said.status.code(), Some(1), "{name} {args:?}: {said:?}");
        }
        assert!(!Path::new(&into).exists());
    }
    assert_eq!(verify(&file).unwrap(), digest);
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at] ^= 1;
    bytes
}

#[test]
fn a_second_installation_returns_at_once_and_a_half_one_is_done_again() {
    let root = TempDir::new().unwrap();
    let (file, digest) = built(root.path());
    let into = root.path().join("deep/er/into");
    fs::create_dir_all(root.path().join("deep/er/into.part/bin")).unwrap();
    fs::write(root.path().join("deep/er/into.part/stray"), "half").unwrap();
    let mut heard = Vec::new();
    install(&file, digest, &into, &mut |done, total| heard.push((done, total))).unwrap();
    assert!(heard.is_sorted() && heard.len() > 2, "{heard:?}");
    assert!(!tree(&into).contains_key("stray"));
    fs::remove_file(&file).unwrap();
    assert_eq!(install(&file, digest, &into, &mut |_, _| {}).unwrap(), Installed::Already);
}

#[test]
fn what_is_not_ours_is_not_replaced() {
    let root = TempDir::new().unwrap();
    let (file, digest) = built(root.path());
    let into = root.path().join("into");
    fs::create_dir(&into).unwrap();
    fs::write(into.join("theirs"), "x").unwrap();
    assert!(matches!(install(&file, digest, &into, &mut |_, _| {}), Err(Error::Occupied(_))));
    assert!(matches!(install(&file, digest, &into.join("theirs"), &mut |_, _| {}), Err(Error::Occupied(_))));
    assert_eq!(fs::read(into.join("theirs")).unwrap(), b"x");
}

#[test]
fn another_digest_than_expected_is_refused_before_anything_is_unpacked() {
    let root = TempDir::new().unwrap();
    let (file, digest) = built(root.path());
    let into = root.path().join("into");
    let expected = Digest([1; 32]);
    let error = install(&file, expected, &into, &mut |_, _| {}).unwrap_err();
    assert!(matches!(error, Error::WrongDigest { expected: e, actual: a, .. } if (e, a) == (expected, digest)));
    assert!(!into.exists() && !root.path().join("into.part").exists());
}

#[test]
fn a_bundle_cut_anywhere_is_refused() {
    let root = TempDir::new().unwrap();
    let (file, digest) = built(root.path());
    let bytes = fs::read(&file).unwrap();
    let Trailer { stub, payload, .. } = Bundle::open(&file).unwrap().trailer;
    let at = |offset: u64| usize::try_from(offset).unwrap();
    let cuts =
        [0, 1, 10, at(stub) - 1, at(stub), at(stub) + 1, at(stub + payload), bytes.len() - 193, bytes.len() - 192];
    let cut = root.path().join("cut.bin");
    for length in cuts.into_iter().chain([bytes.len() - 64, bytes.len() - 1]) {
        fs::write(&cut, &bytes[..length]).unwrap();
        let error = verify(&cut).unwrap_err();
        let truncated = matches!(error, Error::Truncated { found, .. } if found == length as u64);
        let unknown = length <= 10 && matches!(error, Error::NotABundle(_));
        assert!(truncated || unknown, "{length}: {error}");
        assert!(install(&cut, digest, &root.path().join("into"), &mut |_, _| {}).is_err());
    }
    // Without its beginning, the trailer is right and speaks of more than there is.
    fs::write(&cut, &bytes[1..]).unwrap();
    assert!(matches!(verify(&cut), Err(Error::Truncated { expected: Some(_), .. })));
    fs::write(&cut, [b"more", bytes.as_slice()].concat()).unwrap();
    assert!(verify(&cut).unwrap_err().to_string().contains("4 bytes too many"));
}

#[test]
fn a_flipped_bit_anywhere_is_seen() {
    let root = TempDir::new().unwrap();
    let (file, digest) = built(root.path());
    let bytes = fs::read(&file).unwrap();
    let changed = root.path().join("changed.bin");
    let step = bytes.len() / 97;
    for at in (0..bytes.len()).step_by(step).chain(bytes.len() - 256..bytes.len()) {
        fs::write(&changed, flipped(&bytes, at)).unwrap();
        assert!(verify(&changed).is_err(), "{at}");
        assert!(install(&changed, digest, &root.path().join("into"), &mut |_, _| {}).is_err(), "{at}");
    }
}

#[test]
fn other_files_and_later_formats_are_named() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("x");
    fs::write(&path, vec![0; 10_000]).unwrap();
    assert!(matches!(verify(&path), Err(Error::NotABundle(_))));
    assert!(matches!(verify(root.path().join("absent")), Err(Error::Io { operation: "open", .. })));
    Forged::of(&[]).write(&path);
    let mut bytes = fs::read(&path).unwrap();
    let format = bytes.len() - 192 + 16;
    bytes[format] = b'7';
    fs::write(&path, bytes).unwrap();
    assert!(matches!(verify(&path), Err(Error::Format { found, .. }) if found == "7"));
}

#[test]
fn a_wrong_manifest_is_refused_with_its_path() {
    for (from, to, words) in [
        ("apiLevel: 1", "apiLevel: 1\ncolour: red", "colour"),
        ("serviceIDs: [probe]", "serviceIDs: []", "roles[0].id: \"worker\" has no services"),
        ("version: 1.0.0-1", "version: '$(reboot)'", "version"),
    ] {
        let forged = Forged { manifest: MANIFEST.replace(from, to), ..Forged::of(&[]) };
        forged.is_refused(words);
        let root = TempDir::new().unwrap();
        let source = source(root.path());
        fs::write(source.join("manifest.yaml"), &forged.manifest).unwrap();
        let error = chain(&build(&source, &root.path().join("b.bin")).unwrap_err());
        assert!(error.contains(words) && error.contains("manifest.yaml"), "{error}");
        assert!(!root.path().join("b.bin").exists());
    }
}

#[test]
fn a_path_that_leaves_the_payload_is_refused() {
    for path in ["../x", "/x", "a/../../x", "./x", ""] {
        Forged::of(&[directory("a"), file(path)]).is_refused("its path must be relative");
    }
    Forged::of(&[file("a/x")]).is_refused("its directory must come before it");
    Forged::of(&[file("a"), file("a/x")]).is_refused("below something that is not a directory");
    Forged::of(&[file("a"), file("a")]).is_refused("it is there twice");
    Forged::of(&[file(".epic-bundle")]).is_refused("kept for the installation");
}

#[test]
fn a_link_that_could_leave_the_payload_is_refused() {
    for target in ["/etc/passwd", "..", "../../x", "a/../../x", "", "../", "."] {
        Forged::of(&[link("l", target)]).is_refused("could leave the payload");
    }
    // Judged by its text alone this stays inside; through the first link it goes up twice.
    Forged::of(&[directory("a"), link("a/up", ".."), link("l", "a/up/../x")]).is_refused("could leave the payload");
    Forged::of(&[directory("a"), link("l", "a"), file("l/x")]).is_refused("below something that is not a directory");
    Forged::of(&[directory("a"), link("l", "a"), file("l")]).is_refused("it is there twice");
}

#[test]
fn what_is_neither_file_nor_directory_nor_link_is_refused() {
    for kind in
        [EntryType::Link, EntryType::Char, EntryType::Block, EntryType::Fifo, EntryType::GNUSparse, EntryType::XHeader]
    {
        Forged::of(&[entry(kind, "x", "y", b"")]).is_refused("only directories, files and symbolic links");
    }
    let mut setuid = file("x");
    let mut header = Header::new_gnu();
    header.as_mut_bytes().copy_from_slice(&setuid[..512]);
    header.set_mode(0o4755);
    header.set_cksum();
    setuid[..512].copy_from_slice(header.as_bytes());
    Forged::of(&[setuid]).is_refused("its mode is 4755");
}

#[test]
fn a_bomb_is_refused_while_it_is_read() {
    let zeros = vec![0; 64 << 20];
    let big = [entry(EntryType::Regular, "zeros", "", &zeros)];
    Forged { unpacked: Some(4096), ..Forged::of(&big) }.is_refused("unpacks to more than its trailer says");
    Forged { unpacked: Some(u64::MAX), ..Forged::of(&[]) }.is_refused("more than 4294967296 bytes");
    // The archive ends early and zeros go on: they count too.
    let endless = Forged { archive: zeros, manifest: MANIFEST.to_owned(), unpacked: Some(1024) };
    endless.is_refused("unpacks to more than its trailer says");
    Forged { unpacked: Some(1 << 20), ..Forged::of(&[file("x")]) }.is_refused("cannot read the payload");
}

#[test]
fn no_more_is_read_than_the_trailer_speaks_of() {
    let many = (0..100).flat_map(|nth| directory(&format!("d{nth:03}"))).collect();
    let long = [entry(EntryType::Regular, "zeros", "", &[0; 1 << 20])].concat();
    for archive in [many, long] {
        let mut left: &[u8] = &archive;
        let walked = walk::walk(Path::new("b.bin"), &mut left, 4096, &mut Nowhere);
        assert!(matches!(walked, Err(Error::TooLarge { .. })), "{walked:?}");
        assert!(archive.len() - left.len() <= 4096, "{} bytes were read", archive.len() - left.len());
    }
}

#[test]
fn a_damaged_header_is_seen() {
    let mut damaged = file("x");
    damaged[0] = b'y';
    Forged::of(&[damaged]).is_refused("a tar header has a wrong checksum");
}

#[test]
fn long_names_and_many_entries_have_bounds() {
    let name = vec![b'x'; 4 << 20];
    Forged::of(&[entry(EntryType::GNULongName, "././@LongLink", "", &name), file("x")])
        .is_refused("a path of 4194304 bytes");
    let many: Vec<_> = (0..=100_000).map(|nth| entry(EntryType::Directory, &format!("d{nth}"), "", b"")).collect();
    let root = TempDir::new().unwrap();
    let path = root.path().join("many.bin");
    Forged::of(&many).write(&path);
    let error = verify(&path).unwrap_err().to_string();
    assert!(error.contains("more than 100000 entries"), "{error}");
}

#[test]
fn a_bundle_at_its_bounds_is_verified_in_less_than_32_mib() {
    let root = TempDir::new().unwrap();
    // Within the bounds, and as hard as can be: the most entries, the longest names, the largest window.
    let links = (0..99_000).map(|nth| link(&format!("{nth:040}"), &"t".repeat(40)));
    let forged =
        Forged::of(&links.chain([entry(EntryType::Regular, "content", "", &vec![7; 9 << 20])]).collect::<Vec<_>>());
    let path = root.path().join("hard.bin");
    forged.write_with_window(&path, 23);
    let again = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "bundle::tests::alone_it_tells_its_memory", "--nocapture"])
        .env(ALONE, &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&again.stdout);
    let kib: u64 = said.split("KiB: ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().parse().unwrap();
    assert!(kib < 32 << 10, "{said}");
    assert!(said.contains("conf/probe.conf"), "it was read to its end: {said}");
}

/// Names the bundle that [`alone_it_tells_its_memory`] is to verify.
const ALONE: &str = "EPIC_TEST_BUNDLE";

/// Verifies a bundle in a process of its own; with the other tests there is nothing to do.
#[test]
#[expect(clippy::print_stdout, reason = "its output is what the other process reads")]
fn alone_it_tells_its_memory() {
    let Some(path) = std::env::var_os(ALONE) else { return };
    let peak = || {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().to_owned();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    let before = peak();
    let verified = verify(path).map_err(|error| chain(&error));
    println!("KiB: {} {verified:?}", peak() - before);
}

#[test]
fn what_would_take_too_much_memory_is_refused() {
    let root = TempDir::new().unwrap();
    let path = root.path().join("forged.bin");
    Forged::of(&[entry(EntryType::Regular, "x", "", &vec![7; 17 << 20])]).write_with_window(&path, 24);
    assert!(matches!(verify(&path), Err(Error::Payload { .. })));
    let long = |nth: u32| {
        let (name, target) = (format!("{nth:01000}"), "t".repeat(1000));
        [
            entry(EntryType::GNULongName, "././@LongLink", "", name.as_bytes()),
            entry(EntryType::GNULongLink, "././@LongLink", "", target.as_bytes()),
            link("", ""),
        ]
        .concat()
    };
    let fits: Vec<_> = (0..4194).map(long).collect();
    Forged::of(&fits).write(&path);
    let error = chain(&verify(&path).unwrap_err());
    assert!(error.contains("conf/probe.conf"), "{error}");
    Forged::of(&[fits, vec![long(4194)]].concat()).write(&path);
    let error = chain(&verify(&path).unwrap_err());
    assert!(error.contains("its paths and link targets: more than 8388608 bytes"), "{error}");
}

#[test]
fn control_characters_are_refused_and_not_shown() {
    Forged::of(&[file("a\x1b[2Jb")]).is_refused("\"a\u{fffd}[2Jb\" is refused: its path has control characters");
    Forged::of(&[link("l", "a\x07b")]).is_refused("its link target \"a\u{fffd}b\" could leave the payload");
}

#[test]
fn what_has_no_room_is_refused_before_it_is_unpacked() {
    let root = TempDir::new().unwrap();
    let small = root.path().join("small");
    fs::create_dir(&small).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=68m", "none"]).arg(&small).status().unwrap();
    assert!(mounted.success(), "this test needs root");
    let path = root.path().join("forged.bin");
    let digest = Forged::of(&[entry(EntryType::Regular, "x", "", &vec![7; 8 << 20])]).write(&path);
    let result = install(&path, digest, &small.join("into"), &mut |_, _| {});
    let left = fs::read_dir(&small).unwrap().count();
    assert!(Command::new("umount").arg(&small).status().unwrap().success());
    let error = result.unwrap_err();
    assert!(matches!(error, Error::NoRoom { needed: 8_390_144, free: 71_303_168, .. }), "{error:?}");
    assert_eq!(left, 0);
}

#[test]
fn what_the_manifest_names_must_be_in_the_payload() {
    let conf = [directory("conf"), file("conf/probe.conf"), directory("bin")];
    Forged::of(&conf).is_refused("\"bin/probe\" is refused: service probe runs it");
    Forged::of(&[conf.as_slice(), &[file("bin/probe")]].concat()).is_refused("it is no executable file");
    Forged::of(&[]).is_refused("\"conf/probe.conf\" is refused: service probe has it as a template");
}

#[test]
fn a_source_that_could_not_be_installed_is_not_built() {
    let check = |spoil: &dyn Fn(&Path), words: &str| {
        let root = TempDir::new().unwrap();
        let source = source(root.path());
        spoil(&source.join("payload"));
        let error = chain(&build(&source, &root.path().join("b.bin")).unwrap_err());
        assert!(error.contains(words), "{words}: {error}");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "{words}: something is left");
    };
    check(&|payload| symlink("/etc", payload.join("etc")).unwrap(), "could leave the payload");
    check(
        &|payload| fs::set_permissions(payload.join("bin/probe"), Permissions::from_mode(0o4755)).unwrap(),
        "mode 4755",
    );
    check(&|payload| fs::remove_file(payload.join("conf/probe.conf")).unwrap(), "has it as a template");
    check(&|payload| drop(std::os::unix::net::UnixListener::bind(payload.join("s")).unwrap()), "only directories");
    check(&|payload| fs::remove_dir_all(payload).unwrap(), "cannot read");
    let root = TempDir::new().unwrap();
    let error = build(&source(root.path()), &root.path().join("no/such/b.bin")).unwrap_err();
    assert!(error.to_string().contains("cannot write"), "{error}");
}

#[test]
fn an_io_error_names_its_path() {
    let root = TempDir::new().unwrap();
    let (file, digest) = built(root.path());
    let into = root.path().join("not a directory");
    fs::write(&into, "x").unwrap();
    let error = install(&file, digest, &into.join("into"), &mut |_, _| {}).unwrap_err();
    assert!(chain(&error).contains("not a directory/into"), "{error}");
}
