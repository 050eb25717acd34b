//! What tests ask of members, and `epicctl` of their scheduler.

use anyhow::{Context as _, Result, ensure};
use tokio::io::AsyncWriteExt as _;

use crate::epic::{Epic, built, endpoint};
use crate::http;

impl Epic {
    /// Asks a member's first service for a page.
    ///
    /// # Errors
    /// It has no endpoint now, or gives no answer.
    pub async fn ask(&self, member: &str, page: &str) -> Result<String> {
        let url = endpoint(&self.status().await?, member)?;
        http::get(&format!("{}{page}", url.trim_end_matches('/'))).await
    }

    /// Asks a member's first service for a page that is never answered; returns once it has been asked.
    ///
    /// # Errors
    /// It has no endpoint now, or doesn't take the question.
    pub async fn tell(&self, member: &str, page: &str) -> Result<()> {
        let url = endpoint(&self.status().await?, member)?;
        let address = url.trim_start_matches("http://").trim_end_matches('/');
        let mut connection = tokio::net::TcpStream::connect(address).await?;
        connection.write_all(format!("GET {page} HTTP/1.0\r\n\r\n").as_bytes()).await?;
        Ok(connection.shutdown().await?)
    }

    /// Asks a member of the probe platform for the process id of its service.
    ///
    /// # Errors
    /// It gives no answer.
    pub async fn service_pid(&self, member: &str) -> Result<u32> {
        let page = self.ask(member, "/").await?;
        Ok(page.trim().rsplit_once(' ').context("the page ends with the pid")?.1.parse()?)
    }

    /// Runs `epicctl` against this scheduler and returns what it prints.
    ///
    /// # Errors
    /// It can't be started, or fails: what it says.
    pub async fn epicctl(&self, args: &[&str]) -> Result<String> {
        let mut command = tokio::process::Command::new(built("epicctl")?);
        command.args(args).env("EPIC_SERVER", self.url()).env("EPIC_TOKEN_FILE", self.state_dir().join("token"));
        let output = command.output().await?;
        let (stdout, stderr) =
            (String::from_utf8(output.stdout)?, String::from_utf8_lossy(&output.stderr).into_owned());
        ensure!(output.status.success(), "epicctl {args:?} ends with {}: {stdout}{stderr}", output.status);
        Ok(stdout)
    }
}
