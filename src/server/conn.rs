//! A client connection lent to pingora for one request: it sees exactly the bytes of that request.
//!
//! `HttpProxy` reads from what it is given until it has what it wants, and closes the connection when more comes.
//! So it is given a [`Conn`], which ends where the request ends and keeps what comes after for the front.

mod dates;
#[cfg(test)]
mod tests;

use std::{
    io::IoSlice,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use parking_lot::Mutex;
use pingora_core::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType, raw_connect::ProxyDigest, tls::SslDigest,
};
use tokio::{
    io::{self, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    runtime::Handle,
    time::{Duration, Instant, Sleep, sleep, timeout_at},
};

use super::chunks::{Chunks, Fault};

/// What is read at once.
const READ_BYTES: usize = 16 << 10;
/// What a client may send ahead of its next request while this one is being answered.
const MAX_KEPT_BYTES: usize = 64 << 10;

/// A connection that gives out one request.
#[derive(Debug)]
pub(super) struct Conn {
    /// `None` only while the connection is being taken back or closed.
    io: Option<Stream>,
    /// Read from the client, or put there by the front, and not yet given out.
    replay: BytesMut,
    /// Bytes of the head that are not yet given out.
    head: usize,
    body: Body,
    /// What came after the request.
    kept: BytesMut,
    eof: bool,
    /// The lines that stand for pingora's `Date` in the head of the answer; none while its own is right.
    dates: Mutex<Vec<u8>>,
    /// What is left of that head: taken from pingora, and not yet written.
    head_out: Bytes,
    /// How long the end of the connection may take, once it has begun.
    closing: Option<Pin<Box<Sleep>>>,
}

impl Drop for Conn {
    /// pingora lets go of a connection with input unread, such as the rest of a refused body; closed like that, it is
    /// reset, and the reset can overtake the answer.
    fn drop(&mut self) {
        let unread = !matches!(self.body, Body::All) && (self.head > 0 || !self.is_over()) && !self.eof;
        if let (Some(io), true, Ok(runtime)) = (self.io.take(), unread, Handle::try_current()) {
            runtime.spawn(close(io));
        }
    }
}

/// After the last answer: what is still read, and for how long, so that the client sees the answer and not a reset.
const LINGER_BYTES: usize = 256 << 10;
const LINGER: Duration = Duration::from_secs(1);

/// Closes a connection so that the client sees the last answer whole: our end first, then what is still coming is
/// read for a moment. A socket closed with unread bytes in it sends a reset, which can overtake the answer.
pub(super) async fn close(mut io: Stream) {
    let deadline = Instant::now() + LINGER;
    // Over TLS it waits until the client has taken what was written before.
    if !matches!(timeout_at(deadline, AsyncWriteExt::shutdown(&mut io)).await, Ok(Ok(()))) {
        return;
    }
    let (mut read, mut scratch) = (0, [0; 4 << 10]);
    while read < LINGER_BYTES {
        match timeout_at(deadline, io.read(&mut scratch)).await {
            Ok(Ok(some @ 1..)) => read += some,
            _ => return,
        }
    }
}

/// Waits until the client closes the connection; what comes before that is kept, within bounds. Safe to cancel.
pub(super) async fn left(io: &mut Stream, ahead: &mut BytesMut) {
    while ahead.len() < MAX_KEPT_BYTES {
        if !matches!(io.read_buf(ahead).await, Ok(1..)) {
            return;
        }
    }
    std::future::pending().await
}

/// What belongs to the request after its head.
#[derive(Debug)]
pub(super) enum Body {
    /// So many bytes more.
    Length(u64),
    /// Chunks up to the last.
    Chunked(Chunks),
    /// Everything: another protocol speaks.
    All,
    /// The body is malformed or too large; nothing of it is given out any more.
    Refused(Fault),
}

impl Conn {
    /// Lends a connection for a request with this head; `rest` is what was read beyond it.
    pub(super) fn lend(io: Stream, head: &[u8], rest: &[u8], body: Body) -> Self {
        let mut replay = BytesMut::with_capacity(head.len() + rest.len().max(READ_BYTES));
        replay.extend_from_slice(head);
        replay.extend_from_slice(rest);
        Self {
            io: Some(io),
            replay,
            head: head.len(),
            body,
            kept: BytesMut::new(),
            eof: false,
            dates: Mutex::default(),
            head_out: Bytes::new(),
            closing: None,
        }
    }

    /// The connection and what came after the request, if it can go on: the request was given out whole, nothing of the
    /// answer is held back, and the client is still there.
    pub(super) fn take_back(mut self) -> Option<(Stream, BytesMut)> {
        if self.head > 0 || !self.is_over() || self.eof || !self.head_out.is_empty() {
            return None;
        }
        let mut kept = self.kept.split();
        kept.unsplit(self.replay.split());
        Some((self.io.take()?, kept))
    }

    /// Names the field lines, each with its CRLF, that stand in the final answer for the `Date` that pingora writes over
    /// the origin's; without any, pingora's own stays. What was said last before the head is written counts.
    pub(super) fn set_dates(&self, lines: Vec<u8>) {
        *self.dates.lock() = lines;
    }

    fn io(&mut self) -> io::Result<&mut Stream> {
        self.io.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Why the body was refused, if it was.
    pub(super) fn fault(&self) -> Option<Fault> {
        match &self.body {
            Body::Refused(fault) => Some(*fault),
            _ => None,
        }
    }

    fn is_over(&self) -> bool {
        match &self.body {
            Body::Length(left) => *left == 0,
            Body::Chunked(chunks) => chunks.is_over(),
            Body::All | Body::Refused(_) => false,
        }
    }

    /// How many of the bytes that are here belong to the request.
    fn allowed(&mut self, most: usize) -> usize {
        let here = &self.replay[..self.replay.len().min(most)];
        if self.head > 0 {
            let given = here.len().min(self.head);
            self.head -= given;
            return given;
        }
        match &mut self.body {
            Body::Length(left) => {
                let given = (here.len() as u64).min(*left);
                *left -= given;
                given as usize
            }
            Body::Chunked(chunks) => match chunks.take(here) {
                Ok(given) => given,
                Err(fault) => {
                    self.body = Body::Refused(fault);
                    0
                }
            },
            Body::All => here.len(),
            Body::Refused(_) => 0,
        }
    }

    /// The request is over: what comes now is the next one's. Ready only when the client has closed.
    fn poll_after(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.kept.unsplit(self.replay.split());
        while self.kept.len() < MAX_KEPT_BYTES {
            if std::task::ready!(poll_read_more(self.io.as_mut(), cx, &mut self.kept))? == 0 {
                self.eof = true;
                return Poll::Ready(Ok(()));
            }
        }
        // The client has sent too much ahead: it waits for its answer like everybody else.
        Poll::Pending
    }

    /// Writes what begins with the head of the final answer, when the origin named its date: how many of these bytes
    /// that head was, or `None` when they go on as they are. It happens once, so that no body is taken for a head.
    ///
    /// The head counts as written, like in any buffer: what the client does not take now goes before what comes next.
    fn poll_head(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<Option<usize>>> {
        std::task::ready!(self.poll_head_out(cx))?;
        let dates = self.dates.get_mut();
        if dates.is_empty() {
            return Poll::Ready(Ok(None));
        }
        let Some((length, head)) = dates::put_back(data, dates) else { return Poll::Ready(Ok(None)) };
        (*dates, self.head_out) = (Vec::new(), head.into());
        match self.poll_head_out(cx) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(Some(length))),
        }
    }

    /// Writes what is left of a head.
    fn poll_head_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.head_out.is_empty() {
            let io = self.io.as_mut().ok_or(io::ErrorKind::NotConnected)?;
            match std::task::ready!(Pin::new(io).poll_write(cx, &self.head_out))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.head_out.advance(written),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Reads once into a buffer's free room.
fn poll_read_more(io: Option<&mut Stream>, cx: &mut Context<'_>, into: &mut BytesMut) -> Poll<io::Result<usize>> {
    let Some(io) = io else { return Poll::Ready(Ok(0)) };
    let mut room = [0; READ_BYTES];
    let mut read = ReadBuf::new(&mut room);
    std::task::ready!(Pin::new(io).poll_read(cx, &mut read))?;
    into.extend_from_slice(read.filled());
    Poll::Ready(Ok(read.filled().len()))
}

impl AsyncRead for Conn {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if out.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        loop {
            if let Some(fault) = this.fault() {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, fault.reason())));
            }
            if this.head == 0 && this.is_over() {
                return this.poll_after(cx);
            }
            let given = this.allowed(out.remaining());
            if given > 0 {
                out.put_slice(&this.replay[..given]);
                this.replay.advance(given);
                return Poll::Ready(Ok(()));
            }
            if this.fault().is_none() && std::task::ready!(poll_read_more(this.io.as_mut(), cx, &mut this.replay))? == 0
            {
                this.eof = true;
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl AsyncWrite for Conn {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        match std::task::ready!(this.poll_head(cx, data))? {
            Some(length) => Poll::Ready(Ok(length)),
            None => Pin::new(this.io()?).poll_write(cx, data),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        std::task::ready!(this.poll_head_out(cx))?;
        Pin::new(this.io()?).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let ended = match this.poll_head_out(cx) {
            Poll::Ready(Ok(())) => Pin::new(this.io()?).poll_shutdown(cx),
            not_yet => not_yet,
        };
        if ended.is_ready() {
            return ended;
        }
        // Over TLS it waits until the client has taken what was written before, and pingora waits without end.
        let closing = this.closing.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        closing.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        // pingora writes a head from one buffer.
        match std::task::ready!(this.poll_head(cx, data.first().map_or(&[], |first| first)))? {
            Some(length) => Poll::Ready(Ok(length)),
            None => Pin::new(this.io()?).poll_write_vectored(cx, data),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.io.as_ref().is_some_and(|io| io.is_write_vectored())
    }
}

#[async_trait]
impl Shutdown for Conn {
    async fn shutdown(&mut self) {
        // An error is a client that is gone already.
        let _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for Conn {
    fn id(&self) -> UniqueIDType {
        self.io.as_ref().map_or(-1, |io| io.id())
    }
}

impl Ssl for Conn {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.io.as_ref()?.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.io.as_ref()?.selected_alpn_proto()
    }
}

impl GetTimingDigest for Conn {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.io.as_ref().map(|io| io.get_timing_digest()).unwrap_or_default()
    }
}

impl GetProxyDigest for Conn {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.io.as_ref()?.get_proxy_digest()
    }
}

impl GetSocketDigest for Conn {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.io.as_ref()?.get_socket_digest()
    }
}

/// The default peeks at nothing: pingora then takes an h2c connection for HTTP/2 without waiting for more bytes.
impl Peek for Conn {}
