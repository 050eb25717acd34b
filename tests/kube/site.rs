//! What the chart's page takes for granted: servers by their names, images in a registry, programs and files at hand.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use epic_tests::cluster::Cluster;
use epic_tests::epic::{built, repository};
use epic_tests::kubernetes::{OUTSIDE, printed};
use epic_tests::process::{Process, Program};
use epic_tests::spec::ClusterSpec;
use epic_tests::zookeeper::{Pace, ZooKeeper};
use epic_tests::{leftovers::Leftovers, wait};

use crate::stage::Stage;

/// Three ZooKeeper servers `z1.example.com` to `z3.example.com`, a Mesos that is found by them, and the folder in which
/// people type; it ends before its stage.
#[derive(Debug)]
pub(crate) struct Site {
    // Fields are dropped in this order.
    _names: Process,
    pub(crate) mesos: Cluster,
    _zookeeper: ZooKeeper,
    folder: PathBuf,
}

impl Site {
    /// Brings everything up and prepares what people have before they open the page.
    pub(crate) async fn open(stage: &Stage) -> Result<Self> {
        let folder = stage.kube.work_dir().join("site");
        fs::create_dir_all(folder.join("home"))?;
        let zookeeper = ZooKeeper::ensemble(3, PACE).await?;
        let mut hosts = "127.0.0.1 localhost\n".to_owned();
        for (number, server) in (1..).zip(zookeeper.addrs()) {
            hosts += &format!("{} z{number}.example.com\n", server.ip());
            // Whether it comes from a pod or from here, it asks for the usual port.
            for chain in ["PREROUTING", "OUTPUT"] {
                let rule = format!("-t nat -A {chain} -p tcp -d {} --dport 2181 -j DNAT --to {server}", server.ip());
                let output = Command::new("/usr/sbin/iptables").args(rule.split(' ')).output()?;
                printed(&format!("iptables {rule}"), &output)?;
            }
        }
        fs::write(folder.join("hosts"), hosts)?;
        let names = names(&folder)?;
        let mut spec = ClusterSpec::agents_of(3);
        spec.credentials = vec![("bd".to_owned(), "PASSWORD".to_owned())];
        spec.zookeeper = Some(zookeeper.url("/mesos"));
        let mesos = Cluster::start(spec).await?;
        let site = Self { _names: names, mesos, _zookeeper: zookeeper, folder };
        site.files(stage)?;
        registry(stage)?;
        site.answers().await?;
        Ok(site)
    }

    /// The folder in which people type.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.join("home")
    }

    /// Where programs of the page are found first.
    pub(crate) fn tools(&self) -> PathBuf {
        self.folder.join("tools")
    }

    /// The names that are known where people type.
    pub(crate) fn hosts(&self) -> PathBuf {
        self.folder.join("hosts")
    }

    /// What to look for once it was dropped.
    pub(crate) fn leftovers(&self) -> Leftovers {
        self.mesos.leftovers()
    }

    /// Puts the programs, the chart, the bundle and the platform's document where the page expects them.
    fn files(&self, stage: &Stage) -> Result<()> {
        let tools = self.tools();
        fs::create_dir_all(&tools)?;
        symlink(&stage.helm4, tools.join("helm"))?;
        symlink(stage.helm4.with_file_name("kubectl"), tools.join("kubectl"))?;
        for program in ["epicctl", "epic-scheduler"] {
            symlink(built(program)?, tools.join(program))?;
        }
        let home = self.home();
        symlink(fs::canonicalize(repository("helm"))?, home.join("helm"))?;
        symlink(&stage.bundle, home.join("epic-platform-1.0.0-1.bin"))?;
        Ok(fs::write(home.join("platform.yaml"), stage.document(WORKERS))?)
    }

    /// Waits until names are served.
    async fn answers(&self) -> Result<()> {
        wait::until("names of the site", Duration::from_secs(10), async || {
            tokio::net::TcpStream::connect((OUTSIDE, 53)).await.context("nobody serves names")
        })
        .await
        .map(drop)
    }
}

/// Serves the names to pods, whose cluster refuses those that aren't its own.
fn names(folder: &std::path::Path) -> Result<Process> {
    let hosts = format!("--addn-hosts={}", folder.join("hosts").display());
    let listen = format!("--listen-address={OUTSIDE}");
    let own = ["--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root", "--bind-interfaces"];
    let program = Program::new("/usr/sbin/dnsmasq", folder.join("names.log")).args(own);
    program.args(["--no-hosts", "--no-resolv", &hosts, &listen]).start()
}

/// Gives the images the names that they would have in a registry.
fn registry(stage: &Stage) -> Result<()> {
    for image in ["scheduler", "cli"] {
        let name = format!("epic-mesos/{image}:{}", env!("CARGO_PKG_VERSION"));
        let socket = stage.kube.containerd().display().to_string();
        let (from, to) = (format!("docker.io/{name}"), format!("registry.example.com/{name}"));
        let words = ["-a", &socket, "-n", "k8s.io", "images", "tag", &from, &to];
        let output = Command::new("/usr/bin/ctr").args(words).output()?;
        ensure!(!printed("ctr images tag", &output)?.is_empty(), "{from} wasn't tagged");
    }
    Ok(())
}

pub(crate) const MEMBERS: usize = 3;
const WORKERS: u32 = 2;
const PACE: Pace = Pace { tick: Duration::from_millis(500), session_max: Duration::from_secs(60) };
