//! Finding the leading master and subscribing to it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use epic_common_io::http::{self, ClientOptions, Clients};
use epic_proto::mesos::v1::scheduler::Call;
use prost::Message as _;
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Response, StatusCode, Url};
use tokio::time::timeout;
use tracing::warn;

use super::body::{self, PROTOBUF, STREAM_ID};
use super::credentials::Credentials;
use super::detector::{self, Detector, LeaderInfo, ZooKeeper};
use super::lanes::Lanes;
use super::masters::{API_PATH, Address, Masters};
use super::pace::{PATIENCE_MAX, Pace};
use super::redirect::{self, REDIRECTS_MAX, is_told};
use super::subscription::{Ended, Subscription};

/// A client of the leading master, whichever that is.
#[derive(Debug)]
pub struct Client {
    masters: Masters,
    credentials: Option<Mutex<Credentials>>,
    clients: Clients,
    pace: Arc<Pace>,
}

/// Says what to do about a failed try to subscribe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The same can succeed later: no master is there yet, or none leads.
    Retriable,
    /// The same fails for as long as nobody changes something, here or at the master.
    Definite,
}

/// Why there is no subscription.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// By the time that a master could be asked, nobody was to ask any more.
    #[error("the subscription was not asked for in time")]
    TooLate,
    /// No connection, or it broke before there was an answer.
    #[error("cannot reach master {url}{}", distrust(source))]
    Unreachable {
        /// The master.
        url: Url,
        /// What happened.
        source: reqwest::Error,
    },
    /// No answer in time.
    #[error("master {url} does not answer within {after:?}")]
    Slow {
        /// The master.
        url: Url,
        /// How long we waited.
        after: Duration,
    },
    /// The master isn't ready: 404 before its routes are there, 5xx while it recovers.
    #[error("master {url} is not ready: {status} {text}")]
    NotReady {
        /// The master.
        url: Url,
        /// The HTTP status.
        status: u16,
        /// The first 500 bytes of what it says.
        text: String,
    },
    /// The master refuses by an HTTP status.
    #[error("master {url} refuses the subscription: {status} {text}{}", advice(*status))]
    Refused {
        /// The master.
        url: Url,
        /// The HTTP status.
        status: u16,
        /// The first 500 bytes of what it says.
        text: String,
    },
    /// Something answers, but not as a master does.
    #[error("{url} does not answer like a Mesos master: {what}")]
    NotAMaster {
        /// What was asked.
        url: Url,
        /// What is wrong with its answer.
        what: String,
    },
    /// A redirect isn't followed.
    #[error("cannot follow master {url} to the leading one")]
    Redirect {
        /// Who redirects.
        url: Url,
        /// Whether another look can help: the leader may just have changed.
        kind: Kind,
        /// Why it isn't followed.
        source: redirect::Error,
    },
    /// The answer began well, but the subscription didn't come to stand.
    #[error("cannot subscribe to master {url}")]
    Ended {
        /// The master.
        url: Url,
        /// How it ended.
        source: Ended,
    },
    /// ZooKeeper doesn't tell who leads.
    #[error("cannot look up the leading master")]
    Detector {
        /// Why not.
        source: detector::Error,
    },
    /// No master leads, as far as ZooKeeper knows.
    #[error("no master leads at {masters}")]
    NoLeader {
        /// Where we looked.
        masters: String,
    },
    /// None of the listed masters could be subscribed to, each for a reason that may pass.
    #[error("none of {masters} can be subscribed to: {}", failures.join("; "))]
    NoneReady {
        /// The list.
        masters: String,
        /// What happened with each, in the same order, causes included.
        failures: Vec<String>,
    },
}

impl Error {
    /// Says whether the same can succeed later.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::TooLate
            | Self::Unreachable { .. }
            | Self::Slow { .. }
            | Self::NotReady { .. }
            | Self::NoLeader { .. }
            | Self::NoneReady { .. }
            | Self::Ended { source: Ended::Closed | Ended::GivenUp | Ended::Broken { .. }, .. } => Kind::Retriable,
            Self::Refused { .. }
            | Self::NotAMaster { .. }
            | Self::Ended {
                source: Ended::NotUnderstood { .. } | Ended::NotSubscribed | Ended::Refused { .. }, ..
            } => Kind::Definite,
            Self::Redirect { kind, .. } => *kind,
            Self::Detector { source } if source.is_retriable() => Kind::Retriable,
            Self::Detector { .. } => Kind::Definite,
        }
    }
}

impl Client {
    /// Makes a client that connects to nothing yet.
    ///
    /// # Errors
    /// When the certificates of `options` can't be used.
    pub fn new(
        masters: Masters,
        credentials: Option<Credentials>,
        options: &ClientOptions,
    ) -> Result<Self, http::Error> {
        let credentials = credentials.map(Mutex::new);
        Ok(Self { masters, credentials, clients: http::clients(options)?, pace: Arc::new(Pace::new(Instant::now())) })
    }

    /// Subscribes once, and ends whatever subscription the framework had before.
    ///
    /// Listed masters are tried in their order until one leads; ZooKeeper's leader is the only one tried. Up to
    /// [`REDIRECTS_MAX`] redirects are followed. Credentials go only to listed masters, and to the one that ZooKeeper
    /// names: a redirect to another is refused if there are credentials, and followed if there are none.
    ///
    /// The secret is read anew, so that whoever changes it needs no restart: the master that wants another one than
    /// before has been restarted, and that has ended the subscription.
    ///
    /// Nothing is ever repeated here: when and whether to subscribe again is for the caller to decide, since
    /// each SUBSCRIBE takes over. A try that fails may have taken over, too.
    ///
    /// # Errors
    /// Why there is no subscription; [`Error::kind`] says whether to try again.
    pub async fn subscribe(&self, call: &Call) -> Result<Subscription, Error> {
        self.subscribe_while(call, &|| true).await
    }

    /// As [`subscribe`](Self::subscribe); `may` is asked before each request whether it may still be sent.
    ///
    /// # Errors
    /// Those of [`subscribe`](Self::subscribe), and [`Error::TooLate`].
    pub async fn subscribe_while(&self, call: &Call, may: &dyn Fn() -> bool) -> Result<Subscription, Error> {
        let call = Asking { bytes: call.encode_to_vec(), credentials: self.credentials(), may };
        match &self.masters {
            Masters::List(addresses) => {
                let told: Vec<_> = addresses.iter().map(Address::url).cloned().collect();
                self.subscribe_to_one(&told, &call).await
            }
            Masters::ZooKeeper(path) => self.subscribe_by(&ZooKeeper::new(path.clone()), &call).await,
        }
    }

    /// Opens lanes for calls to the leader of a subscription, so many that agents rarely wait for each other.
    #[must_use]
    pub fn lanes(&self, subscription: &Subscription) -> Lanes {
        Lanes::open(&self.clients.calls, &self.pace, subscription)
    }

    /// Says who we are now; a secret that can't be read any more leaves the last one in use.
    fn credentials(&self) -> Option<Credentials> {
        let mut known = self.credentials.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        match known.again() {
            Ok(fresh) => *known = fresh,
            Err(error) => warn!(error = crate::chain(&error), "the secret can't be read; the last one stays in use"),
        }
        Some(known.clone())
    }

    async fn subscribe_to_one(&self, told: &[Url], call: &Asking<'_>) -> Result<Subscription, Error> {
        let mut failures = Vec::new();
        for url in told {
            match self.try_one(url.clone(), told, call).await {
                Err(error) if error.kind() == Kind::Retriable && told.len() > 1 => failures.push(crate::chain(&error)),
                result => return result,
            }
        }
        Err(Error::NoneReady { masters: self.masters.to_string(), failures })
    }

    async fn subscribe_by(&self, detector: &impl Detector, call: &Asking<'_>) -> Result<Subscription, Error> {
        let found = detector.leader_info().await.map_err(|source| Error::Detector { source })?;
        let leader = found.ok_or_else(|| Error::NoLeader { masters: self.masters.to_string() })?;
        let told = addresses(&leader);
        let url = told.first().cloned().ok_or_else(|| Error::NoLeader { masters: self.masters.to_string() })?;
        let mut tried = self.try_one(url, &told, call).await;
        if let Err(Error::Redirect { kind, .. }) = &mut tried {
            // ZooKeeper's answer may be older than the master's.
            *kind = Kind::Retriable;
        }
        tried
    }

    async fn try_one(&self, start: Url, told: &[Url], call: &Asking<'_>) -> Result<Subscription, Error> {
        let mut url = start;
        for _ in 0..=REDIRECTS_MAX {
            let credentials = call.credentials.as_ref().filter(|_| is_told(&url, told));
            let request = body::post(&self.clients.stream, &url, credentials, call.bytes.clone());
            // Looking for the leader, and masters that don't answer, take their time.
            if !(call.may)() {
                return Err(Error::TooLate);
            }
            let patience = self.pace.subscribe_patience();
            let answered = timeout(patience, request.send()).await;
            self.pace.subscribed(answered.is_ok());
            let response = answered
                .map_err(|_| Error::Slow { url: url.clone(), after: patience })?
                .map_err(|source| Error::Unreachable { url: url.clone(), source: source.without_url() })?;
            match response.status() {
                StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => {
                    let refused = |source| Error::Redirect { url: url.clone(), kind: Kind::Definite, source };
                    url = self.follow(&url, &response, told).map_err(refused)?;
                }
                StatusCode::OK => return self.begin(response, credentials.cloned()).await,
                status => return Err(self.refusal(url, status, response).await),
            }
        }
        Err(Error::Redirect { url, kind: Kind::Retriable, source: redirect::Error::TooMany })
    }

    fn follow(&self, from: &Url, response: &Response, told: &[Url]) -> Result<Url, redirect::Error> {
        let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
        let url = redirect::target(from, location.ok_or(redirect::Error::NoLocation)?)?;
        if self.credentials.is_some() && !is_told(&url, told) {
            return Err(redirect::Error::Foreign { url });
        }
        Ok(url)
    }

    async fn begin(&self, response: Response, credentials: Option<Credentials>) -> Result<Subscription, Error> {
        let url = response.url().clone();
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let not_a_master = |what: String| Error::NotAMaster { url: url.clone(), what };
        let content = header(CONTENT_TYPE.as_str()).unwrap_or_default();
        if content != PROTOBUF {
            return Err(not_a_master(format!("its content type is {content:?} instead of {PROTOBUF:?}")));
        }
        let Some(stream_id) = header(STREAM_ID).filter(|id| !id.is_empty()) else {
            return Err(not_a_master(format!("the {STREAM_ID} header is missing")));
        };
        let begun = Subscription::begin(response, stream_id, credentials, PATIENCE_MAX).await;
        begun.map_err(|source| Error::Ended { url, source })
    }

    async fn refusal(&self, url: Url, status: StatusCode, response: Response) -> Error {
        let text = timeout(PATIENCE_MAX, body::read(response)).await.unwrap_or_default();
        let code = status.as_u16();
        if status == StatusCode::NOT_FOUND || status.is_server_error() {
            return Error::NotReady { url, status: code, text };
        }
        if status.is_client_error() {
            return Error::Refused { url, status: code, text };
        }
        Error::NotAMaster { url, what: format!("its status is {code}") }
    }
}

/// The leader's address, and its name for itself, which it uses in redirects. Masters themselves speak no TLS.
fn addresses(leader: &LeaderInfo) -> Vec<Url> {
    let ip = match leader.ip {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    let hosts = Some(ip).into_iter().chain(leader.hostname.clone());
    hosts.filter_map(|host| Url::parse(&format!("http://{host}:{}{API_PATH}", leader.port)).ok()).collect()
}

/// What to do if the master's certificate is the reason.
fn distrust(error: &reqwest::Error) -> &'static str {
    let mut causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    if causes.any(|cause| cause.to_string().contains("certificate")) {
        return "; its certificate is not trusted: name its authority's certificate with --ca-file FILE";
    }
    ""
}

fn advice(status: u16) -> &'static str {
    match status {
        401 => "; check --principal and --secret-file (or EPIC_SECRET)",
        403 => "; the master's access rules do not allow it",
        _ => "",
    }
}

/// A SUBSCRIBE, in whose name it is sent, and whether it still may be.
struct Asking<'a> {
    bytes: Vec<u8>,
    credentials: Option<Credentials>,
    may: &'a dyn Fn() -> bool,
}
