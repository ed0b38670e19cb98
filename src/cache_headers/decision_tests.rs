//! The rules about cache headers, one a line, and what no response may ever be told.

use std::time::Duration;

use http::Method;
use proptest::prelude::*;

use super::{Asked, Kind, Mode, Settings, edit};
use crate::{
    header::{CacheControl, Fields, ResponseHead, edits::Edits, fields::is},
    route::Class,
};

const YEAR: &str = "public, max-age=31536000, immutable";
const HASHED: &str = "/assets/app-3f2a9c1b.js";

/// A request and its answer.
#[derive(Clone, Debug)]
struct Case {
    method: Method,
    path: String,
    personal: bool,
    class: Option<Class>,
    settings: Settings,
    response: ResponseHead,
}

/// A GET that was answered 200 with these fields.
fn get(path: &str, fields: &str) -> Case {
    Case {
        method: Method::GET,
        path: path.into(),
        personal: false,
        class: None,
        settings: Settings::default(),
        response: ResponseHead::for_tests(200, fields),
    }
}

/// The same for a script with a hash in its name.
fn script(fields: &str) -> Case {
    get(HASHED, &format!("Content-Type: text/javascript\r\n{fields}"))
}

impl Case {
    fn method(self, method: Method) -> Self {
        Self { method, ..self }
    }

    fn personal(self) -> Self {
        Self { personal: true, ..self }
    }

    fn class(self, class: Class) -> Self {
        Self { class: Some(class), ..self }
    }

    fn mode(mut self, mode: Mode) -> Self {
        self.settings.mode = mode;
        self
    }

    fn status(self, status: u16) -> Self {
        let fields: String = lines(&self.response).map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        Self { response: ResponseHead::for_tests(status, &fields), ..self }
    }

    fn lasting(mut self, seconds: f64) -> Self {
        let max_age = Duration::from_secs_f64(seconds);
        self.settings = Settings {
            mode: self.settings.mode,
            hashed_max_age: max_age,
            static_max_age: max_age,
            api_max_age: max_age,
            monitoring_max_age: max_age,
        };
        self
    }

    fn run(&self) -> (Option<Kind>, Edits) {
        let asked = Asked { method: &self.method, path: self.path.as_bytes(), personal: self.personal };
        let mut edits = Edits::default();
        let kind = edit(&mut edits, &asked, &self.response, self.class, &self.settings);
        (kind, edits)
    }

    /// What is decided, and what Cache-Control then says; every other field but those in its place has to be as it was.
    fn becomes(&self) -> Option<(Kind, String)> {
        let (kind, edits) = self.run();
        let edited = edits.apply(&self.response);
        let Some(kind) = kind else {
            assert!(edits.is_empty(), "{edits:?}");
            return None;
        };
        let said = |name: &str| ["cache-control", "expires", "pragma"].iter().any(|known| is(name.as_bytes(), known));
        let rest = |head| lines(head).filter(|(name, _)| !said(name)).collect::<Vec<_>>();
        assert_eq!(rest(&edited), rest(&self.response));
        let says: Vec<_> = lines(&edited).filter(|(name, _)| said(name)).collect();
        let [(name, value)] = &says[..] else { panic!("{says:?}") };
        assert_eq!(name, "Cache-Control");
        Some((kind, value.clone()))
    }
}

fn lines(head: &ResponseHead) -> impl Iterator<Item = (String, String)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    head.fields().map(move |(name, value)| (text(name), text(value)))
}

macro_rules! table {
    ($($name:ident: $case:expr => $($kind:ident $value:expr)?;)+) => {$(
        #[test]
        #[allow(unused_mut, unused_assignments)]
        fn $name() {
            let mut expected = None;
            $(expected = Some((Kind::$kind, String::from($value)));)?
            assert_eq!($case.becomes(), expected);
        }
    )+};
}

use Class::{Api, Health, Monitoring, Static};
use Mode::{Never, Override};

// Without a class: hashed names for a year, everything else to be confirmed.
table! {
    a_hashed_script: script("") => Hashed YEAR;
    a_hashed_style: get("/a.55e7cbb9ba48.css", "content-type: text/css; charset=utf-8") => Hashed YEAR;
    a_hashed_name_asked_with_head: script("").method(Method::HEAD) => Hashed YEAR;
    a_hashed_name_with_validators: script("ETag: \"a\"\r\nLast-Modified: x") => Hashed YEAR;
    a_hashed_name_that_varies: script("Vary: Accept-Encoding") => Hashed YEAR;
    a_hashed_name_answered_with_html: get(HASHED, "Content-Type: text/html") => Revalidate "no-cache";
    a_hashed_name_without_type: get(HASHED, "") => Revalidate "no-cache";
    a_hashed_name_with_two_types: script("Content-Type: text/html") => Revalidate "no-cache";
    a_hashed_name_for_a_person: script("").personal() => Private "private, no-cache";
    a_hashed_name_that_sets_a_cookie: script("Set-Cookie: a=b") => Private "private, no-cache";
    a_page: get("/", "Content-Type: text/html") => Revalidate "no-cache";
    a_file_without_hash: get("/app.js", "Content-Type: text/javascript") => Revalidate "no-cache";
    a_page_for_a_person: get("/", "").personal() => Private "private, no-cache";
    a_page_that_sets_a_cookie: get("/", "set-cookie: a=b") => Private "private, no-cache";
    for_less_than_a_year: script("").lasting(60.0) => Hashed "public, max-age=60, immutable";
    for_no_time: script("").lasting(0.0) => Revalidate "no-cache";
    for_less_than_a_second: script("").lasting(0.9) => Revalidate "no-cache";
}

// With a class.
table! {
    of_class_static: get("/a.css", "").class(Static) => Static "public, max-age=3600";
    of_class_api: get("/a", "").class(Api) => Api "public, max-age=300";
    of_class_monitoring: get("/a", "").class(Monitoring) => Monitoring "public, max-age=60";
    of_class_health: get("/a", "").class(Health) => Health "no-store";
    static_for_a_person: get("/a", "").class(Static).personal() => Private "private, no-cache";
    api_for_a_person: get("/a", "").class(Api).personal() => Private "private, no-cache";
    monitoring_for_a_person: get("/a", "").class(Monitoring).personal() => Private "private, no-cache";
    health_for_a_person: get("/a", "").class(Health).personal() => Health "no-store";
    static_with_a_cookie: get("/a", "Set-Cookie: a=b").class(Static) => Private "private, no-cache";
    api_with_a_cookie: get("/a", "Set-Cookie: a=b").class(Api) => Private "private, no-cache";
    monitoring_with_a_cookie: get("/a", "Set-Cookie: a=b").class(Monitoring) => Private "private, no-cache";
    // The name is the stronger fact about a file, and the class about everything else.
    static_with_a_hashed_name: script("").class(Static) => Hashed YEAR;
    static_with_a_hashed_name_for_a_person: script("").class(Static).personal() => Private "private, no-cache";
    api_with_a_hashed_name: script("").class(Api) => Api "public, max-age=300";
    health_with_a_hashed_name: script("").class(Health) => Health "no-store";
    of_a_class_for_no_time: get("/a", "").class(Api).lasting(0.0) => Revalidate "no-cache";
    of_a_class_for_a_person_and_no_time: get("/a", "").class(Api).personal().lasting(0.0)
        => Private "private, no-cache";
}

// Neither errors nor redirects, nothing unsafe, no parts: RFC 9110 §9.3, §15. Health only tightens.
table! {
    not_found: script("").status(404) => ;
    a_failure: get("/", "").class(Api).status(500) => ;
    a_redirect: get("/", "Location: /a").class(Static).status(301) => ;
    not_modified: script("").status(304) => ;
    a_part: script("Content-Range: bytes 0-1/2").status(206) => ;
    another_success: get("/", "").status(203) => ;
    a_failing_health_check: get("/", "").class(Health).status(503) => Health "no-store";
    a_health_check_that_moved: get("/", "").class(Health).status(302) => Health "no-store";
    a_post: script("").method(Method::POST) => ;
    options: get("/", "").class(Static).method(Method::OPTIONS) => ;
    a_posted_health_check: get("/", "").class(Health).method(Method::POST) => ;
    events: get("/", "Content-Type: Text/Event-Stream ; charset=utf-8").class(Api) => ;
}

// Where the origin has spoken, it stands: RFC 9111 §5.2, §5.3, §5.4.
table! {
    cache_control: script("Cache-Control: max-age=5") => ;
    an_empty_cache_control: script("cache-control:") => ;
    expires: script("Expires: Thu, 01 Jan 1970 00:00:00 GMT") => ;
    expires_that_is_no_date: get("/", "Expires: 0").class(Api) => ;
    pragma: get("/", "Pragma: no-cache").class(Static) => ;
    health_that_has_spoken: get("/", "Cache-Control: max-age=5").class(Health) => ;
    // RFC 9213 §2.2: other caches are spoken to.
    a_targeted_field: script("CDN-Cache-Control: max-age=5") => Hashed YEAR;
    a_targeted_field_of_a_page: get("/", "Surrogate-Control: max-age=5") => Revalidate "no-cache";
    a_targeted_private: script("Shop-Cache-Control: private") => Private "private, no-cache";
    a_targeted_no_store: get("/", "Surrogate-Control: no-store").class(Api) => Private "private, no-cache";
    a_targeted_no_cache: get("/", "CDN-Cache-Control: max-age=0, No-Cache").class(Static)
        => Private "private, no-cache";
    // RFC 9110 §12.5.5: it depends on more than can be seen.
    vary_star: script("Vary: Accept, *") => Private "private, no-cache";
    vary_star_of_a_class: get("/", "Vary: *").class(Monitoring) => Private "private, no-cache";
    vary_cookie: get("/", "Vary: Cookie").class(Api) => Api "public, max-age=300";
}

// In mode "override", in place of a lifetime, and never of a prohibition.
table! {
    a_lifetime: script("Cache-Control: public, max-age=0").mode(Override) => Hashed YEAR;
    a_lifetime_of_a_class: get("/", "cache-control: max-age=9").class(Api).mode(Override) => Api "public, max-age=300";
    every_field: get("/", "Expires: 0\r\nPragma: x\r\nCache-Control: a\r\nX: y\r\nCache-Control: b")
        .class(Api).mode(Override) => Api "public, max-age=300";
    nothing_said: script("").mode(Override) => Hashed YEAR;
    nothing_said_about_a_page: get("/", "").mode(Override) => Revalidate "no-cache";
    a_page_that_has_spoken: get("/", "Cache-Control: max-age=9").mode(Override) => ;
    a_hashed_name_for_a_person_that_has_spoken: script("Cache-Control: max-age=0").personal().mode(Override) => ;
    a_class_for_a_person: get("/", "Cache-Control: max-age=9").class(Api).personal().mode(Override)
        => Private "private, no-cache";
    a_class_with_a_cookie: get("/", "Expires: 0\r\nSet-Cookie: a=b").class(Static).mode(Override)
        => Private "private, no-cache";
    never_no_store: script("Cache-Control: no-store").mode(Override) => ;
    never_private: get("/", "Cache-Control: private, max-age=9").class(Api).mode(Override) => ;
    never_private_fields: get("/", "Cache-Control: private=\"x\"").class(Api).mode(Override) => ;
    never_no_cache: script("Cache-Control: no-cache").mode(Override) => ;
    never_a_pragma: get("/", "Pragma: No-Cache").class(Static).mode(Override) => ;
    never_a_malformed_private: get("/", "Cache-Control: x=\"a, PRIVATE ").class(Api).mode(Override) => ;
    never_one_of_two_lines: get("/", "Cache-Control: max-age=9\r\nCache-Control: private").class(Api).mode(Override)
        => ;
    what_else_is_forbidden_stays: get("/", "Cache-Control: max-age=9, No-Transform, must-revalidate")
        .class(Api).mode(Override) => Api "public, max-age=300, must-revalidate, no-transform";
    for_proxies_as_well: script("Cache-Control: proxy-revalidate").mode(Override)
        => Hashed "public, max-age=31536000, immutable, proxy-revalidate";
    health_over_a_lifetime: get("/", "Cache-Control: max-age=9").class(Health).mode(Override) => Health "no-store";
    health_over_private: get("/", "Cache-Control: private, no-transform").class(Health).mode(Override)
        => Health "no-store, no-transform";
    health_that_says_so: get("/", "Cache-Control: no-store, max-age=0").class(Health).mode(Override) => ;
    an_error_that_has_spoken: script("Cache-Control: max-age=9").status(404).mode(Override) => ;
}

// In mode "never".
table! {
    never_a_hashed_name: script("").mode(Never) => ;
    never_a_page: get("/", "").mode(Never) => ;
    never_a_class: get("/", "").class(Static).mode(Never) => ;
    never_health: get("/", "").class(Health).mode(Never) => ;
}

#[test]
fn a_line_is_added_and_nothing_taken_out_where_nothing_was_said() {
    let (_, edits) = script("").run();
    assert!(edits.removed().is_empty());
    assert_eq!(edits.added().len(), 1);
}

#[test]
fn kinds_have_names_of_their_own() {
    let names: std::collections::BTreeSet<_> = Kind::ALL.map(Kind::name).into();
    assert_eq!(names.len(), Kind::ALL.len());
}

fn any_field() -> impl Strategy<Value = String> {
    let directives = prop::sample::select(&[
        "public",
        "private",
        "no-store",
        "NO-STORE",
        "no-cache",
        "max-age=60",
        "max-age=0",
        "s-maxage=5",
        "private=\"a\"",
        "immutable",
        "must-revalidate",
        "x=\"",
        "\"",
        "nonsense",
    ]);
    let control = prop::collection::vec(directives, 0..4).prop_map(|list| list.join(", "));
    let other = prop::sample::select(&[
        "Set-Cookie: a=b",
        "Content-Type: text/javascript",
        "Content-Type: text/html",
        "Content-Type: text/event-stream",
        "Expires: 0",
        "Pragma: no-cache",
        "Vary: *",
        "Vary: Accept-Encoding",
        "ETag: \"a\"",
    ]);
    let names = prop::sample::select(&["Cache-Control", "cache-control", "CDN-Cache-Control", "Surrogate-Control"]);
    prop_oneof![
        (names, control).prop_map(|(name, value)| format!("{name}: {value}\r\n")),
        other.prop_map(|line| format!("{line}\r\n")),
    ]
}

prop_compose! {
    fn any_case()(
        method in prop::sample::select(&[Method::GET, Method::HEAD, Method::POST]),
        path in prop::sample::select(&[HASHED, "/", "/a.js"]),
        personal: bool,
        class in prop::option::of(prop::sample::select(&[Static, Api, Monitoring, Health])),
        mode in prop::sample::select(&[Mode::Missing, Override, Never]),
        status in prop::sample::select(&[200_u16, 203, 206, 301, 304, 404, 503]),
        fields in prop::collection::vec(any_field(), 0..5),
    ) -> Case {
        let response = ResponseHead::for_tests(status, &fields.concat());
        let settings = Settings { mode, ..Settings::default() };
        Case { method, path: path.into(), personal, class, settings, response }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn nothing_is_made_looser(case in any_case()) {
        let Some((kind, value)) = case.becomes() else { return Ok(()) };
        prop_assert_ne!(case.settings.mode, Never);
        let (said, says) = (CacheControl::of(&case.response), CacheControl::of(&case.run().1.apply(&case.response)));
        let lasts = says.public || says.s_maxage.is_some() || says.max_age.is_some_and(|age| !age.is_zero());
        let is_own = case.personal || case.response.has("set-cookie");
        let is_forbidden = said.private || said.no_store || said.no_cache;
        prop_assert!(!lasts || !(is_own || is_forbidden || case.response.status() != 200), "{}", value);
        // A prohibition stands, or becomes a stricter one.
        prop_assert!(!said.no_store, "{:?} {}", kind, value);
        prop_assert!(!said.private || says.no_store, "{:?} {}", kind, value);
        prop_assert!(!said.no_cache || says.no_store, "{:?} {}", kind, value);
    }

    #[test]
    fn where_the_origin_has_spoken_its_bytes_stand(case in any_case()) {
        let case = case.mode(Mode::Missing);
        if ["cache-control", "expires", "pragma"].iter().any(|name| case.response.has(name)) {
            prop_assert_eq!(case.run().1.apply(&case.response).bytes().as_ptr(), case.response.bytes().as_ptr());
        }
    }
}
