//! The programs of a real Mesos 1.11.0, built once into the user's cache.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, ensure};

use crate::leftovers;

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Kit {
    root: PathBuf,
}

impl Kit {
    /// Builds the programs if they are not in the cache, and removes what killed test runs left behind.
    ///
    /// Takes no time when cached, else about ten seconds to two minutes, with progress on stderr.
    ///
    /// # Errors
    /// When the build fails; its reason is on stderr.
    pub fn ready() -> anyhow::Result<Self> {
        static READY: OnceLock<Result<Kit, String>> = OnceLock::new();
        READY
            .get_or_init(|| {
                leftovers::sweep();
                build().map(|root| Self { root }).map_err(|error| format!("{error:#}"))
            })
            .clone()
            .map_err(anyhow::Error::msg)
    }

    /// The path of `mesos-master`, `mesos-agent` or `mesos-local`.
    #[must_use]
    pub fn program(&self, name: &str) -> PathBuf {
        self.root.join("bin").join(name)
    }

    /// The agents' `launcher_dir`.
    #[must_use]
    pub fn launcher_dir(&self) -> PathBuf {
        self.root.join("libexec")
    }
}

/// Installs the Debian packages of a set that `tests/setup.sh` knows, where they are missing.
///
/// # Errors
/// When they cannot be installed; the reason is on stderr.
pub fn install(set: &str) -> anyhow::Result<()> {
    run("setup.sh", &[set]).map(|_stdout| ())
}

/// Installs the library that shifts a program's clock, and returns where it is.
///
/// # Errors
/// When it cannot be installed or found.
pub fn faketime() -> anyhow::Result<PathBuf> {
    install("clock")?;
    let path = PathBuf::from("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1");
    ensure!(path.exists(), "there is no {}", path.display());
    Ok(path)
}

fn build() -> anyhow::Result<PathBuf> {
    let stdout = run("mesos/build.sh", &[])?;
    let last = stdout.lines().last().context("mesos/build.sh printed no folder")?;
    let root = PathBuf::from(last);
    ensure!(root.join("bin/mesos-master").exists(), "{last} holds no Mesos");
    Ok(root)
}

fn run(script: &str, args: &[&str]) -> anyhow::Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    let output = Command::new(&path)
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run {}", path.display()))?;
    ensure!(output.status.success(), "tests/{script} failed ({}); its reason is on stderr", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("cannot read the output of {script}"))
}
