//! What is advised can be pasted: every configuration that a rule offers is one that Pacecar takes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop where it is")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use pacecar::{
    advice::{Facts, Finding, Remedy, findings},
    cache::{Outcome, Skip, Stats},
    compress,
    config::Config,
    header::coding::Coding,
    observe::{self, Hits, Report, Watched},
    profile::{Asked, CacheUse, Ending, Endpoint, Figures, Path, Sample, Snapshot},
    route::{Policy, Route},
};

/// Forty requests for which the app takes a second each.
fn slow(name: &str) -> Endpoint {
    let (duration, mut figures) = (Duration::from_secs(1), Figures::default());
    for _ in 0..40 {
        let sample = Sample {
            path: Path::of(b"/"),
            method: "GET",
            status: 200,
            cache: CacheUse::Miss,
            result: "miss",
            ended: Instant::now(),
            duration,
            upstream: Some(Asked { first_byte: duration, in_flight: 1, ..Asked::default() }),
            compression: Duration::ZERO,
            bytes: 0,
            saved: 0,
            ending: Ending::Complete,
            trace_id: None,
            span: None,
            queries: None,
        };
        figures.add(&sample, duration);
    }
    Endpoint { endpoint: name.into(), method: "GET", figures }
}

/// A hundred answers that were the same for all who asked.
fn watched(name: &str) -> Watched {
    let hits = Hits { requests: 80, upstream: Duration::from_secs(80), ..Hits::default() };
    let figures = observe::Figures {
        answers: 100,
        watched: 100,
        repeats: 80,
        same: 80,
        same_for_another: 80,
        lifetimes: [hits; observe::LIFETIMES.len()],
        ..observe::Figures::default()
    };
    let depends = [false; observe::LIFETIMES.len()];
    Watched { endpoint: name.into(), figures, depends, agreed: 80, obstacles: Vec::new() }
}

/// Facts in which every rule that offers lines finds something.
fn facts() -> Facts {
    let names = ["/", "/users/{id}", "/users/me", "/files/**", "/a.b/~c/{slug}/", "/posted", "_other", "/caf\u{e9}"];
    let counters = Stats::default();
    let counts = counters.of_route(None);
    for _ in 0..100 {
        counts.answered(Outcome::Miss);
        counts.skipped(Skip::TooLarge);
    }
    let coding = compress::Stats::default();
    (0..200).for_each(|_| coding.skipped(compress::Skip::NotAccepted));
    let posted = Route {
        name: "/posted".into(),
        path: "/posted".into(),
        methods: vec!["POST".parse().unwrap()],
        policy: Policy::default(),
    };
    Facts {
        hour: Snapshot { lasts: Duration::from_secs(600), endpoints: names.map(slow).into(), ..Snapshot::default() },
        cache: counters.snapshot(),
        compression: coding.snapshot(),
        compression_settings: Arc::new(compress::Settings { codings: vec![Coding::Zstd], ..Default::default() }),
        routes: Arc::new(vec![posted]),
        observed: Report { lasts: Duration::from_secs(600), endpoints: names.map(watched).into(), ..Report::default() },
        ..Facts::default()
    }
}

#[test]
fn every_configuration_that_is_offered_is_taken() {
    let found = findings(&facts(), &[]).findings;
    let lines = |finding: &Finding| match &finding.remedy {
        Remedy::Config(lines) => Some((finding.id(), lines.clone())),
        Remedy::Sentence(_) => None,
    };
    let offered: Vec<(String, String)> = found.iter().filter_map(lines).collect();
    for id in [
        "slow_endpoint:GET /",
        "slow_endpoint:GET /users/{id}",
        "slow_endpoint:GET /files/**",
        "slow_endpoint:GET /posted",
        "cacheable:GET /posted",
        "cacheable:GET /users/{id}",
        "not_cached:too-large",
        "low_compression:not-accepted",
    ] {
        assert!(offered.iter().any(|(offered, _)| offered == id), "no lines of {id} in {offered:#?}");
    }
    for (id, lines) in offered {
        let taken = Config::parse(&id, lines.as_bytes(), None).unwrap_or_else(|problems| panic!("{problems}\n{lines}"));
        // All codings are what there is without a word.
        let changes = taken != Config::default() || id.starts_with("low_compression");
        assert!(changes, "{id} changes nothing\n{lines}");
        // Beside what is there already, which is where it is pasted.
        let beside = format!("[[route]]\nmatch = \"/posted\"\nmethods = [\"POST\"]\n\n{lines}");
        Config::parse(&id, beside.as_bytes(), None).unwrap_or_else(|problems| panic!("{problems}\n{beside}"));
    }
}
