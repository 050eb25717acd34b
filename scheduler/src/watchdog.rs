//! Ends a process whose main thread hangs: another thread keeps its session with ZooKeeper alive, so that nobody else
//! could lead.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use tracing::error;

/// Watches until it is dropped.
#[derive(Debug)]
pub struct Watchdog {
    /// Dropped together with this, which ends the thread.
    _end: mpsc::Sender<()>,
    pulse: tokio::task::JoinHandle<()>,
}

/// How long nothing was heard.
#[derive(Debug, Default)]
struct Silence {
    heard: u64,
    ticks: u32,
}

impl Watchdog {
    /// Aborts the process once the thread that calls this has done nothing for about `bound`.
    ///
    /// Time counts in ticks of the watchdog's own, so that a process that was stopped isn't blamed when it goes on.
    ///
    /// # Errors
    /// There is no room for a thread.
    pub fn start(bound: Duration) -> io::Result<Self> {
        let tick = bound / TICKS;
        let pulse = Arc::new(AtomicU64::new(0));
        let beats = Arc::clone(&pulse);
        let (end, ended) = mpsc::channel::<()>();
        let watch = move || {
            let mut silence = Silence::default();
            while ended.recv_timeout(tick) == Err(RecvTimeoutError::Timeout) {
                if silence.tick(pulse.load(Ordering::Relaxed)) {
                    error!(?bound, "the main thread hangs; this process ends so that another can go on");
                    std::process::abort();
                }
            }
        };
        thread::Builder::new().name("watchdog".to_owned()).spawn(watch)?;
        let pulse = actix::spawn(async move {
            loop {
                beats.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(tick).await;
            }
        });
        Ok(Self { _end: end, pulse })
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.pulse.abort();
    }
}

impl Silence {
    /// Counts a tick; says whether there was nothing for too many.
    const fn tick(&mut self, pulse: u64) -> bool {
        if pulse == self.heard {
            self.ticks += 1;
        } else {
            (self.heard, self.ticks) = (pulse, 0);
        }
        self.ticks >= TICKS
    }
}

const TICKS: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_silence_without_a_break_is_too_long() {
        let mut silence = Silence::default();
        let mut tick = |pulse, times| (0..times).map(|_| silence.tick(pulse)).filter(|is_over| *is_over).count();
        assert_eq!(tick(1, TICKS), 0, "the first tick hears the first beat");
        assert_eq!(tick(2, TICKS), 0);
        assert_eq!(tick(2, 1), 1);
        assert_eq!(tick(3, TICKS), 0);
    }
}
