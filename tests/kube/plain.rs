//! A release as most people make it: installed, used, disturbed, upgraded, rolled back and uninstalled.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use epic_tests::epic::tasks_in;
use epic_tests::wait;

use crate::disruption;
use crate::release::{FULL_NAME, PATIENCE, Release, Standing};
use crate::say::{Timed, say, seconds};
use crate::stage::{PRINCIPAL, SECRET, Stage};
use crate::watch::Watch;

/// How much is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// All of it.
    Full,
    /// What another helm could do otherwise.
    Short,
}

/// Plays it with this helm. A second one finds the volumes, the token and the journal that the first has left, and must
/// find all that runs as it was.
pub(crate) async fn play(stage: &Stage, helm: &Path, length: Length, before: Option<&Standing>) -> Result<Standing> {
    let release = Release::of(stage, "plain", helm);
    say(&format!("--- helm {}", release.helm(&["version", "--short"])?.trim()));
    stage.namespace("plain")?;
    install(&release).await?;
    let standing = use_it(&release).await?;
    match before {
        None => fetched_from_pods(&release).await?,
        Some(before) => {
            ensure!(standing == *before, "another release finds {standing:?} instead of {before:?}");
            say("it found the framework and all members as the release before had left them");
        }
    }
    let timed = Timed::start();
    release.helm(&["test", "epic", "--timeout", "2m"])?;
    say(&format!("helm test passes ({timed})"));
    if length == Length::Full {
        disruption::lose_the_leader(&release, &standing).await?;
        disruption::evict_two(&release, &standing).await?;
        disruption::lose_zookeeper(&release, &standing).await?;
    }
    change(&release, &standing, "upgrade").await?;
    change(&release, &standing, "rollback").await?;
    uninstall(&release).await?;
    Ok(standing)
}

async fn install(release: &Release<'_>) -> Result<()> {
    let timed = Timed::start();
    release.put("install", &values(""))?;
    say(&format!("installed with --wait: 3 replicas are ready ({timed})"));
    release.until_ready(3).await?;
    release.until_led(|_| true).await?;
    Ok(())
}

/// Pushes the bundle and applies the platform, as the chart's notes say.
pub(crate) async fn use_it(release: &Release<'_>) -> Result<Standing> {
    let timed = Timed::start();
    let door = release.door(&format!("svc/{FULL_NAME}")).await?;
    let server = format!("http://{}", door.address);
    let token = release.secret_file(&format!("{FULL_NAME}-token"), "token")?;
    let bundle = release.stage.bundle.display().to_string();
    let own = ["--server", &server, "--token-file", &token];
    wait::until("all replicas know each other and hold the bundle", PATIENCE, async || {
        let said = release.epicctl(&[&["bundle", "push", &bundle], &own[..]].concat())?;
        ensure!(said.contains("held by 3 of 3 replicas"), "{said}");
        Ok(())
    })
    .await?;
    let document = release.document(WORKERS)?;
    release.epicctl(&[&["platform", "apply", "--no-wait", "-f", &document], &own[..]].concat())?;
    let standing = release.until_standing(MEMBERS).await?;
    say(&format!("a bundle was pushed, the platform is ready ({timed})"));
    Ok(standing)
}

/// Mesos was told to fetch the executor from a pod's own address.
async fn fetched_from_pods(release: &Release<'_>) -> Result<()> {
    let state = release.stage.mesos.state().await?;
    let tasks = release.stage.mesos.tasks().await?;
    ensure!(tasks_in(&tasks, "TASK_RUNNING").len() == MEMBERS, "Mesos runs other tasks: {tasks:?}");
    let text = state["frameworks"].to_string();
    let pods = release.addresses()?;
    ensure!(
        pods.iter().any(|pod| text.contains(&format!("http://{pod}:8081/artifacts/"))),
        "no executor comes from one of {pods:?}: {text}"
    );
    Ok(())
}

/// Upgrades or rolls back, which replaces each pod, and sees for how long nobody leads.
async fn change(release: &Release<'_>, standing: &Standing, how: &str) -> Result<()> {
    let watch = Watch::start(release)?;
    let timed = Timed::start();
    if how == "upgrade" {
        release.put("upgrade", &values("podAnnotations: {example.com/change: second}\n"))?;
    } else {
        release.helm(&["rollback", "epic", "1", "--wait", "--timeout", "4m"])?;
    }
    let taken = timed.to_string();
    release.until_ready(3).await?;
    let replaced = release.pods()?;
    let annotated = replaced.iter().filter(|pod| pod["metadata"]["annotations"]["example.com/change"] == "second");
    let wanted = if how == "upgrade" { 3 } else { 0 };
    ensure!(annotated.count() == wanted, "not all pods are of the revision wanted: {replaced:?}");
    release.until_led(|_| true).await?;
    ensure!(release.until_standing(MEMBERS).await? == *standing, "members are not what they were");
    let record = watch.stop()?;
    say(&format!(
        "{how}: all pods replaced in {taken}; nobody led for {} at most; led by {}",
        seconds(record.longest),
        record.leaders.iter().map(|(_epoch, who)| who.clone()).collect::<Vec<_>>().join(", "),
    ));
    ensure!(record.longest < HAND_OVER, "nobody led for {:?}, more than {HAND_OVER:?}", record.longest);
    Ok(())
}

/// Removes the release; its volumes and token stay, and what runs on Mesos.
async fn uninstall(release: &Release<'_>) -> Result<()> {
    let timed = Timed::start();
    release.helm(&["uninstall", "epic", "--wait", "--timeout", "2m"])?;
    let mut kept: Vec<String> =
        (0..3).map(|index| format!("persistentvolumeclaim/state-{FULL_NAME}-{index}")).collect();
    kept.push(format!("secret/{FULL_NAME}-token"));
    // Helm waits for the StatefulSet to be gone; its pods end a moment later.
    wait::until("nothing but the volumes and the token is left by helm uninstall", PATIENCE, async || {
        let left = release.kubectl(&["get", KINDS, "-o", "name"])?;
        let mut left: Vec<&str> = left.lines().filter(|name| !OURS.iter().any(|ours| name.starts_with(ours))).collect();
        left.sort_unstable();
        ensure!(left == kept, "{left:?} is left, instead of {kept:?}");
        Ok(())
    })
    .await?;
    let running = tasks_in(&release.stage.mesos.tasks().await?, "TASK_RUNNING");
    ensure!(running.len() == MEMBERS, "Mesos runs {running:?} without a scheduler");
    say(&format!("uninstalled: only the volumes and the token are left, and what runs on Mesos ({timed})"));
    Ok(())
}

/// The values that most people need; more may follow.
fn values(more: &str) -> String {
    format!(
        "mesos:
  master: mesos:5050
  principal: {PRINCIPAL}
  secret: {{value: {SECRET}}}
zookeeper: {{url: 'zk://zookeeper:2181/epic', sessionTimeout: 6s}}
spread: {{hosts: preferred}}
{more}"
    )
}

/// What the namespace has of its own, or of the stage.
const OURS: [&str; 7] = [
    "configmap/kube-root-ca.crt",
    "serviceaccount/default",
    "service/mesos",
    "service/zookeeper",
    "endpointslice.discovery.k8s.io/mesos-outside",
    "endpointslice.discovery.k8s.io/zookeeper-outside",
    "endpoints/",
];
/// Whatever a chart could leave.
const KINDS: &str = "all,configmaps,secrets,serviceaccounts,poddisruptionbudgets,networkpolicies,endpointslices,\
    roles,rolebindings,persistentvolumeclaims,controllerrevisions,leases";
const WORKERS: u32 = 2;
pub(crate) const MEMBERS: usize = 3;
/// A leader that is told to end hands over at once: much less than the session's time-out of six seconds.
const HAND_OVER: Duration = Duration::from_secs(4);
