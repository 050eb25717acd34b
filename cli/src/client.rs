//! Asks the scheduler over HTTP.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use epic_common::api::{ArtifactView, Granted, PlatformView, Problem};
use epic_common::ids::Digest;
use epic_common_io::http::{ClientOptions, clients};
use epic_common_io::secret::{Named, Secret, Source};
use epic_common_io::tls::Distrust;
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Body, Method, RequestBuilder, Response};
use serde::de::DeserializeOwned;

use crate::failure::Failure;

/// Where the scheduler is, and who asks.
#[derive(Clone, Debug, Args)]
pub(crate) struct Connection {
    /// The scheduler's address.
    #[arg(long, global = true, env = "EPIC_SERVER", value_name = "URL", default_value = "http://127.0.0.1:8080")]
    server: String,
    /// File with the token that allows changes; the scheduler says at its start where its own is. The variable `EPIC_TOKEN`
    /// can hold the token itself instead.
    #[arg(long, global = true, env = "EPIC_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// PEM certificates to trust for https beside the machine's own.
    #[arg(long, global = true, env = "EPIC_CA_FILE", value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

#[derive(Debug)]
pub(crate) struct Client {
    http: reqwest::Client,
    server: String,
    token_file: Option<PathBuf>,
}

impl Client {
    pub(crate) fn new(connection: Connection) -> anyhow::Result<Self> {
        let Connection { server, token_file, ca_file } = connection;
        if !server.starts_with("http://") && !server.starts_with("https://") {
            let text = format!("--server \"{server}\" is no address; it must begin with http:// or https://");
            return Err(Failure::Usage(text).into());
        }
        let http = clients(&ClientOptions { ca_file, ..ClientOptions::default() })?.calls;
        Ok(Self { http, server: server.trim_end_matches('/').to_owned(), token_file })
    }

    /// Asks how the platform is.
    pub(crate) async fn view(&self) -> Result<PlatformView, Failure> {
        self.asked(self.http.get(format!("{}/api/v2/platform", self.server))).await
    }

    /// Asks for a change below `/api/v2/platform`, and asks again if the answer is lost.
    ///
    /// All tries carry one idempotency key, so that the change is made once.
    pub(crate) async fn change(&self, method: Method, verb: &str, body: Vec<u8>) -> anyhow::Result<Granted> {
        self.change_at(method, &format!("/api/v2/platform{verb}"), body).await
    }

    /// Asks for a file that needs the token, of at most so many bytes.
    pub(crate) async fn file(&self, path: &str, bytes_max: usize) -> anyhow::Result<Vec<u8>> {
        let request = self.http.get(format!("{}{path}", self.server)).bearer_auth(self.token()?.expose());
        let request = request.timeout(CHANGE_TIMEOUT);
        let (status, body) = self.send_for(request, bytes_max).await?;
        if status == 200 {
            return Ok(body);
        }
        let refused: Result<serde_json::Value, Failure> = self.read(status, &body);
        Err(refused.err().unwrap_or_else(|| self.foreign(status, "something else")).into())
    }

    /// Asks for a change at any path, as [`change`](Self::change) does.
    pub(crate) async fn change_at(&self, method: Method, path: &str, body: Vec<u8>) -> anyhow::Result<Granted> {
        self.change_as(&self.token()?, method, path, body).await
    }

    /// As [`change_at`](Self::change_at), in the name of whoever has this token.
    pub(crate) async fn change_as(
        &self,
        token: &Secret,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> anyhow::Result<Granted> {
        let key = uuid::Uuid::new_v4().to_string();
        let mut waits = RETRIES.into_iter();
        let mut was_sent = false;
        loop {
            let request = self.http.request(method.clone(), format!("{}{path}", self.server));
            let request = request.bearer_auth(token.expose()).header("Idempotency-Key", &key);
            let request = request.timeout(CHANGE_TIMEOUT).body(body.clone());
            let answer = self.asked(request).await;
            match waits.next() {
                Some(wait) if may_repeat(&answer, &mut was_sent) => tokio::time::sleep(wait).await,
                Some(_) | None => return Ok(answer?),
            }
        }
    }

    /// Hands an artifact over, and answers who holds it then; tries again if that is of use.
    ///
    /// `body` is read only if the scheduler doesn't have the artifact.
    pub(crate) async fn push(
        &self,
        digest: &Digest,
        bytes: u64,
        body: impl Fn() -> anyhow::Result<Body>,
    ) -> anyhow::Result<ArtifactView> {
        let token = self.token()?;
        let put = || {
            let request =
                self.http.put(format!("{}/api/v2/artifacts/{digest}", self.server)).bearer_auth(token.expose());
            request.timeout(CHANGE_TIMEOUT + Duration::from_secs(bytes / PUSH_BYTES_PER_SECOND))
        };
        let mut waits = RETRIES.into_iter();
        let mut was_sent = false;
        loop {
            let mut answer = self.asked(put().header(CONTENT_LENGTH, 0)).await;
            if matches!(&answer, Err(Failure::Refused(problem)) if problem.status == 404) {
                answer = self.asked(put().header(CONTENT_LENGTH, bytes).body(body()?)).await;
            }
            match waits.next() {
                Some(wait) if may_repeat(&answer, &mut was_sent) => tokio::time::sleep(wait).await,
                Some(_) | None => return Ok(answer?),
            }
        }
    }

    async fn asked<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, Failure> {
        let (status, body) = self.send(request).await?;
        self.read(status, &body)
    }

    /// Reads the token; whoever only looks needs none.
    pub(crate) fn token(&self) -> anyhow::Result<Secret> {
        let source = TOKEN.source(self.token_file.as_ref()).map_err(|error| Failure::Usage(error.to_string()))?;
        match source {
            Some(Source::File(path)) => token_in(&path),
            Some(Source::Variable { name, value }) => token(name, value.expose()),
            None => {
                let text = "changes need the token: give its file with --token-file or EPIC_TOKEN_FILE, or itself in EPIC_TOKEN \
                            (the scheduler's own is STATE_DIR/token)";
                Err(Failure::Usage(text.to_owned()).into())
            }
        }
    }

    async fn send(&self, request: RequestBuilder) -> Result<(u16, Vec<u8>), Failure> {
        self.send_for(request, ANSWER_BYTES_MAX).await
    }

    /// Sends a request whose answer has at most so many bytes.
    async fn send_for(&self, request: RequestBuilder, bytes_max: usize) -> Result<(u16, Vec<u8>), Failure> {
        let unreachable = |source: reqwest::Error| {
            let (server, source) = (self.server.clone(), source.without_url());
            match Distrust::of(&source) {
                Some(why) => Failure::Distrusted { server, why, source },
                None => Failure::Unreachable { server, source },
            }
        };
        let mut response: Response = request.send().await.map_err(unreachable)?;
        let mut body = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(unreachable)? {
            body.extend_from_slice(&piece);
            if body.len() > bytes_max {
                return Err(self.foreign(response.status().as_u16(), &format!("more than {} MiB", bytes_max >> 20)));
            }
        }
        Ok((response.status().as_u16(), body))
    }

    fn read<T: DeserializeOwned>(&self, status: u16, body: &[u8]) -> Result<T, Failure> {
        if (200..300).contains(&status) {
            return serde_json::from_slice(body).map_err(|_| self.foreign(status, "something else"));
        }
        match serde_json::from_slice::<Problem>(body) {
            Ok(problem) => Err(Failure::Refused(problem)),
            Err(_) => Err(self.foreign(status, "no explanation")),
        }
    }

    fn foreign(&self, status: u16, found: &str) -> Failure {
        Failure::Foreign { server: self.server.clone(), status, found: found.to_owned() }
    }
}

/// Reads the token that a file holds.
pub(crate) fn token_in(path: &Path) -> anyhow::Result<Secret> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read token file {}", path.display()))?;
    token(&format!("token file {}", path.display()), &text)
}

/// Takes the token out of what was found at this place; white space around it doesn't count.
fn token(place: &str, text: &str) -> anyhow::Result<Secret> {
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        anyhow::bail!("{place} holds no token: it must be one line of visible ASCII characters");
    }
    Ok(Secret::new(token.to_owned()))
}

/// Tells whether asking again is of use: not where nothing listened from the beginning.
fn may_repeat<T>(answer: &Result<T, Failure>, was_sent: &mut bool) -> bool {
    match answer {
        Err(Failure::Refused(problem)) => problem.status == 503,
        Err(Failure::Unreachable { source, .. }) => {
            *was_sent |= !source.is_connect();
            *was_sent
        }
        Ok(_)
        | Err(Failure::Distrusted { .. } | Failure::Foreign { .. } | Failure::TimedOut { .. } | Failure::Usage(_)) => {
            false
        }
    }
}

const TOKEN: Named = Named { option: "--token-file", variable: "EPIC_TOKEN", what: "the token" };
/// A bundle may have to be copied and checked before the answer.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(300);
/// Who is slower is cut off by the scheduler.
const PUSH_BYTES_PER_SECOND: u64 = 64 * 1024;
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Together longer than replicas need to find another leader.
const RETRIES: [Duration; 9] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
    Duration::from_secs(4),
    Duration::from_secs(4),
    Duration::from_secs(4),
    Duration::from_secs(4),
];
