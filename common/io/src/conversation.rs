//! The bytes of what scheduler and executor say to each other.

use std::collections::BTreeMap;

use epic_common::conversation::{
    DOCUMENT_BYTES_MAX, DocumentText, LaunchOrder, Nudge, Phase, Report, SOURCES_MAX, ServiceReport,
};
use epic_common::ids::{Digest, Malformed, RoleId, ServiceId};
use epic_common::resources::{Bytes, Grant, MilliCpus};
use epic_proto::epic::v1 as proto;
use prost::Message;
use thiserror::Error;

/// Why bytes from the other side can't be read.
#[derive(Debug, Error)]
pub enum Error {
    /// Not protobuf, or not of this message.
    #[error("cannot decode {what}")]
    Undecodable {
        /// The message.
        what: &'static str,
        /// What the decoder says.
        source: prost::DecodeError,
    },
    /// A field that must be there isn't.
    #[error("{what} has no {field}")]
    Missing {
        /// The message.
        what: &'static str,
        /// The field.
        field: &'static str,
    },
    /// A field has a value that it can't have.
    #[error("{what} has {found} as its {field}")]
    OutOfRange {
        /// The message.
        what: &'static str,
        /// The field.
        field: &'static str,
        /// The value.
        found: u64,
    },
    /// The task's name can't be read.
    #[error("cannot read the task of a launch order")]
    Task {
        /// What is wrong with it.
        source: Malformed,
    },
    /// The unit's name can't be read.
    #[error("cannot read the unit of a nudge")]
    Unit {
        /// What is wrong with it.
        source: Malformed,
    },
}

/// Writes a launch order.
#[must_use]
pub fn encode_order(order: &LaunchOrder) -> Vec<u8> {
    proto::LaunchOrder {
        task_id: order.task.to_string(),
        role: order.role.to_string(),
        bundle_sha256: order.bundle.0.to_vec(),
        bundle_bytes: order.bundle_bytes,
        artifacts: order.artifacts.clone(),
        grant: Some(grant_to_proto(&order.grant)),
        hostname: order.hostname.clone(),
        platform: order.platform.clone(),
        root_allowed: order.root_allowed,
        documents: order.documents.iter().map(document_to_proto).collect(),
    }
    .encode_to_vec()
}

/// Reads a launch order.
///
/// # Errors
///
/// What is wrong with the bytes.
pub fn decode_order(bytes: &[u8]) -> Result<LaunchOrder, Error> {
    let what = "a launch order";
    let order = proto::LaunchOrder::decode(bytes).map_err(|source| Error::Undecodable { what, source })?;
    let grant = order.grant.ok_or(Error::Missing { what, field: "grant" })?;
    Ok(LaunchOrder {
        task: order.task_id.parse().map_err(|source| Error::Task { source })?,
        role: RoleId::new(order.role),
        bundle: Digest(
            order.bundle_sha256.try_into().map_err(|_| Error::Missing { what, field: "bundle_sha256 of 32 bytes" })?,
        ),
        bundle_bytes: order.bundle_bytes,
        artifacts: sources(order.artifacts),
        grant: grant_from_proto(grant)?,
        hostname: order.hostname,
        platform: order.platform,
        root_allowed: order.root_allowed,
        documents: order.documents.into_iter().map(document_from_proto).collect::<Result<_, _>>()?,
    })
}

/// Writes a nudge.
#[must_use]
pub fn encode_nudge(nudge: &Nudge) -> Vec<u8> {
    let kind = match nudge {
        Nudge::Document { instance, document } => proto::nudge::Kind::Document(proto::DocumentNudge {
            instance: instance.to_string(),
            document: Some(document_to_proto(document)),
        }),
        Nudge::Sources { urls } => proto::nudge::Kind::Sources(proto::SourcesNudge { urls: urls.clone() }),
    };
    proto::Nudge { kind: Some(kind) }.encode_to_vec()
}

/// Reads a nudge; `None` is one of a kind that this version doesn't know.
///
/// # Errors
///
/// What is wrong with the bytes.
pub fn decode_nudge(bytes: &[u8]) -> Result<Option<Nudge>, Error> {
    let what = "a nudge";
    let nudge = proto::Nudge::decode(bytes).map_err(|source| Error::Undecodable { what, source })?;
    Ok(match nudge.kind {
        Some(proto::nudge::Kind::Document(nudge)) => {
            let document = nudge.document.ok_or(Error::Missing { what, field: "document" })?;
            let instance = nudge.instance.parse().map_err(|source| Error::Unit { source })?;
            let document = document_from_proto(document)?;
            Some(Nudge::Document { instance, document })
        }
        Some(proto::nudge::Kind::Sources(nudge)) => Some(Nudge::Sources { urls: sources(nudge.urls) }),
        None => None,
    })
}

/// Keeps what an executor may be told of.
fn sources(mut urls: Vec<String>) -> Vec<String> {
    urls.truncate(SOURCES_MAX);
    urls
}

/// Writes a report.
#[must_use]
pub fn encode_report(report: &Report) -> Vec<u8> {
    report_to_proto(report).encode_to_vec()
}

/// Reads a report.
///
/// # Errors
///
/// What is wrong with the bytes.
pub fn decode_report(bytes: &[u8]) -> Result<Report, Error> {
    let report = proto::Report::decode(bytes).map_err(|source| Error::Undecodable { what: "a report", source })?;
    report_from_proto(report)
}

/// Makes the message of a report, which is also part of the journal.
#[must_use]
pub fn report_to_proto(report: &Report) -> proto::Report {
    let services = report.services.iter().map(|service| proto::ServiceReport {
        id: service.id.to_string(),
        ready: service.ready,
        restarts: service.restarts,
        reason: service.reason.clone(),
    });
    proto::Report {
        phase: phase_to_proto(report.phase).into(),
        percent: report.percent.map(u32::from),
        documents: report.documents.clone(),
        services: services.collect(),
    }
}

/// Takes a report from its message.
///
/// # Errors
///
/// The field that is out of its range.
pub fn report_from_proto(report: proto::Report) -> Result<Report, Error> {
    let what = "a report";
    let out_of_range =
        |field, found: i64| Error::OutOfRange { what, field, found: u64::try_from(found).unwrap_or(u64::MAX) };
    let phase = proto::Phase::try_from(report.phase).map_err(|_| out_of_range("phase", report.phase.into()))?;
    let percent = match report.percent {
        None => None,
        Some(percent) => Some(
            u8::try_from(percent)
                .ok()
                .filter(|percent| *percent <= 100)
                .ok_or_else(|| out_of_range("percent", percent.into()))?,
        ),
    };
    let services = report.services.into_iter().map(|service| ServiceReport {
        id: ServiceId::new(service.id),
        ready: service.ready,
        restarts: service.restarts,
        reason: service.reason,
    });
    let documents: BTreeMap<_, _> = report.documents;
    Ok(Report { phase: phase_from_proto(phase), percent, documents, services: services.collect() })
}

/// Makes the message of a grant, which is also part of the journal.
#[must_use]
pub fn grant_to_proto(grant: &Grant) -> proto::Grant {
    proto::Grant {
        milli_cpus: grant.cpus.0,
        mem_bytes: grant.mem.0,
        disk_bytes: grant.disk.0,
        ports: grant.ports.iter().map(|(name, port)| (name.clone(), u32::from(*port))).collect(),
    }
}

/// Takes a grant from its message.
///
/// # Errors
///
/// A port that isn't one.
pub fn grant_from_proto(grant: proto::Grant) -> Result<Grant, Error> {
    let ports = grant.ports.into_iter().map(|(name, port)| match u16::try_from(port) {
        Ok(port) if port != 0 => Ok((name, port)),
        Ok(_) | Err(_) => Err(Error::OutOfRange { what: "a grant", field: "port", found: port.into() }),
    });
    Ok(Grant {
        cpus: MilliCpus(grant.milli_cpus),
        mem: Bytes(grant.mem_bytes),
        disk: Bytes(grant.disk_bytes),
        ports: ports.collect::<Result<_, _>>()?,
    })
}

fn document_to_proto(document: &DocumentText) -> proto::DocumentText {
    proto::DocumentText { name: document.name.clone(), generation: document.generation, json: document.json.clone() }
}

fn document_from_proto(document: proto::DocumentText) -> Result<DocumentText, Error> {
    if document.json.len() > DOCUMENT_BYTES_MAX {
        let found = u64::try_from(document.json.len()).unwrap_or(u64::MAX);
        return Err(Error::OutOfRange { what: "a document", field: "length", found });
    }
    Ok(DocumentText { name: document.name, generation: document.generation, json: document.json })
}

const fn phase_to_proto(phase: Phase) -> proto::Phase {
    match phase {
        Phase::Accepted => proto::Phase::Accepted,
        Phase::Fetching => proto::Phase::Fetching,
        Phase::Installing => proto::Phase::Installing,
        Phase::Configuring => proto::Phase::Configuring,
        Phase::Starting => proto::Phase::Starting,
        Phase::Ready => proto::Phase::Ready,
        Phase::Degraded => proto::Phase::Degraded,
        Phase::Stopping => proto::Phase::Stopping,
        Phase::Ended => proto::Phase::Ended,
    }
}

const fn phase_from_proto(phase: proto::Phase) -> Phase {
    match phase {
        proto::Phase::Accepted => Phase::Accepted,
        proto::Phase::Fetching => Phase::Fetching,
        proto::Phase::Installing => Phase::Installing,
        proto::Phase::Configuring => Phase::Configuring,
        proto::Phase::Starting => Phase::Starting,
        proto::Phase::Ready => Phase::Ready,
        proto::Phase::Degraded => Phase::Degraded,
        proto::Phase::Stopping => Phase::Stopping,
        proto::Phase::Ended => Phase::Ended,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order() -> LaunchOrder {
        LaunchOrder {
            task: "worker-1.3".parse().unwrap(),
            role: "worker".into(),
            bundle: Digest([0xab; 32]),
            bundle_bytes: 1 << 40,
            artifacts: vec!["http://10.0.0.1:8080".into(), "http://10.0.0.2:8080".into()],
            grant: Grant {
                cpus: MilliCpus(1500),
                mem: Bytes(1 << 30),
                disk: Bytes(1),
                ports: [("web".to_owned(), 31_000), ("metrics".to_owned(), 65_535)].into(),
            },
            hostname: "10.0.0.9".into(),
            platform: "demo".into(),
            root_allowed: true,
            documents: vec![document()],
        }
    }

    fn document() -> DocumentText {
        DocumentText { name: "members".into(), generation: 7, json: "{\"worker\":[]}".into() }
    }

    fn report(phase: Phase) -> Report {
        Report {
            phase,
            percent: Some(100),
            documents: [("members".to_owned(), 7)].into(),
            services: vec![ServiceReport {
                id: "node-exporter".into(),
                ready: true,
                restarts: 2,
                reason: "exited with code 3: ä".into(),
            }],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(decode_order(&encode_order(&order())).unwrap(), order());
        let nudge = Nudge::Document { instance: "worker-1".parse().unwrap(), document: document() };
        assert_eq!(decode_nudge(&encode_nudge(&nudge)).unwrap(), Some(nudge));
        let nudge = Nudge::Sources { urls: order().artifacts };
        assert_eq!(decode_nudge(&encode_nudge(&nudge)).unwrap(), Some(nudge));
        for (phase, _) in Phase::ALL {
            assert_eq!(decode_report(&encode_report(&report(phase))).unwrap(), report(phase));
        }
        assert_eq!(decode_report(&[]).unwrap(), Report::default());
    }

    #[test]
    fn sources_beyond_the_bound_are_left_out() {
        let urls: Vec<_> = (0..=SOURCES_MAX).map(|n| format!("http://h{n}")).collect();
        let expected = urls[..SOURCES_MAX].to_vec();
        let long = LaunchOrder { artifacts: urls.clone(), ..order() };
        assert_eq!(decode_order(&encode_order(&long)).unwrap().artifacts, expected);
        let nudge = decode_nudge(&encode_nudge(&Nudge::Sources { urls })).unwrap();
        assert_eq!(nudge, Some(Nudge::Sources { urls: expected }));
    }

    #[test]
    fn a_nudge_of_a_kind_that_is_not_known_is_no_error() {
        // Field 15 of the oneof, with an empty message.
        assert_eq!(decode_nudge(&[0x7a, 0]).unwrap(), None);
    }

    #[test]
    fn bad_bytes_are_an_error() {
        let good = encode_order(&order());
        for cut in 0..good.len() {
            assert!(decode_order(&good[..cut]).is_err() || cut > good.len() - encode_document_bytes(), "cut at {cut}");
        }
        for at in 0..good.len() {
            let mut bytes = good.clone();
            bytes[at] = bytes[at].wrapping_add(0x55);
            decode_order(&bytes).ok();
            decode_report(&bytes).ok();
            decode_nudge(&bytes).ok();
        }
    }

    /// What follows the last required field of [`order`] may be cut off between two fields.
    fn encode_document_bytes() -> usize {
        let (mut without, with) = (order(), order());
        without.documents.clear();
        (without.hostname, without.platform, without.root_allowed) = (String::new(), String::new(), false);
        encode_order(&with).len() - encode_order(&without).len() + 1
    }

    #[test]
    fn values_out_of_range_are_refused() {
        let check = |change: fn(&mut proto::LaunchOrder), expected: &str| {
            let mut order = proto::LaunchOrder::decode(&encode_order(&order())[..]).unwrap();
            change(&mut order);
            assert_eq!(decode_order(&order.encode_to_vec()).unwrap_err().to_string(), expected);
        };
        check(|order| order.grant = None, "a launch order has no grant");
        check(|order| order.task_id = "x".into(), "cannot read the task of a launch order");
        check(|order| order.bundle_sha256 = vec![1; 31], "a launch order has no bundle_sha256 of 32 bytes");
        check(|order| order.documents[0].json = "x".repeat(65_537), "a document has 65537 as its length");
        for port in [0, 65_536] {
            let mut order = proto::LaunchOrder::decode(&encode_order(&order())[..]).unwrap();
            order.grant.as_mut().unwrap().ports.insert("web".into(), port);
            assert!(matches!(decode_order(&order.encode_to_vec()), Err(Error::OutOfRange { field: "port", .. })));
        }
        let report = proto::Report { percent: Some(101), ..proto::Report::default() };
        assert!(matches!(decode_report(&report.encode_to_vec()), Err(Error::OutOfRange { field: "percent", .. })));
        let report = proto::Report { phase: 99, ..proto::Report::default() };
        assert!(matches!(decode_report(&report.encode_to_vec()), Err(Error::OutOfRange { field: "phase", .. })));
    }
}
