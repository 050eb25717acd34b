//! A page for operators as what it tells them to type, and what they are to see then.
//!
//! Blocks of `sh` are typed as they are printed; what people do with any other block, and what else they do, is in
//! [`Notes`]. A block that is neither typed nor noted is an error, so that no block of a page goes untried unnoticed.

mod notes;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};

pub use notes::{Note, Notes, Place};

/// A page of Markdown.
#[derive(Debug)]
pub struct Page {
    /// Its path, for people.
    pub path: String,
    /// All that stands between fences, in order, but the `text` that shows what commands write.
    pub blocks: Vec<Block>,
}

/// What stands between two fences.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// The line of the page on which it begins.
    pub line: usize,
    /// The heading that it stands below, as it is printed.
    pub heading: String,
    /// Its language: `sh` for what is typed.
    pub kind: String,
    /// What stands in it, whole lines.
    pub text: String,
    /// Lines that are seen when it is typed, in this order, perhaps among others; `…` stands for anything.
    pub seen: Vec<String>,
}

/// What is typed at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The line of the page from which it follows.
    pub line: usize,
    /// The commands, for bash.
    pub commands: String,
    /// As in [`Block`].
    pub seen: Vec<String>,
}

impl Page {
    /// Reads a page; a block of `text` right behind one of `sh` is what that writes.
    ///
    /// # Errors
    /// It can't be read, a block has no language or doesn't end, or there is none.
    pub fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let blocks = blocks(&text).with_context(|| format!("cannot understand {}", path.display()))?;
        ensure!(!blocks.is_empty(), "{} has no commands", path.display());
        Ok(Self { path: path.display().to_string(), blocks })
    }

    /// Returns all that is typed to do what the page says, in order.
    ///
    /// # Errors
    /// A block is neither commands nor noted, or a note is about no block, or about several.
    pub fn steps(&self, notes: &Notes) -> Result<Vec<Step>> {
        let mut noted: Vec<Option<&Note>> = vec![None; self.blocks.len()];
        for note in &notes.blocks {
            let about: Vec<usize> =
                (0..self.blocks.len()).filter(|index| note.is_about(&self.blocks[*index])).collect();
            let [index] = about[..] else {
                bail!("{}: {} blocks are as a note says: {:?}; it must be one", self.path, about.len(), note.block);
            };
            let before = noted[index].replace(note);
            ensure!(before.is_none(), "{} line {}: two notes are about it", self.path, self.blocks[index].line);
        }
        let mut steps = Vec::new();
        for (block, note) in self.blocks.iter().zip(noted) {
            let of_block = match note {
                Some(note) => note.steps(block),
                None => (block.kind == "sh").then(|| vec![block.typed()]),
            };
            steps.extend(of_block.with_context(|| {
                let Block { line, kind, .. } = block;
                format!(
                    "{} line {line}: nobody types this block of {kind}; say in its notes what is done with it",
                    self.path
                )
            })?);
        }
        Ok(steps)
    }
}

impl Block {
    fn typed(&self) -> Step {
        Step { line: self.line, commands: self.text.clone(), seen: self.seen.clone() }
    }
}

impl Step {
    /// Returns the step as a script that begins with what steps before it have exported to the file `kept`.
    #[must_use]
    pub fn script(&self, kept: &str) -> String {
        format!("set -euo pipefail\n[ ! -e {kept} ] || . {kept}\n{}\nexport -p > {kept}\n", self.commands)
    }
}

fn blocks(text: &str) -> Result<Vec<Block>> {
    let (mut found, mut open): (Vec<Block>, Option<Block>) = (Vec::new(), None);
    let mut heading = String::new();
    // Whether only white space stands between the last commands and here.
    let mut follows = false;
    for (line, number) in text.lines().zip(1..) {
        let fence = line.trim_start().strip_prefix("```");
        open = match (open, fence) {
            (None, Some(kind)) => {
                ensure!(!kind.trim().is_empty(), "the block in line {number} has no language");
                let (heading, kind) = (heading.clone(), kind.trim().to_owned());
                Some(Block { line: number, heading, kind, ..Block::default() })
            }
            (None, None) => {
                follows &= line.trim().is_empty();
                if let Some(title) = line.strip_prefix('#') {
                    heading = title.trim_start_matches('#').trim().to_owned();
                }
                None
            }
            (Some(mut block), None) => {
                block.text += line;
                block.text.push('\n');
                Some(block)
            }
            (Some(block), Some(_)) => {
                match found.last_mut().filter(|_| follows && block.kind == "text") {
                    Some(last) => last.seen.extend(lines(&block.text)),
                    None => found.push(block),
                }
                follows = found.last().is_some_and(|last| last.kind == "sh" && last.seen.is_empty());
                None
            }
        };
    }
    ensure!(open.is_none(), "a block doesn't end");
    Ok(found)
}

fn lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned)
}

/// Finds the first line of `seen` that `output` doesn't have after those before it.
///
/// How many blanks stand between words doesn't matter, and `…` stands for any text within a line.
#[must_use]
pub fn unseen<'a>(seen: &'a [String], output: &str) -> Option<&'a str> {
    let mut lines = output.lines();
    seen.iter().find(|wanted| !lines.any(|line| is_like(wanted, line))).map(String::as_str)
}

/// Compares a line with what a page shows.
fn is_like(wanted: &str, line: &str) -> bool {
    let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (wanted, line) = (squeeze(wanted), squeeze(line));
    let mut parts = wanted.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# A\n\n```sh\na b\nc\n```\n\n```text\nfine …\n```\n\n## B\n```yaml\nno: command\n```\n```sh\nd\n```\nwords\n```text\nalone\n```\n";

    fn page() -> Page {
        Page { path: "page.md".to_owned(), blocks: blocks(PAGE).unwrap() }
    }

    fn block(line: usize, heading: &str, kind: &str, text: &str) -> Block {
        let [heading, kind, text] = [heading, kind, text].map(str::to_owned);
        Block { line, heading, kind, text, seen: Vec::new() }
    }

    #[test]
    fn blocks_are_found_with_what_follows_them_at_once() {
        let first = Block { seen: vec!["fine …".to_owned()], ..block(3, "A", "sh", "a b\nc\n") };
        let rest =
            [block(13, "B", "yaml", "no: command\n"), block(16, "B", "sh", "d\n"), block(20, "B", "text", "alone\n")];
        assert_eq!(page().blocks, [&[first][..], &rest].concat());
        assert!(blocks("```sh\na\n").is_err() && blocks("```\na\n```\n").is_err());
    }

    /// Compares what is typed, or why nothing is.
    fn check(notes: &str, expected: Result<&[&str], &str>) {
        let steps = page().steps(&Notes::parse(notes).unwrap());
        match (steps, expected) {
            (Ok(steps), Ok(expected)) => {
                assert_eq!(steps.iter().map(|step| step.commands.as_str()).collect::<Vec<_>>(), expected);
            }
            (Err(error), Err(expected)) => assert!(format!("{error:#}").contains(expected), "{error:#}"),
            (steps, expected) => panic!("{steps:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn a_block_that_is_neither_typed_nor_noted_is_an_error_and_so_is_a_note_about_none() {
        let alone = "- {block: alone, untyped: nobody types it}\n";
        let place = "place: centre\nblocks:\n";
        check(&format!("{place}{alone}"), Err("page.md line 13: nobody types this block of yaml"));
        check("place: centre\n", Err("page.md line 13"));
        let yaml = "- {block: 'no:', untyped: nobody types that}\n";
        check(&format!("{place}{alone}{yaml}"), Ok(&["a b\nc\n", "d\n"]));
        check(
            &format!("{place}{alone}{yaml}- {{block: gone, untyped: x}}\n"),
            Err("0 blocks are as a note says: \"gone\""),
        );
        check(&format!("{place}{alone}{yaml}{yaml}"), Err("line 13: two notes are about it"));
        check(&format!("{place}- {{block: '', under: B, untyped: x}}\n"), Err("3 blocks are as a note says"));
    }

    #[test]
    fn what_people_do_with_a_block_is_done_in_its_place() {
        let notes = "place: centre\nblocks:\n- {block: a b, then: look}\n- {block: alone, untyped: x}\n\
                     - {block: 'no: command', under: B, first: open, instead: 'write \"$BLOCK\"'}\n";
        let text = |commands: &str, block: &str| {
            format!("BLOCK=$(cat << 'END-OF-BLOCK'\n{block}END-OF-BLOCK\n)\n{commands}\n")
        };
        let (look, open) = (text("look", "a b\nc\n"), text("open", "no: command\n"));
        let write = text("write \"$BLOCK\"", "no: command\n");
        check(notes, Ok(&["a b\nc\n", &look, &open, &write, "d\n"]));
    }

    #[test]
    fn a_line_that_is_missing_or_too_early_is_named() {
        let seen = ["a … c", "b"].map(str::to_owned);
        assert_eq!(unseen(&seen, "x\na   1 2 c\nb\n"), None);
        assert_eq!(unseen(&seen, "b\na c\n"), Some("a … c"));
        assert_eq!(unseen(&seen, "b\na 7 c\n"), Some("b"));
        assert!(is_like("…", "anything") && is_like("a…", "ab") && is_like("…b", "ab") && !is_like("a", "ab"));
        assert!(is_like("a…b…c", "a1b2c") && !is_like("a…b…c", "a1c2b"));
    }
}
