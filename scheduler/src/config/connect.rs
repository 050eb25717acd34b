//! What the scheduler and `init` are told of how to speak with ZooKeeper.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use epic_common_io::tls;

use crate::mesos::masters::ZooKeeperPath;
use crate::zookeeper::{Client, Connect, PemError, Sasl, Tls};

/// How to speak with the servers of `--zk`.
#[derive(Clone, Debug, Args)]
pub struct ConnectOptions {
    /// Which library speaks with the ZooKeeper of --zk; with zookeeper-async each lost connection costs leadership
    #[arg(long, env = "EPIC_ZK_CLIENT", default_value_t, value_enum)]
    pub zk_client: Client,

    /// Authorities (PEM) to trust for the servers of --zk, which are then spoken to over TLS only
    #[arg(long, env = "EPIC_ZK_CA_FILE", value_name = "FILE")]
    pub zk_ca_file: Option<PathBuf>,

    /// A certificate (PEM) to show to the servers of --zk; needs --zk-key-file and --zk-ca-file
    #[arg(long, env = "EPIC_ZK_CERT_FILE", value_name = "FILE")]
    pub zk_cert_file: Option<PathBuf>,

    /// The key (PEM) of --zk-cert-file
    #[arg(long, env = "EPIC_ZK_KEY_FILE", value_name = "FILE")]
    pub zk_key_file: Option<PathBuf>,

    /// Holds `user:password` on one line, for the servers of --zk (SASL, DIGEST-MD5)
    #[arg(long, env = "EPIC_ZK_SASL_FILE", value_name = "FILE")]
    pub zk_sasl_file: Option<PathBuf>,
}

/// Why these options can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The other client has no such thing.
    #[error("{option} needs --zk-client zookeeper-client; zookeeper-async has neither TLS nor SASL")]
    Client {
        /// The option.
        option: &'static str,
    },
    /// One option needs another.
    #[error("{option} needs {needed} too")]
    Lacks {
        /// The option.
        option: &'static str,
        /// What is needed.
        needed: &'static str,
    },
    /// A file can't be read.
    #[error("cannot read {option} {}", path.display())]
    Unreadable {
        /// The option.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file doesn't hold what it should.
    #[error("{option} {} can't be used: it must hold {expected}", path.display())]
    Content {
        /// The option.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What should be in it.
        expected: &'static str,
        /// What is wrong, if more is known.
        source: Option<PemError>,
    },
    /// No certificate can be for such a host.
    #[error("--zk {host} is no name or address that a certificate can be for; --zk-ca-file needs one")]
    Host {
        /// The host.
        host: String,
    },
}

impl ConnectOptions {
    /// Finds what doesn't go together; reads no file.
    pub(super) fn check(&self) -> Result<(), Error> {
        let files =
            [(CA, &self.zk_ca_file), (CERT, &self.zk_cert_file), (KEY, &self.zk_key_file), (SASL, &self.zk_sasl_file)];
        let first = files.into_iter().find(|(_, file)| file.is_some());
        match (self.zk_client, first) {
            (Client::ZooKeeperAsync, Some((option, _))) => return Err(Error::Client { option }),
            (Client::ZooKeeperAsync, None) | (Client::ZooKeeperClient, _) => {}
        }
        let needs = |(option, file): (_, &Option<PathBuf>), (needed, other): (_, &Option<PathBuf>)| {
            if file.is_some() && other.is_none() { Err(Error::Lacks { option, needed }) } else { Ok(()) }
        };
        let [ca, cert, key, _] = files;
        needs(cert, key)?;
        needs(key, cert)?;
        needs(cert, ca)
    }

    /// Says how sessions at `path` are to be made; reads the files.
    ///
    /// # Errors
    /// What doesn't go together, or which file can't be used, and why.
    pub fn connect(&self, path: &ZooKeeperPath, session_timeout: Duration) -> Result<Connect, Error> {
        self.check()?;
        let tls = self.zk_ca_file.as_deref().map(|file| self.tls(file, path)).transpose()?;
        let sasl = self.zk_sasl_file.as_deref().map(sasl).transpose()?;
        Ok(Connect { path: path.clone(), session_timeout, client: self.zk_client, tls, sasl })
    }

    fn tls(&self, ca: &Path, path: &ZooKeeperPath) -> Result<Tls, Error> {
        let wrong = |option, file: &Path, expected| {
            let path = file.to_owned();
            move |source| Error::Content { option, path, expected, source: Some(source) }
        };
        let hosts = super::servers(path);
        if let Some(host) = hosts.into_iter().find(|host| !tls::is_server_name(host.trim_matches(['[', ']']))) {
            return Err(Error::Host { host });
        }
        let trusting = Tls::trusting(&read(CA, ca)?).map_err(wrong(CA, ca, "PEM certificates"))?;
        match (&self.zk_cert_file, &self.zk_key_file) {
            (Some(cert), Some(key)) => {
                let shown = trusting.showing(&read(CERT, cert)?, &read(KEY, key)?);
                shown.map_err(wrong(CERT, cert, "a PEM certificate, and --zk-key-file its PEM key"))
            }
            (Some(_) | None, _) => Ok(trusting),
        }
    }
}

fn sasl(file: &Path) -> Result<Sasl, Error> {
    let text = read(SASL, file)?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    match line.split_once(':') {
        Some((user, password)) if !user.is_empty() && !password.is_empty() && !line.contains(char::is_control) => {
            Ok(Sasl { user: user.to_owned(), password: password.to_owned() })
        }
        Some(_) | None => {
            let expected = "USER:PASSWORD on one line";
            Err(Error::Content { option: SASL, path: file.to_owned(), expected, source: None })
        }
    }
}

fn read(option: &'static str, file: &Path) -> Result<String, Error> {
    let unreadable = |source| Error::Unreadable { option, path: file.to_owned(), source };
    if fs::metadata(file).map_err(unreadable)?.len() > BYTES_MAX {
        return Err(unreadable(io::Error::from(io::ErrorKind::FileTooLarge)));
    }
    fs::read_to_string(file).map_err(unreadable)
}

const CA: &str = "--zk-ca-file";
const CERT: &str = "--zk-cert-file";
const KEY: &str = "--zk-key-file";
const SASL: &str = "--zk-sasl-file";
/// More than any system's bundle of authorities: 4 MiB.
const BYTES_MAX: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<Connect, String> {
        #[derive(clap::Parser)]
        struct Options {
            #[command(flatten)]
            connect: ConnectOptions,
        }
        let options: Options = clap::Parser::try_parse_from([&["x"], args].concat()).map_err(|e| e.to_string())?;
        let path = super::super::zookeeper("zk://z1:2181/epic")?;
        options.connect.connect(&path, Duration::from_secs(10)).map_err(|error| crate::chain(&error))
    }

    #[test]
    fn what_does_not_go_together_is_named() {
        let check = |args: &[&str], expected: &str| {
            let refused = read(args).unwrap_err();
            assert!(refused.contains(expected), "{args:?}: {refused}");
        };
        let other = ["--zk-client", "zookeeper-async"];
        check(&[&other[..], &["--zk-ca-file", "x"]].concat(), "--zk-ca-file needs --zk-client zookeeper-client");
        check(&[&other[..], &["--zk-sasl-file", "x"]].concat(), "--zk-sasl-file needs --zk-client zookeeper-client");
        check(&["--zk-client", "curator"], "possible values: zookeeper-client, zookeeper-async");
        check(&["--zk-cert-file", "x", "--zk-ca-file", "y"], "--zk-cert-file needs --zk-key-file too");
        check(&["--zk-key-file", "x"], "--zk-key-file needs --zk-cert-file too");
        check(&["--zk-key-file", "x", "--zk-cert-file", "y"], "--zk-cert-file needs --zk-ca-file too");
        check(&["--zk-ca-file", "/nonexistent/ca.pem"], "cannot read --zk-ca-file /nonexistent/ca.pem: No such file");
        assert_eq!(read(&other).unwrap().client, Client::ZooKeeperAsync);
        assert_eq!(read(&[]).unwrap().client, Client::ZooKeeperClient);
    }

    #[test]
    fn files_that_hold_something_else_are_named_and_secrets_are_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        let with = |option: &str, text: &str| {
            fs::write(&file, text).unwrap();
            read(&[option, file.to_str().unwrap()])
        };
        assert!(with("--zk-ca-file", "hello").unwrap_err().contains("it must hold PEM certificates"));
        for text in ["", "secret", ":secret", "user:", "user:secret\nmore\n"] {
            let refused = with("--zk-sasl-file", text).unwrap_err();
            assert!(refused.contains("it must hold USER:PASSWORD on one line"), "{text:?}: {refused}");
            assert!(!refused.contains("secret"), "{refused}");
        }
        let connect = with("--zk-sasl-file", "user:se:cret\n").unwrap();
        assert_eq!(connect.sasl.as_ref().map(|sasl| sasl.password.as_str()), Some("se:cret"));
        assert!(!format!("{connect:?}").contains("cret"), "{connect:?}");
    }
}
