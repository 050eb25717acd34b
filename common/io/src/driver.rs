//! The actor that drives any machine: inputs in, outputs to its world, waking at its deadline.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, Recipient, SpawnHandle};
use epic_common::machine::Machine;
use epic_common::time::Timestamp;

/// Carries out what a machine wants done.
///
/// It decides nothing. What takes time is spawned, and its result comes back through the inbox.
pub trait World<M: Machine<Input: Send + 'static>>: 'static {
    /// Carries out one output, in the order in which the machine said them, without blocking.
    fn act(&mut self, output: M::Output, inbox: &Inbox<M::Input>);
}

/// An actor that owns one machine and its world.
///
/// Each input is handled, then the machine is polled until it has nothing more to say; so it is
/// when its deadline has come. Inputs are handled one at a time, in the order in which they entered.
pub struct Driver<M: Machine, W> {
    machine: M,
    world: W,
    clock: Clock,
    alarm: Option<(Timestamp, SpawnHandle)>,
}

/// The driver's end, asked for with [`Inbox::stop`].
struct Stop;

struct Take<I>(I);

/// Where a machine's inputs go; clones lead to the same machine.
pub struct Inbox<I: Send + 'static> {
    inputs: Recipient<Take<I>>,
    stop: Recipient<Stop>,
}

/// The driver has ended, so nobody handles inputs any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot hand over an input: the machine's driver has ended")]
pub struct Ended;

/// Whether a nudge found room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nudged {
    /// It will be handled.
    Entered,
    /// The mailbox is full or the driver has ended.
    Lost,
}

/// A clock that never runs backwards: wall time when it was made, monotonic since.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Timestamp,
    since: Instant,
}

impl<M, W> Driver<M, W>
where
    M: Machine<Input: Send + 'static> + Unpin + 'static,
    W: World<M> + Unpin,
{
    /// Starts the actor on the current arbiter; the machine is polled before its first input.
    pub fn start(machine: M, world: W, clock: Clock) -> Inbox<M::Input> {
        let driver = Self { machine, world, clock, alarm: None };
        let address = Actor::start(driver);
        Inbox { inputs: address.clone().recipient(), stop: address.recipient() }
    }

    fn settle(&mut self, ctx: &mut Context<Self>) {
        let address = ctx.address();
        let inbox = Inbox { inputs: address.clone().recipient(), stop: address.recipient() };
        while let Some(output) = self.machine.poll(self.clock.now()) {
            self.world.act(output, &inbox);
        }
        let deadline = self.machine.deadline();
        if self.alarm.map(|(at, _)| at) == deadline {
            return;
        }
        if let Some((_, handle)) = self.alarm.take() {
            ctx.cancel_future(handle);
        }
        if let Some(at) = deadline {
            let wait = at.since(self.clock.now()).min(WAIT_MAX);
            let handle = ctx.run_later(wait, |driver, ctx| {
                driver.alarm = None;
                driver.settle(ctx);
            });
            self.alarm = Some((at, handle));
        }
    }
}

/// Keeps waits within what timers can say.
const WAIT_MAX: Duration = Duration::from_secs(24 * 60 * 60);

impl<M, W> Actor for Driver<M, W>
where
    M: Machine<Input: Send + 'static> + Unpin + 'static,
    W: World<M> + Unpin,
{
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.settle(ctx);
    }
}

impl<M, W> Handler<Take<M::Input>> for Driver<M, W>
where
    M: Machine<Input: Send + 'static> + Unpin + 'static,
    W: World<M> + Unpin,
{
    type Result = ();

    fn handle(&mut self, take: Take<M::Input>, ctx: &mut Context<Self>) {
        self.machine.handle(self.clock.now(), take.0);
        self.settle(ctx);
    }
}

impl<M, W> Handler<Stop> for Driver<M, W>
where
    M: Machine<Input: Send + 'static> + Unpin + 'static,
    W: World<M> + Unpin,
{
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

impl<I> Message for Take<I> {
    type Result = ();
}

impl Message for Stop {
    type Result = ();
}

impl<I: Send + 'static> Inbox<I> {
    /// Hands over an input and waits until it was handled and all that follows from it was begun.
    ///
    /// A stream that awaits this before it reads on is held back by a busy machine.
    ///
    /// # Errors
    ///
    /// [`Ended`]; the input is lost.
    pub async fn put(&self, input: I) -> Result<(), Ended> {
        self.inputs.send(Take(input)).await.map_err(|_| Ended)
    }

    /// Hands over an input that may be lost, if the mailbox has room.
    pub fn nudge(&self, input: I) -> Nudged {
        self.inputs.try_send(Take(input)).map_or(Nudged::Lost, |()| Nudged::Entered)
    }

    /// Ends the driver, after the inputs that entered before.
    pub async fn stop(&self) {
        // Having ended already is what was wanted.
        self.stop.send(Stop).await.ok();
    }
}

impl<I: Send + 'static> Clone for Inbox<I> {
    fn clone(&self) -> Self {
        Self { inputs: self.inputs.clone(), stop: self.stop.clone() }
    }
}

impl<I: Send + 'static> fmt::Debug for Inbox<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox").finish_non_exhaustive()
    }
}

impl<M: Machine, W> fmt::Debug for Driver<M, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Driver").field("alarm", &self.alarm.map(|(at, _)| at)).finish_non_exhaustive()
    }
}

impl Clock {
    /// Begins at the machine's wall time.
    #[must_use]
    pub fn start() -> Self {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { start: Timestamp(u64::try_from(wall.as_micros()).unwrap_or(u64::MAX)), since: Instant::now() }
    }

    /// Begins at the machine's wall time, or at `earliest` if that is later.
    ///
    /// What was to happen soon after `earliest` happens soon, also on a machine whose wall time was wrong and has been
    /// set back since.
    #[must_use]
    pub fn not_before(earliest: Timestamp) -> Self {
        let clock = Self::start();
        Self { start: clock.start.max(earliest), ..clock }
    }

    /// Returns the time, not before any that it returned earlier.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.start + self.since.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use tokio::sync::mpsc;

    use super::*;

    /// Says each word that it hears, and "tick" a moment after the last.
    #[derive(Default)]
    struct Echo {
        heard: VecDeque<String>,
        tick: Option<Timestamp>,
    }

    impl Machine for Echo {
        type Input = String;
        type Output = String;

        fn handle(&mut self, now: Timestamp, input: String) {
            self.heard.push_back(input);
            self.tick = Some(now + Duration::from_millis(20));
        }

        fn poll(&mut self, now: Timestamp) -> Option<String> {
            if self.tick.is_some_and(|tick| tick <= now) {
                self.tick = None;
                return Some("tick".into());
            }
            self.heard.pop_front()
        }

        fn deadline(&self) -> Option<Timestamp> {
            self.tick
        }
    }

    struct Paper(mpsc::UnboundedSender<String>);

    impl World<Echo> for Paper {
        fn act(&mut self, output: String, _: &Inbox<String>) {
            self.0.send(output).unwrap();
        }
    }

    #[actix::test]
    async fn outputs_come_in_order_and_the_machine_wakes_at_its_deadline() {
        let (paper, mut written) = mpsc::unbounded_channel();
        let inbox = Driver::start(Echo::default(), Paper(paper), Clock::start());
        for word in ["a", "b", "c"] {
            inbox.put(word.into()).await.unwrap();
        }
        let mut words = Vec::new();
        while words.len() < 4 {
            words.push(written.recv().await.unwrap());
        }
        assert_eq!(words, ["a", "b", "c", "tick"]);
    }

    #[test]
    fn a_clock_goes_on_from_a_time_that_is_yet_to_come() {
        let ahead = Clock::start().now() + Duration::from_secs(365 * 24 * 60 * 60);
        let clock = Clock::not_before(ahead);
        let first = clock.now();
        assert!(first >= ahead && first < ahead + Duration::from_secs(60), "{first:?} is far from {ahead:?}");
        std::thread::yield_now();
        assert!(clock.now() >= first);
        assert!(Clock::not_before(Timestamp(0)).now() < ahead);
    }

    #[actix::test]
    async fn nothing_enters_after_the_end() {
        let (paper, mut written) = mpsc::unbounded_channel();
        let inbox = Driver::start(Echo::default(), Paper(paper), Clock::start());
        assert_eq!(inbox.nudge("a".into()), Nudged::Entered);
        inbox.stop().await;
        assert_eq!(written.recv().await.as_deref(), Some("a"));
        assert_eq!(written.recv().await, None);
        assert_eq!(inbox.put("b".into()).await, Err(Ended));
        assert_eq!(inbox.nudge("b".into()), Nudged::Lost);
    }
}
