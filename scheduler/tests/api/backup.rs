//! The state as a file, for whoever has the token.

use epic_common_io::backup::Backup;
use epic_scheduler::journal::codec;
use reqwest::Method;

use crate::fixture::History;
use crate::server::{Server, grant, problem};

const PATH: &str = "/api/v2/admin/backup";

#[tokio::test]
async fn a_backup_holds_what_is_published_also_on_a_standby() {
    let mut history = History::demo(0);
    history.is_ready("controller-0", "h0");
    let server = Server::start(history.published, grant);
    for leader in [None, Some("http://127.0.0.1:1".to_owned())] {
        let answer = server.change(Method::GET, PATH, "").await;
        assert_eq!((answer.status().as_u16(), &answer.headers()["epic-index"]), (200, &"4".parse().unwrap()));
        assert_eq!(answer.headers()["content-disposition"], "attachment; filename=\"epic-4.backup\"");
        let backup = Backup::decode(&answer.bytes().await.unwrap()).unwrap();
        let state = codec::decode_snapshot(&backup.snapshot).unwrap();
        assert_eq!((backup.index, state.index.0, state.units.tasks.len()), (4, 4, 1));
        assert!(state.identity.token.is_some());
        server.follow(leader);
    }
    assert!(server.asked.lock().unwrap().is_empty(), "nothing is asked of the leader");
}

#[tokio::test]
async fn nobody_gets_a_backup_without_the_token() {
    let server = Server::start(History::demo(0).published, grant);
    assert_eq!(problem(server.ask(Method::GET, PATH).await).await, "401 unauthorized: a token is needed");
    let wrong = [("Authorization", "Bearer 0000000000000000")];
    let answer = server.send(Method::GET, PATH, &wrong, Vec::new()).await;
    assert_eq!(problem(answer).await, "401 unauthorized: the token is wrong");
    let answer = server.change(Method::PUT, PATH, "").await;
    assert_eq!(problem(answer).await, "405 method-not-allowed: PUT is not allowed here");
}
