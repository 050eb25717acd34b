//! Which replicas hold an artifact, what is handed to them, and what is fetched from them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use epic_common::api::Problem;
use epic_common::ids::Digest;
use epic_common_io::pieces::pieces;
use epic_common_io::secret::Secret;
use epic_scheduler_core::replica::Peer;
use epic_scheduler_core::replica::artifact_search::Missing;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Body, Response, StatusCode};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::artifacts::receive::{Announced, Kind, Pace, receive};
use crate::artifacts::{Artifact, Artifacts};
use crate::chain;
use crate::reach::clients::PeerClients;

/// Said by a replica that hands something over: it is to be dealt with here and handed to nobody else.
pub const FORWARDED: &str = "Epic-Forwarded";

/// All replicas as holders of artifacts; clones share what they know.
#[derive(Clone, Debug)]
pub struct Holders {
    own: String,
    known: watch::Receiver<Arc<Vec<Peer>>>,
    artifacts: Arc<Artifacts>,
    http: PeerClients,
    offered: Arc<watch::Sender<Offers>>,
    given_up: Arc<watch::Sender<BTreeSet<Digest>>>,
}

/// The tokens with which artifacts were offered, oldest first.
pub type Offers = Vec<(Digest, Secret)>;

/// Who holds an artifact.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Replicas that hold it, this one included.
    pub have: usize,
    /// Replicas that take part, this one included.
    pub of: usize,
    /// The others, as far as they were asked.
    pub lacking: Vec<Lacking>,
}

/// A replica that doesn't hold an artifact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// Its URL.
    pub replica: String,
    /// Why not.
    pub why: String,
}

/// How many replicas are to hold an artifact before nobody waits any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Enough {
    /// More than half; the others fetch it when the journal names it.
    Majority,
    /// All that answer.
    All,
}

/// Why an artifact can't be fetched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nobody to ask.
    #[error("artifact sha256:{0} is not here, and no other replica is known")]
    Alone(Digest),
    /// Nobody gave it.
    #[error("artifact sha256:{digest} can't be fetched from any replica: {}", list(lacking))]
    Nowhere {
        /// The artifact.
        digest: Digest,
        /// Who was asked.
        lacking: Vec<Lacking>,
    },
}

impl Error {
    /// Says it as the search for artifacts knows it.
    #[must_use]
    pub fn miss(&self) -> Missing {
        match self {
            Self::Alone(_) => Missing::NobodyAsked,
            Self::Nowhere { lacking, .. } if lacking.iter().all(|each| each.why == ABSENT) => Missing::NobodyHasIt,
            Self::Nowhere { .. } => Missing::SomebodySilent,
        }
    }
}

impl Held {
    /// Tells whether more than half of the replicas hold it.
    #[must_use]
    pub const fn is_majority(&self) -> bool {
        self.have * 2 > self.of
    }
}

/// Such as `2 of 3 replicas hold it; http://c: cannot be reached`.
impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} replicas hold it", self.have, self.of)?;
        if self.lacking.is_empty() { Ok(()) } else { write!(f, "; {}", list(&self.lacking)) }
    }
}

impl Holders {
    /// Begins with whoever is known; `own` is this replica's URL. Without others this one is the majority.
    #[must_use]
    pub fn new(
        own: String,
        known: watch::Receiver<Arc<Vec<Peer>>>,
        artifacts: Arc<Artifacts>,
        http: PeerClients,
    ) -> Self {
        Self { own, known, artifacts, http, offered: Arc::default(), given_up: Arc::default() }
    }

    /// Shows who takes part, whenever that changes.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<Vec<Peer>>> {
        self.known.clone()
    }

    /// Shows what was offered to the others, the last [`OFFERS_MAX`] artifacts.
    #[must_use]
    pub fn offers(&self) -> watch::Receiver<Offers> {
        self.offered.subscribe()
    }

    /// Tells whether an artifact is here.
    #[must_use]
    pub fn holds(&self, digest: &Digest) -> bool {
        self.artifacts.find(digest).is_some()
    }

    /// Remembers which artifacts none of the others gives for now.
    pub fn give_up(&self, digests: BTreeSet<Digest>) {
        self.given_up.send_replace(digests);
    }

    /// Tells whether an artifact isn't here, and may yet come from another replica.
    ///
    /// Who takes part isn't known at first; whoever knows that it is alone waits for nobody.
    #[must_use]
    pub fn awaits(&self, digest: &Digest) -> bool {
        let is_alone = !self.known.borrow().is_empty() && self.others().is_empty();
        !self.holds(digest) && !is_alone && !self.given_up.borrow().contains(digest)
    }

    /// Asks who holds an artifact; nothing is changed by that.
    pub async fn of(&self, digest: &Digest) -> Held {
        self.ask(digest, Enough::All, async |peer| absent_unless(self.look(&peer, digest).await?)).await
    }

    /// Hands an artifact that is here to all replicas that lack it, and answers who holds it then.
    ///
    /// All are served at the same time, each within a minute and a second more for each MiB. The token is theirs, too.
    pub async fn spread(&self, digest: &Digest, token: &Secret, enough: Enough) -> Held {
        self.ask(digest, enough, async |peer| {
            // Whoever doesn't even say what it has is not sent gigabytes.
            if self.look(&peer, digest).await? { Ok(()) } else { self.hand(&peer, digest, token).await }
        })
        .await
    }

    /// Remembers an artifact with the token that it came with, so that replicas that are away now get it later.
    pub fn offer(&self, digest: Digest, token: &Secret) {
        self.offered.send_modify(|offers| {
            offers.retain(|(known, _)| *known != digest);
            offers.push((digest, token.clone()));
            let surplus = offers.len().saturating_sub(OFFERS_MAX);
            offers.drain(..surplus);
        });
    }

    /// Fetches an artifact from the first replica that gives it, and returns that one's URL.
    ///
    /// # Errors
    ///
    /// Nobody has it, or what comes isn't it.
    pub async fn fetch(&self, digest: &Digest, kind: Kind) -> Result<String, Error> {
        let others = self.others();
        if others.is_empty() {
            return Err(Error::Alone(*digest));
        }
        let mut looked: FuturesUnordered<_> =
            others.into_iter().map(async |peer| (self.look(&peer, digest).await, peer)).collect();
        let mut lacking = Vec::new();
        while let Some((outcome, peer)) = looked.next().await {
            let fetched = match outcome {
                Ok(true) => self.fetch_from(&peer, digest, kind).await,
                Ok(false) => Err(ABSENT.to_owned()),
                Err(why) => Err(why),
            };
            match fetched {
                Ok(()) => return Ok(peer),
                Err(why) => lacking.push(Lacking { replica: peer, why }),
            }
        }
        Err(Error::Nowhere { digest: *digest, lacking })
    }

    async fn ask(&self, digest: &Digest, enough: Enough, each: impl AsyncFn(String) -> Result<(), String>) -> Held {
        let (others, is_here) = (self.others(), self.holds(digest));
        let mut held = Held { have: usize::from(is_here), of: others.len() + 1, lacking: Vec::new() };
        if !is_here {
            held.lacking.push(Lacking { replica: self.own.clone(), why: ABSENT.to_owned() });
        }
        let each = &each;
        let mut asked: FuturesUnordered<_> =
            others.into_iter().map(|peer| async move { (each(peer.clone()).await, peer) }).collect();
        while !(enough == Enough::Majority && held.is_majority()) {
            match asked.next().await {
                Some((Ok(()), _)) => held.have += 1,
                Some((Err(why), replica)) => held.lacking.push(Lacking { replica, why }),
                None => break,
            }
        }
        held
    }

    /// Returns the URLs of the other replicas, at most [`PEERS_MAX`].
    pub(crate) fn others(&self) -> BTreeSet<String> {
        let known = Arc::clone(&self.known.borrow());
        let others = known.iter().map(|peer| peer.advertise.trim_end_matches('/')).filter(|url| *url != self.own);
        others.take(PEERS_MAX).map(str::to_owned).collect()
    }

    /// Answers whether it has the artifact, or why it doesn't say.
    async fn look(&self, peer: &str, digest: &Digest) -> Result<bool, String> {
        let asked = self.http.stream().head(format!("{peer}/artifacts/{digest}")).timeout(LOOK_WITHIN).send().await;
        match asked.map(|answer| answer.status()) {
            Ok(StatusCode::OK) => Ok(true),
            Ok(StatusCode::NOT_FOUND) => Ok(false),
            Ok(status) => Err(format!("it answers {status}")),
            Err(error) => Err(unreached(error)),
        }
    }

    async fn hand(&self, peer: &str, digest: &Digest, token: &Secret) -> Result<(), String> {
        let Some(artifact) = self.artifacts.find(digest) else { return Err(ABSENT.to_owned()) };
        let Some(file) = artifact.open().await else { return Err(LOST.to_owned()) };
        let Artifact { bytes, .. } = artifact;
        let body = Body::wrap_stream(pieces(file, bytes));
        let request = self.http.stream().put(format!("{peer}/api/v2/artifacts/{digest}")).bearer_auth(token.expose());
        let request = request.header(FORWARDED, "1").header(CONTENT_LENGTH, bytes).timeout(hand_within(bytes));
        let answer = request.body(body).send().await.map_err(unreached)?;
        if answer.status().is_success() { Ok(()) } else { Err(problem(answer).await) }
    }

    async fn fetch_from(&self, peer: &str, digest: &Digest, kind: Kind) -> Result<(), String> {
        let asked = timeout(LOOK_WITHIN, self.http.stream().get(format!("{peer}/artifacts/{digest}")).send()).await;
        let answer = asked.map_err(|_| "it doesn't answer".to_owned())?.map_err(unreached)?;
        if answer.status() != StatusCode::OK {
            return Err(problem(answer).await);
        }
        let announced = Announced { digest: *digest, kind, bytes: answer.content_length() };
        let received = receive(&self.artifacts, announced, answer.bytes_stream(), Pace::default()).await;
        received.map(drop).map_err(|error| chain(&error))
    }
}

fn absent_unless(is_there: bool) -> Result<(), String> {
    if is_there { Ok(()) } else { Err(ABSENT.to_owned()) }
}

fn list(lacking: &[Lacking]) -> String {
    let each: Vec<_> = lacking.iter().map(|Lacking { replica, why }| format!("{replica}: {why}")).collect();
    each.join("; ")
}

fn unreached(error: reqwest::Error) -> String {
    chain(&error.without_url())
}

/// Says why a replica refuses, in its own words.
async fn problem(mut answer: Response) -> String {
    let (status, mut body) = (answer.status(), Vec::new());
    while let Ok(Ok(Some(piece))) = timeout(LOOK_WITHIN, answer.chunk()).await {
        body.extend_from_slice(&piece);
        if body.len() > PROBLEM_BYTES_MAX {
            break;
        }
    }
    match serde_json::from_slice::<Problem>(&body) {
        Ok(Problem { title, detail, .. }) if detail.is_empty() => title,
        Ok(Problem { title, detail, .. }) => format!("{title}: {detail}"),
        Err(_) => format!("it answers {status}"),
    }
}

/// A MiB a second is slow for any network that replicas share, and a bundle has to be checked.
const fn hand_within(bytes: u64) -> Duration {
    Duration::from_secs(60 + bytes / (1 << 20))
}

const ABSENT: &str = "it isn't there";
const LOST: &str = "its file is lost";
const LOOK_WITHIN: Duration = Duration::from_secs(5);
/// Other replicas that are asked.
pub const PEERS_MAX: usize = 16;
/// Artifacts that are offered to replicas that come later.
pub const OFFERS_MAX: usize = 16;
const PROBLEM_BYTES_MAX: usize = 64 * 1024;
