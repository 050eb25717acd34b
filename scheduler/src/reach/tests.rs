//! Pairs of files that can be shown, and those that can't.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use rcgen::{CertificateParams, KeyPair};
use tempfile::TempDir;

use super::Certificate;
use super::pair::{self, Pair};
use crate::chain;
use crate::config::reach::PairFiles;

/// Makes a certificate for a host, and its key.
fn made(host: &str) -> (String, String) {
    made_for(host, Duration::ZERO)
}

/// Makes one that is valid from this time after 1970 on.
fn made_for(host: &str, begins: Duration) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([host.to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + begins;
    params.not_after = rcgen::date_time_ymd(2031, 2, 3);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

fn files(folder: &Path, cert: &str, key: &str) -> PairFiles {
    let files = PairFiles { cert: folder.join("c"), key: folder.join("k") };
    fs::write(&files.cert, cert).unwrap();
    fs::write(&files.key, key).unwrap();
    files
}

/// Takes two files for a pair; `check` gets what became of that, with `F` for their folder.
fn read(cert: &str, key: &str, check: impl FnOnce(Result<Pair, String>)) {
    let folder = TempDir::new().unwrap();
    let files = files(folder.path(), cert, key);
    let read = pair::read(&files).and_then(|contents| contents.pair(&files));
    check(read.map_err(|error| chain(&error).replace(folder.path().to_str().unwrap(), "F")));
}

#[test]
fn a_pair_is_for_its_hosts_and_ends_when_it_says() {
    let (cert, key) = made("epic.example");
    read(&cert, &key, |pair| {
        let pair = pair.unwrap();
        assert_eq!(pair.expires.to_string(), "2031-02-03T00:00:00Z");
        assert!(pair.is_for("epic.example"));
        assert!(!pair.is_for("example") && !pair.is_for("127.0.0.1") && !pair.is_for("") && !pair.is_for("a b"));
    });
    let (cert, key) = made("127.0.0.1");
    read(&cert, &key, |pair| assert!(pair.unwrap().is_for("127.0.0.1")));
}

#[test]
fn files_that_are_no_pair_are_named() {
    let ((cert, key), (_, another)) = (made("a"), made("b"));
    let check = |cert: &str, key: &str, expected: &str| {
        read(cert, key, |pair| {
            let said = pair.unwrap_err();
            assert!(said.starts_with(expected), "{said}");
        });
    };
    let certificates = "--tls-cert-file F/c can't be used: it must hold PEM certificates, the server's own first";
    check("", &key, certificates);
    check("hello", &key, certificates);
    check(&key, &key, certificates);
    check("-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n", &key, certificates);
    check("-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n", &key, &format!("{certificates}: "));
    check(&cert[..cert.len() / 2], &key, certificates);
    let wants_key = "--tls-key-file F/k can't be used: it must hold one PEM key without a passphrase";
    check(&cert, "", wants_key);
    check(&cert, &cert, wants_key);
    check(&cert, &key[..key.len() / 2], wants_key);
    check(&cert, &another, "--tls-key-file F/k is not the key of the first certificate in --tls-cert-file F/c: ");
    check(&cert, &" ".repeat(2 << 20), "cannot read --tls-key-file F/k: ");
    let absent = PairFiles { cert: "/nonexistent/c".into(), key: "/nonexistent/k".into() };
    let said = Certificate::open(absent, String::new()).unwrap_err().to_string();
    assert_eq!(said, "cannot read --tls-cert-file /nonexistent/c");
}

#[test]
fn a_pair_that_can_be_shown_replaces_the_one_before_and_any_other_does_not() {
    let folder = TempDir::new().unwrap();
    let (first, second) = (made("a"), made("a"));
    let files = files(folder.path(), &first.0, &first.1);
    let mut certificate = Certificate::open(files.clone(), "a".to_owned()).unwrap();
    let mut after = |cert: &str, key: &str| {
        fs::write(&files.cert, cert).unwrap();
        fs::write(&files.key, key).unwrap();
        certificate.look(pair::read(&files));
        certificate.shows()
    };
    let old = after(&first.0, &first.1);
    assert_eq!(after(&second.0, &first.1), old);
    assert_eq!(after("hello", &second.1), old);
    let new = after(&second.0, &second.1);
    assert_ne!(new, old);
    assert_eq!(after("", ""), new);
    fs::remove_file(&files.key).unwrap();
    certificate.look(pair::read(&files));
    assert_eq!(certificate.shows(), new);
    fs::write(&files.cert, &first.0).unwrap();
    fs::write(&files.key, &first.1).unwrap();
    certificate.look(pair::read(&files));
    assert_eq!(certificate.shows(), old);
}

#[tokio::test]
async fn a_pair_that_is_not_valid_yet_is_shown_once_it_is() {
    let folder = TempDir::new().unwrap();
    let first = made("a");
    let files = files(folder.path(), &first.0, &first.1);
    let mut certificate = Certificate::open(files.clone(), "a".to_owned()).unwrap();
    let old = certificate.shows();
    // Certificates count whole seconds.
    let begins = SystemTime::UNIX_EPOCH.elapsed().unwrap() + Duration::from_secs(2);
    let second = made_for("a", begins);
    fs::write(&files.cert, &second.0).unwrap();
    fs::write(&files.key, &second.1).unwrap();
    let began = Instant::now();
    let mut look = || {
        certificate.look(pair::read(&files));
        certificate.shows()
    };
    assert_eq!(look(), old);
    assert_eq!(look(), old, "the files are the same");
    while look() == old {
        assert!(began.elapsed() < Duration::from_secs(30), "it is valid and isn't shown");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() >= begins.as_secs(), "it was shown too early");
}
