//! The chart's network policy, on a node that enforces it: who must reach whom does, and nobody else.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use epic_common::api::{LeaderView, PlatformView};
use epic_tests::epic::repository;
use epic_tests::kubernetes::OUTSIDE;
use epic_tests::{http, wait};
use tokio::net::TcpSocket;

use crate::plain::MEMBERS;
use crate::release::{Door, FULL_NAME, PATIENCE, Release};
use crate::say::{Timed, say};
use crate::stage::{PRINCIPAL, SECRET, Stage};

/// Plays it; the node enforces policies from then on.
pub(crate) async fn play(stage: &Stage, enforcer: &Path) -> Result<()> {
    say("--- the network policy, enforced");
    let _enforcer = stage.kube.enforce(enforcer)?;
    stage.namespace(NAMESPACE)?;
    for namespace in [ADMITTED, STRANGER] {
        stage.kube.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n"))?;
    }
    let release = Release::of(stage, NAMESPACE, &stage.helm4);
    let timed = Timed::start();
    let masters = stage.mesos.master_addr().ip().to_string();
    release.put("install", &values(&policy(stage, &masters)?))?;
    let door = use_it(&release).await?;
    say(&format!("replicas reach each other, ZooKeeper and Mesos, and agents reach them ({timed})"));
    release.helm(&["test", "epic", "--timeout", "2m"])?;
    say("helm test is let through");
    for namespace in [STRANGER, NAMESPACE] {
        ask(&release, namespace)?;
        wait::until("a first attempt", PATIENCE, async || tried(&release, namespace)).await?;
    }
    ask(&release, ADMITTED)?;
    wait::until("an answer for who is admitted", PATIENCE, async || answered(&release, ADMITTED)).await?;
    // The others came before it, and ask every second.
    tokio::time::sleep(ANSWERS_WITHIN).await;
    for namespace in [STRANGER, NAMESPACE] {
        ensure!(answered(&release, namespace).is_err(), "a pod of {namespace} is answered");
    }
    from_outside(&release).await?;
    say("another namespace's pods, others of its own, and whoever is outside are refused; agents only get artifacts");
    drop(door);
    to_masters(&release).await?;
    release.put("upgrade", &values("networkPolicy: {enabled: false}\n"))?;
    wait::until("an answer without the policy", PATIENCE, async || answered(&release, STRANGER)).await?;
    say("without the policy the stranger is answered");
    for namespace in [ADMITTED, STRANGER, NAMESPACE] {
        stage.kube.kubectl(&["-n", namespace, "delete", "pod", POD, "--now"])?;
    }
    release.helm(&["uninstall", "epic", "--wait", "--timeout", "2m"]).map(drop)
}

/// Pushes the bundle and applies the platform, which agents must fetch.
async fn use_it(release: &Release<'_>) -> Result<Door> {
    let door = release.door(&format!("svc/{FULL_NAME}")).await?;
    let server = format!("http://{}", door.address);
    let token = release.secret_file(&format!("{FULL_NAME}-token"), "token")?;
    let own = ["--server", &server, "--token-file", &token];
    let bundle = release.stage.bundle.display().to_string();
    wait::until("all replicas know each other and hold the bundle", PATIENCE, async || {
        let said = release.epicctl(&[&["bundle", "push", &bundle], &own[..]].concat())?;
        ensure!(said.contains("held by 3 of 3 replicas"), "{said}");
        Ok(())
    })
    .await?;
    let document = release.document(u32::try_from(MEMBERS - 1)?)?;
    release.epicctl(&[&["platform", "apply", "--timeout", "2m", "-f", &document], &own[..]].concat())?;
    Ok(door)
}

/// Starts a pod in a namespace that asks the Service again and again.
fn ask(release: &Release<'_>, namespace: &str) -> Result<()> {
    let image = format!("--image=epic-mesos/cli:{}", env!("CARGO_PKG_VERSION"));
    let server = format!("--env=EPIC_SERVER=http://{FULL_NAME}.{NAMESPACE}.svc:8080");
    let pod = ["-n", namespace, "run", POD, &image, "--image-pull-policy=Never", "--restart=Never", &server];
    release.stage.kube.kubectl(&[&pod[..], &["--", "platform", "status", "--watch"]].concat()).map(drop)
}

/// It has asked, and had no answer yet.
fn tried(release: &Release<'_>, namespace: &str) -> Result<()> {
    let log = release.stage.kube.kubectl(&["-n", namespace, "logs", POD])?;
    ensure!(log.contains("still trying"), "the pod of {namespace} says {log:?}");
    Ok(())
}

/// It has had an answer.
fn answered(release: &Release<'_>, namespace: &str) -> Result<()> {
    let log = release.stage.kube.kubectl(&["-n", namespace, "logs", POD])?;
    ensure!(log.contains("platform: "), "the pod of {namespace} says {log:?}");
    Ok(())
}

/// Whoever is an agent by its address gets artifacts, and nothing else; nobody else gets anything.
async fn from_outside(release: &Release<'_>) -> Result<()> {
    // What agents start speaks by the address of the link.
    let stranger = release.stage.mesos.network().address(200).to_string();
    for pod in release.addresses()? {
        for (from, port, is_let) in
            [(OUTSIDE, 8081, true), (OUTSIDE, 8080, false), (stranger.as_str(), 8081, false), (&stranger, 8080, false)]
        {
            let connected = connect(from, &format!("{pod}:{port}")).await;
            ensure!(connected.is_ok() == is_let, "from {from} to {pod}:{port}: {connected:?}");
        }
    }
    Ok(())
}

async fn connect(from: &str, to: &str) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from.parse()?, 0))?;
    tokio::time::timeout(ANSWERS_WITHIN, socket.connect(to.parse()?)).await??;
    Ok(())
}

/// With other masters' addresses in the policy, the next leader gets no offers; with the right ones it does.
async fn to_masters(release: &Release<'_>) -> Result<()> {
    let right = release.stage.mesos.master_addr().ip().to_string();
    release.put("upgrade", &values(&policy(release.stage, "10.255.255.255")?))?;
    let leader = leader(release).await?;
    release.stage.kube.delete_pod(NAMESPACE, &leader)?;
    let refused = wait::until("a leader that Mesos is shut to", PATIENCE, async || {
        let view = platform(release).await?;
        let problem = &view.mesos.problem;
        ensure!(problem.contains(&format!("{MASTER}/")), "it says {:?}", view.mesos);
        Ok(view.mesos.problem)
    });
    say(&format!("with other masters in the policy: {}", refused.await?));
    release.put("upgrade", &values(&policy(release.stage, &right)?))?;
    wait::until("a leader that Mesos is open to", PATIENCE, async || {
        let view = platform(release).await?;
        ensure!(view.mesos.subscribed && view.phase == "ready", "it says {:?}", view.mesos);
        Ok(())
    })
    .await
}

/// What the leader itself says: others have no subscription.
async fn platform(release: &Release<'_>) -> Result<PlatformView> {
    let door = release.door(&format!("pod/{}", leader(release).await?)).await?;
    let text = http::get(&format!("http://{}/api/v2/platform", door.address)).await?;
    Ok(serde_json::from_str(&text)?)
}

/// The name of the pod that leads, as whoever answers knows it.
async fn leader(release: &Release<'_>) -> Result<String> {
    let door = release.door(&format!("svc/{FULL_NAME}")).await?;
    let text = http::get(&format!("http://{}/api/v2/leader", door.address)).await?;
    let view: LeaderView = serde_json::from_str(&text)?;
    let url = view.leader.context("nobody is known to lead")?;
    let host = url.split("//").nth(1).unwrap_or_default();
    Ok(host.split('.').next().unwrap_or_default().to_owned())
}

/// The page's example, with the addresses and ports of this place.
fn policy(stage: &Stage, masters: &str) -> Result<String> {
    let page = fs::read_to_string(repository("docs/how-to/kubernetes.md"))?;
    let example = page.split("```yaml\n").find(|block| block.starts_with("networkPolicy:"));
    let mut text = example.and_then(|rest| rest.split("```").next()).context("no example on the page")?.to_owned();
    let zookeeper = stage.zookeeper.addr();
    let port = stage.mesos.master_addr().port();
    let here = [
        ("agents: [10.0.0.0/16]", format!("agents: [{OUTSIDE}/32]")),
        (
            "zookeeper: [10.2.0.0/24]",
            format!("zookeeper: [{}/32], zookeeperPorts: [{}]", zookeeper.ip(), zookeeper.port()),
        ),
        ("masters: [10.0.0.0/24]", format!("masters: [{masters}/32], masterPorts: [{port}]")),
    ];
    for (printed, real) in here {
        ensure!(text.contains(printed), "the page's example has no {printed}");
        text = text.replace(printed, &real);
    }
    Ok(text)
}

fn values(policy: &str) -> String {
    format!(
        "mesos:
  master: {MASTER}
  frameworkName: {NAMESPACE}
  principal: {PRINCIPAL}
  secret: {{value: {SECRET}}}
zookeeper: {{url: 'zk://zookeeper:2181/{NAMESPACE}', sessionTimeout: 6s}}
{policy}"
    )
}

const MASTER: &str = "mesos:5050";
const NAMESPACE: &str = "policies";
/// The namespace that the page's example admits.
const ADMITTED: &str = "monitoring";
const STRANGER: &str = "stranger";
const POD: &str = "asks";
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);
