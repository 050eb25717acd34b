//! Measurements: each prints its figures and decides nothing.

mod idle;
mod launch;

use anyhow::{Result, bail};

#[actix_web::main]
async fn main() -> Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("idle") => idle::run().await,
        Some("launch") => launch::run().await,
        other => bail!("{other:?} is not a measurement; there is: idle, launch"),
    }
}
