//! A web app that speaks HTTP/2 without TLS, as gRPC servers do.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
};

use super::{App, Fields, Upstream, h2::fields};

/// A request as it was received.
#[derive(Clone, Debug)]
pub(crate) struct H2Received {
    pub(crate) method: String,
    pub(crate) scheme: String,
    pub(crate) authority: String,
    pub(crate) path: String,
    pub(crate) fields: Fields,
    pub(crate) body: Vec<u8>,
}

/// What is answered to a request.
#[derive(Clone, Default)]
pub(crate) struct H2Answer {
    fields: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
    trailers: Vec<(&'static str, &'static str)>,
    cut: bool,
}

impl H2Answer {
    /// 200 with this body.
    pub(crate) fn ok(body: impl AsRef<[u8]>) -> Self {
        Self { body: body.as_ref().to_vec(), ..Self::default() }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.fields.push((name, value));
        self
    }

    /// A field after the body.
    pub(crate) fn trailer(mut self, name: &'static str, value: &'static str) -> Self {
        self.trailers.push((name, value));
        self
    }

    /// The stream is reset where the body would end.
    pub(crate) fn cut(mut self) -> Self {
        self.cut = true;
        self
    }
}

type Script = dyn Fn(&H2Received) -> H2Answer + Send + Sync;

/// The running app. It ends when it is dropped.
pub(crate) struct H2Origin {
    address: SocketAddr,
    log: Arc<Mutex<Vec<H2Received>>>,
    running: JoinHandle<()>,
}

impl H2Origin {
    /// Answers every request with what the script says, on a port that the system chooses.
    pub(crate) async fn start(script: impl Fn(&H2Received) -> H2Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port on loopback");
        let address = listener.local_addr().expect("a bound socket has an address");
        let log = Arc::<Mutex<Vec<H2Received>>>::default();
        let running = tokio::spawn(accept(listener, Arc::new(script), log.clone()));
        Self { address, log, running }
    }

    /// Every request so far, whose body has come.
    pub(crate) fn log(&self) -> Vec<H2Received> {
        self.log.lock().unwrap().clone()
    }

    /// The latest request.
    #[track_caller]
    pub(crate) fn last(&self) -> H2Received {
        self.log().pop().expect("the origin was asked nothing")
    }
}

impl App for H2Origin {
    fn upstream(&self) -> Upstream {
        let log = self.log.clone();
        Upstream { address: self.address, log: Arc::new(move || format!("{:#?}\n", log.lock().unwrap())) }
    }

    fn url(&self) -> String {
        format!("h2c://{}", self.address)
    }
}

impl Drop for H2Origin {
    fn drop(&mut self) {
        self.running.abort();
    }
}

async fn accept(listener: TcpListener, script: Arc<Script>, log: Arc<Mutex<Vec<H2Received>>>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (script, log) = (script.clone(), log.clone());
        connections.spawn(async move {
            let Ok(mut connection) = h2::server::handshake(stream).await else { return };
            let mut streams = JoinSet::new();
            while let Some(Ok((request, respond))) = connection.accept().await {
                streams.spawn(answer(request, respond, script.clone(), log.clone()));
            }
        });
    }
}

async fn answer(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<Bytes>,
    script: Arc<Script>,
    log: Arc<Mutex<Vec<H2Received>>>,
) -> Option<()> {
    let (head, mut receiving) = request.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = receiving.data().await {
        let piece = piece.ok()?;
        receiving.flow_control().release_capacity(piece.len()).ok()?;
        body.extend_from_slice(&piece);
    }
    let received = H2Received {
        method: head.method.to_string(),
        scheme: head.uri.scheme_str().unwrap_or_default().to_owned(),
        authority: head.uri.authority().map(ToString::to_string).unwrap_or_default(),
        path: head.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
        fields: fields(&head.headers),
        body,
    };
    let answer = script(&received);
    log.lock().unwrap().push(received);
    let mut response = http::Response::builder().status(200);
    for (name, value) in &answer.fields {
        response = response.header(*name, *value);
    }
    let bodiless = head.method == "HEAD";
    let over = bodiless || (answer.body.is_empty() && answer.trailers.is_empty() && !answer.cut);
    let mut sending = respond.send_response(response.body(()).unwrap(), over).ok()?;
    if over {
        return Some(());
    }
    let last = answer.trailers.is_empty() && !answer.cut;
    sending.send_data(answer.body.into(), last).ok()?;
    if answer.cut {
        // A reset overtakes what is still queued: the data goes first.
        sending.reserve_capacity(1);
        std::future::poll_fn(|context| sending.poll_capacity(context)).await;
        sending.send_reset(h2::Reason::INTERNAL_ERROR);
    } else if !last {
        let named = |(name, value): &(&str, &str)| (name.parse().unwrap(), value.parse().unwrap());
        sending.send_trailers(answer.trailers.iter().map(named).collect()).ok()?;
    }
    Some(())
}
