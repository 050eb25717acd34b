//! A release with everything shut: TLS, credentials in Secrets, agents that reach nodes but no pods.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use epic_common::api::{LeaderView, PlatformView};
use epic_tests::kubernetes::{NODE, Route, route_to_pods};
use epic_tests::wait;
use serde_json::json;

use crate::accepted;
use crate::certificates::{Authority, secret};
use crate::plain::MEMBERS;
use crate::release::{Door, FULL_NAME, PATIENCE, Release, Standing, standing};
use crate::say::{Timed, say, seconds};
use crate::stage::{PRINCIPAL, SECRET, Stage};

/// Installs, uses, disturbs and removes it.
pub(crate) async fn play(stage: &Stage) -> Result<()> {
    say("--- TLS, credentials in Secrets, and agents that reach nodes only");
    let release = Release::of(stage, NAMESPACE, &stage.helm4);
    stage.namespace(NAMESPACE)?;
    accepted::monitoring(stage)?;
    let authority = Authority::make()?;
    secrets(&release, &authority)?;
    route_to_pods(Route::Remove)?;
    let played = installed(&release, &authority).await;
    route_to_pods(Route::Add)?;
    played
}

async fn installed(release: &Release<'_>, authority: &Authority) -> Result<()> {
    let timed = Timed::start();
    release.put("install", &values())?;
    say(&format!("installed with --wait ({timed})"));
    release.helm(&["test", "epic", "--timeout", "2m"])?;
    say("helm test passes over TLS");
    let before = use_it(release).await?;
    renew(release, authority).await?;

    let first = leader(release).await?;
    let gone = release.stage.kube.delete_pod(NAMESPACE, &first)?;
    let second = wait::until("another leader", PATIENCE, async || {
        let leader = leader(release).await?;
        ensure!(leader != first, "{leader} leads");
        Ok(leader)
    })
    .await?;
    release.until_ready(3).await?;
    let door = Sealed::open(release).await?;
    ensure!(until_standing(release, &door).await? == before, "members are not what they were");
    say(&format!("the leader's pod {first} was deleted: gone in {}, {second} leads, nothing restarted", seconds(gone)));
    drop(door);
    release.helm(&["uninstall", "epic", "--wait", "--timeout", "2m"])?;
    Ok(())
}

/// Pushes the bundle and applies the platform over TLS; agents fetch from the node.
async fn use_it(release: &Release<'_>) -> Result<Standing> {
    let timed = Timed::start();
    let door = Sealed::open(release).await?;
    let bundle = release.stage.bundle.display().to_string();
    wait::until("all replicas know each other and hold the bundle", PATIENCE, async || {
        let said = door.epicctl(release, &["bundle", "push", &bundle])?;
        ensure!(said.contains("held by 3 of 3 replicas"), "{said}");
        Ok(())
    })
    .await?;
    let document = release.document(WORKERS)?;
    door.epicctl(release, &["platform", "apply", "--no-wait", "-f", &document])?;
    let standing = until_standing(release, &door).await?;
    let state = release.stage.mesos.state().await?;
    let frameworks = state["frameworks"].as_array().cloned().unwrap_or_default();
    let ours =
        frameworks.iter().find(|framework| framework["name"] == NAMESPACE).context("Mesos knows no such framework")?;
    ensure!(
        ours.to_string().contains(&format!("http://{NODE}:{NODE_PORT}/artifacts/")),
        "agents fetch elsewhere: {ours}"
    );
    say(&format!("pushed over TLS, the platform is ready, agents fetch from {NODE}:{NODE_PORT} ({timed})"));
    Ok(standing)
}

async fn until_standing(release: &Release<'_>, door: &Sealed) -> Result<Standing> {
    wait::until("all members are ready", PATIENCE, async || {
        let text = door.epicctl(release, &["platform", "status", "--output", "json"])?;
        standing(&serde_json::from_str::<PlatformView>(&text)?, MEMBERS)
    })
    .await
}

/// The pod that leads, as whoever answers behind the Service knows it.
async fn leader(release: &Release<'_>) -> Result<String> {
    let door = Sealed::open(release).await?;
    let ca = reqwest::Certificate::from_pem(&fs::read(&door.ca)?)?;
    let client = reqwest::Client::builder().no_proxy().add_root_certificate(ca).timeout(PATIENCE).build()?;
    let answer = client.get(format!("https://{}/api/v2/leader", door.door.address)).send().await?;
    let view: LeaderView = serde_json::from_str(&answer.text().await?)?;
    let url = view.leader.context("nobody is known to lead")?;
    let host = url.strip_prefix("https://").with_context(|| format!("{url} leads, without TLS"))?;
    Ok(host.split('.').next().unwrap_or_default().to_owned())
}

/// A way in over TLS, with what a person needs for it.
struct Sealed {
    door: Door,
    ca: String,
    token: String,
}

impl Sealed {
    async fn open(release: &Release<'_>) -> Result<Self> {
        Ok(Self {
            door: release.door(&format!("svc/{FULL_NAME}")).await?,
            ca: release.secret_file("tls", "ca.crt")?,
            token: release.secret_file("token", "token")?,
        })
    }

    fn epicctl(&self, release: &Release<'_>, words: &[&str]) -> Result<String> {
        let server = format!("https://{}", self.door.address);
        release.epicctl(&[words, &["--server", &server, "--ca-file", &self.ca, "--token-file", &self.token]].concat())
    }
}

/// Makes all Secrets that the values name.
fn secrets(release: &Release<'_>, authority: &Authority) -> Result<()> {
    let all = [
        authority.secret(NAMESPACE, &[authority])?,
        secret(NAMESPACE, "token", &json!({"token": "a-token-for-the-sealed-release"})),
        secret(NAMESPACE, "mesos", &json!({"password": SECRET})),
        secret(NAMESPACE, "zookeeper", &json!({"digest": "epic:a-password"})),
    ];
    let manifest: Vec<String> = all.iter().map(ToString::to_string).collect();
    release.stage.kube.apply(&manifest.join("\n---\n")).map(drop)
}

/// A certificate of another authority is put into the Secret: each replica shows it soon, without a restart.
async fn renew(release: &Release<'_>, first: &Authority) -> Result<()> {
    let timed = Timed::start();
    let second = Authority::make()?;
    let manifest = second.secret(NAMESPACE, &[first, &second])?.to_string();
    release.stage.kube.apply(&manifest)?;
    let ca = release.stage.kube.work_dir().join("second.crt");
    fs::write(&ca, &second.pem)?;
    let ca = ca.display().to_string();
    for pod in release.pods()? {
        let name = pod["metadata"]["name"].as_str().context("a pod has a name")?;
        let door = release.door(&format!("pod/{name}")).await?;
        let server = format!("https://{}", door.address);
        wait::until("the new certificate is shown", RENEWED_WITHIN, async || {
            release.epicctl(&["platform", "status", "--server", &server, "--ca-file", &ca])
        })
        .await?;
    }
    ensure!(release.restarts()? == 0, "containers were restarted");
    say(&format!("another authority's certificate is shown by all replicas after {timed}, without a restart"));
    Ok(())
}

fn values() -> String {
    format!(
        "mesos:
  master: mesos:5050
  frameworkName: {NAMESPACE}
  principal: {PRINCIPAL}
  secret: {{existingSecret: mesos, key: password}}
zookeeper:
  url: zk://zookeeper:2181/{NAMESPACE}
  sessionTimeout: 6s
  digest: {{existingSecret: zookeeper}}
token: {{existingSecret: token}}
tls: {{enabled: true, existingSecret: tls}}
agents: {{advertise: nodePort, nodePort: {NODE_PORT}}}
spread: {{hosts: preferred}}
networkPolicy:
  agents: [10.0.0.0/8]
  egress: {{enabled: true, zookeeper: [10.0.0.0/8], masters: [10.0.0.0/8]}}
metrics:
  serviceMonitor: {{enabled: true}}
  prometheusRule: {{enabled: true}}
"
    )
}

const NAMESPACE: &str = "sealed";
const NODE_PORT: u16 = 30_881;
const WORKERS: u32 = 2;
/// What the chart's page promises.
const RENEWED_WITHIN: Duration = Duration::from_secs(120);
