//! An HTTP server whose answers are given byte by byte, on threads of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The request line and all headers, each line with its end.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

/// One thing that the server does about a request.
#[derive(Debug)]
pub enum Step {
    /// Sends these bytes.
    Bytes(Vec<u8>),
    /// Sends each piece as a chunk (RFC 9112, 7.1) as soon as it comes, and the last chunk when no more can come.
    Chunks(mpsc::Receiver<Chunk>),
    /// Waits until the gate is open.
    Wait(Arc<Gate>),
    /// Says nothing more, and takes what comes until the client closes.
    Hang,
    /// Sends the end of its side (a half-closed connection), and takes what comes until the client closes.
    HalfClose,
    /// Closes the connection.
    Cut,
}

/// What is sent in a stream.
#[derive(Debug)]
pub enum Chunk {
    /// These bytes; those that come together may be sent as one chunk.
    Bytes(Vec<u8>),
    /// The stream is cut here, without its last chunk.
    Cut,
}

/// Something that is waited for, until it is opened for good.
#[derive(Debug, Default)]
pub struct Gate {
    is_open: Mutex<bool>,
    changed: Condvar,
}

/// A running server; dropping it closes its listener and all connections.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

/// Says what to do about a request.
type Answer = dyn Fn(&Request) -> Vec<Step> + Send + Sync;

struct Shared {
    answer: Box<Answer>,
    is_over: AtomicBool,
    connections: Mutex<BTreeMap<u64, TcpStream>>,
}

impl Request {
    /// Returns the path that is asked for.
    #[must_use]
    pub fn path(&self) -> &str {
        self.head.split(' ').nth(1).unwrap_or_default()
    }

    /// Returns the value of a header, whose name may be written in any case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let named = |line: &str| line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
        let mut lines = self.head.lines().skip(1).filter(|line| named(line));
        lines.find_map(|line| Some(line.get(name.len()..)?.strip_prefix(':')?.trim()))
    }

    /// Reads the next one; `None` when there is none.
    fn read(from: &mut BufReader<TcpStream>) -> io::Result<Option<Self>> {
        let mut request = Self::default();
        loop {
            let before = request.head.len();
            if from.read_line(&mut request.head)? == 0 {
                return Ok(None);
            }
            if matches!(request.head.get(before..), Some("\r\n")) {
                break;
            }
        }
        let length = request.header("Content-Length").and_then(|length| length.parse().ok()).unwrap_or(0);
        request.body.resize(length, 0);
        from.read_exact(&mut request.body)?;
        Ok(Some(request))
    }
}

impl Gate {
    /// Lets everybody through, now and later.
    pub fn open(&self) {
        *self.is_open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let is_open = self.is_open.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = self.changed.wait_while(is_open, |is_open| !*is_open);
        drop(passed);
    }
}

impl Server {
    /// Listens, and does about each request what `answer` says.
    ///
    /// Requests of one connection are taken in their order, each after the steps for the one before.
    ///
    /// # Errors
    /// The address can't be bound.
    pub fn start(
        address: SocketAddr,
        answer: impl Fn(&Request) -> Vec<Step> + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            answer: Box::new(answer),
            is_over: AtomicBool::new(false),
            connections: Mutex::new(BTreeMap::new()),
        });
        let accepting = Arc::clone(&shared);
        let acceptor = thread::Builder::new().name("master".to_owned()).spawn(move || accepting.accept(&listener))?;
        Ok(Self { address, shared, acceptor: Some(acceptor) })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        // A connection wakes the thread that accepts; it sees then that all is over, and closes the listener.
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            acceptor.join().ok();
        }
        for connection in self.shared.connections().values() {
            connection.shutdown(Shutdown::Both).ok();
        }
    }
}

impl Shared {
    fn connections(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, TcpStream>> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accept(self: Arc<Self>, listener: &TcpListener) {
        for number in 0.. {
            let Ok((connection, _)) = listener.accept() else { return };
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            let Ok(kept) = connection.try_clone() else { return };
            self.connections().insert(number, kept);
            let shared = Arc::clone(&self);
            let serve = move || {
                // What breaks is the client's to notice.
                shared.serve(&connection).ok();
                connection.shutdown(Shutdown::Both).ok();
                shared.connections().remove(&number);
            };
            if thread::Builder::new().name(format!("master-{number}")).spawn(serve).is_err() {
                return;
            }
        }
    }

    fn serve(&self, connection: &TcpStream) -> io::Result<()> {
        connection.set_nodelay(true)?;
        let mut requests = BufReader::with_capacity(64 << 10, connection.try_clone()?);
        let mut out = Vec::new();
        while let Some(request) = Request::read(&mut requests)? {
            for step in (self.answer)(&request) {
                // Pieces are sent one by one; only whole answers to requests that came together are sent together.
                flush(connection, &mut out)?;
                match step {
                    Step::Bytes(bytes) => out = bytes,
                    Step::Chunks(chunks) => return stream(connection, &chunks),
                    Step::Wait(gate) => gate.pass(),
                    Step::Hang => return io::copy(&mut requests, &mut io::sink()).map(drop),
                    Step::HalfClose => {
                        connection.shutdown(Shutdown::Write)?;
                        return io::copy(&mut requests, &mut io::sink()).map(drop);
                    }
                    Step::Cut => return Ok(()),
                }
            }
            if requests.buffer().is_empty() {
                flush(connection, &mut out)?;
            }
        }
        Ok(())
    }
}

fn flush(mut connection: &TcpStream, out: &mut Vec<u8>) -> io::Result<()> {
    if !out.is_empty() {
        connection.write_all(out)?;
        out.clear();
    }
    Ok(())
}

/// Sends what comes, as much at once as has come.
fn stream(mut connection: &TcpStream, chunks: &mpsc::Receiver<Chunk>) -> io::Result<()> {
    let (mut bytes, mut out) = (Vec::new(), Vec::new());
    while let Ok(first) = chunks.recv() {
        let mut is_cut = false;
        for chunk in std::iter::once(first).chain(chunks.try_iter()) {
            match chunk {
                Chunk::Bytes(more) => bytes.extend_from_slice(&more),
                Chunk::Cut => {
                    is_cut = true;
                    break;
                }
            }
        }
        if !bytes.is_empty() {
            write!(out, "{:x}\r\n", bytes.len())?;
            out.append(&mut bytes);
            out.extend_from_slice(b"\r\n");
            connection.write_all(&out)?;
            out.clear();
        }
        if is_cut {
            return Ok(());
        }
    }
    connection.write_all(b"0\r\n\r\n")
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}
