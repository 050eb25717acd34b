//! What a platform document and its bundle want together.

use std::collections::BTreeMap;

use epic_common::invalid::{Invalid, Invalids};
use epic_common::manifest::{Cardinality, Role};
use epic_common::spec;
use epic_scheduler_core::state::deployment::{self, Bundle, Desired};

use crate::artifacts::BundleFacts;

/// Joins a platform document with the bundle that it names.
///
/// A role that the document doesn't count has as many members as the bundle needs at least; a controller or worker has
/// at least one, unless the document says otherwise. Whether the bundle allows a count is checked when it is admitted.
///
/// # Errors
///
/// Members are counted of a role that the bundle doesn't have.
pub fn desired(document: &spec::Platform, bundle: &BundleFacts) -> Result<Desired, Invalids> {
    let manifest = &bundle.manifest;
    let counted = [("controller", document.controllers), ("worker", document.workers)];
    let absent = counted.iter().filter(|(role, count)| count.is_some() && manifest.role(&(*role).into()).is_none());
    let roles: Vec<_> = manifest.roles.iter().map(|role| role.id.as_str()).collect();
    let wrong = absent.map(|(role, _)| {
        let problem = format!("the bundle has no role {role}, only {}; take it out", roles.join(", "));
        Invalid::new(format!("spec.{role}s.count"), problem)
    });
    let wrong: Vec<_> = wrong.collect();
    let members = |role: &Role| {
        let said = counted.iter().find(|(counted, _)| *counted == role.id.as_str()).map(|(_, count)| *count);
        let count = match said {
            Some(Some(count)) => count,
            Some(None) => least(role).max(1),
            None => least(role),
        };
        (role.id.clone(), count)
    };
    let desired = Desired {
        name: document.name.clone(),
        bundle: Bundle {
            sha256: bundle.digest,
            bytes: bundle.bytes,
            distro_id: manifest.distro_id.clone(),
            version: manifest.version.clone(),
        },
        roles: deployment::needs(manifest),
        members: manifest.roles.iter().map(members).collect::<BTreeMap<_, _>>(),
        ceiling: document.ceiling,
        root_allowed: document.root_allowed,
    };
    Invalids::unless_none("platform", wrong, desired)
}

const fn least(role: &Role) -> u32 {
    match role.cardinality {
        Cardinality::Exactly(count) | Cardinality::AtLeast(count) => count,
    }
}
