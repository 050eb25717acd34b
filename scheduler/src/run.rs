//! Runs a scheduler from its first connection to its end.

use std::sync::Arc;
use std::time::Duration;

use epic_common_io::driver::{Clock, Driver, Inbox};
use epic_scheduler_core::director::{Director, Input};
use epic_scheduler_core::request::{Request, Wish};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot, watch};
use tracing::{error, info, warn};

use crate::actors::journal::{Close, Journal};
use crate::actors::link::Link;
use crate::actors::world::{Halt, Parts, World};
use crate::api::{self, Api, Asked};
use crate::chain;
use crate::config::Config;
use crate::failure::{Code, Failure};
use crate::metrics;
use crate::start::Ready;
use crate::view::Published;

/// Runs until a signal or a reason to end.
///
/// SIGTERM and SIGINT leave the framework and its services running; the batch on its way is finished.
///
/// # Errors
///
/// Why it ended without having been asked to.
pub async fn run(config: &Config, ready: Ready) -> Result<(), Failure> {
    // Back-offs in the journal count from its own times; the machine's may have been wrong when it wrote them.
    let clock = Clock::not_before(ready.state.at);
    let counts = metrics::install().map_err(|error| Failure::new(Code::Io, &error))?;
    actix::spawn(metrics::upkeep(counts.clone()));
    let (publish, published) = watch::channel(Arc::new(first_view(config, &ready, &clock)));
    let (ask, requests) = mpsc::channel(REQUESTS);
    let (halt, mut halted) = mpsc::channel(1);
    let journal = Journal::start(ready.journal);
    let (world, clients) = World::new(Parts {
        journal: journal.clone(),
        position: ready.position,
        link: Link::new(ready.client, ready.identity),
        published: publish,
        halt,
        role: config.role.clone(),
        unreachable_after: config.unreachable_after,
        clock,
    });
    let inbox = Driver::start(Director::new(ready.state, ready.policy), world, clock);
    actix::spawn(clients.serve(requests, inbox.clone()));
    ready.artifacts.verify_in_background();
    let api = Api {
        published,
        requests: ask.clone(),
        artifacts: ready.artifacts,
        clock: Arc::new(move || clock.now()),
        counts,
    };
    let server = api::serve(ready.listener, api).map_err(|error| Failure::new(Code::Io, &error))?;
    let http = server.handle();
    actix::spawn(server);
    info!(listen = %config.listen, advertise = config.advertised(), token_file = %ready.token.path.display(), "serving");
    actix::spawn(seed(ask, ready.token.sha256, ready.seed));

    let end = tokio::select! {
        () = signalled() => Ok(()),
        why = halted.recv() => Err(failure(why)),
    };
    http.stop(true).await;
    finish(&inbox, &journal).await;
    end
}

/// Requests that wait to be handed to the director.
const REQUESTS: usize = 64;

fn first_view(config: &Config, ready: &Ready, clock: &Clock) -> Published {
    Published {
        state: ready.state.clone(),
        role: config.role.clone(),
        unreachable_after: config.unreachable_after,
        at: clock.now(),
        ..Published::default()
    }
}

/// Asks for what the command line says: the token, then the platform if the journal has none.
async fn seed(ask: mpsc::Sender<Asked>, token: epic_common::ids::Digest, platform: Option<Wish>) {
    for wish in [Some(Wish::SetToken(token)), platform].into_iter().flatten() {
        let (waits, answer) = oneshot::channel();
        if ask.send((Request { wish, key: None }, waits)).await.is_err() {
            return;
        }
        match answer.await {
            Ok(Ok(granted)) => info!(index = granted.index.0, message = granted.message, "start"),
            Ok(Err(rejection)) => {
                let fields: Vec<_> =
                    rejection.errors.iter().map(|(path, problem)| format!("{path}: {problem}")).collect();
                error!(
                    title = rejection.title,
                    detail = rejection.detail,
                    fields = fields.join("; "),
                    "refused at the start"
                );
            }
            Err(_) => return,
        }
    }
}

async fn signalled() {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        warn!("signals can't be heard");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => info!("SIGTERM: ending; services go on"),
        _ = int.recv() => info!("SIGINT: ending; services go on"),
    }
}

fn failure(why: Option<Halt>) -> Failure {
    match why {
        Some(Halt::Refused(why)) => {
            let next = if why.contains("check --") {
                ""
            } else {
                "; check --role and --principal against the master's --roles and --acls"
            };
            Failure::text(Code::Unavailable, format!("Mesos refuses the subscription: {why}{next}; nothing was lost"))
        }
        Some(Halt::Journal(why)) => Failure::text(Code::Io, why),
        None => Failure::text(Code::Io, "the director has ended"),
    }
}

/// Lets the batch on its way become durable, then closes the journal.
async fn finish(inbox: &Inbox<Input>, journal: &actix::Addr<Journal>) {
    inbox.stop().await;
    // The journal handles one message after the other, so whatever was on its way comes first.
    match tokio::time::timeout(CLOSE_WITHIN, journal.send(Close)).await {
        Ok(Ok(Ok(()))) => info!("journal closed"),
        Ok(Ok(Err(failure))) => warn!(error = chain(&failure), "the journal was not closed in order"),
        Ok(Err(_)) | Err(_) => warn!("the journal did not answer"),
    }
}

const CLOSE_WITHIN: Duration = Duration::from_secs(10);
