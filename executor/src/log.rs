//! Log files of services: bounded, with one predecessor, and the last lines at hand.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The most that a log file may have; its predecessor may have as much.
pub const LOG_BYTES_MAX: u64 = 10 << 20;

/// The most that [`Tail::text`] has, in lines and in bytes.
pub const TAIL_LINES_MAX: usize = 20;
/// See [`TAIL_LINES_MAX`]; with what is said before it, it fits into a status message, which is cut at its end.
pub const TAIL_BYTES_MAX: usize = 3 * 1024;

/// The most that goes into a log in a second, once [`BURST_BYTES`] have; a service that writes more waits for its log.
pub const BYTES_PER_SECOND: u64 = 4 << 20;
/// See [`BYTES_PER_SECOND`]: as much as both files of a log have.
pub const BURST_BYTES: u64 = 2 * LOG_BYTES_MAX;

/// A log file that starts again when it is full.
///
/// What can't be written is counted and dropped, and a line says so where it is missing, once there is room again.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    bytes_max: u64,
    file: Option<File>,
    bytes: u64,
    lost: Option<Lost>,
}

#[derive(Debug)]
struct Lost {
    lines: usize,
    bytes: usize,
    reason: io::Error,
}

impl Log {
    /// Makes a log that goes on behind what is there; nothing is opened yet.
    #[must_use]
    pub const fn new(path: PathBuf, bytes_max: u64) -> Self {
        Self { path, bytes_max, file: None, bytes: 0, lost: None }
    }

    /// Appends bytes of any kind; a full log becomes `<name>.1` first, and the one before it is lost. Blocks.
    pub fn append(&mut self, bytes: &[u8]) {
        if let Some(Lost { lines, bytes, reason }) = &self.lost {
            let note = format!("\nepic-executor: {lines} lines ({bytes} bytes) are missing here: {reason}\n");
            if self.write(note.as_bytes()).is_ok() {
                self.lost = None;
            }
        }
        let written =
            if self.lost.is_some() { Err((0, None)) } else { self.write(bytes).map_err(|(n, e)| (n, Some(e))) };
        let Err((written, reason)) = written else { return };
        if let Some(reason) = reason {
            tracing::warn!(path = %self.path.display(), error = %reason, "output of a service is lost");
            self.lost = Some(Lost { lines: 0, bytes: 0, reason });
        }
        if let Some(lost) = &mut self.lost {
            lost.bytes += bytes.len() - written;
            lost.lines += bytes[written..].iter().filter(|byte| **byte == b'\n').count();
        }
    }

    /// Writes bytes, or tells how many of them it wrote and what came then.
    fn write(&mut self, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let mut done = 0;
        while done < bytes.len() {
            match self.write_some(&bytes[done..]) {
                Ok(0) => return Err((done, io::ErrorKind::WriteZero.into())),
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err((done, error)),
            }
        }
        Ok(())
    }

    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.file.is_some() && self.bytes >= self.bytes_max {
            fs::rename(&self.path, predecessor(&self.path))?;
            self.file = None;
        }
        let mut file = match self.file.take() {
            Some(file) => file,
            None => {
                let file = OpenOptions::new().create(true).append(true).mode(0o640).open(&self.path)?;
                self.bytes = file.metadata()?.len();
                file
            }
        };
        let room = usize::try_from(self.bytes_max.saturating_sub(self.bytes)).unwrap_or(usize::MAX);
        // A file that was full before it was opened is replaced in the next round.
        let written = file.write(&bytes[..bytes.len().min(room.max(1))]);
        self.file = Some(file);
        self.bytes += written.as_ref().map_or(0, |count| *count as u64);
        written
    }
}

/// Says how long to wait so that no more than a rate goes on, after a burst.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    per_second: u64,
    burst: Duration,
    /// When all that was spent would have been written at the rate.
    due: Duration,
}

impl Pace {
    /// Makes a pace of `per_second`, of which `burst` may come at once.
    #[must_use]
    pub const fn new(per_second: u64, burst: u64) -> Self {
        Self { per_second, burst: Duration::from_millis(burst * 1000 / per_second), due: Duration::ZERO }
    }

    /// Spends bytes at `now`, a time since whenever; returns how long to wait before the next.
    pub fn spend(&mut self, now: Duration, bytes: usize) -> Duration {
        let cost = Duration::from_micros(bytes as u64 * 1_000_000 / self.per_second);
        self.due = self.due.max(now) + cost;
        self.due.saturating_sub(now + self.burst)
    }
}

fn predecessor(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    name.into()
}

/// The last of what a program wrote.
#[derive(Clone, Debug, Default)]
pub struct Tail {
    bytes: VecDeque<u8>,
}

impl Tail {
    /// Takes more of what it wrote.
    pub fn push(&mut self, bytes: &[u8]) {
        let new = &bytes[bytes.len().saturating_sub(TAIL_BYTES_MAX)..];
        let over = (self.bytes.len() + new.len()).saturating_sub(TAIL_BYTES_MAX);
        self.bytes.drain(..over);
        self.bytes.extend(new);
    }

    /// Returns the last lines, with what isn't UTF-8 or is a control character replaced.
    #[must_use]
    pub fn text(&self) -> String {
        let bytes: Vec<u8> = self.bytes.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<_> = text.trim_end().lines().rev().take(TAIL_LINES_MAX).collect();
        let lines: Vec<_> = lines.into_iter().rev().collect();
        let text = lines.join("\n").replace(|c: char| c.is_control() && c != '\n' && c != '\t', "\u{fffd}");
        // A byte that isn't UTF-8 became three.
        let mut from = text.len().saturating_sub(TAIL_BYTES_MAX);
        while !text.is_char_boundary(from) {
            from += 1;
        }
        text[from..].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_log_keeps_at_most_two_files_of_its_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        Log::new(path.clone(), 10).append(b"0123456789abcdefghijABCDE");
        Log::new(path.clone(), 10).append(&[0xff, b'Z']);
        assert_eq!(fs::read(&path).unwrap(), b"ABCDE\xffZ");
        assert_eq!(fs::read(predecessor(&path)).unwrap(), b"abcdefghij");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
    }

    #[test]
    fn what_a_full_disk_loses_is_counted_and_writing_goes_on_once_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let mount = |program: &str, arguments: &[&str]| {
            let status = std::process::Command::new(program).args(arguments).arg(dir.path()).status();
            assert!(status.unwrap().success(), "this test needs root");
        };
        mount("mount", &["-t", "tmpfs", "-o", "size=64k", "none"]);
        fs::write(dir.path().join("filler"), vec![0; 56 << 10]).unwrap();
        let mut log = Log::new(dir.path().join("log"), LOG_BYTES_MAX);
        for line in 0..2000 {
            log.append(format!("line {line:04}\n").as_bytes());
        }
        fs::remove_file(dir.path().join("filler")).unwrap();
        log.append(b"the end\n");
        let text = fs::read_to_string(dir.path().join("log")).unwrap();
        drop(log);
        mount("umount", &[]);
        let (before, after) = text.split_once("\nepic-executor: ").unwrap();
        // The file had two pages; a line is of ten bytes.
        assert_eq!(before.len(), 8192);
        assert!(after.starts_with("1181 lines (11808 bytes) are missing here: No space left"), "{after}");
        assert!(after.ends_with(")\nthe end\n"), "{after}");
    }

    #[test]
    fn a_pace_lets_a_burst_through_and_then_its_rate() {
        let mut pace = Pace::new(1000, 2000);
        let second = Duration::from_secs(1);
        assert_eq!(pace.spend(second, 2000), Duration::ZERO);
        assert_eq!(pace.spend(second, 500), second / 2);
        assert_eq!(pace.spend(second * 2, 500), Duration::ZERO);
        assert_eq!(pace.spend(second * 100, 3000), second);
    }

    #[test]
    fn a_tail_has_the_last_lines_whatever_the_bytes() {
        let mut tail = Tail::default();
        for line in 0..1000 {
            tail.push(format!("line {line}\n").as_bytes());
        }
        assert_eq!(tail.text().lines().count(), TAIL_LINES_MAX);
        assert!(tail.text().ends_with("line 998\nline 999"));
        tail.push(&vec![0xff; TAIL_BYTES_MAX + 5]);
        assert!(tail.text().chars().all(|c| c == '\u{fffd}'));
        tail.push(b"\nan \x1b[31mend");
        assert!(tail.text().ends_with("\nan \u{fffd}[31mend"), "{}", tail.text());
        assert!((TAIL_BYTES_MAX - 2..=TAIL_BYTES_MAX).contains(&tail.text().len()), "{}", tail.text().len());
    }
}
