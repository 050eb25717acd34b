//! A short form of `make soak`, with choices that are known.

use anyhow::Result;
use epic_tests::chaos::{self, Plan};

/// The leading replica is cut off from ZooKeeper, the leading master is, the leading replica is killed, and all clients
/// are cut off from the leading ZooKeeper server.
#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::print_stdout, reason = "whoever runs a test alone wants to see what was done")]
async fn four_rounds_of_misfortune_leave_everything_as_the_journal_says() -> Result<()> {
    let figures = chaos::play(Plan { rounds: 4, seed: 208 }, |line| println!("{line}")).await?;
    println!("{figures}");
    Ok(())
}
