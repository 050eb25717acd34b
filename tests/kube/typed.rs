//! The chart's page, typed as it is printed from the first line to the last.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use epic_tests::epic::{repository, tasks_in};

use crate::accepted;
use crate::page::{Block, Page};
use crate::say::{Timed, say};
use crate::site::{MEMBERS, Site};
use crate::stage::Stage;
use crate::terminal::Terminal;

/// Types all blocks; members of the platform run on through all that comes after `platform apply`.
pub(crate) async fn play(stage: &Stage) -> Result<()> {
    say("--- the chart's page, as it is printed");
    let page = Page::read(&fs::canonicalize(repository(PAGE))?)?;
    let timed = Timed::start();
    let site = Site::open(stage).await?;
    accepted::monitoring(stage)?;
    say(&format!("names, ZooKeeper's three servers and a Mesos that is found by them are there ({timed})"));
    let typed = type_all(stage, &site, &page).await;
    let leftovers = site.leftovers();
    drop(site);
    let left = leftovers.check();
    typed?;
    ensure!(left.is_empty(), "this is left of the page's Mesos:\n{}", left.join("\n"));
    Ok(())
}

async fn type_all(stage: &Stage, site: &Site, page: &Page) -> Result<()> {
    let mut terminal = Terminal::open(site, &stage.kube.kubeconfig());
    let mut running = Vec::new();
    for block in &page.blocks {
        let timed = Timed::start();
        let place = format!("{} line {}", page.path, block.line);
        by_hand(site, block)?;
        let typed = terminal.type_in(block).await;
        typed.with_context(|| format!("{place}\n{}", block.commands))?;
        let before = std::mem::take(&mut running);
        running = tasks_in(&site.mesos.tasks().await?, "TASK_RUNNING");
        running.sort();
        if block.commands.contains("epicctl platform apply") {
            ensure!(running.len() == MEMBERS, "{place}: {running:?} run, instead of {MEMBERS} members");
        } else if block.commands.contains("epicctl platform uninstall") {
            ensure!(running.is_empty(), "{place}: {running:?} still run");
        } else {
            ensure!(running == before, "{place}: {before:?} ran before it, and {running:?} after it");
        }
        say(&format!("{place}: done in {timed}"));
    }
    Ok(())
}

/// What the page leaves to whoever reads it.
fn by_hand(site: &Site, block: &Block) -> Result<()> {
    // Which of all backups is the newest.
    if block.commands.contains(" state restore epic.backup ") {
        let made = fs::read_dir(site.home())?.flatten().map(|entry| entry.path());
        let mut made = made.filter(|path| path.extension().is_some_and(|extension| extension == "backup"));
        let newest = made.next().context("no backup was made")?;
        fs::rename(newest, site.home().join("epic.backup"))?;
    }
    Ok(())
}

const PAGE: &str = "docs/how-to/kubernetes.md";
