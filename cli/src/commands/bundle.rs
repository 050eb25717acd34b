//! `epicctl bundle`: makes, shows, checks and pushes bundles.

mod push;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use comfy_table::{Table, presets};
use epic_common::ids::Digest;
use epic_common::manifest::{Manifest, Port, Role};
use epic_common::resources::Bytes;
use epic_common_io::bundle::{self, Bundle};
use serde_json::{Value, json};

use crate::args::Output;
use crate::failure::EXIT_CODES;
use crate::terminal::say;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Makes a bundle from manifest.yaml and payload/ in a directory; the same input gives the same sha256.
    Build(Build),
    /// Shows what a bundle says of itself; its sha256 is computed, its payload is not checked.
    Inspect(Inspect),
    /// Checks a bundle wholly: sha256, manifest and every entry of the payload.
    Verify {
        /// The bundle.
        file: PathBuf,
    },
    /// Checks a bundle, hands it to the scheduler's replicas, and says how many hold it; a platform can then name its sha256.
    #[command(after_help = EXIT_CODES)]
    Push(push::Push),
}

#[derive(Debug, Args)]
pub(crate) struct Build {
    /// Directory with manifest.yaml and payload/.
    source: PathBuf,
    /// The bundle to make; one that is there is replaced.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// The bundle.
    file: PathBuf,
    /// How to show it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Output,
}

pub(crate) fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Build(build) => {
            let built = bundle::build(&build.source, &build.output)?;
            say(&format!("{}: built, {}\nsha256 {}", build.output.display(), size(built.bytes), built.digest))?;
        }
        Command::Inspect(inspect) => {
            let bundle = Bundle::open(&inspect.file)?;
            let digest = bundle.file_digest()?;
            say(&match inspect.output {
                Output::Text => text(&bundle, digest),
                Output::Json => format!("{:#}", as_json(&bundle, digest)),
            })?;
        }
        Command::Verify { file } => {
            let digest = bundle::verify(&file)?;
            say(&format!("{}: ok\nsha256 {digest}", file.display()))?;
        }
        Command::Push(push) => push::run(push)?,
    }
    Ok(())
}

fn text(bundle: &Bundle, digest: Digest) -> String {
    let Manifest { distro_id, version, name, description, roles, config_meta } = bundle.manifest();
    let mut lines = vec![
        format!("bundle       {distro_id} {version}"),
        format!("name         {name}"),
        format!("description  {description}"),
        format!("size         {}, {} unpacked", size(bundle.bytes()), size(bundle.unpacked_bytes())),
        format!("sha256       {digest}"),
    ];
    lines.extend(config_meta.iter().map(|(key, value)| format!("meta         {key}={value}")));
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_header(["ROLE", "MEMBERS", "CORES", "MEMORY", "DISK", "SERVICE", "PORTS", "USER"]);
    for role in roles {
        for (nth, service) in role.services.iter().enumerate() {
            let ports: Vec<_> = service.ports.iter().map(port).collect();
            let user = service.user.as_deref().unwrap_or("(unprivileged)");
            let mut row = if nth == 0 { of_role(role) } else { vec![String::new(); 5] };
            row.extend([service.id.to_string(), ports.join(" "), user.to_owned()]);
            table.add_row(row);
        }
    }
    format!("{}\n\n{}", lines.join("\n"), table.trim_fmt())
}

fn of_role(role: &Role) -> Vec<String> {
    let Role { id, cardinality, cpus, mem, disk, services: _ } = role;
    let disk = if *disk == Bytes(0) { "-".to_owned() } else { disk.to_string() };
    vec![id.to_string(), cardinality.to_string(), cpus.to_string(), mem.to_string(), disk]
}

fn port(port: &Port) -> String {
    let number = port.fixed.map_or_else(|| "auto".to_owned(), |number| number.to_string());
    format!("{}:{number}", port.name)
}

fn as_json(bundle: &Bundle, digest: Digest) -> Value {
    let Manifest { distro_id, version, name, description, roles, config_meta } = bundle.manifest();
    let roles: Vec<_> = roles.iter().map(role_json).collect();
    json!({
        "distroID": distro_id,
        "version": version,
        "label": {"name": name, "description": description},
        "sha256": digest.to_string(),
        "bytes": bundle.bytes(),
        "unpackedBytes": bundle.unpacked_bytes(),
        "configMeta": config_meta,
        "roles": roles,
    })
}

fn role_json(role: &Role) -> Value {
    let Role { id, cardinality, cpus, mem, disk, services } = role;
    let service = |service: &epic_common::manifest::Service| {
        let ports: Vec<_> = service.ports.iter().map(|port| json!({"name": port.name, "port": port.fixed})).collect();
        json!({"id": service.id.as_str(), "command": service.command, "ports": ports, "user": service.user})
    };
    json!({
        "id": id.as_str(),
        "cardinality": cardinality.to_string(),
        "minMilliCores": cpus.0,
        "minMemoryBytes": mem.0,
        "minStorageBytes": disk.0,
        "services": services.iter().map(service).collect::<Vec<_>>(),
    })
}

/// Shows a length to a tenth of its unit.
fn size(bytes: u64) -> String {
    let mut tenths = u128::from(bytes) * 10;
    let mut units = ["B", "KiB", "MiB", "GiB"].into_iter();
    let mut unit = units.next();
    while tenths >= 10_240 && units.len() > 0 {
        tenths /= 1024;
        unit = units.next();
    }
    let unit = unit.unwrap_or("GiB");
    if unit == "B" { format!("{bytes} B") } else { format!("{}.{} {unit}", tenths / 10, tenths % 10) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_decimal() {
        let shown: Vec<_> = [0, 1023, 1024, 1536, 20 << 20, 5 << 40].map(size).into();
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "20.0 MiB", "5120.0 GiB"]);
    }
}
