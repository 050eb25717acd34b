//! Counts answers by route and status.

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;

use crate::metrics;

pub(super) async fn count<B: MessageBody>(request: ServiceRequest, next: Next<B>) -> Result<ServiceResponse<B>, Error> {
    let response = next.call(request).await?;
    let route = response.request().match_pattern().unwrap_or_default();
    metrics::requested(&route, response.status().as_u16());
    Ok(response)
}
