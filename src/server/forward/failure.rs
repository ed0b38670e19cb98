//! Requests that could not be passed on: who is to blame, and what the client is told.

use bytes::Bytes;
use pingora_error::{Error, ErrorSource, ErrorType, Result};
use pingora_http::{ResponseHeader, header_value_from_slice};
use pingora_proxy::Session;

use crate::{
    header::{Fields, ResponseHead, refusal::Refusal},
    server::{chunks::Fault, conn::Conn, origin, problem},
    traffic::UpstreamFailure,
};

use super::{Context, conn};

/// Counts a failure and tells the client of it, unless an answer has begun; the status that stands for it, 0 where
/// nobody is left to be told.
pub(super) async fn answer(session: &mut Session, e: &Error, ctx: &mut Context) -> u16 {
    let traffic = &ctx.engine.state.traffic;
    let answer = match cause(session, e, ctx) {
        Cause::Client(refusal) => {
            traffic.refuse(refusal.status());
            Some(problem::refused(refusal))
        }
        Cause::Origin(why) => {
            traffic.upstream_failed(why);
            ctx.failure = Some(why);
            ctx.request.as_ref().map(|request| problem::unanswered(why, &request.head))
        }
        Cause::Gone => None,
    };
    let Some((head, body)) = answer else { return 0 };
    if let Some(conn) = conn(session) {
        // The answer is ours, and so is its date: what the origin's head said may be waiting for a head still.
        conn.set_dates(Vec::new());
    }
    if let Ok(response) = as_pingora(&head, ctx) {
        // Nothing is sent when an answer has begun: the client sees it cut. An error here is a client that left.
        let begun = session.response_written().is_some_and(|response| !response.status.is_informational());
        ctx.answered = session.downstream_session.write_error_response(response, body).await.is_ok() && !begun;
    }
    head.status()
}

/// Who is to blame when a request cannot be passed on.
enum Cause {
    Client(Refusal),
    Origin(UpstreamFailure),
    /// The client left, or nothing can be said to it any more.
    Gone,
}

fn cause(session: &Session, e: &Error, ctx: &Context) -> Cause {
    if let Some(fault) = conn(session).and_then(Conn::fault) {
        return Cause::Client(match fault {
            Fault::Malformed => Refusal::Malformed(fault.reason()),
            Fault::TooLarge => Refusal::BodyTooLarge,
        });
    }
    if let Some(refusal) = ctx.refusal {
        return Cause::Client(refusal);
    }
    if let Some(failure) = ctx.failure {
        return Cause::Origin(failure);
    }
    match (e.esource(), e.etype()) {
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => Cause::Client(Refusal::Timeout),
        (ErrorSource::Downstream, ErrorType::InvalidHTTPHeader) => {
            Cause::Client(Refusal::Malformed("the request is malformed"))
        }
        (ErrorSource::Downstream, _) => Cause::Gone,
        _ => Cause::Origin(origin::failure(e)),
    }
}

/// An answer of our own as pingora takes it.
fn as_pingora(head: &ResponseHead, ctx: &Context) -> Result<ResponseHeader> {
    let mut out = ResponseHeader::build(head.status(), Some(8))?;
    for (name, value) in head.fields() {
        out.append_header(Bytes::copy_from_slice(name), header_value_from_slice(value))?;
    }
    if let Some(request) = &ctx.request {
        out.insert_header("X-Request-Id", header_value_from_slice(request.id.as_str().as_bytes()))?;
    }
    Ok(out)
}
