//! What the scheduler is told at its start: flags, environment, file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum};

use connect::ConnectOptions;
use reach::{Elsewhere, ReachOptions};
use secrets::Secrets;

use crate::mesos::masters::{Masters, ZooKeeperPath};

/// Runs the EPIC platform on Apache Mesos.
///
/// Every option can be given as a flag, as an environment variable (EPIC_...), or in the file named by --config (YAML:
/// `option-name: value`); a flag wins over the environment, and both win over the file.
///
/// With --zk, several schedulers share one journal and one of them leads; `epic-scheduler init --zk URL` makes that
/// journal, once.
///
/// Under Marathon (`MARATHON_APP_ID` is set) what nobody says follows from its variables: `PORT_HTTP` (else `PORT0`),
/// `PORT_AGENTS` and `HOST` are where this scheduler listens and is reached, `MESOS_SANDBOX`/state is the state directory;
/// `epic-scheduler print marathon` writes such an app.
///
/// Logs go to stderr; the variable `EPIC_LOG` chooses how much, such as `debug` or `warn,epic_scheduler=info`.
///
/// Exit codes: 0 ended as asked; 64 the options are wrong; 65 a bundle, platform file or journal can't be used; 69 Mesos
/// refuses us (role, credentials), or `init` can't use ZooKeeper; 74 the state directory can't be read or written, or a port is in use. A failed
/// assertion ends it with SIGABRT. The last line on stderr says why.
#[derive(Clone, Debug, Parser)]
#[command(name = "epic-scheduler", version)]
pub struct Config {
    /// Where the Mesos masters are: `host:port[,host:port...]` (https://host:port for TLS), or `zk://host:port[,...]/path`
    #[arg(long, env = "EPIC_MASTER", hide_env_values = true, value_parser = Masters::parse)]
    pub master: Masters,

    /// Where several schedulers share a journal and choose a leader: `zk://[user:password@]host:port[,...]/path`; made
    /// by `epic-scheduler init`. Without it this scheduler is alone, with its journal in --state-dir
    #[arg(long, env = "EPIC_ZK", hide_env_values = true, value_name = "URL", value_parser = zookeeper)]
    pub zk: Option<ZooKeeperPath>,

    /// How long ZooKeeper waits for a silent leader before another may lead: 4s to 60s
    #[arg(long, env = "EPIC_ZK_SESSION_TIMEOUT", default_value = "10s", value_parser = session_timeout)]
    pub zk_session_timeout: Duration,

    /// For how long a leader leads before it lets another replica, so that failovers are practised: at least 10s [default:
    /// for as long as it can]
    #[arg(long, env = "EPIC_MAX_LEADING_TIME", value_name = "DURATION", value_parser = leading_time, requires = "zk")]
    pub max_leading_time: Option<Duration>,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a text here would replace that of the whole command")]
    pub connect: ConnectOptions,

    /// The Mesos role whose reservations the platform uses; fixed for the life of a framework
    #[arg(long, env = "EPIC_ROLE", default_value = "BlueData", value_parser = role)]
    pub role: String,

    /// Where the journal, artifacts and token are kept; nobody else may use it
    #[arg(long, env = "EPIC_STATE_DIR", value_name = "DIR")]
    pub state_dir: PathBuf,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a text here would replace that of the whole command")]
    pub reach: ReachOptions,

    /// The platform's bundle; fills an empty journal with one member of each role, or as many as the bundle needs at least
    #[arg(long, env = "EPIC_BIN", value_name = "FILE", conflicts_with = "platform")]
    pub bin: Option<PathBuf>,

    /// The platform's document; fills an empty journal
    #[arg(long, env = "EPIC_PLATFORM", value_name = "FILE")]
    pub platform: Option<PathBuf>,

    /// Who we are to Mesos; needs --secret-file, or `EPIC_SECRET`
    #[arg(long, env = "EPIC_PRINCIPAL")]
    pub principal: Option<String>,

    /// Holds the principal's secret, on one line; read anew for each subscription. The variable `EPIC_SECRET` can hold the
    /// secret itself instead
    #[arg(long, env = "EPIC_SECRET_FILE", value_name = "FILE")]
    pub secret_file: Option<PathBuf>,

    /// Certificates (PEM) to trust for an https master, beside the system's
    #[arg(long, env = "EPIC_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,

    /// Holds the token that allows changes, the same for all that share a --zk. The variable `EPIC_TOKEN` can hold the token
    /// itself instead [default: made once, <--state-dir>/token]
    #[arg(long, env = "EPIC_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// The executor's program [default: epic-executor beside this program, or in ../lib/epic]
    #[arg(long, env = "EPIC_EXECUTOR", value_name = "FILE")]
    pub executor: Option<PathBuf>,

    /// The framework's name for operators of Mesos
    #[arg(long, env = "EPIC_FRAMEWORK_NAME", default_value = "epic")]
    pub framework_name: String,

    /// How long an agent may be unreachable before its members are replaced
    #[arg(long, env = "EPIC_UNREACHABLE_AFTER", default_value = "5m", value_parser = duration)]
    pub unreachable_after: Duration,

    /// How long a start waits for files of certificates and secrets that it can't use yet: 0s to 4m. A pair that is being
    /// replaced is none for a moment, and a volume may be mounted late
    #[arg(long, env = "EPIC_WAIT_FOR_FILES", value_name = "DURATION", default_value = "10s", value_parser = file_wait)]
    pub wait_for_files: Duration,

    /// How log lines are written
    #[arg(long, env = "EPIC_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// Checks everything that can be checked without connecting, says all that is wrong, and ends; makes nothing
    #[arg(long)]
    pub check: bool,

    /// A file with options
    #[arg(long, env = "EPIC_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Where secrets are.
    #[arg(skip)]
    pub secrets: Secrets,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why the options can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Help or the version was asked for, which is an answer rather than an error.
    #[error(transparent)]
    Asked(clap::Error),
    /// An option is unknown, missing, or has a wrong value.
    #[error("{0}; see epic-scheduler --help")]
    Options(String),
    /// The file can't be read.
    #[error("cannot read --config {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file can't be understood.
    #[error("--config {}: {problem}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong, and where.
        problem: String,
    },
    /// Options that don't go together.
    #[error("{0}")]
    Unfit(String),
    /// A secret is given twice, or can't be read.
    #[error(transparent)]
    Secret(#[from] epic_common_io::secret::Error),
    /// Those about ZooKeeper can't be used.
    #[error(transparent)]
    Connect(#[from] connect::Error),
}

impl Config {
    /// Reads all options; `args` begins with the program's name.
    ///
    /// # Errors
    ///
    /// What is wrong, in one line for people.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, Error> {
        Self::read_under(&launcher::variables(), args)
    }

    fn read_under(variables: &launcher::Variables, args: impl IntoIterator<Item = OsString>) -> Result<Self, Error> {
        let args: Vec<OsString> = args.into_iter().collect();
        let mut config: Self = from_all(variables, &args)?;
        config.check_reach()?;
        config.connect.check()?;
        config.secrets = Secrets::of(&config)?;
        Ok(config)
    }

    fn check_reach(&self) -> Result<(), Error> {
        let (masters, zookeepers) = (hosts(&self.master), self.zk.as_ref().map(servers).unwrap_or_default());
        self.reach.check(&Elsewhere { masters: &masters, zookeepers: &zookeepers })
    }
}

/// Lists where masters are looked for, without ports.
fn hosts(masters: &Masters) -> Vec<String> {
    match masters {
        Masters::List(addresses) => addresses.iter().map(|address| address.host().to_owned()).collect(),
        Masters::ZooKeeper(path) => servers(path),
    }
}

fn servers(path: &ZooKeeperPath) -> Vec<String> {
    let host = |server: &String| server.rsplit_once(':').map_or(server.clone(), |(host, _)| host.to_owned());
    path.servers.iter().map(host).collect()
}

fn duration(text: &str) -> Result<Duration, epic_common::text::ParseDurationError> {
    epic_common::text::duration(text)
}

fn zookeeper(text: &str) -> Result<ZooKeeperPath, String> {
    let form = "write zk://[USER:PASSWORD@]HOST:PORT[,HOST:PORT...]/PATH";
    match Masters::parse(text) {
        Ok(Masters::ZooKeeper(path)) => Ok(path),
        Ok(Masters::List(_)) => Err(format!("it doesn't begin with zk://; {form}")),
        Err(error) => Err(format!("{}; {form}", error.problem)),
    }
}

/// Reads how long ZooKeeper is to keep a session.
///
/// Less than four seconds costs leadership at each pause of a busy machine.
fn session_timeout(text: &str) -> Result<Duration, String> {
    let asked = duration(text).map_err(|error| error.to_string())?;
    let (least, most) = (Duration::from_secs(4), Duration::from_secs(60));
    if (least..=most).contains(&asked) { Ok(asked) } else { Err("it must be from 4s to 60s".to_owned()) }
}

/// Reads for how long a leader leads; each change costs a moment in which nobody decides.
fn leading_time(text: &str) -> Result<Duration, String> {
    let asked = duration(text).map_err(|error| error.to_string())?;
    if asked >= LEADING_TIME_MIN { Ok(asked) } else { Err("it must be at least 10s".to_owned()) }
}

/// Reads for how long files are waited for; those who start services give up soon after.
fn file_wait(text: &str) -> Result<Duration, String> {
    let asked = duration(text).map_err(|error| error.to_string())?;
    if asked <= Duration::from_secs(240) { Ok(asked) } else { Err("it must be at most 4m".to_owned()) }
}

/// Checks a role as Mesos does, which would refuse it only once we are connected.
///
/// Source: Mesos, `src/common/roles.cpp`; the role `*` has no reservations, so it is of no use here.
fn role(text: &str) -> Result<String, String> {
    let wrong_part =
        |part: &str| part.is_empty() || part == "." || part == ".." || part == "*" || part.starts_with('-');
    let is_blank = |c: char| c.is_ascii_whitespace() || c.is_ascii_control();
    if text.split('/').any(wrong_part) || text.contains(is_blank) {
        let rule = "must be a name like BlueData or epic/BlueData: no blanks, and no part that is empty, . or .. or * or begins with -";
        return Err(format!("a role {rule}"));
    }
    Ok(text.to_owned())
}

/// Reads a command's options from `args`, the environment, the file that `--config` names, and what a launcher says; of the
/// latter two, only options that the command has count.
fn from_all<T: CommandFactory + FromArgMatches>(
    variables: &launcher::Variables,
    args: &[OsString],
) -> Result<T, Error> {
    let command = T::command();
    let has = |option: &str| command.get_arguments().any(|arg| arg.get_long() == Some(option));
    // The file may hold what is required, so nothing is required of the first look.
    let lenient = T::command().mut_args(|arg| arg.required(false)).try_get_matches_from(args);
    let lenient = lenient.map_err(|error| refusal(error, args, None))?;
    let path = lenient.get_one::<PathBuf>("config");
    let mut all = args.to_vec();
    let is_told = |option: &str| {
        // `value_source` accepts only ids that there are.
        let id = option.replace('-', "_");
        let source = lenient.try_contains_id(&id).ok().and_then(|_| lenient.value_source(&id));
        !has(option) || matches!(source, Some(ValueSource::CommandLine | ValueSource::EnvVariable))
    };
    let file = path.map_or_else(|| Ok(BTreeMap::new()), file)?;
    let given = launcher::defaults(variables, |option| is_told(option) || file.contains_key(option), Path::is_file)?;
    let given = given.into_iter().map(|(option, value)| (option.to_owned(), value));
    let file = file.into_iter().filter(|(option, _)| !is_told(option));
    all.extend(file.chain(given).map(|(option, value)| OsString::from(format!("--{option}={value}"))));
    let matches = T::command().try_get_matches_from(&all);
    let matches = matches.map_err(|error| refusal(error, args, path.map(|path| (path, &all[args.len()..]))))?;
    T::from_arg_matches(&matches).map_err(|error| refusal(error, args, None))
}

fn file(path: &PathBuf) -> Result<BTreeMap<String, String>, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Unreadable { path: path.clone(), source })?;
    let wrong = |problem: String| Error::File { path: path.clone(), problem };
    let options: BTreeMap<String, String> =
        epic_common::invalid::from_yaml("file", &text).map_err(|error| wrong(error.to_string()))?;
    let command = Config::command();
    let known: Vec<_> = command.get_arguments().filter_map(|arg| arg.get_long()).collect();
    match options
        .keys()
        .find(|option| !known.contains(&option.as_str()) || ["config", "check"].contains(&option.as_str()))
    {
        Some(option) => {
            Err(wrong(format!("\"{option}\" is no option that a file can hold; see epic-scheduler --help")))
        }
        None => Ok(options),
    }
}

/// Says in one line what clap says in several, and where the wrong value is from unless it is a flag's.
fn refusal(error: clap::Error, args: &[OsString], file: Option<(&PathBuf, &[OsString])>) -> Error {
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return Error::Asked(error);
    }
    let text = error.to_string();
    let lines =
        text.lines().take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"));
    let lines: Vec<_> = lines.map(str::trim).filter(|line| !line.is_empty()).collect();
    let text = lines.join(" ");
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let text = &without_password(&error, text);
    let Some(ContextValue::String(shown)) = error.get(ContextKind::InvalidArg) else {
        return Error::Options(text.to_owned());
    };
    let flag = shown.split(' ').next().unwrap_or_default();
    let holds = |args: &[OsString]| {
        let mut args = args.iter().filter_map(|arg| arg.to_str());
        args.any(|arg| arg.strip_prefix(flag).is_some_and(|rest| rest.is_empty() || rest.starts_with('=')))
    };
    let origin = match file {
        _ if holds(args) => String::new(),
        Some((path, options)) if holds(options) => format!(" (in --config {})", path.display()),
        Some(_) | None => environment(flag).map(|name| format!(" (in {name})")).unwrap_or_default(),
    };
    Error::Options(format!("{text}{origin}"))
}

/// Takes what stands before an @ out of a wrong value, or of one that stands where no option takes it.
fn without_password(error: &clap::Error, text: &str) -> String {
    let kinds = [ContextKind::InvalidValue, ContextKind::InvalidArg].into_iter();
    kinds.fold(text.to_owned(), |text, kind| {
        let Some(ContextValue::String(value)) = error.get(kind) else { return text };
        value.rsplit_once('@').map_or_else(|| text.clone(), |(_, rest)| text.replace(value, &format!("...@{rest}")))
    })
}

/// Names the variable that holds a value for a flag now.
fn environment(flag: &str) -> Option<String> {
    let command = Config::command();
    let arg = command.get_arguments().find(|arg| arg.get_long() == flag.strip_prefix("--"))?;
    let name = arg.get_env()?;
    std::env::var_os(name)?;
    name.to_str().map(str::to_owned)
}

const LEADING_TIME_MIN: Duration = Duration::from_secs(10);

pub mod connect;
pub mod file;
pub mod healthcheck;
pub mod init;
mod launcher;
pub mod manual;
pub mod offline;
pub mod print;
pub mod reach;
pub mod secrets;
#[cfg(test)]
mod tests;
