//! The keyed cache against a model of it: a list that is searched from its front.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;

/// What a caller may do, or wait for.
#[derive(Clone, Debug)]
enum Step {
    Put { key: String, tags: Vec<String>, ttl: u64, bytes: usize },
    PutIfAbsent { key: String },
    Get(String),
    Delete(String),
    ClearPrefix(String),
    ClearPattern(String),
    ClearTag(String),
    Sweep,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (key, prefix, tag) = (|| "[ab]{1,3}", || "[ab]{1,2}", || "[xyz]");
    prop_oneof![
        6 => (key(), prop::collection::vec(tag(), 0..3), 1..9_u64, 0..3000_usize)
            .prop_map(|(key, tags, ttl, bytes)| Step::Put { key, tags, ttl, bytes }),
        1 => key().prop_map(|key| Step::PutIfAbsent { key }),
        8 => key().prop_map(Step::Get),
        2 => key().prop_map(Step::Delete),
        1 => prefix().prop_map(Step::ClearPrefix),
        1 => prefix().prop_map(Step::ClearPattern),
        1 => tag().prop_map(Step::ClearTag),
        1 => Just(Step::Sweep),
        3 => (0..4_u64).prop_map(Step::Wait),
    ]
}

/// The model: key, tags, when it expires, and a body that no other value has.
#[derive(Default)]
struct Model(Vec<(String, Vec<String>, Instant, Bytes)>);

impl Model {
    fn get(&self, key: &str, now: Instant) -> Option<&Bytes> {
        self.0.iter().find(|(has, _, expires, _)| has == key && *expires > now).map(|(.., body)| body)
    }

    fn put(&mut self, key: &str, tags: &[String], expires: Instant, body: Bytes) {
        self.0.retain(|(has, ..)| has != key);
        self.0.push((key.into(), tags.into(), expires, body));
    }

    /// How many there were of what is meant.
    fn clear(&mut self, meant: impl Fn(&str, &[String]) -> bool, now: Instant) -> u64 {
        self.0.retain(|(_, _, expires, _)| *expires > now);
        let before = self.0.len();
        self.0.retain(|(key, tags, ..)| !meant(key, tags));
        (before - self.0.len()) as u64
    }
}

/// A body that no other step puts: the step's number, and so many bytes.
fn body(number: usize, bytes: usize) -> Bytes {
    let mut body = number.to_le_bytes().to_vec();
    body.resize(8 + bytes, b'x');
    body.into()
}

fn value(tags: &[String], ttl: u64, body: Bytes) -> Value {
    let tags = tags.iter().map(|tag| tag.as_str().into()).collect();
    Value { content_type: None, body, tags, ttl: Duration::from_secs(ttl) }
}

proptest! {
    /// Nothing that has expired, was deleted or belongs to another key is ever returned, and the bounds hold. As long
    /// as nothing had to leave for room, everything else is returned.
    #[test]
    fn it_does_what_its_model_does(
        steps in prop::collection::vec(step(), 0..120),
        max_entries in prop_oneof![1..6_u64, Just(1000)],
        max_bytes in prop_oneof![14_000..20_000_u64, Just(1 << 30)],
    ) {
        let cache = KeyedCache::new(Settings { max_entries, max_bytes }, 1);
        let (mut model, mut now) = (Model::default(), Instant::now());
        for (number, step) in steps.into_iter().enumerate() {
            let after = |seconds| now + Duration::from_secs(seconds);
            let cleared = match step {
                Step::Put { key, tags, ttl, bytes } => {
                    let body = body(number, bytes);
                    let was_there = model.get(&key, now).is_some();
                    match cache.put(&key, value(&tags, ttl, body.clone()), |_| true, now) {
                        Put::TooLarge { bytes } => prop_assert!(bytes > max_bytes / 4),
                        Put::Unmet => prop_assert!(false, "there was no condition"),
                        Put::Replaced(_) => prop_assert!(was_there),
                        Put::Created(_) => prop_assert!(!was_there || cache.snapshot().evictions[0].1 > 0),
                    }
                    if cache.shelf.lock().peek(&key, now).is_some_and(|entry| entry.value.body == body) {
                        model.put(&key, &tags, after(ttl), body);
                    }
                    None
                }
                Step::PutIfAbsent { key } => {
                    let (absent, body) = (cache.shelf.lock().peek(&key, now).is_none(), body(number, 0));
                    let put = cache.put(&key, value(&[], 5, body.clone()), |there| there.is_none(), now);
                    prop_assert_eq!(matches!(put, Put::Created(_)), absent);
                    if absent {
                        model.put(&key, &[], after(5), body);
                    }
                    None
                }
                Step::Get(key) => {
                    let found = cache.get(&key, now).map(|entry| entry.value.body.clone());
                    match (found, model.get(&key, now)) {
                        (Some(found), Some(expected)) => prop_assert_eq!(&found, expected),
                        (Some(_), None) => prop_assert!(false, "{key} should not be there"),
                        (None, Some(_)) => prop_assert!(cache.snapshot().evictions[0].1 > 0, "{key} should be there"),
                        (None, None) => {}
                    }
                    None
                }
                Step::Delete(key) => {
                    let there = cache.delete(&key, |_| true, now) == Deleted::Gone;
                    Some((u64::from(there), model.clear(|has, _| has == key, now)))
                }
                Step::ClearPrefix(prefix) => {
                    let cleared = cache.clear(&Select::Prefix(prefix.clone()), now);
                    Some((cleared.cleared, model.clear(|key, _| key.starts_with(&prefix), now)))
                }
                Step::ClearPattern(text) => {
                    let cleared = cache.clear(&Select::Pattern(Pattern::new(&text).unwrap()), now);
                    Some((cleared.cleared, model.clear(|key, _| key.contains(&text), now)))
                }
                Step::ClearTag(tag) => {
                    let cleared = cache.clear(&Select::Tag(tag.clone()), now);
                    Some((cleared.cleared, model.clear(|_, tags| tags.contains(&tag), now)))
                }
                Step::Sweep => {
                    cache.sweep(now);
                    None
                }
                Step::Wait(seconds) => {
                    now = after(seconds);
                    None
                }
            };
            let figures = cache.snapshot();
            if let Some((cleared, expected)) = cleared {
                prop_assert!(cleared == expected || cleared < expected && figures.evictions[0].1 > 0);
            }
            prop_assert!(figures.entries <= max_entries && figures.bytes <= max_bytes, "{:?}", figures);
            prop_assert_eq!(figures.entries == 0, figures.bytes == 0);
        }
    }
}
