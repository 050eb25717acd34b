//! The lettered properties of `src/matcher/README.md`, on random demands, offers and states.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use epic_common::ids::{AgentId, Digest, OfferId, RoleId, UnitId};
use epic_common::manifest::Cardinality;
use epic_common::resources::{Bytes, Grant, MilliCpus, PortRange, Ports};
use epic_common::spec::Ceiling;
use epic_common::time::Timestamp;
use epic_scheduler_core::matcher::{Demand, ExecutorNeeds, Matching, Placed, Reason, match_offers};
use epic_scheduler_core::mesos::{Amount, Executor, Offer, Reservation, Resource, StreamId, TaskState};
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::deployment::{Bundle, Desired, RoleNeeds};
use epic_scheduler_core::state::entry::{Entry, Fact, LaunchDecided, StatusRecorded};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

const EXECUTOR: ExecutorNeeds = ExecutorNeeds { cpus: MilliCpus(1), mem: Bytes(1) };
const REASONS_MAX: usize = 10_000;

/// Everything that a matching depends on.
#[derive(Clone, Debug)]
struct Case {
    state: State,
    roles: Vec<RoleNeeds>,
    offers: Vec<Offer>,
}

impl Case {
    fn demands(&self) -> Vec<Demand<'_>> {
        let demand = |(nth, needs): (usize, _)| Demand { unit: waiting(nth), needs };
        self.roles.iter().enumerate().map(demand).collect()
    }

    fn matching(&self) -> Matching {
        match_offers(&self.state, &self.demands(), &self.offers.iter().collect::<Vec<_>>(), (EXECUTOR, REASONS_MAX))
    }

    fn offer(&self, id: &OfferId) -> &Offer {
        self.offers.iter().find(|offer| offer.id == *id).unwrap()
    }

    fn needs(&self, placed: &Placed) -> &RoleNeeds {
        let nth = usize::try_from(placed.unit.ordinal).unwrap();
        &self.roles[nth]
    }

    fn is_free(&self, agent: &AgentId) -> bool {
        !self.state.units.tasks.values().any(|task| task.agent == *agent)
    }

    /// Tells, in the slowest and plainest way, whether a member could go on an offer.
    fn fits(&self, needs: &RoleNeeds, offer: &Offer) -> bool {
        let (cpus, mem) = (needs.cpus.0 + EXECUTOR.cpus.0, needs.mem.0 + EXECUTOR.mem.0);
        let ceiling = self.state.platform().and_then(|desired| desired.ceiling);
        let fixed: BTreeSet<_> = needs.ports.values().copied().flatten().collect();
        let numbers = ports(offer, None);
        self.is_free(&offer.agent)
            && !offer.unavailable
            && cpus <= amount(offer, Some(Reservation::Static), cpus_of)
            && mem <= amount(offer, Some(Reservation::Static), mem_of)
            && needs.disk.0 <= amount(offer, None, disk_of)
            && ceiling.is_none_or(|ceiling| cpus <= ceiling.cpus.0 && mem <= ceiling.mem.0)
            && fixed.len() == needs.ports.values().flatten().count()
            && fixed.is_subset(&numbers)
            && needs.ports.len() <= numbers.len()
    }
}

fn waiting(nth: usize) -> UnitId {
    UnitId::of_platform(&RoleId::from("waiting"), u32::try_from(nth).unwrap())
}

fn amount(offer: &Offer, of: Option<Reservation>, what: fn(&Amount) -> u64) -> u64 {
    let resources = offer.resources.iter().filter(|resource| of.is_none_or(|of| resource.reservation == of));
    resources.map(|resource| what(&resource.amount)).sum()
}

fn cpus_of(amount: &Amount) -> u64 {
    if let Amount::Cpus(cpus) = amount { cpus.0 } else { 0 }
}

fn mem_of(amount: &Amount) -> u64 {
    if let Amount::Mem(mem) = amount { mem.0 } else { 0 }
}

fn disk_of(amount: &Amount) -> u64 {
    if let Amount::Disk(disk) = amount { disk.0 } else { 0 }
}

/// The usable ports of an offer.
fn ports(offer: &Offer, of: Option<Reservation>) -> BTreeSet<u16> {
    let resources = offer.resources.iter().filter(|resource| of.is_none_or(|of| resource.reservation == of));
    let sets =
        resources.filter_map(|resource| if let Amount::Ports(ports) = &resource.amount { Some(ports) } else { None });
    let numbers = sets.flat_map(|ports| ports.ranges().iter().flat_map(|range| range.first..=range.last));
    numbers.filter(|number| *number != 0).collect()
}

fn resource() -> impl Strategy<Value = Resource> {
    let reservation = prop_oneof![Just(Reservation::Static), Just(Reservation::Unreserved)];
    let amount = prop_oneof![
        (0..8_u64).prop_map(|cpus| Amount::Cpus(MilliCpus(cpus))),
        (0..8_u64).prop_map(|mem| Amount::Mem(Bytes(mem))),
        (0..8_u64).prop_map(|disk| Amount::Disk(Bytes(disk))),
        (0..6_u16, 0..4_u16)
            .prop_map(|(first, more)| Amount::Ports(Ports::new([PortRange { first, last: first + more }]))),
    ];
    (reservation, amount).prop_map(|(reservation, amount)| Resource { reservation, amount })
}

/// Ports are offered once: Mesos never has one both reserved and not.
fn without_doubles(mut resources: Vec<Resource>) -> Vec<Resource> {
    let mut seen = Ports::default();
    for resource in &mut resources {
        if let Amount::Ports(ports) = &mut resource.amount {
            for range in seen.ranges() {
                for port in range.first..=range.last {
                    ports.remove(port);
                }
            }
            seen = seen.union(ports);
        }
    }
    resources
}

fn offer() -> impl Strategy<Value = (u8, Vec<Resource>, bool)> {
    (0..4_u8, vec(resource(), 0..12).prop_map(without_doubles), prop::bool::weighted(0.1))
}

fn role() -> impl Strategy<Value = RoleNeeds> {
    let ports = btree_map("[a-c]", option::of(1..6_u16), 0..3);
    (0..6_u64, 0..6_u64, 0..6_u64, ports).prop_map(|(cpus, mem, disk, ports)| RoleNeeds {
        id: "worker".into(),
        cardinality: Cardinality::AtLeast(0),
        cpus: MilliCpus(cpus),
        mem: Bytes(mem),
        disk: Bytes(disk),
        ports,
        reads_members: false,
        endpoints: Vec::new(),
    })
}

fn case() -> impl Strategy<Value = Case> {
    let ceiling = option::weighted(0.3, (0..8_u64, 0..8_u64));
    (vec(role(), 0..5), vec(offer(), 0..6), ceiling, 0..3_u8).prop_map(|(roles, offers, ceiling, occupied)| Case {
        state: state(ceiling, occupied),
        roles,
        offers: offers
            .into_iter()
            .enumerate()
            .map(|(nth, (agent, resources, unavailable))| Offer {
                id: OfferId::new(format!("offer-{nth}")),
                agent: AgentId::new(format!("agent-{agent}")),
                hostname: format!("host-{agent}"),
                resources,
                unavailable,
            })
            .collect(),
    })
}

/// A platform with a ceiling, and attempts on the first so many agents.
fn state(ceiling: Option<(u64, u64)>, occupied: u8) -> State {
    let desired = Desired {
        name: "demo".to_owned(),
        bundle: Bundle { sha256: Digest([0; 32]), bytes: 0, distro_id: String::new(), version: String::new() },
        roles: vec![RoleNeeds {
            id: "old".into(),
            cardinality: Cardinality::AtLeast(0),
            cpus: MilliCpus(0),
            mem: Bytes(0),
            disk: Bytes(0),
            ports: BTreeMap::new(),
            reads_members: false,
            endpoints: Vec::new(),
        }],
        members: [("old".into(), u32::from(occupied))].into(),
        ceiling: ceiling.map(|(cpus, mem)| Ceiling { cpus: MilliCpus(cpus), mem: Bytes(mem) }),
        root_allowed: false,
    };
    let launch = |nth: u8| {
        Fact::LaunchDecided(Box::new(LaunchDecided {
            task: format!("old-{nth}.1").parse().unwrap(),
            agent: AgentId::new(format!("agent-{nth}")),
            hostname: format!("host-{nth}"),
            offer: "gone".into(),
            stream: StreamId::default(),
            grant: Grant::default(),
            disk_reserved: Bytes(0),
            ports_reserved: Vec::new(),
            executor: Executor {
                id: format!("executor-{nth}").as_str().into(),
                url: String::new(),
                sha256: Digest([0; 32]),
                cpus: EXECUTOR.cpus,
                mem: EXECUTOR.mem,
            },
        }))
    };
    let mut state = State::default();
    let applied = Fact::PlatformApplied { desired: Box::new(desired), key: None };
    for fact in std::iter::once(applied).chain((0..occupied).map(launch)) {
        state.apply(&Entry::new(Timestamp(1), fact));
    }
    assert_eq!(state.units.tasks.len(), usize::from(occupied));
    state
}

fn check_places(case: &Case, matching: &Matching) {
    let offers: BTreeSet<_> = matching.placed.iter().map(|placed| &placed.offer).collect();
    let members: BTreeSet<_> = matching.placed.iter().map(|placed| &placed.unit).collect();
    let hosts: BTreeSet<_> = matching.placed.iter().map(|placed| &case.offer(&placed.offer).agent).collect();
    let count = matching.placed.len();
    assert_eq!((offers.len(), members.len()), (count, count), "A");
    assert_eq!(hosts.len(), count, "B");
    assert!(hosts.iter().all(|agent| case.is_free(agent)), "B");
    for placed in &matching.placed {
        check_amounts(case, placed);
        check_ports(case, placed);
        assert!(!case.offer(&placed.offer).unavailable, "L");
    }
}

fn check_amounts(case: &Case, placed: &Placed) {
    let (offer, needs, grant) = (case.offer(&placed.offer), case.needs(placed), &placed.fit.grant);
    assert_eq!((grant.cpus, grant.mem, grant.disk), (needs.cpus, needs.mem, needs.disk), "C");
    let (cpus, mem) = (grant.cpus.0 + EXECUTOR.cpus.0, grant.mem.0 + EXECUTOR.mem.0);
    assert!(cpus <= amount(offer, Some(Reservation::Static), cpus_of), "C, D");
    assert!(mem <= amount(offer, Some(Reservation::Static), mem_of), "C, D");
    assert!(grant.disk.0 <= amount(offer, None, disk_of), "C");
    let reserved = placed.fit.disk_reserved.0;
    assert!(reserved <= grant.disk.0 && reserved <= amount(offer, Some(Reservation::Static), disk_of), "D");
    assert!(grant.disk.0 - reserved <= amount(offer, Some(Reservation::Unreserved), disk_of), "D");
    if let Some(ceiling) = case.state.platform().unwrap().ceiling {
        assert!(cpus <= ceiling.cpus.0 && mem <= ceiling.mem.0, "F");
    }
}

fn check_ports(case: &Case, placed: &Placed) {
    let (offer, needs, given) = (case.offer(&placed.offer), case.needs(placed), &placed.fit.grant.ports);
    assert_eq!(given.keys().collect::<Vec<_>>(), needs.ports.keys().collect::<Vec<_>>(), "E");
    let numbers: BTreeSet<_> = given.values().copied().collect();
    assert_eq!(numbers.len(), given.len(), "E");
    assert!(numbers.is_subset(&ports(offer, None)), "C, E");
    for (name, fixed) in &needs.ports {
        assert!(fixed.is_none_or(|fixed| given[name] == fixed), "E");
    }
    let reserved: BTreeSet<_> = placed.fit.ports_reserved.iter().copied().collect();
    let expected = numbers.intersection(&ports(offer, Some(Reservation::Static))).copied().collect();
    assert_eq!(reserved, expected, "D");
}

fn check_reasons(case: &Case, matching: &Matching) {
    let placed: BTreeSet<_> = matching.placed.iter().map(|placed| placed.unit.clone()).collect();
    let hosts: BTreeSet<_> = matching.placed.iter().map(|placed| case.offer(&placed.offer).agent.clone()).collect();
    let used: BTreeSet<_> = matching.placed.iter().map(|placed| placed.offer.clone()).collect();
    for demand in case.demands() {
        let unmet = matching.unmet.get(&demand.unit);
        assert_ne!(placed.contains(&demand.unit), unmet.is_some(), "G");
        let Some(reasons) = unmet else { continue };
        for offer in case.offers.iter().filter(|offer| !used.contains(&offer.id)) {
            assert!(reasons.iter().any(|unfit| unfit.hostname == offer.hostname), "H: {demand:?} on {offer:?}");
            assert!(hosts.contains(&offer.agent) || !case.fits(demand.needs, offer), "J: {demand:?} on {offer:?}");
        }
        for unfit in reasons {
            let bound = case.offers.iter().filter(|offer| offer.hostname == unfit.hostname);
            assert!(bound.clone().any(|offer| binds(case, demand.needs, offer, &unfit.reason)), "I: {unfit:?}");
        }
    }
}

/// Tells whether a reason is true of a member and an offer.
fn binds(case: &Case, needs: &RoleNeeds, offer: &Offer, reason: &Reason) -> bool {
    let cpus = needs.cpus + EXECUTOR.cpus;
    let mem = needs.mem + EXECUTOR.mem;
    let reserved = Some(Reservation::Static);
    // An executor that is there already is not asked for again.
    let is = |asked: u64, new: u64, own: u64| asked == new || (!case.is_free(&offer.agent) && asked == own);
    match reason {
        Reason::Cpus { asked, offered } => {
            asked > offered && is(asked.0, cpus.0, needs.cpus.0) && offered.0 == amount(offer, reserved, cpus_of)
        }
        Reason::Mem { asked, offered } => {
            asked > offered && is(asked.0, mem.0, needs.mem.0) && offered.0 == amount(offer, reserved, mem_of)
        }
        Reason::Disk { asked, offered } => {
            asked > offered && *asked == needs.disk && offered.0 == amount(offer, None, disk_of)
        }
        Reason::Port { name, number } => {
            let twice = needs.ports.values().filter(|fixed| **fixed == Some(*number)).count() > 1;
            needs.ports.get(name) == Some(&Some(*number)) && (twice || !ports(offer, None).contains(number))
        }
        Reason::Ports { asked, offered } => {
            asked > offered
                && usize::try_from(*asked).unwrap() == needs.ports.values().filter(|fixed| fixed.is_none()).count()
        }
        Reason::Occupied { by } => by.role.as_str() == "waiting" || !case.is_free(&offer.agent),
        Reason::CeilingCpus { asked, ceiling } => asked > ceiling,
        Reason::CeilingMem { asked, ceiling } => asked > ceiling,
        Reason::Maintenance => offer.unavailable,
        Reason::NotHeld { .. } => false,
    }
}

#[test]
fn a_host_whose_agent_came_back_under_another_id_stays_occupied_until_the_old_executor_has_ended() {
    let mut state = state(None, 1);
    let resource = |amount| Resource { reservation: Reservation::Static, amount };
    let offer = Offer {
        id: "offer".into(),
        agent: "agent-of-another-id".into(),
        hostname: "host-0".to_owned(),
        resources: vec![resource(Amount::Cpus(MilliCpus(8))), resource(Amount::Mem(Bytes(8)))],
        unavailable: false,
    };
    let status = StatusRecorded {
        task: "old-0.1".parse().unwrap(),
        state: TaskState::Unreachable,
        reason: String::new(),
        message: String::new(),
        uuid: None,
        healthy: None,
        report: None,
        ended: None,
    };
    state.apply(&Entry::new(Timestamp(1), Fact::StatusRecorded(Box::new(status))));
    let needs = RoleNeeds { ports: [].into(), ..state.platform().unwrap().roles[0].clone() };
    let demands = [Demand { unit: waiting(0), needs: &needs }];
    for (minutes, places) in [(0, 0), (19, 0), (21, 1)] {
        state.at = Timestamp(1 + minutes * 60_000_000);
        let matching = match_offers(&state, &demands, &[&offer], (EXECUTOR, REASONS_MAX));
        assert_eq!(matching.placed.len(), places, "after {minutes} minutes");
        let reasons: Vec<_> = matching.unmet.values().flatten().map(|unfit| &unfit.reason).collect();
        assert!(reasons.iter().all(|reason| matches!(reason, Reason::Occupied { .. })), "{reasons:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn every_matching_has_the_lettered_properties(case in case()) {
        let matching = case.matching();
        check_places(&case, &matching);
        check_reasons(&case, &matching);
        prop_assert_eq!(case.matching(), matching, "K");
    }

    #[test]
    fn an_offer_that_is_of_no_use_changes_no_placement(case in case(), at in any::<prop::sample::Index>()) {
        let mut more = case.clone();
        let useless = Offer {
            id: "useless".into(),
            agent: "agent-useless".into(),
            hostname: "host-useless".to_owned(),
            resources: Vec::new(),
            unavailable: false,
        };
        more.offers.insert(at.index(case.offers.len() + 1), useless);
        prop_assert_eq!(more.matching().placed, case.matching().placed, "K");
    }

    #[test]
    fn reasons_are_bounded(case in case(), most in 0..4_usize) {
        let offers: Vec<_> = case.offers.iter().collect();
        let matching = match_offers(&case.state, &case.demands(), &offers, (EXECUTOR, most));
        prop_assert!(matching.unmet.values().all(|reasons| reasons.len() <= most), "H");
        prop_assert_eq!(matching.placed, case.matching().placed);
    }
}
