//! An HTTP/1.1 client on a bare socket: it sends what it is told to, and reads one strictly parsed answer at a time.

use std::{net::SocketAddr, pin::Pin};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    Answer, End, Fields, Request,
    message::{Broken, Framing, Wire, parse_head},
    readable, within,
};

/// A connection's two directions, with TLS or without.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

/// One connection. It is closed when the client is dropped.
pub(crate) struct Client {
    wire: Wire<Pin<Box<dyn Stream>>>,
    host: String,
    sent: Vec<u8>,
}

impl Client {
    /// Connects; the address is the Host of requests that name none.
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> impl Future<Output = Self> {
        within(format!("a connection to {address}"), async move {
            let stream = TcpStream::connect(address).await.expect("something listens there");
            let _ = stream.set_nodelay(true);
            Self::over(stream, address.to_string())
        })
    }

    /// A client on a connection that exists.
    pub(crate) fn over(stream: impl Stream + 'static, host: String) -> Self {
        Self { wire: Wire::new(Box::pin(stream)), host, sent: Vec::new() }
    }

    /// Sends these bytes. A peer that has closed already is no failure here: its answer tells more.
    pub(crate) async fn send_bytes(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        self.sent.extend_from_slice(&bytes[..bytes.len().min(2000)]);
        let _ = within("the peer to take a request", async {
            self.wire.stream.write_all(bytes).await?;
            self.wire.stream.flush().await
        })
        .await;
    }

    /// Sends a request and reads its answer.
    pub(crate) async fn send(&mut self, request: Request) -> Answer {
        self.begin(request).await.finish().await
    }

    /// Sends a GET and reads its answer.
    pub(crate) async fn get(&mut self, target: &str) -> Answer {
        self.send(super::get(target)).await
    }

    /// Sends a request and reads the head of its answer.
    pub(crate) async fn begin(&mut self, request: Request) -> Incoming<'_> {
        self.sent.clear();
        self.send_bytes(request.to_bytes(&self.host.clone())).await;
        self.incoming(&request.method).await
    }

    /// Reads the answer to a request of this method that was sent as bytes.
    pub(crate) async fn answer(&mut self, method: &str) -> Answer {
        self.incoming(method).await.finish().await
    }

    /// Reads the head of the answer to a request of this method.
    pub(crate) async fn incoming(&mut self, method: &str) -> Incoming<'_> {
        let request = readable(&self.sent);
        let mut interim = Vec::new();
        loop {
            let head = within(format!("the head of an answer to\n{request}"), self.wire.head()).await;
            let head = match head {
                Ok(Some(head)) => head,
                Ok(None) => panic!("the connection was closed in place of an answer to\n{request}"),
                Err(broken) => panic!("{broken:?} in place of an answer's head, to\n{request}"),
            };
            let (version, status, fields) = status_line(&head)
                .unwrap_or_else(|broken| panic!("{broken:?} in the answer to\n{request}{}", readable(&head)));
            if (100..200).contains(&status) && status != 101 {
                interim.push((status, fields));
                continue;
            }
            let framing = framing(method, status, &fields)
                .unwrap_or_else(|broken| panic!("{broken:?} in the answer to\n{request}{}", readable(&head)));
            let (body, trailers) = (Vec::new(), Fields::default());
            let answer = Answer { request, version, status, fields, body, end: End::Complete, trailers, interim };
            return Incoming { client: self, framing, answer };
        }
    }

    /// Reads exactly these bytes, or something else.
    pub(crate) async fn until(&mut self, expected: &str) -> bool {
        let read = within(format!("{expected:?}"), self.wire.head()).await;
        matches!(read, Ok(Some(read)) if read == expected.as_bytes())
    }

    /// Says that no more will be sent.
    pub(crate) async fn finish_sending(&mut self) {
        let _ = self.wire.stream.shutdown().await;
    }

    /// Waits until the server closes the connection; what it sends before is returned.
    #[track_caller]
    pub(crate) fn closed(&mut self) -> impl Future<Output = Bytes> {
        within("the server to close the connection", async {
            // A reset is an end as well.
            self.wire.rest().await.unwrap_or_default()
        })
    }
}

/// An answer whose head has come, and whose body is still coming.
pub(crate) struct Incoming<'a> {
    client: &'a mut Client,
    framing: Framing,
    answer: Answer,
}

impl Incoming<'_> {
    /// The answer so far.
    pub(crate) fn so_far(&self) -> &Answer {
        &self.answer
    }

    /// Reads until the body so far is at least this long; fails if it ends before.
    pub(crate) async fn at_least(&mut self, len: usize) -> &Answer {
        while self.answer.body.len() < len {
            let more = self.piece().await;
            self.answer.expect(more, format!("at least {len} bytes of body"));
        }
        &self.answer
    }

    /// Reads to the end, whatever it is.
    pub(crate) async fn finish(mut self) -> Answer {
        while self.piece().await {}
        self.answer
    }

    /// Reads the next bytes of the body; `false` at its end.
    async fn piece(&mut self) -> bool {
        let what = format!("more of the answer, {} bytes so far", self.answer.body.len());
        match within(what, self.client.wire.piece(&mut self.framing)).await {
            Ok(Some(piece)) => {
                self.answer.body.extend_from_slice(&piece);
                true
            }
            Ok(None) => false,
            Err(Broken::Malformed(what)) => panic!("{what} in the body of\n{}", self.answer),
            Err(broken) => {
                self.answer.end = End::Cut(format!("{broken:?}"));
                false
            }
        }
    }
}

fn status_line(head: &[u8]) -> Result<(String, u16, Fields), Broken> {
    let (line, fields) = parse_head(head)?;
    // RFC 9112 §4: version SP status SP [reason]; the second space is there even when the reason is not.
    let mut parts = line.splitn(3, ' ');
    let (version, status, reason) = (parts.next(), parts.next(), parts.next());
    match (version, status, reason) {
        (Some(version @ ("HTTP/1.1" | "HTTP/1.0")), Some(status), Some(_))
            if status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            Ok((version.to_owned(), status.parse().expect("three digits"), fields))
        }
        _ => Err(Broken::Malformed(format!("status line {line:?}"))),
    }
}

/// RFC 9112 §6.3: HEAD, 204 and 304 have no body, whatever the fields say; 204 must not even have the fields.
fn framing(method: &str, status: u16, fields: &Fields) -> Result<Framing, Broken> {
    let declared = Framing::declared(fields)?;
    if status == 204 && declared.is_some() {
        return Err(Broken::Malformed("a 204 with a length".to_owned()));
    }
    match (method, status) {
        ("HEAD", _) | (_, 204 | 304) => Ok(Framing::Ended),
        _ => Ok(declared.unwrap_or(Framing::UntilClose)),
    }
}
