//! Hands a bundle to the scheduler.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;
use epic_common::api::ArtifactView;
use epic_common_io::bundle::{self, Bundle};
use epic_common_io::pieces::pieces;
use futures_util::TryStreamExt as _;
use reqwest::Body;

use super::size;
use crate::args::Output;
use crate::client::{Client, Connection};
use crate::render::clean;
use crate::terminal::{Progress, say};

#[derive(Debug, Args)]
pub(crate) struct Push {
    /// The bundle.
    file: PathBuf,
    #[command(flatten)]
    connection: Connection,
    /// How to show who holds it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(super) fn run(push: Push) -> anyhow::Result<()> {
    let Push { file, connection, output } = push;
    let client = Client::new(connection)?;
    let digest = bundle::verify(&file)?;
    let bytes = Bundle::open(&file)?.bytes();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let held = runtime.block_on(client.push(&digest, bytes, || body(&file, bytes)))?;
    say(&match output {
        Output::Text => format!("{}: pushed, {}\nsha256 {digest}\n{}", file.display(), size(bytes), sentence(&held)),
        Output::Json => serde_json::to_string_pretty(&held)?,
    })?;
    Ok(())
}

/// Reads the file while it is sent, and shows how far it is.
fn body(file: &Path, bytes: u64) -> anyhow::Result<Body> {
    let opened = std::fs::File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
    let (mut progress, mut sent) = (Progress::new(), 0);
    let pieces = pieces(opened.into(), bytes).inspect_ok(move |piece| {
        let quarter = |sent: u64| sent * 4 / bytes.max(1);
        let before = sent;
        sent += piece.len() as u64;
        let bar = format!("pushing {} of {}, {} %", size(sent), size(bytes), sent * 100 / bytes.max(1));
        let is_told = bytes >= TOLD_FROM && quarter(before) < quarter(sent);
        let told = if is_told { vec![bar.clone()] } else { Vec::new() };
        progress.show(&bar, &told);
    });
    Ok(Body::wrap_stream(pieces))
}

fn sentence(held: &ArtifactView) -> String {
    let ArtifactView { held, replicas, lacking, .. } = held;
    if *replicas == 1 {
        return "held by the scheduler".to_owned();
    }
    let mut lines = vec![format!("held by {held} of {replicas} replicas")];
    lines.extend(lacking.iter().map(|one| format!("  not by {}: {}", clean(&one.replica), clean(&one.why))));
    lines.join("\n")
}

/// What is sent within moments needs no lines in a log.
const TOLD_FROM: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use epic_common::api::LackingView;

    use super::*;

    #[test]
    fn who_holds_it_and_who_does_not_is_said() {
        let alone = ArtifactView { held: 1, replicas: 1, ..ArtifactView::default() };
        assert_eq!(sentence(&alone), "held by the scheduler");
        let lacking = vec![LackingView { replica: "http://c".to_owned(), why: "it is away".to_owned() }];
        let some = ArtifactView { held: 2, replicas: 3, lacking, ..ArtifactView::default() };
        assert_eq!(sentence(&some), "held by 2 of 3 replicas\n  not by http://c: it is away");
    }
}
