//! Bodies that nobody reads to their end: the connection ends with the answer.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::header::TRANSFER_ENCODING;
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage as _};
use bytes::Bytes;
use futures_util::stream::{Stream, StreamExt as _};

/// Keeps a body in pieces until it was answered.
///
/// The server would wait for the rest of one that was dropped, however long that takes: for ever, if nothing comes. One
/// that is still there when the answer ends closes the connection, as bodies of a known length do.
pub(super) async fn cut(mut request: ServiceRequest, next: Next<BoxBody>) -> Result<ServiceResponse<BoxBody>, Error> {
    if !request.headers().contains_key(TRANSFER_ENCODING) {
        return next.call(request).await;
    }
    let kept = Rc::new(RefCell::new(request.take_payload()));
    let payload: Pin<Box<dyn Stream<Item = _>>> = Box::pin(Shared(Rc::clone(&kept)));
    request.set_payload(Payload::Stream { payload });
    let response = next.call(request).await?;
    Ok(response.map_body(|_, body| BoxBody::new(Kept { body, _payload: kept })))
}

/// The body of a request, as whoever wants it reads it.
struct Shared(Rc<RefCell<Payload>>);

impl Stream for Shared {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.borrow_mut().poll_next_unpin(ctx)
    }
}

/// The body of an answer, and that of its request until then.
struct Kept {
    body: BoxBody,
    _payload: Rc<RefCell<Payload>>,
}

impl MessageBody for Kept {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, ctx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(ctx)
    }
}
