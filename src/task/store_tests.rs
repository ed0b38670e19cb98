//! What a file of tasks has after the process ended at any moment, and what becomes of one that is damaged or full.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    panic,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::future::join_all;
use parking_lot::Mutex;
use redb::{BackendError, Database, StorageBackend, TableDefinition};
use tempfile::TempDir;

use super::{
    Actor, AfterRestart, Digest, Fetched, Filter, Health, Idempotency, Job, Kind, Processor, Reason, Record, Refused,
    Revive, Settings, Status, TaskId, Wish,
    processor_tests::{endless, job, outcome, wish},
    store::{Make, Store, open_backend},
};

fn settings(file: &Path) -> Settings {
    Settings { store: Some(file.to_owned()), ..Settings::default() }
}

/// A processor on a file whose tasks, after a restart, answer with what they are described by.
async fn open(settings: Settings) -> Processor {
    Processor::open(settings, SystemTime::now(), Box::new(|_, description| Some(echo(description)))).await
}

fn echo(description: Bytes) -> Job {
    job(async move { Ok(outcome(description)) })
}

/// The end of a task, waited for without asking again and again: whoever cancels waits for its runner.
async fn ended(processor: &Processor, id: TaskId) -> Arc<Record> {
    loop {
        let record = processor.get(id).expect("a task");
        if record.life.status().is_final() {
            return record;
        }
        tokio::task::yield_now().await;
    }
}

async fn running(processor: &Processor, id: TaskId) {
    while processor.get(id).unwrap().life.status() == Status::Pending {
        tokio::task::yield_now().await;
    }
}

fn why(processor: &Processor) -> String {
    match processor.figures().store {
        Health::Off { why } => why,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_file_is_made_with_the_first_task_for_its_owner_alone() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("tasks");
    let processor = open(settings(&file)).await;
    assert_eq!((processor.figures().store, file.exists()), (Health::Unmade, false));
    let id = processor.submit(wish(Kind::HttpAsync), echo(Bytes::from_static(b"hello"))).await.unwrap().record.id;
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    ended(&processor, id).await;
    let Fetched::Found(found) = processor.result(id).await else { panic!("no result") };
    assert_eq!(found, outcome("hello"));
    let bytes = fs::metadata(&file).unwrap().len();
    assert_eq!(processor.figures().store, Health::Open { bytes });
    // Another process is told to keep off.
    let other = open(settings(&file)).await;
    assert!(why(&other).ends_with("it is in use by another process"), "{}", why(&other));
    processor.stop(Duration::ZERO).await;
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_restart_goes_on_with_what_may_be_done_again() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("tasks");
    let processor = open(Settings { max_concurrent: 3, ..settings(&file) }).await;
    let done = processor.submit(wish(Kind::HttpAsync), echo(Bytes::from_static(b"done"))).await.unwrap();
    ended(&processor, done.record.id).await;
    let mut ids = Vec::new();
    // Three that run, then three that wait.
    for _ in 0..2 {
        for after_restart in [AfterRestart::Repeat, AfterRestart::Once, AfterRestart::Fail] {
            let wish = Wish { after_restart, ..wish(Kind::HttpAsync) };
            ids.push(processor.submit(wish, endless()).await.unwrap().record.id);
            if ids.len() <= 3 {
                running(&processor, *ids.last().unwrap()).await;
            }
        }
    }
    processor.stop(Duration::ZERO).await;
    drop(processor);

    let processor = open(settings(&file)).await;
    let mut ends = Vec::new();
    for id in &ids {
        let record = ended(&processor, *id).await;
        let reason = record.life.failure().map(|(reason, _)| reason);
        ends.push((record.life.status(), reason, record.life.attempt()));
    }
    let (completed, interrupted) = ((Status::Completed, None), (Status::Failed, Some(Reason::Interrupted)));
    let expected =
        [(completed, 2), (interrupted, 1), (interrupted, 1), (completed, 1), (completed, 1), (interrupted, 0)];
    assert_eq!(ends, expected.map(|((status, reason), attempt)| (status, reason, attempt)));
    let Fetched::Found(found) = processor.result(ids[0]).await else { panic!("no result") };
    assert_eq!(found, outcome("GET /slow"), "made again of its description");
    // What had ended is as it was, and opens to the same secret.
    let secret = done.secret.unwrap().reveal();
    let record = processor.get_with(done.record.id, &secret, None).unwrap();
    assert_eq!((record.life.status(), record.life.history().len()), (Status::Completed, 3));
    let Fetched::Found(found) = processor.result(done.record.id).await else { panic!("no result") };
    assert_eq!(found, outcome("done"));
    // A third start finds nothing to do, and no number twice.
    processor.stop(Duration::from_secs(9)).await;
    let processor = open(settings(&file)).await;
    assert_eq!(processor.figures().counts, [0, 0, 4, 3, 0]);
    let record = processor.submit(wish(Kind::HttpAsync), endless()).await.unwrap().record;
    assert_eq!(record.number, 8);
}

#[tokio::test]
async fn an_idempotency_key_survives_and_a_job_that_cannot_be_made_again_is_interrupted() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("tasks");
    let idempotency = Some(Idempotency { key: Digest::of(&[b"k"]), request: Digest::of(&[b"r"]) });
    let keyed = || Wish { idempotency, ..wish(Kind::HttpAsync) };
    let processor = open(settings(&file)).await;
    let first = processor.submit(keyed(), endless()).await.unwrap();
    processor.stop(Duration::ZERO).await;
    let processor = Processor::open(settings(&file), SystemTime::now(), Box::new(|_, _| panic!("a bad revival"))).await;
    let second = processor.submit(keyed(), endless()).await.unwrap();
    assert_eq!((second.is_new, second.record.id), (false, first.record.id));
    assert_eq!(second.record.life.failure().unwrap().0, Reason::Interrupted);
    assert_eq!(processor.figures().ended.failed(Reason::Interrupted), 1);
    processor.stop(Duration::ZERO).await;
    // The secret that came with the second answer is on disk, too.
    let processor = open(settings(&file)).await;
    for secret in [first.secret, second.secret] {
        assert!(processor.get_with(first.record.id, &secret.unwrap().reveal(), None).is_some());
    }
}

#[tokio::test]
async fn what_is_dropped_in_time_is_dropped_on_disk() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("tasks");
    let processor = open(settings(&file)).await;
    let id = processor.submit(wish(Kind::HttpAsync), echo(Bytes::from_static(b"x"))).await.unwrap().record.id;
    ended(&processor, id).await;
    processor.stop(Duration::ZERO).await;
    let hours = |hours: u64| SystemTime::now() + Duration::from_secs(hours * 3600);
    let processor = Processor::open(settings(&file), hours(2), Box::new(|_, _| None)).await;
    assert!(matches!(processor.result(id).await, Fetched::Gone));
    processor.stop(Duration::ZERO).await;
    let (store, loaded) = Store::file(file.clone()).await;
    assert_eq!((loaded.records.len(), loaded.results.len(), loaded.descriptions.len()), (1, 0, 0));
    store.close().await;
    let processor = Processor::open(settings(&file), hours(24 * 7 + 1), Box::new(|_, _| None)).await;
    assert!(processor.get(id).is_none());
    processor.stop(Duration::ZERO).await;
    let (_, loaded) = Store::file(file).await;
    assert_eq!((loaded.records.len(), loaded.keys.len()), (0, 0));
}

/// What a file was told, in order: after each prefix of it the process may have ended.
#[derive(Clone, Debug, Default)]
struct Disk {
    bytes: Arc<Mutex<Vec<u8>>>,
    told: Arc<Mutex<Vec<Told>>>,
    /// Bytes that it has room for.
    room: Option<usize>,
    written: Arc<AtomicUsize>,
}

#[derive(Clone, Debug)]
enum Told {
    Length(u64),
    Bytes(u64, Vec<u8>),
}

impl Told {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Length(length) => bytes.resize(*length as usize, 0),
            Self::Bytes(at, written) => bytes[*at as usize..][..written.len()].copy_from_slice(written),
        }
    }
}

impl Disk {
    fn tell(&self, told: Told) {
        told.apply(&mut self.bytes.lock());
        self.told.lock().push(told);
    }

    /// As the disk was after it had been told so much.
    fn after(&self, told: usize) -> Self {
        let mut bytes = Vec::new();
        self.told.lock()[..told].iter().for_each(|told| told.apply(&mut bytes));
        Self { bytes: Arc::new(Mutex::new(bytes)), ..Self::default() }
    }

    /// As it is now.
    fn copy(&self) -> Self {
        Self { bytes: Arc::new(Mutex::new(self.bytes.lock().clone())), ..Self::default() }
    }

    async fn start(&self) -> (Store, super::store::Loaded) {
        let disk = self.clone();
        let open = move |make| {
            let is_there = make == Make::Yes || disk.len().is_ok_and(|length| length > 0);
            is_there.then(|| open_backend(disk.clone())).transpose()
        };
        Store::start(Box::new(open), None).await
    }

    async fn open(&self, settings: Settings) -> Processor {
        let (store, loaded) = self.start().await;
        let revive: Revive = Box::new(|_, description| Some(echo(description)));
        Processor::start(settings, SystemTime::now(), store, loaded, &revive)
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, std::io::Error> {
        Ok(self.bytes.lock().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), std::io::Error> {
        let bytes = self.bytes.lock();
        let from = bytes.get(offset as usize..).and_then(|rest| rest.get(..out.len()));
        out.copy_from_slice(from.ok_or(std::io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), std::io::Error> {
        self.tell(Told::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> Result<(), std::io::Error> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), std::io::Error> {
        let written = self.written.fetch_add(data.len(), Ordering::Relaxed) + data.len();
        if self.room.is_some_and(|room| written > room) {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.tell(Told::Bytes(offset, data.to_vec()));
        Ok(())
    }

    fn try_lock_range(&self, _: std::ops::Bound<u64>, _: std::ops::Bound<u64>) -> Result<bool, BackendError> {
        Err(BackendError::Unsupported)
    }
}

/// After each single write to the disk, the next start knows every task that was confirmed by then, knows each one that
/// was begun by then as begun, and each end that was shown.
#[tokio::test]
async fn the_process_may_end_after_any_write() {
    let disk = Disk::default();
    let processor = disk.open(Settings::default()).await;
    let told = || disk.told.lock().len();
    let (mut confirmed, mut begun, mut shown) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..12 {
        let begins = Arc::new(Mutex::new(None));
        let (begins_at, on) = (begins.clone(), disk.clone());
        let work = job(async move {
            *begins_at.lock() = Some(on.told.lock().len());
            if number % 4 == 3 { std::future::pending().await } else { Ok(outcome(vec![number; 5000])) }
        });
        let wish = Wish { after_restart: AfterRestart::Once, ..wish(Kind::HttpAsync) };
        let id = processor.submit(wish, work).await.unwrap().record.id;
        confirmed.push((told(), id));
        running(&processor, id).await;
        if number % 4 == 3 {
            while begins.lock().is_none() {
                tokio::task::yield_now().await;
            }
            processor.cancel(id, Actor::Client).await.unwrap();
        }
        let end = ended(&processor, id).await.life.status();
        shown.push((told(), id, end));
        begun.push((begins.lock().unwrap(), id));
    }
    let all = told();
    assert!(all > 50, "{all} writes");
    for at in 0..=all {
        let (store, loaded) = disk.after(at).start().await;
        let status = |id| loaded.records.iter().find(|record| record.id == id).map(|record| record.life.status());
        for (confirmed, id) in &confirmed {
            assert!(*confirmed > at || status(*id).is_some(), "after write {at}: {:?}", store.health());
        }
        for (begun, id) in &begun {
            assert!(*begun > at || status(*id).is_some_and(|status| status != Status::Pending), "after write {at}");
        }
        for (shown, id, end) in &shown {
            assert!(*shown > at || status(*id) == Some(*end), "after write {at}");
        }
        for record in &loaded.records {
            let has_result = loaded.results.contains(&record.number);
            assert_eq!(has_result, record.life.status() == Status::Completed, "after write {at}");
            assert_eq!(loaded.descriptions.contains_key(&record.number), !record.life.status().is_final());
        }
    }
}

#[tokio::test]
async fn a_full_disk_turns_tasks_off_and_what_was_confirmed_is_still_there() {
    for room in (0..40).map(|step| step * 20_000) {
        let disk = Disk { room: Some(room), ..Disk::default() };
        let processor = disk.open(Settings::default()).await;
        let mut confirmed = Vec::new();
        let refused = loop {
            let large = Wish { description: vec![7; 9000].into(), ..wish(Kind::HttpAsync) };
            match processor.submit(large, endless()).await {
                Ok(accepted) => confirmed.push(accepted.record.id),
                Err(refused) => break refused,
            }
            assert!(confirmed.len() < 1000, "a disk with an end");
        };
        assert_eq!(refused, Refused::Off { why: why(&processor) });
        assert_eq!(processor.list(&Filter::default(), None, 0).total, confirmed.len(), "the one refused is not shown");
        // What runs can still be cancelled, and is shown as that.
        if let Some(id) = confirmed.first() {
            let _ = processor.cancel(*id, Actor::Admin).await;
        }
        processor.stop(Duration::ZERO).await;
        let (store, loaded) = disk.copy().start().await;
        let found = |id: &TaskId| loaded.records.iter().any(|record| record.id == *id);
        assert!(confirmed.iter().all(found), "room for {room}: {:?}", store.health());
    }
}

#[tokio::test]
async fn damage_never_panics_and_is_left_as_it_is() {
    let whole = Disk::default();
    let processor = whole.open(Settings::default()).await;
    let mut ids = Vec::new();
    for number in 0..20 {
        let id = processor.submit(wish(Kind::HttpAsync), echo(vec![number; 3000].into())).await.unwrap().record.id;
        ended(&processor, id).await;
        ids.push(id);
    }
    let killed = whole.copy();
    processor.stop(Duration::ZERO).await;
    let mut random = fastrand::Rng::with_seed(7);
    let (mut off, mut on) = (0, 0);
    for round in 0..600 {
        let disk = if round % 2 == 0 { whole.copy() } else { killed.copy() };
        {
            let mut bytes = disk.bytes.lock();
            // Where nothing was written yet, damage is of no interest: half of it is near the beginning.
            let within = if round % 4 < 2 { 8192 } else { bytes.len() };
            match round % 5 {
                0 => bytes.truncate(random.usize(1..within)),
                1 => (0..64).for_each(|_| bytes[random.usize(..within)] = random.u8(..)),
                2 => {
                    let at = random.usize(..within);
                    let end = (at + 4096).min(bytes.len());
                    bytes[at..end].fill(random.u8(..));
                }
                _ => bytes[random.usize(..within)] ^= 1 << random.u8(..8),
            }
        }
        let processor = disk.open(Settings::default()).await;
        match processor.figures().store {
            Health::Off { .. } => {
                off += 1;
                let refused = processor.submit(wish(Kind::HttpAsync), endless()).await.unwrap_err();
                assert!(matches!(refused, Refused::Off { .. }));
            }
            _ => {
                on += 1;
                for id in &ids {
                    let _ = processor.result(*id).await;
                }
                processor.submit(wish(Kind::HttpAsync), endless()).await.ok();
            }
        }
        processor.stop(Duration::ZERO).await;
    }
    assert!(off > 50 && on > 50, "{off} off, {on} on");
}

#[tokio::test]
async fn a_file_that_is_none_of_ours_turns_tasks_off_and_is_not_changed() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("text"), "not a database\n".repeat(1000)).unwrap();
    fs::write(at("short"), "x").unwrap();
    fs::create_dir(at("folder")).unwrap();
    let other = TableDefinition::<&str, u64>::new("other");
    let formats = TableDefinition::<&str, u64>::new("format");
    for (name, table, value) in [("foreign", other, 1), ("newer", formats, 2)] {
        let database = Database::create(at(name)).unwrap();
        let writing = database.begin_write().unwrap();
        writing.open_table(table).unwrap().insert("format", value).unwrap();
        writing.commit().unwrap();
    }
    for (path, expected) in [
        (at("text"), "It is left as it is; move it away to begin with a new one"),
        (at("short"), "It is left as it is; move it away to begin with a new one"),
        (at("folder"), "cannot be opened: Is a directory"),
        (at("foreign"), "it is the database of something else"),
        (at("newer"), "its format is 2: expected 1"),
        (at("missing/tasks"), "cannot be made: No such file or directory"),
        ("/dev/full".into(), ""),
    ] {
        let before = path.starts_with(folder.path()).then(|| fs::read(&path).ok()).flatten();
        let processor = open(settings(&path)).await;
        let refused = processor.submit(wish(Kind::HttpAsync), endless()).await.unwrap_err();
        let Refused::Off { why: told } = refused else { panic!("{refused:?}") };
        assert!(told.contains(expected) && told.contains(path.to_str().unwrap()), "{told}");
        assert_eq!(told, why(&processor));
        processor.stop(Duration::ZERO).await;
        if matches!(path.file_name().and_then(|name| name.to_str()), Some("text" | "short")) {
            assert_eq!(fs::read(&path).ok(), before);
        }
    }
    // One that was only begun is begun again, and an empty one is a new one.
    fs::write(at("begun.new"), "half").unwrap();
    fs::write(at("empty"), "").unwrap();
    for name in ["begun", "empty"] {
        let processor = open(settings(&at(name))).await;
        processor.submit(wish(Kind::HttpAsync), endless()).await.unwrap();
    }
}

#[tokio::test]
async fn ten_thousand_tasks_are_listed_after_a_restart_as_before() {
    const TASKS: usize = 10_000;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("tasks");
    let processor = open(Settings { queue: TASKS, max_concurrent: 100, ..settings(&file) }).await;
    let submitted = (0..TASKS).map(|nth| {
        let kind = if nth % 4 == 0 { Kind::CacheWarmup } else { Kind::HttpAsync };
        processor.submit(wish(kind), echo(Bytes::from(nth.to_string())))
    });
    let accepted: Vec<_> = join_all(submitted).await.into_iter().map(|accepted| accepted.unwrap().record.id).collect();
    for id in &accepted {
        ended(&processor, *id).await;
    }
    processor.stop(Duration::from_secs(60)).await;
    drop(processor);

    let processor = open(settings(&file)).await;
    for (filter, expected) in [
        (Filter::default(), TASKS),
        (Filter { kind: Some(Kind::CacheWarmup), ..Filter::default() }, TASKS / 4),
        (Filter { status: Some(Status::Completed), kind: Some(Kind::HttpAsync) }, TASKS - TASKS / 4),
        (Filter { status: Some(Status::Failed), ..Filter::default() }, 0),
    ] {
        let (mut numbers, mut before) = (Vec::new(), None);
        loop {
            let page = processor.list(&filter, before, 100);
            assert!(page.tasks.len() <= 100 && page.total == expected, "{} of {}", page.tasks.len(), page.total);
            numbers.extend(page.tasks.iter().map(|record| record.number));
            match page.next {
                Some(next) => before = Some(next),
                None => break,
            }
        }
        assert!(numbers.len() == expected && numbers.is_sorted_by(|newer, older| newer > older), "{filter:?}");
    }
    for nth in [0, TASKS / 2, TASKS - 1] {
        let Fetched::Found(found) = processor.result(accepted[nth]).await else { panic!("no result of {nth}") };
        assert_eq!(found.body, nth.to_string());
    }
}
