//! Waits a moment for files of certificates and secrets that somebody is still putting in place.

use std::time::Duration;

use epic_common_io::http::{ClientOptions, clients};
use epic_common_io::secret::Source;
use tokio::time::Instant;
use tracing::info;

use crate::config::Config;
use crate::config::connect;
use crate::failure::{Code, Failure};
use crate::mesos::credentials;
use crate::reach::{self, pair};
use crate::token;

/// Waits until all of these files can be used, for `--wait-for-files` at most; the start then says what is wrong.
///
/// A pair that is being replaced is none for a moment, and a volume with secrets may be mounted late: a process that
/// ends for that isn't started again by whoever takes its exit code for what only people can mend. Each reason is told
/// once, and nothing is told where there is none.
pub async fn settle(config: &Config) {
    let limit = config.wait_for_files;
    let until = Instant::now() + limit;
    let mut said = String::new();
    while let Some(Failure { text: why, .. }) = unsettled(config)
        && Instant::now() < until
    {
        if said != why {
            info!(why, seconds = limit.as_secs(), "waiting for a file that can't be used yet");
            said = why;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Finds the first file that can't be used as it is now; what options say wrongly isn't looked at.
fn unsettled(config: &Config) -> Option<Failure> {
    let checks = [secret, master, zookeeper, certificate, authorities, token];
    checks.into_iter().find_map(|check| check(config))
}

fn secret(config: &Config) -> Option<Failure> {
    let source = file(config.secrets.mesos.as_ref())?;
    failed(credentials::look(source))
}

fn master(config: &Config) -> Option<Failure> {
    let ca_file = Some(config.ca_file.clone()?);
    failed(clients(&ClientOptions { ca_file, ..ClientOptions::default() }))
}

fn zookeeper(config: &Config) -> Option<Failure> {
    use connect::Error as E;
    match config.connect.connect(config.zk.as_ref()?, config.zk_session_timeout) {
        Err(E::File(error)) => Some(Failure::new(Code::Usage, &error)),
        Ok(_) | Err(E::Client { .. } | E::Lacks { .. } | E::Variable { .. } | E::Secret(_) | E::Host { .. }) => None,
    }
}

fn certificate(config: &Config) -> Option<Failure> {
    failed(pair::look(&config.reach.pair()?))
}

fn authorities(config: &Config) -> Option<Failure> {
    reach::clients(Some(config.reach.tls_ca_file.as_deref()?)).err()
}

fn token(config: &Config) -> Option<Failure> {
    failed(token::take(file(config.secrets.token.as_ref())?))
}

/// A variable can't change any more.
fn file(source: Option<&Source>) -> Option<&Source> {
    source.filter(|source| matches!(source, Source::File(_)))
}

fn failed<T, E: std::error::Error>(looked: Result<T, E>) -> Option<Failure> {
    looked.err().map(|error| Failure::new(Code::Usage, &error))
}

const LOOK_EVERY: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use rcgen::{CertificateParams, KeyPair};
    use tempfile::TempDir;

    use super::*;

    /// A certificate and its key.
    struct Made(String, String);

    fn made() -> Made {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        Made(params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    impl Made {
        /// Says what a file has to hold, in the words of [`FILES`].
        fn contents<'a>(&'a self, right: &'a str) -> &'a str {
            match right {
                "C" => &self.0,
                "K" => &self.1,
                text => text,
            }
        }
    }

    /// A scheduler that is told of a file for everything that a file can be named for, of which none is there.
    fn config(folder: &Path, wait: &str) -> Config {
        let mut args: Vec<_> =
            "epic-scheduler --master=127.0.0.1:1 --state-dir=/s --listen-agents=127.0.0.1:2 --principal=p"
                .split(' ')
                .map(str::to_owned)
                .collect();
        args.push(format!("--wait-for-files={wait}"));
        args.push("--zk=zk://127.0.0.1:1/epic".to_owned());
        args.extend(FILES.iter().map(|(option, _)| format!("{option}={}", folder.join(&option[2..]).display())));
        Config::read(args.into_iter().map(Into::into)).unwrap()
    }

    /// The options, in the order in which they are looked at, with what is right for them; `C` is a certificate, `K` its key.
    const FILES: [(&str, &str); 11] = [
        ("--secret-file", "s3cret\n"),
        ("--ca-file", "C"),
        ("--zk-ca-file", "C"),
        ("--zk-cert-file", "C"),
        ("--zk-key-file", "K"),
        ("--zk-sasl-file", "u:p\n"),
        ("--zk-digest-file", "u:p\n"),
        ("--tls-cert-file", "C"),
        ("--tls-key-file", "K"),
        ("--tls-ca-file", "C"),
        ("--token-file", "0123456789abcdef\n"),
    ];

    fn put(folder: &Path, option: &str, contents: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = folder.join(&option[2..]);
        fs::write(&path, contents).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn why(config: &Config) -> String {
        unsettled(config).map(|failure| failure.text).unwrap_or_default()
    }

    #[test]
    fn each_file_that_lacks_or_is_being_written_is_waited_for() {
        let folder = TempDir::new().unwrap();
        let config = config(folder.path(), "10s");
        let pair = made();
        for (option, right) in FILES {
            let path = folder.path().join(&option[2..]).display().to_string();
            let absent = why(&config);
            assert!(absent.contains(&path) && absent.contains("No such file"), "{option}: {absent}");
            put(folder.path(), option, "");
            let empty = why(&config);
            assert!(!empty.is_empty() && empty != absent, "{option}: {empty}");
            put(folder.path(), option, pair.contents(right));
        }
        assert_eq!(why(&config), "");
        put(folder.path(), "--tls-key-file", &made().1);
        assert!(why(&config).contains("is not the key of the first certificate"), "{}", why(&config));
    }

    #[tokio::test]
    async fn a_pair_that_is_none_for_a_moment_is_waited_for_and_what_stays_wrong_is_not() {
        let folder = TempDir::new().unwrap();
        let pair = made();
        for (option, right) in FILES {
            put(folder.path(), option, pair.contents(right));
        }
        let config = |wait| config(folder.path(), wait);
        let at_once = Duration::from_secs(2);
        tokio::time::timeout(at_once, settle(&config("4m"))).await.expect("nothing is to be waited for");
        let Made(newer, its_key) = made();
        put(folder.path(), "--tls-cert-file", &newer);
        tokio::time::timeout(at_once, settle(&config("0s"))).await.expect("it is told not to wait");
        let waits = config("4m");
        let mut waiting = std::pin::pin!(settle(&waits));
        tokio::time::timeout(at_once, &mut waiting).await.expect_err("the key is that of the certificate before");
        put(folder.path(), "--tls-key-file", &its_key);
        tokio::time::timeout(at_once, waiting).await.expect("they are a pair");
    }
}
