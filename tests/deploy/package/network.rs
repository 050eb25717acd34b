//! A network of machines, and what is to be reached there beside them: ZooKeeper and a Mesos master.

use std::fs::File;

use super::host::Host;
use crate::borrowed;
use crate::engine::{Container, engine};

/// A network of its own, removed when this is dropped.
#[derive(Debug)]
pub(super) struct Network {
    name: String,
    /// Held by whoever has the addresses that pages print, since there can be one such network.
    _turn: Option<File>,
}

impl Network {
    /// Makes one with any addresses.
    pub(super) fn new() -> Self {
        let name = format!("epic-package-{}", std::process::id());
        engine().docker(&["network", "create", "--internal", &name]);
        Self { name, _turn: None }
    }

    /// Makes the one with the addresses 10.0.0.1 to 10.0.0.9, which only [`Self::machine`] gives; waits for its turn.
    pub(super) fn printed() -> Self {
        let turn = borrowed::turn();
        // What a test that was killed has left is in the way.
        let left = engine().docker(&["ps", "--all", "--quiet", "--filter", &format!("network={PRINTED}")]);
        for container in left.lines() {
            engine().docker(&["rm", "--force", "--volumes", container]);
        }
        let _none = engine().ask(&["network", "rm", PRINTED]);
        let addresses = ["--subnet=10.0.0.0/24", "--ip-range=10.0.0.128/25", "--gateway=10.0.0.254"];
        engine().docker(&[&["network", "create", "--internal"], &addresses[..], &[PRINTED]].concat());
        Self { name: PRINTED.to_owned(), _turn: Some(turn) }
    }

    /// Starts a machine that others know by this name.
    pub(super) fn host(&self, name: &str) -> Host {
        self.machine(name, &[])
    }

    /// As [`Self::host`], with an address such as 10.0.0.1.
    pub(super) fn host_at(&self, name: &str, address: &str) -> Host {
        self.machine(name, &[&format!("--ip={address}")])
    }

    fn machine(&self, name: &str, more: &[&str]) -> Host {
        let hostname = format!("--hostname={name}");
        Host::start(&[&words(&self.options(&[name]))[..], &[&hostname], more].concat())
    }

    /// What `docker run` must be told for whoever is to have these names.
    fn options(&self, names: &[&str]) -> Vec<String> {
        let names = names.iter().map(|name| format!("--network-alias={name}"));
        [format!("--network={}", self.name)].into_iter().chain(names).collect()
    }

    /// Starts a ZooKeeper server, which may have several names.
    pub(super) fn zookeeper(&self, names: &[&str]) -> Container {
        borrowed::zookeeper(&words(&self.options(names)))
    }

    /// Starts a machine on which somebody types this command line, which becomes a Mesos agent.
    pub(super) fn agent(&self, name: &str, line: &str) -> Container {
        let hostname = format!("--hostname={name}");
        borrowed::agent(&[&words(&self.options(&[name]))[..], &[&hostname]].concat(), line)
    }

    /// Starts a Mesos master as `mesos`; `folder`, if any, is one that its flags name.
    pub(super) fn master(&self, folder: Option<&str>, flags: &[&str]) -> Container {
        let usual = ["--ip=0.0.0.0", "--hostname=mesos"];
        borrowed::master(&words(&self.options(&["mesos"])), folder, &[&usual[..], flags].concat())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _removed = engine().ask(&["network", "rm", &self.name]);
    }
}

fn words(options: &[String]) -> Vec<&str> {
    options.iter().map(String::as_str).collect()
}

const PRINTED: &str = "epic-pages-machines";
