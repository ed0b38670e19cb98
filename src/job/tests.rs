//! Jobs as tasks, with an app that is not there.

use std::{
    sync::Arc,
    time::{Instant, SystemTime},
};

use serde_json::{Value, json};

use super::*;
use crate::{
    advice::{Counted, Markers},
    cache::{self, Cache, keyed::KeyedCache},
    compress::{self, Compression},
    observe::Observer,
    profile::{self, Profiler},
    query,
    state::{Draining, Reloads},
    task::{Fetched, Processor, Record, Status},
    traffic::{Ratelimited, Traffic},
};

fn state() -> Arc<State> {
    let (now, wall) = (Instant::now(), SystemTime::UNIX_EPOCH);
    Arc::new(State {
        started: now,
        cache: Cache::new(cache::Settings::default()),
        keyed: KeyedCache::new(Default::default(), 1),
        compression: Compression::new(compress::Settings::default()),
        cache_headers: Default::default(),
        routes: Default::default(),
        observer: Observer::new(1, now),
        profiler: Profiler::new(profile::Settings::default(), now, wall),
        queries: query::Observer::new(query::Settings::default(), now),
        tasks: Processor::for_tests(wall),
        advice: Default::default(),
        muted: Default::default(),
        markers: Markers::default(),
        counted: Counted::new(now),
        upstream: arc_swap::ArcSwap::from_pointee(String::new()),
        traffic: Traffic::default(),
        ratelimited: Ratelimited::new([]),
        draining: Draining::default(),
        reloads: Reloads::started(wall),
    })
}

async fn begin(jobs: &Jobs, wish: &Value, key: Option<&str>) -> Result<Accepted, NotBegun> {
    jobs.begin(wish.to_string().as_bytes(), key, Actor::Admin).await
}

/// Waits until it is over.
async fn ended(state: &State, accepted: &Accepted) -> Arc<Record> {
    loop {
        let record = state.tasks.get(accepted.record.id).unwrap();
        if record.life.status().is_final() {
            return record;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_job_is_a_task_with_json_as_its_result() {
    let state = state();
    let jobs = Jobs::for_tests(&state);
    let wish = json!({ "kind": "cache_purge", "pattern": "/a/**" });
    let accepted = begin(&jobs, &wish, Some("key")).await.unwrap();
    let record = ended(&state, &accepted).await;
    assert_eq!((record.life.status(), &*record.name), (Status::Completed, "cache_purge of /a/**"));
    assert_eq!(record.after_restart, AfterRestart::Repeat);
    let Fetched::Found(outcome) = state.tasks.result(record.id).await else { panic!() };
    assert_eq!(
        (outcome.status, &outcome.headers[CONTENT_TYPE]),
        (StatusCode::OK, &"application/json".parse().unwrap())
    );
    let json: Value = serde_json::from_slice(&outcome.body).unwrap();
    assert_eq!((&json["kind"], &json["matched"], &json["mode"]), (&"cache_purge".into(), &0.into(), &"hard".into()));
    // The same again, with its keys in another order.
    let again = jobs.begin(br#"{"pattern":"/a/**","kind":"cache_purge"}"#, Some("key"), Actor::Admin).await.unwrap();
    assert_eq!((again.record.id, again.is_new), (record.id, false));
    let other = begin(&jobs, &json!({ "kind": "cache_purge", "pattern": "/b" }), Some("key")).await;
    assert_eq!(other.unwrap_err(), NotBegun::Refused(Refused::OtherRequest { id: record.id }));
}

#[tokio::test]
async fn what_cannot_be_done_is_not_begun() {
    let state = state();
    let jobs = Jobs::for_tests(&state);
    let foreign = json!({ "kind": "cache_warmup", "urls": ["/", "http://169.254.169.254/latest"] });
    let Err(NotBegun::Invalid(why)) = begin(&jobs, &foreign, None).await else { panic!() };
    assert!(why.contains("169.254.169.254") && why.contains("tasks.hosts"), "{why}");
    let explain = json!({ "kind": "query_explain", "query_id": "q_0000000000000001" });
    let Err(NotBegun::Unavailable(why)) = begin(&jobs, &explain, None).await else { panic!() };
    assert!(why.contains("[query.explain]"), "{why}");
    let explainer = Arc::new(Explainer::new(crate::explain::Settings::default(), state.clone()));
    let jobs = Jobs::new(state.clone(), Inside::for_tests(state.clone()), &Settings::default(), &[], Some(explainer));
    let Err(NotBegun::Invalid(why)) = begin(&jobs, &explain, None).await else { panic!() };
    assert!(why.contains("no such query is known"), "{why}");
    assert_eq!(state.tasks.list(&Default::default(), None, 10).tasks.len(), 0);
}

#[tokio::test]
async fn a_job_of_before_is_made_again_if_it_is_still_allowed() {
    let state = state();
    let shop = Settings { hosts: vec!["shop.example".into()] };
    let jobs = |settings| Arc::new(Jobs::new(state.clone(), Inside::for_tests(state.clone()), settings, &[], None));
    let wish = Bytes::from_static(br#"{"kind":"cache_warmup","urls":["http://shop.example/"]}"#);
    assert!(jobs(&shop).revive(Kind::CacheWarmup, &wish).is_some());
    assert!(jobs(&shop).revive(Kind::CachePurge, &wish).is_none());
    let nothing = Settings::default();
    assert!(jobs(&nothing).revive(Kind::CacheWarmup, &wish).is_none());
    assert!(jobs(&shop).revive(Kind::CacheWarmup, &Bytes::from_static(b"\xff")).is_none());
}
