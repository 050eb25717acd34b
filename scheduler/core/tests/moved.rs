//! A journal that was moved is not decided on any more.

use epic_common::ids::Digest;
use epic_common::time::Timestamp;
use epic_scheduler_core::planner::plan;
use epic_scheduler_core::policy::Policy;
use epic_scheduler_core::request::{ClientId, Request, Wish};
use epic_scheduler_core::session::Session;
use epic_scheduler_core::state::State;
use epic_scheduler_core::state::entry::{Entry, Fact};

#[test]
fn nothing_is_planned_on_a_journal_that_has_moved() {
    let policy = Policy::new("BlueData".to_owned(), "http://h".to_owned(), Digest([0; 32]));
    let mut session = Session::new();
    let wish = Wish::SetToken(Digest([1; 32]));
    session.requests.push_back((ClientId(1), Request::new(wish)));
    let mut state = State::default();
    let chosen = Fact::FrameworkChosen { framework: "fw".into(), role: "BlueData".to_owned() };
    state.apply(&Entry::new(Timestamp(1), chosen));
    let before = plan(&state, &session, &policy, Timestamp(2));
    assert!(before.subscribe.is_some() && before.entries.len() == 1, "{before:?}");
    state.apply(&Entry::new(Timestamp(2), Fact::MovedTo { url: "zk://z:1/epic".to_owned() }));
    let after = plan(&state, &session, &policy, Timestamp(3));
    assert!(after.subscribe.is_none() && after.entries.is_empty() && after.answers.is_empty(), "{after:?}");
    assert!(after.calls.is_empty() && after.acks.is_empty(), "{after:?}");
    // An uninstallation forgets all of a framework, and not where its journal went.
    state.apply(&Entry::new(Timestamp(3), Fact::Uninstalled));
    assert_eq!(state.identity.moved_to.as_deref(), Some("zk://z:1/epic"));
}
