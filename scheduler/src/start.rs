//! Everything that is checked and opened before the first connection.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use epic_common::ids::{Digest, FrameworkId};
use epic_common::spec;
use epic_common_io::http::ClientOptions;
use epic_scheduler_core::invariants;
use epic_scheduler_core::policy::Policy;
use epic_scheduler_core::request::{Applicant, Wish};
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::platform::Desired;
use tracing::{info, warn};

use crate::api::desired::desired;
use crate::artifacts::Artifacts;
use crate::config::Config;
use crate::failure::{Code, Failure};
use crate::journal::local::Local;
use crate::journal::{Journal as _, Recovered, codec};
use crate::mesos::client::Client;
use crate::mesos::convert::Identity;
use crate::mesos::credentials::Credentials;
use crate::token::{self, Token};

/// All that a scheduler runs on.
#[derive(Debug)]
pub struct Ready {
    /// What the journal holds.
    pub state: State,
    /// The journal itself, locked.
    pub journal: Local,
    /// The number of its last batch.
    pub position: u64,
    /// What executors fetch.
    pub artifacts: Arc<Artifacts>,
    /// Who may change things.
    pub token: Token,
    /// What the platform is to be if the journal is empty.
    pub seed: Option<Wish>,
    /// The client for Mesos.
    pub client: Client,
    /// Who we are to Mesos.
    pub identity: Identity,
    /// The numbers that decisions depend on.
    pub policy: Policy,
    /// The port, bound.
    pub listener: TcpListener,
}

/// Checks and opens everything; nothing is connected to.
///
/// # Errors
///
/// The first thing that can't be used.
pub fn start(config: &Config) -> Result<Ready, Failure> {
    let client = client(config)?;
    let listener = listen(config)?;
    let (journal, recovered) = Local::open(&config.state_dir)?;
    let position = journal.position();
    let state = state(&recovered)?;
    check_role(config, &state)?;
    let artifacts = Artifacts::open(&config.state_dir)?;
    let executor = artifacts.add_executor(&executor(config)?)?;
    let token = match &config.token_file {
        Some(path) => token::read(path)?,
        None => token::own(&config.state_dir)?,
    };
    let seed = seed(config, &artifacts)?;
    warn_of_missing(&state, &artifacts);
    Ok(Ready {
        state,
        journal,
        position,
        artifacts: Arc::new(artifacts),
        token,
        seed,
        client,
        identity: Identity {
            role: config.role.clone(),
            name: config.framework_name.clone(),
            principal: config.principal.clone(),
            webui_url: config.advertised(),
        },
        policy: policy(config, executor),
        listener,
    })
}

fn client(config: &Config) -> Result<Client, Failure> {
    let credentials = match (&config.principal, &config.secret_file) {
        (Some(principal), Some(file)) => {
            Some(Credentials::load(principal, file).map_err(|error| Failure::new(Code::Usage, &error))?)
        }
        (Some(_), None) | (None, Some(_) | None) => None,
    };
    let options = ClientOptions { ca_file: config.ca_file.clone(), ..ClientOptions::default() };
    Client::new(config.master.clone(), credentials, &options).map_err(|error| Failure::new(Code::Usage, &error))
}

fn listen(config: &Config) -> Result<TcpListener, Failure> {
    let failed = |error: std::io::Error| {
        let next = "is another scheduler running there? choose another with --listen ADDRESS:PORT";
        Failure::text(Code::Io, format!("cannot listen on {}: {error}; {next}", config.listen))
    };
    let listener = TcpListener::bind(config.listen).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// Folds what the journal holds.
fn state(recovered: &Recovered) -> Result<State, Failure> {
    let data = |error: codec::Error| Failure::new(Code::Data, &error);
    if let Some(cut) = &recovered.cut {
        warn!(file = %cut.file.display(), bytes = cut.bytes, "the end of an interrupted append was cut off; nothing that was promised is lost");
    }
    for path in &recovered.damaged_snapshots {
        warn!(file = %path.display(), "a snapshot can't be read and was set aside; older data made up for it");
    }
    let mut state = match &recovered.snapshot {
        Some(snapshot) => codec::decode_snapshot(&snapshot.bytes).map_err(data)?,
        None => State::default(),
    };
    for (batch, bytes) in &recovered.batches {
        let (first, entries) = codec::decode_batch(bytes).map_err(data)?;
        if first != state.index.next() {
            let text = format!("batch {batch} of the journal begins with entry {}, not {}", first.0, state.index.next().0);
            return Err(Failure::text(Code::Data, format!("{text}; restore a backup of the state directory")));
        }
        for entry in &entries {
            state.apply(entry);
        }
    }
    invariants::check_all(&state);
    info!(index = state.index.0, tasks = state.tasks.len(), "journal read");
    Ok(state)
}

fn check_role(config: &Config, state: &State) -> Result<(), Failure> {
    match &state.role {
        Some(role) if *role != config.role => Err(Failure::text(
            Code::Usage,
            format!(
                "the state directory {} belongs to a framework of role {role}, --role says {}; use {role}, or another state directory",
                config.state_dir.display(),
                config.role
            ),
        )),
        Some(_) | None => Ok(()),
    }
}

fn executor(config: &Config) -> Result<PathBuf, Failure> {
    if let Some(path) = &config.executor {
        return Ok(path.clone());
    }
    let own = std::env::current_exe().map_err(|error| Failure::new(Code::Io, &error))?;
    let beside = own.with_file_name("epic-executor");
    if beside.is_file() {
        return Ok(beside);
    }
    Err(Failure::text(Code::Usage, format!("there is no {}; name the executor's program with --executor FILE", beside.display())))
}

fn policy(config: &Config, executor: Digest) -> Policy {
    let mut policy = Policy::new(config.role.clone(), config.advertised(), executor);
    policy.unreachable_after = config.unreachable_after;
    policy
}

fn seed(config: &Config, artifacts: &Artifacts) -> Result<Option<Wish>, Failure> {
    let document = match (&config.bin, &config.platform) {
        (Some(path), _) => {
            let path = path.canonicalize().map_err(|error| unreadable("--bin", path, &error))?;
            spec::Platform {
                name: "epic".to_owned(),
                bundle: spec::BundleSource { path: path.display().to_string(), sha256: None },
                ceiling: None,
                controllers: None,
                workers: None,
                root_allowed: false,
            }
        }
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path).map_err(|error| unreadable("--platform", path, &error))?;
            spec::Platform::parse(&text)
                .map_err(|error| Failure::text(Code::Data, format!("--platform {}: {error}", path.display())))?
        }
        (None, None) => return Ok(None),
    };
    let bundle = artifacts.resolve(&document.bundle)?;
    let desired: Desired = desired(&document, &bundle).map_err(|error| Failure::new(Code::Data, &error))?;
    Ok(Some(Wish::Apply { desired: Box::new(desired), framework: fresh_framework(), by: Applicant::Seed }))
}

/// Makes an id that nobody else has.
#[must_use]
pub fn fresh_framework() -> FrameworkId {
    FrameworkId::new(uuid::Uuid::new_v4().to_string())
}

fn unreadable(option: &str, path: &std::path::Path, error: &std::io::Error) -> Failure {
    Failure::text(Code::Data, format!("cannot read {option} {}: {error}", path.display()))
}

/// A missing artifact bars nothing but new attempts.
fn warn_of_missing(state: &State, artifacts: &Artifacts) {
    let Some(desired) = &state.desired else { return };
    if artifacts.find(&desired.bundle.sha256).is_none() {
        warn!(bundle = %desired.bundle.sha256, "the platform's bundle is missing; start once with --bin FILE to supply it");
    }
}
