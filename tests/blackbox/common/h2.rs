//! An HTTP/2 client, with prior knowledge or over TLS.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use tokio::{net::TcpStream, task::JoinHandle};

use super::{Answer, End, Fields, Request, client::Stream, request::Body, within};

/// One connection. It is closed when the client is dropped.
pub(crate) struct H2 {
    requests: SendRequest<Bytes>,
    scheme: &'static str,
    host: String,
    driver: JoinHandle<()>,
}

impl H2 {
    /// Connects without TLS, with prior knowledge (RFC 9113 §3.3).
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> impl Future<Output = Self> {
        within(format!("an HTTP/2 connection to {address}"), async move {
            let stream = TcpStream::connect(address).await.expect("something listens there");
            let _ = stream.set_nodelay(true);
            Self::over(stream, "http", address.to_string()).await
        })
    }

    /// A client on a connection that exists.
    pub(crate) async fn over(stream: impl Stream + Unpin + 'static, scheme: &'static str, host: String) -> Self {
        // The windows are large enough that a test reads a large body without giving credit in between.
        let (requests, connection) = h2::client::Builder::new()
            .initial_window_size(64 << 20)
            .initial_connection_window_size(64 << 20)
            .handshake(Box::pin(stream))
            .await
            .expect("an HTTP/2 handshake");
        let driver = tokio::spawn(async move {
            let _ = connection.await;
        });
        Self { requests, scheme, host, driver }
    }

    /// Sends a GET and reads its answer.
    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.send(super::get(target)).await
    }

    /// Sends a request and reads its answer. Several may be under way at once.
    pub(crate) async fn send(&self, request: Request) -> Answer {
        let host = request.host(&self.host);
        let mut head = http::Request::builder()
            .method(&*request.method)
            .uri(format!("{}://{host}{}", self.scheme, request.target))
            .version(http::Version::HTTP_2);
        for (name, value) in request.fields.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("host")) {
            head = head.header(name, value);
        }
        let shown = format!("    {} {}://{host}{} (HTTP/2)\n", request.method, self.scheme, request.target);
        let exchange = self.exchange(head.body(()).expect("a valid request"), request.body, shown.clone());
        within(format!("an answer to\n{shown}"), exchange).await
    }

    async fn exchange(&self, head: http::Request<()>, body: Body, shown: String) -> Answer {
        let mut requests = self.requests.clone().ready().await.expect("the connection takes another request");
        let pieces = match body {
            Body::None => Vec::new(),
            Body::Whole(body) => vec![body],
            Body::Chunks(chunks) => chunks,
        };
        let (response, mut sending) = requests.send_request(head, pieces.is_empty()).expect("a connection that lives");
        let last = pieces.len().saturating_sub(1);
        for (at, piece) in pieces.into_iter().enumerate() {
            // An early answer may have ended the stream: it tells more than a failure here.
            let _ = sending.send_data(piece.into(), at == last);
        }
        let (head, mut receiving) = match response.await {
            Ok(response) => response.into_parts(),
            // A reset overtakes what is still queued: a stream that is cut early may end before its head.
            Err(error) => return Answer::reset(shown, error.to_string()),
        };
        let mut answer = Answer {
            request: shown,
            version: "HTTP/2".to_owned(),
            status: head.status.as_u16(),
            fields: fields(&head.headers),
            body: Vec::new(),
            end: End::Complete,
            trailers: Fields::default(),
            interim: Vec::new(),
        };
        while let Some(piece) = receiving.data().await {
            match piece {
                Ok(piece) => answer.body.extend_from_slice(&piece),
                Err(error) => {
                    answer.end = End::Cut(error.to_string());
                    return answer;
                }
            }
        }
        match receiving.trailers().await {
            Ok(trailers) => answer.trailers = trailers.as_ref().map(fields).unwrap_or_default(),
            Err(error) => answer.end = End::Cut(error.to_string()),
        }
        answer
    }
}

impl Drop for H2 {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Fields in their order.
pub(crate) fn fields(headers: &http::HeaderMap) -> Fields {
    Fields(headers.iter().map(|(name, value)| (name.to_string(), latin1(value))).collect())
}

fn latin1(value: &http::HeaderValue) -> String {
    value.as_bytes().iter().map(|byte| char::from(*byte)).collect()
}
