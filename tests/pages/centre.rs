//! A small data centre: three ZooKeeper servers, a Mesos of one master and its agents, three replicas with a platform.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use epic_common_io::bundle;
use epic_tests::cluster::{Cluster, Part};
use epic_tests::epic::{PATIENCE, built, repository, tasks_in};
use epic_tests::page::{Notes, Page, Step, unseen};
use epic_tests::spec::ClusterSpec;
use epic_tests::{http, kit, wait};
use tempfile::TempDir;
use tokio::process::Command;
use tokio::sync::mpsc;

use crate::hosts::{Hosts, address};
use crate::orders::{self, Order};
use crate::say;
use crate::unit::Unit;

/// All of it; dropping it ends all of it.
#[derive(Debug)]
pub(crate) struct Centre {
    // Fields are dropped in this order.
    units: Vec<Unit>,
    cluster: Cluster,
    orders: mpsc::Receiver<Order>,
    hosts: Hosts,
    _root: TempDir,
}

impl Centre {
    /// Starts everything, and waits until the platform is ready.
    ///
    /// # Errors
    /// Something can't be made, or isn't ready in time.
    pub(crate) async fn open() -> Result<Self> {
        let begin = Instant::now();
        kit::install("zookeeper")?;
        kit::install("pages")?;
        let root = tempfile::Builder::new().prefix("epic-pages.").tempdir()?;
        let hosts = Hosts::make(root.path())?;
        fs::create_dir_all(hosts.home())?;
        let orders = orders::take(&hosts.orders())?;
        write_files(&hosts)?;
        let cluster = Cluster::start(spec(&hosts)?).await?;
        for host in SCHEDULERS {
            hosts.write(
                host,
                "/etc/epic/scheduler.yaml",
                &scheduler(&hosts, host, &cluster.master_addr().to_string()),
            )?;
        }
        let mut centre = Self { units: Vec::new(), cluster, orders, hosts, _root: root };
        for host in ["zk1", "zk2", "zk3"] {
            centre.unit(host, "zookeeper")?.start()?;
        }
        let init = "until ssh sched1 epic-scheduler init --zk $ZK --zk-digest-file /etc/epic/zookeeper 2> init.log; do sleep 0.2; done";
        centre.type_in(&once(format!("ZK={ZK}\n{init}\n"))).await.context("the journal can't be made")?;
        for host in SCHEDULERS {
            centre.unit(host, "epic-scheduler")?.start()?;
        }
        centre.until_ready().await?;
        let until = "epicctl platform status --server http://sched1:8080 --until-ready";
        centre.type_in(&once(until.to_owned())).await?;
        say(&format!("the data centre is there after {:.1} s", begin.elapsed().as_secs_f32()));
        Ok(centre)
    }

    /// Types all that a page says, one block after the other, with what people do beside, and compares what is seen.
    ///
    /// Unless the page takes the platform away, the same tasks must run afterwards.
    ///
    /// # Errors
    /// A block is neither typed nor noted, a command fails, something isn't seen, or tasks were restarted.
    pub(crate) async fn follow(&mut self, page: &Page, notes: &Notes) -> Result<()> {
        let before = self.running().await?;
        for step in page.steps(notes)? {
            let begin = Instant::now();
            let typed = self.type_in(&step).await;
            typed.with_context(|| format!("{} line {}\n{}{}", page.path, step.line, step.commands, self.logs()))?;
            say(&format!("{} line {}: done in {:.1} s", page.path, step.line, begin.elapsed().as_secs_f32()));
        }
        let after = self.running().await?;
        let is_removed = after.is_empty() && page.blocks.iter().any(|block| block.text.contains("uninstall --yes"));
        ensure!(before == after || is_removed, "{}: {before:?} ran before, and {after:?} after it", page.path);
        Ok(())
    }

    /// Runs one step in a shell, which begins with what the steps before it have exported.
    async fn type_in(&mut self, step: &Step) -> Result<()> {
        let shown = self.hosts.home().join("../shown");
        let output = File::create(&shown)?;
        let mut command = Command::new("/bin/bash");
        command.args(["-c", &step.script("../exported")]).env_clear().envs(self.hosts.env());
        command.current_dir(self.hosts.home()).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let mut child = command.kill_on_drop(true).spawn()?;
        let end = tokio::time::sleep(BLOCK_WITHIN);
        tokio::pin!(end);
        let status = loop {
            tokio::select! {
                status = child.wait() => break status?,
                order = self.orders.recv() => self.obey(order.context("nobody takes orders")?).await?,
                () = &mut end => bail!("it isn't done after {BLOCK_WITHIN:?}: {}", fs::read_to_string(&shown)?),
            }
        };
        let shown = fs::read_to_string(&shown)?;
        ensure!(status.success(), "{status}: {shown}");
        let missing = unseen(&step.seen, &shown);
        ensure!(missing.is_none(), "{:?} isn't seen: {shown}", missing.unwrap_or_default());
        Ok(())
    }

    /// Does what `systemctl` asks for; a failure is its answer.
    async fn obey(&mut self, order: Order) -> Result<()> {
        let done = match order.unit.as_str() {
            "mesos-master" => self.restart_master(&order.verb).await,
            _ => self.drive(&order).await,
        };
        match done {
            Ok(text) => order.answer(0, &text),
            Err(error) => order.answer(1, &format!("{error:#}")),
        }
    }

    async fn drive(&mut self, order: &Order) -> Result<String> {
        let unit = self.unit(&order.host, &order.unit)?;
        match order.verb.as_str() {
            "start" => unit.start()?,
            "stop" => unit.stop().await?,
            "restart" => {
                unit.stop().await?;
                unit.start()?;
            }
            "is-active" => {
                let state = if unit.runs()? { "active" } else { "inactive" };
                return Ok(state.to_owned());
            }
            verb => bail!("Unknown command verb '{verb}'."),
        }
        Ok(String::new())
    }

    async fn restart_master(&mut self, verb: &str) -> Result<String> {
        ensure!(verb == "restart", "the master can only be restarted here");
        self.cluster.kill(Part::Master(0));
        self.cluster.restart(Part::Master(0))?;
        self.cluster.agents_active().await?;
        Ok(String::new())
    }

    fn unit(&mut self, host: &str, name: &str) -> Result<&mut Unit> {
        let known = self.units.iter().position(|unit| unit.is(host, name));
        let index = match known {
            Some(index) => index,
            None => {
                self.units.push(Unit::new(&self.hosts, host, name)?);
                self.units.len() - 1
            }
        };
        Ok(&mut self.units[index])
    }

    /// Lists the tasks that Mesos shows as running.
    async fn running(&self) -> Result<Vec<String>> {
        let mut tasks = tasks_in(&self.cluster.tasks().await?, "TASK_RUNNING");
        tasks.sort();
        Ok(tasks)
    }

    async fn until_ready(&mut self) -> Result<()> {
        let units = &mut self.units;
        let ready = wait::until("all replicas are ready", PATIENCE, async || {
            units.iter_mut().try_for_each(Unit::goes_on)?;
            for host in SCHEDULERS {
                http::get(&format!("http://{}:8080/readyz", address(host))).await?;
            }
            Ok(())
        });
        let ready = ready.await;
        ready.with_context(|| self.logs())
    }

    /// Returns the ends of all logs of schedulers.
    fn logs(&self) -> String {
        let schedulers = self.units.iter().filter(|unit| SCHEDULERS.iter().any(|host| unit.is(host, "epic-scheduler")));
        schedulers.filter_map(|unit| unit.log_tail().ok()).collect::<Vec<_>>().join("\n")
    }
}

/// Commands that no page tells.
fn once(commands: String) -> Step {
    Step { line: 0, commands, seen: Vec::new() }
}

/// Writes what was set up before any page begins.
fn write_files(hosts: &Hosts) -> Result<()> {
    for host in ["zk1", "zk2", "zk3"] {
        write_zookeeper(hosts, host)?;
    }
    for host in SCHEDULERS {
        hosts.write_secret(host, "/etc/epic/token", TOKEN)?;
        hosts.write_secret(host, "/etc/epic/mesos-secret", SECRET)?;
        hosts.write_secret(host, "/etc/epic/zookeeper", DIGEST)?;
    }
    hosts.write("admin", "/etc/epic/token", &format!("{TOKEN}\n"))?;
    let credentials = serde_json::json!({"credentials": [{"principal": PRINCIPAL, "secret": SECRET}]});
    hosts.write("master1", "/etc/mesos/credentials", &credentials.to_string())?;
    write_package(hosts)?;
    let bin = hosts.home().join("epic-platform.bin");
    bundle::build(&repository("tests/fixtures/quiet-platform"), &bin)?;
    Ok(fs::set_permissions(bin, Permissions::from_mode(0o644))?)
}

/// Makes a package of the scheduler as it was built, since a real one takes minutes.
fn write_package(hosts: &Hosts) -> Result<()> {
    let script = format!(
        "mkdir -p ../package/DEBIAN ../package/usr/bin && cp {} {} ../package/usr/bin &&
         printf '%s\\n' 'Package: epic-mesos-scheduler' 'Version: {VERSION}' 'Architecture: amd64' 'Maintainer: nobody <n@localhost>' \
           'Description: scheduler' > ../package/DEBIAN/control &&
         dpkg-deb --build -Znone ../package epic-mesos-scheduler_{VERSION}_amd64.deb",
        built("epic-scheduler")?.display(),
        built("epic-executor")?.display(),
    );
    let made = std::process::Command::new("/bin/sh").args(["-euc", &script]).current_dir(hosts.home()).output()?;
    ensure!(made.status.success(), "no package: {}", String::from_utf8_lossy(&made.stderr));
    Ok(())
}

/// Writes the settings of a ZooKeeper server, and its number.
fn write_zookeeper(hosts: &Hosts, host: &str) -> Result<()> {
    let mut text = format!(
        "dataDir=/var/lib/zookeeper\nclientPortAddress={host}\nclientPort=2181\ntickTime=500\ninitLimit=50\nsyncLimit=10\n\
         maxClientCnxns=0\nadmin.enableServer=false\n4lw.commands.whitelist=srvr,ruok\nmaxSessionTimeout=60000\n"
    );
    for (number, server) in ["zk1", "zk2", "zk3"].iter().enumerate() {
        text += &format!("server.{}={server}:2888:3888\n", number + 1);
    }
    hosts.write(host, "/etc/zookeeper/conf/zoo.cfg", &text)?;
    // What the machine itself may have there is nobody's here.
    let data = hosts.var_lib(host).join("zookeeper");
    if data.exists() {
        fs::remove_dir_all(&data)?;
    }
    hosts.write(host, "/var/lib/zookeeper/myid", host.trim_start_matches("zk"))
}

fn spec(hosts: &Hosts) -> Result<ClusterSpec> {
    let mut spec = ClusterSpec::agents_of(2);
    spec.credentials = vec![(PRINCIPAL.to_owned(), SECRET.to_owned())];
    let credentials: PathBuf = hosts.etc("master1").join("mesos/credentials");
    ensure!(credentials.exists(), "there is no {}", credentials.display());
    spec.master_flags.insert("credentials".to_owned(), credentials.display().to_string());
    Ok(spec)
}

fn scheduler(hosts: &Hosts, host: &str, master: &str) -> String {
    format!(
        "master: {master}\nzk: {ZK}\nzk-digest-file: /etc/epic/zookeeper\nzk-session-timeout: 6s\nlisten: {}:8080\nadvertise: http://{host}:8080\n\
         state-dir: /var/lib/epic\ntoken-file: /etc/epic/token\nprincipal: {PRINCIPAL}\nsecret-file: /etc/epic/mesos-secret\n\
         bin: {}\n",
        address(host),
        hosts.home().join("epic-platform.bin").display(),
    )
}

const VERSION: &str = env!("CARGO_PKG_VERSION");
const SCHEDULERS: [&str; 3] = ["sched1", "sched2", "sched3"];
const ZK: &str = "zk://zk1:2181,zk2:2181,zk3:2181/epic";
const DIGEST: &str = "epic:first-password";
const TOKEN: &str = "the-first-token-of-all";
const PRINCIPAL: &str = "epic";
const SECRET: &str = "the-first-secret";
const BLOCK_WITHIN: Duration = Duration::from_secs(180);
