//! What an idle scheduler and an idle executor cost, on a real Mesos, over a minute.

#![expect(clippy::float_arithmetic, reason = "figures for people")]

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use epic_tests::cluster::Cluster;
use epic_tests::epic::Epic;
use epic_tests::spec::ClusterSpec;

use crate::figures::cpu_seconds;

const MINUTE: Duration = Duration::from_secs(60);

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
pub(crate) async fn run() -> Result<()> {
    let mut epic = Epic::probe(Cluster::start(ClusterSpec::agents_of(3)).await?, 2)?;
    epic.start()?;
    epic.until_ready(3).await?;
    let scheduler = epic.pid().context("the scheduler runs")?;
    let executor = executors()?.first().copied().context("an executor runs")?;
    let before = (cpu_seconds(scheduler)?, cpu_seconds(executor)?);
    println!("idle for {} s, with a controller and two workers ready", MINUTE.as_secs());
    tokio::time::sleep(MINUTE).await;
    println!("{:<16} {:>12} {:>10} {:>10}", "process", "cpu seconds", "cpu %", "RSS MiB");
    for (name, pid, cpu) in [("epic-scheduler", scheduler, before.0), ("epic-executor", executor, before.1)] {
        let used = cpu_seconds(pid)? - cpu;
        let percent = 100.0 * used / MINUTE.as_secs_f64();
        println!("{name:<16} {used:>12.2} {percent:>10.2} {:>10.1}", rss_mib(pid)?);
    }
    Ok(())
}

/// Finds the executors that run, by their program's name.
fn executors() -> Result<Vec<u32>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let runs = line.split(|byte| *byte == 0).nth(1) == Some(b"run");
        if name.trim() == "epic-executor" && runs {
            found.push(pid);
        }
    }
    Ok(found)
}

fn rss_mib(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).context("no VmRSS")?;
    let kib: u32 = line.split_whitespace().nth(1).context("no number")?.parse()?;
    Ok(f64::from(kib) / 1024.0)
}
