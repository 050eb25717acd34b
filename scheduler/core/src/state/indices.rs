//! The indices of the state, made from what they index.

use super::State;
use super::task::Progress;

impl State {
    /// Makes every index anew: members without a place, surplus members, and attempts by progress, kill and agent.
    ///
    /// [`apply`](Self::apply) keeps them up to date; this is for a state that was read from a snapshot, which has none.
    pub fn rebuild_indices(&mut self) {
        let live = |instance: &super::Instance| instance.live.as_ref().and_then(|task| self.tasks.get(task));
        let waits = |instance: &super::Instance| instance.wanted && instance.live.is_none();
        let is_surplus =
            |instance: &super::Instance| !instance.wanted && live(instance).is_some_and(|task| task.kill.is_none());
        let unplaced = self.instances.iter().filter(|(_, known)| waits(known)).map(|(id, _)| id.clone()).collect();
        let surplus = self.instances.iter().filter(|(_, known)| is_surplus(known)).map(|(id, _)| id.clone()).collect();
        (self.unplaced, self.surplus) = (unplaced, surplus);
        self.launching.clear();
        self.killing.clear();
        self.unreachable.clear();
        self.on_agent.clear();
        for (id, task) in &self.tasks {
            match task.progress {
                Progress::Launching { .. } => drop(self.launching.insert(id.clone())),
                Progress::Unreachable(_) if !task.given_up => drop(self.unreachable.insert(id.clone())),
                Progress::Unreachable(_) | Progress::Alive(_) => {}
            }
            if task.kill.is_some() {
                self.killing.insert(id.clone());
            }
            self.on_agent.entry(task.agent.clone()).or_default().insert(id.clone());
        }
    }
}
