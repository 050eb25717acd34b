//! `epicctl admin`: saves the scheduler's state, and changes who it is to Mesos and who may change it.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use epic_common::api::NewToken;
use epic_common::ids::Digest;
use epic_common_io::backup::{self, Backup};
use epic_common_io::secret::Secret;
use reqwest::Method;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::args::Output;
use crate::client::{Client, Connection, token_in};
use crate::failure::{EXIT_CODES, Failure};
use crate::render;
use crate::terminal::say;

/// Saves the scheduler's state, and changes who it is to Mesos and who may change it.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Admin {
    #[command(flatten)]
    connection: Connection,
    /// How to show answers.
    #[arg(short, long, global = true, value_enum, default_value_t)]
    output: Output,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Writes all that the scheduler has decided to one new file; epic-scheduler state restore reads it.
    #[command(after_help = EXIT_CODES)]
    Backup {
        /// The file; one that is there is never overwritten.
        file: PathBuf,
    },
    /// Begins anew as another framework of Mesos, after the present one was removed.
    #[command(after_help = EXIT_CODES)]
    NewFramework {
        /// Really begin anew; without, what would be given up is shown.
        #[arg(long)]
        yes: bool,
    },
    /// Lets another token allow changes from now on, at all replicas; the present one no longer does.
    #[command(after_help = EXIT_CODES)]
    SetToken {
        /// File with the new token: 16 to 256 visible ASCII characters.
        #[arg(long, value_name = "FILE")]
        new_token_file: PathBuf,
        /// Really change it; without, what would change is said.
        #[arg(long)]
        yes: bool,
    },
}

pub(crate) fn run(admin: Admin) -> anyhow::Result<()> {
    let Admin { connection, output, command } = admin;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = Client::new(connection)?;
    runtime.block_on(async {
        match command {
            Command::Backup { file } => save(&client, output, &file).await,
            Command::NewFramework { yes: true } => begin_anew(&client, output).await,
            Command::NewFramework { yes: false } => would_begin_anew(&client).await,
            Command::SetToken { new_token_file, yes } => {
                let token = new_token(&new_token_file)?;
                if yes { set_token(&client, output, &token).await } else { would_set_token(&new_token_file) }
            }
        }
    })
}

async fn save(client: &Client, output: Output, file: &Path) -> anyhow::Result<()> {
    // Else the scheduler would do the work first.
    if file.exists() {
        return Err(backup::Error::Exists { path: file.to_owned() }.into());
    }
    let bytes_max = usize::try_from(backup::BYTES_MAX).unwrap_or(usize::MAX);
    let bytes = client.file("/api/v2/admin/backup", bytes_max).await?;
    let read = Backup::decode(&bytes)
        .map_err(|flaw| anyhow::anyhow!("what the scheduler sent cannot be used as a backup: {flaw}; try again"))?;
    backup::write_new(file, &bytes)?;
    let (file, index, bytes) = (file.display(), read.index, bytes.len());
    Ok(say(&match output {
        Output::Text => format!("{file}: written, {bytes} bytes, the state after entry {index}"),
        Output::Json => format!("{:#}", json!({"file": file.to_string(), "index": index, "bytes": bytes})),
    })?)
}

async fn begin_anew(client: &Client, output: Output) -> anyhow::Result<()> {
    let granted = client.change_at(Method::POST, "/api/v2/admin/new-framework", Vec::new()).await?;
    Ok(say(&match output {
        Output::Text => render::clean(&granted.message),
        Output::Json => serde_json::to_string_pretty(&granted)?,
    })?)
}

/// Says what would be given up, and fails.
async fn would_begin_anew(client: &Client) -> anyhow::Result<()> {
    let view = client.view().await?;
    let framework = match view.mesos.framework_id.as_str() {
        "" => return Err(Failure::Usage("there is no framework yet, so there is none to replace".to_owned()).into()),
        framework => render::clean(framework),
    };
    let members = view.instances.iter().filter(|member| !member.host.is_empty());
    let mut lines = vec![
        format!("would give up the framework {framework} for a new one:"),
        "  every member is started again, as a task of the new framework".to_owned(),
        "  what still runs as a task of the old one is not looked after any more".to_owned(),
    ];
    lines.extend(members.map(|member| format!("    {} on {}", render::clean(&member.id), render::clean(&member.host))));
    if !view.mesos.problem.is_empty() {
        lines.push(format!("Mesos now: {}", render::clean(&view.mesos.problem)));
    }
    say(&lines.join("\n"))?;
    Err(Failure::Usage("nothing was done; repeat it with --yes".to_owned()).into())
}

/// Reads the new token; the scheduler, which is told its sha256 only, can't tell whether it is good for anything.
fn new_token(file: &Path) -> anyhow::Result<Secret> {
    let token = token_in(file)?;
    let length = token.expose().len();
    if !TOKEN_LENGTHS.contains(&length) {
        let text = format!(
            "token file {} holds no token: {} to {} visible ASCII characters are needed, it has {}",
            file.display(),
            TOKEN_LENGTHS.start(),
            TOKEN_LENGTHS.end(),
            length
        );
        return Err(Failure::Usage(text).into());
    }
    Ok(token)
}

async fn set_token(client: &Client, output: Output, new: &Secret) -> anyhow::Result<()> {
    let body =
        serde_json::to_vec(&NewToken { sha256: Digest(Sha256::digest(new.expose().as_bytes()).into()).to_string() })?;
    let ask = async |token: &Secret| client.change_as(token, Method::PUT, "/api/v2/token", body.clone()).await;
    let granted = match ask(&client.token()?).await {
        // It may have been granted before, to somebody who didn't hear of it: then the new token can say so.
        Err(error) if is_unauthorized(&error) => ask(new).await.map_err(|_| error)?,
        answer => answer?,
    };
    let next =
        "put it into the file or variable that each scheduler is started with, and into those of whoever uses epicctl";
    Ok(say(&match output {
        Output::Text => format!("{}\n{next}", render::clean(&granted.message)),
        Output::Json => serde_json::to_string_pretty(&granted)?,
    })?)
}

fn is_unauthorized(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(Failure::Refused(problem)) if problem.status == 401)
}

/// Says what would change, and fails.
fn would_set_token(file: &Path) -> anyhow::Result<()> {
    say(&format!(
        "would let the token in {} allow changes, at all replicas, and the present one no longer",
        file.display()
    ))?;
    Err(Failure::Usage("nothing was done; repeat it with --yes".to_owned()).into())
}

/// What the scheduler takes when it reads a token itself.
const TOKEN_LENGTHS: RangeInclusive<usize> = 16..=256;
