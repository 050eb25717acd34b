//! The package's life on a machine with a real systemd: installed, configured, crashed, upgraded, purged.

use std::time::{Duration, Instant};

use super::host::Host;
use super::{NEXT, next, this};

/// Configured as one scheduler that is alone, beside a master that isn't there.
const ALONE: &str = "master: 127.0.0.1:5050";
const CONFIG: &str = "/etc/epic/scheduler.yaml";

#[test]
fn a_package_is_installed_configured_crashed_upgraded_and_purged() {
    let host = Host::start(&[]);
    let before = files(&host);
    host.put(this(), "/srv/this.deb");
    host.put(next(), "/srv/next.deb");

    installed_and_started_by_nobody(&host);
    configured_and_confined(&host);
    killed_and_started_again(&host);
    upgraded_with_its_state(&host);
    stopped_at_once(&host);

    host.run(&["dpkg", "--remove", "epic-mesos-scheduler"]);
    host.sh("test -e /var/lib/epic/token && test -e /etc/epic/scheduler.yaml && getent passwd epic");
    // Somebody who looks at the state as the service's user is no reason to stop half way.
    host.sh("systemd-run --quiet --unit=looker --property=User=epic sleep 300");
    let said = host.told(&["dpkg", "--purge", "epic-mesos-scheduler"]);
    assert!(said.contains("the user epic is left: end what it runs, then \"userdel epic\""), "{said}");
    host.sh("! dpkg-query --show epic-mesos-scheduler && ! test -e /var/lib/epic && systemctl stop looker");
    host.until("userdel epic");
    assert_eq!(files(&host), before, "purging leaves what was there before");
    let users = "! getent passwd epic && ! getent group epic";
    host.sh(users);
    assert_eq!(host.unit("LoadState"), "not-found");
}

/// What isn't there until it is installed: paths, but those that every package changes and logs.
fn files(host: &Host) -> String {
    host.sh("find / -xdev -path /proc -prune -o -path /sys -prune -o -path /srv -prune -o -path /tmp -prune \
         -o -path /var/log -prune -o -path /var/cache -prune -o -path /var/lib/dpkg -prune -o -path /run -prune \
         -o -name '*-' -prune -o -print | sort")
}

fn installed_and_started_by_nobody(host: &Host) {
    host.run(&["dpkg", "--install", "/srv/this.deb"]);
    assert_eq!(host.told(&["systemd-analyze", "verify", "--man=no", "epic-scheduler.service"]), "");
    assert_eq!(host.told(&["systemctl", "is-enabled", "epic-scheduler"]).trim(), "disabled");
    assert_eq!(host.unit("ActiveState"), "inactive");
    let owners = host.run(&["stat", "--format=%n %a %U:%G", "/etc/epic", CONFIG, "/var/lib/epic"]);
    let expected = "/etc/epic 750 root:epic\n/etc/epic/scheduler.yaml 640 root:epic\n/var/lib/epic 700 epic:epic";
    assert_eq!(owners, expected);
    let user = host.run(&["getent", "passwd", "epic"]);
    assert!(user.ends_with(":/var/lib/epic:/usr/sbin/nologin"), "{user}");

    // Started too early, it says what is missing, once.
    assert!(!host.ask(&["systemctl", "start", "epic-scheduler"]).status.success());
    assert_eq!((host.unit("ExecMainStatus"), host.unit("NRestarts")), ("64".to_owned(), "0".to_owned()));
    let log = host.run(&["journalctl", "--no-pager", "--output=cat", "--unit=epic-scheduler"]);
    assert!(log.contains("the following required arguments were not provided: --master"), "{log}");
}

fn configured_and_confined(host: &Host) {
    host.sh(&format!("echo '{ALONE}' >> {CONFIG}"));
    host.run(&["runuser", "-u", "epic", "--", "epic-scheduler", "--check", "--config", CONFIG]);
    host.run(&["systemctl", "enable", "--now", "epic-scheduler"]);
    // Its start ends with READY=1, so it serves by now.
    assert_eq!(host.run(&["curl", "-fsS", "http://127.0.0.1:8080/healthz"]), "alive");
    assert_eq!(
        (host.unit("ActiveState"), host.unit("StatusText")),
        ("active".to_owned(), "this scheduler is alone".to_owned())
    );
    let status = host.sh("cat /proc/$(systemctl show --value --property MainPID epic-scheduler)/status");
    for line in ["CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "{line} is not in\n{status}");
    }
    assert!(status.contains(&format!("Uid:\t{}\t", host.run(&["id", "-u", "epic"]))), "{status}");
    host.sh("epicctl platform status --server http://127.0.0.1:8080 >/dev/null");
    assert_eq!(host.run(&["stat", "--format=%a %U", "/var/lib/epic/token"]), "600 epic");
}

fn killed_and_started_again(host: &Host) {
    let process = host.unit("MainPID");
    host.run(&["systemctl", "kill", "--signal=KILL", "epic-scheduler"]);
    host.until(&format!(
        "test \"$(systemctl show --value --property MainPID epic-scheduler)\" != {process} && \
         curl -fsS http://127.0.0.1:8080/healthz"
    ));
    assert_eq!(host.unit("NRestarts"), "1");
}

fn upgraded_with_its_state(host: &Host) {
    let kept =
        "sha256sum /var/lib/epic/token /etc/epic/scheduler.yaml; stat --format=%a:%U:%G /etc/epic/scheduler.yaml";
    let (process, before) = (host.unit("MainPID"), host.sh(kept));
    host.run(&["dpkg", "--install", "/srv/next.deb"]);
    assert_eq!(host.run(&["dpkg-query", "--show", "--showformat=${Version}", "epic-mesos-scheduler"]), NEXT);
    assert_ne!(host.unit("MainPID"), process, "the old program runs on");
    assert_eq!((host.unit("ActiveState"), host.sh(kept)), ("active".to_owned(), before));
    assert_eq!(host.run(&["curl", "-fsS", "http://127.0.0.1:8080/healthz"]), "alive");
    assert_eq!(host.told(&["systemctl", "is-enabled", "epic-scheduler"]).trim(), "enabled");
}

fn stopped_at_once(host: &Host) {
    let begin = Instant::now();
    host.run(&["systemctl", "stop", "epic-scheduler"]);
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(2), "it took {took:?} to stop");
    assert_eq!((host.unit("ActiveState"), host.unit("Result")), ("inactive".to_owned(), "success".to_owned()));
    // Whoever has stopped it wants it to stay so, also when a package is installed.
    host.run(&["dpkg", "--install", "/srv/this.deb"]);
    assert_eq!(host.unit("ActiveState"), "inactive");
}
