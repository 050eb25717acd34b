//! Measurements: each prints its figures and decides nothing.

mod idle;
mod launch;
mod zookeeper;

use anyhow::{Result, bail};

#[actix_web::main]
async fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("idle") => idle::run().await,
        Some("launch") => launch::run().await,
        Some("zookeeper") => zookeeper::run().await,
        other => bail!("{other:?} is not a measurement; there is: idle, launch, zookeeper"),
    }
}
