//! Control groups on texts, on a fixture directory for version 2, and on this machine's kernel for version 1.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use epic_common::resources::{Bytes, Grant, MilliCpus};

use super::{Cgroups, Group, Layout, Owner};

fn grant() -> Grant {
    Grant { cpus: MilliCpus(250), mem: Bytes(64 << 20), disk: Bytes(0), ports: BTreeMap::new() }
}

/// Finds the hierarchies in texts where `ROOT` stands for a directory that has the folders `dirs`.
fn find(dirs: &[&str], mountinfo: &str, own: &str) -> (tempfile::TempDir, Result<Cgroups, String>) {
    let root = tempfile::tempdir().unwrap();
    for dir in dirs {
        fs::create_dir_all(root.path().join(dir)).unwrap();
    }
    let mountinfo = mountinfo.replace("ROOT", root.path().to_str().unwrap());
    let found = Cgroups::find(&mountinfo, own).map_err(|error| error.to_string());
    (root, found)
}

const V1: &str = "\
30 24 0:26 / ROOT/cpu rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
31 24 0:27 / ROOT/memory rw,relatime - cgroup cgroup rw,memory
32 24 0:28 / ROOT/freezer rw - cgroup cgroup rw,freezer
33 24 0:29 / ROOT/unified rw - cgroup2 cgroup2 rw
34 24 0:30 / ROOT/proc rw - proc proc rw";

#[test]
fn version_1_is_found_below_our_own_group_of_each_hierarchy() {
    let own = "3:freezer:/mesos/a\n2:memory:/mesos/a\n1:cpu,cpuacct:/mesos/b\n0::/";
    let (root, found) = find(&["cpu/mesos/b", "memory/mesos/a", "freezer/mesos/a", "unified"], V1, own);
    let group = found.unwrap().create("name", &grant()).unwrap();
    let dirs = ["memory/mesos/a/name", "cpu/mesos/b/name", "freezer/mesos/a/name"].map(|dir| root.path().join(dir));
    assert_eq!(group.dirs, dirs, "a kernel without the pids controller has no limit of processes");
    let read = |path: &str| fs::read_to_string(root.path().join(path)).unwrap();
    assert_eq!(read("memory/mesos/a/name/memory.limit_in_bytes"), "67108864");
    assert_eq!(read("cpu/mesos/b/name/cpu.shares"), "256");
    assert_eq!(
        (read("cpu/mesos/b/name/cpu.cfs_period_us"), read("cpu/mesos/b/name/cpu.cfs_quota_us")),
        ("100000".into(), "25000".into())
    );
}

#[test]
fn a_hierarchy_of_which_only_a_part_is_mounted_is_understood() {
    let mountinfo = V1.replace("0:26 /", "0:26 /docker/x").replace("0:27 /", "0:27 /docker/x");
    let own = "2:memory:/docker/x/mesos\n1:cpu,cpuacct:/docker/x/mesos";
    assert!(find(&["cpu/mesos", "memory/mesos"], &mountinfo, own).1.is_ok());
    let (_root, found) = find(&["cpu", "memory"], &mountinfo, "2:memory:/other\n1:cpu,cpuacct:/other");
    assert!(found.unwrap_err().starts_with("the executor's own cgroup /other is not visible at "));
}

#[test]
fn processes_are_limited_by_the_grant_or_nothing_is_started() {
    let mountinfo = format!("{V1}\n35 24 0:31 / ROOT/pids rw - cgroup cgroup rw,pids");
    let own = "4:pids:/a\n3:freezer:/\n2:memory:/\n1:cpu,cpuacct:/";
    let (root, found) = find(&["cpu", "memory", "freezer", "pids/a"], &mountinfo, own);
    let cgroups = found.unwrap();
    cgroups.create("name", &grant()).unwrap();
    assert_eq!(fs::read_to_string(root.path().join("pids/a/name/pids.max")).unwrap(), "576");
    let large = Grant { mem: Bytes(256 << 30), ..grant() };
    cgroups.create("large", &large).unwrap();
    assert_eq!(fs::read_to_string(root.path().join("pids/a/large/pids.max")).unwrap(), "16384");
    fs::remove_dir_all(root.path().join("pids/a")).unwrap();
    let error = cgroups.create("other", &grant()).unwrap_err();
    assert!(error.to_string().contains("pids/a/other"), "{error}");
}

#[test]
fn a_missing_controller_is_named() {
    let own = "2:memory:/\n1:cpu,cpuacct:/\n0::/";
    let without = |what: &str| V1.lines().filter(|line| !line.contains(what)).collect::<Vec<_>>().join("\n");
    let check =
        |mountinfo: &str, expected: &str| assert_eq!(find(&["cpu", "memory"], mountinfo, own).1.unwrap_err(), expected);
    check(&without("memory"), "there is no cgroup hierarchy with the memory controller");
    check(&without("cpuacct"), "there is no cgroup hierarchy with the cpu controller");
    check("", "there is no cgroup hierarchy with the memory controller");
}

#[test]
fn version_2_gets_its_limits_and_tells_of_memory_kills() {
    let mountinfo = "33 24 0:29 / ROOT rw - cgroup2 cgroup2 rw,nsdelegate";
    let (root, found) = find(&["agent/run"], mountinfo, "0::/agent/run\n");
    let cgroups = found.unwrap();
    assert!(matches!(&cgroups.layout, Layout::V2(base) if *base == root.path().join("agent/run")));
    let group = cgroups.create("name", &grant()).unwrap();
    let dir = root.path().join("agent/run/name");
    let read = |file: &str| fs::read_to_string(dir.join(file)).unwrap();
    assert_eq!(fs::read_to_string(root.path().join("agent/run/cgroup.subtree_control")).unwrap(), "+cpu +memory +pids");
    assert_eq!(
        (read("memory.max"), read("cpu.max"), read("cpu.weight"), read("pids.max")),
        ("67108864".into(), "25000 100000".into(), "25".into(), "576".into())
    );
    let service = group.child("web.1").unwrap();
    assert_eq!(service.procs_files().collect::<Vec<_>>(), [dir.join("web.1/cgroup.procs")]);
    let events = |count: u32| {
        fs::write(dir.join("web.1/memory.events"), format!("max 7\noom 1\noom_kill {count}\noom_group_kill 0\n"))
            .unwrap()
    };
    events(0);
    assert!(!service.was_out_of_memory());
    events(1);
    assert!(service.was_out_of_memory());
    let mut spared = std::process::Command::new("/bin/sleep").arg("600").spawn().unwrap();
    fs::write(dir.join("cgroup.procs"), spared.id().to_string()).unwrap();
    fs::write(dir.join("cgroup.kill"), "").unwrap();
    group.kill_once();
    assert_eq!(
        (read("cgroup.kill"), spared.try_wait().unwrap()),
        ("1".into(), None),
        "a number may be another's by now"
    );
    fs::remove_file(dir.join("cgroup.kill")).unwrap();
    group.kill_once();
    assert!(!spared.wait().unwrap().success(), "an old kernel ends one after the other");
}

#[test]
fn only_processes_are_killed() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("group/inner")).unwrap();
    fs::write(root.path().join("group/cgroup.procs"), "0\n-1\nx\n\n").unwrap();
    fs::write(root.path().join("group/inner/cgroup.procs"), "41\n40\n40\n").unwrap();
    let group = Group { version: super::Version::V2, dirs: vec![root.path().join("group")] };
    assert_eq!(group.pids(), [40, 41]);
}

#[tokio::test]
async fn what_dead_executors_left_is_removed_and_nothing_else() {
    let cgroups = Cgroups::of_this_process().unwrap();
    let own = Owner::this_process();
    let mut dead = std::process::Command::new("/bin/sleep").arg("600").spawn().unwrap();
    let gone = own.group("x").replace(&format!("-{}-", std::process::id()), "-4294967295-");
    let orphaned = cgroups.create(&gone, &grant()).expect("this test needs root and writable cgroups");
    fs::write(orphaned.child("web.1").unwrap().dirs[0].join("cgroup.procs"), dead.id().to_string()).unwrap();
    let kept = cgroups.create(&own.group("x"), &grant()).unwrap();
    cgroups.sweep().await;
    assert!(!orphaned.dirs.iter().any(|dir| Path::exists(dir)));
    assert!(kept.dirs.iter().all(|dir| Path::exists(dir)));
    assert!(!dead.wait().unwrap().success());
    kept.destroy().await;
}

#[tokio::test]
async fn a_group_on_the_real_kernel_has_its_limits_and_goes_away() {
    let cgroups = Cgroups::of_this_process().unwrap();
    let Layout::V1(_) = &cgroups.layout else { panic!("this test needs cgroups version 1") };
    let group = cgroups
        .create(&format!("epic-test-{}", std::process::id()), &grant())
        .expect("this test needs root and writable cgroups");
    let child = group.child("web.1").unwrap();
    let read = |file: &str| {
        group.dirs.iter().find_map(|dir: &std::path::PathBuf| fs::read_to_string(dir.join(file)).ok()).unwrap()
    };
    assert_eq!(read("memory.limit_in_bytes").trim(), "67108864");
    assert_eq!((read("cpu.cfs_quota_us").trim(), read("cpu.shares").trim()), ("25000", "256"));
    assert_eq!(read("pids.max").trim(), "576");
    assert!(child.dirs.iter().all(|dir| dir.join("cgroup.procs").exists()));
    let dirs = group.dirs.clone();
    group.destroy().await;
    assert!(!dirs.iter().any(|dir| Path::exists(dir)));
}

#[test]
fn where_no_group_can_be_made_the_reason_names_the_directory() {
    // procfs takes no new directories, not even from root.
    let cgroups = Cgroups { layout: Layout::V2("/proc/sys".into()) };
    let error = cgroups.create("worker-0.1", &grant()).unwrap_err();
    assert!(error.to_string().starts_with("cannot ") && error.to_string().contains("/proc/sys"), "{error}");
}
