//! Which system calls a service may make: those of the usual container profile.
//!
//! `seccomp.json` has two filters. What the first doesn't allow is answered with `ENOSYS`, as by a kernel that doesn't
//! know it, so that programs fall back from calls that are newer than the list. The second is installed later, so its
//! answer counts where both have one: what is known and forbidden is answered with `EPERM`.
//!
//! Source: the default profile of Docker (moby/profiles, seccomp/default.json) for a container without `CAP_SYS_ADMIN`.
//! Unlike there, processes can't be traced and key rings not used, since services share a user and a pid namespace.

use anyhow::Context as _;
use seccompiler::{TargetArch, apply_filter, compile_from_json};

const FILTERS: &str = include_str!("seccomp.json");

/// Restricts this process and all that it becomes, for ever; it must have given up privileges by `no_new_privs`.
///
/// # Errors
///
/// A kernel without seccomp (before 3.17), or another architecture.
pub fn restrict() -> anyhow::Result<()> {
    let arch =
        TargetArch::try_from(std::env::consts::ARCH).context("there is no list of this machine's system calls")?;
    let filters = compile_from_json(FILTERS.as_bytes(), arch).context("cannot compile the list of system calls")?;
    for name in ["allowed", "forbidden"] {
        let filter = filters.get(name).with_context(|| format!("there is no list {name}"))?;
        apply_filter(filter).with_context(|| format!("cannot restrict system calls to those {name}"))?;
    }
    Ok(())
}
