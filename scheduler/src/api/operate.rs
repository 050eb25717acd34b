//! What machines ask: is it alive, is it of use, what has it counted.

use actix_web::http::header::ContentType;
use actix_web::{HttpResponse, web};

use super::Api;
use super::problem::wrong_method;
use crate::actors::supply;
use crate::replica::Mode;
use crate::view;

pub(super) fn configure(cfg: &mut web::ServiceConfig) {
    configure_health(cfg);
    for (path, [get, head]) in [
        ("/readyz", [web::get().to(readyz), web::head().to(readyz)]),
        ("/metrics", [web::get().to(counts), web::head().to(counts)]),
    ] {
        cfg.service(web::resource(path).route(get).route(head).default_service(wrong_method("GET, HEAD")));
    }
}

pub(super) fn configure_health(cfg: &mut web::ServiceConfig) {
    let resource = web::resource("/healthz").route(web::get().to(healthz)).route(web::head().to(healthz));
    cfg.service(resource.default_service(wrong_method("GET, HEAD")));
}

async fn healthz() -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::plaintext()).body("alive\n")
}

async fn readyz(api: web::Data<Api>) -> HttpResponse {
    let replica = api.replica.borrow().clone();
    // Where all state directories are lost one after the other, whoever had it last must not go before it is here.
    let awaited = || {
        let digest = supply::awaited(&api.published().state, &api.holders);
        digest.map(|digest| format!("artifact sha256:{digest} is yet to come from another replica"))
    };
    let unready = match (replica.mode, replica.caught_up) {
        (Mode::Alone, _) => view::unready(&api.published()),
        (Mode::Leading, _) => view::unready(&api.published()).or_else(awaited),
        (Mode::Standby | Mode::Claiming, true) => awaited(),
        (Mode::Standby | Mode::Claiming, false) => {
            Some(format!("not caught up with the journal: {}", replica.sentence()))
        }
    };
    let (mut answer, text) = match unready {
        None => (HttpResponse::Ok(), "ready".to_owned()),
        Some(why) => (HttpResponse::ServiceUnavailable(), why),
    };
    answer.content_type(ContentType::plaintext()).body(text + "\n")
}

async fn counts(api: web::Data<Api>) -> HttpResponse {
    let replica = api.replica.borrow().clone();
    let text = api.counts.render(&api.published(), &replica, (api.clock)());
    HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text)
}
