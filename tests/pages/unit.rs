//! What systemd runs on hosts, as far as pages speak of it.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use epic_tests::process::{Process, Program};
use nix::sys::signal::Signal;

use crate::hosts::Hosts;

/// A unit of a host, running or not.
#[derive(Debug)]
pub(crate) struct Unit {
    host: String,
    name: String,
    program: Program,
    process: Option<Process>,
}

impl Unit {
    /// Describes the unit `epic-scheduler` or `zookeeper` of a host.
    ///
    /// # Errors
    /// There is no such unit.
    pub(crate) fn new(hosts: &Hosts, host: &str, name: &str) -> Result<Self> {
        let words: &[&str] = match name {
            "epic-scheduler" => &["/usr/bin/epic-scheduler", "--config", "/etc/epic/scheduler.yaml"],
            "zookeeper" => &[
                "java",
                "-Xmx64m",
                "-XX:+UseSerialGC",
                "-XX:TieredStopAtLevel=1",
                "-Dzookeeper.cnxTimeout=500",
                "-cp",
                "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar",
                "org.apache.zookeeper.server.quorum.QuorumPeerMain",
                "/etc/zookeeper/conf/zoo.cfg",
            ],
            _ => bail!("Unit {name}.service not found."),
        };
        let mut program = Program::new(hosts.enter(), hosts.log(host, name)).args([host]).args(words.iter().copied());
        for (name, value) in hosts.env() {
            program = program.env(name, value);
        }
        Ok(Self { host: host.to_owned(), name: name.to_owned(), program, process: None })
    }

    /// Tells whether it is this unit.
    pub(crate) fn is(&self, host: &str, name: &str) -> bool {
        self.host == host && self.name == name
    }

    /// Starts it unless it runs.
    ///
    /// # Errors
    /// It can't be started.
    pub(crate) fn start(&mut self) -> Result<()> {
        if !self.runs()? {
            self.process = Some(self.program.start()?);
        }
        Ok(())
    }

    /// Ends it with SIGTERM, and waits.
    ///
    /// # Errors
    /// It runs on: the end of its log.
    pub(crate) async fn stop(&mut self) -> Result<()> {
        if self.runs()?
            && let Some(process) = &mut self.process
        {
            process.signal(Signal::SIGTERM)?;
            process.ended(STOPS_WITHIN).await?;
        }
        self.process = None;
        Ok(())
    }

    /// Tells whether it runs.
    ///
    /// # Errors
    /// The kernel doesn't say.
    pub(crate) fn runs(&mut self) -> Result<bool> {
        self.process.as_mut().map_or(Ok(false), |process| Ok(process.exited()?.is_none()))
    }

    /// Checks that it hasn't ended by itself.
    ///
    /// # Errors
    /// It has: the end of its log.
    pub(crate) fn goes_on(&mut self) -> Result<()> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let ended = process.exited()?;
        ended.map_or(Ok(()), |status| {
            bail!("{} of {} has ended: {status}\n{}", self.name, self.host, process.log_tail(20))
        })
    }

    /// Returns the end of its log.
    pub(crate) fn log_tail(&self) -> Result<String> {
        let process = self.process.as_ref().with_context(|| format!("{} of {} doesn't run", self.name, self.host))?;
        Ok(process.log_tail(15))
    }
}

/// As long as systemd waits by default.
const STOPS_WITHIN: Duration = Duration::from_secs(90);
