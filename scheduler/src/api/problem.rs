//! Refusals: every one is a problem as in RFC 9457.

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, ResponseError};
use epic_common::api::{FieldError, Problem};
use epic_common::invalid::Invalids;
use epic_scheduler_core::request::{Rejection, RejectionKind};

/// A request that isn't granted, on its way to the client.
#[derive(Debug)]
pub(super) struct Refused(Problem);

impl Refused {
    pub(super) fn new(status: StatusCode, title: &str, detail: impl Into<String>) -> Self {
        let kind = match status {
            StatusCode::UNAUTHORIZED => "unauthorized",
            StatusCode::NOT_FOUND => "not-found",
            StatusCode::METHOD_NOT_ALLOWED => "method-not-allowed",
            StatusCode::CONFLICT => "conflict",
            StatusCode::PAYLOAD_TOO_LARGE => "too-large",
            StatusCode::SERVICE_UNAVAILABLE => "unavailable",
            StatusCode::INSUFFICIENT_STORAGE => "full",
            StatusCode::REQUEST_TIMEOUT => "too-slow",
            _ => "invalid",
        };
        Self(Problem {
            kind: kind.to_owned(),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            errors: Vec::new(),
        })
    }

    /// Names one wrong field.
    pub(super) fn field(title: &str, path: &str, problem: String) -> Self {
        Self::fields(title, vec![FieldError { path: path.to_owned(), problem }])
    }

    fn fields(title: &str, errors: Vec<FieldError>) -> Self {
        let mut refused = Self::new(StatusCode::UNPROCESSABLE_ENTITY, title, "");
        refused.0.errors = errors;
        refused
    }
}

impl From<Invalids> for Refused {
    fn from(invalids: Invalids) -> Self {
        let title = format!("the {} is not valid", invalids.document);
        if let [invalid] = invalids.all.as_slice()
            && invalid.path.is_empty()
        {
            // It can't even be read, so there are no fields to name.
            return Self::new(StatusCode::BAD_REQUEST, &title, invalid.problem.as_str());
        }
        let error =
            |invalid: epic_common::invalid::Invalid| FieldError { path: invalid.path, problem: invalid.problem };
        Self::fields(&title, invalids.all.into_iter().map(error).collect())
    }
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        let status = match rejection.kind {
            RejectionKind::Invalid if rejection.errors.is_empty() => StatusCode::BAD_REQUEST,
            RejectionKind::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            RejectionKind::Conflict => StatusCode::CONFLICT,
            RejectionKind::NotFound => StatusCode::NOT_FOUND,
            RejectionKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut refused = Self::new(status, &rejection.title, rejection.detail);
        refused.0.errors = rejection.errors.into_iter().map(|(path, problem)| FieldError { path, problem }).collect();
        refused
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.title)
    }
}

impl ResponseError for Refused {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.status_code();
        let mut answer = HttpResponseBuilder::new(status);
        answer.content_type("application/problem+json");
        if status == StatusCode::UNAUTHORIZED {
            answer.insert_header((WWW_AUTHENTICATE, "Bearer realm=\"epic\""));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            answer.insert_header((RETRY_AFTER, "1"));
        }
        answer.body(serde_json::to_vec(&self.0).unwrap_or_default())
    }
}

pub(super) async fn no_such_path(request: HttpRequest) -> HttpResponse {
    let path: String = request.path().chars().take(200).collect();
    let detail = format!(
        "there is no {path}; see /healthz, /readyz, /metrics, /api/v2/platform, /api/v2/leader, /api/v2/admin/backup, /api/v2/artifacts/SHA256 and /artifacts/SHA256"
    );
    Refused::new(StatusCode::NOT_FOUND, "there is no such path", detail).error_response()
}

/// Answers a method that the path doesn't have; `allowed` is as in the header `Allow`.
pub(super) fn wrong_method(allowed: &'static str) -> actix_web::Route {
    actix_web::web::to(move |request: HttpRequest| async move {
        let title = format!("{} is not allowed here", request.method());
        let mut answer =
            Refused::new(StatusCode::METHOD_NOT_ALLOWED, &title, format!("allowed: {allowed}")).error_response();
        answer.headers_mut().insert(ALLOW, actix_web::http::header::HeaderValue::from_static(allowed));
        answer
    })
}
