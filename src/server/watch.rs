//! What the observer is told of answers that did not come from the cache.

use std::time::{Duration, Instant};

use http::Method;

use crate::{
    cache::{Asker, Key, Selecting, policy as cache_policy},
    header::{Fields, RequestHead, ResponseHead, cookie, fields::is, forwarded::Peer},
    observe::{Answer, Content, Dimension, Kind},
    route::Policy,
};

use super::{
    Engine,
    context::{Request, Rule},
    origin::{Exchange, is_event_stream},
};

/// Parts of a request that are looked at, of each kind.
const MOST_PARTS: usize = 8;
/// Any lifetime will do to ask whether an answer could be stored with one.
const SOME_LIFETIME: Duration = Duration::from_secs(60);
/// Words in the names of fields that say who asks.
const CREDENTIALS: [&str; 9] =
    ["auth", "token", "api-key", "apikey", "session", "user-id", "userid", "account", "tenant"];

impl Engine {
    /// Whether the answer to a request says what a cache would have done.
    pub(super) fn is_watched(&self, request: &RequestHead, rule: &Rule, response: &ResponseHead) -> bool {
        request.method == Method::GET
            && !request.has("range")
            && matches!(response.status(), 200..=205 | 300..=399 | 410)
            && (response.status() != 304 || request.has("if-none-match"))
            && cache_policy::admit(request, &rule.policy).is_ok()
            && !response.get("content-type").is_some_and(is_event_stream)
            && response.content_length().is_none_or(|length| length <= self.state.cache.settings().max_object_bytes)
    }

    /// Tells the observer of an answer whose last byte has come.
    pub(super) fn watched(
        &self,
        request: &RequestHead,
        peer: &Peer,
        began: Instant,
        rule: &Rule,
        exchange: &mut Exchange,
    ) {
        let Some(mut digest) = exchange.watched() else { return };
        let (observer, settings) = (&self.state.observer, self.state.cache.settings());
        let response = &exchange.head;
        let etag = response.get("etag").map(|tag| observer.hash(tag));
        let content = match response.status() {
            304 => Content::Unchanged(etag),
            status => {
                digest.field(&status.to_be_bytes());
                for name in ["content-type", "content-encoding", "location"] {
                    digest.field(response.get(name).unwrap_or_default());
                }
                digest.content()
            }
        };
        if matches!(content, Content::Whole(_, bytes) if bytes > settings.max_object_bytes) {
            return;
        }
        // As far as the answer is concerned; what the operator says of the route is no part of the question.
        let asker = Asker::of(request, &Policy { public: false, ..rule.policy.clone() }, &settings);
        let decided = |policy: &Policy| cache_policy::store(asker, response, policy, &settings, &exchange.received);
        let with_lifetime = Policy { ttl: Some(SOME_LIFETIME), ..rule.policy.clone() };
        let configured = match decided(&rule.policy) {
            Ok(storable) if self.observes() && storable.shared.admits(asker).is_ok() => {
                storable.terms.lifetime.checked_sub(storable.terms.initial_age)
            }
            _ => None,
        };
        let key = Key::of(request, peer);
        let selecting = self.state.cache.selected_by(response, request);
        let url = observer.hash(key.bytes());
        let names =
            Names { engine: self, request, key: &key, selecting: &selecting, ignored: &settings.ignore_cookies };
        let credentials = request.fields().any(|(name, _)| is_credential(name));
        observer.answered(
            &Answer {
                path: request.path(),
                url,
                key: observer.hash((url, names.selected())),
                identity: self.identity(request, peer),
                identified: asker.is_identified() || credentials,
                content,
                etag,
                began,
                ended: Instant::now(),
                upstream: exchange.asked.first_byte,
                sets_cookie: response.has("set-cookie"),
                configured: configured.filter(|left| !left.is_zero()),
                obstacle: decided(&with_lifetime).err().map(|why| why.name()),
                dimensions: &names.dimensions(url),
            },
            |path| self.state.profiler.name_of(path),
        );
    }

    /// Tells the observer that a request may have changed something.
    pub(super) fn wrote(&self, request: &Request, key: &Key, now: Instant) {
        let observer = &self.state.observer;
        observer.wrote(observer.hash(key.bytes()), self.identity(&request.head, &request.peer), now);
    }

    /// Who asks: what says so in the request, and the address.
    fn identity(&self, request: &RequestHead, peer: &Peer) -> u64 {
        let said: Vec<(&[u8], &[u8])> =
            request.fields().filter(|(name, _)| is(name, "cookie") || is_credential(name)).collect();
        self.state.observer.hash((said, peer.address))
    }
}

/// Whether a field by this name says who asks.
fn is_credential(name: &[u8]) -> bool {
    let holds = |word: &&str| name.windows(word.len()).any(|part| part.eq_ignore_ascii_case(word.as_bytes()));
    CREDENTIALS.iter().any(holds)
}

/// The parts of a request that its answer may depend on.
struct Names<'a> {
    engine: &'a Engine,
    request: &'a RequestHead,
    key: &'a Key,
    selecting: &'a Selecting,
    ignored: &'a [String],
}

impl<'a> Names<'a> {
    fn selected(&self) -> Vec<(&'a [u8], Option<&'a [u8]>)> {
        self.selecting.fields().collect()
    }

    /// Each part, with a hash of its value and one of all the others.
    fn dimensions(&self, url: u64) -> Vec<Dimension<'a>> {
        let observer = &self.engine.state.observer;
        let selected = self.selected();
        let mut dimensions = Vec::new();
        let mut add = |kind, name: &'a [u8], value: u64, rest: u64| {
            if let Ok(name) = std::str::from_utf8(name) {
                dimensions.push(Dimension { kind, name, value, rest });
            }
        };
        if let Some(query) = self.request.target.iter().position(|byte| *byte == b'?') {
            let parameters: Vec<(&[u8], &[u8])> = self.request.target[query + 1..]
                .split(|byte| *byte == b'&')
                .map(|pair| pair.iter().position(|byte| *byte == b'=').map_or((pair, &b""[..]), |at| pair.split_at(at)))
                .collect();
            let mut before = self.key.parts();
            before.target = before.path();
            let claims: Vec<_> = before.claims().collect();
            for (at, (name, value)) in parameters.iter().enumerate().take(MOST_PARTS) {
                let others: Vec<_> = parameters.iter().enumerate().filter(|(other, _)| *other != at).collect();
                let rest = (before.https, before.host, before.target, &claims, name, others, &selected);
                add(Kind::Query, name, observer.hash(value), observer.hash(rest));
            }
        }
        for (at, (name, value)) in selected.iter().enumerate().take(MOST_PARTS) {
            let others: Vec<_> = selected.iter().enumerate().filter(|(other, _)| *other != at).collect();
            add(Kind::Header, name, observer.hash(value), observer.hash((url, name, others)));
        }
        let cookies: Vec<(&[u8], &[u8])> = cookie::counting(self.request, self.ignored).collect();
        for (at, (name, value)) in cookies.iter().enumerate().take(MOST_PARTS) {
            let others: Vec<_> = cookies.iter().enumerate().filter(|(other, _)| *other != at).collect();
            add(Kind::Cookie, name, observer.hash(value), observer.hash((url, name, others, &selected)));
        }
        dimensions
    }
}
