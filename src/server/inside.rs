//! Requests of Pacecar's own. They take the way that clients' take, or the short one to the app, and nobody else: whatever
//! host they name, only the configured app is asked.

use std::{
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};

use crate::{
    header::{Fields, RequestHead, ResponseHead, forwarded::Peer},
    task::Job,
    traffic::UpstreamFailure,
};

use super::{
    context::Request,
    current::Current,
    origin::Heard,
    reply::{Gone, Reply},
    upstream::{Ask, upstream_request},
};

/// Asks for what the app has, by the configuration that is in force at the time.
#[derive(Clone)]
pub struct Inside {
    pub(super) current: Arc<Current>,
}

/// A GET.
#[derive(Clone, Debug)]
pub struct Get<'a> {
    /// Whether it is for the page that others see by https.
    pub https: bool,
    /// With the port, if it is not the scheme's own.
    pub host: &'a str,
    /// The path, with its query.
    pub target: &'a str,
    /// Further fields, such as Accept-Encoding.
    pub fields: &'a [(&'a str, &'a str)],
    /// Of a body, no more than so many bytes are handed out. The rest is counted.
    pub most_bytes: usize,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    /// The status.
    pub status: u16,
    /// The Content-Type.
    pub content_type: Option<Box<[u8]>>,
    /// Where a redirect leads to.
    pub location: Option<Box<[u8]>>,
    /// The Cache-Status of this proxy (RFC 9211); empty where the cache was not asked.
    pub cache_status: String,
    /// The beginning of the body.
    pub body: Bytes,
    /// Bytes of the whole body.
    pub body_bytes: u64,
    /// The body came to its end.
    pub is_whole: bool,
    /// Up to the head, and up to the last byte.
    pub first_byte: Duration,
    /// See [`Got::first_byte`].
    pub took: Duration,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoAnswer {
    /// It is not a request that a client could send.
    Refused(&'static str),
    /// The app failed.
    Upstream(UpstreamFailure),
}

impl Inside {
    /// One with the default configuration, whose app is not there.
    #[cfg(test)]
    pub fn for_tests(state: Arc<crate::state::State>) -> Self {
        let current = Current::new(state, super::Settings::default(), Vec::new());
        Self { current: Arc::new(current.expect("the default settings are right")) }
    }

    /// Asks as a client does: the cache answers, or takes part.
    ///
    /// # Errors
    /// When it is not a request that a client could send. The app's failures are answers of this proxy, 502 to 504.
    pub async fn get(&self, get: &Get<'_>) -> Result<Got, NoAnswer> {
        let engine = self.current.engine();
        let request = self.request(get)?;
        let mut collected = Collected::new(get.most_bytes);
        engine.serve(&request, &mut collected).await;
        collected.got().ok_or(NoAnswer::Upstream(UpstreamFailure::Closed))
    }

    /// Asks the app, whatever is stored, and stores nothing.
    ///
    /// # Errors
    /// When it is not a request that a client could send, or the app does not answer it.
    pub async fn get_from_app(&self, get: &Get<'_>) -> Result<Got, NoAnswer> {
        let engine = self.current.engine();
        let request = self.request(get)?;
        let mut collected = Collected::new(get.most_bytes);
        let asked = upstream_request(&request, Ask::Whole, &engine.sending)
            .map_err(|_| NoAnswer::Refused("a field that cannot be sent"))?;
        let slot = engine.origin.slots.enter().await.map_err(NoAnswer::Upstream)?;
        let mut heard = engine.origin.fetch(&asked, slot).await;
        let mut exchange = loop {
            match heard.map_err(NoAnswer::Upstream)? {
                Heard::Interim(_, awaiting) => heard = awaiting.next().await,
                Heard::Final(exchange) => break exchange,
            }
        };
        collected.head(&exchange.head, b"");
        while let Some(part) = exchange.next().await.map_err(NoAnswer::Upstream)? {
            collected.take(&part);
        }
        collected.end();
        engine.origin.release(exchange).await;
        collected.got().ok_or(NoAnswer::Upstream(UpstreamFailure::Closed))
    }

    /// The job of a client's request that a restart has found.
    pub fn revive(&self, description: &Bytes) -> Option<Job> {
        self.current.engine().revived(description)
    }

    fn request(&self, get: &Get<'_>) -> Result<Request, NoAnswer> {
        let engine = self.current.engine();
        let mut head = format!("GET {} HTTP/1.1\r\nHost: {}\r\n", get.target, get.host);
        for (name, value) in get.fields {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.push_str("\r\n");
        // What has a line end in it would be another request than the one that was asked for.
        let parts =
            [get.target, get.host].into_iter().chain(get.fields.iter().flat_map(|(name, value)| [*name, *value]));
        if parts.into_iter().any(|part| part.bytes().any(|byte| byte < b' ' || byte == 0x7f)) {
            return Err(NoAnswer::Refused("a control character"));
        }
        let head = RequestHead::parse(head.into(), &engine.settings.limits)
            .map_err(|refusal| NoAnswer::Refused(refusal.reason()))?;
        engine.admit(&head).map_err(|refusal| NoAnswer::Refused(refusal.reason()))?;
        let peer = Peer::new(Ipv4Addr::LOCALHOST.into(), get.https, &engine.settings.trusted_proxies);
        let rule = engine.rule(&head);
        Ok(Request::new(head, peer, Instant::now(), rule))
    }
}

/// An answer that is taken here.
struct Collected {
    began: Instant,
    most: usize,
    head: Option<(ResponseHead, String, Duration)>,
    body: BytesMut,
    bytes: u64,
    whole: Option<Duration>,
}

impl Collected {
    fn new(most: usize) -> Self {
        Self { began: Instant::now(), most, head: None, body: BytesMut::new(), bytes: 0, whole: None }
    }

    fn head(&mut self, head: &ResponseHead, added: &[u8]) {
        let status = added.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Cache-Status: "));
        let status = String::from_utf8_lossy(status.unwrap_or_default()).trim().to_owned();
        self.head = Some((head.clone(), status, self.began.elapsed()));
    }

    fn take(&mut self, part: &[u8]) {
        self.bytes += part.len() as u64;
        self.body.extend_from_slice(&part[..part.len().min(self.most - self.body.len())]);
    }

    fn end(&mut self) {
        self.whole = Some(self.began.elapsed());
    }

    fn got(self) -> Option<Got> {
        let (head, cache_status, first_byte) = self.head?;
        let field = |name| head.get(name).map(Box::from);
        Some(Got {
            status: head.status(),
            content_type: field("content-type"),
            location: field("location"),
            cache_status,
            body: self.body.freeze(),
            body_bytes: self.bytes,
            is_whole: self.whole.is_some(),
            first_byte,
            took: self.whole.unwrap_or_else(|| self.began.elapsed()),
        })
    }
}

impl Reply for Collected {
    async fn interim(&mut self, _: &ResponseHead) -> Result<(), Gone> {
        Ok(())
    }

    async fn whole(&mut self, head: &ResponseHead, added: &[u8], body: Bytes) -> Result<(), Gone> {
        self.head(head, added);
        self.take(&body);
        self.end();
        Ok(())
    }

    async fn start(&mut self, head: &ResponseHead, added: &[u8]) -> Result<(), Gone> {
        self.head(head, added);
        Ok(())
    }

    async fn part(&mut self, part: Bytes) -> Result<(), Gone> {
        self.take(&part);
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Gone> {
        self.end();
        Ok(())
    }

    async fn cut(&mut self) {}

    async fn left(&mut self) {
        std::future::pending().await
    }

    fn sent(&self) -> u64 {
        self.bytes
    }
}
