//! Where a scheduler is reached, by whom, and with which certificate.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;
use reqwest::Url;

use super::Error;

/// Where HTTP is served, and what others are told of that.
#[derive(Clone, Debug, Args)]
pub struct ReachOptions {
    /// Where HTTP is served, or HTTPS with --tls-cert-file
    #[arg(long, env = "EPIC_LISTEN", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,

    /// Where people and other replicas reach this scheduler, and agents without --listen-agents [default: http://<--listen>,
    /// or https://<--listen> with --tls-cert-file]
    #[arg(long, env = "EPIC_ADVERTISE", value_name = "URL")]
    pub advertise: Option<String>,

    /// Where artifacts alone are served, over plain HTTP, for agents; they check all that they fetch against its sha256
    #[arg(long, env = "EPIC_LISTEN_AGENTS", value_name = "ADDRESS:PORT")]
    pub listen_agents: Option<SocketAddr>,

    /// Where agents fetch artifacts: `http://HOST:PORT` [default: http://<host of --advertise>:<port of --listen-agents>, or
    /// --advertise without that]
    #[arg(long, env = "EPIC_ADVERTISE_AGENTS", value_name = "URL")]
    pub advertise_agents: Option<String>,

    /// The certificate (PEM, with those between it and its authority) shown at --listen, which then speaks TLS only; read
    /// again when it changes; needs --tls-key-file and --listen-agents
    #[arg(long, env = "EPIC_TLS_CERT_FILE", value_name = "FILE")]
    pub tls_cert_file: Option<PathBuf>,

    /// The key (PEM) of --tls-cert-file; read again when it changes
    #[arg(long, env = "EPIC_TLS_KEY_FILE", value_name = "FILE")]
    pub tls_key_file: Option<PathBuf>,

    /// Authorities (PEM) to trust for the https:// addresses of other replicas, beside the system's; read again when it
    /// changes
    #[arg(long, env = "EPIC_TLS_CA_FILE", value_name = "FILE")]
    pub tls_ca_file: Option<PathBuf>,
}

/// The files of the certificate that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PairFiles {
    /// That of `--tls-cert-file`.
    pub cert: PathBuf,
    /// That of `--tls-key-file`.
    pub key: PathBuf,
}

/// Which machines others are on: hosts without ports.
pub(super) struct Elsewhere<'a> {
    pub(super) masters: &'a [String],
    pub(super) zookeepers: &'a [String],
}

impl ReachOptions {
    /// Returns where people and other replicas reach this scheduler, without a slash at the end.
    #[must_use]
    pub fn advertised(&self) -> String {
        let scheme = if self.tls_cert_file.is_some() { "https" } else { "http" };
        let url = self.advertise.clone().unwrap_or_else(|| format!("{scheme}://{}", self.listen));
        url.trim_end_matches('/').to_owned()
    }

    /// Returns where agents fetch artifacts, without a slash at the end.
    #[must_use]
    pub fn advertised_agents(&self) -> String {
        let url = match (&self.advertise_agents, self.listen_agents) {
            (Some(url), _) => url.clone(),
            (None, Some(listen)) => {
                let advertised = self.advertised();
                let host = Url::parse(&advertised).ok().and_then(|url| url.host_str().map(str::to_owned));
                host.map_or_else(|| format!("http://{listen}"), |host| format!("http://{host}:{}", listen.port()))
            }
            (None, None) => self.advertised(),
        };
        url.trim_end_matches('/').to_owned()
    }

    /// Returns the files of the certificate that is shown; `None` without TLS.
    #[must_use]
    pub fn pair(&self) -> Option<PairFiles> {
        let (cert, key) = self.tls_cert_file.as_ref().zip(self.tls_key_file.as_ref())?;
        Some(PairFiles { cert: cert.clone(), key: key.clone() })
    }

    /// Finds what doesn't go together, and addresses that somebody who needs them can't reach; reads no file.
    pub(super) fn check(&self, elsewhere: &Elsewhere<'_>) -> Result<(), Error> {
        self.check_pair()?;
        self.check_listeners()?;
        self.check_advertise(elsewhere)?;
        if self.agents_are_apart() { self.check_advertise_agents(elsewhere) } else { Ok(()) }
    }

    /// Whether agents are told another address than people.
    const fn agents_are_apart(&self) -> bool {
        self.listen_agents.is_some() || self.advertise_agents.is_some()
    }

    fn check_pair(&self) -> Result<(), Error> {
        let lacks = |option: &str, file: &Path, what: &str| {
            Err(Error::Unfit(format!("{option} {} needs {what}", file.display())))
        };
        match (&self.tls_cert_file, &self.tls_key_file) {
            (Some(cert), None) => {
                lacks("--tls-cert-file", cert, "its key; name the file that holds it with --tls-key-file FILE")
            }
            (None, Some(key)) => {
                lacks("--tls-key-file", key, "its certificate; name the file that holds it with --tls-cert-file FILE")
            }
            (Some(cert), Some(_)) if self.listen_agents.is_none() => {
                let what = "a plain port for agents, whose fetcher can be told of no authority; give it with \
                            --listen-agents ADDRESS:PORT";
                lacks("--tls-cert-file", cert, what)
            }
            (Some(_), Some(_)) | (None, None) => Ok(()),
        }
    }

    fn check_listeners(&self) -> Result<(), Error> {
        let Some(agents) = self.listen_agents else { return Ok(()) };
        let (own, other) = (self.listen.ip(), agents.ip());
        let is_taken = agents.port() == self.listen.port() && agents.port() != 0;
        if is_taken && (own == other || own.is_unspecified() || other.is_unspecified()) {
            return Err(Error::Unfit(format!(
                "--listen-agents {agents} is taken by --listen {}; choose another port",
                self.listen
            )));
        }
        Ok(())
    }

    /// Agents on other machines could not fetch the executor from a loopback address, nor replicas hand changes to one.
    fn check_advertise(&self, elsewhere: &Elsewhere<'_>) -> Result<(), Error> {
        let advertised = self.advertised();
        let option = if self.advertise.is_some() { "--advertise" } else { "--listen" };
        let who = if self.agents_are_apart() { "people and other replicas" } else { "agents" };
        let scheme = if self.tls_cert_file.is_some() { "https" } else { "http" };
        let next = format!("name an address that {who} can reach with --advertise {scheme}://HOST:PORT");
        let url = plain_url("--advertise", &advertised, &next)?;
        let problem = match (url.scheme(), self.tls_cert_file.is_some()) {
            ("https", true) | ("http", false) => None,
            (_, true) => Some("must be https://HOST:PORT: with --tls-cert-file nothing but TLS is spoken there"),
            // Something before this scheduler may speak TLS.
            ("https", false) if self.agents_are_apart() => None,
            (_, false) => Some(
                "must be http://HOST:PORT: agents fetch artifacts over http and check their digests; for https, give \
                 agents a port of their own with --listen-agents ADDRESS:PORT",
            ),
        };
        if let Some(problem) = problem {
            return Err(Error::Unfit(format!("--advertise \"{advertised}\" {problem}")));
        }
        let host = url.host_str().unwrap_or_default();
        if is_unspecified(host) {
            return Err(Error::Unfit(format!("{option} {host} is no address to reach this scheduler at; {next}")));
        }
        if !self.agents_are_apart()
            && let Some(master) = apart(host, elsewhere.masters)
        {
            return Err(Error::Unfit(format!(
                "{option} {host} can't be reached from other machines, and the master {master} is on one; set --listen, \
                 and --advertise if it differs, to an address that agents can reach"
            )));
        }
        match apart(host, elsewhere.zookeepers) {
            Some(server) => Err(Error::Unfit(format!(
                "{option} {host} can't be reached from other machines, and the ZooKeeper server {server} is on one; set \
                 --listen, and --advertise if it differs, to an address that other replicas can reach"
            ))),
            None => Ok(()),
        }
    }

    fn check_advertise_agents(&self, elsewhere: &Elsewhere<'_>) -> Result<(), Error> {
        let advertised = self.advertised_agents();
        let next = "name an address that agents can reach with --advertise-agents http://HOST:PORT";
        let url = plain_url("--advertise-agents", &advertised, next)?;
        if url.scheme() != "http" || url.path() != "/" {
            let why = "agents fetch artifacts over http and check their digests";
            return Err(Error::Unfit(format!("--advertise-agents \"{advertised}\" must be http://HOST:PORT: {why}")));
        }
        let host = url.host_str().unwrap_or_default();
        if is_unspecified(host) {
            return Err(Error::Unfit(format!(
                "--advertise-agents {host} is no address to fetch artifacts from; {next}"
            )));
        }
        match apart(host, elsewhere.masters) {
            Some(master) => Err(Error::Unfit(format!(
                "--advertise-agents {advertised} can't be reached from other machines, and the master {master} is on one; \
                 {next}"
            ))),
            None => Ok(()),
        }
    }
}

/// Reads a URL that has a host and no secrets.
fn plain_url(option: &str, text: &str, next: &str) -> Result<Url, Error> {
    let url =
        Url::parse(text).map_err(|error| Error::Unfit(format!("{option} \"{text}\" is not a URL: {error}; {next}")))?;
    let host = url.host_str().unwrap_or_default();
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        let problem = "may have a host, a port and a path, nothing else";
        return Err(Error::Unfit(format!("{option} for host {host} {problem}; {next}")));
    }
    if host.is_empty() {
        return Err(Error::Unfit(format!("{option} \"{text}\" names no host; {next}")));
    }
    Ok(url)
}

/// Finds the first of `others` that is on another machine than a loopback `host`.
fn apart<'a>(host: &str, others: &'a [String]) -> Option<&'a String> {
    others.iter().find(|other| is_loopback(host) && !is_loopback(other))
}

fn is_unspecified(host: &str) -> bool {
    address(host).is_some_and(|address| address.is_unspecified())
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || address(host).is_some_and(|address| address.is_loopback())
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok().map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests;
