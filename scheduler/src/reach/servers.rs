//! What serves at the listeners, and keeps their certificate new.

use std::io;

use actix_web::dev::ServerHandle;

use super::Reach;
use crate::api::{self, Api, Routes};
use crate::failure::{Code, Failure};

/// The servers that run.
#[derive(Debug)]
pub struct Servers(Vec<ServerHandle>);

impl Servers {
    /// Serves everything at the one port, and artifacts at the one for agents, if there is one.
    ///
    /// # Errors
    ///
    /// A listener can't be used.
    pub fn start(reach: Reach, api: Api) -> Result<Self, Failure> {
        let unusable = |error: io::Error| Failure::new(Code::Io, &error);
        let tls = reach.certificate.as_ref().map(super::Certificate::server).transpose();
        let tls = tls.map_err(|error| Failure::new(Code::Io, &error))?;
        let mut servers = Vec::new();
        if let Some(listener) = reach.agents {
            servers.push(api::serve(listener, None, Routes::Artifacts, api.clone()).map_err(unusable)?);
        }
        servers.push(api::serve(reach.listener, tls, Routes::All, api).map_err(unusable)?);
        if let Some(certificate) = reach.certificate {
            actix::spawn(certificate.keep());
        }
        if let Some(authorities) = reach.authorities {
            actix::spawn(authorities.keep());
        }
        let handles = servers.iter().map(actix_web::dev::Server::handle).collect();
        for server in servers {
            actix::spawn(server);
        }
        Ok(Self(handles))
    }

    /// Accepts nothing more, and returns once open connections have ended or taken too long.
    pub async fn stop(&self) {
        futures_util::future::join_all(self.0.iter().map(|server| server.stop(true))).await;
    }
}
