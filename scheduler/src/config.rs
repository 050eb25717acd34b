//! What the scheduler is told at its start: flags, environment, file.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum};

use crate::mesos::masters::Masters;

/// Runs the EPIC platform on Apache Mesos.
///
/// Every option can be given as a flag, as an environment variable (EPIC_...), or in the file named by --config (YAML:
/// `option-name: value`); a flag wins over the environment, and both win over the file.
///
/// Exit codes: 0 ended as asked; 64 the options are wrong; 65 a bundle, platform file or journal can't be used; 69 Mesos
/// refuses us (role, credentials); 70 an assertion failed; 74 the state directory can't be read or written, or a port is
/// in use.
#[derive(Clone, Debug, Parser)]
#[command(name = "epic-scheduler", version)]
pub struct Config {
    /// Where the Mesos masters are: `host:port[,host:port...]` (https://host:port for TLS), or `zk://host:port[,...]/path`
    #[arg(long, env = "EPIC_MASTER", value_parser = Masters::parse)]
    pub master: Masters,

    /// The Mesos role whose reservations the platform uses; fixed for the life of a framework
    #[arg(long, env = "EPIC_ROLE", default_value = "BlueData")]
    pub role: String,

    /// Where the journal, artifacts and token are kept; nobody else may use it
    #[arg(long, env = "EPIC_STATE_DIR", value_name = "DIR")]
    pub state_dir: PathBuf,

    /// Where HTTP is served
    #[arg(long, env = "EPIC_LISTEN", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// Where agents and people reach this scheduler [default: http://<--listen>]
    #[arg(long, env = "EPIC_ADVERTISE", value_name = "URL")]
    pub advertise: Option<String>,

    /// The platform's bundle; fills an empty journal with a platform as small as the bundle allows
    #[arg(long, env = "EPIC_BIN", value_name = "FILE", conflicts_with = "platform")]
    pub bin: Option<PathBuf>,

    /// The platform's document; fills an empty journal
    #[arg(long, env = "EPIC_PLATFORM", value_name = "FILE")]
    pub platform: Option<PathBuf>,

    /// Who we are to Mesos
    #[arg(long, env = "EPIC_PRINCIPAL", requires = "secret_file")]
    pub principal: Option<String>,

    /// Holds the principal's secret
    #[arg(long, env = "EPIC_SECRET_FILE", value_name = "FILE", requires = "principal")]
    pub secret_file: Option<PathBuf>,

    /// Certificates (PEM) to trust for an https master, beside the system's
    #[arg(long, env = "EPIC_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,

    /// Holds the token that allows changes [default: made once, <--state-dir>/token]
    #[arg(long, env = "EPIC_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,

    /// The executor's program [default: epic-executor beside this program]
    #[arg(long, env = "EPIC_EXECUTOR", value_name = "FILE")]
    pub executor: Option<PathBuf>,

    /// The framework's name for operators of Mesos
    #[arg(long, env = "EPIC_FRAMEWORK_NAME", default_value = "epic")]
    pub framework_name: String,

    /// How long an agent may be unreachable before its members are replaced
    #[arg(long, env = "EPIC_UNREACHABLE_AFTER", default_value = "5m", value_parser = duration)]
    pub unreachable_after: Duration,

    /// How log lines are written
    #[arg(long, env = "EPIC_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,

    /// Checks everything that can be checked without connecting, and ends
    #[arg(long)]
    pub check: bool,

    /// A file with options
    #[arg(long, env = "EPIC_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
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
    /// Flags or environment.
    #[error(transparent)]
    Options(#[from] clap::Error),
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
}

impl Config {
    /// Reads all options; `args` begins with the program's name.
    ///
    /// # Errors
    ///
    /// What is wrong, for people. Asking for help or the version is such an error, too; see [`clap::Error::exit_code`].
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Result<Self, Error> {
        let mut args: Vec<OsString> = args.into_iter().collect();
        // The file may hold what is required, so nothing is required of the first look.
        let lenient = Self::command().mut_args(|arg| arg.required(false)).try_get_matches_from(&args)?;
        if let Some(path) = lenient.get_one::<PathBuf>("config") {
            for (option, value) in file(path)? {
                let id = option.replace('-', "_");
                let known = Self::command().get_arguments().any(|arg| arg.get_id() == id.as_str());
                if !known || id == "config" || id == "check" {
                    let problem = format!("\"{option}\" is not an option; see epic-scheduler --help");
                    return Err(Error::File { path: path.clone(), problem });
                }
                let said = matches!(
                    lenient.value_source(&id),
                    Some(ValueSource::CommandLine | ValueSource::EnvVariable)
                );
                if !said {
                    args.push(format!("--{option}={value}").into());
                }
            }
        }
        let config = Self::from_arg_matches(&Self::command().try_get_matches_from(&args)?)?;
        config.check_advertise()?;
        Ok(config)
    }

    /// Returns where agents and people reach this scheduler, without a slash at the end.
    #[must_use]
    pub fn advertised(&self) -> String {
        let url = self.advertise.clone().unwrap_or_else(|| format!("http://{}", self.listen));
        url.trim_end_matches('/').to_owned()
    }

    /// Agents on other machines could not fetch the executor from a loopback address.
    fn check_advertise(&self) -> Result<(), Error> {
        let advertised = self.advertised();
        let url = reqwest::Url::parse(&advertised)
            .map_err(|error| Error::Unfit(format!("--advertise \"{advertised}\" is not a URL: {error}")))?;
        let host = url.host_str().unwrap_or_default();
        if host.is_empty() || url.scheme() != "http" {
            let next = "agents fetch artifacts over http and check their digests";
            return Err(Error::Unfit(format!("--advertise \"{advertised}\" must be http://host:port; {next}")));
        }
        if let Ok(address) = host.trim_matches(['[', ']']).parse::<IpAddr>() {
            if address.is_unspecified() {
                let next = "name an address that agents can reach with --advertise http://host:port";
                return Err(Error::Unfit(format!("\"{host}\" is no address to reach this scheduler at; {next}")));
            }
        }
        let elsewhere = hosts(&self.master).into_iter().find(|host| !is_loopback(host));
        match elsewhere {
            Some(master) if is_loopback(host) => Err(Error::Unfit(format!(
                "the master {master} is on another machine, but agents would be told to fetch from {advertised}; \
                 set --listen and --advertise to an address that agents can reach"
            ))),
            Some(_) | None => Ok(()),
        }
    }
}

/// Lists where masters are looked for, without ports.
fn hosts(masters: &Masters) -> Vec<String> {
    match masters {
        Masters::List(addresses) => addresses.iter().map(|address| address.host().to_owned()).collect(),
        Masters::ZooKeeper(path) => {
            let host = |server: &String| server.rsplit_once(':').map_or(server.clone(), |(host, _)| host.to_owned());
            path.servers.iter().map(host).collect()
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_matches(['[', ']']);
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn duration(text: &str) -> Result<Duration, epic_common::text::ParseDurationError> {
    epic_common::text::duration(text)
}

fn file(path: &PathBuf) -> Result<BTreeMap<String, String>, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Unreadable { path: path.clone(), source })?;
    epic_common::invalid::from_yaml("file", &text)
        .map_err(|error| Error::File { path: path.clone(), problem: error.to_string() })
}
