//! In which form a client would get a stored response.

use serde::Serialize;
use utoipa::ToSchema;

use crate::{
    cache::Entry,
    compress::{Form, Settings, Skip},
    header::{RequestHead, accept_encoding::Accepted, coding::Coding},
};

/// A coding that was made of a stored body.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Made {
    coding: &'static str,
    /// Bytes of the coded body; `null` where it came out no smaller, so that the body is sent as it is.
    bytes: Option<usize>,
    /// It is as small as its coding gets it.
    best: bool,
}

impl Made {
    /// Those made so far.
    pub(super) fn all_of(entry: &Entry) -> Vec<Self> {
        let made = |coding: Coding| {
            let coded = entry.coded(coding)?;
            let bytes = coded.form.as_ref().map(|(_, body)| body.len());
            Some(Self { coding: coding.name(), bytes, best: coded.best })
        };
        Coding::ALL.into_iter().filter_map(made).collect()
    }
}

/// In which form a client would get a stored response, were it used. A coding that is not made yet is made for the first
/// who takes it, and shows only then whether it makes the body smaller.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct WouldSend {
    /// `coded` here, `as-is`, or `decoded`: without the app's coding.
    form: &'static str,
    /// The coding that is made, or taken off.
    coding: Option<&'static str>,
    /// Why it goes as it is.
    reason: Option<&'static str>,
}

impl WouldSend {
    /// For a request whose Accept-Encoding was taken out, where bodies are coded here.
    pub(super) fn of(entry: &Entry, request: &RequestHead, accepted: Option<&Accepted>, settings: &Settings) -> Self {
        let mut form = Form::of(request, accepted, &entry.head, entry.codable, settings);
        if let Form::Coded(coding) = form
            && let Some(made) = entry.coded(coding)
        {
            let liked = accepted.into_iter().flat_map(|accepted| accepted.ties(&settings.codings));
            let smallest = entry.smallest((coding, &made), liked);
            form = smallest.map_or(Form::AsIs(Skip::NotSmaller), |(coding, _)| Form::Coded(coding));
        }
        let (form, coding, reason) = match form {
            Form::Coded(coding) => ("coded", Some(coding), None),
            Form::Decoded(coding) => ("decoded", Some(coding), None),
            Form::AsIs(why) => ("as-is", None, Some(why.name())),
        };
        Self { form, coding: coding.map(Coding::name), reason }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        time::{Instant, SystemTime},
    };

    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        admin::fixture::{Exchange, empty_state},
        cache::{
            ClientCopy, Key,
            entry::Parts,
            freshness::Received,
            policy::{self, Asker},
        },
        compress::eligible,
        header::{ResponseHead, edits::Edits, forwarded::Peer},
        route::{Policy, Route},
        state::State,
    };

    const NOBODY: Asker = Asker { cookie: false, authorization: false };
    const PAGE: &str = "Content-Type: text/html\r\nCache-Control: max-age=60\r\nVary: Accept-Encoding\r\n";

    fn key(request: &RequestHead) -> Key {
        Key::of(request, &Peer { address: [127, 0, 0, 1].into(), tls: false, trusted: true })
    }

    fn asked(fields: &str) -> RequestHead {
        RequestHead::for_tests(&format!("GET /page HTTP/1.1\r\nHost: shop.example\r\n{fields}\r\n"))
    }

    /// A state in which one answer of 1000 bytes to these request fields is stored.
    fn state_with(fields: &str, said: &str) -> (Arc<State>, Arc<Entry>) {
        let state = empty_state();
        let (request, head, at) = (asked(fields), ResponseHead::for_tests(200, said), Instant::now());
        let (rules, key, cache) = (Policy::default(), key(&request), &state.cache);
        let received = Received { requested: at, at, wall: SystemTime::now() };
        let storable = policy::store(NOBODY, &head, &rules, &cache.settings(), &received).unwrap();
        let codable = eligible::codable(&head, Some(1000), &rules, &state.compression.settings());
        let epoch = cache.epoch(&key);
        let entry = Arc::new(cache.entry(Parts {
            key: &key,
            head: &head,
            body: Bytes::from(vec![b'a'; 1000]),
            selecting: cache.selected_by(&head, &request),
            storable: &storable,
            received: at,
            epoch,
            copy: ClientCopy { edits: Edits::default(), codable },
        }));
        cache.insert(&key, entry.clone(), epoch).unwrap();
        (state, entry)
    }

    fn keep(state: &State, entry: &Arc<Entry>, coding: Coding, bytes: Option<usize>, best: bool) {
        let form = bytes.map(|bytes| (entry.sent.clone(), Bytes::from(vec![0; bytes])));
        state.cache.keep_coded(&key(&asked("")), entry, coding, form, best).unwrap();
    }

    async fn explained(state: &Arc<State>, fields: &[&str]) -> Value {
        let fields: String =
            fields.iter().map(|field| format!("&header={}", field.replace(' ', "%20").replace(';', "%3B"))).collect();
        let target = format!("/performance/cache/explain?url=http://shop.example/page{fields}");
        serde_json::from_str(&Exchange::get(&target).with(state).await.body).unwrap()
    }

    fn coded(coding: &str) -> Value {
        json!({"form": "coded", "coding": coding, "reason": null})
    }

    fn as_is(why: &str) -> Value {
        json!({"form": "as-is", "coding": null, "reason": why})
    }

    #[tokio::test]
    async fn accept_encoding_chooses_the_form_and_not_the_response() {
        let (state, _) = state_with("", PAGE);
        for (fields, expected) in [
            (&["Accept-Encoding: gzip, br"][..], coded("br")),
            (&["Accept-Encoding: gzip"], coded("gzip")),
            (&[], as_is("not-accepted")),
            (&["Accept-Encoding: br", "Range: bytes=0-1"], as_is("range")),
        ] {
            let said = explained(&state, fields).await;
            assert_eq!(said["decision"]["would"], "hit", "{said:#}");
            assert_eq!(said["stored"][0]["would_send"], expected, "{said:#}");
            assert_eq!(said["stored"][0]["codings"], json!([]), "{said:#}");
        }
    }

    #[tokio::test]
    async fn where_nothing_is_coded_here_accept_encoding_is_the_apps_business() {
        let (state, _) = state_with("Accept-Encoding: gzip\r\n", PAGE);
        let off = Policy { compress: false, ..Policy::default() };
        let route = Route { name: "off".into(), path: "/**".into(), methods: Vec::new(), policy: off };
        state.routes.store(Arc::new(vec![route]));
        let same = explained(&state, &["Accept-Encoding: gzip"]).await;
        assert_eq!((&same["decision"]["would"], &same["policy"]["compress"]), (&"hit".into(), &false.into()));
        assert_eq!(same["stored"][0]["would_send"], as_is("off"), "{same:#}");
        let other = explained(&state, &["Accept-Encoding: br"]).await;
        assert_eq!((&other["decision"]["would"], &other["decision"]["reason"]), (&"miss".into(), &"vary-miss".into()));
        assert_eq!((&other["stored"][0]["selected"], &other["stored"][0]["would_send"]), (&false.into(), &Value::Null));

        state.routes.store(Arc::default());
        let settings = Settings { codings: Vec::new(), ..Settings::default() };
        state.compression.reload(settings);
        let said = explained(&state, &["Accept-Encoding: gzip"]).await;
        assert_eq!(said["stored"][0]["would_send"], as_is("off"), "{said:#}");
    }

    #[tokio::test]
    async fn codings_are_shown_and_the_smallest_is_sent() {
        let (state, entry) = state_with("", PAGE);
        keep(&state, &entry, Coding::Gzip, Some(300), false);
        keep(&state, &entry, Coding::Deflate, None, true);
        let said = explained(&state, &["Accept-Encoding: gzip, deflate;q=0.5"]).await;
        let made = json!([
            {"coding": "gzip", "bytes": 300, "best": false},
            {"coding": "deflate", "bytes": null, "best": true},
        ]);
        assert_eq!((&said["stored"][0]["codings"], &said["stored"][0]["would_send"]), (&made, &coded("gzip")));
        assert_eq!(said["stored"][0]["body_bytes"], 1000, "{said:#}");
        let weight = said["stored"][0]["bytes"].as_u64().unwrap();
        assert!(weight > 1300, "both bodies and heads count: {said:#}");

        // What came out no smaller is not sent.
        let said = explained(&state, &["Accept-Encoding: deflate"]).await;
        assert_eq!(said["stored"][0]["would_send"], as_is("not-smaller"), "{said:#}");

        // One at its best is sent in place of another that the client likes as well, and only then.
        keep(&state, &entry, Coding::Br, Some(250), false);
        keep(&state, &entry, Coding::Gzip, Some(200), true);
        let said = explained(&state, &["Accept-Encoding: gzip, br"]).await;
        assert_eq!(said["stored"][0]["would_send"], coded("gzip"), "{said:#}");
        let said = explained(&state, &["Accept-Encoding: gzip;q=0.9, br"]).await;
        assert_eq!(said["stored"][0]["would_send"], coded("br"), "{said:#}");
    }

    #[tokio::test]
    async fn the_apps_coding_is_taken_off_for_who_refuses_it() {
        // Stored by a request without the field, since it was taken out.
        let (state, _) = state_with("", &format!("{PAGE}Content-Encoding: gzip\r\n"));
        for (accept, expected) in [
            ("Accept-Encoding: gzip", as_is("coded")),
            ("Accept-Encoding: br", json!({"form": "decoded", "coding": "gzip", "reason": null})),
        ] {
            let said = explained(&state, &[accept]).await;
            assert_eq!(said["decision"]["would"], "hit", "{said:#}");
            assert_eq!(said["stored"][0]["would_send"], expected, "{said:#}");
        }
    }
}
