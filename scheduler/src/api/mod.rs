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

use std::fmt;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpServer, web};
use epic_common::time::Timestamp;
use epic_scheduler_core::request::{Answer, Request};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{mpsc, oneshot, watch};

use self::forward::Forwarder;
use crate::artifacts::Artifacts;
use crate::holders::Holders;
use crate::peers::Peer;
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
    /// What executors fetch.
    pub artifacts: Arc<Artifacts>,
    /// Who else holds it.
    pub holders: Holders,
    /// What time it is.
    pub clock: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    /// What shows the counts.
    pub counts: PrometheusHandle,
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

/// Adds every route; a path or method that isn't there is answered by a problem, like all refusals (RFC 9457).
fn configure(cfg: &mut web::ServiceConfig, api: web::Data<Api>, forwarder: web::Data<Forwarder>) {
    cfg.app_data(api).app_data(forwarder);
    operate::configure(cfg);
    leader::configure(cfg);
    artifact::configure(cfg);
    backup::configure(cfg);
    push::configure(cfg);
    platform::configure(cfg);
    token::configure(cfg);
    cfg.default_service(web::to(problem::no_such_path));
}

/// Serves the interface on `listener` with one worker until the returned server is stopped; signals are left alone.
///
/// Connections are bounded to 1,024, bodies to 256 KiB, artifacts to what a bundle may have, and a client that is slow with its request is cut off.
///
/// # Errors
///
/// The listener can't be used, or no client for the leader can be made.
pub fn serve(listener: TcpListener, api: Api) -> io::Result<Server> {
    let (api, forwarder) = (web::Data::new(api), web::Data::new(Forwarder::new()?));
    let server = HttpServer::new(move || {
        let (api, forwarder) = (api.clone(), forwarder.clone());
        let app = App::new().wrap(actix_web::middleware::from_fn(metering::count));
        app.configure(|cfg| configure(cfg, api, forwarder))
    });
    let server = server
        .workers(1)
        .disable_signals()
        .max_connections(1024)
        .keep_alive(Duration::from_secs(30))
        .client_request_timeout(Duration::from_secs(10))
        .client_disconnect_timeout(Duration::from_secs(2))
        .shutdown_timeout(5)
        .listen(listener)?;
    Ok(server.run())
}
