//! Asks for changes.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use anyhow::Context;
use epic_common::api::PlatformView;
use reqwest::Method;

use super::Wait;
use super::follow::{Goal, follow};
use crate::args::Output;
use crate::client::Client;
use crate::failure::Failure;
use crate::render;
use crate::terminal;

pub(super) async fn apply(client: &Client, output: Output, file: &Path, wait: Wait) -> anyhow::Result<()> {
    let granted = client.change(Method::PUT, "", document(file)?).await?;
    let is_reached = |view: &PlatformView| view.phase == "ready";
    follow(client, output, (granted, wait), Goal { words: "the platform is ready", is_reached: &is_reached }).await
}

pub(super) async fn stop(client: &Client, output: Output, wait: Wait) -> anyhow::Result<()> {
    let granted = client.change(Method::POST, "/stop", Vec::new()).await?;
    let is_reached = |view: &PlatformView| view.phase == "stopped";
    follow(client, output, (granted, wait), Goal { words: "the platform is stopped", is_reached: &is_reached }).await
}

pub(super) async fn start(client: &Client, output: Output, wait: Wait) -> anyhow::Result<()> {
    let granted = client.change(Method::POST, "/start", Vec::new()).await?;
    let is_reached = |view: &PlatformView| view.phase == "ready";
    follow(client, output, (granted, wait), Goal { words: "the platform is ready", is_reached: &is_reached }).await
}

pub(super) async fn restart(client: &Client, output: Output, instance: &str, wait: Wait) -> anyhow::Result<()> {
    let is_name =
        !instance.is_empty() && instance.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if !is_name || matches!(instance, "." | "..") {
        return Err(Failure::Usage(format!("\"{instance}\" is no member's name; see epicctl platform status")).into());
    }
    let before = client.view().await?;
    let known = before.instances.iter().find(|member| member.id == instance);
    let attempt = known.map_or(0, |member| member.attempt);
    let granted = client.change(Method::POST, &format!("/instances/{instance}/restart"), Vec::new()).await?;
    let words = format!("{instance} is ready again");
    let is_next = |member: &epic_common::api::InstanceView| member.id == instance && member.attempt > attempt;
    let is_reached =
        |view: &PlatformView| view.instances.iter().any(|member| is_next(member) && member.phase == "ready");
    follow(client, output, (granted, wait), Goal { words: &words, is_reached: &is_reached }).await
}

pub(super) async fn uninstall(client: &Client, output: Output, wait: Wait) -> anyhow::Result<()> {
    let granted = client.change(Method::POST, "/uninstall", Vec::new()).await?;
    let is_reached = |view: &PlatformView| matches!(view.phase.as_str(), "uninstalled" | "none");
    let words = "nothing of the platform is left";
    follow(client, output, (granted, wait), Goal { words, is_reached: &is_reached }).await
}

/// Says what would be removed, and fails.
pub(super) async fn would_uninstall(client: &Client) -> anyhow::Result<()> {
    let view = client.view().await?;
    let Some(desired) = &view.desired else {
        return Err(Failure::Usage("there is no platform to uninstall".to_owned()).into());
    };
    let members = view.instances.iter().map(|member| match member.host.as_str() {
        "" => format!("  {} ({})", render::clean(&member.id), render::clean(&member.phase)),
        host => format!("  {} on {}, with its files there", render::clean(&member.id), render::clean(host)),
    });
    let mut lines = vec![format!("would remove the platform {}:", render::clean(&desired.name))];
    lines.extend(members);
    lines.push(format!("  the framework {} in Mesos", render::clean(&view.mesos.framework_id)));
    terminal::say(&lines.join("\n"))?;
    Err(Failure::Usage("nothing was removed; repeat it with --yes".to_owned()).into())
}

/// Reads a document, but not more than the scheduler takes.
fn document(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = DOCUMENT_BYTES_MAX + 1;
    let read = if file == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(file).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    let read = read.with_context(|| format!("cannot read {}", file.display()))?;
    if u64::try_from(read).is_ok_and(|read| read >= limit) {
        anyhow::bail!("{} is too large: a document has at most {DOCUMENT_BYTES_MAX} bytes", file.display());
    }
    Ok(bytes)
}

const DOCUMENT_BYTES_MAX: u64 = 256 * 1024;
