//! 6 headers: what the client's copy of a response has other than the origin's. What is stored and decided upon is
//! always the origin's.

use crate::{
    cache::ClientCopy,
    cache_headers::{self, Asked},
    compress::{Skip, eligible},
    header::{Fields, RequestHead, ResponseHead, edits::Edits, validator},
};

use super::{Engine, context::Rule};

impl Engine {
    /// The client's copy of a response. `body` is the whole of it, where it is here already; `personal`: the response is for
    /// somebody in particular.
    pub(super) fn copy(
        &self,
        request: &RequestHead,
        rule: &Rule,
        head: &ResponseHead,
        body: Option<&[u8]>,
        personal: bool,
    ) -> ClientCopy {
        let mut edits = Edits::default();
        let asked = Asked { method: &request.method, path: request.path(), personal };
        let settings = &self.cache_headers;
        if self.observes() {
            return ClientCopy { edits, codable: Err(Skip::Off) };
        }
        cache_headers::edit(&mut edits, &asked, head, rule.policy.class, settings);
        if let Some(body) = body.filter(|_| cache_headers::wants_etag(&asked, head, settings)) {
            edits.add("ETag", cache_headers::etag(body));
        }
        let length = body.map(|body| body.len() as u64).or_else(|| head.content_length());
        let codable = match rule.codes {
            true => eligible::codable(head, length, &rule.policy, &self.compression),
            false if rule.policy.compress => Err(Skip::Off),
            false => Err(Skip::Route),
        };
        let is_decodable = codable == Err(Skip::Coded) && eligible::coding_of(head).is_some();
        if (codable.is_ok() || is_decodable) && eligible::vary(head) {
            edits.add("Vary", "Accept-Encoding");
        }
        // RFC 9110 §15.4.5: the tag of what would have been sent, which is ours if the client has that.
        if rule.codes
            && head.status() == 304
            && let Some(etag) = head.get("etag")
            && validator::only_weakly(request, etag)
            && let Some(weak) = validator::weakened(etag)
        {
            edits.set("ETag", weak);
            if eligible::vary(head) {
                edits.add("Vary", "Accept-Encoding");
            }
        }
        ClientCopy { edits, codable }
    }
}
