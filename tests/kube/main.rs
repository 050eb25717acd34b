//! `make test-helm`: the chart on a real Kubernetes, with a real ZooKeeper and a real Mesos outside of it.

mod release;
mod say;
mod site;
mod stage;
mod terminal;
mod watch;

mod accepted;
mod certificates;
mod disruption;
mod nodes;
mod plain;
mod policies;
mod sealed;
mod token;
mod typed;

use std::fs;
use std::process::ExitCode;

use anyhow::{Result, bail, ensure};

use say::{Timed, say};
use stage::Stage;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("failed: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Without a word all is played; `stay` leaves the stage to whoever types, and names select what is played.
fn run(words: &[&str]) -> Result<()> {
    for word in words {
        ensure!(
            ["stay", "accepted", "helm4", "helm3", "sealed", "token", "page", "policies", "nodes"].contains(word),
            "unknown: {word:?}"
        );
    }
    let wanted = |act: &str| words.is_empty() || words.contains(&act);
    let before = settings();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let left = runtime.block_on(async {
        let whole = Timed::start();
        let mut stage = Stage::set().await?;
        say(&format!("Kubernetes, Mesos and ZooKeeper are up ({whole})"));
        let played = play(&mut stage, wanted).await.map_err(|error| stage.explain(&error));
        if words.contains(&"stay") {
            if let Err(error) = &played {
                say(&format!("failed: {error:#}"));
            }
            stage.namespace("epic")?;
            say(&stage.invitation());
            tokio::signal::ctrl_c().await?;
        }
        let leftovers = stage.leftovers();
        drop(stage);
        played?;
        say(&format!("all played ({whole})"));
        anyhow::Ok(leftovers)
    })?;
    let mut left: Vec<String> = left.iter().flat_map(epic_tests::leftovers::Leftovers::check).collect();
    left.extend(settings().into_iter().filter(|setting| !before.contains(setting)));
    if !left.is_empty() {
        bail!("this is left on the machine:\n{}", left.join("\n"));
    }
    say("nothing is left on the machine");
    Ok(())
}

/// What a kubelet would set for the whole machine, as it is.
fn settings() -> Vec<String> {
    let files = ["vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops", "kernel/keys/root_maxkeys"];
    let now = |file: &str| fs::read_to_string(format!("/proc/sys/{file}")).unwrap_or_default();
    files.iter().map(|file| format!("{file} is {}", now(file).trim())).collect()
}

async fn play(stage: &mut Stage, wanted: impl Fn(&str) -> bool) -> Result<()> {
    if wanted("accepted") {
        accepted::play(stage)?;
    }
    if wanted("token") {
        token::play(stage)?;
    }
    let mut before = None;
    if wanted("helm4") {
        before = Some(plain::play(stage, &stage.helm4, plain::Length::Full, None).await?);
    }
    if wanted("helm3") {
        plain::play(stage, &stage.helm3, plain::Length::Short, before.as_ref()).await?;
    }
    if wanted("sealed") {
        sealed::play(stage).await?;
    }
    if wanted("page") {
        typed::play(stage).await?;
    }
    // The last: nobody looks at pods from outside any more.
    if wanted("policies") {
        policies::play(stage, &stage::router()?).await?;
    }
    if wanted("nodes") {
        nodes::play(stage).await?;
    }
    Ok(())
}
