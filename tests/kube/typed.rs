//! The chart's page, typed as it is printed from the first line to the last.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use epic_tests::epic::{repository, tasks_in};
use epic_tests::page::{Notes, Page, Step};

use crate::accepted;
use crate::say::{Timed, say};
use crate::site::{MEMBERS, Site};
use crate::stage::Stage;
use crate::terminal::Terminal;

/// Types all blocks; members of the platform run on through all that comes after `platform apply`.
pub(crate) async fn play(stage: &Stage) -> Result<()> {
    say("--- the chart's page, as it is printed");
    let path = fs::canonicalize(repository(PAGE))?;
    let page = Page::read(&path)?;
    let steps = page.steps(&Notes::of(&path)?)?;
    let timed = Timed::start();
    let site = Site::open(stage).await?;
    accepted::monitoring(stage)?;
    say(&format!("names, ZooKeeper's three servers and a Mesos that is found by them are there ({timed})"));
    let typed = type_all(stage, &site, &steps).await;
    let leftovers = site.leftovers();
    drop(site);
    let left = leftovers.check();
    typed?;
    ensure!(left.is_empty(), "this is left of the page's Mesos:\n{}", left.join("\n"));
    Ok(())
}

async fn type_all(stage: &Stage, site: &Site, steps: &[Step]) -> Result<()> {
    let mut terminal = Terminal::open(site, &stage.kube.kubeconfig());
    let mut running = Vec::new();
    for step in steps {
        let timed = Timed::start();
        let place = format!("{PAGE} line {}", step.line);
        let typed = terminal.type_in(step).await;
        typed.with_context(|| format!("{place}\n{}", step.commands))?;
        let before = std::mem::take(&mut running);
        running = tasks_in(&site.mesos.tasks().await?, "TASK_RUNNING");
        running.sort();
        if step.commands.contains("epicctl platform apply") {
            ensure!(running.len() == MEMBERS, "{place}: {running:?} run, instead of {MEMBERS} members");
        } else if step.commands.contains("epicctl platform uninstall") {
            ensure!(running.is_empty(), "{place}: {running:?} still run");
        } else {
            ensure!(running == before, "{place}: {before:?} ran before it, and {running:?} after it");
        }
        say(&format!("{place}: done in {timed}"));
    }
    Ok(())
}

const PAGE: &str = "docs/how-to/kubernetes.md";
