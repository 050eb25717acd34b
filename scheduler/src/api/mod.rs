//! The scheduler's HTTP interface: views for everybody, changes for whoever has the token.

mod artifact;
mod backup;
mod body;
pub mod desired;
mod forward;
mod leader;
mod metering;
mod operate;
mod platform;
mod problem;
mod push;
mod token;
mod unread;

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use epic_common::time::Timestamp;
use epic_scheduler_core::replica::Peer;
use epic_scheduler_core::request::{Answer, Request};
use rustls::ServerConfig;
use socket2::SockRef;
use tokio::sync::{mpsc, oneshot, watch};

use crate::artifacts::Artifacts;
use crate::files;
use crate::holders::Holders;
use crate::metrics::Counts;
use crate::reach::clients::PeerClients;
use crate::replica::Replica;
use crate::view::Published;

/// A request, and where its answer goes once it is durable or refused.
pub type Asked = (Request, oneshot::Sender<Answer>);

/// All that the interface knows and may do.
#[derive(Clone)]
pub struct Api {
    /// The last state that was published.
    pub published: watch::Receiver<Arc<Published>>,
    /// What this replica is to the others.
    pub replica: watch::Receiver<Replica>,
    /// Those that take part in the election; empty without `--zk`.
    pub peers: watch::Receiver<Arc<Vec<Peer>>>,
    /// Where requests go; who reads it decides.
    pub requests: mpsc::Sender<Asked>,
    /// The clients for other replicas.
    pub clients: PeerClients,
    /// What executors fetch.
    pub artifacts: Arc<Artifacts>,
    /// Who else holds it.
    pub holders: Holders,
    /// What time it is.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// What shows the counts.
    pub counts: Counts,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

impl Api {
    fn published(&self) -> Arc<Published> {
        Arc::clone(&self.published.borrow())
    }
}

/// What is served where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Routes {
    /// Everything, for people and other replicas.
    All,
    /// Artifacts and `/healthz`, for agents.
    Artifacts,
}

/// Adds the routes; a path or method that isn't there is answered by a problem, like all refusals (RFC 9457).
fn configure(cfg: &mut web::ServiceConfig, api: web::Data<Api>, routes: Routes) {
    cfg.app_data(api);
    artifact::configure(cfg);
    match routes {
        Routes::All => {
            operate::configure(cfg);
            leader::configure(cfg);
            backup::configure(cfg);
            push::configure(cfg);
            platform::configure(cfg);
            token::configure(cfg);
        }
        Routes::Artifacts => operate::configure_health(cfg),
    }
    cfg.default_service(web::to(problem::no_such_path));
}

/// Serves the interface on `listener`, over TLS if there is `tls`, with one worker until the returned server is stopped;
/// signals are left alone.
///
/// Connections are bounded to 1,024, or [fewer](files::connections) if this process may have few files; handshakes at a
/// time to 256, bodies to 256 KiB, artifacts to what a bundle may have. A client that is slow with its handshake or
/// request, or takes nothing of an answer for a minute, is cut off.
///
/// # Errors
///
/// The listener can't be used.
pub fn serve(listener: TcpListener, tls: Option<ServerConfig>, routes: Routes, api: Api) -> io::Result<Server> {
    let api = web::Data::new(api);
    // All that are accepted have it, too. Nothing above TCP sees a client that takes nothing.
    SockRef::from(&listener).set_tcp_user_timeout(Some(TAKES_WITHIN))?;
    let server = HttpServer::new(move || {
        let api = api.clone();
        let app = App::new().wrap(from_fn(metering::count)).wrap(from_fn(unread::cut));
        app.configure(|cfg| configure(cfg, api, routes))
    });
    let server = server
        .workers(1)
        .disable_signals()
        .max_connections(files::connections())
        .keep_alive(Duration::from_secs(30))
        .tls_handshake_timeout(Duration::from_secs(5))
        .client_request_timeout(Duration::from_secs(10))
        .client_disconnect_timeout(Duration::from_secs(2))
        .shutdown_timeout(5);
    let server = match tls {
        Some(tls) => server.listen_rustls_0_23(listener, tls)?,
        None => server.listen(listener)?,
    };
    Ok(server.run())
}

const TAKES_WITHIN: Duration = Duration::from_secs(60);
