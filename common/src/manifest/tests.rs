//! What a manifest means, and everything in it that is refused.

use super::*;

const GOOD: &str = "kind: App
apiLevel: 1
distroID: open/platform
version: 1.0.0-1
label: {name: Platform, description: For tests}
categories: [Platform]
roles:
  - {id: controller, cardinality: 1, minCores: 0.5, minMemory: 256MiB, minStorage: 1GiB}
  - {id: worker, cardinality: 1+, minCores: 0.1, minMemory: 64MiB}
  - {id: spare, cardinality: 0+, minCores: 1, minMemory: 64MiB}
services:
  - id: monitoring
    endpoint: {urlScheme: http, port: web, isDashboard: true}
    ports: [{name: web, port: 9090}, {name: gossip, port: auto}]
    command: [bin/monitor, '--listen={{ host }}']
    env: {COLOUR: green}
    documents: [members]
    templates: [{source: etc/a.tmpl, target: a}, {source: etc/b.tmpl, target: sub/b}]
    health: {http: {port: web, path: /ready}, interval: 1s, timeout: 2s, grace: 1m, failures: 5}
    stop: {signal: SIGINT, grace: 20s}
    user: epic_monitor
    reload: SIGHUP
  - id: exporter
    command: [/usr/bin/true]
config:
  selectedRoles: [worker, controller]
  roleServices:
    - {roleID: controller, serviceIDs: [monitoring, exporter]}
    - {roleID: worker, serviceIDs: [exporter]}
  configMeta: {colour: green}
";

/// Replaces `from`, which must be there, and asserts what is refused: `path: problem`, shortened.
#[track_caller]
fn check(from: &str, to: &str, expected: &str) {
    assert!(GOOD.contains(from), "{from} isn't there");
    let refused = Manifest::parse(&GOOD.replacen(from, to, 1)).expect_err(expected);
    let shown: Vec<_> = refused.all.iter().map(ToString::to_string).collect();
    assert!(shown.len() == 1 && shown[0].contains(expected), "{to}: {shown:?} has not just {expected}");
}

#[test]
fn a_manifest_is_read() {
    let manifest = Manifest::parse(GOOD).unwrap();
    assert_eq!((manifest.distro_id.as_str(), manifest.version.as_str()), ("open/platform", "1.0.0-1"));
    assert_eq!(manifest.config_meta["colour"], "green");
    let roles: Vec<_> = manifest.roles.iter().map(|role| (role.id.as_str(), role.cardinality.to_string())).collect();
    assert_eq!(roles, [("controller", "1".to_owned()), ("worker", "1+".to_owned())]);
    let role = manifest.role(&"controller".into()).unwrap();
    assert_eq!((role.cpus, role.mem, role.disk), (MilliCpus(500), Bytes(256 << 20), Bytes(1 << 30)));
    assert_eq!(
        role.ports().map(|port| (port.name.as_str(), port.fixed)).collect::<Vec<_>>(),
        [("web", Some(9090)), ("gossip", None)]
    );
    assert!(role.reads(Document::Members));
    assert!(manifest.role(&"spare".into()).is_none());
    let service = &role.services[0];
    assert_eq!(service.endpoint.as_ref().unwrap().path, "/");
    assert_eq!(service.stop, Stop { signal: Signal::Int, grace: Duration::from_secs(20) });
    assert_eq!((service.user.as_deref(), service.reload), (Some("epic_monitor"), Some(Signal::Hup)));
    assert_eq!(service.templates[1], Template { source: "etc/b.tmpl".to_owned(), target: "sub/b".to_owned() });
    let health = service.health.clone().unwrap();
    assert_eq!((health.interval, health.timeout), (Duration::from_secs(1), Duration::from_secs(2)));
    assert_eq!((health.grace, health.failures), (Duration::from_secs(60), 5));
    assert_eq!(health.probe, Probe::Http { port: "web".to_owned(), path: "/ready".to_owned() });
}

#[test]
fn what_is_left_out_has_a_default() {
    let manifest = Manifest::parse(GOOD).unwrap();
    let worker = manifest.role(&"worker".into()).unwrap();
    let service = &worker.services[0];
    assert_eq!(service.stop, Stop { signal: Signal::Term, grace: Duration::from_secs(10) });
    assert_eq!((&service.health, &service.user, service.reload), (&None, &None, None));
    assert_eq!(worker.disk, Bytes(0));
    assert!(!worker.reads(Document::Members));
}

#[test]
fn each_probe_is_read() {
    let probe = |text: &str| {
        let yaml = GOOD.replace("http: {port: web, path: /ready}", text);
        Manifest::parse(&yaml).unwrap().roles[0].services[0].health.clone().unwrap().probe
    };
    assert_eq!(probe("tcp: {port: gossip}"), Probe::Tcp { port: "gossip".to_owned() });
    assert_eq!(probe("command: [bin/check, -q]"), Probe::Command(vec!["bin/check".to_owned(), "-q".to_owned()]));
}

#[test]
fn the_header_is_checked() {
    check("kind: App", "kind: Application", "kind: \"Application\" is not App");
    check("apiLevel: 1", "apiLevel: 2", "apiLevel: 2 is not supported");
    check("open/platform", "platform", "distroID: \"platform\" is not two words");
    check("open/platform", "open/../platform", "distroID");
    check("open/platform", "\"o'/$(reboot)\"", "distroID");
    check("1.0.0-1", "1 0", "version");
    check("name: Platform", "name: ''", "label.name");
}

#[test]
fn an_unknown_field_is_refused_wherever_it_is() {
    for (from, to) in [
        ("apiLevel: 1", "apiLevel: 1\ncolour: red"),
        ("name: Platform", "colour: red, name: Platform"),
        ("{id: worker,", "{colour: red, id: worker,"),
        ("    user:", "    colour: red\n    user:"),
        ("urlScheme: http", "colour: red, urlScheme: http"),
        ("{name: web", "{colour: red, name: web"),
        ("{source: etc/a.tmpl", "{colour: red, source: etc/a.tmpl"),
        ("interval: 1s", "interval: 1s, colour: red"),
        ("path: /ready", "path: /ready, colour: red"),
        ("signal: SIGINT", "colour: red, signal: SIGINT"),
        ("  configMeta", "  colour: red\n  configMeta"),
        ("{roleID: worker", "{colour: red, roleID: worker"),
    ] {
        check(from, to, "colour");
    }
    check("kind: App\n", "", "kind");
    check("kind: App\n", "kind: App\nkind: App\n", "kind");
}

#[test]
fn a_role_is_checked() {
    check(
        "{roleID: worker, serviceIDs: [exporter]}",
        "{roleID: worker, serviceIDs: []}",
        "roles[1].id: \"worker\" has no services",
    );
    check("id: spare", "id: Spare", "roles[2].id: must have");
    check("id: spare", "id: worker", "roles[2].id: \"worker\" is there twice");
    check("cardinality: 1+", "cardinality: 1-3", "roles[1].cardinality: \"1-3\" is neither N nor N+");
    check("cardinality: 1,", "cardinality: 0,", "roles[0].cardinality");
    check("cardinality: 1+", "cardinality: 10001+", "roles[1].cardinality");
    check("minCores: 0.5", "minCores: 0.005", "roles[0].minCores: must be at least 0.01");
    check("minMemory: 256MiB", "minMemory: 1MiB", "roles[0].minMemory: must be at least 4MiB");
    check("minStorage: 1GiB", "minStorage: 1GB", "roles[0].minStorage: \"1GB\" is not a size");
}

#[test]
fn a_service_is_checked() {
    check(
        "  - id: exporter",
        "  - {id: monitoring, command: [x]}\n  - id: exporter",
        "services[1].id: \"monitoring\" is there twice",
    );
    check("[/usr/bin/true]", "[]", "services[1].command: must name a program");
    check("bin/monitor", "../bin/monitor", "services[0].command: \"../bin/monitor\" is neither");
    check("COLOUR", "EPIC_COLOUR", "services[0].env.EPIC_COLOUR");
    check("COLOUR", "MESOS_X", "services[0].env.MESOS_X");
    check("COLOUR: green", "COLOUR: \"a\\0b\"", "services[0].env.COLOUR");
    check("[members]", "[tenants]", "services[0].documents[0]: \"tenants\" is not a document");
    check("[members]", "[members, members]", "services[0].documents[1]");
    check("source: etc/a.tmpl", "source: /etc/passwd", "services[0].templates[0].source");
    check("target: sub/b", "target: ../b", "services[0].templates[1].target");
    check("target: sub/b", "target: a", "services[0].templates[1].target: \"a\" is there twice");
    check("SIGINT", "INT", "services[0].stop.signal");
    check("SIGHUP", "SIGKILL", "services[0].reload");
    check("grace: 20s", "grace: 3650d", "services[0].stop.grace: must be at most 10m");
    check("grace: 20s", "grace: 20", "services[0].stop.grace: \"20\" is not a duration");
    check("epic_monitor", "'0'", "services[0].user");
}

#[test]
fn ports_and_what_refers_to_them_are_checked() {
    check("port: 9090", "port: 0", "services[0].ports[0].port: \"0\" is neither auto nor a port");
    check("port: 9090", "port: 65536", "services[0].ports[0].port");
    check("{name: gossip", "{name: web", "roles[0]: two services of this role have the port \"web\"");
    check("port: auto", "port: 9090", "roles[0]: two services of this role have the port \"gossip\"");
    check(
        "urlScheme: http, port: web",
        "urlScheme: http, port: www",
        "services[0].endpoint.port: \"www\" is not a port of this service; it has: web, gossip",
    );
    check("isDashboard", "path: ui, isDashboard", "services[0].endpoint.path");
    check("{port: web, path: /ready}", "{port: www, path: /ready}", "services[0].health.http.port");
    check("path: /ready", "path: ready", "services[0].health.http.path");
}

#[test]
fn health_is_checked() {
    check("http: {port: web, path: /ready}, ", "", "services[0].health: needs exactly one of");
    check("health: {", "health: {tcp: {port: web}, ", "services[0].health: needs exactly one of");
    check("http: {port: web, path: /ready}", "command: []", "services[0].health.command: must name a program");
    check("interval: 1s", "interval: 99ms", "services[0].health.interval");
    check("timeout: 2s", "timeout: 0s", "services[0].health.timeout");
    check("failures: 5", "failures: 0", "services[0].health.failures");
}

#[test]
fn what_the_config_names_must_be_there() {
    check(
        "[worker, controller]",
        "[worker, controller, gateway]",
        "config.selectedRoles[2]: \"gateway\" is not one of the roles",
    );
    check("[worker, controller]", "[]", "config.selectedRoles: must name at least one role");
    check(
        "{roleID: worker,",
        "{roleID: worker, serviceIDs: [exporter]}\n    - {roleID: gateway,",
        "config.roleServices[2].roleID",
    );
    check(
        "[monitoring, exporter]",
        "[monitoring, importer]",
        "config.roleServices[0].serviceIDs[1]: \"importer\" is not one of the services",
    );
    check(
        "[monitoring, exporter]",
        "[monitoring, exporter, exporter]",
        "config.roleServices[0].serviceIDs[2]: \"exporter\" is there twice",
    );
}

#[test]
fn everything_wrong_is_said_at_once_and_lists_have_bounds() {
    let wrong = GOOD.replace("kind: App", "kind: Wrong").replace("SIGINT", "INT").replace("id: worker", "id: w_r");
    assert!(Manifest::parse(&wrong).unwrap_err().all.len() >= 3);
    let many: String = (0..101).map(|nth| format!("  - {{id: s{nth}, command: [/bin/true]}}\n")).collect();
    check("services:\n", &format!("services:\n{many}"), "services: has 103 items, at most 100 are allowed");
    assert!(Manifest::parse(&" ".repeat(300 << 10)).unwrap_err().to_string().contains("at most 262144"));
}

#[test]
fn the_manifests_of_the_repository_are_valid() {
    for yaml in [
        include_str!("../../../catalog/platform/manifest.yaml"),
        include_str!("../../../tests/fixtures/probe-platform/manifest.yaml"),
    ] {
        let manifest = Manifest::parse(yaml).unwrap();
        let roles: Vec<_> = manifest.roles.iter().map(|role| role.id.as_str()).collect();
        assert_eq!(roles, ["controller", "worker"]);
        assert!(manifest.roles[0].reads(Document::Members));
    }
}
