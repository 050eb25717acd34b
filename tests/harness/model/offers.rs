//! The model's allocator: offers, filters, rescinds.

use std::time::Duration;

use epic_common::ids::{AgentId, OfferId};
use epic_common::time::Timestamp;
use epic_scheduler_core::mesos::{Event, Offer};

use super::{Mesos, Pool};

/// An agent's resources that aren't offered again for a while, unless more of them are free.
#[derive(Clone, Debug)]
pub(super) struct Filter {
    agent: AgentId,
    refused: Pool,
    until: Timestamp,
}

impl Filter {
    pub(super) const fn new(agent: AgentId, refused: Pool, until: Timestamp) -> Self {
        Self { agent, refused, until }
    }
}

impl Mesos {
    /// Offers all that is free on every agent, unless a filter or the framework's wish is against it.
    pub(super) fn allocate(&mut self, now: Timestamp) {
        if self.suppressed || self.stream.is_none() {
            return;
        }
        let agents: Vec<_> = self.agents.values().filter(|agent| agent.is_up()).map(|agent| agent.id.clone()).collect();
        for agent in agents {
            let free = self.free(&agent);
            let filtered = self
                .filters
                .iter()
                .any(|filter| filter.agent == agent && filter.until > now && filter.refused.holds(&free));
            if free.is_allocatable() && !filtered {
                self.offer(&agent, free);
            }
        }
    }

    fn offer(&mut self, agent: &AgentId, pool: Pool) {
        let id = OfferId::new(format!("offer-{}", self.next_number()));
        let offer = Offer {
            id: id.clone(),
            agent: agent.clone(),
            hostname: self.agents[agent].hostname.clone(),
            resources: pool.resources(),
            unavailable: false,
        };
        self.offers.insert(id, (agent.clone(), pool));
        self.say(Event::Offers(vec![offer]));
    }

    /// Returns what is neither used nor offered.
    fn free(&self, agent: &AgentId) -> Pool {
        let known = &self.agents[agent];
        let offered = self.offers.values().filter(|(whose, _)| whose == agent);
        let taken = offered.fold(known.used(), |taken, (_, pool)| taken.plus(pool));
        known.total.clone().minus(&taken)
    }

    /// Takes an offer back from the framework; what it left is not offered again for a while.
    pub(super) fn settle_offer(
        &mut self,
        now: Timestamp,
        offer: &OfferId,
        left: Option<(Pool, Duration)>,
    ) -> Option<(AgentId, Pool)> {
        let (agent, pool) = self.offers.remove(offer)?;
        if let Some((refused, refuse)) = left {
            self.filters.push(Filter { agent: agent.clone(), refused, until: now + refuse });
        }
        Some((agent, pool))
    }

    /// Takes offers back of Mesos' own will.
    pub fn rescind(&mut self, which: impl Fn(&AgentId) -> bool) {
        let ids: Vec<_> = self.offers.iter().filter(|(_, (agent, _))| which(agent)).map(|(id, _)| id.clone()).collect();
        for id in ids {
            self.offers.remove(&id);
            self.say(Event::Rescind(id));
        }
    }

    pub(super) fn filters_end(&self, now: Timestamp) -> Option<Timestamp> {
        let due = self.filters.iter().map(|filter| filter.until).filter(|until| *until > now).min();
        due.filter(|_| !self.suppressed && self.stream.is_some())
    }

    /// Lists offers that the framework holds.
    #[must_use]
    pub fn offers_held(&self) -> usize {
        self.offers.len()
    }
}
