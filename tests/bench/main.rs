//! Measurements: each prints its figures and decides nothing.

mod calls;
mod content;
mod entries;
mod failover;
mod faults;
mod figures;
mod idle;
mod journal;
mod launch;
mod pair;
mod raw;
mod server;
mod zookeeper;

use anyhow::{Result, bail};

#[actix_web::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["idle"] => idle::run().await,
        ["launch", "--zk", ref sizes @ ..] => launch::run(launch::Journal::ZooKeeper, &agents(sizes)?).await,
        ["launch", ref sizes @ ..] => launch::run(launch::Journal::Local, &agents(sizes)?).await,
        ["calls"] => calls::run().await,
        ["faults"] => faults::run().await,
        ["journal"] => journal::run().await,
        ["zookeeper"] => zookeeper::run().await,
        ["entries"] => entries::run().await,
        ["failover"] => failover::run(&failover::SIZES).await,
        ["failover", tasks] => failover::run(&[tasks.parse()?]).await,
        _ => bail!(
            "{words:?} is not a measurement; there is: idle, launch [--zk] [AGENTS…], calls, faults, journal, zookeeper, entries, failover [TASKS]"
        ),
    }
}

/// Reads how many agents are wanted, separated by blanks or commas.
fn agents(words: &[&str]) -> Result<Vec<usize>> {
    let numbers = words.iter().flat_map(|word| word.split(',')).map(str::parse).collect::<Result<Vec<_>, _>>()?;
    Ok(if numbers.is_empty() { launch::SIZES.to_vec() } else { numbers })
}
