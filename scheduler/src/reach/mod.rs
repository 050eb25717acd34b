//! The listeners, with the certificate that is shown there, and the clients for other replicas.

mod certificate;
pub mod clients;
pub mod pair;
pub mod servers;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

pub use certificate::Certificate;

use self::clients::{Authorities, PeerClients};
use crate::config::reach::ReachOptions;
use crate::failure::{Code, Failure};

/// All that a scheduler is reached by, and reaches others with.
#[derive(Debug)]
pub struct Reach {
    /// The port for people and other replicas, bound.
    pub listener: TcpListener,
    /// What is shown there; `None` without TLS.
    pub certificate: Option<Certificate>,
    /// The port for agents, bound; `None` if they use the other one.
    pub agents: Option<TcpListener>,
    /// The clients for other replicas.
    pub clients: PeerClients,
    /// What the clients trust.
    pub authorities: Option<Authorities>,
}

impl Reach {
    /// Binds the ports and reads all files; nothing is served yet.
    ///
    /// # Errors
    ///
    /// The first port or file that can't be used.
    pub fn open(options: &ReachOptions) -> Result<Self, Failure> {
        let certificate = certificate(options)?;
        let (clients, authorities) = clients(options.tls_ca_file.as_deref())?;
        let (listener, agents) = listen(options)?;
        Ok(Self { listener, certificate, agents, clients, authorities })
    }
}

/// Reads the certificate, if there is to be one.
pub(crate) fn certificate(options: &ReachOptions) -> Result<Option<Certificate>, Failure> {
    let url = reqwest::Url::parse(&options.advertised()).ok();
    let host = url.and_then(|url| url.host_str().map(|host| host.trim_matches(['[', ']']).to_owned()));
    let open = |files| Certificate::open(files, host.unwrap_or_default());
    options.pair().map(open).transpose().map_err(|error| Failure::new(Code::Usage, &error))
}

/// Makes the clients for other replicas; nothing is connected to.
pub(crate) fn clients(ca_file: Option<&Path>) -> Result<(PeerClients, Option<Authorities>), Failure> {
    PeerClients::new(ca_file).map_err(|error| {
        let failure = Failure::new(Code::Usage, &error);
        match ca_file {
            Some(path) => failure.about(&format!("--tls-ca-file {}", path.display())),
            None => failure,
        }
    })
}

/// Binds both ports.
pub(crate) fn listen(options: &ReachOptions) -> Result<(TcpListener, Option<TcpListener>), Failure> {
    let listener = bind("--listen", options.listen)?;
    let agents = options.listen_agents.map(|agents| bind("--listen-agents", agents)).transpose()?;
    Ok((listener, agents))
}

fn bind(option: &str, address: SocketAddr) -> Result<TcpListener, Failure> {
    let failed = |error: io::Error| {
        let why = if error.kind() == io::ErrorKind::AddrInUse {
            "is another scheduler running there? "
        } else if error.kind() == io::ErrorKind::AddrNotAvailable {
            "this machine has no such address; "
        } else {
            ""
        };
        let next = format!("{why}choose another with {option} ADDRESS:PORT");
        Failure::text(Code::Io, format!("cannot listen on {address}: {error}; {next}"))
    };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

#[cfg(test)]
mod tests;
