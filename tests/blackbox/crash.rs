//! Whatever moment the process ends at: a task that was promised is known afterwards, and what must not be done twice is
//! not.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::task::JoinSet;

use crate::{
    common::{Client, Gate, Origin, Received, Request, Sidecar, get, ok, post, request, within},
    later::{place, result, shown},
};

/// How often the process is killed.
const KILLS: usize = 200;
/// Requests to each process.
const REQUESTS: usize = 20;

/// What is asked, and what may become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    /// It may be done once.
    Post,
    /// It may be repeated.
    Put,
    /// It may be repeated, since the app knows its key.
    Keyed,
    /// It needs what is not written down.
    Secret,
    /// It takes longer than the process lives, and may be done once.
    Endless,
}

const KINDS: [Kind; 5] = [Kind::Post, Kind::Put, Kind::Keyed, Kind::Secret, Kind::Endless];

impl Kind {
    fn request(self, id: usize) -> Request {
        let request = match self {
            Self::Post => post(&format!("/work?{id}"), "body"),
            Self::Put => request("PUT", &format!("/work?{id}")),
            Self::Keyed => post(&format!("/work?{id}"), "body").header("Idempotency-Key", &id.to_string()),
            Self::Secret => get(&format!("/work?{id}")).header("Authorization", "Bearer a"),
            Self::Endless => post(&format!("/endless?{id}"), "body"),
        };
        request.header("Prefer", "respond-async")
    }

    fn may_be_repeated(self) -> bool {
        matches!(self, Self::Put | Self::Keyed)
    }
}

/// A task that was promised.
struct Promised {
    id: usize,
    kind: Kind,
    place: String,
}

impl Promised {
    fn ask(&self, target: &str) -> Request {
        let request = get(target);
        if self.kind == Kind::Secret { request.header("Authorization", "Bearer a") } else { request }
    }
}

#[tokio::test]
async fn every_promise_is_kept() {
    // Closed while requests come, so that some run when the process ends; open while it is looked what became of them.
    let gate = Arc::new(Mutex::new(Gate::new()));
    let held = gate.clone();
    let endless = move |_: &Received| ok("done").after(&held.lock().unwrap());
    let origin = Origin::new().route("/work", ok("done")).route("/endless", endless).start().await;
    let kept = TempDir::new().unwrap();
    let store = kept.path().join("tasks");
    let config = format!("[tasks]\nmax_concurrent = 4\nstore = {store:?}\n[[route]]\nmatch = \"/**\"\nasync = true\n");
    let mut random = fastrand::Rng::with_seed(7);
    let mut promised: Vec<Promised> = Vec::new();
    let (mut found, mut seen) = (0, HashMap::<(Kind, String), usize>::new());
    for round in 0..=KILLS {
        gate.lock().unwrap().open();
        let mut sidecar = Sidecar::in_front_of(&origin).config(&config).start().await;
        let mut client = sidecar.client().await;
        for promise in promised.drain(..) {
            let task = ended(&mut client, &promise).await;
            assert_history(&sidecar, &task).await;
            assert_outcome(&mut client, &promise, &task).await;
            let reason = task["error"]["reason"].as_str().unwrap_or("-");
            *seen.entry((promise.kind, format!("{} {reason}", task["status"]))).or_default() += 1;
            found += 1;
        }
        if round < KILLS {
            *gate.lock().unwrap() = Gate::new();
            let until = random.usize(0..REQUESTS);
            promised = load(&sidecar, round, until, random.usize(0..3000)).await;
        }
        sidecar.signal("KILL").await;
        sidecar.wait().await;
    }
    let mut runs = HashMap::<String, usize>::new();
    origin.log().into_iter().for_each(|received| *runs.entry(received.target).or_default() += 1);
    for (target, runs) in runs {
        let id: usize = target.split_once('?').unwrap().1.parse().unwrap();
        let kind = KINDS[id % KINDS.len()];
        assert!(runs == 1 || (runs == 2 && kind.may_be_repeated()), "{target} ({kind:?}) ran {runs} times");
    }
    // The test is about something: promises were kept, repeated and broken off.
    assert!(found > KILLS, "{found} tasks were promised: {seen:?}");
    for (kind, outcome) in [
        (Kind::Post, "\"completed\" -"),
        (Kind::Put, "\"completed\" -"),
        (Kind::Keyed, "\"completed\" -"),
        (Kind::Secret, "\"completed\" -"),
        (Kind::Endless, "\"failed\" interrupted"),
    ] {
        assert!(seen.contains_key(&(kind, outcome.into())), "{kind:?} {outcome}: {seen:?}");
    }
}

/// Sends requests until so many were promised, and a moment longer; what was promised by then.
async fn load(sidecar: &Sidecar, round: usize, until: usize, moment: usize) -> Vec<Promised> {
    let answered = Arc::new(AtomicUsize::new(0));
    let mut asking = JoinSet::new();
    for nth in 0..REQUESTS {
        let id = round * REQUESTS + nth;
        let kind = KINDS[id % KINDS.len()];
        let (address, answered) = (sidecar.addr(), answered.clone());
        asking.spawn(async move {
            let answer = Client::connect(address).await.send(kind.request(id)).await;
            answered.fetch_add(1, Relaxed);
            Promised { id, kind, place: place(&answer) }
        });
    }
    within("some promises", async {
        while answered.load(Relaxed) < until {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for _ in 0..moment {
        tokio::task::yield_now().await;
    }
    let mut promised = Vec::new();
    while let Some(done) = asking.try_join_next() {
        promised.push(done.expect("an answer of 202"));
    }
    asking.abort_all();
    promised
}

/// The task, once it has ended.
async fn ended(client: &mut Client, promise: &Promised) -> Value {
    within(format!("{} of {:?} to end", promise.place, promise.kind), async {
        loop {
            let task = shown(client.send(promise.ask(&promise.place)).await.assert_status(200));
            if !task["finished_at"].is_null() {
                return task;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

async fn assert_outcome(client: &mut Client, promise: &Promised, task: &Value) {
    let Promised { id, kind, place } = promise;
    let is_interrupted = task["status"] == "failed" && task["error"]["reason"] == "interrupted";
    match kind {
        Kind::Post | Kind::Secret | Kind::Endless if is_interrupted => {}
        _ => {
            assert_eq!(task["status"], "completed", "{kind:?} {id}: {task}");
            client.send(promise.ask(&result(place))).await.assert_status(200).assert_body("done");
        }
    }
}

/// Every step leads on from the one before, in time too.
async fn assert_history(sidecar: &Sidecar, task: &Value) {
    let id = task["id"].as_str().unwrap();
    let detail = sidecar.admin_get(&format!("/performance/tasks/{id}")).await;
    let history = detail["history"].as_array().unwrap();
    assert_eq!((&history[0]["from"], &history[0]["to"]), (&Value::Null, &Value::from("pending")), "{detail}");
    for pair in history.windows(2) {
        assert_eq!(pair[0]["to"], pair[1]["from"], "{detail}");
        assert!(pair[0]["at"].as_str() <= pair[1]["at"].as_str(), "{detail}");
    }
    assert_eq!(history.last().unwrap()["to"], task["status"], "{detail}");
}
