//! Everything that is checked and opened before the first connection.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use epic_common::ids::Digest;
use epic_common_io::http::ClientOptions;
use epic_scheduler_core::policy::{Measure, Policy};
use epic_scheduler_core::request::Wish;
use epic_scheduler_core::state::State;
use tracing::{info, warn};

use crate::artifacts::{self, Artifacts};
use crate::chain;
use crate::config::Config;
use crate::failure::{Code, Failure};
use crate::journal::codec;
use crate::journal::fold::fold;
use crate::journal::local::{self, Local, Lock};
use crate::journal::{Journal as _, Recovered};
use crate::mesos::client::Client;
use crate::mesos::convert::Identity;
use crate::mesos::credentials::Credentials;
use crate::mesos::masters::ZooKeeperPath;
use crate::moved;
use crate::reach::Reach;
use crate::seed;
use crate::store::{self, Keeper, Options};
use crate::token::{self, Token};
use crate::zookeeper::Connect;
use epic_scheduler_core::replica::At;

/// All that a scheduler runs on.
#[derive(Debug)]
pub struct Ready {
    /// What the journal holds.
    pub state: State,
    /// The journal itself.
    pub journal: Held,
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
    /// The ports, bound, and what is shown there.
    pub reach: Reach,
}

/// The journal that a scheduler was started on.
#[derive(Debug)]
pub enum Held {
    /// On local disk, locked.
    Alone(Local),
    /// In `ZooKeeper`, which is yet to be connected to; the state directory holds everything else and is locked, too.
    Shared(Box<Copy>),
}

/// What a replica has of a journal that is in `ZooKeeper`.
#[derive(Debug)]
pub struct Copy {
    /// How sessions with `ZooKeeper` are made.
    pub connect: Connect,
    /// Keeps it.
    pub keeper: Keeper,
    /// Which journal it is of, and up to where; `None` if it holds nothing.
    pub at: Option<At>,
    /// What it once held, if it holds nothing now: the journal must have that.
    pub floor: Option<At>,
    /// The checksum of the last batch, if that is known.
    pub last_crc32: Option<u32>,
    /// Keeps others out of the state directory.
    pub lock: Lock,
}

/// Checks and opens everything; nothing is connected to.
///
/// # Errors
///
/// The first thing that can't be used.
pub fn start(config: &Config) -> Result<Ready, Failure> {
    let client = client(config)?;
    let (journal, position, recovered) = match &config.zk {
        None => {
            moved::check_copy(&config.state_dir)?;
            let (journal, recovered) = Local::open(&config.state_dir)?;
            let position = journal.position();
            (Held::Alone(journal), position, recovered)
        }
        Some(path) => shared(config, path)?,
    };
    report(&recovered);
    let state = state(&recovered)?;
    info!(index = state.index.0, tasks = state.units.tasks.len(), "journal read");
    moved::check_alone(&config.state_dir, &state)?;
    check_role(config, &state)?;
    let reach = Reach::open(&config.reach)?;
    let token = match &config.secrets.token {
        Some(source) => token::take(source),
        None => token::own(&config.state_dir),
    };
    let token = token.map_err(|error| Failure::token(&config.state_dir, &error))?;
    let unusable = |error: artifacts::Error| Failure::artifact(&config.state_dir, &error);
    let artifacts = Artifacts::open(&config.state_dir).map_err(unusable)?;
    let asked = match seed::read(config, |source| artifacts.resolve(source).map_err(unusable)) {
        // The journal is the truth: a file that went bad later must not keep what runs from being looked after.
        Err(failure) if !seed::is_needed(&state) => {
            warn!(
                why = failure.text,
                "the platform's file can't be used; the platform of the journal goes on as it is"
            );
            None
        }
        asked => asked?,
    };
    let executor = artifacts.add_executor(&executor(config)?).map_err(unusable)?;
    let policy = policy(config, executor);
    let seed = seed::wish(config, &state, &policy, asked)?;
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
            webui_url: config.reach.advertised(),
        },
        policy,
        reach,
    })
}

/// Opens what a replica has of the journal in `ZooKeeper`: a copy to begin with, if it is good for anything.
fn shared(config: &Config, path: &ZooKeeperPath) -> Result<(Held, u64, Recovered), Failure> {
    moved::check_shared(&config.state_dir, path)?;
    let lock = local::lock(&config.state_dir)?;
    let connect = connect(config, path)?;
    let once = store::forget::once_held(&config.state_dir);
    let (held, keeper) = Keeper::open(&config.state_dir, Options::default());
    let (at, last_crc32) = held.as_ref().map_or((None, None), |held| (Some(held.at.clone()), held.last_crc32));
    let recovered = held.map(Recovered::from).unwrap_or_default();
    if let Err(error) = fold(&recovered) {
        // The journal is the truth: what a later version has left here may be of use to that version.
        warn!(error = chain(&error), "the copy of the journal can't be used; it is made anew from ZooKeeper");
        let copy = Copy { connect, keeper, at: None, floor: at.or(once), last_crc32: None, lock };
        return Ok((Held::Shared(Box::new(copy)), 0, Recovered::default()));
    }
    let batch = at.as_ref().map_or(0, |at| at.batch);
    Ok((
        Held::Shared(Box::new(Copy { connect, keeper, floor: once.filter(|_| at.is_none()), at, last_crc32, lock })),
        batch,
        recovered,
    ))
}

/// Says how sessions with `ZooKeeper` are made; nothing is connected to.
pub(crate) fn connect(config: &Config, path: &ZooKeeperPath) -> Result<Connect, Failure> {
    Ok(config.connect.connect(path, config.zk_session_timeout)?)
}

/// Makes the client for Mesos; nothing is connected to.
pub(crate) fn client(config: &Config) -> Result<Client, Failure> {
    let credentials = match (&config.principal, config.secrets.mesos.clone()) {
        (Some(principal), Some(source)) => {
            Some(Credentials::load(principal, source).map_err(|error| Failure::new(Code::Usage, &error))?)
        }
        (Some(_), None) | (None, Some(_) | None) => None,
    };
    let options = ClientOptions { ca_file: config.ca_file.clone(), ..ClientOptions::default() };
    Client::new(config.master.clone(), credentials, &options).map_err(|error| Failure::new(Code::Usage, &error))
}

/// Tells what the journal's opening has mended.
fn report(recovered: &Recovered) {
    if let Some(cut) = &recovered.cut {
        warn!(file = %cut.file.display(), bytes = cut.bytes, "the end of an interrupted append was cut off; nothing that was promised is lost");
    }
    for path in &recovered.damaged_snapshots {
        warn!(file = %path.display(), "a snapshot can't be read and was set aside; older data made up for it");
    }
}

/// Folds what the journal holds.
pub(crate) fn state(recovered: &Recovered) -> Result<State, Failure> {
    fold(recovered).map_err(|error| Failure::new(Code::Data, &error))
}

/// Refuses another role than the framework has.
pub(crate) fn check_role(config: &Config, state: &State) -> Result<(), Failure> {
    match state.identity.roles.first() {
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

/// Finds the executor's program: where `--executor` says, beside this program, or where a package installs it.
pub(crate) fn executor(config: &Config) -> Result<PathBuf, Failure> {
    let path = match &config.executor {
        Some(path) => path.clone(),
        None => {
            let own = std::env::current_exe().map_err(|error| Failure::new(Code::Io, &error))?;
            let (beside, installed) = (own.with_file_name(EXECUTOR), own.with_file_name(INSTALLED));
            if !beside.exists() && installed.exists() { installed } else { beside }
        }
    };
    let problem = match path.metadata() {
        Ok(metadata) if !metadata.is_file() => "it is not a file".to_owned(),
        Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => "it is not executable".to_owned(),
        Ok(_) => return Ok(path),
        Err(error) => error.to_string(),
    };
    let next = "name the program epic-executor with --executor FILE";
    Err(Failure::text(Code::Usage, format!("cannot use the executor's program {}: {problem}; {next}", path.display())))
}

const EXECUTOR: &str = "epic-executor";
/// No program for people, so not in a folder of `PATH`.
const INSTALLED: &str = "../lib/epic/epic-executor";

/// Returns the numbers that decisions depend on.
pub(crate) fn policy(config: &Config, executor: Digest) -> Policy {
    let mut policy = Policy::new(config.role.clone(), config.reach.advertised_agents(), executor);
    policy.unreachable_after = config.unreachable_after;
    policy.measure = Measure(codec::measure);
    // What is younger than a third of the session's time-out was true a moment ago: nobody else can lead yet.
    policy.barrier = config.zk.as_ref().map(|_| config.zk_session_timeout / 3);
    policy
}

/// A missing artifact bars nothing but new attempts.
fn warn_of_missing(state: &State, artifacts: &Artifacts) {
    let Some(desired) = state.platform() else { return };
    if artifacts.find(&desired.bundle.sha256).is_none() {
        warn!(bundle = %desired.bundle.sha256, "the platform's bundle is missing; unless another replica has it, supply it with epicctl bundle push FILE");
    }
}
