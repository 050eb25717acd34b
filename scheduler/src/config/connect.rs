//! What the scheduler and `init` are told of how to speak with ZooKeeper.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use epic_common_io::secret::{self, Named, Secret, Source};
use epic_common_io::tls;

use super::file::{self, OptionFile};
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

    /// Holds `user:password` on one line, instead of in --zk (the digest scheme). The variable `EPIC_ZK_DIGEST` can hold it
    /// itself instead
    #[arg(long, env = "EPIC_ZK_DIGEST_FILE", value_name = "FILE")]
    pub zk_digest_file: Option<PathBuf>,

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
    /// A file can't be used.
    #[error(transparent)]
    File(#[from] file::Error),
    /// The variable doesn't hold what it should.
    #[error("{name} can't be used: it must hold {expected}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// What should be in it.
        expected: &'static str,
    },
    /// A secret is given twice, or is no text.
    #[error(transparent)]
    Secret(#[from] secret::Error),
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
        let path = self.path(path, DIGEST.value()?)?;
        Ok(Connect { path, session_timeout, client: self.zk_client, tls, sasl })
    }

    /// Completes the path by the user and password for it, if they aren't in the URL.
    fn path(&self, path: &ZooKeeperPath, value: Option<Secret>) -> Result<ZooKeeperPath, Error> {
        let source = DIGEST.choose(self.zk_digest_file.as_ref(), value)?;
        let Some(source) = source else { return Ok(path.clone()) };
        if path.digest.is_some() {
            let name = match &source {
                Source::File(_) => DIGEST.option,
                Source::Variable { name, .. } => name,
            };
            let first = format!("--zk {path} (with a password)");
            return Err(secret::Error::Twice { first, name, what: DIGEST.what }.into());
        }
        let (user, password) = match &source {
            Source::File(file) => user_and_password(DIGEST.option, file)?,
            Source::Variable { name, value } => {
                split(value.expose()).ok_or(Error::Variable { name, expected: USER_AND_PASSWORD })?
            }
        };
        Ok(ZooKeeperPath { digest: Some(format!("{user}:{password}")), ..path.clone() })
    }

    fn tls(&self, ca: &Path, path: &ZooKeeperPath) -> Result<Tls, Error> {
        let hosts = super::servers(path);
        if let Some(host) = hosts.into_iter().find(|host| !tls::is_server_name(host.trim_matches(['[', ']']))) {
            return Err(Error::Host { host });
        }
        let ca = OptionFile { option: CA, path: ca };
        let wrong = |error: PemError| ca.must_hold("PEM certificates", Some(error.into()));
        let trusting = Tls::trusting(&ca.text(BYTES_MAX)?).map_err(wrong)?;
        let (Some(cert), Some(key)) = (&self.zk_cert_file, &self.zk_key_file) else { return Ok(trusting) };
        let (cert, key) = (OptionFile { option: CERT, path: cert }, OptionFile { option: KEY, path: key });
        let expected = "a PEM certificate, and --zk-key-file its PEM key";
        let wrong = |error: PemError| cert.must_hold(expected, Some(error.into()));
        Ok(trusting.showing(&cert.text(BYTES_MAX)?, &key.text(BYTES_MAX)?).map_err(wrong)?)
    }
}

fn sasl(file: &Path) -> Result<Sasl, Error> {
    user_and_password(SASL, file).map(|(user, password)| Sasl { user, password })
}

fn user_and_password(option: &'static str, file: &Path) -> Result<(String, String), Error> {
    let file = OptionFile { option, path: file };
    let text = file.text(BYTES_MAX)?;
    let line = split(text.strip_suffix('\n').unwrap_or(&text));
    line.ok_or_else(|| file.must_hold(USER_AND_PASSWORD, None).into())
}

fn split(line: &str) -> Option<(String, String)> {
    let (user, password) = line.split_once(':')?;
    let is_whole = !user.is_empty() && !password.is_empty() && !line.contains(char::is_control);
    is_whole.then(|| (user.to_owned(), password.to_owned()))
}

const CA: &str = "--zk-ca-file";
const CERT: &str = "--zk-cert-file";
const KEY: &str = "--zk-key-file";
const SASL: &str = "--zk-sasl-file";
const DIGEST: Named = Named {
    option: "--zk-digest-file",
    variable: "EPIC_ZK_DIGEST",
    what: "the user and password for the nodes of --zk",
};
const USER_AND_PASSWORD: &str = "USER:PASSWORD on one line";
/// More than any system's bundle of authorities: 4 MiB.
const BYTES_MAX: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use std::fs;

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
        fs::write(&file, b"me:s3cret\xff").unwrap();
        let named = format!("cannot read --zk-sasl-file {}", file.display());
        assert_eq!(read(&["--zk-sasl-file", file.to_str().unwrap()]).unwrap_err(), format!("{named}: it is not text"));
        let too_large = with("--zk-sasl-file", &"x".repeat(5 << 20)).unwrap_err();
        assert!(too_large.starts_with(&named), "{too_large}");
        for text in ["", "secret", ":secret", "user:", "user:secret\nmore\n"] {
            let refused = with("--zk-sasl-file", text).unwrap_err();
            assert!(refused.contains("it must hold USER:PASSWORD on one line"), "{text:?}: {refused}");
            assert!(!refused.contains("secret"), "{refused}");
        }
        let connect = with("--zk-sasl-file", "user:se:cret\n").unwrap();
        assert_eq!(connect.sasl.as_ref().map(|sasl| sasl.password.as_str()), Some("se:cret"));
        assert!(!format!("{connect:?}").contains("cret"), "{connect:?}");
    }

    #[test]
    fn the_digest_is_in_one_place_the_url_a_file_or_a_variable() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("digest");
        let connect = |url: &str, text: Option<&str>, value: Option<&str>| {
            if let Some(text) = text {
                fs::write(&file, text).unwrap();
            }
            let options = ConnectOptions {
                zk_client: Client::default(),
                zk_ca_file: None,
                zk_cert_file: None,
                zk_key_file: None,
                zk_digest_file: text.map(|_| file.clone()),
                zk_sasl_file: None,
            };
            let value = value.map(|value| Secret::new(value.to_owned()));
            let path = options.path(&super::super::zookeeper(url).unwrap(), value);
            path.map(|path| path.digest.unwrap_or_default()).map_err(|error| crate::chain(&error))
        };
        let (plain, with) = ("zk://z1:2181/epic", "zk://me:url@z1:2181/epic");
        assert_eq!(connect(plain, None, None), Ok(String::new()));
        assert_eq!(connect(with, None, None), Ok("me:url".to_owned()));
        assert_eq!(connect(plain, Some("me:fi:le\n"), None), Ok("me:fi:le".to_owned()));
        assert_eq!(connect(plain, None, Some("me:env")), Ok("me:env".to_owned()));
        let twice = |said: Result<String, String>, places: &str| {
            let what = "the user and password for the nodes of --zk; leave one of them out";
            assert_eq!(said, Err(format!("{places} both give {what}")));
        };
        let url = "--zk zk://z1:2181/epic (with a password)";
        twice(connect(with, Some("me:file"), None), &format!("{url} and --zk-digest-file"));
        twice(connect(with, None, Some("me:env")), &format!("{url} and EPIC_ZK_DIGEST"));
        let both = format!("--zk-digest-file {} and EPIC_ZK_DIGEST", file.display());
        twice(connect(plain, Some("me:file"), Some("me:env")), &both);
        for wrong in ["", "s3cret", ":s3cret", "s3cret:", "a:s3cret\nmore"] {
            let said = [connect(plain, Some(wrong), None), connect(plain, None, Some(wrong))];
            for said in said.map(Result::unwrap_err) {
                assert!(said.contains("USER:PASSWORD on one line") && !said.contains("s3cret"), "{said}");
            }
        }
    }
}
