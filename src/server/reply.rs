//! The only writer of heads: one small trait, for HTTP/1 on a raw stream and for HTTP/2 on pingora's session.

use std::{io, time::Duration};

use bytes::{Bytes, BytesMut};
use http::Method;
use pingora_core::protocols::{Stream, http::ServerSession};
use pingora_http::{ResponseHeader, header_value_from_slice};
use tokio::{io::AsyncWriteExt, sync::watch, time::timeout};

use crate::header::{Fields, RequestHead, ResponseHead, fields::is, request::Version};

use super::conn::left;

/// The client left, or took nothing for the length of the write timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gone;

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Self {
        Self
    }
}

/// Writes one answer to one client.
///
/// `head` is what the origin said; `added` are our own field lines, each with its CRLF. A head names its
/// Content-Length when the length is known; the reply frames what has none.
pub(super) trait Reply: Send {
    /// Sends an interim response, where the protocol and pingora can carry it.
    fn interim(&mut self, head: &ResponseHead) -> impl Future<Output = Result<(), Gone>> + Send;

    /// Sends an answer whose body is all here, in one write where the client takes it.
    fn whole(
        &mut self,
        head: &ResponseHead,
        added: &[u8],
        body: Bytes,
    ) -> impl Future<Output = Result<(), Gone>> + Send;

    /// Sends a head; the body follows in parts.
    fn start(&mut self, head: &ResponseHead, added: &[u8]) -> impl Future<Output = Result<(), Gone>> + Send;

    /// Sends a part of the body, not empty.
    fn part(&mut self, part: Bytes) -> impl Future<Output = Result<(), Gone>> + Send;

    /// Ends the body as complete.
    fn finish(&mut self) -> impl Future<Output = Result<(), Gone>> + Send;

    /// Ends the body visibly incomplete.
    fn cut(&mut self) -> impl Future<Output = ()> + Send;

    /// Waits until the client leaves. Safe to cancel.
    fn left(&mut self) -> impl Future<Output = ()> + Send;

    /// Body bytes sent so far.
    fn sent(&self) -> u64;
}

/// How a body without a length is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delimited {
    /// By Content-Length, or there is none.
    Length,
    /// By chunks.
    Chunks,
    /// By the end of the connection, for HTTP/1.0.
    Close,
}

/// An answer on an HTTP/1 connection.
pub(super) struct H1Reply<'a> {
    io: &'a mut Stream,
    /// What the client has sent ahead.
    ahead: &'a mut BytesMut,
    version: Version,
    bodiless: bool,
    write_timeout: Duration,
    delimited: Delimited,
    keep_alive: bool,
    /// While the process is about to stop, every answer is its connection's last.
    stopping: watch::Receiver<bool>,
    sent: u64,
}

impl<'a> H1Reply<'a> {
    /// For a request with this head.
    pub(super) fn new(
        io: &'a mut Stream,
        ahead: &'a mut BytesMut,
        head: &RequestHead,
        stopping: watch::Receiver<bool>,
        write_timeout: Duration,
    ) -> Self {
        Self {
            version: head.version,
            bodiless: head.method == Method::HEAD,
            keep_alive: head.keeps_alive(),
            ..Self::refusal(io, ahead, stopping, write_timeout)
        }
    }

    /// For a request whose head cannot be trusted: the connection ends with the answer.
    pub(super) fn refusal(
        io: &'a mut Stream,
        ahead: &'a mut BytesMut,
        stopping: watch::Receiver<bool>,
        write_timeout: Duration,
    ) -> Self {
        Self {
            io,
            ahead,
            version: Version::Http11,
            bodiless: false,
            write_timeout,
            delimited: Delimited::Length,
            keep_alive: false,
            stopping,
            sent: 0,
        }
    }

    /// Makes the answer its connection's last.
    pub(super) fn last(mut self) -> Self {
        self.keep_alive = false;
        self
    }

    /// Whether the connection can take another request after this answer.
    pub(super) fn keeps_alive(&self) -> bool {
        self.keep_alive
    }

    /// The lines that depend on the connection, and the empty line that ends the head.
    fn framing(&mut self, head: &ResponseHead) -> &'static [u8] {
        self.bodiless |= matches!(head.status(), 204 | 304);
        self.delimited = match self.version {
            _ if self.bodiless || head.has("content-length") => Delimited::Length,
            Version::Http10 => Delimited::Close,
            _ => Delimited::Chunks,
        };
        self.keep_alive &= self.delimited != Delimited::Close && !*self.stopping.borrow();
        match (self.delimited, self.keep_alive, self.version) {
            (Delimited::Chunks, true, _) => b"Transfer-Encoding: chunked\r\n\r\n",
            (Delimited::Chunks, false, _) => b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n",
            (_, true, Version::Http10) => b"Connection: keep-alive\r\n\r\n",
            (_, true, _) => b"\r\n",
            (_, false, _) => b"Connection: close\r\n\r\n",
        }
    }

    /// Writes all parts, with as few system calls as the client's pace allows. The timeout is for its silence, so it
    /// begins anew with each step forward.
    ///
    /// What could not be written leaves the connection in the middle of a message: it takes no other.
    async fn write(&mut self, parts: &[&[u8]]) -> Result<(), Gone> {
        let written = self.write_all(parts).await;
        self.keep_alive &= written.is_ok();
        written
    }

    async fn write_all(&mut self, parts: &[&[u8]]) -> Result<(), Gone> {
        let mut slices: [io::IoSlice<'_>; 4] = [io::IoSlice::new(&[]); 4];
        for (slice, part) in slices.iter_mut().zip(parts) {
            *slice = io::IoSlice::new(part);
        }
        let mut left: usize = parts.iter().map(|part| part.len()).sum();
        let mut rest = &mut slices[..parts.len()];
        while left > 0 {
            let written = timeout(self.write_timeout, self.io.write_vectored(rest)).await.map_err(|_| Gone)??;
            if written == 0 {
                return Err(Gone);
            }
            left -= written;
            io::IoSlice::advance_slices(&mut rest, written);
        }
        timeout(self.write_timeout, self.io.flush()).await.map_err(|_| Gone)??;
        Ok(())
    }
}

impl Reply for H1Reply<'_> {
    async fn interim(&mut self, head: &ResponseHead) -> Result<(), Gone> {
        // RFC 9110 §15.2: HTTP/1.0 knows none.
        if self.version == Version::Http10 {
            return Ok(());
        }
        self.write(&[head.bytes(), b"\r\n"]).await
    }

    async fn whole(&mut self, head: &ResponseHead, added: &[u8], body: Bytes) -> Result<(), Gone> {
        let framing = self.framing(head);
        let body = if self.bodiless { Bytes::new() } else { body };
        self.write(&[head.bytes(), added, framing, &body]).await?;
        self.sent = body.len() as u64;
        Ok(())
    }

    async fn start(&mut self, head: &ResponseHead, added: &[u8]) -> Result<(), Gone> {
        let framing = self.framing(head);
        self.write(&[head.bytes(), added, framing]).await
    }

    async fn part(&mut self, part: Bytes) -> Result<(), Gone> {
        if self.bodiless {
            return Ok(());
        }
        if self.delimited == Delimited::Chunks {
            let size = format!("{:x}\r\n", part.len());
            self.write(&[size.as_bytes(), &part, b"\r\n"]).await?;
        } else {
            self.write(&[&part]).await?;
        }
        self.sent += part.len() as u64;
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Gone> {
        match self.delimited {
            Delimited::Chunks => self.write(&[b"0\r\n\r\n"]).await,
            _ => Ok(()),
        }
    }

    async fn cut(&mut self) {
        // Without its last chunk, or short of its length, the message is incomplete when the connection closes.
        self.keep_alive = false;
    }

    async fn left(&mut self) {
        // Bytes that come are the next request's: a client may send it as soon as it has the last byte of this answer.
        left(self.io, self.ahead).await;
        self.keep_alive = false;
    }

    fn sent(&self) -> u64 {
        self.sent
    }
}

/// An answer on an HTTP/2 stream. pingora writes `Date` itself and knows no interim responses there.
pub(super) struct H2Reply {
    session: ServerSession,
    sent: u64,
}

impl H2Reply {
    pub(super) fn new(mut session: ServerSession, write_timeout: Duration) -> Self {
        session.set_write_timeout(Some(write_timeout));
        Self { session, sent: 0 }
    }

    async fn head(&mut self, head: &ResponseHead, added: &[u8]) -> Result<(), Gone> {
        let mut out = ResponseHeader::build_no_case(head.status(), Some(24)).map_err(|_| Gone)?;
        for (name, value) in head.fields().chain(lines(added)) {
            // A field that HTTP/2 cannot carry is left out: the rest of the answer is worth more.
            if let Ok(name) = http::HeaderName::from_bytes(name) {
                let _ = out.append_header(name, header_value_from_slice(value));
            }
        }
        self.session.write_response_header(Box::new(out)).await.map_err(|_| Gone)
    }
}

/// Field lines as names and values.
fn lines(added: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    added.split(|byte| *byte == b'\n').filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((&line[..colon], crate::header::fields::trim(line[colon + 1..].strip_suffix(b"\r")?)))
    })
}

impl Reply for H2Reply {
    async fn interim(&mut self, _: &ResponseHead) -> Result<(), Gone> {
        Ok(())
    }

    async fn whole(&mut self, head: &ResponseHead, added: &[u8], body: Bytes) -> Result<(), Gone> {
        self.head(head, added).await?;
        let bodiless = self.session.req_header().method == Method::HEAD || matches!(head.status(), 204 | 304);
        let body = if bodiless { Bytes::new() } else { body };
        let length = body.len() as u64;
        self.session.write_response_body(body, true).await.map_err(|_| Gone)?;
        self.sent = length;
        Ok(())
    }

    async fn start(&mut self, head: &ResponseHead, added: &[u8]) -> Result<(), Gone> {
        self.head(head, added).await
    }

    async fn part(&mut self, part: Bytes) -> Result<(), Gone> {
        let length = part.len() as u64;
        self.session.write_response_body(part, false).await.map_err(|_| Gone)?;
        self.sent += length;
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Gone> {
        self.session.write_response_body(Bytes::new(), true).await.map_err(|_| Gone)
    }

    async fn cut(&mut self) {
        self.session.shutdown().await;
    }

    async fn left(&mut self) {
        // Resolves when the client resets the stream or its connection ends.
        if self.session.read_body_or_idle(true).await.is_ok() {
            std::future::pending().await
        }
    }

    fn sent(&self) -> u64 {
        self.sent
    }
}

/// Adds a field line to those of our own.
pub(super) fn add(added: &mut Vec<u8>, name: &str, value: &[u8]) {
    debug_assert!(!is(name.as_bytes(), ""));
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        added.extend_from_slice(part);
    }
}
