//! Replicas that speak TLS with people and each other, while agents fetch artifacts from a plain port.

use std::net::SocketAddr;
use std::process::Output;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use epic_common_io::bundle;
use epic_tests::cluster::Cluster;
use epic_tests::epic::{PATIENCE, built};
use epic_tests::http;
use epic_tests::place::Place;
use epic_tests::replicas::tls::{Authority, Signed};
use epic_tests::replicas::{Crew, Replicas};
use epic_tests::spec::ClusterSpec;
use epic_tests::zookeeper::ZooKeeper;

use crate::ha::{as_before, settled, takes_changes};

async fn three(authority: &Arc<Authority>) -> Result<Replicas> {
    let crew = Crew { authority: Some(Arc::clone(authority)), ..Crew::of(3, 2) };
    Replicas::start_on(Cluster::start(ClusterSpec::agents_of(4)).await?, ZooKeeper::start().await?, &crew).await
}

/// Runs `epicctl` against a replica, with the authorities of a file if there is one.
async fn epicctl(replicas: &Replicas, index: usize, args: &[&str], trust: Trust) -> Result<Output> {
    let mut command = tokio::process::Command::new(built("epicctl")?);
    command.args(args).env("EPIC_SERVER", replicas.url(index)).env("EPIC_TOKEN_FILE", replicas.token_file());
    if trust == Trust::Authority {
        command.env("EPIC_CA_FILE", replicas.ca_file());
    }
    let output = tokio::time::timeout(PATIENCE, command.kill_on_drop(true).output()).await;
    Ok(output.with_context(|| format!("epicctl {args:?} runs on"))??)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trust {
    Authority,
    SystemOnly,
}

/// Runs `epic-scheduler healthcheck` with the options of a replica that matter.
async fn healthcheck(replicas: &Replicas, index: usize, args: &[&str]) -> Result<Output> {
    let listen = replicas.url(index).trim_start_matches("https://").to_owned();
    let mut command = tokio::process::Command::new(built("epic-scheduler")?);
    command.args(["healthcheck", "--listen", &listen]).args(args).kill_on_drop(true);
    Ok(tokio::time::timeout(PATIENCE, command.output()).await??)
}

fn address(replicas: &Replicas, index: usize) -> Result<SocketAddr> {
    Ok(replicas.url(index).trim_start_matches("https://").parse()?)
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[tokio::test]
async fn replicas_speak_tls_and_agents_fetch_from_a_plain_port() -> Result<()> {
    let authority = Arc::new(Authority::new()?);
    let (mut replicas, leader, mut before) = settled(three(&authority).await?).await?;
    let standby = (leader + 1) % 3;
    agents_port(&replicas, leader).await?;
    people(&replicas, standby).await?;
    // The change is handed to the leader over TLS.
    takes_changes(&mut replicas, &mut before).await?;

    let tls = ["--tls-cert-file", "unread"];
    let alive = healthcheck(&replicas, leader, &tls).await?;
    ensure!(alive.status.success(), "{}", said(&alive));
    let ready = healthcheck(&replicas, standby, &[&tls[..], &["--ready"]].concat()).await?;
    ensure!(ready.status.success(), "{}", said(&ready));
    let plain = healthcheck(&replicas, leader, &[]).await?;
    ensure!(plain.status.code() == Some(1), "plain http is answered: {}", said(&plain));

    replicas.kill(leader);
    replicas.until_led(|index| index != leader).await?;
    let dead = healthcheck(&replicas, leader, &tls).await?;
    ensure!(dead.status.code() == Some(1) && said(&dead).lines().count() == 1, "{}", said(&dead));
    as_before(&replicas, &before).await
}

/// Agents get artifacts and nothing else there.
async fn agents_port(replicas: &Replicas, leader: usize) -> Result<()> {
    let sha256 = bundle::verify(replicas.bin())?;
    let status = async |path: &str| -> Result<u16> {
        Ok(http::client().get(format!("{}{path}", replicas.agents_url(leader))).send().await?.status().as_u16())
    };
    let found = status(&format!("/artifacts/{sha256}")).await?;
    ensure!((found, status("/healthz").await?) == (200, 200), "artifacts answer {found}");
    for path in ["/api/v2/platform", "/api/v2/leader", "/metrics", "/readyz"] {
        let found = status(path).await?;
        ensure!(found == 404, "{path} answers {found}");
    }
    Ok(())
}

/// A bundle that is pushed to a standby reaches all; who doesn't know the authority is told what to do.
async fn people(replicas: &Replicas, standby: usize) -> Result<()> {
    let push = async || {
        let file = replicas.bin().display().to_string();
        let pushed = epicctl(replicas, standby, &["bundle", "push", &file], Trust::Authority).await?;
        ensure!(pushed.status.success() && said(&pushed).contains("held by 3 of 3 replicas"), "{}", said(&pushed));
        Ok(())
    };
    replicas.until("all replicas know each other and hold the bundle", push).await?;
    let stranger = epicctl(replicas, standby, &["platform", "status"], Trust::SystemOnly).await?;
    let text = said(&stranger);
    ensure!(stranger.status.code() == Some(3) && text.contains("--ca-file"), "{text}");
    ensure!(http::client().get(replicas.url(standby)).send().await.is_err(), "anybody is trusted");
    Ok(())
}

#[tokio::test]
async fn a_replaced_certificate_is_shown_without_a_restart_and_a_broken_one_is_not() -> Result<()> {
    let authority = Arc::new(Authority::new()?);
    let (replicas, leader, before) = settled(three(&authority).await?).await?;
    let led = replicas.view(leader).await?;
    let server = address(&replicas, leader)?;
    let host = server.ip().to_string();
    let first = authority.shown(server)?;

    let second = authority.sign(&host)?;
    replicas.certify(leader, &second)?;
    shows(&replicas, &authority, leader, &second).await?;
    ensure!(first != second.der, "the same certificate");

    let broken = Signed { key: authority.sign(&host)?.key, ..authority.sign(&host)? };
    replicas.certify(leader, &broken)?;
    replicas.until("the broken pair is noticed", async || stale(&replicas, leader, "1").await).await?;
    ensure!(replicas.log(leader).contains("the new certificate can't be used"), "nothing is said about it");
    shows(&replicas, &authority, leader, &second).await?;
    let third = authority.sign(&host)?;
    replicas.certify(leader, &third)?;
    shows(&replicas, &authority, leader, &third).await?;
    stale(&replicas, leader, "0").await?;

    another_authority(&replicas, &authority, leader).await?;
    let now = replicas.view(leader).await?;
    ensure!((now.epoch, now.leader) == (led.epoch, led.leader), "leadership was lost");
    as_before(&replicas, &before).await
}

async fn shows(replicas: &Replicas, authority: &Authority, index: usize, expected: &Signed) -> Result<()> {
    let server = address(replicas, index)?;
    let shown = async || {
        ensure!(authority.shown(server)? == expected.der, "another certificate is shown");
        Ok(())
    };
    replicas.until("the new certificate is shown", shown).await
}

async fn stale(replicas: &Replicas, index: usize, expected: &str) -> Result<()> {
    let metrics = replicas.metrics(index).await?;
    let line = format!("epic_scheduler_certificate_stale {expected}");
    ensure!(metrics.lines().any(|found| found == line), "no {line}");
    ensure!(metrics.contains("\nepic_scheduler_certificate_expires_seconds "), "no time of its end");
    Ok(())
}

/// A leader's certificate of an authority that standbys get to know only afterwards is trusted without a restart.
async fn another_authority(replicas: &Replicas, authority: &Authority, leader: usize) -> Result<()> {
    let next = Authority::new()?;
    let server = address(replicas, leader)?;
    let signed = next.sign(&server.ip().to_string())?;
    replicas.certify(leader, &signed)?;
    shows(replicas, &next, leader, &signed).await?;
    let standby = (leader + 1) % 3;
    let refused = replicas.apply(standby).await.err().context("the leader is trusted")?;
    ensure!(refused.to_string().contains("the leader can't be reached"), "{refused}");
    let both = std::fs::read_to_string(replicas.ca_file())? + next.pem();
    std::fs::write(replicas.ca_file(), both)?;
    let apply = async || replicas.apply(standby).await.map(drop);
    replicas.until("the other authority is trusted", apply).await?;
    let old = authority.sign(&server.ip().to_string())?;
    replicas.certify(leader, &old)?;
    shows(replicas, authority, leader, &old).await
}

#[tokio::test]
async fn files_and_ports_that_cannot_be_used_are_named() -> Result<()> {
    let place = Place::new()?;
    let host = place.listen().ip().to_string();
    let (signed, other) = (Authority::new()?.sign(&host)?, Authority::new()?);
    let (cert, key) = (place.write("cert", &signed.cert)?, place.write("key", other.sign(&host)?.key)?);
    let agents = place.another()?;
    let tls = |key| [("--tls-cert-file", cert.as_str()), ("--tls-key-file", key), ("--listen-agents", agents.as_str())];
    place.refuses(&tls(&key), 64, &["is not the key of the first certificate in"]).await?;
    place.refuses(&tls("/none"), 64, &["cannot read --tls-key-file /none"]).await?;
    place.refuses(&[("--tls-ca-file", &key)], 64, &["--tls-ca-file", "holds no certificate"]).await?;
    let _taken = std::net::TcpListener::bind(&agents)?;
    let taken = [agents.as_str(), "choose another with --listen-agents ADDRESS:PORT"];
    place.refuses(&[("--listen-agents", &agents)], 74, &taken).await
}
