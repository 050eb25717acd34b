//! Who is told which address, and which options about that don't go together.

use std::ffi::OsString;

use super::super::{Config, Error};

const MASTER: &str = "--master=127.0.0.1:5050";
const STATE: &str = "--state-dir=/s";
const AWAY: &str = "--master=10.0.0.1:5050";
const PAIR: [&str; 2] = ["--tls-cert-file=/c", "--tls-key-file=/k"];

fn read(args: &[&str]) -> Result<Config, Error> {
    Config::read(["epic-scheduler", STATE].iter().chain(args).map(OsString::from))
}

/// Checks what people and agents are told.
fn check(args: &[&str], people: &str, agents: &str) {
    let reach = read(args).unwrap().reach;
    assert_eq!((reach.advertised().as_str(), reach.advertised_agents().as_str()), (people, agents), "{args:?}");
}

fn fails(args: &[&str], part: &str) {
    let text = read(args).unwrap_err().to_string();
    assert!(text.contains(part) && !text.contains('\n'), "{args:?}: {text}");
}

#[test]
fn agents_are_told_an_address_that_they_can_reach() {
    let check = |args: &[&str], both: &str| check(args, both, both);
    check(&[MASTER], "http://127.0.0.1:8080");
    check(&["--master=localhost:5050", "--listen=[::1]:80"], "http://[::1]:80");
    check(&[AWAY, "--listen=10.0.0.2:1"], "http://10.0.0.2:1");
    check(&[AWAY, "--listen=0.0.0.0:1", "--advertise=http://epic.example:1/x/"], "http://epic.example:1/x");
    let loopback = "can't be reached from other machines, and the master 10.0.0.1 is on one; set --listen";
    fails(&[AWAY], &format!("--listen 127.0.0.1 {loopback}"));
    fails(&[AWAY, "--advertise=http://localhost:1"], &format!("--advertise localhost {loopback}"));
    fails(&[AWAY, "--advertise=http://[::ffff:127.0.0.1]:1"], loopback);
    fails(&["--master=127.0.0.1:1,10.0.0.1:1"], loopback);
    fails(&["--master=zk://10.0.0.1:2181/mesos"], loopback);
    fails(
        &[MASTER, "--listen=0.0.0.0:1"],
        "--listen 0.0.0.0 is no address to reach this scheduler at; name an address",
    );
    fails(&[MASTER, "--advertise=http://[::]:1"], "--advertise [::] is no address");
    fails(&[MASTER, "--advertise=https://10.0.0.2:1"], "must be http://HOST:PORT");
    fails(&[MASTER, "--advertise=10.0.0.2:1"], "is not a URL");
    fails(&[MASTER, "--advertise=http://a:b@c"], "may have a host, a port and a path, nothing else");
}

#[test]
fn agents_may_have_an_address_of_their_own() {
    let agents = "--listen-agents=10.0.0.2:81";
    check(&[AWAY, "--listen=10.0.0.2:80", agents], "http://10.0.0.2:80", "http://10.0.0.2:81");
    check(&[AWAY, "--advertise=https://epic.example/x", agents], "https://epic.example/x", "http://epic.example:81");
    check(&[AWAY, "--listen=[fd00::2]:80", agents], "http://[fd00::2]:80", "http://[fd00::2]:81");
    let told = "--advertise-agents=http://10.0.0.9:30081/";
    check(&[AWAY, "--listen=10.0.0.2:80", agents, told], "http://10.0.0.2:80", "http://10.0.0.9:30081");
    check(&[AWAY, "--listen=10.0.0.2:80", told], "http://10.0.0.2:80", "http://10.0.0.9:30081");
    check(&[AWAY, told], "http://127.0.0.1:8080", "http://10.0.0.9:30081");
    fails(
        &[AWAY, agents],
        "--advertise-agents http://127.0.0.1:81 can't be reached from other machines, and the master",
    );
    fails(
        &[AWAY, "--advertise-agents=http://localhost:1"],
        "name an address that agents can reach with --advertise-agents",
    );
    for wrong in ["https://10.0.0.2:1", "ftp://10.0.0.2:1", "http://10.0.0.2:1/x"] {
        fails(&[AWAY, &format!("--advertise-agents={wrong}")], &format!("\"{wrong}\" must be http://HOST:PORT"));
    }
    fails(&[AWAY, "--advertise-agents=10.0.0.2:1"], "--advertise-agents \"10.0.0.2:1\" is not a URL");
    fails(&[AWAY, "--advertise-agents=http://0.0.0.0:1"], "--advertise-agents 0.0.0.0 is no address");
    fails(&[AWAY, "--advertise-agents=http://a:b@c"], "may have a host, a port and a path, nothing else");
    let taken = "--listen-agents 127.0.0.1:80 is taken by --listen 127.0.0.1:80; choose another port";
    fails(&[MASTER, "--listen=127.0.0.1:80", "--listen-agents=127.0.0.1:80"], taken);
    let wide = ["--listen=0.0.0.0:80", "--advertise=http://10.0.0.2:80", "--listen-agents=127.0.0.1:80"];
    fails(&[&[MASTER][..], &wide].concat(), "is taken by --listen 0.0.0.0:80");
    let zk = ["--zk=zk://10.0.0.3:2181/epic", "--token-file=/t", MASTER, "--listen-agents=10.0.0.2:81"];
    fails(&zk, "the ZooKeeper server 10.0.0.3 is on one; set --listen");
}

#[test]
fn tls_takes_a_whole_pair_an_https_address_and_a_port_for_agents() {
    let agents = "--listen-agents=127.0.0.1:81";
    let tls = |more: &[&'static str]| [&[MASTER, agents], &PAIR[..], more].concat();
    check(&tls(&[]), "https://127.0.0.1:8080", "http://127.0.0.1:81");
    check(&tls(&["--advertise=https://localhost:1/"]), "https://localhost:1", "http://localhost:81");
    assert!(read(&tls(&[])).unwrap().reach.pair().is_some());
    assert_eq!(read(&[MASTER, "--tls-ca-file=/ca"]).unwrap().reach.pair(), None);
    fails(&tls(&["--advertise=http://10.0.0.2:1"]), "\"http://10.0.0.2:1\" must be https://HOST:PORT");
    fails(
        &[MASTER, PAIR[0], agents],
        "--tls-cert-file /c needs its key; name the file that holds it with --tls-key-file",
    );
    fails(
        &[MASTER, PAIR[1]],
        "--tls-key-file /k needs its certificate; name the file that holds it with --tls-cert-file",
    );
    fails(&[MASTER, PAIR[0], PAIR[1]], "--tls-cert-file /c needs a plain port for agents");
}
