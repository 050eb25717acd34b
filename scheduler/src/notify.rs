//! Tells systemd, if that has started this process, when it serves, what it does, that it lives, and that it ends.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tracing::warn;

use crate::chain;
use crate::replica::Replica;

/// What keeps telling whoever started this process, until it is dropped.
///
/// Source: `sd_notify(3)`: datagrams of `NAME=value` lines to the socket that `NOTIFY_SOCKET` names.
#[derive(Debug)]
pub struct Supervisor {
    line: Arc<Line>,
    pulse: JoinHandle<()>,
}

/// Where datagrams go.
#[derive(Debug)]
struct Line {
    socket: UnixDatagram,
    /// Looked up for each one: whoever listens may have begun anew, and would hear nothing more of a connection.
    to: SocketAddr,
}

/// What a supervisor asks for by the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Asked {
    socket: OsString,
    /// How long it waits for a sign of life before it ends this process; `None`: for ever.
    silence_max: Option<Duration>,
}

impl Supervisor {
    /// Says that this process serves, and from then on what the replica does and that the main thread lives.
    ///
    /// `None` if nobody asked to be told, or can't be: a scheduler runs as well without.
    #[must_use]
    pub fn ready(replica: watch::Receiver<Replica>) -> Option<Self> {
        let asked = asked(|name| env::var_os(name), process::id())?;
        match Self::tell(&asked, replica) {
            Ok(told) => Some(told),
            Err(error) => {
                warn!(
                    error = chain(&error),
                    "who started this process can't be told that it serves: check NOTIFY_SOCKET"
                );
                None
            }
        }
    }

    /// Says that this process ends, so that its end isn't taken for a crash.
    pub fn stopping(&self) {
        self.pulse.abort();
        // It ends anyhow.
        self.line.send("STOPPING=1\nSTATUS=ending; services go on").ok();
    }

    fn tell(asked: &Asked, replica: watch::Receiver<Replica>) -> io::Result<Self> {
        let line = Arc::new(Line { socket: UnixDatagram::unbound()?, to: address(&asked.socket)? });
        // Who doesn't listen must never hold up the main thread.
        line.socket.set_nonblocking(true)?;
        line.send("READY=1")?;
        let pulse = actix::spawn(live(Arc::clone(&line), asked.silence_max, replica));
        Ok(Self { line, pulse })
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.pulse.abort();
    }
}

/// Sends each new sentence, and a sign of life twice as often as is asked.
async fn live(line: Arc<Line>, silence_max: Option<Duration>, mut replica: watch::Receiver<Replica>) {
    let mut said = String::new();
    loop {
        let sentence = replica.borrow_and_update().sentence();
        if sentence != said {
            // A datagram that finds no room is like one that nobody reads; the next one says as much.
            line.send(&format!("STATUS={}", sentence.replace('\n', " "))).ok();
            said = sentence;
        }
        if silence_max.is_some() {
            line.send("WATCHDOG=1").ok();
        }
        let wait = silence_max.map_or(QUIET, |most| most / 2);
        // Each batch that a standby follows changes something, and is nobody's concern here.
        let news = async { replica.wait_for(|replica| replica.sentence() != said).await.map(drop) };
        if let Ok(Err(_)) = tokio::time::timeout(wait, news).await {
            // Without ZooKeeper nothing ever changes what it is to others; it is alive nevertheless.
            tokio::time::sleep(wait).await;
        }
    }
}

impl Line {
    fn send(&self, text: &str) -> io::Result<()> {
        self.socket.send_to_addr(text.as_bytes(), &self.to).map(|_sent| ())
    }
}

/// Reads a socket's name; one that begins with `@` is in Linux' abstract namespace.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    }
}

/// Reads the environment; a time that is meant for another process, or can't be read, asks for nothing.
fn asked(variable: impl Fn(&str) -> Option<OsString>, own: u32) -> Option<Asked> {
    let number = |name: &str| variable(name)?.to_str()?.parse::<u64>().ok();
    let socket = variable("NOTIFY_SOCKET").filter(|socket| !socket.is_empty())?;
    let is_ours = variable("WATCHDOG_PID").is_none() || number("WATCHDOG_PID") == Some(own.into());
    let silence_max = number("WATCHDOG_USEC").filter(|micros| is_ours && *micros > 0).map(Duration::from_micros);
    Some(Asked { socket, silence_max })
}

/// Only to look again; nothing is said by it.
const QUIET: Duration = Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(variables: &[(&str, &str)]) -> Option<Asked> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        asked(find, 7)
    }

    #[test]
    fn who_did_not_ask_is_not_told() {
        assert_eq!(environment(&[]), None);
        assert_eq!(environment(&[("NOTIFY_SOCKET", ""), ("WATCHDOG_USEC", "1000000")]), None);
        let silence_max = |variables: &[(&str, &str)]| {
            environment(&[&[("NOTIFY_SOCKET", "/s")], variables].concat()).unwrap().silence_max
        };
        assert_eq!(silence_max(&[]), None);
        assert_eq!(silence_max(&[("WATCHDOG_USEC", "2000000")]), Some(Duration::from_secs(2)));
        assert_eq!(silence_max(&[("WATCHDOG_USEC", "2000000"), ("WATCHDOG_PID", "7")]), Some(Duration::from_secs(2)));
        assert_eq!(silence_max(&[("WATCHDOG_USEC", "2000000"), ("WATCHDOG_PID", "8")]), None);
        for odd in ["", "0", "-1", "soon", "18446744073709551616"] {
            assert_eq!(silence_max(&[("WATCHDOG_USEC", odd)]), None, "{odd}");
        }
    }

    /// Reads what is said; a busy machine may hear more signs of life than it expects.
    async fn hear(socket: &tokio::net::UnixDatagram, expected: &[&str]) {
        let mut buffer = [0; 512];
        for expected in expected {
            loop {
                let heard = tokio::time::timeout(Duration::from_secs(20), socket.recv(&mut buffer));
                let bytes = heard.await.expect("something is said in time").unwrap();
                let said = String::from_utf8_lossy(&buffer[..bytes]);
                if said == "WATCHDOG=1" && said != *expected {
                    continue;
                }
                assert_eq!(said, *expected);
                break;
            }
        }
    }

    #[actix::test]
    async fn all_that_happens_is_told_at_either_kind_of_socket() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let hidden = format!("@epic-notify-{}-{}", process::id(), dir.path().display());
        for name in [path.as_os_str(), hidden.as_ref()] {
            let heard = UnixDatagram::bind_addr(&address(name).unwrap()).unwrap();
            heard.set_nonblocking(true).unwrap();
            let heard = tokio::net::UnixDatagram::from_std(heard).unwrap();
            let (show, shown) = watch::channel(Replica::alone("http://a"));
            let asked = Asked { socket: name.to_owned(), silence_max: Some(Duration::from_millis(200)) };
            let supervisor = Supervisor::tell(&asked, shown).unwrap();
            let lives = "WATCHDOG=1";
            hear(&heard, &["READY=1", "STATUS=this scheduler is alone", lives, lives, lives]).await;
            show.send_modify(|replica| replica.problem = "odd".to_owned());
            hear(&heard, &["STATUS=this scheduler is alone: odd", lives]).await;
            show.send_modify(|replica| replica.index = 1);
            hear(&heard, &[lives]).await;
            let (mut signs, began) = (0, std::time::Instant::now());
            for index in 2..300 {
                show.send_modify(|replica| replica.index = index);
                tokio::task::yield_now().await;
                signs += i32::from(heard.try_recv(&mut [0; 512]).is_ok());
            }
            let due = i32::try_from(began.elapsed().as_millis() / 100).unwrap() + 2;
            assert!(signs <= due, "{signs} signs of life of {due} that were due, one for each batch");
            drop(show);
            hear(&heard, &[lives, lives, lives]).await;
            supervisor.stopping();
            hear(&heard, &["STOPPING=1\nSTATUS=ending; services go on"]).await;
        }
    }

    #[actix::test]
    async fn whoever_begins_to_listen_anew_hears_what_comes_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let bind = || {
            let heard = UnixDatagram::bind(&path).unwrap();
            heard.set_nonblocking(true).unwrap();
            tokio::net::UnixDatagram::from_std(heard).unwrap()
        };
        let heard = bind();
        let (_show, shown) = watch::channel(Replica::alone("http://a"));
        let asked = Asked { socket: path.as_os_str().to_owned(), silence_max: Some(Duration::from_millis(100)) };
        let _supervisor = Supervisor::tell(&asked, shown).unwrap();
        hear(&heard, &["READY=1"]).await;
        drop(heard);
        std::fs::remove_file(&path).unwrap();
        hear(&bind(), &["WATCHDOG=1"]).await;
    }

    #[actix::test]
    async fn nobody_at_the_socket_is_an_error_that_ends_nothing() {
        let (_show, shown) = watch::channel(Replica::default());
        let asked = Asked { socket: "/nonexistent/notify".into(), silence_max: None };
        assert!(Supervisor::tell(&asked, shown).is_err());
    }
}
