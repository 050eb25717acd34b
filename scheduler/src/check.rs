//! What `--check` looks at: all that a start would need, with nothing made, changed or connected to.

use std::io;
use std::path::Path;

use epic_common::ids::Digest;
use epic_common::spec::BundleSource;
use epic_common_io::bundle::{self, Bundle};
use epic_common_io::secret::Source;
use epic_scheduler_core::state::State;
use nix::sys::statvfs::statvfs;
use nix::unistd::{AccessFlags, access};

use crate::artifacts::{self, BundleFacts};
use crate::config::Config;
use crate::failure::{Code, Failure};
use crate::journal::local::Local;
use crate::{moved, reach, seed, start, token};

/// Finds everything that would keep a scheduler from starting, about in the order in which a start would meet it.
///
/// A state directory that is there is read and otherwise left alone; one that isn't there is not made. The port is
/// bound and given back.
#[must_use]
pub fn check(config: &Config) -> Vec<Failure> {
    let state = state(config);
    let executor = start::executor(config);
    let folded = state.as_ref().cloned().unwrap_or_default();
    // Whoever uses the directory most likely uses the port, too, and one line says enough of what isn't a directory.
    let is_readable = state.is_ok();
    let around = |check: &dyn Fn() -> Result<(), Failure>| if is_readable { check() } else { Ok(()) };
    let checks = [
        start::client(config).map(|_client| ()),
        config.zk.as_ref().map_or(Ok(()), |path| start::connect(config, path).map(|_connect| ())),
        around(&|| writable(&config.state_dir)),
        around(&|| reach::listen(&config.reach).map(|_listeners| ())),
        reach::certificate(&config.reach).map(|_certificate| ()),
        reach::clients(config.reach.tls_ca_file.as_deref()).map(|_clients| ()),
        state.and_then(|state| start::check_role(config, &state).and_then(|()| moved(config, &state))),
        token(config),
        platform(config, &folded),
        executor.and_then(|path| room(config, &path)),
    ];
    checks.into_iter().filter_map(Result::err).collect()
}

fn state(config: &Config) -> Result<State, Failure> {
    start::state(&Local::look(&config.state_dir)?)
}

/// Asks whether the journal went elsewhere, or belongs to a scheduler that is alone.
fn moved(config: &Config, state: &State) -> Result<(), Failure> {
    match &config.zk {
        None => moved::check_alone(&config.state_dir, state).and_then(|()| moved::check_copy(&config.state_dir)),
        Some(path) => moved::check_shared(&config.state_dir, path),
    }
}

/// Asks whether the state directory, or what it would be made in, can be written.
fn writable(state_dir: &Path) -> Result<(), Failure> {
    let there = nearest(state_dir);
    let failed = |why: &str| {
        let next = "the state directory must be writable by this user; choose another with --state-dir";
        Err(Failure::text(Code::Io, format!("cannot write to {}: {why}; {next}", there.display())))
    };
    if !there.is_dir() {
        return failed("it is not a directory");
    }
    access(there, AccessFlags::W_OK | AccessFlags::X_OK).or_else(|error| failed(error.desc()))
}

/// Returns the directory itself, or the nearest above it that is there.
fn nearest(dir: &Path) -> &Path {
    let mut above = dir.ancestors().filter(|path| !path.as_os_str().is_empty());
    above.find(|path| path.exists()).unwrap_or_else(|| Path::new("."))
}

fn token(config: &Config) -> Result<(), Failure> {
    let own = config.state_dir.join("token");
    let source = config.secrets.token.clone().or_else(|| own.exists().then_some(Source::File(own)));
    source.map_or(Ok(()), |source| {
        token::take(&source).map(|_token| ()).map_err(|error| Failure::token(&config.state_dir, &error))
    })
}

fn platform(config: &Config, state: &State) -> Result<(), Failure> {
    let asked = seed::read(config, |source| {
        facts(&config.state_dir, source).map_err(|error| Failure::artifact(&config.state_dir, &error))
    })?;
    let policy = start::policy(config, Digest([0; 32]));
    seed::wish(config, state, &policy, asked).map(|_wish| ())
}

/// Reads a bundle where it is, wholly, instead of the copy that a start would make.
fn facts(state_dir: &Path, source: &BundleSource) -> Result<BundleFacts, artifacts::Error> {
    let kept = source.sha256.map(|digest| state_dir.join("artifacts").join(digest.to_string()));
    let path = match (kept.filter(|kept| kept.is_file()), source.sha256, source.path.as_str()) {
        (Some(kept), ..) => kept,
        (None, Some(digest), "") => return Err(artifacts::Error::Unknown(digest)),
        (None, _, path) => path.into(),
    };
    if path.exists() && !path.is_file() {
        let source = io::Error::other("it is not a regular file");
        return Err(artifacts::Error::Io { operation: "read", path, source });
    }
    let actual = bundle::verify(&path)?;
    if let Some(expected) = source.sha256.filter(|expected| *expected != actual) {
        return Err(artifacts::Error::WrongDigest { path, expected, actual });
    }
    let bundle = Bundle::open(&path)?;
    Ok(BundleFacts { digest: actual, bytes: bundle.bytes(), manifest: bundle.manifest().clone() })
}

/// Asks whether a new state directory has room for the copies that the first start makes.
fn room(config: &Config, executor: &Path) -> Result<(), Failure> {
    if config.state_dir.join("artifacts").exists() {
        return Ok(());
    }
    let there = nearest(&config.state_dir);
    let bytes = |path: &Path| path.metadata().map_or(0, |metadata| metadata.len());
    let needed = bytes(executor) + config.bin.as_deref().map_or(0, bytes);
    let Ok(disk) = statvfs(there) else { return Ok(()) };
    let free = disk.blocks_available().saturating_mul(disk.fragment_size());
    if free >= needed {
        return Ok(());
    }
    let next = "free some space, or choose another with --state-dir";
    let state_dir = config.state_dir.display();
    Err(Failure::text(
        Code::Io,
        format!("the disk of state directory {state_dir} has {free} bytes free, {needed} are needed; {next}"),
    ))
}
