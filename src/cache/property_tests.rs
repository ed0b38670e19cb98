//! What holds of freshness and its arithmetic whatever comes.

use std::time::{Duration, Instant, SystemTime};

use proptest::prelude::*;

use super::{
    fixture::*,
    freshness::{Freshness, Terms, dated_lifetime, heuristic_lifetime, initial_age},
    policy::{Demands, Shared, reuse, stands_in},
    *,
};

/// Any duration, and above all the ends of what there is.
fn duration() -> impl Strategy<Value = Duration> {
    prop_oneof![
        4 => (0..200_u64).prop_map(Duration::from_secs),
        1 => (any::<u64>(), 0..1_000_000_000_u32).prop_map(|(seconds, nanos)| Duration::new(seconds.min(u64::MAX - 1), nanos)),
        1 => Just(Duration::MAX),
        1 => Just(Duration::ZERO),
        1 => Just(Duration::from_secs(1 << 31)),
    ]
}

prop_compose! {
    fn terms()(
        lifetime in duration(), initial_age in duration(), always_validate in prop::bool::weighted(0.1),
        stale_while_revalidate in duration(), stale_if_error in duration(), never_stale in any::<bool>(),
    ) -> Terms {
        Terms { lifetime, initial_age, always_validate, stale_while_revalidate, stale_if_error, never_stale }
    }
}

/// A moment after another, as late as the clock can tell after two such steps.
fn later(from: Instant, by: Duration) -> Instant {
    from + by.min(secs(1 << 61))
}

fn entry(fixture: &Fixture, terms: Terms, received: Instant) -> Entry {
    let shared = Shared { with_cookies: false, with_authorization: false };
    let storable = Storable { terms, shared, targeted: false };
    let head = response("");
    fixture.bare(&head, Selecting::default(), &storable, received)
}

proptest! {
    /// RFC 9111 §4.2: what is stale does not become fresh by waiting, and each use is over once.
    #[test]
    fn freshness_only_goes_down(
        terms in terms(), mut moments in prop::collection::vec(duration(), 1..12),
        expired in prop::option::of((0..12_usize, duration())),
    ) {
        let fixture = Fixture::default();
        let entry = entry(&fixture, terms, fixture.began);
        moments.sort_unstable();
        let mut before = Freshness::Fresh;
        for (nth, moment) in moments.into_iter().enumerate() {
            if let Some((_, at)) = expired.filter(|(when, _)| *when == nth) {
                entry.expire(later(fixture.began, at));
            }
            let freshness = entry.freshness(later(fixture.began, moment));
            prop_assert!(freshness >= before, "{:?} after {:?}", freshness, before);
            before = freshness;
        }
    }

    #[test]
    fn what_was_declared_stale_is(terms in terms(), at in duration(), then in duration()) {
        let fixture = Fixture::default();
        let entry = entry(&fixture, terms, fixture.began);
        let at = later(fixture.began, at);
        entry.expire(at);
        prop_assert!(entry.is_declared_stale());
        prop_assert_ne!(entry.freshness(later(at, then)), Freshness::Fresh);
        prop_assert!(entry.ttl(at) <= 0);
    }

    /// RFC 9111 §4.2, §4.2.4: fresh is when there is something left, and without a leave to the contrary nothing else.
    #[test]
    fn freshness_is_what_is_left(terms in terms(), now in duration()) {
        let fixture = Fixture::default();
        let entry = entry(&fixture, terms.clone(), fixture.began);
        let now = later(fixture.began, now);
        let left = entry.lifetime().saturating_sub(entry.age(now));
        let freshness = entry.freshness(now);
        prop_assert_eq!(freshness == Freshness::Fresh, !terms.always_validate && !left.is_zero());
        if terms.grace().is_zero() {
            prop_assert!(matches!(freshness, Freshness::Fresh | Freshness::Spent));
        }
        prop_assert_eq!(stands_in(&entry, now), freshness != Freshness::Spent);
    }

    /// Whatever the clocks and the settings are.
    #[test]
    fn no_moment_panics(
        terms in terms(), received in duration(), at in duration(), now in duration(),
        asked in "(no-cache|max-age=[0-9]{0,22}|min-fresh=[0-9]{0,22}|max-stale(=[0-9]{0,22})?)?",
    ) {
        let fixture = Fixture::new(Settings { honour_client_cache_control: true, ..Settings::default() });
        let start = fixture.began;
        let entry = entry(&fixture, terms, later(start, received));
        let (at, now) = (later(start, at), later(start, now));
        let demands = Demands::of(&get("/", &format!("Cache-Control: {asked}")), &fixture.cache.settings());
        for _ in 0..2 {
            let _ = (entry.age(now), entry.ttl(now), entry.freshness(now), entry.is_useless(now));
            let _ = (reuse(&entry, &demands, now), stands_in(&entry, now), entry.is_validated_alone());
            entry.expire(at);
        }
    }

    #[test]
    fn no_response_panics(
        fields in prop::collection::vec(
            "(Age|Date|Expires|Last-Modified|(CDN-)?Cache-Control|Vary|ETag|Content-Length): ?[-a-z0-9=,\"* ]{0,24}",
            0..8,
        ),
        date in "(Sun|Fri), [0-3][0-9] (Jan|Nov) [0-9]{4} [0-2][0-9]:00:00 GMT",
        status in 100..600_u16, delay in duration(), wall in duration(), later_by in duration(),
    ) {
        let fixture = Fixture::new(Settings { heuristic: true, ..Settings::default() });
        let fields = fields.join("\r\n") + &format!("\r\nDate: {date}\r\nLast-Modified: {date}");
        let head = ResponseHead::for_tests(status, &fields);
        let requested = fixture.began;
        let wall = SystemTime::UNIX_EPOCH.checked_add(wall).unwrap_or(SystemTime::UNIX_EPOCH);
        let received = Received { requested, at: later(requested, delay), wall };
        let _ = (initial_age(&head, &received), dated_lifetime(&head, &received), heuristic_lifetime(&head, &received));
        if let Ok(storable) = policy::store(NOBODY, &head, &fixture.policy, &fixture.cache.settings(), &received) {
            let _ = (storable.ttl(), storable.is_fresh());
            let selecting = fixture.cache.selected_by(&head, &get("/", ""));
            let entry = fixture.bare(&head, selecting, &storable, received.at);
            let now = later(received.at, later_by);
            let _ = (entry.age(now), entry.ttl(now), entry.is_useless(now));
            // RFC 9111 §3: nothing is kept that neither is fresh nor could be confirmed nor used stale.
            prop_assert!(storable.is_fresh() || entry.has_validator() || !storable.terms.grace().is_zero());
        }
    }
}
