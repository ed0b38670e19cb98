//! Every state with every event, and what holds whatever happens.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use proptest::{prelude::*, sample::select};

use super::{
    access::TaskId,
    life::{Actor, Event, Failure, Life, MOST_DETAIL, Moment, Progress, Reason, Source, Status, clip},
    record::{AfterRestart, Kind, Outcome, Record, Verdict},
    store::{pack, unpack},
};

fn at(wall_ms: u64, lasted_ms: u64) -> Moment {
    Moment { wall_ms, lasted: Some(Duration::from_millis(lasted_ms)) }
}

fn progress(percent: u8, source: Source) -> Event {
    Event::Progress(Progress { percent, source })
}

fn fail(reason: Reason) -> Event {
    Event::Fail(Failure::new(reason, "so"))
}

/// One that stands there, and was begun for the second time if `again`.
fn standing(status: Status, again: bool) -> Life {
    let mut life = Life::new(Actor::Client, 1000);
    let way: &[Event] = if again { &[Event::Start, Event::Requeue] } else { &[] };
    let end = match status {
        Status::Pending => vec![],
        Status::Running => vec![Event::Start],
        Status::Completed => vec![Event::Start, Event::Complete],
        Status::Failed => vec![Event::Start, fail(Reason::Error)],
        Status::Cancelled => vec![Event::Cancel],
    };
    for event in way.iter().chain(&end) {
        life.apply(event.clone(), Actor::System, at(1000, 1)).unwrap();
    }
    assert_eq!(life.status(), status);
    life
}

fn events() -> Vec<Event> {
    let plain = [Event::Start, progress(7, Source::Reported), Event::Complete, Event::Cancel, Event::Requeue];
    plain.into_iter().chain(Reason::ALL.map(fail)).collect()
}

/// Where an event leads from a state: the whole table. `None`: nowhere.
fn table(status: Status, event: &Event, again: bool) -> Option<Status> {
    use Status::{Cancelled, Completed, Failed, Pending, Running};
    match (status, event) {
        (Pending, Event::Start) => Some(Running),
        (Pending | Running, Event::Cancel) => Some(Cancelled),
        (Running, Event::Progress(_)) => Some(Running),
        (Running, Event::Complete) => Some(Completed),
        (Running, Event::Requeue) => (!again).then_some(Pending),
        (Pending, Event::Fail(failure)) => {
            matches!(failure.reason, Reason::Rejected | Reason::Interrupted).then_some(Failed)
        }
        (Running, Event::Fail(failure)) => (failure.reason != Reason::Rejected).then_some(Failed),
        _ => None,
    }
}

#[test]
fn every_event_in_every_state() {
    for status in Status::ALL {
        for again in [false, true] {
            for event in events() {
                let (before, mut life) = (standing(status, again), standing(status, again));
                let applied = life.apply(event.clone(), Actor::Admin, at(2000, 5));
                match table(status, &event, again) {
                    Some(expected) => {
                        assert!(applied.is_ok(), "{status:?} {event:?}");
                        assert_eq!(life.status(), expected, "{status:?} {event:?}");
                        let is_step = !matches!(event, Event::Progress(_));
                        assert_eq!(life.history().len(), before.history().len() + usize::from(is_step));
                    }
                    None => {
                        let impossible = applied.unwrap_err();
                        assert_eq!((impossible.status, impossible.event), (status, event));
                        assert_eq!(life, before);
                    }
                }
            }
        }
    }
}

#[test]
fn what_a_step_remembers() {
    let mut life = Life::new(Actor::Client, 1000);
    life.apply(Event::Start, Actor::System, at(1250, 250)).unwrap();
    life.apply(progress(40, Source::Estimated), Actor::System, at(1300, 0)).unwrap();
    life.apply(Event::Fail(Failure::new(Reason::UpstreamStatus, "502 ".repeat(100))), Actor::System, at(900, 3000))
        .unwrap();
    assert_eq!((life.queued(), life.executed()), (Duration::from_millis(250), Duration::from_secs(3)));
    assert_eq!((life.created_ms(), life.started_ms(), life.finished_ms()), (1000, Some(1250), Some(1250)));
    assert_eq!((life.attempt(), life.progress().percent), (1, 40));
    let (reason, detail) = life.failure().unwrap();
    assert_eq!((reason, detail.len()), (Reason::UpstreamStatus, MOST_DETAIL));
    let steps: Vec<_> = life.history().iter().map(|step| (step.at_ms, step.from, step.to, step.by)).collect();
    assert_eq!(
        steps,
        [
            (1000, None, Status::Pending, Actor::Client),
            (1250, Some(Status::Pending), Status::Running, Actor::System),
            // The clock was set back meanwhile.
            (1250, Some(Status::Running), Status::Failed, Actor::System),
        ]
    );
}

#[test]
fn a_time_that_began_in_another_process_is_that_of_the_wall_clock() {
    let mut life = standing(Status::Running, false);
    life.apply(Event::Requeue, Actor::System, Moment { wall_ms: 61_000, lasted: None }).unwrap();
    assert_eq!(life.executed(), Duration::from_secs(60));
    life.apply(Event::Start, Actor::System, Moment { wall_ms: 0, lasted: None }).unwrap();
    assert_eq!(life.queued(), Duration::from_millis(1));
}

#[test]
fn progress_does_not_go_back_and_a_guess_does_not_stand_against_a_report() {
    use Source::{Estimated, Reported};
    for (steps, expected) in [
        (&[(50, Estimated), (40, Estimated)][..], (50, Estimated)),
        (&[(50, Estimated), (40, Reported)], (50, Estimated)),
        (&[(50, Estimated), (50, Reported)], (50, Reported)),
        (&[(50, Estimated), (60, Reported), (90, Estimated)], (60, Reported)),
        (&[(200, Reported)], (100, Reported)),
        (&[(0, Estimated)], (0, Estimated)),
    ] {
        let mut life = standing(Status::Running, false);
        for (percent, source) in steps {
            life.apply(progress(*percent, *source), Actor::System, at(0, 0)).unwrap();
        }
        assert_eq!((life.progress().percent, life.progress().source), expected, "{steps:?}");
    }
}

#[test]
fn what_a_restart_makes_of_a_task() {
    use AfterRestart::{Fail, Once, Repeat};
    use Status::{Pending, Running};
    for (status, again, after_restart, expected) in [
        (Pending, false, Repeat, Verdict::Wait),
        (Pending, true, Repeat, Verdict::Wait),
        (Pending, false, Once, Verdict::Wait),
        (Pending, false, Fail, Verdict::Interrupt),
        (Running, false, Repeat, Verdict::Requeue),
        (Running, true, Repeat, Verdict::Interrupt),
        (Running, false, Once, Verdict::Interrupt),
        (Running, false, Fail, Verdict::Interrupt),
    ] {
        let verdict = record(standing(status, again), after_restart).verdict();
        assert_eq!(verdict, expected, "{status:?} {again} {after_restart:?}");
    }
    for status in Status::ALL.into_iter().filter(|status| status.is_final()) {
        for after_restart in [Repeat, Once, Fail] {
            assert_eq!(record(standing(status, false), after_restart).verdict(), Verdict::Keep);
        }
    }
}

fn record(life: Life, after_restart: AfterRestart) -> Record {
    Record {
        number: 1,
        id: TaskId::random().unwrap(),
        kind: Kind::HttpAsync,
        name: "GET /".into(),
        metadata: vec![],
        timeout: Duration::from_secs(1),
        after_restart,
        life,
        result: None,
        idempotency: None,
    }
}

#[test]
fn words_read_as_written() {
    assert!(Status::ALL.into_iter().all(|status| Status::parse(status.word()) == Some(status)));
    assert!(Kind::ALL.into_iter().all(|kind| Kind::parse(kind.word()) == Some(kind)));
    assert_eq!((Status::parse("done"), Kind::parse("Compare")), (None, None));
    assert_eq!((clip("aé", 2), clip("aé", 3), clip("", 5)), ("a", "aé", ""));
}

fn any_event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => select(events()),
        1 => (0..=255u8, select(&[Source::Estimated, Source::Reported][..])).prop_map(|(percent, source)| progress(percent, source)),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_a_life_stays_sound(
        steps in prop::collection::vec((any_event(), 0..5000u64, prop::option::of(0..5000u64)), 0..40),
    ) {
        let mut life = Life::new(Actor::Client, 2500);
        for (event, wall_ms, lasted) in steps {
            let before = life.clone();
            let now = Moment { wall_ms, lasted: lasted.map(Duration::from_millis) };
            if life.apply(event, Actor::System, now).is_err() {
                prop_assert_eq!(&life, &before);
            }
            prop_assert!(!before.status().is_final() || life == before, "what has ended changed");
            prop_assert!(life.progress().percent >= before.progress().percent && life.progress().percent <= 100);
            prop_assert!(life.queued() >= before.queued() && life.executed() >= before.executed());
            let history = life.history();
            prop_assert!(history.starts_with(before.history()) && history.len() <= 5);
            prop_assert!(history.windows(2).all(|two| two[0].at_ms <= two[1].at_ms && Some(two[0].to) == two[1].from));
            prop_assert_eq!(history.last().map(|step| step.to), Some(life.status()));
            prop_assert_eq!(history.iter().filter(|step| step.to.is_final()).count(), usize::from(life.status().is_final()));
            prop_assert_eq!(life.failure().is_some(), life.status() == Status::Failed);
            prop_assert_eq!(life.attempt() as usize, history.iter().filter(|step| step.to == Status::Running).count());
            prop_assert!(life.created_ms() <= life.started_ms().unwrap_or(u64::MAX));
            prop_assert!(life.finished_ms().is_none_or(|end| end >= life.started_ms().unwrap_or(0)));
        }
    }

    #[test]
    fn an_outcome_is_read_as_it_was_written(body in prop::collection::vec(any::<u8>(), 0..200), value in "[ -~]{0,20}", status in 100..600u16) {
        let mut headers = HeaderMap::new();
        headers.append("set-cookie", value.trim().parse().unwrap());
        headers.append("set-cookie", "b".parse().unwrap());
        let outcome = Outcome { status: StatusCode::from_u16(status).unwrap(), headers, body: body.into() };
        prop_assert_eq!(unpack(pack(&outcome)), Some(outcome));
    }

    #[test]
    fn no_bytes_panic_as_an_outcome(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = unpack(Bytes::from(bytes));
    }
}
