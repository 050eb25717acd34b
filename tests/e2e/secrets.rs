//! Secrets come by file or by environment, are told to nobody, and are changed while everything runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use epic_tests::cluster::{Cluster, Part};
use epic_tests::epic::{Epic, PATIENCE, built};
use epic_tests::http;
use epic_tests::replicas::{Replicas, TOKEN};
use epic_tests::spec::ClusterSpec;
use epic_tests::wait;
use serde_json::json;
use tokio::process::Command;

use crate::artifacts::epicctl;
use crate::crash::{nothing_restarts, processes, subscribed};

const SECRET: &str = "mesos-s3cret";
const DIGEST: &str = "epic:digest-s3cret";

fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, format!("{text}\n"))?;
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(0o600))?)
}

fn credentials(secret: &str) -> ClusterSpec {
    let mut spec = ClusterSpec::agents_of(2);
    spec.credentials = vec![("bd".to_owned(), secret.to_owned())];
    spec
}

#[tokio::test]
async fn another_mesos_secret_is_used_from_the_next_subscription_on_without_a_restart() -> Result<()> {
    let mut epic = Epic::probe(Cluster::start(credentials("first")).await?, 1)?;
    let secret = epic.cluster.work_dir().join("secret");
    epic.set("--principal", "bd");
    epic.set("--secret-file", &secret.display().to_string());
    write(&secret, "first")?;
    epic.start()?;
    let before = processes(&epic.until_ready(2).await?).await?;
    let pid = epic.pid();
    // Masters read theirs at their start.
    let known = json!({"credentials": [{"principal": "bd", "secret": "second"}]}).to_string();
    fs::write(epic.cluster.work_dir().join("credentials"), known)?;
    epic.cluster.kill(Part::Master(0));
    epic.cluster.restart(Part::Master(0))?;
    epic.cluster.agents_active().await?;
    epic.until("the old secret is refused", PATIENCE, |view| {
        ensure!(view.mesos.problem.contains("401"), "{:?}", view.mesos);
        Ok(())
    })
    .await?;
    // What can't be read leaves the old one in use, and everything up.
    fs::remove_file(&secret)?;
    let log = epic.log().len();
    let told = "the secret can't be read; the last one stays in use";
    wait::until("the loss is told", PATIENCE, async || {
        ensure!(epic.log()[log..].contains(told), "{}", epic.log_tail());
        Ok(())
    })
    .await?;
    write(&secret, "second")?;
    subscribed(&mut epic).await?;
    ensure!(epic.pid() == pid, "it runs on");
    nothing_restarts(&mut epic, &before).await
}

/// Runs `epic-scheduler` with no other secrets than these.
async fn scheduler(args: &[&str], environment: &[(&str, &str)]) -> Result<Output> {
    let mut command = Command::new(built("epic-scheduler")?);
    command.args(args).envs(environment.iter().copied()).kill_on_drop(true);
    Ok(tokio::time::timeout(PATIENCE, command.output()).await.with_context(|| format!("{args:?} runs on"))??)
}

async fn refused(args: &[&str], environment: &[(&str, &str)], code: i32, part: &str) -> Result<()> {
    let output = scheduler(args, environment).await?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(code) && said.contains(part), "{args:?}: {} {said}", output.status);
    ensure!(environment.iter().all(|(_, secret)| !said.contains(secret)), "a secret is told: {said}");
    Ok(())
}

#[tokio::test]
async fn every_secret_may_come_by_environment_or_by_file_and_is_told_to_nobody() -> Result<()> {
    let mut replicas = Replicas::prepare(Cluster::start(credentials(SECRET)).await?, 2, 1).await?;
    let (dir, zk) = (replicas.cluster.work_dir().to_owned(), replicas.zk());
    let (digest, secret) = (dir.join("digest"), dir.join("secret"));
    write(&digest, DIGEST)?;
    write(&secret, SECRET)?;
    let (digest, secret) = (digest.display().to_string(), secret.display().to_string());
    let made = scheduler(&["init", "--zk", &zk, "--zk-digest-file", &digest], &[]).await?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    refused(&["init", "--zk", &zk], &[], 69, "has no right to it").await?;
    let again = scheduler(&["init", "--zk", &zk], &[("EPIC_ZK_DIGEST", DIGEST)]).await?;
    ensure!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));

    replicas.option("--principal", "bd");
    replicas.unset(0, "--token-file");
    for (name, value) in [("EPIC_TOKEN", TOKEN), ("EPIC_SECRET", SECRET), ("EPIC_ZK_DIGEST", DIGEST)] {
        replicas.env(0, name, value);
    }
    for arg in ["--zk-digest-file", &digest, "--secret-file", &secret] {
        replicas.arg(1, arg);
    }
    replicas.restart(0)?;
    replicas.restart(1)?;
    replicas.until_ready(2).await?;
    // Each of them can lead with what it was given.
    let (first, _) = replicas.until_led(|_| true).await?;
    replicas.until("both take part", async || replicas.ready(1 - first).await).await?;
    replicas.kill(first);
    let (second, _) = replicas.until_led(|leader| leader != first).await?;
    replicas.until("it is subscribed", async || replicas.ready(second).await).await?;
    replicas.post(second, "/api/v2/platform/instances/worker-0/restart").await?;
    replicas.until_ready(2).await?;
    for index in 0..2 {
        let log = replicas.log(index);
        let pid = replicas.pid(index).map(|pid| fs::read_to_string(format!("/proc/{pid}/cmdline"))).transpose()?;
        let shown = format!("{log}{}", pid.unwrap_or_default());
        ensure!(!shown.contains("s3cret") && !shown.contains(TOKEN), "a secret is shown: {shown}");
    }

    let token = replicas.token_file().display().to_string();
    let alone = ["--master", "127.0.0.1:1", "--state-dir", "/nonexistent/epic", "--check"];
    let with = |more: &[&'static str]| [&alone[..], more].concat();
    let both = "and EPIC_TOKEN both give the token; leave one of them out";
    let file = [&alone[..], &["--token-file", token.as_str()]].concat();
    refused(&file, &[("EPIC_TOKEN", "another-s3cret-token")], 64, both).await?;
    refused(&with(&[]), &[("EPIC_TOKEN", "s3cret")], 64, "EPIC_TOKEN holds no token: 16 to 256 visible").await?;
    refused(&with(&[]), &[("EPIC_SECRET", "s3cret")], 64, "EPIC_SECRET needs the name that it belongs to").await?;
    let principal = with(&["--principal", "bd"]);
    refused(&principal, &[("EPIC_SECRET", "a\nb-s3cret")], 64, "EPIC_SECRET has more than one line").await?;
    let init = ["init", "--zk", &zk.replace("zk://", "zk://me:url@"), "--zk-digest-file", &digest];
    refused(&init, &[], 64, "(with a password) and --zk-digest-file both give the user and password").await
}

/// Asks for a change at each replica with a token; answers the statuses.
async fn statuses(replicas: &Replicas, token: &str) -> Result<Vec<u16>> {
    let mut statuses = Vec::new();
    for index in 0..2 {
        let url = format!("{}/api/v2/platform/start", replicas.url(index));
        let answer = http::client().post(url).bearer_auth(token).timeout(PATIENCE).send().await?;
        statuses.push(answer.status().as_u16());
    }
    Ok(statuses)
}

#[tokio::test]
async fn another_token_counts_at_every_replica_and_at_every_later_leader() -> Result<()> {
    const NEW: &str = "the-next-token-of-all";
    let mut replicas = Replicas::start(Cluster::start(ClusterSpec::agents_of(2)).await?, 2, 1).await?;
    let before = processes(&replicas.until_ready(2).await?).await?;
    let (first, _) = replicas.until_led(|_| true).await?;
    let standby = 1 - first;
    let new = replicas.cluster.work_dir().join("new-token");
    write(&new, NEW)?;
    let asked = ["admin", "set-token", "--new-token-file", &new.display().to_string(), "--yes"].map(str::to_owned);
    let asked: Vec<_> = asked.iter().map(String::as_str).collect();
    let said = epicctl(&replicas, standby, &asked).await?;
    ensure!(said.starts_with("the token is set: all replicas take it from now on, and no other"), "{said}");
    let counts = async || {
        let (old, new) = (statuses(&replicas, TOKEN).await?, statuses(&replicas, NEW).await?);
        ensure!(old == [401, 401] && new == [200, 200], "the old one {old:?}, the new one {new:?}");
        Ok(())
    };
    replicas.until("the new token counts everywhere", counts).await?;
    // Who didn't hear of it may ask again, still with the old one.
    epicctl(&replicas, standby, &asked).await?;

    replicas.kill(first);
    replicas.until_led(|leader| leader == standby).await?;
    // It comes back with the old one in its file.
    replicas.restart(first)?;
    replicas.until("it takes part", async || replicas.ready(first).await).await?;
    replicas.kill(standby);
    replicas.until_led(|leader| leader == first).await?;
    replicas.restart(standby)?;
    replicas.until("it takes part", async || replicas.ready(standby).await).await?;
    let counts = async || {
        let (old, new) = (statuses(&replicas, TOKEN).await?, statuses(&replicas, NEW).await?);
        ensure!(old == [401, 401] && new == [200, 200], "the old one {old:?}, the new one {new:?}");
        Ok(())
    };
    replicas.until("the new token still counts everywhere", counts).await?;
    let says = replicas.log(first).contains("started with another token than the one that all replicas accept");
    ensure!(says, "nobody says that it has the old one");
    ensure!(processes(&replicas.until_ready(2).await?).await? == before, "nothing restarts");
    Ok(())
}
