//! `epicctl platform` and `epicctl bundle push` against a scheduler that answers from a list.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod peer;
mod push;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use epic_common::api::{DesiredView, FieldError, Granted, InstanceView, PlatformView, Problem};
use peer::{Peer, Seen};
use tempfile::TempDir;

/// What a command said: exit code, standard output, standard error.
type Said = (Option<i32>, String, String);

struct Desk {
    folder: TempDir,
    peer: Peer,
}

impl Desk {
    /// Sits down before a scheduler that answers each request, counted from 0, or drops it.
    fn before(answer: impl FnMut(usize, &Seen) -> Option<(u16, String)> + Send + 'static) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("token"), "0123456789abcdef\n").unwrap();
        fs::write(folder.path().join("platform.yaml"), "kind: Platform\n").unwrap();
        Self { folder, peer: Peer::start(answer) }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Types a command with the server and the token.
    fn types(&self, line: &str) -> Said {
        self.types_all(&format!("platform {line}"))
    }

    fn types_all(&self, line: &str) -> Said {
        said(self.command(line).env("EPIC_TOKEN_FILE", self.path("token")))
    }

    /// Types a command with a token that is only in the environment.
    fn types_with(&self, token: &str, line: &str) -> Said {
        said(self.command(line).env("EPIC_TOKEN", token))
    }

    /// Prepares a command that knows the server, and no token.
    fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_epicctl"));
        command.args(line.split_whitespace()).current_dir(self.folder.path()).env("EPIC_SERVER", &self.peer.url);
        command.env_remove("EPIC_TOKEN").env_remove("EPIC_TOKEN_FILE");
        command
    }
}

fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[expect(clippy::unnecessary_wraps, reason = "it is what a peer answers, if it answers")]
fn json<T: serde::Serialize>(status: u16, value: &T) -> Option<(u16, String)> {
    Some((status, serde_json::to_string(value).unwrap()))
}

fn granted() -> Option<(u16, String)> {
    json(200, &Granted { index: 5, message: "it is being done".to_owned() })
}

fn view(phase: &str, index: u64) -> PlatformView {
    let worker = InstanceView {
        id: "worker-0".to_owned(),
        phase: phase.to_owned(),
        attempt: 1,
        host: "h1".to_owned(),
        ..InstanceView::default()
    };
    let desired = DesiredView { name: "demo".to_owned(), ..DesiredView::default() };
    PlatformView {
        index,
        phase: phase.to_owned(),
        desired: Some(desired),
        instances: vec![worker],
        ..PlatformView::default()
    }
}

fn shows(phase: &str, index: u64) -> Option<(u16, String)> {
    json(200, &view(phase, index))
}

#[test]
fn status_is_shown_as_text_and_json() {
    let desk = Desk::before(|_, _| shows("ready", 7));
    let (code, out, _) = desk.types("status");
    assert_eq!(code, Some(0));
    assert!(out.contains("Phase      ready\n") && out.contains("worker-0"), "{out}");
    assert_eq!(desk.types("status -o table").1, out);
    let (code, out, _) = desk.types("status -o json");
    assert_eq!((code, serde_json::from_str::<PlatformView>(&out).unwrap()), (Some(0), view("ready", 7)));
    assert!(
        desk.peer.seen().iter().all(|seen| !seen.head.contains("authorization")),
        "a look needs no token, so none is sent"
    );
}

#[test]
fn a_watch_tells_changes_until_the_platform_is_ready() {
    let desk = Desk::before(|nth, _| match nth {
        0 | 1 => shows("installing", 6),
        2 => None,
        _ => shows("ready", 7),
    });
    let (code, out, _) = desk.types("status --watch --until-ready");
    assert_eq!(code, Some(0), "{out}");
    let lines: Vec<_> = out.lines().collect();
    assert_eq!(lines[..2], ["platform: installing 0 %", "worker-0: installing on h1, attempt 1"]);
    assert!(lines[2].ends_with("; still trying"), "{out}");
    assert_eq!(lines[3..], ["platform: ready 0 %", "worker-0: ready on h1, attempt 1"]);
}

#[test]
fn a_wait_that_is_too_long_ends_with_what_remains() {
    let desk = Desk::before(|_, _| shows("degraded", 6));
    let (code, _, error) = desk.types("status --until-ready --timeout 1s");
    assert_eq!(code, Some(4));
    let expected = "epicctl: gave up after 1 s waiting until the platform is ready: the platform is degraded; worker-0 is degraded\n";
    assert_eq!(error, expected);
}

#[test]
fn apply_sends_the_document_once_and_waits_for_its_entry() {
    let desk = Desk::before(|nth, _| match nth {
        0 => granted(),
        // Still the view of before the change.
        1 => shows("ready", 4),
        2 => shows("installing", 5),
        _ => shows("ready", 6),
    });
    let (code, out, error) = desk.types("apply -f platform.yaml");
    assert_eq!((code, out.as_str()), (Some(0), "it is being done (entry 5)\nthe platform is ready\n"), "{error}");
    assert!(error.contains("worker-0: installing on h1"), "{error}");
    let seen = desk.peer.seen();
    assert_eq!(seen.len(), 4);
    assert_eq!((seen[0].start.as_str(), seen[0].body.as_str()), ("PUT /api/v2/platform HTTP/1.1", "kind: Platform\n"));
    assert!(seen[0].head.contains("authorization: bearer 0123456789abcdef\r\n"), "{}", seen[0].head);
}

#[test]
fn a_lost_answer_is_asked_for_again_under_the_same_key() {
    let desk = Desk::before(|nth, _| match nth {
        0 => None,
        1 => json(503, &Problem { status: 503, title: "busy".to_owned(), ..Problem::default() }),
        _ => granted(),
    });
    assert_eq!(desk.types("stop --no-wait").0, Some(0));
    assert_eq!(desk.types("stop --no-wait").0, Some(0));
    let keys: Vec<_> = desk.peer.seen().iter().map(|seen| seen.header("idempotency-key")).collect();
    assert_eq!(keys.len(), 4);
    assert_eq!(keys[..3], vec![keys[0].clone(); 3]);
    assert_ne!(keys[3], keys[0], "another command is another request");
    assert_eq!(keys[0].len(), 36);
}

#[test]
fn an_answer_that_stays_lost_is_said_to_be() {
    let desk = Desk::before(|_, _| None);
    let (code, _, error) = desk.types("start");
    assert_eq!(code, Some(3));
    assert!(error.starts_with("epicctl: cannot reach the scheduler at http://127.0.0.1:"), "{error}");
    assert_eq!(desk.peer.seen().len(), 10);
}

#[test]
fn a_refusal_is_a_line_for_each_field() {
    let field = |path: &str| FieldError { path: path.to_owned(), problem: "is wrong".to_owned() };
    let problem = Problem {
        kind: "invalid".to_owned(),
        title: "the platform is not valid".to_owned(),
        status: 422,
        detail: String::new(),
        errors: vec![field("kind"), field("")],
    };
    let desk = Desk::before(move |_, _| json(422, &problem));
    let (code, out, error) = desk.types("apply -f platform.yaml");
    assert_eq!((code, out.as_str()), (Some(1), ""));
    let expected = "epicctl: the platform is not valid: kind: is wrong\nepicctl: the platform is not valid: is wrong\n";
    assert_eq!(error, expected);
    assert_eq!(desk.peer.seen().len(), 1, "a refusal is not repeated");
}

#[test]
fn a_restart_waits_for_the_next_attempt() {
    let desk = Desk::before(|nth, _| match nth {
        0 | 2 => shows("ready", 5),
        1 => granted(),
        _ => {
            let mut next = view("ready", 6);
            next.instances[0].attempt = 2;
            json(200, &next)
        }
    });
    let (code, out, _) = desk.types("restart worker-0");
    assert_eq!((code, out.as_str()), (Some(0), "it is being done (entry 5)\nworker-0 is ready again\n"));
    let seen = desk.peer.seen();
    assert_eq!(seen[1].start, "POST /api/v2/platform/instances/worker-0/restart HTTP/1.1");
    assert_eq!(seen.len(), 4, "the attempt of before doesn't count");
}

#[test]
fn an_uninstall_without_yes_only_says_what_it_would_remove() {
    let desk = Desk::before(|_, _| shows("ready", 7));
    let (code, out, error) = desk.types("uninstall");
    assert_eq!((code, error.as_str()), (Some(2), "epicctl: nothing was removed; repeat it with --yes\n"));
    assert!(out.starts_with("would remove the platform demo:\n  worker-0 on h1, with its files there\n"), "{out}");
    assert!(desk.peer.seen().iter().all(|seen| seen.start.starts_with("GET ")));
}

#[test]
fn an_uninstall_waits_until_nothing_is_left() {
    let desk = Desk::before(|nth, _| match nth {
        0 => granted(),
        1 => shows("uninstalling", 5),
        _ => shows("uninstalled", 9),
    });
    let (code, out, _) = desk.types("uninstall --yes");
    assert_eq!((code, out.as_str()), (Some(0), "it is being done (entry 5)\nnothing of the platform is left\n"));
    assert_eq!(desk.peer.seen()[0].start, "POST /api/v2/platform/uninstall HTTP/1.1");
}

#[test]
fn wrong_usage_asks_nothing_of_the_scheduler() {
    let desk = Desk::before(|_, _| granted());
    for line in ["stop --server ftp://x", "status --nonsense", "restart ../../x", "apply", "stop --timeout soon"] {
        let (code, _, error) = desk.types(line);
        assert_eq!(code, Some(2), "{line}: {error}");
    }
    let (code, _, error) = said(&mut desk.command("platform stop"));
    assert_eq!(code, Some(2));
    assert!(error.contains("--token-file or EPIC_TOKEN_FILE, or itself in EPIC_TOKEN"), "{error}");
    assert_eq!(desk.types("apply -f absent.yaml").0, Some(1));
    fs::write(desk.path("large.yaml"), vec![b'a'; 262_145]).unwrap();
    let (code, _, error) = desk.types("apply -f large.yaml");
    assert_eq!(
        (code, error.as_str()),
        (Some(1), "epicctl: large.yaml is too large: a document has at most 262144 bytes\n")
    );
    assert_eq!(desk.peer.seen().len(), 0);
}

#[test]
fn the_environment_can_hold_the_token_itself() {
    let desk = Desk::before(|_, _| granted());
    let (code, _, error) = desk.types_with(" an-s3cret-token-of-25\n", "platform stop --no-wait");
    assert_eq!((code, error.as_str()), (Some(0), ""));
    let [asked] = desk.peer.seen().try_into().unwrap();
    assert_eq!(asked.header("authorization"), "bearer an-s3cret-token-of-25");
}

#[test]
fn a_token_in_two_places_is_refused_and_never_shown() {
    let desk = Desk::before(|_, _| shows("ready", 7));
    let both = "epicctl: --token-file token and EPIC_TOKEN both give the token; leave one of them out\n";
    let shape = "epicctl: EPIC_TOKEN holds no token: it must be one line of visible ASCII characters\n";
    for (token, line, expected) in [
        ("another-s3cret-token", "platform stop --token-file token", (Some(2), both)),
        ("a s3cret", "platform stop", (Some(1), shape)),
        ("", "platform stop", (Some(1), shape)),
        // Whoever only looks needs none.
        ("another-s3cret-token", "platform status --token-file token", (Some(0), "")),
        ("another-s3cret-token", "platform stop --help", (Some(0), "")),
        ("another-s3cret-token", "platform stop --nonsense", (Some(2), "")),
    ] {
        let (code, out, error) = desk.types_with(token, line);
        assert_eq!(code, expected.0, "{line}: {error}");
        assert!(expected.1.is_empty() || error == expected.1, "{line}: {error}");
        assert!(!out.contains("s3cret") && !error.contains("s3cret"), "{line}: {out}{error}");
    }
    assert_eq!(desk.peer.seen().len(), 1, "only the look asked anything");
}

#[test]
fn a_scheduler_that_is_not_there_is_no_refusal() {
    let desk = Desk::before(|_, _| None);
    for line in ["status --server http://127.0.0.1:1", "stop --server http://127.0.0.1:1"] {
        let (code, out, error) = desk.types(line);
        assert_eq!((code, out.as_str()), (Some(3), ""), "{line}");
        assert!(
            error.starts_with("epicctl: cannot reach the scheduler at http://127.0.0.1:1; is it running there?"),
            "{error}"
        );
    }
}

#[test]
fn something_else_at_the_address_is_named() {
    let desk = Desk::before(|_, _| Some((200, "<html>".to_owned())));
    let (code, _, error) = desk.types("status");
    assert_eq!(code, Some(1));
    assert!(error.contains("is not an epic-scheduler of this version: it answered 200"), "{error}");
}

#[test]
fn exit_codes_are_in_the_help() {
    let desk = Desk::before(|_, _| None);
    for line in ["--help", "status --help", "uninstall --help"] {
        let (code, out, _) = desk.types(line);
        assert!(code == Some(0) && out.contains("  3  the scheduler can't be reached"), "{out}");
    }
}
