//! The services of `docker/compose.yaml`, by the names that they have there.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use epic_common::api::{LeaderView, PlatformView};
use epic_tests::epic::repository;
use epic_tests::{http, wait};
use tempfile::TempDir;

/// One set of services, its project in compose's words.
#[derive(Debug)]
pub(super) struct Composed {
    compose: String,
    project: String,
    address: String,
    bundles: PathBuf,
    secrets: TempDir,
}

impl Composed {
    /// Makes the secrets; starts nothing.
    ///
    /// `COMPOSE` is the program, and `EPIC_DOCKER_ADDRESS` where the engine publishes ports.
    pub(super) fn prepare(bundle: &Path) -> Result<Self> {
        let secrets = tempfile::Builder::new().prefix("epic-compose-").tempdir()?;
        let bundles = bundle.canonicalize().with_context(|| format!("cannot find the bundle {}", bundle.display()))?;
        let bundles = bundles.parent().context("the bundle is in no folder")?.to_owned();
        let composed = Self {
            compose: std::env::var("COMPOSE").unwrap_or_else(|_| "docker-compose".to_owned()),
            project: format!("epic-demo-{}", std::process::id()),
            address: std::env::var("EPIC_DOCKER_ADDRESS").unwrap_or_else(|_| "127.0.0.1".to_owned()),
            bundles,
            secrets,
        };
        // Its mode is 0700; the daemon is root, but users in containers aren't.
        let folder = composed.secrets.path().join("files");
        done(Command::new(repository("docker/secrets.sh")).arg(&folder), "docker/secrets.sh")?;
        Ok(composed)
    }

    pub(super) fn version(&self) -> Result<String> {
        let said = done(Command::new(&self.compose).arg("version"), &self.compose)?;
        Ok(said.lines().next().unwrap_or_default().to_owned())
    }

    /// Starts all services in the background.
    pub(super) fn up(&self) -> Result<()> {
        self.compose(&["up", "--detach"]).map(drop)
    }

    /// Removes all of it, volumes too.
    pub(super) fn down(&self) -> Result<()> {
        self.compose(&["down", "--volumes", "--timeout", "5"]).map(drop)
    }

    /// The ends of all services' logs.
    pub(super) fn logs(&self) -> String {
        self.compose(&["logs", "--no-color", "--tail", "25"]).unwrap_or_else(|error| format!("{error:#}"))
    }

    /// What the engine still has of this project.
    pub(super) fn leftovers(&self) -> Result<Vec<String>> {
        let label = format!("label=com.docker.compose.project={}", self.project);
        let mut left = Vec::new();
        for what in [["ps", "--all"], ["network", "ls"], ["volume", "ls"]] {
            let found = docker(&[&what[..], &["--quiet", "--filter", &label]].concat())?;
            left.extend(found.lines().map(|id| format!("docker {} {id}", what[0])));
        }
        Ok(left)
    }

    /// The id of a service's container, running or not.
    pub(super) fn container(&self, service: &str) -> Result<String> {
        let label = |name: &str, value: &str| format!("label=com.docker.compose.{name}={value}");
        let (project, service) = (label("project", &self.project), label("service", service));
        let id = docker(&["ps", "--all", "--quiet", "--filter", &project, "--filter", &service])?;
        ensure!(!id.is_empty() && !id.contains('\n'), "{service} is {id:?}");
        Ok(id)
    }

    pub(super) fn network(&self) -> String {
        format!("{}_epic", self.project)
    }

    pub(super) async fn leader_view(&self, replica: usize) -> Result<LeaderView> {
        Ok(serde_json::from_str(&self.ask(replica, "/api/v2/leader").await?)?)
    }

    pub(super) async fn platform(&self, replica: usize) -> Result<PlatformView> {
        Ok(serde_json::from_str(&self.ask(replica, "/api/v2/platform").await?)?)
    }

    async fn ask(&self, replica: usize, path: &str) -> Result<String> {
        let url = format!("{}{path}", self.url(replica));
        let answer = http::client().get(&url).timeout(Duration::from_secs(2)).send().await?;
        ensure!(answer.status() == 200, "{url} answered {}", answer.status());
        Ok(answer.text().await?)
    }

    /// Where this machine reaches a replica, by its number from 1.
    fn url(&self, replica: usize) -> String {
        format!("http://{}:{}", self.address, 8080 + replica)
    }

    /// Waits until the leader says that the platform of a controller and two workers is ready.
    pub(super) async fn until_ready(&self) -> Result<PlatformView> {
        wait::until("the platform is ready", READY, async || {
            let (leader, _) = self.leader().await?;
            let view = self.platform(leader).await?;
            let ready = view.instances.iter().filter(|member| member.phase == "ready").count();
            ensure!(view.phase == "ready" && ready == 3, "{}: {ready} ready; {:?}", view.phase, view.waiting);
            Ok(view)
        })
        .await
    }

    /// The replica that leads, and what it says of that.
    pub(super) async fn leader(&self) -> Result<(usize, LeaderView)> {
        let mut said = Vec::new();
        for replica in REPLICAS {
            match self.leader_view(replica).await {
                Ok(view) if view.mode == "leading" => return Ok((replica, view)),
                other => said.push(other),
            }
        }
        bail!("nobody leads: {said:?}")
    }

    /// Pages and commands to try.
    pub(super) async fn guide(&self) -> Result<String> {
        let (leader, _) = self.leader().await?;
        let standby = leader % 3 + 1;
        let ask = format!(
            "docker run --rm --network {} \\\n    epic-mesos/cli:{VERSION} platform --server http://replica{standby}:8080",
            self.network()
        );
        let change =
            ask.replace("run --rm", &format!("run --rm --volume {}:/token:ro", self.secret("token").display()));
        let engine = "tests/tools/docker-engine.sh with bash";
        Ok(format!(
            "\nPages, to be seen from this machine:\n  the scheduler              {}/api/v2/platform\n  \
             who leads                  {}/api/v2/leader\n  the Mesos master           http://{}:5050/state\n\
             \nIn another terminal, from the same directory:\n  # a shell that finds the engine\n  {engine}\n  \
             # the platform, at a replica that stands by\n  {ask} status\n  \
             # end one worker's services and start them again\n  {change} --token-file /token restart worker-0\n  \
             # kill the leader; then ask who leads\n  docker kill {}\n\nCtrl-C removes everything.\n\n",
            self.url(standby),
            self.url(standby),
            self.address,
            &self.container(&format!("replica{leader}"))?[..12],
        ))
    }

    fn secret(&self, name: &str) -> PathBuf {
        self.secrets.path().join("files").join(name)
    }

    fn compose(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.compose);
        command
            .args(["--project-name", &self.project, "--file"])
            .arg(repository("docker/compose.yaml"))
            .args(args)
            .env("EPIC_VERSION", VERSION)
            .env("SECRETS", self.secrets.path().join("files"))
            .env("BUNDLES", &self.bundles)
            .env("PUBLISH", if self.address == "127.0.0.1" { "127.0.0.1" } else { "0.0.0.0" });
        done(&mut command, &format!("compose {}", args.join(" ")))
    }
}

impl Drop for Composed {
    fn drop(&mut self) {
        // After a success there is nothing any more, which compose says in words.
        let _down = self.down();
    }
}

/// Runs `docker`, which must succeed, and returns its stdout without the space around it.
pub(super) fn docker(args: &[&str]) -> Result<String> {
    done(Command::new("docker").args(args), &format!("docker {}", args.join(" ")))
}

/// Runs a command in a process group of its own, so that Ctrl-C ends it only together with all else.
fn done(command: &mut Command, what: &str) -> Result<String> {
    let output = command.stdin(Stdio::null()).process_group(0).output();
    let Output { status, stdout, stderr } = output.with_context(|| format!("cannot start {what}"))?;
    ensure!(status.success(), "{what}: {status}: {}", String::from_utf8_lossy(&stderr));
    Ok(String::from_utf8_lossy(&stdout).trim().to_owned())
}

/// The numbers of the replicas, as their services are named.
pub(super) const REPLICAS: std::ops::RangeInclusive<usize> = 1..=3;
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Images are there; the Java machines and the bundle's way to each agent take most of it.
const READY: Duration = Duration::from_secs(180);
