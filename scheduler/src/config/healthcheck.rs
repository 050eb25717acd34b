//! What `epic-scheduler healthcheck` is told.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use clap::Parser;

use super::reach::ReachOptions;
use super::{Error, from_all, launcher};

/// Asks the scheduler on this machine whether it is alive, for whoever restarts it if it isn't.
///
/// It is found by the options, variables and file that it was started with; of those, only --listen and --tls-cert-file
/// matter. Any certificate will do: what answers here shows nothing that is secret, and a certificate that could not be
/// renewed is no reason to end a scheduler.
///
/// Exit codes: 0 it answers that it is; 1 it doesn't, and the line on stderr says why; 64 the options are wrong.
#[derive(Clone, Debug, Parser)]
#[command(name = "epic-scheduler healthcheck", version)]
pub struct Healthcheck {
    /// Ask whether it is ready (/readyz) instead; not for restarts: a scheduler without ZooKeeper or Mesos is alive and not ready
    #[arg(long)]
    pub ready: bool,

    #[command(flatten)]
    #[expect(missing_docs, reason = "a text here would replace that of the whole command")]
    pub reach: ReachOptions,

    /// A file with options, those of the scheduler
    #[arg(long, env = "EPIC_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
}

impl Healthcheck {
    /// Reads the options if `args`, which begins with the program's name, asks for `healthcheck`; else `None`.
    ///
    /// # Errors
    ///
    /// What is wrong, in one line for people.
    pub fn read(args: impl IntoIterator<Item = OsString>) -> Option<Result<Self, Error>> {
        let args: Vec<OsString> = args.into_iter().skip(1).collect();
        args.first().is_some_and(|verb| verb == "healthcheck").then(|| from_all(&launcher::variables(), &args))
    }

    /// Returns what is to be asked: an address of this machine.
    #[must_use]
    pub fn url(&self) -> String {
        let listen = self.reach.listen;
        let host = match listen.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
        };
        let scheme = if self.reach.tls_cert_file.is_some() { "https" } else { "http" };
        let path = if self.ready { "readyz" } else { "healthz" };
        format!("{scheme}://{}/{path}", SocketAddr::new(host, listen.port()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(args: &[&str]) -> String {
        let args = ["epic-scheduler", "healthcheck"].iter().chain(args).map(OsString::from);
        Healthcheck::read(args).unwrap().unwrap().url()
    }

    #[test]
    fn what_is_asked_is_where_the_scheduler_listens() {
        assert_eq!(url(&[]), "http://127.0.0.1:8080/healthz");
        assert_eq!(url(&["--ready"]), "http://127.0.0.1:8080/readyz");
        assert_eq!(url(&["--listen=0.0.0.0:81"]), "http://127.0.0.1:81/healthz");
        assert_eq!(url(&["--listen=[::]:81", "--tls-cert-file=/c"]), "https://[::1]:81/healthz");
        assert_eq!(url(&["--listen=10.0.0.2:81", "--advertise=https://x"]), "http://10.0.0.2:81/healthz");
        assert!(Healthcheck::read(["epic-scheduler", "--ready"].map(OsString::from)).is_none());
    }

    #[test]
    fn what_marathon_says_counts_too() {
        let said =
            [("MARATHON_APP_ID", "/epic"), ("PORT_HTTP", "31005"), ("HOST", "10.0.0.9"), ("PORT_AGENTS", "31006")];
        let said = said.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let read: Healthcheck = from_all(&said, &["healthcheck".into()]).unwrap();
        assert_eq!(read.url(), "http://127.0.0.1:31005/healthz");
    }

    #[test]
    fn the_schedulers_own_file_is_understood() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("scheduler.yaml");
        let text = "master: 10.0.0.1:5050\nstate-dir: /s\nlisten: 10.0.0.2:81\ntls-cert-file: /c\n";
        std::fs::write(&file, text).unwrap();
        let file = format!("--config={}", file.display());
        assert_eq!(url(&[&file]), "https://10.0.0.2:81/healthz");
        assert_eq!(url(&[&file, "--listen=0.0.0.0:82"]), "https://127.0.0.1:82/healthz");
    }
}
