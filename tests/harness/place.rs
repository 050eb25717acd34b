//! A scheduler that no cluster belongs to: what it says about its options, files and state directory.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use epic_common::api::PlatformView;
use epic_common_io::bundle;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tempfile::TempDir;

use crate::address::Network;
use crate::epic::{PATIENCE, built, repository};
use crate::process::{Process, Program};
use crate::{http, wait};

/// Options that are right, and files that they name; no master listens where they say.
#[derive(Debug)]
pub struct Place {
    network: Network,
    listen: SocketAddr,
    folder: TempDir,
}

/// How a scheduler ended.
#[derive(Debug)]
pub struct Said {
    /// Its exit code; `None` if a signal ended it.
    pub code: Option<i32>,
    /// The lines that are its last words, without the program's name.
    pub lines: Vec<String>,
    /// All of stderr.
    pub stderr: String,
}

impl Place {
    /// Prepares a bundle `platform.bin`, and a document `platform.yaml` of two workers.
    ///
    /// # Errors
    /// The bundle can't be built, or there is no free address.
    pub fn new() -> Result<Self> {
        let network = Network::take()?;
        let listen = network.free(200)?;
        let place = Self { network, listen, folder: TempDir::new()? };
        bundle::build(&repository("tests/fixtures/quiet-platform"), &place.path("platform.bin"))?;
        place.write("platform.yaml", place.document("  workers: {count: 2}\n"))?;
        Ok(place)
    }

    /// Returns a path in the folder of this place.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns a path in the folder of this place as text.
    #[must_use]
    pub fn text_of(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Writes a file in the folder of this place; returns its path as text.
    ///
    /// # Errors
    /// It can't be written.
    pub fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> Result<String> {
        fs::write(self.path(name), contents).with_context(|| format!("cannot write {name}"))?;
        Ok(self.text_of(name))
    }

    /// Returns a document for the bundle, with further lines of its `spec`.
    #[must_use]
    pub fn document(&self, more: &str) -> String {
        let bin = self.text_of("platform.bin");
        format!("kind: Platform\nlabel: {{name: test}}\nspec:\n  bundle: {{uri: 'file://{bin}'}}\n{more}")
    }

    /// Returns where the scheduler listens.
    #[must_use]
    pub const fn listen(&self) -> SocketAddr {
        self.listen
    }

    /// Returns another address where nobody listens.
    ///
    /// # Errors
    /// There is none.
    pub fn another(&self) -> Result<String> {
        Ok(self.network.free(201)?.to_string())
    }

    /// Returns the options, each changed as `changes` say; an empty value takes one out.
    #[must_use]
    pub fn options(&self, changes: &[(&str, &str)]) -> Vec<String> {
        let mut options = vec![
            ("--master", "127.0.0.1:1".to_owned()),
            ("--state-dir", self.text_of("state")),
            ("--listen", self.listen.to_string()),
            ("--platform", self.text_of("platform.yaml")),
            ("--executor", "/bin/true".to_owned()),
            // What a test has made wrong stays wrong.
            ("--wait-for-files", "0s".to_owned()),
        ];
        for (flag, value) in changes {
            options.retain(|(known, _)| known != flag);
            if !value.is_empty() {
                options.push((flag, (*value).to_owned()));
            }
        }
        options.into_iter().map(|(flag, value)| format!("{flag}={value}")).collect()
    }

    /// Runs a scheduler to its end.
    ///
    /// # Errors
    /// It can't be started, or doesn't end.
    pub async fn run(&self, changes: &[(&str, &str)], more: &[&str]) -> Result<Said> {
        let mut command = tokio::process::Command::new(built("epic-scheduler")?);
        command.args(self.options(changes)).args(more).env_clear().stdin(Stdio::null()).kill_on_drop(true);
        let output = tokio::time::timeout(PATIENCE, command.output()).await;
        let output = output.with_context(|| format!("a scheduler with {changes:?} {more:?} runs on"))??;
        let stderr = String::from_utf8(output.stderr)?;
        let last = stderr.lines().filter_map(|line| line.strip_prefix("epic-scheduler: "));
        Ok(Said { code: output.status.code(), lines: last.map(str::to_owned).collect(), stderr })
    }

    /// Checks that a start and `--check` both end with this code and one line that holds all `parts`.
    ///
    /// # Errors
    /// What was said instead.
    pub async fn refuses(&self, changes: &[(&str, &str)], code: i32, parts: &[&str]) -> Result<()> {
        for more in [&["--check"][..], &[]] {
            let said = self.run(changes, more).await?;
            ensure!(said.code == Some(code), "{changes:?} {more:?} ended with {:?}: {}", said.code, said.stderr);
            ensure!(said.lines.len() == 1, "{changes:?} {more:?} has other than one line: {}", said.stderr);
            let missing: Vec<_> = parts.iter().filter(|part| !said.lines[0].contains(**part)).collect();
            ensure!(missing.is_empty(), "{changes:?} {more:?} doesn't say {missing:?}: {}", said.lines[0]);
        }
        Ok(())
    }

    /// Starts a scheduler and waits until its platform is there.
    ///
    /// # Errors
    /// It ends, or has no platform: the end of its log.
    pub async fn starts(&self, changes: &[(&str, &str)]) -> Result<(Process, PlatformView)> {
        let program = Program::new(built("epic-scheduler")?, self.path("log")).args(self.options(changes));
        let mut process = program.start()?;
        let url = format!("http://{}/api/v2/platform", self.listen);
        let view = wait::until("the platform is there", Duration::from_secs(20), async || {
            ensure!(process.exited()?.is_none(), "the scheduler ended");
            let view: PlatformView = serde_json::from_str(&http::get(&url).await?)?;
            ensure!(view.desired.is_some(), "{view:?}");
            Ok(view)
        });
        let view = view.await;
        let view = view.with_context(|| process.log_tail(20))?;
        Ok((process, view))
    }

    /// Returns all that schedulers started here have logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }
}

/// A small file system in memory, gone with its value; needs root.
#[derive(Debug)]
pub struct Mount(PathBuf);

impl Mount {
    /// Mounts one of so many bytes at a directory, which is made if need be.
    ///
    /// # Errors
    /// It can't be mounted.
    pub fn new(path: &Path, bytes: u64) -> Result<Self> {
        fs::create_dir_all(path)?;
        let mounted =
            mount(Some("tmpfs"), path, Some("tmpfs"), MsFlags::empty(), Some(format!("size={bytes}").as_str()));
        mounted.with_context(|| format!("cannot mount a tmpfs at {}", path.display()))?;
        Ok(Self(path.to_owned()))
    }

    /// Changes its size.
    ///
    /// # Errors
    /// It can't be changed.
    pub fn resize(&self, bytes: u64) -> Result<()> {
        self.remount(MsFlags::MS_REMOUNT, Some(format!("size={bytes}").as_str()))
    }

    /// Allows no more changes.
    ///
    /// # Errors
    /// It can't be changed.
    pub fn read_only(&self) -> Result<()> {
        self.remount(MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, None)
    }

    fn remount(&self, flags: MsFlags, options: Option<&str>) -> Result<()> {
        let mounted = mount(None::<&str>, &self.0, None::<&str>, flags, options);
        mounted.with_context(|| format!("cannot remount {}", self.0.display()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // It is gone already if its cluster was faster.
        let _unmounted = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}
