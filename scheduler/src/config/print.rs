//! What `epic-scheduler print` is told.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};

use super::{Config, Error, duration, refusal, zookeeper};
use crate::mesos::masters::Masters;

/// Writes what others need in order to run this scheduler.
#[derive(Clone, Debug, Parser)]
#[command(name = "epic-scheduler print", version)]
pub struct Print {
    /// What is to be written.
    #[command(subcommand)]
    pub what: What,
}

/// What is to be written.
#[derive(Clone, Debug, Subcommand)]
pub enum What {
    /// Writes an app for Marathon (JSON, for PUT /v2/apps/ID) that runs several schedulers which share a --zk
    Marathon(Box<Marathon>),
}

/// The app that Marathon is to run.
#[derive(Clone, Debug, Args)]
pub struct Marathon {
    /// Where the Mesos masters are, as for the scheduler itself
    #[arg(long, env = "EPIC_MASTER", hide_env_values = true, value_parser = master)]
    pub master: String,

    /// Where the journal is, made by `epic-scheduler init`: `zk://host:port[,...]/path`, without a password
    #[arg(long, env = "EPIC_ZK", hide_env_values = true, value_name = "URL", value_parser = journal)]
    pub zk: String,

    /// Where agents fetch this version from: an archive that Mesos unpacks, such as epic-mesos-VERSION-x86_64.tar.gz
    #[arg(long, value_name = "URI", value_parser = archive, required_unless_present = "image", conflicts_with = "image")]
    pub archive: Option<String>,

    /// The image to run instead of an archive, by agents with the Mesos containerizer's image support
    #[arg(long, value_name = "NAME", value_parser = image)]
    pub image: Option<String>,

    /// The app's name
    #[arg(long, value_name = "PATH", default_value = "/epic", value_parser = id)]
    pub id: String,

    /// How many schedulers, each on another agent: 1 to 9
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=9))]
    pub instances: u8,

    /// What each may use of its agent's cpus, in thousandths: 100 to 64000
    #[arg(long, value_name = "MILLICPUS", default_value_t = 500, value_parser = clap::value_parser!(u32).range(100..=64_000))]
    pub cpus: u32,

    /// What each may use of its agent's memory, in MiB: 64 to 1048576
    #[arg(long, value_name = "MIB", default_value_t = 512, value_parser = clap::value_parser!(u32).range(64..=1_048_576))]
    pub mem: u32,

    /// What each may use of its agent's disk, in MiB: room for the bundle and a copy of the journal, at most 1048576
    #[arg(long, value_name = "MIB", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(0..=1_048_576))]
    pub disk: u32,

    /// Whose account it runs under [default: Marathon's choice]
    #[arg(long)]
    pub user: Option<String>,

    /// An option of the scheduler, such as `unreachable-after=10m`; may be given several times
    #[arg(long, value_name = "OPTION=VALUE", value_parser = setting)]
    pub set: Vec<(String, String)>,

    /// A label of the app; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = label)]
    pub label: Vec<(String, String)>,

    /// Where Marathon's secret store holds the token of all instances, for `EPIC_TOKEN`
    #[arg(long, value_name = "SOURCE")]
    pub token_secret: Option<String>,

    /// Where it holds the secret of the principal, for `EPIC_SECRET`; needs --set principal=NAME
    #[arg(long, value_name = "SOURCE")]
    pub principal_secret: Option<String>,

    /// Where it holds user:password for --zk, for `EPIC_ZK_DIGEST`
    #[arg(long, value_name = "SOURCE")]
    pub zk_secret: Option<String>,

    /// How long an agent may be unreachable before its instance is replaced: up to 1h
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = |text: &str| up_to(text, 0, 3600))]
    pub replace_lost_after: Duration,

    /// How long an instance has to end in good order: 1s to 10m
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = |text: &str| up_to(text, 1, 600))]
    pub kill_grace: Duration,
}

impl Print {
    /// Reads the options if `args`, which begins with the program's name, asks for `print`; else `None`.
    ///
    /// # Errors
    ///
    /// What is wrong, in one line for people.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Option<Result<Self, Error>> {
        let args: Vec<OsString> = args.into_iter().skip(1).collect();
        if args.first().is_none_or(|verb| verb != "print") {
            return None;
        }
        let read = || {
            let print = Self::try_parse_from(&args).map_err(|error| refusal(error, &args, None))?;
            let What::Marathon(app) = &print.what;
            app.check()?;
            Ok(print)
        };
        Some(read())
    }
}

impl Marathon {
    /// Returns what `--set` says, each with the variable that says it to the scheduler.
    ///
    /// Options that have no variable are left out: [`Print::read`] takes none of them.
    #[must_use]
    pub fn variables(&self) -> BTreeMap<String, String> {
        let command = Config::command();
        let variable = |option: &str| {
            let arg = command.get_arguments().find(|arg| arg.get_long() == Some(option))?;
            arg.get_env()?.to_str().map(str::to_owned)
        };
        self.set.iter().filter_map(|(option, value)| Some((variable(option)?, value.clone()))).collect()
    }

    /// Says whether an option is set.
    #[must_use]
    pub fn sets(&self, option: &str) -> bool {
        self.set.iter().any(|(set, _)| set == option)
    }

    fn check(&self) -> Result<(), Error> {
        for (at, (option, value)) in self.set.iter().enumerate() {
            if self.set.iter().take(at).any(|(before, _)| before == option) {
                return Err(unfit(format!("--set {option}={value} says anew what is set already; set {option} once")));
            }
        }
        // A scheduler would refuse these only once Marathon has started it.
        let told = self.set.iter().map(|(option, value)| OsString::from(format!("--{option}={value}")));
        let journal = OsString::from(format!("--zk={}", self.zk));
        let args: Vec<OsString> = [OsString::from("epic-scheduler"), journal].into_iter().chain(told).collect();
        let lenient = Config::command().mut_args(|arg| arg.required(false)).try_get_matches_from(&args);
        lenient.map_err(|error| refusal(error, &args, None))?;
        let token = ("the token that all instances share", "--token-secret", &self.token_secret, "token-file");
        let (principal, secret, digest) =
            ("principal", ("its secret", "--principal-secret", &self.principal_secret, "secret-file"), &self.zk_secret);
        self.once(&token)?;
        self.once(&secret)?;
        self.once(&("user:password", "--zk-secret", digest, "zk-digest-file"))?;
        self.needs("an app", &token)?;
        if self.sets(principal) {
            return self.needs("a principal", &secret);
        }
        if self.principal_secret.is_some() {
            let next = "give it with --set principal=NAME";
            return Err(unfit(format!("--principal-secret needs the name that it belongs to; {next}")));
        }
        Ok(())
    }

    fn once(&self, (_, flag, source, file): &Secret<'_>) -> Result<(), Error> {
        if source.is_some() && self.sets(file) {
            return Err(unfit(format!("{flag} and --set {file} both say it; leave one of them out")));
        }
        Ok(())
    }

    fn needs(&self, who: &str, (what, flag, source, file): &Secret<'_>) -> Result<(), Error> {
        if source.is_none() && !self.sets(file) {
            let next = format!("name it in Marathon's secret store with {flag} SOURCE");
            return Err(unfit(format!("{who} needs {what}; {next}, or a file on every agent with --set {file}=FILE")));
        }
        Ok(())
    }
}

/// What it is, the flag that names its source, that source, and the option that names a file with it.
type Secret<'a> = (&'a str, &'a str, &'a Option<String>, &'a str);

fn unfit(text: String) -> Error {
    Error::Unfit(text)
}

/// Whoever may look at the app would read a password in it.
fn master(text: &str) -> Result<String, String> {
    let masters = Masters::parse(text).map_err(|error| error.to_string())?;
    let has_password = match masters {
        Masters::ZooKeeper(path) => path.digest.is_some(),
        Masters::List(_) => false,
    };
    if has_password {
        let next = "give the address without, and let everybody read where masters are";
        return Err(format!("a password would be seen by all who may look at the app; {next}"));
    }
    Ok(text.to_owned())
}

/// Whoever may look at the app would read a password in it.
fn journal(text: &str) -> Result<String, String> {
    let path = zookeeper(text)?;
    if path.digest.is_some() {
        let next = "name it in Marathon's secret store with --zk-secret SOURCE";
        return Err(format!("a password would be seen by all who may look at the app; {next}"));
    }
    Ok(text.to_owned())
}

/// Source: Mesos, "Fetcher", the endings that it unpacks.
fn archive(text: &str) -> Result<String, String> {
    let endings = [".tar", ".tgz", ".tar.gz", ".tbz2", ".tar.bz2", ".txz", ".tar.xz", ".zip"];
    let scheme = text.split_once("://").is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty());
    if !scheme || text.contains(char::is_whitespace) {
        return Err("it must be a URI such as https://host/epic-mesos-0.1.0-x86_64.tar.gz".to_owned());
    }
    if text.split("://").nth(1).and_then(|rest| rest.split('/').next()).is_some_and(|host| host.contains('@')) {
        let next = "let agents fetch it without one";
        return Err(format!("a password would be seen by all who may look at the app; {next}"));
    }
    if endings.iter().any(|ending| text.ends_with(ending)) {
        return Ok(text.to_owned());
    }
    Err(format!("Mesos unpacks only what ends with one of {}", endings.join(" ")))
}

fn image(text: &str) -> Result<String, String> {
    if !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "./:@_-".contains(c)) {
        return Ok(text.to_owned());
    }
    Err("it must be an image's name such as registry.example/epic-mesos/scheduler:0.1.0".to_owned())
}

/// Source: Marathon, `AppDefinition`, the pattern of `id`; ours is absolute.
fn id(text: &str) -> Result<String, String> {
    let is_part = |part: &str| {
        let inside = part.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-');
        !part.is_empty() && inside && !part.starts_with('-') && !part.ends_with('-')
    };
    match text.strip_prefix('/') {
        Some(path) if path.split('/').all(is_part) && text.len() <= ID_BYTES_MAX => Ok(text.to_owned()),
        Some(_) | None => Err(format!(
            "it must be a path such as /infra/epic, of lower-case letters, digits and -, at most {ID_BYTES_MAX} long"
        )),
    }
}

fn setting(text: &str) -> Result<(String, String), String> {
    let (option, value) = text.split_once('=').ok_or("write OPTION=VALUE, such as unreachable-after=10m")?;
    let command = Config::command();
    let known = command.get_arguments().any(|arg| arg.get_long() == Some(option) && arg.get_env().is_some());
    let refused = match option {
        "master" | "zk" => format!("say --{option} itself"),
        "listen" | "advertise" | "listen-agents" | "advertise-agents" => {
            "each instance takes it from the ports that Marathon gives it".to_owned()
        }
        "config" => "set what is in the file".to_owned(),
        _ if !known => "a scheduler has no such option; see epic-scheduler --help".to_owned(),
        _ => return Ok((option.to_owned(), value.to_owned())),
    };
    Err(format!("{option} can't be set here: {refused}"))
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && text.len() <= LABEL_BYTES_MAX => {
            Ok((name.to_owned(), value.to_owned()))
        }
        Some(_) | None => Err(format!("write NAME=VALUE, at most {LABEL_BYTES_MAX} letters")),
    }
}

fn up_to(text: &str, least: u64, most: u64) -> Result<Duration, String> {
    let asked = duration(text).map_err(|error| error.to_string())?;
    if (least..=most).contains(&asked.as_secs()) && asked.subsec_nanos() == 0 {
        return Ok(asked);
    }
    Err(format!("it must be whole seconds from {least}s to {most}s"))
}

const ID_BYTES_MAX: usize = 128;
const LABEL_BYTES_MAX: usize = 1024;
