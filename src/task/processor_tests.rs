//! The way of tasks with a clock that stands still until everyone waits for it. Nothing here takes real time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::{
    sync::oneshot,
    time::{self, Instant},
};

use super::{
    Accepted, Actor, AfterRestart, Digest, Failure, Fetched, Filter, Idempotency, Job, Kind, NotCancelled, Outcome,
    Processor, Reason, Record, Refused, Settings, Source, Status, TaskId, Unheard, Wish, Work,
};

pub(super) fn wish(kind: Kind) -> Wish {
    Wish {
        id: TaskId::random().unwrap(),
        kind,
        name: "GET /slow".into(),
        metadata: vec![],
        by: Actor::Client,
        timeout: None,
        after_restart: AfterRestart::Repeat,
        description: Bytes::from_static(b"GET /slow"),
        authorization: None,
        idempotency: None,
    }
}

pub(super) fn outcome(body: impl Into<Bytes>) -> Outcome {
    Outcome { status: StatusCode::OK, headers: HeaderMap::new(), body: body.into() }
}

pub(super) fn job<F>(work: F) -> Job
where
    F: Future<Output = Result<Outcome, Failure>> + Send + 'static,
{
    Box::new(|_| Box::pin(work) as Work)
}

/// One that takes so long, and answers with it.
fn taking(seconds: u64) -> Job {
    job(async move {
        time::sleep(Duration::from_secs(seconds)).await;
        Ok(outcome(seconds.to_string()))
    })
}

pub(super) fn endless() -> Job {
    job(std::future::pending())
}

async fn processor(settings: Settings) -> Processor {
    Processor::open(settings, SystemTime::UNIX_EPOCH + Duration::from_secs(1000), Box::new(|_, _| None)).await
}

async fn submit(processor: &Processor, kind: Kind, job: Job) -> TaskId {
    processor.submit(wish(kind), job).await.unwrap().record.id
}

async fn ended(processor: &Processor, id: TaskId) -> Arc<Record> {
    loop {
        let record = processor.get(id).unwrap();
        if record.life.status().is_final() {
            return record;
        }
        time::sleep(Duration::from_millis(100)).await;
    }
}

fn ways(record: &Record) -> Vec<Status> {
    record.life.history().iter().map(|step| step.to).collect()
}

fn failure(record: &Record) -> (Reason, &str) {
    record.life.failure().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_task_runs_and_its_result_is_kept_for_an_hour_and_the_rest_for_a_week() {
    let processor = processor(Settings::default()).await;
    let id = submit(&processor, Kind::HttpAsync, taking(20)).await;
    assert!(matches!(processor.result(id).await, Fetched::None(_)));
    let record = ended(&processor, id).await;
    assert_eq!(ways(&record), [Status::Pending, Status::Running, Status::Completed]);
    assert_eq!((record.life.executed(), record.life.queued()), (Duration::from_secs(20), Duration::ZERO));
    assert_eq!(record.life.finished_ms(), Some(1_020_000));
    let Fetched::Found(found) = processor.result(id).await else { panic!("no result") };
    assert_eq!(found, outcome("20"));
    let figures = processor.figures();
    assert_eq!((figures.counts, figures.average_executed), ([0, 0, 1, 0, 0], Some(Duration::from_secs(20))));

    time::sleep(Duration::from_secs(3590)).await;
    assert!(matches!(processor.result(id).await, Fetched::Found(_)));
    time::sleep(Duration::from_secs(10)).await;
    assert!(matches!(processor.result(id).await, Fetched::Gone));
    time::sleep(Duration::from_secs(60)).await;
    assert_eq!((processor.figures().result_bytes, processor.get(id).unwrap().result), (0, None));
    time::sleep(Duration::from_secs(7 * 24 * 3600)).await;
    assert!(processor.get(id).is_none());
    assert!(matches!(processor.result(id).await, Fetched::Unknown));
    assert_eq!(processor.figures().average_executed, None);
    // What has ended stays counted when it is forgotten.
    let ended = processor.figures().ended;
    assert_eq!((ended.ended(Kind::HttpAsync, Status::Completed), ended.executed().count()), (1, 1));
    assert_eq!((ended.executed().sum(), ended.queued().sum()), (Duration::from_secs(20), Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn ten_run_at_a_time_and_two_of_the_operator_among_them() {
    let processor = processor(Settings::default()).await;
    for _ in 0..4 {
        submit(&processor, Kind::CacheWarmup, endless()).await;
    }
    for _ in 0..12 {
        submit(&processor, Kind::HttpAsync, endless()).await;
    }
    time::sleep(Duration::from_secs(1)).await;
    let count = |kind, status| processor.list(&Filter { status: Some(status), kind: Some(kind) }, None, 0).total;
    assert_eq!((count(Kind::CacheWarmup, Status::Running), count(Kind::CacheWarmup, Status::Pending)), (2, 2));
    assert_eq!((count(Kind::HttpAsync, Status::Running), count(Kind::HttpAsync, Status::Pending)), (8, 4));
    // The place of a client's goes to a client's.
    let running = Filter { status: Some(Status::Running), kind: Some(Kind::HttpAsync) };
    processor.cancel(processor.list(&running, None, 1).tasks[0].id, Actor::Client).await.unwrap();
    time::sleep(Duration::from_secs(1)).await;
    assert_eq!((count(Kind::HttpAsync, Status::Running), count(Kind::CacheWarmup, Status::Running)), (8, 2));
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_full_refuses_and_a_task_that_waited_too_long_is_rejected() {
    let settings = Settings { max_concurrent: 1, queue: 2, timeout: Duration::from_secs(3600), ..Settings::default() };
    let processor = processor(settings).await;
    submit(&processor, Kind::HttpAsync, endless()).await;
    time::sleep(Duration::from_millis(1)).await;
    assert!(processor.reserve().is_none());
    let began = Arc::new(AtomicUsize::new(0));
    let counting = || {
        let began = began.clone();
        job(async move {
            began.fetch_add(1, Ordering::Relaxed);
            Ok(outcome(""))
        })
    };
    let (first, second) =
        (submit(&processor, Kind::HttpAsync, counting()).await, submit(&processor, Kind::HttpAsync, counting()).await);
    let refused = processor.submit(wish(Kind::HttpAsync), counting()).await;
    assert_eq!(refused.unwrap_err(), Refused::Full);
    assert_eq!(processor.list(&Filter::default(), None, 9).total, 3);
    for id in [first, second] {
        let record = ended(&processor, id).await;
        assert_eq!(failure(&record), (Reason::Rejected, "it waited 300 s for its turn"));
        assert_eq!((record.life.queued(), record.life.attempt()), (Duration::from_secs(300), 0));
    }
    assert_eq!(began.load(Ordering::Relaxed), 0);
    submit(&processor, Kind::HttpAsync, counting()).await;
}

#[tokio::test(start_paused = true)]
async fn a_task_may_be_cancelled_until_it_has_ended() {
    let settings = Settings { max_concurrent: 1, ..Settings::default() };
    let processor = processor(settings).await;
    let (held, dropped) = oneshot::channel::<()>();
    let running = submit(
        &processor,
        Kind::HttpAsync,
        job(async move {
            let _held = held;
            std::future::pending().await
        }),
    )
    .await;
    let waiting = submit(&processor, Kind::HttpAsync, endless()).await;
    time::sleep(Duration::from_secs(5)).await;

    let record = processor.cancel(waiting, Actor::Admin).await.unwrap();
    assert_eq!(ways(&record), [Status::Pending, Status::Cancelled]);
    assert_eq!(record.life.history()[1].by, Actor::Admin);
    // Two who cancel at once both have what they want.
    let (one, other) = tokio::join!(processor.cancel(running, Actor::Client), processor.cancel(running, Actor::Admin));
    assert_eq!(ways(&one.unwrap()), [Status::Pending, Status::Running, Status::Cancelled]);
    assert_eq!(other.unwrap().life.executed(), Duration::from_secs(5));
    assert!(dropped.await.is_err(), "its job is dropped");

    assert_eq!(processor.cancel(running, Actor::Client).await.unwrap_err(), NotCancelled::Ended(Status::Cancelled));
    let unknown = TaskId::random().unwrap();
    assert_eq!(processor.cancel(unknown, Actor::Client).await.unwrap_err(), NotCancelled::Unknown);
    let done = submit(&processor, Kind::HttpAsync, taking(0)).await;
    ended(&processor, done).await;
    assert_eq!(processor.cancel(done, Actor::Client).await.unwrap_err(), NotCancelled::Ended(Status::Completed));
}

/// A cancellation, the end of the job and its timeout in one moment, in each order in which they can be asked for.
#[tokio::test(start_paused = true)]
async fn of_all_that_ends_a_task_at_once_one_wins() {
    for round in 0..60u64 {
        let processor = processor(Settings::default()).await;
        let id = TaskId::random().unwrap();
        let timed = Wish { id, timeout: Some(Duration::from_secs(2)), ..wish(Kind::HttpAsync) };
        processor.submit(timed, taking(round % 3 + 1)).await.unwrap();
        time::sleep(Duration::from_millis(1999 + round / 3 % 3)).await;
        let cancelled = processor.cancel(id, Actor::Client).await;
        let record = ended(&processor, id).await;
        let finals = record.life.history().iter().filter(|step| step.to.is_final()).count();
        assert_eq!(finals, 1, "{record:?}");
        assert_eq!(cancelled.is_ok(), record.life.status() == Status::Cancelled, "{record:?}");
        let has_result = matches!(processor.result(id).await, Fetched::Found(_));
        assert_eq!(has_result, record.life.status() == Status::Completed);
        assert_eq!(processor.figures().counts.iter().sum::<u64>(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_ready_at_the_deadline_is_in_time() {
    let processor = processor(Settings::default()).await;
    let (late, in_time) = (
        submit(&processor, Kind::HttpAsync, taking(301)).await,
        submit(&processor, Kind::HttpAsync, taking(300)).await,
    );
    assert_eq!(failure(&*ended(&processor, late).await), (Reason::Timeout, "it ran for 300 s"));
    assert_eq!(ended(&processor, in_time).await.life.status(), Status::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_fails_or_panics_fails_its_task_and_nothing_else() {
    let processor = processor(Settings { max_concurrent: 1, ..Settings::default() }).await;
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let upstream = || Failure::new(Reason::UpstreamStatus, "500");
    let jobs: [(Job, (Reason, &str)); 5] = [
        (job(async move { Err(upstream()) }), (Reason::UpstreamStatus, "500")),
        (job(async { Err(Failure::new(Reason::Rejected, "no")) }), (Reason::Error, "no")),
        (job(async { panic!("in its work") }), (Reason::Error, "its job panicked")),
        (Box::new(|_| panic!("before its work")), (Reason::Error, "its job panicked")),
        (
            job(async { Ok(outcome(vec![0; Outcome::MOST_BODY + 1])) }),
            (Reason::TooLarge, "a body of 33554433 bytes: expected at most 33554432"),
        ),
    ];
    for (job, expected) in jobs {
        let id = submit(&processor, Kind::HttpAsync, job).await;
        assert_eq!(failure(&*ended(&processor, id).await), expected);
    }
    let id = submit(
        &processor,
        Kind::HttpAsync,
        job(async {
            let _bomb = Bomb;
            std::future::pending().await
        }),
    )
    .await;
    time::sleep(Duration::from_secs(1)).await;
    processor.cancel(id, Actor::Client).await.unwrap();
    // Its slot is free again.
    let id = submit(&processor, Kind::HttpAsync, taking(1)).await;
    assert_eq!(ended(&processor, id).await.life.status(), Status::Completed);
}

#[tokio::test(start_paused = true)]
async fn progress_is_heard_while_a_task_runs() {
    let processor = processor(Settings::default()).await;
    let (told, reporter) = oneshot::channel();
    let id = submit(
        &processor,
        Kind::HttpAsync,
        Box::new(|report| {
            Box::pin(async move {
                report.progress(5, Source::Estimated);
                told.send(report.reporter().unwrap().reveal()).unwrap();
                time::sleep(Duration::from_secs(10)).await;
                report.progress(90, Source::Estimated);
                Ok(outcome(report.id().to_string()))
            })
        }),
    )
    .await;
    time::sleep(Duration::from_secs(1)).await;
    let shown = || processor.get(id).map(|record| (record.life.progress().percent, record.life.progress().source));
    assert_eq!(shown(), Some((5, Source::Estimated)));
    let reporter = reporter.await.unwrap();
    for wrong in ["", "0", &"0".repeat(32), &reporter.to_uppercase().replace(char::is_numeric, "A")] {
        assert!(processor.reporting(id, wrong).is_none(), "{wrong}");
    }
    assert!(processor.get_with(id, &reporter, None).is_none(), "it is for reports alone");
    assert!(processor.reporting(id, &reporter).is_some());
    processor.report(id, 40).unwrap();
    processor.report(id, 30).unwrap();
    assert_eq!(shown(), Some((40, Source::Reported)));
    ended(&processor, id).await;
    assert_eq!(shown(), Some((100, Source::Reported)));
    assert_eq!(processor.report(id, 50).unwrap_err(), Unheard::Is(Status::Completed));
    assert_eq!(processor.report(TaskId::random().unwrap(), 50).unwrap_err(), Unheard::Unknown);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_runs_already_keeps_its_slot_and_its_time() {
    let processor = processor(Settings { max_concurrent: 1, ..Settings::default() }).await;
    let slot = processor.reserve().unwrap();
    assert!(processor.reserve().is_none());
    time::sleep(Duration::from_secs(5)).await;
    let accepted = processor.submit_running(wish(Kind::HttpAsync), taking(1), slot).await.unwrap();
    assert_eq!(ways(&accepted.record), [Status::Pending, Status::Running]);
    let record = ended(&processor, accepted.record.id).await;
    assert_eq!((record.life.executed(), record.life.queued()), (Duration::from_secs(6), Duration::ZERO));
    drop(processor.reserve().expect("a slot that was given back"));
    assert!(processor.reserve().is_some());
}

#[tokio::test(start_paused = true)]
async fn the_same_request_is_the_same_task() {
    let processor = processor(Settings::default()).await;
    let keyed = |key: &[u8], request: &[u8]| Wish {
        idempotency: Some(Idempotency { key: Digest::of(&[key]), request: Digest::of(&[request]) }),
        ..wish(Kind::HttpAsync)
    };
    let submit =
        async |key: &'static [u8], request: &'static [u8]| processor.submit(keyed(key, request), endless()).await;
    // At once, so that the second comes while the first is being written down.
    let (first, second) = tokio::join!(submit(b"a", b"x"), submit(b"a", b"x"));
    let (first, second): (Accepted, Accepted) = (first.unwrap(), second.unwrap());
    assert_eq!((first.is_new, second.is_new, first.record.id == second.record.id), (true, false, true));
    let id = first.record.id;
    // Each has a secret that opens it: the one before was not told again.
    for secret in [&first.secret, &second.secret].map(|secret| secret.clone().unwrap().reveal()) {
        assert!(processor.get_with(id, &secret, None).is_some());
    }
    assert!(processor.get_with(id, "00000000000000000000000000000000", None).is_none());
    assert_eq!(submit(b"a", b"y").await.unwrap_err(), Refused::OtherRequest { id });
    assert!(submit(b"b", b"x").await.unwrap().is_new);
    for _ in 0..3 {
        submit(b"a", b"x").await.unwrap();
    }
    assert!(processor.get_with(id, &first.secret.unwrap().reveal(), None).is_none(), "more than four");
    time::sleep(Duration::from_secs(24 * 3600)).await;
    assert!(submit(b"a", b"y").await.unwrap().is_new);
}

#[tokio::test(start_paused = true)]
async fn wishes_beyond_the_bounds_are_refused() {
    let processor = processor(Settings::default()).await;
    let pair = |value: &str| ("key".to_owned(), value.to_owned());
    let large = |what, given, most| Refused::TooLarge { what, given, most };
    let long = Duration::from_secs(3601);
    for (wish, expected) in [
        (Wish { metadata: vec![pair(""); 9], ..wish(Kind::Compare) }, large("pairs of metadata", 9, 8)),
        (Wish { metadata: vec![pair(&"x".repeat(510))], ..wish(Kind::Compare) }, large("bytes of metadata", 513, 512)),
        (
            Wish { description: vec![0; 1_114_113].into(), ..wish(Kind::Compare) },
            large("bytes of the request", 1_114_113, 1_114_112),
        ),
        (Wish { timeout: Some(long), ..wish(Kind::Compare) }, Refused::Timeout { given: long }),
        (Wish { timeout: Some(Duration::ZERO), ..wish(Kind::Compare) }, Refused::Timeout { given: Duration::ZERO }),
    ] {
        assert_eq!(processor.submit(wish, endless()).await.unwrap_err(), expected);
    }
    assert_eq!(processor.list(&Filter::default(), None, 1).total, 0);
    let long = Wish { name: "é".repeat(100), ..wish(Kind::Compare) };
    let accepted = processor.submit(long, endless()).await.unwrap();
    assert_eq!((accepted.record.name.len(), accepted.secret), (128, None));
}

#[tokio::test(start_paused = true)]
async fn descriptions_together_are_bounded_until_their_tasks_end() {
    let processor = processor(Settings::default()).await;
    let large = || Wish { description: vec![0; 1 << 20].into(), ..wish(Kind::HttpAsync) };
    let first = processor.submit(large(), endless()).await.unwrap().record.id;
    for _ in 1..64 {
        processor.submit(large(), endless()).await.unwrap();
    }
    assert_eq!(processor.submit(large(), endless()).await.unwrap_err(), Refused::Full);
    processor.cancel(first, Actor::Client).await.unwrap();
    processor.submit(large(), endless()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_oldest_results_and_tasks_make_room() {
    let processor = processor(Settings { max_bytes: 3000, max_tasks: 4, ..Settings::default() }).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(submit(&processor, Kind::HttpAsync, job(async { Ok(outcome(vec![0; 1200])) })).await);
        ended(&processor, *ids.last().unwrap()).await;
    }
    let mut kept = Vec::new();
    for id in &ids {
        kept.push(matches!(processor.result(*id).await, Fetched::Found(_)));
    }
    assert_eq!(kept, [false, false, true, true]);
    let figures = processor.figures();
    assert!(figures.result_bytes <= 3000 && figures.results_dropped == 2, "{figures:?}");
    let large = submit(&processor, Kind::HttpAsync, job(async { Ok(outcome(vec![0; 3000])) })).await;
    assert_eq!(failure(&*ended(&processor, large).await).0, Reason::TooLarge);
    assert_eq!(processor.list(&Filter::default(), None, 9).total, 4);
    assert!(processor.get(ids[0]).is_none());
}

#[tokio::test(start_paused = true)]
async fn lists_go_from_the_newest_on_in_pages() {
    let processor = processor(Settings { max_concurrent: 3, ..Settings::default() }).await;
    for _ in 0..7 {
        submit(&processor, Kind::HttpAsync, endless()).await;
    }
    time::sleep(Duration::from_secs(1)).await;
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = processor.list(&Filter::default(), before, 3);
        assert_eq!(page.total, 7);
        seen.extend(page.tasks.iter().map(|record| record.number));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen, [7, 6, 5, 4, 3, 2, 1]);
    let pending = Filter { status: Some(Status::Pending), kind: None };
    let page = processor.list(&pending, Some(7), 2);
    let numbers: Vec<_> = page.tasks.iter().map(|record| record.number).collect();
    assert_eq!((numbers, page.next, page.total), (vec![6, 5], Some(5), 4));
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_what_runs_and_begins_nothing() {
    let processor = processor(Settings { max_concurrent: 2, ..Settings::default() }).await;
    let quick = submit(&processor, Kind::HttpAsync, taking(5)).await;
    let slow = submit(&processor, Kind::HttpAsync, taking(200)).await;
    let waiting = submit(&processor, Kind::HttpAsync, taking(1)).await;
    time::sleep(Duration::from_secs(1)).await;
    let before = Instant::now();
    let late = async {
        time::sleep(Duration::from_secs(2)).await;
        processor.submit(wish(Kind::HttpAsync), endless()).await.unwrap_err()
    };
    let ((), refused) = tokio::join!(processor.stop(Duration::from_secs(20)), late);
    assert_eq!((before.elapsed(), refused), (Duration::from_secs(20), Refused::Stopping));
    let status = |id| processor.get(id).unwrap().life.status();
    assert_eq!([quick, slow, waiting].map(status), [Status::Completed, Status::Running, Status::Pending]);
    assert_eq!(processor.cancel(slow, Actor::Client).await.unwrap_err(), NotCancelled::Left);
}
