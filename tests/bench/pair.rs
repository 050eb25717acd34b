//! Two replicas of a scheduler, each a process of its own, on one journal and one fake master.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use epic_common::api::LeaderView;
use epic_tests::address::Network;
use epic_tests::epic::built;
use epic_tests::http;
use epic_tests::process::{Process, Program};
use epic_tests::wait;
use nix::sys::signal::Signal;

use crate::content::ROLE;
use crate::launch::token;

/// The replicas; dropping them ends both.
#[derive(Debug)]
pub(crate) struct Pair {
    replicas: Vec<Replica>,
    _network: Network,
}

#[derive(Debug)]
struct Replica {
    url: String,
    program: Program,
    process: Option<Process>,
}

impl Pair {
    /// Starts two, and waits until one leads and the other follows.
    ///
    /// # Errors
    /// They can't be started, or it takes longer than [`PATIENCE`].
    pub(crate) async fn start(dir: &Path, (zk, master): (&str, &str)) -> Result<Self> {
        let network = Network::take()?;
        let token = token(dir)?;
        let mut replicas = Vec::new();
        for name in ["a", "b"] {
            let listen = network.free(1)?;
            let home: PathBuf = dir.join(name);
            std::fs::create_dir_all(&home)?;
            let args = [
                ("--master", master.to_owned()),
                ("--zk", zk.to_owned()),
                ("--zk-session-timeout", format!("{}s", SESSION_TIMEOUT.as_secs())),
                ("--role", ROLE.to_owned()),
                ("--state-dir", home.join("state").display().to_string()),
                ("--listen", listen.to_string()),
                ("--token-file", token.clone()),
            ];
            let args = args.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]);
            let mut program = Program::new(built("epic-scheduler")?, home.join("log")).args(args);
            if let Ok(filter) = std::env::var("EPIC_LOG") {
                program = program.env("EPIC_LOG", filter);
            }
            let process = Some(program.start()?);
            replicas.push(Replica { url: format!("http://{listen}"), program, process });
        }
        let pair = Self { replicas, _network: network };
        pair.settled().await?;
        Ok(pair)
    }

    /// Waits until one leads and the other has caught up; returns the leader's URL.
    ///
    /// # Errors
    /// It takes longer than [`PATIENCE`]: what each said last.
    pub(crate) async fn settled(&self) -> Result<String> {
        let settled = wait::until("one leads and the other follows", PATIENCE, async || {
            let [first, second] = &self.replicas[..] else { bail!("there are two") };
            let views = [view(&first.url).await?, view(&second.url).await?];
            let follows = |view: &LeaderView| view.mode == "standby" && view.caught_up && view.epoch == views[0].epoch;
            let leads = |view: &LeaderView| view.mode == "leading" && view.epoch == views[1].epoch;
            let leader = views.iter().position(leads).filter(|leader| follows(&views[1 - leader]));
            let leader = leader.with_context(|| format!("{views:?}"))?;
            Ok(self.replicas[leader].url.clone())
        });
        settled.await.with_context(|| self.replicas.iter().map(Replica::log_tail).collect::<Vec<_>>().join("\n"))
    }

    /// Sends a signal to the one at this URL.
    ///
    /// # Errors
    /// It doesn't run.
    pub(crate) fn signal(&self, url: &str, signal: Signal) -> Result<()> {
        let replica = self.replicas.iter().find(|replica| replica.url == url).context("no such replica")?;
        replica.process.as_ref().context("it doesn't run")?.signal(signal)
    }

    /// Waits until the one at this URL has ended, and starts it again.
    ///
    /// # Errors
    /// It goes on for longer than [`PATIENCE`].
    pub(crate) async fn restart(&mut self, url: &str) -> Result<()> {
        let replica = self.replicas.iter_mut().find(|replica| replica.url == url).context("no such replica")?;
        let mut process = replica.process.take().context("it doesn't run")?;
        process.ended(PATIENCE).await?;
        replica.process = Some(replica.program.start()?);
        Ok(())
    }

    /// Returns the ends of their logs.
    pub(crate) fn logs(&self) -> String {
        self.replicas.iter().map(Replica::log_tail).collect::<Vec<_>>().join("\n")
    }
}

impl Replica {
    fn log_tail(&self) -> String {
        epic_tests::process::tail(self.program.log(), 20)
    }
}

async fn view(url: &str) -> Result<LeaderView> {
    let answer = http::client().get(format!("{url}/api/v2/leader")).timeout(Duration::from_secs(1)).send().await?;
    ensure!(answer.status() == 200, "{url} answered {}", answer.status());
    Ok(serde_json::from_str(&answer.text().await?)?)
}

/// The shortest that the scheduler takes.
const SESSION_TIMEOUT: Duration = Duration::from_secs(4);
/// How long replicas may take to start and to catch up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
