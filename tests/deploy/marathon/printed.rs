//! What is printed passes a schema that allows nothing else, and what Marathon checks besides.

use std::path::Path;
use std::process::Command;

use epic_tests::epic::built;
use serde_json::{Value, json};

use super::definition::Definition;
use crate::tools::{root, run};

/// Runs `epic-scheduler print marathon`, which must succeed.
pub(super) fn print(args: &[&str]) -> String {
    let (code, stdout, stderr) = say(args);
    assert!(code == Some(0) && stderr.is_empty(), "{args:?} ended with {code:?}: {stderr}");
    stdout
}

/// What it ends with and says, where nothing is said by the environment.
fn say(args: &[&str]) -> (Option<i32>, String, String) {
    let program = built("epic-scheduler").expect("make builds programs before tests");
    let output = Command::new(program).args(["print", "marathon"]).args(args).env_clear().output();
    let output = output.expect("a program of ours can be started");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

const ARCHIVE: &str = "--archive=https://files.example/epic-mesos-0.1.0-x86_64.tar.gz";
const MASTER: &str = "--master=zk://z1:2181,z2:2181,z3:2181/mesos";
const ZK: &str = "--zk=zk://z1:2181,z2:2181,z3:2181/epic";
const TOKEN: &str = "--token-secret=epic/token";
const USUAL: [&str; 4] = [ARCHIVE, MASTER, ZK, TOKEN];

/// Sets of options, each of which makes another app.
fn sets() -> Vec<Vec<&'static str>> {
    let with = |more: &[&'static str]| [&USUAL[..], more].concat();
    let credentials = ["--set=principal=bd", "--principal-secret=epic/bd", "--zk-secret=epic/zk"];
    let certificate = ["--set=tls-cert-file=/etc/epic/tls.crt", "--set=tls-key-file=/etc/epic/tls.key"];
    let sizes = ["--instances=5", "--cpus=1500", "--mem=1024", "--disk=8192", "--kill-grace=1m"];
    vec![
        with(&[]),
        with(&credentials),
        with(&certificate),
        with(&sizes),
        with(&["--instances=1", "--id=/infra/big-data/epic", "--user=epic", "--label=HAPROXY_GROUP=internal"]),
        with(&["--replace-lost-after=0s", "--set=role=other", "--set=unreachable-after=10m"]),
        vec!["--image=registry.example/epic-mesos/scheduler:0.1.0", MASTER, ZK, "--set=token-file=/etc/epic/token"],
    ]
}

/// What is wrong with each app: by the schema, then by what Marathon checks besides.
fn problems(apps: &[Value]) -> Vec<Vec<String>> {
    let by_schema = refused_by_schema(apps);
    assert_eq!(by_schema.len(), apps.len(), "each app is judged");
    by_schema.into_iter().zip(apps).map(|(by_schema, app)| [by_schema, beside_the_schema(app)].concat()).collect()
}

/// Asks the checker of JSON schemas that comes with the one of Kubernetes' schemas, once for all apps.
fn refused_by_schema(apps: &[Value]) -> Vec<Vec<String>> {
    let judge = r#"
import json, sys
from jsonschema import Draft7Validator
schema, apps = json.load(open(sys.argv[1])), json.loads(sys.argv[2])
Draft7Validator.check_schema(schema)
judge = Draft7Validator(schema)
print(json.dumps([[f"{error.json_path}: {error.message}" for error in judge.iter_errors(app)] for app in apps]))
"#;
    let tool = run("tests/tools/kubernetes-validate.sh", &[]);
    let python = Path::new(tool.trim()).with_file_name("python");
    let python = python.to_str().expect("the cache's path is text");
    let apps = Value::from(apps.to_vec()).to_string();
    let judged = run(python, &["-c", judge, "tests/deploy/marathon/app.schema.json", &apps]);
    serde_json::from_str(&judged).expect("the checker writes JSON")
}

fn beside_the_schema(app: &Value) -> Vec<String> {
    let mut all = Vec::new();
    let list = |name: &str| app[name].as_array().cloned().unwrap_or_default();
    let ports = list("portDefinitions");
    for check in list("healthChecks") {
        if check["portIndex"]
            .as_u64()
            .is_none_or(|index| usize::try_from(index).is_ok_and(|index| index >= ports.len()))
        {
            all.push(format!("no port {}", check["portIndex"]));
        }
    }
    for check in list("readinessChecks") {
        if !ports.iter().any(|port| port["name"] == check["portName"]) {
            all.push(format!("no port is called {}", check["portName"]));
        }
    }
    for variable in app["env"].as_object().into_iter().flat_map(serde_json::Map::values) {
        if let Some(secret) = variable["secret"].as_str()
            && app["secrets"][secret].is_null()
        {
            all.push(format!("no secret {secret} is declared"));
        }
    }
    let seconds = |name: &str| app["unreachableStrategy"][name].as_u64();
    if seconds("expungeAfterSeconds") < seconds("inactiveAfterSeconds") {
        all.push("instances are forgotten before they are replaced".to_owned());
    }
    let share = |name: &str| app["upgradeStrategy"][name].as_f64().unwrap_or(1.0);
    let is_unique = list("constraints").contains(&json!(["hostname", "UNIQUE"]));
    if is_unique && share("maximumOverCapacity") > 0.0 {
        all.push("an upgrade may want more hosts than there are".to_owned());
    }
    if share("maximumOverCapacity") == 0.0 && kept(app) >= app["instances"].as_u64().unwrap_or_default() {
        all.push("an upgrade may take none away, and add none".to_owned());
    }
    all
}

/// How many instances an upgrade must leave.
#[expect(
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share is a decimal in an app, and instances are few"
)]
fn kept(app: &Value) -> u64 {
    let share = app["upgradeStrategy"]["minimumHealthCapacity"].as_f64().unwrap_or(1.0);
    (share * app["instances"].as_f64().unwrap_or_default()).ceil() as u64
}

fn app(args: &[&str]) -> Value {
    serde_json::from_str(&print(args)).expect("what is printed is JSON")
}

#[test]
fn every_app_that_is_printed_is_one_for_marathon() {
    let apps: Vec<Value> = sets().iter().map(|args| app(args)).collect();
    for (args, problems) in sets().iter().zip(problems(&apps)) {
        assert_eq!(problems, Vec::<String>::new(), "{args:?}");
    }
}

#[test]
fn options_are_found_in_the_app() {
    let check = |args: &[&str], pointer: &str, expected: Value| {
        let app = app(&[&USUAL[..], args].concat());
        assert_eq!(app.pointer(pointer), Some(&expected), "{args:?}");
    };
    check(&[], "/constraints", json!([["hostname", "UNIQUE"]]));
    check(&[], "/env/EPIC_TOKEN", json!({"secret": "token"}));
    check(&[], "/secrets/token/source", json!("epic/token"));
    check(&["--instances=5"], "/upgradeStrategy/minimumHealthCapacity", json!(0.8));
    check(&["--instances=1"], "/upgradeStrategy/minimumHealthCapacity", json!(0));
    check(&["--cpus=1500"], "/cpus", json!(1.5));
    check(&["--set=unreachable-after=10m"], "/env/EPIC_UNREACHABLE_AFTER", json!("10m"));
    check(
        &["--replace-lost-after=2m"],
        "/unreachableStrategy",
        json!({"inactiveAfterSeconds": 120, "expungeAfterSeconds": 600}),
    );
    check(&["--label=A=b=c"], "/labels/A", json!("b=c"));
    let tls = ["--set=tls-cert-file=/c", "--set=tls-key-file=/k"];
    check(&tls, "/healthChecks/0/protocol", json!("MESOS_HTTPS"));
    check(&tls, "/readinessChecks/0/protocol", json!("HTTPS"));
    let image = app(&["--image=epic-mesos/scheduler:0.1.0", MASTER, ZK, TOKEN]);
    assert_eq!((&image["cmd"], &image["fetch"]), (&Value::Null, &Value::Null), "the image's entry point is run");
    assert_eq!(image["container"]["docker"]["image"], "epic-mesos/scheduler:0.1.0");
}

#[test]
fn the_page_on_marathon_shows_what_its_command_prints() {
    let page = std::fs::read_to_string(root().join("docs/how-to/marathon.md")).expect("the page is there");
    let between = |from: &str, to: &str| {
        let (_, rest) = page.split_once(from).unwrap_or_else(|| panic!("the page has no {from:?}"));
        rest.split_once(to).unwrap_or_else(|| panic!("nothing ends {from:?}")).0.to_owned()
    };
    let command = between("epic-scheduler print marathon ", " > epic.json");
    let words: Vec<_> = command.split_whitespace().filter(|word| *word != "\\").collect();
    assert_eq!(between("```json\n", "```"), print(&words), "the page shows another app than {words:?} print");
    let urls = page.lines().filter(|line| line.contains("-X PUT") || line.contains("-X DELETE"));
    for line in urls {
        assert!(
            line.contains("http://marathon.example.org:8080/v2/apps/epic"),
            "it is about the app that is shown: {line}"
        );
    }
}

/// A change to an app: where, and to what; `null` takes it out.
type Mutant = (&'static str, Value);

#[test]
fn an_app_with_any_mistake_is_refused() {
    let right = app(&[&USUAL[..], &["--principal-secret=epic/bd", "--set=principal=bd"]].concat());
    let mutants: Vec<Mutant> = vec![
        ("/id", json!("epic")),
        ("/id", json!("/Epic")),
        ("/instances", json!("3")),
        ("/cpus", json!(0)),
        ("/mem", Value::Null),
        ("/networks", Value::Null),
        ("/args", json!(["x"])),
        ("/cmd", Value::Null),
        ("/disc", json!(1)),
        ("/networks/0/mode", json!("hosts")),
        ("/portDefinitions/0/name", json!("HTTP")),
        ("/portDefinitions/0/port", json!(65_536)),
        ("/portDefinitions/0/name", json!("web")),
        ("/portDefinitions/0/protocol", json!("http")),
        ("/healthChecks/0/protocol", json!("MESOS_WEB")),
        ("/healthChecks/0/path", json!("healthz")),
        ("/healthChecks/0/portIndex", json!(2)),
        ("/healthChecks/0/interval", json!(10)),
        ("/readinessChecks/0/httpStatusCodesForReady", json!(["200"])),
        ("/constraints", json!([["hostname", "UNIQ"]])),
        ("/constraints", json!([["hostname", "UNIQUE", "1"]])),
        ("/constraints", json!([["hostname", "LIKE"]])),
        ("/env/EPIC_ROLE", json!(3)),
        ("/env/EPIC ROLE", json!("x")),
        ("/env/EPIC_TOKEN", json!({"secrets": "token"})),
        ("/env/EPIC_TOKEN", json!({"secret": "tokens"})),
        ("/secrets/token", json!("epic/token")),
        ("/upgradeStrategy/minimumHealthCapacity", json!(1)),
        ("/upgradeStrategy/minimumHealthCapacity", json!(66)),
        ("/upgradeStrategy/maximumOverCapacity", json!(0.5)),
        ("/killSelection", json!("YOUNGEST")),
        ("/unreachableStrategy/expungeAfterSeconds", json!(59)),
        ("/backoffFactor", json!(0.5)),
        ("/fetch/0/url", json!("x")),
        ("/labels", json!({"a": 1})),
    ];
    let wrong: Vec<Value> = mutants.iter().map(|mutant| changed(&right, mutant)).collect();
    for ((pointer, value), problems) in mutants.iter().zip(problems(&wrong)) {
        assert_ne!(problems, Vec::<String>::new(), "{pointer} = {value}");
    }
}

fn changed(right: &Value, (pointer, value): &Mutant) -> Value {
    let mut app = right.clone();
    let (parent, name) = pointer.rsplit_once('/').expect("a pointer begins with /");
    let parent = app.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer} has a parent"));
    match (parent, name.parse::<usize>()) {
        (Value::Object(object), _) if value.is_null() => drop(object.remove(name).expect("it was there")),
        (Value::Object(object), _) => drop(object.insert(name.to_owned(), value.clone())),
        (parent, Ok(index)) => parent[index] = value.clone(),
        (parent, Err(_)) => panic!("{parent} has no {name}"),
    }
    app
}

#[test]
fn the_launcher_does_all_that_is_printed_for_an_archive_and_nothing_that_it_does_not_know() {
    let printed = print(&USUAL);
    Definition::read(&printed).expect("the launcher understands it");
    for (pointer, value) in [
        ("/requirePorts", json!(true)),
        ("/constraints", json!([["hostname", "CLUSTER", "a"]])),
        ("/networks/0/mode", json!("container/bridge")),
        ("/healthChecks/0/protocol", json!("HTTP")),
        ("/portDefinitions/0/port", json!(80)),
        ("/secrets", json!({})),
    ] {
        let mut app: Value = serde_json::from_str(&printed).expect("it is JSON");
        let (parent, name) = pointer.rsplit_once('/').expect("a pointer begins with /");
        app.pointer_mut(parent).expect("it has a parent")[name] = value;
        Definition::read(&app.to_string()).expect_err(pointer);
    }
}

#[test]
fn what_makes_no_app_is_refused_with_what_to_do() {
    let check = |args: &[&str], parts: &[&str]| {
        let (code, stdout, stderr) = say(args);
        assert!(code == Some(64) && stdout.is_empty(), "{args:?} ended with {code:?}: {stdout}");
        assert!(parts.iter().all(|part| stderr.contains(part)), "{args:?} doesn't say {parts:?}: {stderr}");
        assert!(stderr.lines().count() == 1 && !stderr.contains("sesame"), "{stderr}");
    };
    let with = |more: &[&'static str]| [&USUAL[..], more].concat();
    check(&[MASTER, ZK, TOKEN], &["--archive <URI>"]);
    check(&[ARCHIVE, MASTER, ZK], &["needs the token that all instances share", "--token-secret SOURCE"]);
    check(&with(&["--set=token-file=/t"]), &["--token-secret and --set token-file both say it"]);
    check(&[ARCHIVE, MASTER, TOKEN, "--zk=zk://me:sesame@z1:2181/epic"], &["--zk-secret SOURCE"]);
    check(
        &[ARCHIVE, ZK, TOKEN, "--master=zk://me:sesame@z1:2181/mesos"],
        &["a password would be seen by all who may look at the app"],
    );
    check(
        &["--archive=https://me:sesame@h/epic.tar.gz", MASTER, ZK, TOKEN],
        &["a password would be seen by all who may look at the app"],
    );
    check(&with(&["--image=x"]), &["cannot be used with"]);
    check(&["--archive=https://h/epic", MASTER, ZK, TOKEN], &["Mesos unpacks only what ends with"]);
    check(&["--archive=epic.tar.gz", MASTER, ZK, TOKEN], &["it must be a URI"]);
    check(&with(&["--instances=0"]), &["--instances", "1..=9"]);
    check(&with(&["--id=epic"]), &["it must be a path such as /infra/epic"]);
    check(&with(&["--cpus=0.5"]), &["--cpus"]);
    check(&with(&["--kill-grace=1h"]), &["from 1s to 600s"]);
    check(&with(&["--set=rolle=x"]), &["rolle can't be set here: a scheduler has no such option"]);
    check(&with(&["--set=role"]), &["write OPTION=VALUE"]);
    check(&with(&["--set=role=a", "--set=role=b"]), &["set role once"]);
    check(&with(&["--set=advertise=http://x:1"]), &["each instance takes it from the ports"]);
    check(&with(&["--set=zk=zk://z1:2181/x"]), &["say --zk itself"]);
    check(&with(&["--set=unreachable-after=soon"]), &["'soon'", "--unreachable-after"]);
    check(&with(&["--set=principal=bd"]), &["a principal needs its secret", "--principal-secret SOURCE"]);
    check(&with(&["--principal-secret=x"]), &["--set principal=NAME"]);
}
