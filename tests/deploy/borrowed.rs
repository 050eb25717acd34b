//! ZooKeeper and Mesos in containers: programs of this machine, with its libraries, so that no image has to be built.

use std::fs::{self, File};
use std::path::Path;

use epic_tests::kit::Kit;

use crate::engine::Container;

/// Runs a program of this machine, which has its libraries and some of its folders; `options` are of `docker run`.
fn serve(options: &[&str], folders: &[&str], command: &[&str]) -> Container {
    crate::images::base();
    let volumes: Vec<String> =
        ["/usr"].iter().chain(folders).map(|folder| format!("--volume={folder}:{folder}:ro")).collect();
    let mut args = options.to_vec();
    args.extend(volumes.iter().map(String::as_str));
    args.push("debian:bookworm-slim");
    args.extend(command);
    Container::run(&args)
}

/// Waits until nobody else has the addresses that pages print, 10.0.0.1 and on; whoever keeps the file has them.
pub(crate) fn turn() -> File {
    let turn = File::create("/var/lock/epic-pages-machines.lock").expect("every machine has this folder");
    turn.lock().expect("a file can be locked");
    turn
}

/// Starts a ZooKeeper server, at port 2181 of all its addresses.
pub(crate) fn zookeeper(options: &[&str]) -> Container {
    crate::tools::run("tests/setup.sh", &["zookeeper"]);
    let etc = fs::read_dir("/etc").expect("every machine has it").filter_map(Result::ok);
    let java = etc.map(|entry| entry.path()).find(|path| path.to_string_lossy().starts_with("/etc/java-"));
    let java = java.expect("a Java is installed");
    let command = [
        "/usr/lib/jvm/default-java/bin/java",
        "-Xmx64m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-Dzookeeper.admin.enableServer=false",
        "-cp",
        "/usr/share/java/zookeeper.jar:/usr/share/java/slf4j-simple.jar",
        "org.apache.zookeeper.server.ZooKeeperServerMain",
        "2181",
        "/tmp/zookeeper",
    ];
    serve(options, &[&java.to_string_lossy()], &command)
}

/// Starts a Mesos master; `folder`, if any, is one that its flags name.
pub(crate) fn master(options: &[&str], folder: Option<&str>, flags: &[&str]) -> Container {
    let kit = Kit::ready().expect("the real Mesos can be had");
    let program = kit.program("mesos-master").to_string_lossy().into_owned();
    let own = home(&program);
    let folders: Vec<&str> = [own].into_iter().chain(folder).collect();
    serve(options, &folders, &[&[program.as_str(), "--port=5050", "--work_dir=/tmp/mesos"], flags].concat())
}

/// Starts a machine on which somebody types this command line, which becomes a Mesos agent.
pub(crate) fn agent(options: &[&str], line: &str) -> Container {
    let kit = Kit::ready().expect("the real Mesos can be had");
    let program = kit.program("mesos-agent").to_string_lossy().into_owned();
    let own = home(&program);
    let scripts = crate::tools::root().join("docker/mesos").to_string_lossy().into_owned();
    // Where Mesos is, and that it isn't a service there.
    let settings = [
        format!("--env=PATH={own}/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
        format!("--env=MESOS_LAUNCHER_DIR={}", kit.launcher_dir().display()),
        "--env=MESOS_SYSTEMD_ENABLE_SUPPORT=false".to_owned(),
    ];
    let mut all = vec!["--cap-add=SYS_ADMIN", "--security-opt=apparmor:unconfined"];
    all.extend(options.iter().copied().chain(settings.iter().map(String::as_str)));
    let confined = format!("{scripts}/confined.sh");
    serve(&all, &[own, &scripts], &["unshare", "--cgroup", "--mount", &confined, "bash", "-euc", line])
}

/// The folder that has a program in its `bin/`.
fn home(program: &str) -> &str {
    let folder = Path::new(program).ancestors().nth(2).and_then(Path::to_str);
    folder.expect("it is in bin/ of its own folder")
}
