//! Upgrades to WebSocket: asked for on a connection of their own, and from the 101 on a tunnel that is not looked into.
//!
//! `HttpProxy` ends a tunnel now and then as soon as it is there, so that upgrades do not go its way.

use std::{sync::Arc, time::Instant};

use bytes::{Buf, BytesMut};
use pingora_core::protocols::Stream;
use pingora_http::RequestHeader;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    sync::watch,
    time::timeout,
};

use crate::{
    cache::{Bypass, Outcome, status::CacheStatus},
    header::{
        Fields, ResponseHead,
        fields::{end_to_end, is},
    },
    profile::Asked,
    traffic::UpstreamFailure,
};

use super::{
    Engine, Served,
    conn::{Body, Conn, close, left},
    context::Request,
    origin::Heard,
    reply::{H1Reply, Reply, add},
    slots::{Slot, Waited},
    upstream::{Ask, VIA, upstream_request},
};

/// A longer head of an answer is none.
const MAX_HEAD_BYTES: usize = 64 << 10;
const READ_BYTES: usize = 8 << 10;

/// What the app says to an upgrade.
enum Word {
    /// It agrees: the head of its 101, and what it sent after it.
    Agreed(ResponseHead, BytesMut),
    /// It answers like to any other request; nothing of the answer has been used.
    Declined(BytesMut, Option<Slot>),
    Failed(UpstreamFailure),
    /// The client left meanwhile.
    Left,
}

impl Engine {
    /// Serves one request for an upgrade. The client's connection ends with it, whatever the app says.
    pub(super) async fn upgrade(
        self: &Arc<Self>,
        mut io: Stream,
        mut ahead: BytesMut,
        request: &Request,
        stopping: watch::Receiver<bool>,
    ) {
        let _in_flight = self.state.traffic.in_flight.enter();
        request.rule.counts.bypassed(Bypass::Upgrade);
        let requested = Instant::now();
        let (mut upstream, word) = match self.ask_to_upgrade(request, &mut io, &mut ahead).await {
            Ok(asked) => asked,
            Err(failure) => (None, Word::Failed(failure)),
        };
        let first_byte = requested.elapsed();
        let (served, bytes) = match (word, &mut upstream) {
            (Word::Agreed(head, rest), Some(upstream)) => {
                let status = CacheStatus::Bypassed(Bypass::Upgrade);
                let bytes = self.tunnel(request, &head, &mut io, upstream, &ahead, &rest, status).await;
                let (outcome, detail) = (Outcome::Bypass, status.detail());
                let upstream = Some(Asked { first_byte, ..Asked::default() });
                (Served { detail, upstream, whole: true, ..Served::new(101, outcome) }, bytes)
            }
            (word, _) => {
                let write_timeout = self.settings.timeouts.write;
                let mut reply = H1Reply::new(&mut io, &mut ahead, &request.head, stopping, write_timeout).last();
                let served = self.not_upgraded(request, word, upstream, &mut reply).await;
                let bytes = reply.sent();
                close(io).await;
                (served, bytes)
            }
        };
        self.record(request, served, bytes);
    }

    /// Sends the request on a new connection and reads the head of what the app says to it. What the client sends
    /// meanwhile waits: before the 101 it means nothing to anybody.
    async fn ask_to_upgrade(
        &self,
        request: &Request,
        io: &mut Stream,
        ahead: &mut BytesMut,
    ) -> Result<(Option<Stream>, Word), UpstreamFailure> {
        let asked = upstream_request(request, Ask::AsAsked, &self.sending).map_err(|_| UpstreamFailure::Malformed)?;
        let timeouts = &self.settings.timeouts;
        let slot = match self.origin.slots.enter_unless(left(io, ahead)).await {
            Waited::Entered(slot) => slot,
            Waited::Refused(why) => return Err(why),
            Waited::Left => return Ok((None, Word::Left)),
        };
        let mut upstream = self.origin.dialer.stream().await?;
        let sent = timeout(timeouts.write, async {
            upstream.write_all(&wire(&asked)).await?;
            upstream.flush().await
        });
        sent.await.map_err(|_| UpstreamFailure::Timeout)?.map_err(|_| UpstreamFailure::Closed)?;
        let word = tokio::select! {
            word = timeout(timeouts.read, hear(&mut upstream)) => match word {
                Ok(word) => word,
                Err(_) => Word::Failed(UpstreamFailure::Timeout),
            },
            () = left(io, ahead) => Word::Left,
        };
        // A tunnel has no turn at the app: it may never end.
        let word = if let Word::Declined(answer, _) = word { Word::Declined(answer, Some(slot)) } else { word };
        Ok((Some(upstream), word))
    }

    /// Passes bytes both ways until both ends have closed, or one is gone; how many the client was sent.
    #[expect(clippy::too_many_arguments, reason = "both ends, and what was read beyond each head")]
    async fn tunnel(
        &self,
        request: &Request,
        head: &ResponseHead,
        io: &mut Stream,
        upstream: &mut Stream,
        ahead: &[u8],
        rest: &[u8],
        status: CacheStatus,
    ) -> u64 {
        let mut answer = head.bytes().to_vec();
        answer.extend_from_slice(&self.ours(request, status));
        add(&mut answer, "Via", VIA.as_bytes());
        answer.extend_from_slice(b"\r\n");
        answer.extend_from_slice(rest);
        let passed = async {
            io.write_all(&answer).await?;
            io.flush().await?;
            upstream.write_all(ahead).await?;
            upstream.flush().await?;
            copy_bidirectional(io, upstream).await
        };
        // An error is an end that is gone, which is how many tunnels end.
        passed.await.map_or(0, |(_, down)| down) + rest.len() as u64
    }

    /// Answers a client whose connection stays what it was.
    async fn not_upgraded(
        &self,
        request: &Request,
        word: Word,
        upstream: Option<Stream>,
        reply: &mut H1Reply<'_>,
    ) -> Served {
        let status = CacheStatus::Bypassed(Bypass::Upgrade);
        let failure = match (word, upstream) {
            (Word::Left, _) => return Served::nothing(Outcome::Bypass),
            (Word::Declined(answer, Some(slot)), Some(upstream)) => {
                let replayed = Conn::lend(upstream, &[], &answer, Body::All);
                match self.origin.resume(Box::new(replayed), slot).await {
                    Ok(Heard::Final(exchange)) => {
                        return self.stream(request, status, Outcome::Bypass, exchange, reply).await;
                    }
                    Ok(Heard::Interim(..)) => UpstreamFailure::Malformed,
                    Err(failure) => failure,
                }
            }
            (Word::Failed(failure), _) => failure,
            _ => UpstreamFailure::Malformed,
        };
        self.state.traffic.upstream_failed(failure);
        Served { outcome: Outcome::Bypass, ..self.unanswered(request, failure, reply).await }
    }
}

/// The request as it goes over the wire, with the wish that is this connection's own.
fn wire(asked: &RequestHeader) -> Vec<u8> {
    let mut wire = Vec::with_capacity(1 << 10);
    for part in [asked.method.as_str().as_bytes(), b" ", asked.raw_path(), b" HTTP/1.1\r\n"] {
        wire.extend_from_slice(part);
    }
    asked.header_to_h1_wire(&mut wire);
    wire.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    wire
}

/// Reads heads until one says yes or no.
async fn hear(upstream: &mut Stream) -> Word {
    let mut answer = BytesMut::new();
    loop {
        match read_head(&answer) {
            // Interim responses are no answer yet, and this client waits for no other than 101.
            Ok(Some((100 | 102..=199, length, _))) => answer.advance(length),
            Ok(Some((101, length, head))) => {
                answer.advance(length);
                return head.map_or(Word::Failed(UpstreamFailure::Malformed), |head| Word::Agreed(head, answer));
            }
            Ok(Some(_)) => return Word::Declined(answer, None),
            Ok(None) if answer.len() < MAX_HEAD_BYTES => {
                answer.reserve(READ_BYTES);
                match upstream.read_buf(&mut answer).await {
                    Ok(1..) => {}
                    _ => return Word::Failed(UpstreamFailure::Closed),
                }
            }
            _ => return Word::Failed(UpstreamFailure::Malformed),
        }
    }
}

/// A response's status, the length of its head, and for a 101 to WebSocket the head as it goes on; `None` while it has
/// not come whole.
fn read_head(bytes: &[u8]) -> Result<Option<(u16, usize, Option<ResponseHead>)>, httparse::Error> {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut response = httparse::Response::new(&mut fields);
    let httparse::Status::Complete(length) = response.parse(bytes)? else { return Ok(None) };
    let status = response.code.unwrap_or_default();
    if status != 101 {
        return Ok(Some((status, length, None)));
    }
    let fields = Lines(response.headers);
    let named = |field, option: &str| fields.members(field).any(|member| is(member, option));
    let agreed = named("upgrade", "websocket") && named("connection", "upgrade");
    let head = agreed.then(|| {
        let mut head = ResponseHead::build(101, "Switching Protocols");
        end_to_end(&fields).for_each(|(name, value)| _ = head.field(name, value));
        head.field(b"Upgrade", b"websocket").field(b"Connection", b"Upgrade").finish()
    });
    Ok(Some((status, length, head)))
}

/// Field lines as the parser has them.
struct Lines<'a>(&'a [httparse::Header<'a>]);

impl Fields for Lines<'_> {
    fn fields(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|field| (field.name.as_bytes(), field.value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_101_is_passed_on_with_its_own_fields() {
        let answer = b"HTTP/1.1 101 Yes\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n\
            Sec-WebSocket-Accept: x\r\nKeep-Alive: 5\r\n\r\nframe";
        let Ok(Some((101, length, Some(head)))) = read_head(answer) else { panic!("a 101") };
        assert_eq!(&answer[length..], b"frame");
        let expected = "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
        assert_eq!(head.bytes().as_ref(), expected.as_bytes());
    }

    #[test]
    fn a_101_to_something_else_is_none() {
        for fields in ["", "Upgrade: h2c\r\nConnection: Upgrade\r\n", "Upgrade: websocket\r\n"] {
            let answer = format!("HTTP/1.1 101 Yes\r\n{fields}\r\n");
            assert!(matches!(read_head(answer.as_bytes()), Ok(Some((101, _, None)))), "{fields}");
        }
    }

    #[test]
    fn a_head_may_come_in_pieces() {
        let answer = b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n";
        for cut in 0..answer.len() {
            assert!(matches!(read_head(&answer[..cut]), Ok(None)), "{cut}");
        }
        assert!(matches!(read_head(answer), Ok(Some((200, 25, None)))));
        assert!(read_head(b"nonsense\r\n\r\n").is_err());
    }
}
