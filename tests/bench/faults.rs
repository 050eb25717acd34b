//! How long a platform takes to come up while the master loses, refuses and takes back what it can.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use epic_tests::address::Network;
use epic_tests::master::faults::Faults;
use epic_tests::master::{Master, Seen, Setup};
use epic_tests::process::Process;

use crate::content::ROLE;
use crate::launch;

/// Members, each with an agent of its own and none to spare.
const MEMBERS: usize = 150;
/// How long one run may take.
const PATIENCE: Duration = Duration::from_secs(120);

#[expect(clippy::print_stdout, reason = "the figures are what it is for")]
pub(crate) async fn run() -> Result<()> {
    let none = Faults::default();
    let cases = [
        ("no faults", none),
        ("every 100th call lost", Faults { lose_call: 100, ..none }),
        (
            "every 11th call and 13th answer lost, 17th refused, 5th offer rescinded",
            Faults { lose_call: 11, lose_answer: 13, refuse: 17, rescind: 5, ..none },
        ),
        (
            "the same, the stream cut after every 97th call, every 50th agent renewed",
            Faults { lose_call: 11, lose_answer: 13, refuse: 17, rescind: 5, cut_stream: 97, renew_agent: 50 },
        ),
    ];
    println!(
        "{MEMBERS} members on as many agents of a fake master; of the lost, half meet silence, half a closed connection"
    );
    println!("{:>9} {:>14} {:>9} {:>7} {:>6}", "all up s", "subscriptions", "launches", "calls", "lost");
    for (name, faults) in cases {
        let (took, seen) = once(faults).await?;
        let took = took.map_or_else(|| format!("{} up", seen.up), |took| format!("{:.1}", took.as_secs_f64()));
        println!(
            "{took:>9} {:>14} {:>9} {:>7} {:>6}   {name}",
            seen.subscriptions, seen.launches, seen.calls, seen.lost
        );
    }
    Ok(())
}

/// Returns how long it took from the first SUBSCRIBE until all were up; `None` if that was too long.
async fn once(faults: Faults) -> Result<(Option<Duration>, Seen)> {
    let network = Network::take()?;
    let dir = tempfile::tempdir()?;
    let setup = Setup { faults, ..Setup::of(ROLE, u32::try_from(MEMBERS)?) };
    let master = Master::start(network.free(1)?, &setup)?;
    let mut process = launch::program(dir.path(), &network, (&master, MEMBERS - 1))?.start()?;
    let began = launch::until(&master, &mut process, |seen| seen.began.is_some()).await?.began;
    let seen = up(&master, &mut process).await?;
    Ok((began.filter(|_| seen.up == MEMBERS).map(|began| began.elapsed()), seen))
}

async fn up(master: &Master, process: &mut Process) -> Result<Seen> {
    let began = Instant::now();
    loop {
        let seen = master.seen();
        if seen.up == MEMBERS || began.elapsed() > PATIENCE {
            return Ok(seen);
        }
        ensure!(process.exited()?.is_none(), "the scheduler ended\n{}", process.log_tail(20));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
