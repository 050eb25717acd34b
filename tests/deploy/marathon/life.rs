//! Three schedulers by Marathon's way of running things, on a real Mesos: elected, lost with their agent, scaled.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use epic_common::api::{LeaderView, PlatformView};
use epic_common::ids::Digest;
use epic_common_io::bundle;
use epic_tests::cluster::{Cluster, Part};
use epic_tests::epic::{built, endpoint, repository};
use epic_tests::replicas::TOKEN;
use epic_tests::spec::ClusterSpec;
use epic_tests::zookeeper::ZooKeeper;
use epic_tests::{http, wait};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::definition::Definition;
use super::fleet::Instance;
use super::launcher::Launcher;
use super::printed::print;
use crate::tools;

/// Where a scheduler listens on all addresses of a machine that all agents share, each agent needs ports of its own.
struct Ports {
    first: u16,
    _guard: TcpListener,
}

impl Ports {
    fn take() -> Result<Self> {
        for first in (21_000..29_000).step_by(100) {
            // Whoever has the first one has the hundred.
            if let Ok(guard) = TcpListener::bind(("0.0.0.0", first)) {
                return Ok(Self { first, _guard: guard });
            }
        }
        bail!("no hundred ports are free")
    }

    fn of(&self, agent: u16) -> (u16, u16) {
        let first = self.first + 1 + agent * 16;
        (first, first + 15)
    }
}

/// Six agents, of which the last three have what is reserved for the platform; each has room for a scheduler.
fn spec(ports: &Ports) -> ClusterSpec {
    let mut spec = ClusterSpec::agents_of(6);
    for (index, agent) in (0..).zip(&mut spec.agents) {
        agent.ports = ports.of(index);
        agent.unreserved = "cpus:1;mem:1024".to_owned();
        if index < 3 {
            (agent.milli_cpus, agent.mem_mib) = (0, 0);
        }
    }
    spec
}

/// An app that runs, and the cluster that it runs on.
struct Place {
    launcher: Launcher,
    app: Definition,
    args: Vec<String>,
    archive: PathBuf,
    cluster: Cluster,
    dir: PathBuf,
    _zookeeper: ZooKeeper,
    _ports: Ports,
}

impl Place {
    /// Does what the page says: makes the archive, the journal and the secrets, prints the app and gives it to Marathon.
    async fn start(more: &[(&'static str, &str)], edit: impl FnOnce(Definition) -> Definition) -> Result<Self> {
        let ports = Ports::take()?;
        let mut cluster = Cluster::start(spec(&ports)).await?;
        // So that the first three schedulers are on agents without anything of the platform.
        for agent in 3..6 {
            cluster.kill(Part::Agent(agent));
        }
        let zookeeper = ZooKeeper::start().await?;
        let dir = cluster.work_dir().join("marathon");
        std::fs::create_dir_all(&dir)?;
        let programs = built("epic-scheduler")?.parent().context("it is in a folder")?.display().to_string();
        let script = repository("scheduler/archive.sh").display().to_string();
        let archive = tools::run("env", &["LEVEL=1", &script, &programs, &dir.display().to_string()]);
        let archive = PathBuf::from(archive.trim());
        let zk = zookeeper.url("/epic");
        private(&dir.join("token"), TOKEN)?;
        scheduler(&["init", "--zk", &zk]).await?;
        let options = [
            ("--master", cluster.master_addr().to_string()),
            ("--zk", zk),
            ("--token-secret", "epic/token".to_owned()),
            ("--set", "zk-session-timeout=6s".to_owned()),
            ("--replace-lost-after", "1s".to_owned()),
            ("--mem", "256".to_owned()),
            ("--disk", "512".to_owned()),
        ];
        let more = more.iter().map(|(flag, value)| (*flag, (*value).to_owned()));
        let args: Vec<String> =
            options.into_iter().chain(more).flat_map(|(flag, value)| [flag.to_owned(), value]).collect();
        let app = edit(printed(&args, &archive)?);
        let secrets = BTreeMap::from([("epic/token".to_owned(), TOKEN.to_owned())]);
        let launcher = Launcher::start(cluster.master_addr(), app.clone(), secrets).await?;
        Ok(Self { launcher, app, args, archive, cluster, dir, _zookeeper: zookeeper, _ports: ports })
    }

    async fn good(&self, count: usize) -> Result<Vec<Instance>> {
        let seen = self.launcher.until_good(count).await;
        let seen = seen.with_context(|| self.cluster.log_tails())?;
        let mut hosts: Vec<_> = seen.instances.iter().map(|instance| instance.host.as_str()).collect();
        hosts.sort_unstable();
        hosts.dedup();
        ensure!(hosts.len() == count, "each is on another host: {:#?}", seen.instances);
        Ok(seen.instances)
    }

    /// Waits until one of the instances leads and all others follow it.
    async fn led(&self, instances: &[Instance]) -> Result<(Instance, LeaderView)> {
        let led = wait::until("one instance leads and the others know it", PATIENCE, async || {
            let mut leading = Vec::new();
            let mut views = Vec::new();
            for instance in instances {
                let view: LeaderView = ask(instance, "/api/v2/leader").await?;
                if view.mode == "leading" {
                    leading.push((instance.clone(), view.clone()));
                }
                views.push(view);
            }
            let [(leader, view)] = &leading[..] else { bail!("{} lead: {views:#?}", leading.len()) };
            let agree = |other: &LeaderView| other.leader == Some(view.replica.clone()) && other.epoch == view.epoch;
            ensure!(views.iter().all(|other| agree(other) && other.caught_up), "{views:#?}");
            Ok((leader.clone(), view.clone()))
        });
        led.await.with_context(|| self.cluster.log_tails())
    }

    /// Waits until every instance shows a platform of three members that are ready.
    async fn platform(&self, instances: &[Instance]) -> Result<PlatformView> {
        let ready = wait::until("the platform is ready for everybody", PATIENCE, async || {
            let mut last = None;
            for instance in instances {
                let view: PlatformView = ask(instance, "/api/v2/platform").await?;
                let ready = view.instances.iter().filter(|member| member.phase == "ready").count();
                ensure!(view.phase == "ready" && (ready, view.instances.len()) == (3, 3), "{view:#?}");
                last = Some(view);
            }
            last.context("nobody was asked")
        });
        ready.await.with_context(|| self.cluster.log_tails())
    }

    async fn epicctl(&self, at: &Instance, args: &[&str]) -> Result<String> {
        let mut command = tokio::process::Command::new(built("epicctl")?);
        command
            .args(args)
            .env("EPIC_SERVER", url(at))
            .env("EPIC_TOKEN_FILE", self.dir.join("token"))
            .kill_on_drop(true);
        said("epicctl", args, command).await
    }

    fn agent_of(&self, instance: &Instance) -> Result<usize> {
        let here = |agent: &usize| self.cluster.addr(Part::Agent(*agent)).ip().to_string() == instance.host;
        (0..6).find(here).with_context(|| format!("no agent is called {}", instance.host))
    }

    fn holds(&self, instance: &Instance, sha256: &Digest) -> bool {
        self.sandbox(instance).join("state/artifacts").join(sha256.to_string()).is_file()
    }

    /// Where Mesos keeps what an instance has written.
    fn sandbox(&self, instance: &Instance) -> PathBuf {
        let agent = format!("a{}", self.agent_of(instance).unwrap_or_default() + 1);
        let framework = self.launcher.seen().framework_id;
        let work = self.cluster.work_dir().join(agent).join("slaves").join(&instance.agent_id);
        let executor = work.join("frameworks").join(framework).join("executors").join(&instance.task_id);
        executor.join("runs/latest")
    }
}

/// What is printed for an archive, as far as the launcher understands it, which is all of it.
fn printed(args: &[String], archive: &Path) -> Result<Definition> {
    let archive = format!("--archive=file://{}", archive.display());
    let args: Vec<_> = args.iter().map(String::as_str).chain([archive.as_str()]).collect();
    Definition::read(&print(&args)).context("the launcher does all that is printed")
}

fn url(instance: &Instance) -> String {
    format!("http://{}:{}", instance.host, instance.ports.first().copied().unwrap_or_default())
}

async fn ask<T: serde::de::DeserializeOwned>(instance: &Instance, path: &str) -> Result<T> {
    Ok(serde_json::from_str(&http::get(&format!("{}{path}", url(instance))).await?)?)
}

fn private(path: &Path, text: &str) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = std::fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    Ok(file.write_all(text.as_bytes())?)
}

async fn scheduler(args: &[&str]) -> Result<String> {
    let mut command = tokio::process::Command::new(built("epic-scheduler")?);
    command.args(args).kill_on_drop(true);
    said("epic-scheduler", args, command).await
}

async fn said(program: &str, args: &[&str], mut command: tokio::process::Command) -> Result<String> {
    let output = tokio::time::timeout(PATIENCE, command.output());
    let output = output.await.with_context(|| format!("{program} {args:?} runs on"))??;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{program} {args:?} ended with {}: {stdout}{stderr}", output.status);
    Ok(stdout.into_owned())
}

/// What must not change: each member's task, by its attempt, and its process.
async fn fingerprint(view: &PlatformView) -> Result<BTreeMap<String, (u32, String)>> {
    let mut all = BTreeMap::new();
    for member in &view.instances {
        let page = http::get(&endpoint(view, &member.id)?).await?;
        ensure!(page.contains("pid"), "{page}");
        all.insert(member.id.clone(), (member.attempt, page));
    }
    Ok(all)
}

#[tokio::test]
async fn schedulers_that_marathon_runs_survive_the_loss_of_an_agent_and_are_scaled() -> Result<()> {
    let mut place = Place::start(&[], |app| app).await?;
    let three = place.good(3).await?;
    let (first, led) = place.led(&three).await?;
    for agent in 3..6 {
        place.cluster.restart(Part::Agent(agent))?;
    }
    place.cluster.agents_active().await?;

    let bin = place.dir.join("platform.bin");
    let sha256 = bundle::build(&repository("tests/fixtures/probe-platform"), &bin)?.digest;
    let document = place.dir.join("platform.yaml");
    let spec = format!("  bundle: {{sha256: {sha256}}}\n  controllers: {{count: 1}}\n  workers: {{count: 2}}\n");
    std::fs::write(&document, format!("kind: Platform\nlabel: {{name: test}}\nspec:\n{spec}"))?;
    let standby = three.iter().find(|instance| **instance != first).context("two of three stand by")?.clone();
    place.epicctl(&standby, &["bundle", "push", &bin.display().to_string()]).await?;
    std::fs::remove_file(&bin)?;
    place.epicctl(&standby, &["platform", "apply", "--file", &document.display().to_string()]).await?;
    let view = place.platform(&three).await?;
    let (before, framework) = (fingerprint(&view).await?, view.mesos.framework_id.clone());
    ensure!(before.values().all(|(attempt, _)| *attempt == 1), "{before:?}");

    // The host of the leader loses its power.
    let lost = place.agent_of(&first)?;
    place.cluster.stop_host(lost);
    let replaced = async |place: &Place| -> Result<Vec<Instance>> {
        wait::until("another instance takes its place", PATIENCE, async || {
            let seen = place.launcher.seen();
            ensure!(seen.instances.iter().all(|instance| instance.task_id != first.task_id), "{seen:#?}");
            Ok(())
        })
        .await?;
        place.good(3).await
    };
    let three = replaced(&place).await?;
    let new = three.iter().find(|instance| instance.launched > standby.launched && instance.host != first.host);
    let new = new.with_context(|| format!("a new one is elsewhere: {three:#?}"))?;
    let (second, again) = place.led(&three).await?;
    ensure!(again.epoch > led.epoch && second.host != first.host, "{again:?} after {led:?}");
    same(&place, &three, &framework, &before).await?;
    // Its sandbox began empty, so that all it shows is from ZooKeeper and the bundle from the others.
    ensure!(place.holds(new, &sha256), "{} has the bundle", place.sandbox(new).display());

    place.launcher.put(place.app.scaled(5)).await?;
    let five = place.good(5).await?;
    let (third, _) = place.led(&five).await?;
    ensure!(third.task_id == second.task_id, "more instances cost no leadership");
    same(&place, &five, &framework, &before).await?;
    place.launcher.put(place.app.scaled(3)).await?;
    let left = place.good(3).await?;
    ensure!(left.iter().all(|instance| three.contains(instance)), "the youngest go first: {left:#?}");
    let (last, _) = place.led(&left).await?;
    ensure!(last.task_id == second.task_id, "fewer instances cost no leadership here");
    same(&place, &left, &framework, &before).await?;

    // Another version: all three are replaced, one after the other, and with them all that they had on disk.
    let next = place.dir.join("epic-mesos-next.tar.gz");
    std::fs::rename(&place.archive, &next)?;
    place.launcher.put(printed(&place.args, &next)?).await?;
    let new = place.good(3).await?;
    let kept = |instance: &Instance| left.iter().any(|old| old.task_id == instance.task_id);
    ensure!(!new.iter().any(kept), "all are new ones: {left:#?}, then {new:#?}");
    place.led(&new).await?;
    same(&place, &new, &framework, &before).await?;
    ensure!(new.iter().all(|instance| place.holds(instance, &sha256)), "the bundle has outlived everybody who had it");
    Ok(())
}

/// Everybody shows the same framework, whose members run on as they did.
async fn same(
    place: &Place,
    instances: &[Instance],
    framework: &str,
    before: &BTreeMap<String, (u32, String)>,
) -> Result<()> {
    let view = place.platform(instances).await?;
    ensure!(view.mesos.framework_id == framework, "{} is another framework than {framework}", view.mesos.framework_id);
    let after = fingerprint(&view).await?;
    ensure!(after == *before, "before {before:#?}, after {after:#?}");
    let state = place.cluster.state().await?;
    let known = state["frameworks"].as_array().context("no frameworks")?;
    let ids: Vec<_> = known.iter().filter_map(|one| one["id"].as_str()).collect();
    let own = place.launcher.seen().framework_id;
    ensure!(ids.len() == 2 && ids.contains(&framework) && ids.contains(&own.as_str()), "Mesos knows {ids:?}");
    Ok(())
}

#[tokio::test]
async fn a_scheduler_that_hangs_is_killed_by_its_health_check_and_replaced() -> Result<()> {
    let more = [("--instances", "1"), ("--kill-grace", "1s")];
    let place = Place::start(&more, Definition::watched_closely).await?;
    let one = place.good(1).await?.remove(0);
    kill(pid_of(&one)?, Signal::SIGSTOP)?;
    let gone = wait::until("Mesos kills it", PATIENCE, async || {
        let seen = place.launcher.seen();
        let said = seen.ended.iter().find(|line| line.starts_with(&one.task_id)).cloned();
        said.with_context(|| format!("{seen:#?}"))
    });
    let gone = gone.await.with_context(|| place.cluster.log_tails())?;
    ensure!(gone.contains("TASK_KILLED"), "{gone}");
    let other = place.good(1).await?.remove(0);
    ensure!(other.task_id != one.task_id, "{other:?}");
    place.led(&[other]).await.map(drop)
}

/// Finds the scheduler of an instance by what Marathon has told it.
fn pid_of(instance: &Instance) -> Result<Pid> {
    let told = format!("MESOS_TASK_ID={}", instance.task_id);
    let is_it = |pid: &i32| {
        let folder = PathBuf::from(format!("/proc/{pid}"));
        let environment = std::fs::read(folder.join("environ")).unwrap_or_default();
        let is_told = environment.split(|byte| *byte == 0).any(|variable| variable == told.as_bytes());
        is_told && std::fs::read_link(folder.join("exe")).is_ok_and(|exe| exe.ends_with("epic-scheduler"))
    };
    let mut pids = std::fs::read_dir("/proc")?.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find(is_it).map(Pid::from_raw).with_context(|| format!("no scheduler runs for {}", instance.task_id))
}

const PATIENCE: Duration = Duration::from_secs(90);
