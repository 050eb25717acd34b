//! A scheduler whose Mesos wants to know who it is, stands behind https, or is found through ZooKeeper.

use anyhow::{Context as _, Result, ensure};
use epic_tests::cluster::{Cluster, Part};
use epic_tests::epic::{Epic, PATIENCE};
use epic_tests::http;
use epic_tests::spec::ClusterSpec;
use epic_tests::zookeeper::ZooKeeper;
use serde_json::json;

use crate::crash::{frameworks, nothing_restarts, processes, subscribed};
use crate::tls::haproxy;

/// Mesos refuses us.
const UNAVAILABLE: i32 = 69;

/// Starts a scheduler that must end, and returns its last words.
async fn refused(epic: &mut Epic) -> Result<String> {
    epic.start()?;
    let status = epic.ended().await?;
    let log = epic.log();
    ensure!(status.code() == Some(UNAVAILABLE), "{status}: {log}");
    let last = log.lines().filter_map(|line| line.strip_prefix("epic-scheduler: ")).next_back();
    Ok(last.with_context(|| log.clone())?.to_owned())
}

async fn unready(epic: &mut Epic, parts: &[&str]) -> Result<()> {
    let url = format!("{}/readyz", epic.url());
    let said = async |_: &Cluster| {
        let answer = http::client().get(&url).send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status == 503 && parts.iter().all(|part| text.contains(part)), "{status}: {text}");
        Ok(())
    };
    epic.cluster.until("readyz says why not", PATIENCE, said).await?;
    epic.until("the status says why not", PATIENCE, |view| {
        let text = view.waiting.join("\n");
        ensure!(parts.iter().all(|part| text.contains(part)), "{text}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn without_the_right_credentials_it_ends_and_with_them_it_goes_on_on_the_same_state() -> Result<()> {
    let mut spec = ClusterSpec::agents_of(2);
    spec.credentials = ["bd", "other"].map(|name| (name.to_owned(), format!("{name}-s3cret"))).into();
    spec.acls = Some(json!({"register_frameworks": [
        {"principals": {"values": ["bd"]}, "roles": {"values": ["BlueData"]}},
        {"principals": {"type": "ANY"}, "roles": {"type": "NONE"}},
    ]}));
    let mut epic = Epic::probe(Cluster::start(spec).await?, 1)?;
    let secret = epic.cluster.work_dir().join("secret");
    let write = |text: &str| std::fs::write(&secret, text);

    let nobody = refused(&mut epic).await?;
    let wanted = ["Mesos refuses the subscription", "401", "check --principal and --secret-file", "nothing was lost"];
    ensure!(wanted.iter().all(|part| nobody.contains(part)), "{nobody}");
    epic.set("--principal", "bd");
    epic.set("--secret-file", &secret.display().to_string());
    write("wrong-s3cret\n")?;
    let wrong = refused(&mut epic).await?;
    ensure!(wanted.iter().all(|part| wrong.contains(part)), "{wrong}");
    epic.set("--principal", "other");
    write("other-s3cret\n")?;
    let role = refused(&mut epic).await?;
    let wanted = [
        "Mesos refuses the subscription",
        "Not authorized",
        "roles { BlueData }",
        "check --role and --principal",
        "nothing was lost",
    ];
    ensure!(wanted.iter().all(|part| role.contains(part)), "{role}");

    epic.set("--principal", "bd");
    write("bd-s3cret\n")?;
    epic.start()?;
    let view = epic.until_ready(2).await?;
    ensure!(frameworks(&epic.cluster).await? == [view.mesos.framework_id.clone()], "one framework");
    let state = epic.cluster.state().await?;
    ensure!(state["frameworks"][0]["principal"] == "bd", "{}", state["frameworks"]);
    let log = epic.log();
    let chosen = log.lines().filter(|line| line.contains("framework id chosen")).count();
    ensure!(chosen == 1 && log.contains(&view.mesos.framework_id), "the id of the first start is used: {log}");
    ensure!(!log.contains("s3cret"), "a secret is in the log: {log}");
    Ok(())
}

#[tokio::test]
async fn https_needs_its_authority_and_a_master_may_restart_behind_it() -> Result<()> {
    let cluster = Cluster::start(ClusterSpec::agents_of(2)).await?;
    let (_process, front) = haproxy(&cluster).await?;
    let authority = cluster.work_dir().join("ca.pem").display().to_string();
    let mut epic = Epic::probe(cluster, 1)?;
    epic.set("--master", &format!("https://{front}"));
    epic.start()?;
    unready(&mut epic, &["cannot reach master https://", "is not trusted", "with --ca-file FILE"]).await?;
    epic.kill();
    epic.set("--ca-file", &authority);
    epic.start()?;
    let before = processes(&epic.until_ready(2).await?).await?;
    epic.cluster.kill(Part::Master(0));
    unready(&mut epic, &["not subscribed to Mesos", "is not ready: 503"]).await?;
    epic.cluster.restart(Part::Master(0))?;
    epic.cluster.agents_active().await?;
    subscribed(&mut epic).await?;
    nothing_restarts(&mut epic, &before).await
}

#[tokio::test]
async fn the_leader_is_found_through_zookeeper_and_the_next_one_too() -> Result<()> {
    let zookeeper = ZooKeeper::start().await?;
    let mut spec = ClusterSpec::agents_of(2);
    spec.zookeeper = Some(zookeeper.url("/mesos"));
    spec.masters = 3;
    let mut epic = Epic::probe(Cluster::start(spec).await?, 1)?;
    epic.set("--master", &zookeeper.url("/mesoz"));
    epic.start()?;
    let reason =
        ["cannot read /mesoz in ZooKeeper", "no master has ever announced itself there", "check the path in --master"];
    unready(&mut epic, &reason).await?;
    epic.kill();
    epic.set("--master", &zookeeper.url("/mesos"));
    epic.start()?;
    let before = processes(&epic.until_ready(2).await?).await?;
    let leader = epic.cluster.leader().await?;
    epic.cluster.kill(Part::Master(leader));
    epic.until("the loss is seen", PATIENCE, |view| {
        ensure!(!view.mesos.subscribed, "{:?}", view.mesos);
        Ok(())
    })
    .await?;
    subscribed(&mut epic).await?;
    ensure!(epic.cluster.leader().await? != leader, "another master leads");
    epic.cluster.agents_active().await?;
    nothing_restarts(&mut epic, &before).await
}
