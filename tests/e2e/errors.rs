//! A scheduler that can't start says why in one line, with its exit code, and loses nothing by it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use epic_common::api::PlatformView;
use epic_common_io::bundle;
use epic_tests::epic::{PATIENCE, built};
use epic_tests::place::{Mount, Place};
use epic_tests::process::Program;
use epic_tests::wait;
use nix::sys::signal::Signal;
use sha2::{Digest as _, Sha256};

/// Changed options, and parts of the line that they cause.
type Case<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str]);

/// Wrong options.
const USAGE: i32 = 64;
/// A bundle, document or journal that can't be used.
const DATA: i32 = 65;
/// A disk or a port that can't be used.
const IO: i32 = 74;

#[tokio::test]
async fn options_that_do_not_go_together_or_name_what_is_not_there() -> Result<()> {
    let place = Place::new()?;
    let secret = place.write("secret", "s3cret\n")?;
    let open = place.write("token", "0123456789abcdef")?;
    fs::set_permissions(&open, fs::Permissions::from_mode(0o644))?;
    let empty = place.write("empty", "")?;
    let unknown = place.write("options.yaml", "rolle: BlueData\n")?;
    let dir = place.text_of("");
    let checks: [Case<'_>; 13] = [
        (&[("--master", "m1")], &["--master", "the port is missing; write HOST:PORT"]),
        (&[("--master", "")], &["required", "--master"]),
        (&[("--role", "a b")], &["--role", "must be a name like BlueData"]),
        (&[("--principal", "bd")], &["--principal bd needs its secret", "--secret-file FILE"]),
        (&[("--secret-file", &secret)], &["--secret-file", "--principal NAME"]),
        (&[("--principal", "bd"), ("--secret-file", &empty)], &["secret file", "/empty is empty", "on one line"]),
        (&[("--principal", "bd"), ("--secret-file", "/none")], &["cannot read secret file /none: No such file"]),
        (&[("--ca-file", &empty)], &["ca file", "/empty holds no certificate"]),
        (&[("--token-file", &open)], &["token file", "has mode 0644", "run: chmod 600"]),
        (&[("--executor", "/none")], &["the executor's program /none: No such file", "with --executor FILE"]),
        (&[("--executor", &dir)], &["it is not a file", "with --executor FILE"]),
        (&[("--config", &unknown)], &["options.yaml: \"rolle\" is no option that a file can hold"]),
        (&[("--listen", "0.0.0.0:1")], &["--listen 0.0.0.0 is no address", "--advertise http://HOST:PORT"]),
    ];
    for (changes, parts) in checks {
        place.refuses(changes, USAGE, parts).await?;
    }
    let elsewhere = [("--master", "192.0.2.1:5050")];
    place.refuses(&elsewhere, USAGE, &["can't be reached from other machines", "192.0.2.1", "--advertise"]).await?;
    place.starts(&[]).await?;
    Ok(())
}

#[tokio::test]
async fn a_check_of_what_is_right_says_nothing_and_makes_nothing() -> Result<()> {
    let place = Place::new()?;
    let said = place.run(&[], &["--check"]).await?;
    ensure!(said.code == Some(0) && said.lines.is_empty(), "{}", said.stderr);
    ensure!(!place.path("state").exists(), "the state directory was made");
    let both = place.run(&[("--executor", "/none"), ("--platform", "/none")], &["--check"]).await?;
    ensure!(both.code == Some(DATA) && both.lines.len() == 2, "everything that is wrong is said: {}", both.stderr);
    Ok(())
}

#[tokio::test]
async fn a_secret_that_others_can_read_is_warned_of() -> Result<()> {
    let place = Place::new()?;
    let secret = place.write("secret", "s3cret\n")?;
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o644))?;
    let said = place.run(&[("--principal", "bd"), ("--secret-file", &secret)], &["--check"]).await?;
    let warned =
        said.stderr.contains("WARN") && said.stderr.contains("secret file can be read or written by every user");
    ensure!(said.code == Some(0) && warned && !said.stderr.contains("s3cret"), "{}", said.stderr);
    Ok(())
}

#[tokio::test]
async fn bundles_that_are_none_or_damaged() -> Result<()> {
    let place = Place::new()?;
    let whole = fs::read(place.path("platform.bin"))?;
    let end = whole.len();
    let mut flipped = whole.clone();
    flipped[end / 2] ^= 1;
    let mut renamed = whole[..end - 64].to_vec();
    let field = renamed.windows(9).position(|window| window == b"distroID:").context("the manifest has a distroID")?;
    renamed[field..field + 9].copy_from_slice(b"distroIX:");
    let digest = hex::encode(Sha256::digest(&renamed));
    renamed.extend(digest.as_bytes());
    let checks: [(&[u8], &[&str]); 5] = [
        (b"#!/bin/sh\necho hello\n", &["is not an EPIC bundle: it has no bundle trailer at its end"]),
        (b"", &["is not an EPIC bundle"]),
        (&whole[..end - 100], &["is truncated", "its trailer is missing"]),
        (&flipped, &["wrong sha256 in its trailer", "fetch or build it again"]),
        (&renamed, &["cannot accept the manifest in", "distroIX"]),
    ];
    for (contents, parts) in checks {
        let bad = place.write("bad.bin", contents)?;
        let named = format!("--bin {bad}: ");
        let parts = [&[named.as_str(), "bad.bin"], parts].concat();
        place.refuses(&[("--platform", ""), ("--bin", &bad)], DATA, &parts).await?;
    }
    let missing = [("--platform", ""), ("--bin", "/none.bin")];
    place.refuses(&missing, DATA, &["cannot read --bin /none.bin: No such file"]).await?;
    let bin = place.text_of("platform.bin");
    let (_process, view) = place.starts(&[("--platform", ""), ("--bin", &bin)]).await?;
    let members = view.desired.map(|desired| desired.members.into_iter().collect::<Vec<_>>());
    ensure!(members == Some(vec![("controller".to_owned(), 1), ("worker".to_owned(), 1)]), "{members:?}");
    Ok(())
}

#[tokio::test]
async fn documents_that_ask_for_what_cannot_be() -> Result<()> {
    let place = Place::new()?;
    let zeros =
        format!("  bundle: {{uri: 'file://{}', sha256: '{}'}}\n", place.text_of("platform.bin"), "0".repeat(64));
    let another = place
        .document("")
        .lines()
        .filter(|line| !line.contains("bundle:"))
        .fold(String::new(), |text, line| text + line + "\n");
    let digest = bundle::verify(place.path("platform.bin"))?.to_string();
    let checks: [(String, &[&str]); 9] = [
        (place.document("  wrokers: {count: 2}\n"), &["wrokers", "line 5"]),
        (place.document("  gateways: {count: 1}\n"), &["spec.gateways: not supported yet; take it out"]),
        (place.document("  mesos: {}\n"), &["spec.mesos: not supported yet", "options of epic-scheduler"]),
        (place.document("  workers: {count: 20000}\n"), &["spec.workers.count: 20000 is more than 10000"]),
        (place.document("  workers: {count: 0}\n"), &["spec.workers.count: 0 is not allowed, the bundle says 1+"]),
        (
            place.document("  controllers: {count: 2}\n"),
            &["spec.controllers.count: 2 is not allowed, the bundle says 1"],
        ),
        (
            place.document("  grant: {perHost: {cpus: 0.01, memory: 1GiB}}\n"),
            &["spec.grant.perHost.cpus: a controller needs 0.1 cpus"],
        ),
        (another + &zeros, &["has sha256", &digest, "was asked for"]),
        ("kind: [\n".to_owned(), &["the platform is not valid", "line "]),
    ];
    for (text, parts) in checks {
        let file = place.write("bad.yaml", text)?;
        let named = format!("--platform {file}: ");
        place.refuses(&[("--platform", &file)], DATA, &[&[named.as_str()], parts].concat()).await?;
    }
    place.refuses(&[("--platform", "/none.yaml")], DATA, &["cannot read --platform /none.yaml: No such file"]).await?;
    place.starts(&[]).await?;
    Ok(())
}

#[tokio::test]
async fn state_directories_that_are_none_or_cannot_be_written() -> Result<()> {
    let place = Place::new()?;
    let file = place.write("file", "")?;
    place
        .refuses(&[("--state-dir", &file)], IO, &["/file is not a directory; choose another with --state-dir"])
        .await?;
    let below = format!("{file}/below");
    place.refuses(&[("--state-dir", &below)], IO, &["/file", "ot a directory"]).await?;
    let mounted = place.text_of("mounted");
    let mount = Mount::new(&place.path("mounted"), 1 << 20)?;
    mount.read_only()?;
    let parts = ["/mounted", "the state directory must be writable by this user", "Read-only file system"];
    place.refuses(&[("--state-dir", &mounted)], IO, &parts).await?;
    place.refuses(&[("--state-dir", &format!("{mounted}/below"))], IO, &parts).await
}

#[tokio::test]
async fn a_state_directory_or_a_port_that_another_scheduler_uses() -> Result<()> {
    let place = Place::new()?;
    let (mut process, before) = place.starts(&[]).await?;
    let pid = format!("is in use by pid {}; stop that process", process.pid());
    place.refuses(&[], IO, &["/state ", &pid, "--state-dir"]).await?;
    place.refuses(&[("--listen", &place.another()?)], IO, &[&pid]).await?;
    let other = place.text_of("other");
    let port = format!("cannot listen on {}", place.listen());
    place.refuses(&[("--state-dir", &other)], IO, &[&port, "--listen ADDRESS:PORT"]).await?;
    place
        .refuses(&[("--state-dir", &other), ("--listen", "192.0.2.1:80")], IO, &["this machine has no such address"])
        .await?;
    process.kill();
    let (_process, after) = place.starts(&[]).await?;
    ensure!(is_same(&before, &after), "before {before:?}, after {after:?}");
    Ok(())
}

#[tokio::test]
async fn a_role_that_is_not_the_state_directorys() -> Result<()> {
    let place = Place::new()?;
    let (mut process, before) = place.starts(&[]).await?;
    process.kill();
    let parts = [
        "/state belongs to a framework of role BlueData",
        "--role says Other",
        "use BlueData, or another state directory",
    ];
    place.refuses(&[("--role", "Other")], USAGE, &parts).await?;
    let (_process, after) = place.starts(&[]).await?;
    ensure!(is_same(&before, &after), "before {before:?}, after {after:?}");
    Ok(())
}

/// Tells whether nothing was lost of a platform that never ran.
fn is_same(before: &PlatformView, after: &PlatformView) -> bool {
    (&before.desired, before.index, &before.mesos.framework_id)
        == (&after.desired, after.index, &after.mesos.framework_id)
}

/// A place whose scheduler has ended in good order, the journal's only segment, and what the platform looked like.
async fn ended() -> Result<(Place, PathBuf, PlatformView)> {
    let place = Place::new()?;
    let (mut process, view) = place.starts(&[]).await?;
    process.signal(Signal::SIGTERM)?;
    let status = process.ended(PATIENCE).await?;
    ensure!(status.success(), "{status}: {}", place.log());
    let segment = fs::read_dir(place.path("state/journal"))?.next().context("the journal has a segment")??.path();
    Ok((place, segment, view))
}

#[tokio::test]
async fn a_journal_with_a_torn_end_is_cut_with_a_warning() -> Result<()> {
    let (place, segment, before) = ended().await?;
    let whole = fs::read(&segment)?;
    fs::write(&segment, [whole.as_slice(), &[0xff; 7]].concat())?;
    let said = place.run(&[], &["--check"]).await?;
    ensure!(
        said.code == Some(0) && fs::read(&segment)?.len() == whole.len() + 7,
        "a check cuts nothing: {}",
        said.stderr
    );
    let (_process, after) = place.starts(&[]).await?;
    let warned = place.log().lines().any(|line| {
        line.contains("WARN")
            && line.contains("was cut off; nothing that was promised is lost")
            && line.contains("bytes=7")
    });
    ensure!(warned, "{}", place.log());
    ensure!(is_same(&before, &after), "before {before:?}, after {after:?}");
    Ok(())
}

#[tokio::test]
async fn a_journal_that_was_damaged_or_emptied_is_refused_until_it_is_restored() -> Result<()> {
    let (place, segment, before) = ended().await?;
    let whole = fs::read(&segment)?;
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    fs::write(&segment, &flipped)?;
    let file = segment.display().to_string();
    let parts = [file.as_str(), "is damaged at byte ", "in batch ", "restore the state directory from a backup"];
    place.refuses(&[], DATA, &parts).await?;
    ensure!(fs::read(&segment)? == flipped, "what is damaged is left as it is");
    fs::remove_file(&segment)?;
    let gone = [
        "/state/journal ends at batch 0, but batch ",
        "the journal is gone, and starting anew would abandon what runs",
        "backup",
    ];
    place.refuses(&[], DATA, &gone).await?;
    fs::remove_dir(place.path("state/journal"))?;
    place.refuses(&[], DATA, &gone).await?;
    fs::create_dir_all(place.path("state/journal"))?;
    fs::write(&segment, &whole)?;
    let (_process, after) = place.starts(&[]).await?;
    ensure!(is_same(&before, &after), "before {before:?}, after {after:?}");
    Ok(())
}

#[tokio::test]
async fn a_disk_that_is_full_at_the_start() -> Result<()> {
    let place = Place::new()?;
    let mount = Mount::new(&place.path("small"), 2 << 20)?;
    let executor = built("epic-executor")?.display().to_string();
    let small = place.text_of("small/state");
    let options = [("--state-dir", small.as_str()), ("--executor", executor.as_str())];
    place.refuses(&options, IO, &["the disk of state directory", "/small/state", "ree some space"]).await?;
    mount.resize(256 << 20)?;
    place.starts(&options).await?;
    Ok(())
}

#[tokio::test]
async fn a_file_that_differs_or_went_bad_later_is_reported_and_changes_nothing() -> Result<()> {
    let place = Place::new()?;
    let (mut process, before) = place.starts(&[]).await?;
    process.kill();
    let more = place
        .write("more.yaml", place.document("  workers: {count: 3}\n  grant: {perHost: {cpus: 1, memory: 1GiB}}\n"))?;
    let bad = place.write("bad.yaml", "kind: Platform\n")?;
    let differs = [
        "--platform differs from the platform that is there",
        "spec.workers.count: is 2, the file says 3",
        "spec.grant.perHost: is none",
    ];
    let unusable = ["the platform's file can't be used; the platform of the journal goes on as it is", "bad.yaml"];
    for (file, parts) in [(&more, differs.as_slice()), (&bad, unusable.as_slice())] {
        let (mut process, after) = place.starts(&[("--platform", file)]).await?;
        ensure!(is_same(&before, &after), "before {before:?}, after {after:?}");
        process.kill();
        let log = place.log();
        let warned = log.lines().any(|line| line.contains("WARN") && parts.iter().all(|part| line.contains(part)));
        ensure!(warned, "none says {parts:?}: {log}");
    }
    let said = place.run(&[("--platform", &bad)], &["--check"]).await?;
    ensure!(said.code == Some(DATA), "a check tells it nevertheless: {}", said.stderr);
    let lines = place.log().lines().filter(|line| line.contains("differs")).count();
    let (_process, _) = place.starts(&[]).await?;
    ensure!(
        place.log().lines().filter(|line| line.contains("differs")).count() == lines,
        "the same file differs in nothing"
    );
    Ok(())
}

#[tokio::test]
async fn a_secret_that_comes_late_is_waited_for_and_one_that_does_not_is_not_waited_for_for_ever() -> Result<()> {
    let place = Place::new()?;
    let (token, file) = (place.path("mount/token"), place.text_of("mount/token"));
    let says = "waiting for a file that can't be used yet";
    let said = place.run(&[("--token-file", &file), ("--wait-for-files", "1s")], &[]).await?;
    ensure!(said.code == Some(USAGE) && said.lines.len() == 1, "{:?}: {}", said.code, said.stderr);
    ensure!(said.lines[0].contains(&format!("cannot read token file {file}: No such file")), "{}", said.stderr);
    ensure!(said.stderr.matches(says).count() == 1, "it is told once: {}", said.stderr);

    let options = [("--token-file", file.as_str()), ("--wait-for-files", "1m")];
    let log = place.path("early");
    let mut early = Program::new(built("epic-scheduler")?, &log).args(place.options(&options)).start()?;
    wait::until("it waits", PATIENCE, async || {
        ensure!(fs::read_to_string(&log)?.contains(says), "{}", early.log_tail(5));
        Ok(())
    })
    .await?;
    early.signal(Signal::SIGTERM)?;
    let status = early.ended(Duration::from_secs(20)).await?;
    ensure!(status.success(), "told to end while it waits, it ended by {status}: {}", early.log_tail(5));

    let mount = async {
        wait::until("it waits", PATIENCE, async || {
            ensure!(place.log().contains(says), "{}", place.log());
            Ok(())
        })
        .await?;
        fs::create_dir(place.path("mount"))?;
        fs::write(place.path("mount/part"), "0123456789abcdef\n")?;
        fs::set_permissions(place.path("mount/part"), fs::Permissions::from_mode(0o600))?;
        fs::rename(place.path("mount/part"), token)?;
        anyhow::Ok(())
    };
    let (started, mounted) = tokio::join!(place.starts(&options), mount);
    mounted?;
    let (mut process, _view) = started?;
    ensure!(place.log().matches(says).count() == 1, "{}", place.log());
    process.kill();
    Ok(())
}
