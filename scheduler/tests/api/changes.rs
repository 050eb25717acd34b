//! What only whoever has the token may change.

use epic_scheduler_core::request::{Applicant, Rejection, RejectionKind, Wish};
use reqwest::Method;

use crate::fixture::{History, bundle};
use crate::server::{Server, TOKEN, grant, problem};

const CHANGES: [(&str, &str); 6] = [
    ("PUT", "/api/v2/platform"),
    ("POST", "/api/v2/platform/stop"),
    ("POST", "/api/v2/platform/start"),
    ("POST", "/api/v2/platform/uninstall"),
    ("POST", "/api/v2/platform/instances/worker-0/restart"),
    ("POST", "/api/v2/admin/new-framework"),
];

#[tokio::test]
async fn no_change_is_made_without_the_token() {
    let server = Server::start(History::demo(0).published, grant);
    let wrong = [
        "Bearer 0123456789abcdeX",
        "Bearer ",
        "Basic 0123456789abcdef",
        "0123456789abcdef",
        "Bearer 0123456789abcdef0",
    ];
    for (method, path) in CHANGES.into_iter().chain([("PUT", "/api/v2/token")]) {
        let method: Method = method.parse().unwrap();
        let answer = server.ask(method.clone(), path).await;
        assert_eq!(answer.headers()["www-authenticate"], "Bearer realm=\"epic\"");
        assert_eq!(problem(answer).await, "401 unauthorized: a token is needed");
        for said in wrong {
            let answer = server.send(method.clone(), path, &[("Authorization", said)], Vec::new()).await;
            assert_eq!(answer.status(), 401, "{path} {said}");
        }
    }
    assert_eq!(server.asked.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn before_the_token_is_recorded_nobody_has_it() {
    let server = Server::start_as_it_is(History::new().published, grant);
    let answer = server.change(Method::POST, "/api/v2/platform/stop", "").await;
    assert_eq!(problem(answer).await, "503 unavailable: the scheduler has only just started");
}

#[tokio::test]
async fn each_verb_asks_for_what_it_says() {
    let server = Server::start(History::demo(1).published, grant);
    for (_, path) in &CHANGES[1..] {
        let answer = server.change(Method::POST, path, "").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.text().await.unwrap(), "{\"index\":42,\"message\":\"granted\"}");
    }
    let asked = server.asked.lock().unwrap();
    let wishes: Vec<_> = asked.iter().map(|request| request.wish.clone()).collect();
    assert_eq!(wishes[..4], [Wish::Stop, Wish::Start, Wish::Uninstall, Wish::Restart("worker-0".parse().unwrap())]);
    assert!(matches!(&wishes[4..], [Wish::NewFramework { framework }] if !framework.as_str().is_empty()));
    assert!(asked.iter().all(|request| request.key.is_none()));
}

#[tokio::test]
async fn an_idempotency_key_is_handed_on_or_refused() {
    let server = Server::start(History::demo(0).published, grant);
    let bearer = format!("Bearer {TOKEN}");
    let long = "k".repeat(101);
    for (key, status) in [("abc-1", 200), ("", 400), (long.as_str(), 400), ("a b", 400)] {
        let headers = [("Authorization", bearer.as_str()), ("Idempotency-Key", key)];
        let answer = server.send(Method::POST, "/api/v2/platform/stop", &headers, Vec::new()).await;
        assert_eq!(answer.status(), status, "{key}");
    }
    // The same key for another verb is another request: it must not be answered by the first one's grant.
    let headers = [("Authorization", bearer.as_str()), ("Idempotency-Key", "abc-1")];
    server.send(Method::POST, "/api/v2/platform/start", &headers, Vec::new()).await;
    let keys: Vec<_> = server.asked.lock().unwrap().iter().map(|request| request.key.clone()).collect();
    let key = |verb: &str| Some(format!("/api/v2/platform/{verb} abc-1"));
    assert_eq!(keys, [key("stop"), key("start")]);
}

#[tokio::test]
async fn a_refusal_has_the_status_of_its_kind() {
    let server = Server::start(History::demo(0).published, |request| {
        let (kind, errors) = match &request.wish {
            Wish::Stop => (RejectionKind::Conflict, Vec::new()),
            Wish::Start => (RejectionKind::Unavailable, Vec::new()),
            Wish::Restart(_) => (RejectionKind::NotFound, Vec::new()),
            Wish::Uninstall | Wish::NewFramework { .. } => (RejectionKind::Invalid, Vec::new()),
            Wish::Apply { .. } | Wish::SetToken(_) => {
                (RejectionKind::Invalid, vec![("spec.workers.count".to_owned(), "too many".to_owned())])
            }
        };
        Some(Err(Rejection { kind, title: "no".to_owned(), detail: String::new(), errors }))
    });
    let file = bundle(server.folder.path());
    let document =
        format!("{{kind: Platform, label: {{name: a}}, spec: {{bundle: {{uri: 'file://{}'}}}}}}", file.display());
    let expected = [
        "422 invalid: no (spec.workers.count: too many)",
        "409 conflict: no",
        "503 unavailable: no",
        "400 invalid: no",
        "404 not-found: no",
        "400 invalid: no",
    ];
    for ((method, path), expected) in CHANGES.into_iter().zip(expected) {
        let answer = server.change(method.parse().unwrap(), path, document.clone()).await;
        assert_eq!(problem(answer).await, expected);
    }
}

#[tokio::test]
async fn a_scheduler_that_stops_says_so() {
    let server = Server::start(History::demo(0).published, |_| None);
    let answer = server.change(Method::POST, "/api/v2/platform/stop", "").await;
    assert_eq!(answer.headers()["retry-after"], "1");
    assert_eq!(problem(answer).await, "503 unavailable: the scheduler is stopping");
}

#[tokio::test]
async fn a_journal_that_does_not_answer_is_no_refusal() {
    let server = Server::start_deaf(History::demo(0).published);
    // The first waits for its answer in the queue, the second for room in it.
    let stop = || server.change(Method::POST, "/api/v2/platform/stop", "");
    for answer in <[_; 2]>::from(tokio::join!(stop(), stop())) {
        assert_eq!(problem(answer).await, "503 unavailable: the request isn't answered yet");
    }
}

#[tokio::test]
async fn a_document_becomes_a_wish_with_the_bundles_facts() {
    let server = Server::start(History::new().published, grant);
    let file = bundle(server.folder.path());
    let uri = format!("file://{}", file.display());
    let yaml =
        format!("kind: Platform\nlabel: {{name: demo}}\nspec: {{bundle: {{uri: '{uri}'}}, workers: {{count: 3}}}}\n");
    let answer = server.change(Method::PUT, "/api/v2/platform", yaml).await;
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    let digest = epic_common_io::bundle::verify(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    let json = serde_json::json!({"kind": "Platform", "label": {"name": "demo"}, "spec": {"bundle": {"sha256": digest.to_string()}}});
    let answer = server.change(Method::PUT, "/api/v2/platform", json.to_string()).await;
    assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());

    let asked = server.asked.lock().unwrap();
    let applied: Vec<_> = asked
        .iter()
        .filter_map(|request| {
            let Wish::Apply { desired, framework, by: Applicant::Person } = &request.wish else { return None };
            Some((desired.clone(), framework.clone()))
        })
        .collect();
    let members = |nth: usize| applied[nth].0.members.values().copied().collect::<Vec<_>>();
    assert_eq!(members(0), [1, 3]);
    assert_eq!(members(1), [1, 1], "who isn't counted is one");
    assert_eq!(applied[0].0.bundle.sha256, digest);
    assert_ne!(applied[0].1, applied[1].1, "each apply brings a fresh framework id");
}

#[tokio::test]
async fn what_is_wrong_with_a_document_is_said_by_path() {
    let server = Server::start(History::new().published, grant);
    let here = "file:///nonexistent.bin";
    let put = async |body: Vec<u8>| problem(server.change(Method::PUT, "/api/v2/platform", body).await).await;
    let document = |rest: &str| format!("kind: Platform\nlabel: {{name: a}}\nspec: {{{rest}}}").into_bytes();
    let bundle = "spec.bundle";
    let missing = format!(
        "422 invalid: the platform's bundle can't be used ({bundle}: cannot read /nonexistent.bin: No such file or directory (os error 2))"
    );
    assert_eq!(put(document(&format!("bundle: {{uri: '{here}'}}"))).await, missing);
    let zeros = "0".repeat(64);
    let unknown = format!(
        "422 invalid: the platform's bundle can't be used ({bundle}: no bundle with sha256 {zeros} is here; supply it with epicctl bundle push FILE, or name its file as spec.bundle.uri: file:///absolute/path)"
    );
    assert_eq!(put(document(&format!("bundle: {{sha256: '{zeros}'}}"))).await, unknown);
    let pipe = put(document("bundle: {uri: 'file:///dev/zero'}")).await;
    assert!(pipe.contains("it is not a regular file"), "{pipe}");
    let two = put(b"kind: X\nlabel: {name: A}\nspec: {bundle: {sha256: x}}".to_vec()).await;
    assert!(
        two.starts_with("422 invalid: the platform is not valid (kind: \"X\" is not Platform) (label.name: "),
        "{two}"
    );
    assert_eq!(put(vec![0xff, 0xfe]).await, "400 invalid: the body is not UTF-8");
    assert_eq!(put(vec![b'a'; 262_145]).await, "413 too-large: the body is too large");
    assert!(put(vec![b'a'; 262_144]).await.starts_with("400 invalid: the platform is not valid"));
    assert!(put(Vec::new()).await.starts_with("400 invalid: the platform is not valid"));
    assert_eq!(server.asked.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_new_token_is_told_by_its_sha256_alone() {
    let server = Server::start(History::demo(0).published, grant);
    let sha256 = "ab".repeat(32);
    let put = async |body: &str| server.change(Method::PUT, "/api/v2/token", body).await;
    let answer = put(&format!("{{\"sha256\": \"{sha256}\"}}")).await;
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (200, GRANTED));
    for wrong in ["", "{}", "{\"sha256\": \"ab\"}", "{\"token\": \"s3cret\"}", "[1]"] {
        let said = problem(put(wrong).await).await;
        assert!(said.starts_with("422 invalid: the new token can't be used (sha256: the body must be"), "{said}");
    }
    let asked: Vec<_> = server.asked.lock().unwrap().iter().map(|request| request.wish.clone()).collect();
    assert_eq!(asked, [Wish::SetToken(sha256.parse().unwrap())]);
}

const GRANTED: &str = "{\"index\":42,\"message\":\"granted\"}";
