//! From one scheduler to several, and from a backup to schedulers that go on: nothing that runs notices.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use epic_common::api::LeaderView;
use epic_common::time::Timestamp;
use epic_scheduler::journal::fold::fold;
use epic_scheduler::journal::local::Local;
use epic_scheduler::journal::ring::{self, Place, Ring};
use epic_scheduler::journal::{Journal as _, codec};
use epic_scheduler::zookeeper::Session;
use epic_scheduler_core::mesos::TaskState;
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::entry::{Entry, Fact};
use epic_tests::cluster::Cluster;
use epic_tests::epic::{Epic, PATIENCE, built};
use epic_tests::http;
use epic_tests::process::Program;
use epic_tests::replicas::{Replicas, TOKEN};
use epic_tests::spec::ClusterSpec;
use epic_tests::zookeeper::ZooKeeper;
use nix::sys::signal::Signal;

use crate::crash::processes;
use crate::ha::{Before, as_before, takes_changes, three};
use crate::ring::session;

/// Runs a program of this workspace to its end; returns its exit code and what it said.
async fn run(program: &str, args: &[&str]) -> Result<(i32, String)> {
    let mut command = tokio::process::Command::new(built(program)?);
    command.args(args).kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.context("it runs on")??;
    let said = [output.stdout, output.stderr].concat();
    Ok((output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned()))
}

/// Runs a program that must end with this code and say this.
async fn says(program: &str, args: &[&str], code: i32, part: &str) -> Result<()> {
    let (found, said) = run(program, args).await?;
    ensure!(
        found == code && said.contains(part),
        "{args:?} ended with {found}, and not with {code} and {part}:\n{said}"
    );
    Ok(())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[tokio::test]
async fn a_single_scheduler_becomes_three_replicas_and_nothing_restarts() -> Result<()> {
    let cluster = Cluster::start(ClusterSpec::agents_of(4)).await?;
    let token = cluster.work_dir().join("token");
    fs::write(&token, TOKEN)?;
    fs::set_permissions(&token, Permissions::from_mode(0o600))?;
    let mut epic = Epic::probe(cluster, 2)?.args(["--token-file", &text(&token)]);
    epic.start()?;
    let view = epic.until_ready(3).await?;
    let (framework, index) = (view.mesos.framework_id.clone(), view.index);
    let mut before = Before { framework, index, processes: processes(&view).await? };
    let state_dir = text(&epic.state_dir());
    says("epic-scheduler", &["state", "show", &state_dir], 74, "epicctl admin backup FILE").await?;
    epic.terminate().await?;

    let master = epic.cluster.master_addr().to_string();
    let mut replicas = Replicas::prepare(epic.cluster, 3, 2).await?;
    let zk = replicas.zk();
    let publish = ["state", "publish", "--state-dir", &state_dir, "--zk", &zk, "--yes"];
    let would = format!("would move the journal of {state_dir} to {zk}: {}, 3 members", before.framework);
    says("epic-scheduler", &publish[..6], 64, &would).await?;
    says("epic-scheduler", &publish, 0, &format!("moved to {zk}: framework {}, 3 members", before.framework)).await?;
    let alone = ["--master", &master, "--state-dir", &state_dir];
    says("epic-scheduler", &alone, 64, &format!("was moved to {zk}; start with --zk {zk}")).await?;
    says("epic-scheduler", &publish, 0, "was moved to").await?;
    // Whoever makes the journal as on a new installation changes nothing.
    replicas.init().await?;

    for index in 0..3 {
        replicas.restart(index)?;
    }
    replicas.until_led(|_| true).await?;
    as_before(&replicas, &before).await?;
    says("epic-scheduler", &publish, 0, "was moved to").await?;
    let elsewhere = replicas.zookeeper.url("/elsewhere");
    let again = ["state", "publish", "--state-dir", &state_dir, "--zk", &elsewhere, "--yes"];
    says("epic-scheduler", &again, 64, &format!("was moved to {zk} already")).await?;
    takes_changes(&mut replicas, &mut before).await?;
    as_before(&replicas, &before).await?;
    follows_in(&replicas, &state_dir, &alone).await
}

/// The directory that the journal was moved from is as good as any for a replica, whose copy is what counts there then.
async fn follows_in(replicas: &Replicas, state_dir: &str, alone: &[&str]) -> Result<()> {
    let listen = replicas.cluster.network().free(210)?;
    let (zk, token) = (replicas.zk(), text(&replicas.token_file()));
    let program = Program::new(built("epic-scheduler")?, replicas.cluster.work_dir().join("fourth.log"));
    let program = program.args(alone.iter().copied()).args(["--listen", &listen.to_string(), "--zk", &zk]);
    let mut process = program.args(["--token-file", &token]).start()?;
    let follows = async || {
        let view: LeaderView = serde_json::from_str(&http::get(&format!("http://{listen}/api/v2/leader")).await?)?;
        ensure!(view.mode == "standby" && view.caught_up, "{view:?}");
        Ok(())
    };
    replicas.until("a replica follows on the old state directory", follows).await?;
    process.signal(Signal::SIGTERM)?;
    process.ended(PATIENCE).await?;
    let (_, said) = run("epic-scheduler", &["state", "show", state_dir, "--output", "json"]).await?;
    let shown: serde_json::Value = serde_json::from_str(&said)?;
    ensure!(shown["movedTo"].is_null() && shown["journal"] != "" && shown["tasks"] == 4, "{shown}");
    Ok(())
}

#[tokio::test]
async fn a_backup_of_replicas_restored_to_an_emptied_zookeeper_lets_them_go_on() -> Result<()> {
    let (mut replicas, leader, mut before) = three().await?;
    let token = text(&replicas.token_file());
    let file = text(&replicas.cluster.work_dir().join("backup"));
    let standby = replicas.url((leader + 1) % 3).to_owned();
    let backup = ["admin", "backup", &file, "--server", &standby, "--token-file", &token];
    says("epicctl", &backup, 0, "the state after entry ").await?;
    says("epicctl", &backup, 1, "is there already").await?;

    let zk = replicas.zk();
    let restore = ["state", "restore", &file, "--zk", &zk, "--yes"];
    says("epic-scheduler", &restore, 64, "holds another journal, and nothing overwrites one").await?;
    as_before(&replicas, &before).await?;
    for index in 0..3 {
        replicas.empty(index)?;
    }
    replicas.zookeeper.kill();
    replicas.zookeeper.empty()?;
    replicas.zookeeper.restart().await?;
    says("epic-scheduler", &restore, 0, &format!("of framework {}", before.framework)).await?;
    says("epic-scheduler", &restore, 0, "nothing was changed").await?;
    for index in 0..3 {
        replicas.restart(index)?;
    }
    replicas.until_led(|_| true).await?;
    // A standby's copy may have been a moment behind.
    before.index = 0;
    as_before(&replicas, &before).await?;
    takes_changes(&mut replicas, &mut before).await
}

#[tokio::test]
async fn a_replicas_copy_is_enough_to_go_on_when_zookeeper_is_lost() -> Result<()> {
    let (mut replicas, _, mut before) = three().await?;
    let mut entries = Vec::new();
    for index in 0..3 {
        replicas.terminate(index).await?;
        let (code, said) =
            run("epic-scheduler", &["state", "show", &text(replicas.state_dir(index)), "-o", "json"]).await?;
        ensure!(code == 0, "{said}");
        let shown: serde_json::Value = serde_json::from_str(&said)?;
        ensure!(shown["framework"] == before.framework.as_str() && shown["tasks"] == 3, "{shown}");
        entries.push((shown["index"].as_u64().context("no index")?, index));
    }
    let (_, newest) = entries.into_iter().max().context("there are three")?;
    let (dir, file) = (text(replicas.state_dir(newest)), text(&replicas.cluster.work_dir().join("backup")));
    says("epic-scheduler", &["state", "verify", &dir], 0, "whole, up to entry").await?;
    says("epic-scheduler", &["state", "backup", &dir, &file], 0, "the state after entry").await?;
    replicas.zookeeper.kill();
    replicas.zookeeper.empty()?;
    replicas.zookeeper.restart().await?;
    says("epic-scheduler", &["state", "restore", &file, "--zk", &replicas.zk()], 0, "begins with the state").await?;

    for index in 0..3 {
        replicas.restart(index)?;
        let refuses = async || {
            let view = replicas.view(index).await?;
            ensure!(view.problem.contains("epic-scheduler state forget"), "{view:?}");
            Ok(())
        };
        replicas.until("its copy is of another journal", refuses).await?;
    }
    for index in 0..3 {
        replicas.terminate(index).await?;
        let dir = text(replicas.state_dir(index));
        says("epic-scheduler", &["state", "forget", &dir], 64, "would be set aside; nothing was done").await?;
        says("epic-scheduler", &["state", "forget", &dir, "--yes"], 0, "follows whichever journal --zk names").await?;
        replicas.restart(index)?;
    }
    replicas.until_led(|_| true).await?;
    as_before(&replicas, &before).await?;
    takes_changes(&mut replicas, &mut before).await
}

/// Makes a journal of one framework in a state directory, which ends with the way to `moved` if there is one.
fn journal(dir: &Path, moved: Option<&str>) -> Result<State> {
    let (mut journal, _) = Local::open(dir)?;
    let mut state = State::default();
    let chosen = Fact::FrameworkChosen { framework: "fw-1".into(), role: "BlueData".to_owned() };
    for fact in [Some(chosen), moved.map(|url| Fact::MovedTo { url: url.to_owned() })].into_iter().flatten() {
        let entry = Entry::new(Timestamp(1_800_000_000_000_000), fact);
        journal.append(
            journal.position() + 1,
            &codec::encode_batch(0, state.index.next(), std::slice::from_ref(&entry)),
        )?;
        state.apply(&entry);
    }
    Ok(state)
}

async fn publish(dir: &Path, zk: &str, code: i32, part: &str) -> Result<()> {
    let args = ["state", "publish", "--state-dir", &text(dir), "--zk", zk, "--yes"];
    says("epic-scheduler", &args, code, part).await
}

/// Reads what replicas would start on.
async fn begins(session: &Session) -> Result<State> {
    Ok(fold(&Ring::open(session.clone()).await?.recover().await?)?)
}

#[tokio::test]
async fn a_move_that_was_interrupted_is_finished_by_the_same_command() -> Result<()> {
    let zookeeper = ZooKeeper::start().await?;
    let folder = tempfile::tempdir()?;
    let (first, second) = (zookeeper.url("/first"), zookeeper.url("/second"));
    // It died when the local journal had ended.
    let ended = folder.path().join("ended");
    let local = journal(&ended, Some(&first))?;
    let session = session(&zookeeper, "", "/first").await;
    ring::prepare(&session).await?;
    publish(&ended, &first, 0, "moved to").await?;
    let there = begins(&session).await?;
    ensure!(
        there.identity.framework == local.identity.framework
            && there.identity.roles == local.identity.roles
            && there.identity.moved_to.is_none(),
        "{there:?}"
    );
    ensure!(there.index.0 == local.index.0 + 1, "entry {} after {}", there.index.0, local.index.0);
    publish(&ended, &second, 64, &format!("was moved to {first} already")).await?;
    // The first place was never begun, so that another one will do.
    let free = folder.path().join("free");
    journal(&free, Some(&zookeeper.url("/never")))?;
    publish(&free, &second, 0, &format!("moved to {second}: framework fw-1")).await?;
    let moved = fold(&Local::look(&free)?)?.identity.moved_to;
    ensure!(moved.as_deref() == Some(second.as_str()), "{moved:?}");
    // Another journal finds the place taken, and goes on alone.
    let other = folder.path().join("other");
    journal(&other, None)?;
    publish(&other, &second, 64, "holds another journal, and nothing overwrites one").await?;
    ensure!(fold(&Local::look(&other)?)?.identity.moved_to.is_none(), "it has ended for nothing");
    Ok(())
}

#[tokio::test]
async fn a_journal_that_cannot_be_ended_is_begun_nowhere_else() -> Result<()> {
    let zookeeper = ZooKeeper::start().await?;
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("s");
    let state = journal(&dir, None)?;
    let (mut local, _) = Local::open(&dir)?;
    let fact = Fact::StrangerSeen { task: "t".repeat(2000), agent: "a".into(), state: TaskState::Running };
    local.append(2, &codec::encode_batch(0, state.index.next(), &[Entry::new(state.at, fact)]))?;
    drop(local);
    let zk = zookeeper.url("/epic");
    // Files that are there already grow no further, as on a full disk; new ones have a little room.
    let mut command = tokio::process::Command::new("bash");
    command.args(["-c", "ulimit -f 1; exec \"$@\"", "bash"]).arg(built("epic-scheduler")?).kill_on_drop(true);
    command.args(["state", "publish", "--state-dir", &text(&dir), "--zk", &zk, "--yes"]);
    let output = tokio::time::timeout(PATIENCE, command.output()).await.context("it runs on")??;
    ensure!(!output.status.success(), "it has ended the journal without writing to it");
    let session = session(&zookeeper, "", "/epic").await;
    ensure!(ring::look(&session).await? == Place::Free, "it had tried the path and begun nothing: {output:?}");
    ensure!(fold(&Local::look(&dir)?)?.identity.moved_to.is_none(), "the local journal has ended");
    publish(&dir, &zk, 0, "moved to").await?;
    ensure!(begins(&session).await?.strangers.len() == 1, "something is lost");
    Ok(())
}

#[tokio::test]
async fn whoever_moves_a_journal_may_be_killed_at_any_moment() -> Result<()> {
    let zookeeper = ZooKeeper::start().await?;
    let folder = tempfile::tempdir()?;
    let mut killed = [0; 2];
    for round in 0.. {
        let (dir, name) = (folder.path().join(round.to_string()), format!("/r{round}"));
        let local = journal(&dir, None)?;
        let mut command = tokio::process::Command::new(built("epic-scheduler")?);
        let zk = zookeeper.url(&name);
        command.args(["state", "publish", "--state-dir", &text(&dir), "--zk", &zk, "--yes"]).kill_on_drop(true);
        let mut process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
        let ended = tokio::time::timeout(Duration::from_millis(50 * round), process.wait()).await;
        process.kill().await.ok();
        let session = session(&zookeeper, "", &name).await;
        let has_ended = fold(&Local::look(&dir)?)?.identity.moved_to.is_some();
        let can_be_opened = Ring::open(session.clone()).await.is_ok();
        ensure!(has_ended || !can_be_opened, "round {round}: two journals go on from the same state");
        publish(&dir, &zk, 0, "moved to").await.with_context(|| format!("round {round}"))?;
        ensure!(begins(&session).await?.identity.framework == local.identity.framework, "round {round}");
        if ended.is_ok() {
            break;
        }
        killed[usize::from(has_ended)] += 1;
    }
    ensure!(killed[0] > 0, "nobody was killed before the local journal had ended");
    Ok(())
}

#[tokio::test]
async fn credentials_reach_zookeeper_and_no_journal() -> Result<()> {
    let zookeeper = ZooKeeper::start().await?;
    let folder = tempfile::tempdir()?;
    let dir = folder.path().join("s");
    journal(&dir, None)?;
    let url = zookeeper.url("/epic");
    publish(&dir, &url.replace("zk://", "zk://epic:s3cret@"), 0, &format!("moved to {url}")).await?;
    let kept = fs::read(dir.join("journal/segment-00000000000000000001.log"))?;
    ensure!(!kept.windows(6).any(|bytes| bytes == b"s3cret"), "the password is on disk");
    ensure!(fold(&Local::look(&dir)?)?.identity.moved_to.as_deref() == Some(url.as_str()));
    let anybody = session(&zookeeper, "", "/epic").await;
    ensure!(Ring::open(anybody).await.is_err(), "everybody may read it");
    let owner = session(&zookeeper, "epic:s3cret@", "/epic").await;
    ensure!(begins(&owner).await?.identity.framework == Some("fw-1".into()));
    Ok(())
}
