//! A page as what it tells people to type, and what they are to see then.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

/// A page of Markdown.
#[derive(Debug)]
pub(crate) struct Page {
    /// Its path, for people.
    pub(crate) path: String,
    /// Its blocks of commands, in order.
    pub(crate) blocks: Vec<Block>,
}

/// What is typed together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Block {
    /// The line of the page on which it begins.
    pub(crate) line: usize,
    /// The commands, for bash.
    pub(crate) commands: String,
    /// Lines that are seen then, in this order, perhaps among others; `…` stands for anything.
    pub(crate) seen: Vec<String>,
}

impl Page {
    /// Reads a page; blocks of `sh` are commands, and a block of `text` right behind one is what they write.
    ///
    /// # Errors
    /// It can't be read, a block doesn't end, or there is nothing to type.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let blocks = blocks(&text).with_context(|| format!("cannot understand {}", path.display()))?;
        ensure!(!blocks.is_empty(), "{} has no commands", path.display());
        Ok(Self { path: path.display().to_string(), blocks })
    }
}

fn blocks(text: &str) -> Result<Vec<Block>> {
    let (mut found, mut open): (Vec<Block>, Option<(&str, Block)>) = (Vec::new(), None);
    // Whether only white space stands between the last commands and here.
    let mut follows = false;
    for (line, number) in text.lines().zip(1..) {
        let fence = line.trim_start().strip_prefix("```");
        open = match (open, fence) {
            (None, Some(kind)) => Some((kind, Block { line: number, ..Block::default() })),
            (None, None) => {
                follows &= line.trim().is_empty();
                None
            }
            (Some((kind, mut block)), None) => {
                block.commands += line;
                block.commands.push('\n');
                Some((kind, block))
            }
            (Some(("sh", block)), Some(_)) => {
                found.push(block);
                follows = true;
                None
            }
            (Some(("text", block)), Some(_)) => {
                if let Some(last) = found.last_mut().filter(|_| follows) {
                    last.seen.extend(block.commands.lines().filter(|line| !line.trim().is_empty()).map(str::to_owned));
                }
                follows = false;
                None
            }
            (Some(_), Some(_)) => None,
        };
    }
    ensure!(open.is_none(), "a block doesn't end");
    Ok(found)
}

/// Finds the first line of `seen` that `output` doesn't have after those before it.
pub(crate) fn unseen<'a>(seen: &'a [String], output: &str) -> Option<&'a str> {
    let mut lines = output.lines();
    seen.iter().find(|wanted| !lines.any(|line| is_like(wanted, line))).map(String::as_str)
}

/// Compares a line with what a page shows; how many blanks stand between words doesn't matter.
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

    #[test]
    fn commands_are_found_with_what_follows_them_at_once() {
        let text = "# A\n\n```sh\na b\nc\n```\n\n```text\nfine …\n```\n\n```yaml\nno: command\n```\n```sh\nd\n```\nwords\n```text\nof something else\n```\n";
        let expected = [
            Block { line: 3, commands: "a b\nc\n".to_owned(), seen: vec!["fine …".to_owned()] },
            Block { line: 15, commands: "d\n".to_owned(), seen: Vec::new() },
        ];
        assert_eq!(blocks(text).unwrap(), expected);
        assert!(blocks("```sh\na\n").is_err());
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
