//! How many files this process may have open, and how many of them clients may take.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::warn;

/// Raises the limit of this process as far as it may by itself, up to 65,536.
///
/// Many systems begin with 1,024, which no program that waits with `select` can exceed; this one has none of that.
pub fn raise() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let wanted = hard.min(WANTED);
        if soft < wanted { setrlimit(Resource::RLIMIT_NOFILE, wanted, hard) } else { Ok(()) }
    });
    if let Err(error) = raised {
        warn!(%error, "the limit of open files stays as it is");
    }
}

/// Returns how many connections one port may have at a time: at most 1,024.
///
/// Each may take a file beside itself, and there are two ports, so that half of all files are left for the journal,
/// ZooKeeper and Mesos, whoever else comes.
#[must_use]
pub fn connections() -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(USUAL, |(soft, _)| soft);
    of(limit)
}

fn of(limit: u64) -> usize {
    usize::try_from(limit / 8).unwrap_or(MOST).clamp(LEAST, MOST)
}

const WANTED: u64 = 65_536;
/// What most systems begin with.
const USUAL: u64 = 1024;
const MOST: usize = 1024;
const LEAST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_never_take_more_than_half_of_all_files() {
        for (limit, expected) in [(0, 16), (256, 32), (1024, 128), (4096, 512), (8192, 1024), (u64::MAX, 1024)] {
            assert_eq!(of(limit), expected, "{limit}");
        }
    }

    #[test]
    fn a_limit_that_may_be_raised_is_and_no_limit_is_lowered() {
        let (before, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        raise();
        let (after, same) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
        assert_eq!((after, same), (before.max(hard.min(WANTED)), hard));
    }
}
