//! What carries the calls of a lane: a bare connection, or for https the general client, one call at a time.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Duration;

use reqwest::{Client, Request, Url};

use super::body::{self, STREAM_ID};
use super::subscription::Subscription;
use super::wire::{self, Connection, Response};

/// Where calls go, and what each of them looks like.
#[derive(Debug)]
pub(super) struct Route {
    client: Client,
    url: Url,
    /// A call without its body; `None` if the subscription's name can't be a header's value.
    request: Option<Request>,
    /// The same as bytes, up to the length of the body.
    head: Vec<u8>,
}

/// Why a call has no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// No connection could be made, so nothing was sent.
    #[error("cannot connect to the master")]
    Connect(#[source] io::Error),
    /// The connection is of no use any more.
    #[error(transparent)]
    Wire(#[from] wire::Error),
    /// The general client says so.
    #[error("cannot call the master")]
    Client(#[source] reqwest::Error),
}

/// An open connection.
pub(super) enum Carrier {
    Bare(Connection),
    General(Option<Answering>),
}

type Answering = Pin<Box<dyn Future<Output = Result<Response, reqwest::Error>> + Send>>;

impl Route {
    pub(super) fn new(client: &Client, subscription: &Subscription) -> Self {
        let url = subscription.leader.clone();
        let request = body::post(client, &url, subscription.credentials.as_ref(), Vec::new());
        let request = request.header(STREAM_ID, &subscription.stream_id).build().ok();
        let head = request.as_ref().map(wire::head).unwrap_or_default();
        Self { client: client.clone(), url, request, head }
    }
}

impl Carrier {
    /// Connects, if that is not left to the general client.
    pub(super) async fn open(route: &Route, patience: Duration) -> Result<Self, Error> {
        if route.url.scheme() == "http" {
            let connection = Connection::open(&route.url, patience).await.map_err(Error::Connect)?;
            return Ok(Self::Bare(connection));
        }
        Ok(Self::General(None))
    }

    /// Sends calls; the general client takes the first.
    pub(super) async fn send(&mut self, route: &Route, calls: &[&[u8]]) -> Result<(), Error> {
        match self {
            Self::Bare(connection) => {
                let mut bytes = Vec::with_capacity(calls.iter().map(|call| call.len() + route.head.len() + 16).sum());
                for call in calls {
                    bytes.extend_from_slice(&route.head);
                    bytes.extend_from_slice(format!("{}\r\n\r\n", call.len()).as_bytes());
                    bytes.extend_from_slice(call);
                }
                Ok(connection.send(&bytes).await.map_err(wire::Error::Broken)?)
            }
            Self::General(answering) => {
                let request = route.request.as_ref().and_then(Request::try_clone);
                let (Some(mut request), Some(call)) = (request, calls.first()) else { return Ok(()) };
                *request.body_mut() = Some(call.to_vec().into());
                let client = route.client.clone();
                *answering = Some(Box::pin(async move {
                    let response = client.execute(request).await?;
                    let status = response.status().as_u16();
                    Ok(Response { status, body: response.bytes().await?.to_vec(), is_last: false })
                }));
                Ok(())
            }
        }
    }

    /// Waits for the next answer. Cancel-safe.
    pub(super) async fn answer(&mut self) -> Result<Response, Error> {
        match self {
            Self::Bare(connection) => Ok(connection.answer().await?),
            Self::General(Some(answering)) => {
                let answer = answering.as_mut().await.map_err(Error::Client);
                *self = Self::General(None);
                answer
            }
            Self::General(None) => std::future::pending().await,
        }
    }

    /// Waits until nothing more can come, while no answer is due.
    pub(super) async fn closed(&mut self) {
        match self {
            // An answer that nobody has asked for is no better.
            Self::Bare(connection) => drop(connection.answer().await),
            Self::General(_) => std::future::pending().await,
        }
    }
}
