//! Who leads.

use actix_web::{HttpResponse, web};
use epic_common::api::LeaderView;

use super::Api;
use super::problem::wrong_method;

pub(super) fn configure(cfg: &mut web::ServiceConfig) {
    let resource = web::resource("/api/v2/leader").route(web::get().to(show)).route(web::head().to(show));
    cfg.service(resource.default_service(wrong_method("GET, HEAD")));
}

async fn show(api: web::Data<Api>) -> HttpResponse {
    let replica = api.replica.borrow().clone();
    let index = api.published().state.index.0;
    HttpResponse::Ok().json(LeaderView {
        mode: replica.mode.name().to_owned(),
        leader: replica.leader,
        since: replica.since.map_or_else(String::new, |since| since.to_string()),
        epoch: replica.epoch,
        index,
        replica: replica.advertise,
        caught_up: replica.caught_up,
        problem: replica.problem,
    })
}
