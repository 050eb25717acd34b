//! Log files of services: bounded, with one predecessor, and the last lines at hand.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// The most that a log file may have; its predecessor may have as much.
pub const LOG_BYTES_MAX: u64 = 10 << 20;

/// The most that [`Tail::text`] has, in lines and in bytes.
pub const TAIL_LINES_MAX: usize = 20;
/// See [`TAIL_LINES_MAX`]; with what is said before it, it fits into a status message, which is cut at its end.
pub const TAIL_BYTES_MAX: usize = 3 * 1024;

/// A log file that starts anew when it is full.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    bytes_max: u64,
    file: File,
    bytes: u64,
}

impl Log {
    /// Opens a log, going on behind what is there.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn open(path: PathBuf, bytes_max: u64) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).mode(0o640).open(&path)?;
        let bytes = file.metadata()?.len();
        Ok(Self { path, bytes_max, file, bytes })
    }

    /// Appends bytes of any kind; a full log becomes `<name>.1` first, and the one before it is lost.
    ///
    /// # Errors
    ///
    /// What the system says; some of the bytes may be lost.
    pub fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = usize::try_from(self.bytes_max.saturating_sub(self.bytes)).unwrap_or(usize::MAX);
            if room == 0 {
                fs::rename(&self.path, predecessor(&self.path))?;
                *self = Self::open(self.path.clone(), self.bytes_max)?;
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(room));
            self.file.write_all(now)?;
            self.bytes += now.len() as u64;
            bytes = later;
        }
        Ok(())
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
        let mut log = Log::open(path.clone(), 10).unwrap();
        log.append(b"0123456789abcdefghijABCDE").unwrap();
        drop(log);
        Log::open(path.clone(), 10).unwrap().append(&[0xff, b'Z']).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"ABCDE\xffZ");
        assert_eq!(fs::read(predecessor(&path)).unwrap(), b"abcdefghij");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
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
