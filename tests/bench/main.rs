//! Measurements: each prints its figures and decides nothing.

mod content;
mod entries;
mod failover;
mod figures;
mod idle;
mod journal;
mod launch;
mod pair;
mod server;
mod zookeeper;

use anyhow::{Result, bail};

#[actix_web::main]
async fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["idle"] => idle::run().await,
        ["launch"] => launch::run(launch::Against::Raw).await,
        ["launch", "--zk"] => launch::run(launch::Against::Local).await,
        ["journal"] => journal::run().await,
        ["zookeeper"] => zookeeper::run().await,
        ["entries"] => entries::run().await,
        ["failover"] => failover::run(&failover::SIZES).await,
        ["failover", tasks] => failover::run(&[tasks.parse()?]).await,
        _ => bail!(
            "{words:?} is not a measurement; there is: idle, launch [--zk], journal, zookeeper, entries, failover [TASKS]"
        ),
    }
}
