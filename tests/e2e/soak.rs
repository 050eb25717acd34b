//! A short form of `make soak`, with choices that are known.

use anyhow::Result;
use epic_tests::chaos::{self, Plan};

/// The leading replica is cut off from ZooKeeper, the leading master is, the leading replica is killed, and all clients
/// are cut off from the leading ZooKeeper server.
#[tokio::test(flavor = "multi_thread")]
async fn four_rounds_of_misfortune_leave_everything_as_the_journal_says() -> Result<()> {
    play(Plan { rounds: 4, seed: 208, client: None }).await
}

/// The leading replica is killed, and the leading ZooKeeper server is stopped.
#[tokio::test(flavor = "multi_thread")]
async fn two_rounds_with_the_other_client_for_zookeeper_do_so_too() -> Result<()> {
    play(Plan { rounds: 2, seed: 372, client: Some("zookeeper-async".to_owned()) }).await
}

#[expect(clippy::print_stdout, reason = "whoever runs a test alone wants to see what was done")]
async fn play(plan: Plan) -> Result<()> {
    let figures = chaos::play(plan, |line| println!("{line}")).await?;
    println!("{figures}");
    Ok(())
}
