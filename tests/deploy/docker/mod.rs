//! What the page on Docker says is done as it is printed, at the engine that the tests share.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use epic_common_io::bundle;
use epic_tests::page::{Notes, Page, Step, unseen};
use tempfile::TempDir;

use crate::borrowed;
use crate::engine::{Container, engine};
use crate::tools::{root, run};

#[test]
fn users_of_docker_can_type_what_its_page_says() {
    let path = Path::new("docs/how-to/docker.md");
    let page = Page::read(&root().join(path)).expect("the page is there");
    let notes = Notes::of(path).expect("so are its notes");
    let steps = page.steps(&notes).expect("each of its blocks is typed or noted");

    crate::images::built();
    crate::images::demo();
    let machine = Machine::new();
    let folder = files();
    let _mesos = mesos(folder.path());
    for step in &steps {
        machine.typed(step, folder.path(), &path.display().to_string());
    }
}

/// The engine's machine with the addresses that the page prints; whoever has it, has them alone.
#[derive(Debug)]
struct Machine {
    _turn: File,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { _turn: borrowed::turn() };
        let compose = run("tests/tools/compose.sh", &[]);
        let plugin = format!(
            "plugins=$DOCKER_CONFIG/cli-plugins && mkdir -p $plugins && ln -sfn {} $plugins/docker-compose",
            compose.trim()
        );
        assert!(machine.ask(&plugin, &root()).0, "compose can't be a plugin");
        // What a test that was killed has left is in the way.
        machine.clear();
        for address in ADDRESSES {
            assert!(machine.ask(&format!("ip address add {address}/32 dev lo"), &root()).0, "{address} can't be had");
        }
        machine
    }

    /// Runs a line of shell in the engine's network; tells whether it succeeded, and what it has written.
    #[expect(clippy::unused_self, reason = "only whoever has the machine may type there")]
    fn ask(&self, line: &str, folder: &Path) -> (bool, String) {
        let mut command = engine().command(&root().join("tests/tools/docker-engine.sh").display().to_string());
        command.args(["enter", "timeout", "120", "bash", "-c", &format!("exec 2>&1; {line}")]);
        let told = command.current_dir(folder).output().expect("the script is part of the repository");
        (told.status.success(), (String::from_utf8_lossy(&told.stdout) + String::from_utf8_lossy(&told.stderr)).into())
    }

    /// Types a step in a folder; what is printed must be seen.
    fn typed(&self, step: &Step, folder: &Path, page: &str) {
        let (done, shown) = self.ask(&step.script("exported"), folder);
        let log = || String::from_utf8_lossy(&engine().ask(&["logs", "--tail", "20", "epic"]).stderr).into_owned();
        let place = format!("{page} line {}", step.line);
        assert!(done, "{place} failed\n{}\n{shown}\n{}", step.commands, log());
        let missing = unseen(&step.seen, &shown);
        assert_eq!(missing, None, "{place}: this isn't seen\n{}\n{shown}\n{}", step.commands, log());
    }

    fn clear(&self) {
        let ours = "label=com.docker.compose.project=docker";
        let gone = format!(
            "docker rm --force --volumes epic $(docker ps --all --quiet --filter {ours})
             docker volume rm epic-state $(docker volume ls --quiet --filter {ours})
             docker network rm docker_epic; docker image rm epic-mesos/scheduler:0.0.9"
        );
        self.ask(&gone, &root());
        for address in ADDRESSES {
            self.ask(&format!("ip address del {address}/32 dev lo"), &root());
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Starts what the page takes for granted: ZooKeeper, a master that wants the secret of `folder`, and two agents.
fn mesos(folder: &Path) -> [Container; 4] {
    let host = ["--network=host"];
    let zookeeper = borrowed::zookeeper(&host);
    let path = folder.to_str().expect("paths of tests are text");
    let flags = [
        "--ip=10.0.0.21",
        "--hostname=10.0.0.21",
        "--zk=zk://10.0.0.11:2181,10.0.0.12:2181,10.0.0.13:2181/mesos",
        "--quorum=1",
        "--authenticate_http_frameworks",
        "--http_framework_authenticators=basic",
        &format!("--credentials={path}/credentials"),
    ];
    let master = borrowed::master(&host, Some(path), &flags);
    let agent = |number: u32| {
        let line = format!(
            "mesos-agent --master=10.0.0.21:5050 --work_dir=/var/lib/mesos --ip=10.0.0.3{number} --hostname=10.0.0.3{number} \
             --launcher=linux --isolation=cgroups/cpu,cgroups/mem --cgroups_enable_cfs \
             --resources='cpus(BlueData):4;mem(BlueData):8192;disk:20480;ports:[31{number}00-31{number}99]'"
        );
        borrowed::agent(&host, &line)
    };
    [zookeeper, master, agent(1), agent(2)]
}

/// What is at hand where people type: a bundle and the principal's secret; beside them, the master's credentials.
fn files() -> TempDir {
    let folder = tempfile::Builder::new().prefix("epic-pages.").tempdir().expect("there is room for a bundle");
    bundle::build(&root().join("tests/fixtures/quiet-platform"), &folder.path().join("epic-platform-1.0.0-1.bin"))
        .expect("the fixture is whole");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).expect("there is room for a secret");
    // What the page takes of the repository, where it may write.
    run("cp", &["-r", "docker", folder.path().to_str().expect("paths of tests are text")]);
    fs::create_dir(folder.path().join("dist")).expect("there is room for a folder");
    fs::copy(folder.path().join("epic-platform-1.0.0-1.bin"), folder.path().join("dist/epic-platform-1.0.0-1.bin"))
        .expect("there is room for another bundle");
    // The engine is root, but users in containers aren't.
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("the folder is ours");
    write("mesos-secret", "the-secret-of-the-page\n");
    write("credentials", r#"{"credentials": [{"principal": "epic", "secret": "the-secret-of-the-page"}]}"#);
    folder
}

const ADDRESSES: [&str; 7] = ["10.0.0.1", "10.0.0.11", "10.0.0.12", "10.0.0.13", "10.0.0.21", "10.0.0.31", "10.0.0.32"];
