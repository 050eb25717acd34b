//! What `systemctl` asks of the data centre, and its answers.

use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context as _, Result};
use nix::sys::stat::Mode;
use tokio::sync::mpsc;

/// What is to be done with a unit of a host.
#[derive(Debug)]
pub(crate) struct Order {
    /// The host.
    pub(crate) host: String,
    /// `start`, `stop`, `restart` or `is-active`.
    pub(crate) verb: String,
    /// The unit, without `.service`.
    pub(crate) unit: String,
    reply: PathBuf,
}

/// Takes orders that are written as lines to the pipe `path`, which is made.
///
/// # Errors
/// It can't be made.
pub(crate) fn take(path: &Path) -> Result<mpsc::Receiver<Order>> {
    nix::unistd::mkfifo(path, Mode::S_IRWXU).context("cannot make a pipe")?;
    // Opened for writing, too: it has no end while nobody writes.
    let pipe = OpenOptions::new().read(true).write(true).open(path)?;
    let (sender, orders) = mpsc::channel(1);
    let read = move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let words: Vec<&str> = line.split(' ').collect();
            let [host, verb, unit, reply] = words.as_slice() else { continue };
            let [host, verb, unit] = [host, verb, unit].map(|word| (*word).to_owned());
            if sender.blocking_send(Order { host, verb, unit, reply: PathBuf::from(reply) }).is_err() {
                return;
            }
        }
    };
    thread::Builder::new().name("orders".to_owned()).spawn(read)?;
    Ok(orders)
}

impl Order {
    /// Lets whoever gave the order go on, with an exit code and a text to show.
    ///
    /// # Errors
    /// It is gone.
    pub(crate) fn answer(self, code: i32, text: &str) -> Result<()> {
        fs::write(&self.reply, format!("{code}\n{text}\n")).context("whoever asked is gone")
    }
}
