//! Every replica holds every artifact: whoever leads can launch, whoever lost its disk gets it back.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use epic_common::backoff::scramble;
use epic_common_io::bundle;
use epic_tests::cluster::Cluster;
use epic_tests::epic::{PATIENCE, built, member, repository};
use epic_tests::http;
use epic_tests::place::{Mount, Place};
use epic_tests::replicas::Replicas;
use epic_tests::spec::ClusterSpec;

use crate::crash::{attempts, processes};

/// Runs `epicctl` against a replica with the token; answers what it says.
pub(crate) async fn epicctl(replicas: &Replicas, index: usize, args: &[&str]) -> Result<String> {
    let mut command = tokio::process::Command::new(built("epicctl")?);
    command.args(args).env("EPIC_SERVER", replicas.url(index)).env("EPIC_TOKEN_FILE", replicas.token_file());
    let output = tokio::time::timeout(PATIENCE, command.kill_on_drop(true).output()).await;
    let output = output.with_context(|| format!("epicctl {args:?} runs on"))??;
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "epicctl {args:?}: {out}{error}");
    Ok(out.into_owned())
}

/// Names the bundle by its sha256 alone, and asks for so many workers.
pub(crate) fn name_by_digest(replicas: &Replicas, sha256: &str, workers: u32) -> Result<()> {
    let document = format!(
        "kind: Platform\nlabel: {{name: test}}\nspec:\n  bundle: {{sha256: {sha256}}}\n  controllers: {{count: 1}}\n  \
         workers: {{count: {workers}}}\n"
    );
    Ok(fs::write(replicas.platform_file(), document)?)
}

pub(crate) async fn apply(replicas: &Replicas, index: usize) -> Result<()> {
    let file = replicas.platform_file().display().to_string();
    epicctl(replicas, index, &["platform", "apply", "--no-wait", "-f", &file]).await.map(drop)
}

pub(crate) async fn holds(replicas: &Replicas, index: usize, sha256: &str) -> Result<()> {
    let url = format!("{}/artifacts/{sha256}", replicas.url(index));
    let answer = http::client().head(&url).send().await?;
    ensure!(answer.status() == 200, "{url} answers {}", answer.status());
    Ok(())
}

/// Three replicas without a bundle, one of which was pushed to a standby; answers who leads, and the sha256.
pub(crate) async fn pushed() -> Result<(Replicas, usize, String)> {
    let replicas = Replicas::start_bare(Cluster::start(ClusterSpec::agents_of(4)).await?, 3).await?;
    let (leader, _) = replicas.until_led(|_| true).await?;
    let file = replicas.bin().display().to_string();
    let sha256 = bundle::verify(replicas.bin())?.to_string();
    let push = async || {
        let said = epicctl(&replicas, (leader + 1) % 3, &["bundle", "push", &file]).await?;
        ensure!(said.ends_with(&format!("\nsha256 {sha256}\nheld by 3 of 3 replicas\n")), "{said}");
        Ok(())
    };
    replicas.until("all replicas know each other and hold the bundle", push).await?;
    // From here on it is nowhere but with the replicas.
    fs::remove_file(replicas.bin())?;
    Ok((replicas, leader, sha256))
}

#[tokio::test]
async fn a_bundle_pushed_to_a_standby_is_launched_from_by_every_leader() -> Result<()> {
    let (mut replicas, first, sha256) = pushed().await?;
    for index in 0..3 {
        holds(&replicas, index, &sha256).await?;
    }
    name_by_digest(&replicas, &sha256, 1)?;
    apply(&replicas, (first + 2) % 3).await?;
    let before = processes(&replicas.until_ready(2).await?).await?;
    replicas.kill(first);
    let (second, _) = replicas.until_led(|leader| leader != first).await?;
    name_by_digest(&replicas, &sha256, 2)?;
    apply(&replicas, second).await?;
    replicas.until_ready(3).await?;
    replicas.restart(first)?;
    replicas.until_led(|leader| leader == second).await?;
    replicas.kill(second);
    let (third, _) = replicas.until_led(|leader| leader != second).await?;
    name_by_digest(&replicas, &sha256, 3)?;
    apply(&replicas, third).await?;
    let view = replicas.until_ready(4).await?;
    ensure!(attempts(&view) == [1, 1, 1, 1], "each launch went well: {:?}", attempts(&view));
    let after = processes(&view).await?;
    ensure!(before.iter().all(|(id, page)| after.get(id) == Some(page)), "{before:#?}, then {after:#?}");
    Ok(())
}

#[tokio::test]
async fn a_copy_that_went_bad_costs_no_attempt() -> Result<()> {
    let (replicas, leader, sha256) = pushed().await?;
    let copy = replicas.kept(leader, &sha256);
    let mut bytes = fs::read(&copy)?;
    // What a bundle says of itself is at its ends.
    let middle = bytes.len() / 2;
    let byte = bytes.get_mut(middle).context("a bundle has bytes")?;
    *byte = !*byte;
    fs::write(&copy, bytes)?;
    name_by_digest(&replicas, &sha256, 1)?;
    apply(&replicas, leader).await?;
    // Executors ask the leader first.
    let view = replicas.until_ready(2).await?;
    ensure!(attempts(&view) == [1, 1], "{:?}", attempts(&view));
    Ok(())
}

#[tokio::test]
async fn a_replica_that_lost_its_disk_gets_the_bundle_from_the_others_and_can_lead() -> Result<()> {
    let (mut replicas, leader, sha256) = pushed().await?;
    // Before the journal names it, it is handed over; later, it is fetched.
    let emptied = (leader + 2) % 3;
    replicas.empty(emptied)?;
    replicas.restart(emptied)?;
    replicas.until("the bundle is handed over again", async || holds(&replicas, emptied, &sha256).await).await?;
    name_by_digest(&replicas, &sha256, 1)?;
    apply(&replicas, leader).await?;
    replicas.until_ready(2).await?;
    for index in 0..3 {
        replicas.kill(index);
    }
    fs::remove_file(replicas.kept((leader + 1) % 3, &sha256))?;
    replicas.empty(emptied)?;
    for index in [leader, emptied] {
        replicas.restart(index)?;
    }
    replicas.until("the bundle is fetched again", async || holds(&replicas, emptied, &sha256).await).await?;
    replicas.kill(leader);
    replicas.until_led(|leader| leader == emptied).await?;
    name_by_digest(&replicas, &sha256, 2)?;
    apply(&replicas, emptied).await?;
    let view = replicas.until_ready(3).await?;
    ensure!(attempts(&view) == [1, 1, 1], "{:?}", attempts(&view));
    Ok(())
}

#[tokio::test]
async fn where_nobody_has_the_bundle_somebody_leads_and_only_launches_wait() -> Result<()> {
    let (mut replicas, leader, sha256) = pushed().await?;
    name_by_digest(&replicas, &sha256, 1)?;
    apply(&replicas, leader).await?;
    let before = processes(&replicas.until_ready(2).await?).await?;
    fs::copy(replicas.kept(leader, &sha256), replicas.bin())?;
    for index in 0..3 {
        replicas.empty(index)?;
    }
    for index in 0..3 {
        replicas.restart(index)?;
    }
    let (leader, _) = replicas.until_led(|_| true).await?;
    replicas.until("it is subscribed", async || replicas.ready(leader).await).await?;
    replicas.post(leader, "/api/v2/platform/instances/worker-0/restart").await?;
    let wanted = format!(
        "bundle sha256:{sha256} is not on this replica; it is fetched from any other that has it; supply it with epicctl \
         bundle push FILE"
    );
    let waits = async || {
        let view = replicas.status(leader).await?;
        let waiting = &member(&view, "worker-0")?.waiting;
        ensure!(waiting.contains(&wanted), "{waiting:?}");
        ensure!(member(&view, "controller-0")?.phase == "ready", "what runs goes on: {view:?}");
        Ok(())
    };
    replicas.until("the member says what it waits for", waits).await?;
    let metrics = http::get(&format!("{}/metrics", replicas.url(leader))).await?;
    ensure!(metrics.contains("epic_scheduler_artifacts_missing 1\n"), "{metrics}");
    epicctl(&replicas, (leader + 1) % 3, &["bundle", "push", &replicas.bin().display().to_string()]).await?;
    let view = replicas.until_ready(2).await?;
    ensure!(attempts(&view) == [1, 2], "{:?}", attempts(&view));
    ensure!(processes(&view).await?.get("controller-0") == before.get("controller-0"), "the controller has run on");
    let metrics = http::get(&format!("{}/metrics", replicas.url(leader))).await?;
    ensure!(metrics.contains("epic_scheduler_artifacts_missing 0\n"), "{metrics}");
    Ok(())
}

#[tokio::test]
async fn a_bundle_that_finds_no_room_is_refused_and_leaves_nothing() -> Result<()> {
    let place = Place::new()?;
    let artifacts = place.path("state/artifacts");
    let mount = Mount::new(&artifacts, 1 << 20)?;
    let (_process, _) = place.starts(&[]).await?;
    fs::create_dir_all(place.path("source/payload"))?;
    fs::copy(repository("tests/fixtures/quiet-platform/manifest.yaml"), place.path("source/manifest.yaml"))?;
    // What can't be compressed.
    let noise: Vec<u8> = (0..1 << 18).flat_map(|at| scramble(at).to_le_bytes()).collect();
    fs::write(place.path("source/payload/fill"), noise)?;
    let built = bundle::build(&place.path("source"), &place.path("large.bin"))?;
    let bytes = fs::read(place.path("large.bin"))?;
    let token = fs::read_to_string(place.path("state/token"))?;
    let put = || {
        let request = http::client().put(format!("http://{}/api/v2/artifacts/{}", place.listen(), built.digest));
        request.bearer_auth(token.trim())
    };
    let chunks =
        |bytes: Vec<u8>| reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<_, anyhow::Error>(bytes)]));
    let names = || -> Result<usize> { Ok(fs::read_dir(&artifacts)?.count()) };
    let before = names()?;
    // With its length it is refused at once, without when the disk is full.
    for request in [put().body(bytes.clone()), put().body(chunks(bytes.clone()))] {
        let answer = request.send().await?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status == 507 && text.contains("the disk is full") && text.contains("free some space"), "{text}");
        ensure!(names()? == before, "something is left in {}", artifacts.display());
    }
    mount.resize(64 << 20)?;
    let answer = put().body(bytes).send().await?;
    ensure!(answer.status() == 200, "{}", answer.text().await?);
    Ok(())
}
