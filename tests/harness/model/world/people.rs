//! What people do: they ask, and wait for answers.

use epic_common::ids::FrameworkId;
use epic_scheduler_core::director::Input;
use epic_scheduler_core::request::{Answer, Applicant, ClientId, Request, Wish};

use super::World;
use crate::model::desired;

impl World {
    /// Asks the scheduler for something.
    pub fn ask(&mut self, wish: Wish, key: Option<&str>) -> ClientId {
        self.clients += 1;
        let client = ClientId(self.clients);
        let request = Request { key: key.map(str::to_owned), ..Request::new(wish) };
        self.tell(Input::Request(client, request));
        client
    }

    /// Asks for a controller and so many workers; a new framework gets a new name.
    pub fn apply(&mut self, workers: u32) -> ClientId {
        let framework = self.new_framework();
        self.ask(Wish::Apply { desired: Box::new(desired(workers)), framework, by: Applicant::Person }, None)
    }

    /// Asks until there is an answer, as a client does that outlives the scheduler; repeats have the same key.
    ///
    /// # Panics
    ///
    /// If the wish is refused.
    pub fn insist(&mut self, wish: &Wish) {
        self.clients += 1;
        let key = format!("key-{}", self.clients);
        loop {
            let client = self.ask(wish.clone(), Some(&key));
            self.rest();
            match self.answer(client) {
                Some(Ok(_)) => return,
                Some(Err(refusal)) => panic!("{wish:?} is refused: {refusal:?}"),
                None => {}
            }
        }
    }

    /// Asks for a platform with so many workers until it is granted.
    pub fn insist_on_workers(&mut self, workers: u32) {
        let framework = self.new_framework();
        self.insist(&Wish::Apply { desired: Box::new(desired(workers)), framework, by: Applicant::Person });
    }

    fn new_framework(&mut self) -> FrameworkId {
        self.clients += 1;
        FrameworkId::new(format!("framework-{}", self.clients))
    }

    /// Returns the answer to a request, if there is one.
    #[must_use]
    pub fn answer(&self, client: ClientId) -> Option<&Answer> {
        self.answers.iter().find(|(whose, _)| *whose == client).map(|(_, answer)| answer)
    }
}
