//! Where a page's commands are typed: a shell outside of the cluster, as an administrator has one.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use epic_tests::page::{Step, unseen};
use epic_tests::wait;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Command;

use crate::site::Site;

/// A folder, an environment and what still runs in the background; dropping it ends that.
#[derive(Debug)]
pub(crate) struct Terminal {
    home: PathBuf,
    hosts: PathBuf,
    env: Vec<(&'static str, String)>,
    groups: Vec<Pid>,
}

impl Terminal {
    /// Opens one in the site's folder.
    pub(crate) fn open(site: &Site, kubeconfig: &Path) -> Self {
        let path = format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", site.tools().display());
        let env = vec![
            ("PATH", path),
            ("HOME", site.home().display().to_string()),
            ("KUBECONFIG", kubeconfig.display().to_string()),
            ("LANG", "C.UTF-8".to_owned()),
        ];
        Self { home: site.home(), hosts: site.hosts(), env, groups: Vec::new() }
    }

    /// Runs a step with what the steps before it have exported; it must succeed, and what the page shows be seen.
    pub(crate) async fn type_in(&mut self, step: &Step) -> Result<()> {
        let script = format!(
            "mount --bind {} /etc/hosts\n[ ! -e ../exported ] || . ../exported\n{}\nended=$?\nexport -p > ../exported\nexit $ended\n",
            self.hosts.display(),
            step.commands
        );
        let shown = self.home.join("../shown");
        let output = File::create(&shown)?;
        let mut command = Command::new("/usr/bin/unshare");
        command.args(["--mount", "--propagation", "private", "/bin/bash", "-euo", "pipefail", "-c", &script]);
        command.env_clear().envs(self.env.iter().map(|(name, value)| (name, value))).current_dir(&self.home);
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
        let mut child = command.spawn()?;
        let pid = child.id().context("it has just been started")?;
        self.groups.push(Pid::from_raw(i32::try_from(pid)?));
        let Ok(status) = tokio::time::timeout(STEP_WITHIN, child.wait()).await else {
            bail!("it isn't done after {STEP_WITHIN:?}: {}", fs::read_to_string(&shown)?);
        };
        let shown = fs::read_to_string(&shown)?;
        ensure!(status?.success(), "{shown}");
        let missing = unseen(&step.seen, &shown);
        ensure!(missing.is_none(), "{:?} isn't seen: {shown}", missing.unwrap_or_default());
        Ok(())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        wait::blocking_until(Duration::from_secs(10), || {
            // Each fails once nothing of its step runs any more.
            let left = self.groups.iter().filter(|group| killpg(**group, Signal::SIGKILL).is_ok());
            left.count() == 0
        });
    }
}

/// Longer than helm waits by itself.
const STEP_WITHIN: Duration = Duration::from_secs(360);
