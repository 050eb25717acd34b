//! A Mesos cluster with a scheduler on it.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use epic_common::api::PlatformView;
use epic_tests::cluster::Cluster;
use epic_tests::epic::{PATIENCE, built};
use epic_tests::http;
use epic_tests::process::{Process, Program};
use epic_tests::spec::ClusterSpec;
use nix::sys::signal::Signal;

use crate::check;
use crate::guide::{self, Places};
use crate::scene::Scene;
use crate::screen::Screen;

/// Both, and where the scheduler keeps its things; dropping it kills all of it.
#[derive(Debug)]
pub(crate) struct Stage {
    // Fields are dropped in this order: the scheduler ends before its Mesos.
    scheduler: Process,
    pub(crate) cluster: Cluster,
    places: Places,
    _port: Option<UnixListener>,
}

impl Scene for Stage {
    type Ground = Cluster;

    async fn ground(screen: &Screen) -> Result<Cluster> {
        screen.say("starting a Mesos master and four agents, one of them spare");
        let cluster = Cluster::start(ClusterSpec::agents_of(4)).await?;
        let master = cluster.master_addr();
        screen.say(&format!("the master is at {master}; each agent has 2 cpus and 2 GiB for BlueData"));
        Ok(cluster)
    }

    fn cluster(ground: &Cluster) -> &Cluster {
        ground
    }

    async fn start(cluster: Cluster, bundle: &Path) -> Result<Self> {
        let dir = cluster.work_dir().join("scheduler");
        std::fs::create_dir(&dir)?;
        let (platform, more) = (dir.join("platform.yaml"), dir.join("three-workers.yaml"));
        std::fs::write(&platform, document(bundle, 2))?;
        std::fs::write(&more, document(bundle, 3))?;
        let port = usual_port();
        let listen = match &port {
            Some(_) => USUAL.to_owned(),
            None => cluster.network().free(200)?.to_string(),
        };
        let state_dir = dir.join("state");
        let places = Places {
            server: format!("http://{listen}"),
            master: cluster.master_addr().to_string(),
            epicctl: built("epicctl")?,
            token_file: state_dir.join("token"),
            more,
        };
        let scheduler = Program::new(built("epic-scheduler")?, dir.join("scheduler.log"))
            .args(["--master", &places.master, "--listen", &listen, "--platform", &platform.display().to_string()])
            // In the environment, it is also a mark by which a forgotten process is found.
            .env("EPIC_STATE_DIR", state_dir)
            .start()?;
        Ok(Self { scheduler, cluster, places, _port: port })
    }

    fn opening(&self) -> String {
        let server = &self.places.server;
        format!("starting the scheduler at {server}, with a platform of a controller and two workers")
    }

    async fn view(&mut self) -> Result<Option<PlatformView>> {
        if let Some(status) = self.scheduler.exited()? {
            bail!("the scheduler has ended ({status})\n{}", self.scheduler.log_tail(5));
        }
        let Ok(text) = http::get(&format!("{}/api/v2/platform", self.places.server)).await else { return Ok(None) };
        Ok(Some(serde_json::from_str(&text).context("the scheduler gives an answer that isn't understood")?))
    }

    async fn news(&mut self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn guide(&self, view: &PlatformView) -> Result<String> {
        guide::text(&self.places, view)
    }

    async fn check(&mut self, screen: &Screen, view: &PlatformView) -> Result<()> {
        check::all(screen, &self.places, view).await
    }

    async fn uninstall(&mut self) -> Result<()> {
        let token = std::fs::read_to_string(&self.places.token_file).context("the scheduler has no token")?;
        let request = http::client().post(format!("{}/api/v2/platform/uninstall", self.places.server));
        let answer =
            request.bearer_auth(token.trim()).timeout(PATIENCE).send().await.context("cannot ask for the removal")?;
        let (status, text) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "the scheduler refuses to remove the platform: {status}: {text}");
        Ok(())
    }

    async fn end(&mut self) -> Result<&'static str> {
        self.scheduler.signal(Signal::SIGTERM)?;
        let status = self.scheduler.ended(PATIENCE).await?;
        ensure!(status.success(), "the scheduler has ended with {status}\n{}", self.scheduler.log_tail(20));
        Ok("the scheduler has ended")
    }

    /// Nothing if the scheduler has ended, since [`Self::view`] says then what matters.
    fn logs(&mut self) -> String {
        match self.scheduler.exited() {
            Ok(None) => format!("{}\n{}\n", self.cluster.log_tails(), self.scheduler.log_tail(40)),
            Ok(Some(_)) | Err(_) => String::new(),
        }
    }
}

/// Claims the address that people expect a scheduler at, unless somebody has it.
///
/// The name in the abstract namespace keeps it for this demo until its scheduler listens, and ends with the process.
fn usual_port() -> Option<UnixListener> {
    let name = UnixAddr::from_abstract_name(format!("epic-demo {USUAL}")).ok()?;
    let claim = UnixListener::bind_addr(&name).ok()?;
    std::net::TcpListener::bind(USUAL).ok().map(|_free| claim)
}

fn document(bundle: &Path, workers: u32) -> String {
    let uri = format!("file://{}", bundle.display());
    format!(
        "kind: Platform\nlabel: {{name: demo}}\nspec:\n  bundle: {{uri: '{uri}'}}\n  controllers: {{count: 1}}\n  workers: {{count: {workers}}}\n"
    )
}

/// The scheduler's default.
const USUAL: &str = "127.0.0.1:8080";
