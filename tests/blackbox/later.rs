//! Requests that are answered later: `Prefer: respond-async` on routes that allow it.

use serde_json::{Value, json};

use crate::{
    access_log::lines,
    common::{Answer, Gate, Origin, Request, Sidecar, get, head, ok, post, raw, request, status, within},
};

const ASYNC: &str = "[[route]]\nmatch = \"/reports/**\"\nasync = true\n";

/// Reports that are made when the gate opens, `/reports/quick` at once, and what else there is.
async fn origin(gate: &Gate) -> Origin {
    Origin::new()
        .route("/reports/slow", ok("the report").header("X-Report", "7").header("Set-Cookie", "a=b").after(gate))
        .route("/reports/made", status(201).header("Location", "/r/1").header("Cache-Control", "max-age=9").after(gate))
        .route("/reports/broken", status(500).after(gate))
        .route("/reports/quick", ok("at once").header("Set-Cookie", "a=b"))
        .route("/reports/fresh", ok("for all").header("Cache-Control", "max-age=60"))
        .route("/reports/cut", raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc").then_close())
        .otherwise(ok("as ever"))
        .start()
        .await
}

async fn sidecar(origin: &Origin) -> Sidecar {
    Sidecar::in_front_of(origin).config(ASYNC).start().await
}

fn later(request: Request) -> Request {
    request.header("Prefer", "respond-async")
}

/// Where a 202 says that the answer will be.
pub(crate) fn place(answer: &Answer) -> String {
    answer.assert_status(202).assert_field("Preference-Applied", "respond-async").assert_field("Retry-After", "2");
    answer.assert_field("Cache-Control", "no-store").assert_field("Vary", "Prefer");
    let place = answer.field("Location").expect("a place").to_owned();
    assert!(place.starts_with("/.pacecar/tasks/task_") && place.contains("?k="), "{place}");
    assert_eq!(shown(answer)["href"], place);
    place
}

pub(crate) fn result(place: &str) -> String {
    place.replace("?k=", "/result?k=")
}

pub(crate) fn shown(answer: &Answer) -> Value {
    answer.assert_field("Content-Type", "application/json");
    serde_json::from_slice(&answer.body).expect("JSON")
}

/// How a task stands once it is there.
pub(crate) async fn until(sidecar: &Sidecar, place: &str, status: &str) -> Value {
    let mut client = sidecar.client().await;
    within(format!("{place} to be {status}"), async {
        loop {
            let task = shown(client.get(place).await.assert_status(200));
            if task["status"] == status {
                return task;
            }
            tokio::task::yield_now().await;
        }
    })
    .await
}

#[tokio::test]
async fn slow_answer_is_fetched_later_and_is_the_same() {
    let gate = Gate::new();
    let origin = origin(&gate).await;
    let sidecar = sidecar(&origin).await;
    let answer =
        sidecar.send(later(post("/reports/slow?year=1", "{}")).header("Content-Type", "application/json")).await;
    let place = place(&answer);
    gate.arrivals(1).await;
    let sent = origin.last();
    assert_eq!((sent.method.as_str(), sent.target.as_str(), &*sent.body), ("POST", "/reports/slow?year=1", &b"{}"[..]));
    assert_eq!((sent.field("Prefer"), sent.field("Content-Type")), (None, Some("application/json")));
    let task = until(&sidecar, &place, "running").await;
    assert_eq!(
        (&task["name"], &task["error"], &task["result"]),
        (&json!("POST /reports/slow"), &Value::Null, &Value::Null)
    );
    sidecar.get(&result(&place)).await.assert_status(202).assert_field("Retry-After", "2");
    gate.open();
    let task = until(&sidecar, &place, "completed").await;
    assert_eq!((&task["progress"], &task["result"]["status"]), (&json!(100), &json!(200)));
    assert_eq!(task["result"]["href"], result(&place));
    for _ in 0..2 {
        let replayed = sidecar.get(&result(&place)).await;
        replayed.assert_status(200).assert_body("the report").assert_field("X-Report", "7");
        replayed.assert_no_field("Set-Cookie").assert_cache("bypass");
    }
    sidecar.send(head(&result(&place))).await.assert_status(200).assert_body("").assert_field("Content-Length", "10");
    origin.assert_requests(1);
    // The app's answer counts, once, and those that say where it is do not.
    let metrics = sidecar.admin("/metrics").await.text();
    let counted = metrics.lines().filter(|line| line.starts_with("pacecar_http_requests_total{"));
    let counted: Vec<_> = counted.filter(|line| line.contains("reports") || line.contains("pacecar/")).collect();
    assert_eq!(counted.len(), 1, "{counted:?}");
    assert!(counted[0].contains("status=\"200\"") && counted[0].ends_with(" 1"), "{counted:?}");
}

#[tokio::test]
async fn quick_answer_comes_as_ever() {
    let origin = origin(&Gate::new()).await;
    let sidecar = sidecar(&origin).await;
    for request in [get("/reports/quick"), post("/reports/quick", "body")] {
        let answer = sidecar.send(request.header("Prefer", "wait=60, respond-async")).await;
        answer.assert_status(200).assert_body("at once").assert_field("Set-Cookie", "a=b");
        answer.assert_no_field("Preference-Applied").assert_no_field("Location");
    }
    // The app breaks off: so much for the answer.
    let answer = sidecar.send(get("/reports/cut").header("Prefer", "wait=60, respond-async")).await;
    answer.assert_status(502);
    origin.assert_requests(3);
}

#[tokio::test]
async fn preference_is_not_heard_where_it_may_not_be() {
    let origin = origin(&Gate::new()).await;
    let sidecar = sidecar(&origin).await;
    // Another route, another preference, a body whose length is not known, one that is too long.
    let asked = [
        later(get("/other")),
        get("/reports/quick").header("Prefer", "return=minimal"),
        later(request("POST", "/reports/quick").chunks(["body"])),
        later(post("/reports/quick", "x".repeat((1 << 20) + 1))),
    ];
    for (nth, request) in asked.into_iter().enumerate() {
        let answer = sidecar.send(request).await;
        answer.assert_status(200).assert_no_field("Preference-Applied");
        assert!(origin.last().field("Prefer").is_some(), "{nth}: the app may know what to do with it");
    }
    let observing = Sidecar::in_front_of(&origin).root("mode = \"observe\"").config(ASYNC).start().await;
    observing.send(later(get("/reports/quick"))).await.assert_status(200).assert_body("at once");
    // What is stored is there already.
    sidecar.get("/reports/fresh").await.assert_status(200);
    sidecar.send(later(get("/reports/fresh"))).await.assert_status(200).assert_body("for all").assert_cache("hit");
}

#[tokio::test]
async fn status_fields_and_errors_of_the_app_are_replayed() {
    let gate = Gate::new();
    let origin = origin(&gate).await;
    let sidecar = sidecar(&origin).await;
    let made = place(&sidecar.send(later(post("/reports/made", "x"))).await);
    let broken = place(&sidecar.send(later(get("/reports/broken"))).await);
    gate.open();
    until(&sidecar, &made, "completed").await;
    let replayed = sidecar.get(&result(&made)).await;
    replayed.assert_status(201).assert_field("Location", "/r/1").assert_field("Cache-Control", "max-age=9");
    assert_eq!(until(&sidecar, &broken, "completed").await["result"]["status"], 500);
    sidecar.get(&result(&broken)).await.assert_status(500);
}

#[tokio::test]
async fn nobody_without_the_secret_finds_it() {
    let gate = Gate::new();
    let origin = origin(&gate).await;
    let sidecar = sidecar(&origin).await;
    let bound = later(get("/reports/slow")).header("Authorization", "Bearer a");
    let place = place(&sidecar.send(bound).await);
    gate.open();
    let with = |target: &str, authorization: &str| get(target).header("Authorization", authorization);
    let nothing = sidecar.get("/.pacecar/tasks/task_00000000000040008000000000000000?k=0").await;
    nothing.assert_status(404);
    let (path, secret) = place.split_once("?k=").unwrap();
    let one_off = format!("{}{}", &secret[..31], if secret.ends_with('0') { '1' } else { '0' });
    for wrong in [
        get(&place),
        with(&place, "Bearer b"),
        with(path, "Bearer a"),
        with(&format!("{path}?k="), "Bearer a"),
        with(&format!("{path}?k={one_off}"), "Bearer a"),
        with(&format!("{path}/result?k={one_off}"), "Bearer a"),
        request("DELETE", &place),
        request("POST", &place),
        post(&place, "{\"progress\": 40}").header("Authorization", "Bearer a"),
        get("/.pacecar/"),
        get("/.pacecar/other"),
    ] {
        let answer = sidecar.send(wrong).await;
        answer.assert_status(404).assert_body(&nothing.body);
    }
    sidecar.send(with(&place, "Bearer a")).await.assert_status(200);
    origin.assert_requests(1);
}

#[tokio::test]
async fn app_says_how_far_it_is() {
    let gate = Gate::new();
    let origin = origin(&gate).await;
    let sidecar = sidecar(&origin).await;
    // What a client says of it is not the app's business.
    let place = place(
        &sidecar
            .send(later(get("/reports/slow")).header("Pacecar-Task", "/evil").header("pacecar_task", "/evil"))
            .await,
    );
    gate.arrivals(1).await;
    let sent = origin.last();
    assert!(sent.fields.0.iter().all(|(_, value)| value != "/evil"), "{:?}", sent.fields);
    let task = sent.field("Pacecar-Task").unwrap().to_owned();
    assert_ne!(task, place, "the app's address is not the client's");
    sidecar.get(&task).await.assert_status(404);
    for (said, expected) in [
        (r#"{"progress": 40}"#, 204),
        (r#"{"progress": 30}"#, 204),
        (r#"{"progress": 101}"#, 400),
        (r#"{"progress": -1}"#, 400),
        (r#"{"progress": 40, "more": 1}"#, 400),
        ("", 400),
        ("[", 400),
    ] {
        sidecar.send(post(&task, said)).await.assert_status(expected);
    }
    let shown = shown(&sidecar.get(&place).await);
    assert_eq!((&shown["progress"], &shown["progress_source"]), (&json!(40), &json!("reported")));
    sidecar.send(post(&task, "x".repeat(4097))).await.assert_status(413);
    sidecar.send(request("POST", &task).chunks(["x"])).await.assert_status(411);
    sidecar.send(request("PUT", &place)).await.assert_status(405).assert_field("Allow", "GET, HEAD, POST, DELETE");
    gate.open();
    until(&sidecar, &place, "completed").await;
    sidecar.send(post(&task, r#"{"progress": 50}"#)).await.assert_status(409);
}

#[tokio::test]
async fn what_is_cancelled_is_not_waited_for() {
    let gate = Gate::new();
    let origin = origin(&gate).await;
    let sidecar = sidecar(&origin).await;
    let place = place(&sidecar.send(later(get("/reports/slow"))).await);
    gate.arrivals(1).await;
    let cancelled = sidecar.send(request("DELETE", &place)).await;
    assert_eq!(shown(cancelled.assert_status(200))["status"], "cancelled");
    sidecar.until_metric("pacecar_upstream_in_flight", 0.0).await;
    sidecar.send(request("DELETE", &place)).await.assert_status(409);
    sidecar.get(&result(&place)).await.assert_status(410);
}

#[tokio::test]
async fn client_that_leaves_cancels_nothing() {
    let gate = Gate::new();
    let origin = origin(&gate).await;
    let sidecar = sidecar(&origin).await;
    let asked = || get("/reports/slow").header("Prefer", "respond-async, wait=60").header("Idempotency-Key", "7");
    let mut leaving = sidecar.client().await;
    leaving.send_bytes(asked().to_bytes("a")).await;
    gate.arrivals(1).await;
    drop(leaving);
    // The same client comes again, and finds what it has begun.
    let again = later(asked());
    let mut client = sidecar.client().await;
    client.send_bytes(again.to_bytes("a")).await;
    let place = place(&client.answer("GET").await);
    gate.open();
    until(&sidecar, &place, "completed").await;
    sidecar.get(&result(&place)).await.assert_status(200).assert_body("the report");
    origin.assert_requests(1);
}

#[tokio::test]
async fn same_key_is_the_same_task_for_the_same_request_of_the_same_person() {
    let gate = Gate::new();
    let origin = origin(&gate).await;
    let sidecar = sidecar(&origin).await;
    let asked = |body: &str, key: &str, cookie: &str| {
        later(post("/reports/slow", body)).header("Idempotency-Key", key).header("Cookie", cookie)
    };
    let id = |place: &str| place.split_once('?').unwrap().0.to_owned();
    let first = place(&sidecar.send(asked("1", "k", "who=a")).await);
    let second = place(&sidecar.send(asked("1", "k", "who=a")).await);
    assert_eq!(id(&first), id(&second));
    assert_ne!(first, second, "each has a secret of its own");
    sidecar.send(asked("2", "k", "who=a")).await.assert_status(422);
    assert_ne!(id(&place(&sidecar.send(asked("1", "l", "who=a")).await)), id(&first));
    assert_ne!(id(&place(&sidecar.send(asked("1", "k", "who=b")).await)), id(&first));
    gate.arrivals(3).await;
    origin.assert_requests(3);
}

#[tokio::test]
async fn what_finds_no_slot_waits_and_what_finds_no_room_is_answered_as_ever() {
    let gate = Gate::new();
    let origin = origin(&gate).await;
    let one = format!("{ASYNC}[tasks]\nmax_concurrent = 1\n");
    let sidecar = Sidecar::in_front_of(&origin).config(&one).start().await;
    let running = place(&sidecar.send(later(get("/reports/slow"))).await);
    gate.arrivals(1).await;
    let mut client = sidecar.client().await;
    let waiting = place(&client.send(later(post("/reports/made", "x"))).await);
    assert_eq!(until(&sidecar, &waiting, "pending").await["started_at"], Value::Null);
    for _ in 1..1000 {
        client.send(later(get("/reports/quick"))).await.assert_status(202);
    }
    for request in [get("/reports/quick"), post("/reports/quick", "body"), request("DELETE", "/reports/quick")] {
        let answer = client.send(later(request)).await;
        answer.assert_status(200).assert_body("at once").assert_no_field("Preference-Applied");
    }
    origin.assert_requests(4);
    gate.open();
    until(&sidecar, &running, "completed").await;
    until(&sidecar, &waiting, "completed").await;
}

#[tokio::test]
async fn h2_is_answered_later_as_well() {
    let gate = Gate::new();
    let origin = origin(&gate).await;
    let sidecar = sidecar(&origin).await;
    let client = sidecar.h2c().await;
    let place = place(&client.send(later(post("/reports/slow", "body")).header("Content-Length", "4")).await);
    gate.arrivals(1).await;
    assert_eq!(origin.last().body, b"body");
    gate.open();
    until(&sidecar, &place, "completed").await;
    client.send(get(&result(&place))).await.assert_status(200).assert_body("the report");
    client.send(get("/reports/quick").header("Prefer", "respond-async, wait=60")).await.assert_body("at once");
}

#[tokio::test]
async fn writes_are_seen_by_whoever_reads_after_them() {
    let gate = Gate::new();
    let origin = Origin::new()
        .route("/reports/1", ok("old").header("Cache-Control", "max-age=60"))
        .otherwise(ok("fine"))
        .start()
        .await;
    gate.open();
    let sidecar = sidecar(&origin).await;
    sidecar.get("/reports/1").await.assert_status(200);
    sidecar.get("/reports/1").await.assert_cache("hit");
    let place = place(&sidecar.send(later(request("DELETE", "/reports/1"))).await);
    until(&sidecar, &place, "completed").await;
    sidecar.get("/reports/1").await.assert_cache("miss");
}

#[tokio::test]
async fn damaged_file_turns_tasks_off_and_nothing_else() {
    let gate = Gate::new();
    let origin = origin(&gate).await;
    gate.open();
    let kept = tempfile::TempDir::new().unwrap();
    let file = kept.path().join("tasks");
    let config = format!("{ASYNC}[tasks]\nstore = {file:?}\n");
    let mut whole = Sidecar::in_front_of(&origin).config(&config).start().await;
    assert!(!file.exists(), "it is made with the first task");
    let promised = place(&whole.send(later(get("/reports/slow"))).await);
    until(&whole, &promised, "completed").await;
    whole.terminate().await;
    whole.wait().await;

    let good = std::fs::read(&file).unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    let mut damaged = good.clone();
    damaged[..4096].iter_mut().for_each(|byte| *byte = random.u8(..));
    std::fs::write(&file, &damaged).unwrap();
    let mut sidecar = Sidecar::in_front_of(&origin).config(&config).start().await;
    assert_eq!(sidecar.metric("pacecar_tasks_store_up").await, 0.0);
    // Whoever would be answered later is answered now.
    for request in [get("/reports/slow"), post("/reports/made", "x")] {
        let status = if request.method == "GET" { 200 } else { 201 };
        sidecar.send(later(request)).await.assert_status(status).assert_no_field("Preference-Applied");
    }
    sidecar.get("/reports/quick").await.assert_status(200);
    sidecar.get(&promised).await.assert_status(404);
    let stats = &sidecar.admin_get("/performance/tasks").await["stats"]["store"];
    assert_eq!(stats["state"], "off", "{stats}");
    assert_eq!(std::fs::read(&file).unwrap(), damaged, "nothing of it is thrown away");
    sidecar.terminate().await;
    sidecar.wait().await;

    std::fs::write(&file, good).unwrap();
    let sidecar = Sidecar::in_front_of(&origin).config(&config).start().await;
    sidecar.get(&result(&promised)).await.assert_status(200).assert_body("the report");
}

#[tokio::test]
async fn task_may_take_longer_than_an_answer() {
    let gate = Gate::new();
    let origin = origin(&gate).await;
    let impatient = format!("{ASYNC}[server.timeouts]\nread = \"1ms\"\n");
    let sidecar = Sidecar::in_front_of(&origin).config(&impatient).start().await;
    let place = place(&sidecar.send(later(get("/reports/slow"))).await);
    gate.arrivals(1).await;
    sidecar.get("/reports/slow").await.assert_status(504);
    assert_eq!(shown(&sidecar.get(&place).await)["status"], "running");
    gate.open();
    until(&sidecar, &place, "completed").await;
}

#[tokio::test]
async fn task_that_takes_too_long_fails() {
    let origin = origin(&Gate::new()).await;
    let sidecar = Sidecar::in_front_of(&origin).config(&format!("{ASYNC}[tasks]\ntimeout = \"1s\"\n")).start().await;
    let place = place(&sidecar.send(later(get("/reports/slow"))).await);
    let task = until(&sidecar, &place, "failed").await;
    assert_eq!((&task["error"]["reason"], &task["timeout_s"]), (&json!("timeout"), &json!(1)));
    sidecar.get(&result(&place)).await.assert_status(504);
    sidecar.until_metric("pacecar_upstream_in_flight", 0.0).await;
}

#[tokio::test]
async fn nothing_secret_is_written_down() {
    let gate = Gate::new();
    let origin = origin(&gate).await;
    let kept = tempfile::TempDir::new().unwrap();
    let file = kept.path().join("tasks");
    let log = kept.path().join("access.log");
    let config = format!("{ASYNC}[tasks]\nstore = {file:?}\n");
    let logging = format!("access_log = \"all\"\naccess_log_path = {log:?}");
    let sidecar = Sidecar::in_front_of(&origin).server(&logging).config(&config).start().await;
    let request = later(post("/reports/slow", "a body")).header("Authorization", "Bearer geheim");
    let place = place(&sidecar.send(request.header("Cookie", "session=geheim").header("X-Api-Key", "geheim")).await);
    gate.arrivals(1).await;
    assert_eq!(origin.last().field("Authorization"), Some("Bearer geheim"));
    gate.open();
    let ask = || get(&place).header("Authorization", "Bearer geheim");
    within("the end", async {
        while shown(&sidecar.send(ask()).await)["finished_at"].is_null() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let secret = place.split_once("?k=").unwrap().1;
    let written = std::fs::read(&file).unwrap();
    let holds = |text: &str| written.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(holds("the report"), "the result is there");
    assert!(!holds("geheim") && !holds(secret), "what opens it is not");
    // The 202, and who has asked how it stands.
    let lines = lines(&log, 2).await.concat() + &sidecar.log();
    assert!(lines.contains("k=***") && !lines.contains("geheim") && !lines.contains(secret), "{lines}");
}

#[tokio::test]
async fn go_ahead_is_given_for_a_body_that_is_kept() {
    let gate = Gate::new();
    let origin = origin(&gate).await;
    let sidecar = sidecar(&origin).await;
    let mut client = sidecar.client().await;
    let head = "POST /reports/slow HTTP/1.1\r\nHost: a\r\nPrefer: respond-async\r\nExpect: 100-continue\r\n\
                Content-Length: 4\r\n\r\n";
    client.send_bytes(head).await;
    assert!(client.until("HTTP/1.1 100 Continue\r\n\r\n").await);
    client.send_bytes("bodyGET /other HTTP/1.1\r\nHost: a\r\n\r\n").await;
    place(&client.answer("POST").await);
    client.answer("GET").await.assert_status(200).assert_body("as ever");
    gate.arrivals(1).await;
    let sent = origin.log().into_iter().find(|sent| sent.method == "POST").unwrap();
    assert_eq!((&*sent.body, sent.field("Expect")), (&b"body"[..], None));
}
