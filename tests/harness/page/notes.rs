//! What people do beside typing: a file of `tests/pages/notes/` for each page.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::{Block, Step};
use crate::epic::repository;

/// What is to be known of a page beside its text.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notes {
    /// Where it is typed.
    pub place: Place,
    /// Of some of its blocks, in any order.
    #[serde(default)]
    pub blocks: Vec<Note>,
}

/// Where a page is typed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// In the data centre of `epic-pages`.
    Centre,
    /// On machines with a real systemd.
    Machines,
    /// At a Docker engine.
    Engine,
    /// Outside of a real Kubernetes, by `make test-helm`.
    Cluster,
    /// Nowhere, for this reason.
    Nowhere(String),
}

/// What is done with one block, or around it; each of the commands finds its text as `$BLOCK`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// How a line of the block begins.
    pub block: String,
    /// The heading that the block stands below, where that is needed to tell it from others.
    pub under: Option<String>,
    /// Commands that the page tells in words, or takes for granted, before the block.
    pub first: Option<String>,
    /// Commands in place of the block, which isn't typed itself: they do with it what the page says.
    pub instead: Option<String>,
    /// Why nothing is done with the block.
    pub untyped: Option<String>,
    /// Commands after the block: they check what the page promises, or go on to where the next block begins.
    pub then: Option<String>,
}

impl Notes {
    /// Reads the notes on the page of this path, by the name of its file; a page without them is typed in the centre.
    ///
    /// # Errors
    /// They can't be read or understood.
    pub fn of(page: &Path) -> Result<Self> {
        let name = page.file_stem().context("a page is a file")?.to_string_lossy().into_owned();
        let path = repository("tests/pages/notes").join(format!("{name}.yaml"));
        if !path.exists() {
            return Ok(Self { place: Place::Centre, blocks: Vec::new() });
        }
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| format!("cannot understand {}", path.display()))
    }

    /// Understands notes.
    ///
    /// # Errors
    /// They are no YAML, have an unknown key, or say nothing of a block, or two things at once.
    pub fn parse(text: &str) -> Result<Self> {
        let notes: Self = serde_saphyr::from_str(text)?;
        for Note { block, first, instead, untyped, then, .. } in &notes.blocks {
            let done = [first, instead, untyped, then].map(Option::is_some);
            ensure!(done.contains(&true), "nothing is said of {block:?}");
            ensure!(untyped.is_none() || instead.is_none(), "{block:?} is untyped, and replaced");
        }
        Ok(notes)
    }
}

impl Note {
    /// Tells whether the note is about this block.
    pub(super) fn is_about(&self, block: &Block) -> bool {
        let is_there = self.under.as_ref().is_none_or(|heading| *heading == block.heading);
        is_there && block.text.lines().any(|line| line.trim_start().starts_with(&self.block))
    }

    /// Returns all that is typed for the block; nothing of it if nobody types it nor does something in its place.
    pub(super) fn steps(&self, block: &Block) -> Option<Vec<Step>> {
        let step = |commands: &String| {
            let commands = format!("BLOCK=$(cat << 'END-OF-BLOCK'\n{}END-OF-BLOCK\n)\n{commands}\n", block.text);
            Step { line: block.line, commands, seen: Vec::new() }
        };
        let own = match (&self.instead, &self.untyped) {
            (Some(commands), _) => Some(Step { seen: block.seen.clone(), ..step(commands) }),
            (None, Some(_)) => None,
            (None, None) if block.kind == "sh" => Some(block.typed()),
            (None, None) => return None,
        };
        Some(self.first.as_ref().map(step).into_iter().chain(own).chain(self.then.as_ref().map(step)).collect())
    }
}
