//! `epicctl admin` against a scheduler that answers from a list.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::thread;

use epic_common::api::{Granted, InstanceView, MesosView, PlatformView, Problem};
use epic_common_io::backup::{self, Backup};
use tempfile::TempDir;

/// What a command said: exit code, standard output, standard error.
type Said = (Option<i32>, String, String);

struct Desk {
    folder: TempDir,
    url: String,
    /// First lines and headers of what was asked.
    seen: Arc<Mutex<Vec<String>>>,
}

impl Desk {
    /// Sits down before a scheduler that answers every request with this.
    fn before(status: u16, body: Vec<u8>) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("token"), "0123456789abcdef\n").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&seen);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let lines = BufReader::new(&connection).lines().map(Result::unwrap);
                let head: Vec<_> = lines.take_while(|line| !line.is_empty()).collect();
                list.lock().unwrap().push(head.join("\n").to_lowercase());
                let length = body.len();
                write!(connection, "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n")
                    .unwrap();
                // Whoever doesn't want it all may hang up.
                let _ = connection.write_all(&body);
            }
        });
        Self { folder, url, seen }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn types(&self, line: &str) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_epicctl"));
        command.arg("admin").args(line.split_whitespace()).current_dir(self.folder.path());
        command.env("EPIC_SERVER", &self.url).env("EPIC_TOKEN_FILE", "token").env_remove("EPIC_TOKEN");
        let output = command.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    fn seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }
}

fn json(value: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(value).unwrap()
}

fn sample() -> Backup {
    Backup { index: 41, batch: 0, journal: String::new(), snapshot: vec![0xff; 300_000] }
}

#[test]
fn a_backup_is_fetched_with_the_token_and_overwrites_nothing() {
    let desk = Desk::before(200, sample().encode());
    let (code, out, error) = desk.types("backup b");
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(out, format!("b: written, {} bytes, the state after entry 41\n", sample().encode().len()));
    assert_eq!(backup::read(&desk.path("b")).unwrap(), sample());
    let asked = &desk.seen()[0];
    assert!(asked.starts_with("get /api/v2/admin/backup "), "{asked}");
    assert!(asked.contains("authorization: bearer 0123456789abcdef"), "{asked}");
    let (code, _, error) = desk.types("backup b");
    assert_eq!(code, Some(1));
    assert_eq!(error, "epicctl: b is there already, and a backup overwrites nothing; choose another name\n");
    assert_eq!(desk.seen().len(), 1, "the scheduler isn't asked in vain");
    let (_, out, _) = desk.types("backup c -o json");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&out).unwrap()["index"], 41);
}

#[test]
fn what_is_no_whole_backup_is_not_written() {
    let mut bytes = sample().encode();
    bytes[1000] ^= 1;
    let desk = Desk::before(200, bytes);
    let (code, _, error) = desk.types("backup b");
    assert_eq!(code, Some(1));
    assert!(error.contains("cannot be used as a backup: its sha256 is wrong"), "{error}");
    let problem = Problem { status: 401, title: "the token is wrong".to_owned(), ..Problem::default() };
    let refused = Desk::before(401, json(&problem));
    assert_eq!(refused.types("backup b"), (Some(1), String::new(), "epicctl: the token is wrong\n".to_owned()));
    assert!(!desk.path("b").exists() && !refused.path("b").exists());
}

#[test]
fn a_new_framework_is_asked_for_with_yes_only() {
    let view = PlatformView {
        mesos: MesosView {
            framework_id: "fw-1".to_owned(),
            problem: "it was removed".to_owned(),
            ..MesosView::default()
        },
        instances: vec![InstanceView { id: "worker-0".to_owned(), host: "h1".to_owned(), ..InstanceView::default() }],
        ..PlatformView::default()
    };
    let desk = Desk::before(200, json(&view));
    let (code, out, error) = desk.types("new-framework");
    assert_eq!((code, error.as_str()), (Some(2), "epicctl: nothing was done; repeat it with --yes\n"));
    for part in ["would give up the framework fw-1", "    worker-0 on h1\n", "Mesos now: it was removed"] {
        assert!(out.contains(part), "{out}");
    }
    assert!(desk.seen().iter().all(|asked| asked.starts_with("get /api/v2/platform ")), "{:?}", desk.seen());

    let desk = Desk::before(200, json(&Granted { index: 5, message: "a new framework is begun".to_owned() }));
    let (code, out, error) = desk.types("new-framework --yes");
    assert_eq!((code, out.as_str()), (Some(0), "a new framework is begun\n"), "{error}");
    let asked = &desk.seen()[0];
    assert!(asked.starts_with("post /api/v2/admin/new-framework "), "{asked}");
    assert!(asked.contains("authorization: bearer") && asked.contains("idempotency-key: "), "{asked}");
}

#[test]
fn another_token_is_told_by_its_sha256_and_with_yes_only() {
    let granted = Granted { index: 5, message: "the token is set".to_owned() };
    let desk = Desk::before(200, json(&granted));
    let token = "fedcba9876543210";
    fs::write(desk.path("new"), format!("{token}\n")).unwrap();
    let (code, out, error) = desk.types("set-token --new-token-file new");
    assert_eq!((code, error.as_str()), (Some(2), "epicctl: nothing was done; repeat it with --yes\n"));
    assert!(out.starts_with("would let the token in new allow changes"), "{out}");
    assert!(desk.seen().is_empty(), "{:?}", desk.seen());
    let (code, out, error) = desk.types("set-token --new-token-file new --yes");
    assert_eq!((code, out.starts_with("the token is set\nput it into the file")), (Some(0), true), "{out}{error}");
    let asked = &desk.seen()[0];
    assert!(asked.starts_with("put /api/v2/token ") && asked.contains("bearer 0123456789abcdef"), "{asked}");
    assert!(!asked.contains(token) && !out.contains(token), "{asked}{out}");
    for (text, found) in [("short", "it has 5"), (&"x".repeat(257), "it has 257")] {
        fs::write(desk.path("new"), text).unwrap();
        let (code, _, error) = desk.types("set-token --new-token-file new --yes");
        assert!(code == Some(2) && error.contains(found) && !error.contains(text), "{error}");
    }
    assert_eq!(desk.seen().len(), 1);
}

#[test]
fn a_token_that_may_have_been_set_already_is_asked_with_and_the_first_refusal_is_told() {
    let problem = Problem { status: 401, title: "the token is wrong".to_owned(), ..Problem::default() };
    let desk = Desk::before(401, json(&problem));
    fs::write(desk.path("new"), "fedcba9876543210").unwrap();
    let said = desk.types("set-token --new-token-file new --yes");
    assert_eq!(said, (Some(1), String::new(), "epicctl: the token is wrong\n".to_owned()));
    let seen = desk.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen[0].contains("bearer 0123456789abcdef") && seen[1].contains("bearer fedcba9876543210"), "{seen:?}");
}
