//! Tasks on disk: one thread owns the file, and writes what has gathered while it wrote before in one transaction.
//!
//! The file is a redb database of four tables, all by the number of the task, and the number of their format. Whatever
//! fails, be it a write, a read, or the library itself, ends the thread and turns tasks off; nothing fails into the
//! process.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    fs::{self, File, OpenOptions},
    future, io,
    os::unix::fs::OpenOptionsExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use parking_lot::Mutex;
use redb::{
    Builder, Database, DatabaseError, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition,
    WriteTransaction, backends::FileBackend,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::oneshot;

use super::{
    access::Key,
    record::{Outcome, Record},
};

/// What the tables hold. A file of another format is not touched.
const FORMAT: u64 = 1;
const FORMATS: TableDefinition<'_, &str, u64> = TableDefinition::new("format");

/// Bytes of pages in memory: a task that is written is not read again.
const CACHE: usize = 16 << 20;
/// Writes of one transaction at most; and when they have so many bytes, no more are gathered.
const GROUP: usize = 256;
const GROUP_BYTES: usize = 64 << 20;

/// What is kept of a task, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Table {
    /// [`Record`]s.
    Records,
    /// What opens them.
    Keys,
    /// What their jobs are made of again, until they end.
    Descriptions,
    /// [`Outcome`]s.
    Results,
}

impl Table {
    const ALL: [Self; 4] = [Self::Records, Self::Keys, Self::Descriptions, Self::Results];

    fn definition(self) -> TableDefinition<'static, u64, &'static [u8]> {
        TableDefinition::new(match self {
            Self::Records => "records",
            Self::Keys => "keys",
            Self::Descriptions => "descriptions",
            Self::Results => "results",
        })
    }
}

/// How it stands about the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// None is wished for: a restart loses the tasks.
    Memory,
    /// None is there yet: it is made with the first task.
    Unmade,
    /// It is written to.
    Open {
        /// Its size.
        bytes: u64,
    },
    /// It cannot be used, and there are no tasks until the next start.
    Off {
        /// What is wrong with it, and what can be done.
        why: String,
    },
}

/// There are no tasks; [`Health::Off`] says why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Off(pub(super) String);

/// Waits until something is on disk.
pub(super) type Saved = BoxFuture<'static, Result<(), Off>>;

/// What a file had in it.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) records: Vec<Record>,
    pub(super) keys: HashMap<u64, Vec<Key>>,
    pub(super) descriptions: HashMap<u64, Bytes>,
    pub(super) results: HashSet<u64>,
}

/// One row set, or taken away.
#[derive(Debug)]
struct Row {
    table: Table,
    number: u64,
    value: Option<Bytes>,
}

#[derive(Debug)]
enum Op {
    Write { rows: Vec<Row>, done: Option<oneshot::Sender<()>> },
    Read { number: u64, found: oneshot::Sender<Option<Bytes>> },
    Close { done: oneshot::Sender<()> },
}

/// Where tasks are kept. What is asked of it is done in the order in which it was asked.
#[derive(Debug)]
pub(super) struct Store {
    /// `None`: there is no file.
    ops: Option<mpsc::Sender<Op>>,
    health: Arc<Mutex<Health>>,
    /// Results, where there is no file.
    results: Mutex<HashMap<u64, Outcome>>,
}

/// Opens the database, if there is one, or it is to be made.
type Open = Box<dyn FnMut(Make) -> Result<Option<Database>, String> + Send>;

/// Whether a database is made where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Make {
    Yes,
    No,
}

impl Store {
    /// Keeps tasks in memory only.
    pub(super) fn memory() -> Self {
        Self { ops: None, health: Arc::new(Mutex::new(Health::Memory)), results: Mutex::default() }
    }

    /// Keeps them in a file. What is in it is read on the store's own thread.
    pub(super) async fn file(path: PathBuf) -> (Self, Loaded) {
        let at = path.clone();
        Self::start(Box::new(move |make| open(&path, make)), Some(at)).await
    }

    pub(super) async fn start(open: Open, path: Option<PathBuf>) -> (Self, Loaded) {
        let (ops, received) = mpsc::channel();
        let health = Arc::new(Mutex::new(Health::Unmade));
        let writer = Writer { open, path, database: None, health: health.clone() };
        let (loaded, answer) = oneshot::channel();
        let thread = thread::Builder::new().name("tasks".into()).spawn(move || writer.run(&received, loaded));
        if let Err(error) = thread {
            *health.lock() = Health::Off { why: format!("no thread for the file of tasks: {error}") };
        }
        // The thread says in `health` why it has no answer.
        let loaded = answer.await.unwrap_or_default();
        (Self { ops: Some(ops), health, results: Mutex::default() }, loaded)
    }

    pub(super) fn health(&self) -> Health {
        self.health.lock().clone()
    }

    /// Whether the results take memory.
    pub(super) fn is_memory(&self) -> bool {
        self.ops.is_none()
    }

    /// Keeps a task that is new. All of these have done their part of the order when they return; what they return
    /// waits until it is on disk.
    pub(super) fn submit(&self, record: &Record, keys: &[Key], description: Bytes) -> Saved {
        self.write(|| {
            vec![
                set(record),
                row(Table::Keys, record.number, encode(&keys)),
                row(Table::Descriptions, record.number, description),
            ]
        })
    }

    /// Keeps another step of a task.
    pub(super) fn update(&self, record: &Record) -> Saved {
        self.write(|| vec![set(record)])
    }

    /// Keeps what opens a task.
    pub(super) fn keys(&self, number: u64, keys: &[Key]) -> Saved {
        self.write(|| vec![row(Table::Keys, number, encode(&keys))])
    }

    /// Keeps the end of a task, and its result.
    pub(super) fn end(&self, record: &Record, outcome: Option<Outcome>) -> Saved {
        if self.is_memory()
            && let Some(outcome) = &outcome
        {
            self.results.lock().insert(record.number, outcome.clone());
        }
        self.write(|| {
            let mut rows = vec![set(record), Row { table: Table::Descriptions, number: record.number, value: None }];
            rows.extend(outcome.map(|outcome| row(Table::Results, record.number, pack(&outcome))));
            rows
        })
    }

    /// Forgets tasks, and results. Nobody waits for it: what is left over a crash is found again.
    pub(super) fn forget(&self, tasks: &[u64], results: &[u64]) {
        if self.is_memory() {
            self.results.lock().retain(|number, _| !tasks.contains(number) && !results.contains(number));
            return;
        }
        let none = |table, number: &u64| Row { table, number: *number, value: None };
        let mut rows: Vec<_> = results.iter().map(|number| none(Table::Results, number)).collect();
        rows.extend(tasks.iter().flat_map(|number| Table::ALL.map(|table| none(table, number))));
        self.send(Op::Write { rows, done: None });
    }

    /// The result of a task.
    pub(super) async fn result(&self, number: u64) -> Result<Option<Outcome>, Off> {
        if self.is_memory() {
            return Ok(self.results.lock().get(&number).cloned());
        }
        let (found, answer) = oneshot::channel();
        self.send(Op::Read { number, found });
        let packed = answer.await.map_err(|_| off(&self.health))?;
        Ok(packed.and_then(unpack))
    }

    /// Writes what waits, and lets the file go.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        self.send(Op::Close { done });
        let _: Result<(), _> = closed.await;
    }

    /// Waits for what was asked for before.
    pub(super) fn flush(&self) -> Saved {
        self.write(Vec::new)
    }

    fn write(&self, rows: impl FnOnce() -> Vec<Row>) -> Saved {
        if self.is_memory() {
            return Box::pin(future::ready(Ok(())));
        }
        let (done, answer) = oneshot::channel();
        self.send(Op::Write { rows: rows(), done: Some(done) });
        let health = self.health.clone();
        Box::pin(async move { answer.await.map_err(|_| off(&health)) })
    }

    /// The thread is gone where nobody receives: then the sender of the answer is dropped, too.
    fn send(&self, op: Op) {
        if let Some(ops) = &self.ops {
            let _: Result<(), _> = ops.send(op);
        }
    }
}

fn off(health: &Mutex<Health>) -> Off {
    match &*health.lock() {
        Health::Off { why } => Off(why.clone()),
        Health::Memory | Health::Unmade | Health::Open { .. } => Off("the file of tasks is closed".into()),
    }
}

/// The thread's own.
struct Writer {
    open: Open,
    /// Where to look for the size.
    path: Option<PathBuf>,
    database: Option<Database>,
    health: Arc<Mutex<Health>>,
}

impl Writer {
    fn run(mut self, ops: &mpsc::Receiver<Op>, loaded: oneshot::Sender<Loaded>) {
        match guarded(|| self.load()) {
            Ok(found) => drop(loaded.send(found)),
            Err(why) => return self.turn_off(why),
        }
        while let Ok(first) = ops.recv() {
            let mut group = gather(first, ops);
            // What is not answered is dropped after it has been said why.
            match guarded(|| self.serve(&mut group)) {
                Ok(Served::All) => {}
                Ok(Served::Closed) => return,
                Err(why) => return self.turn_off(why),
            }
        }
    }

    fn turn_off(&mut self, why: String) {
        tracing::error!(why, "tasks are off until the next start");
        *self.health.lock() = Health::Off { why };
        let database = self.database.take();
        // It may try to write once more.
        let _: Result<(), String> = guarded(|| {
            drop(database);
            Ok(())
        });
    }

    fn load(&mut self) -> Result<Loaded, String> {
        self.database = (self.open)(Make::No)?;
        let Some(database) = &self.database else { return Ok(Loaded::default()) };
        let loaded = load(database)?;
        self.measure();
        Ok(loaded)
    }

    fn serve(&mut self, group: &mut VecDeque<Op>) -> Result<Served, String> {
        if self.database.is_none() && group.iter().any(|op| matches!(op, Op::Write { .. })) {
            self.database = (self.open)(Make::Yes)?;
        }
        if let Some(database) = &self.database {
            commit(database, group).map_err(|error| format!("the file of tasks cannot be written: {error}"))?;
            self.measure();
        }
        while let Some(first) = group.front() {
            let found = match first {
                Op::Read { number, .. } => self.read(*number)?,
                Op::Write { .. } | Op::Close { .. } => None,
            };
            // Only now: what is dropped without an answer must find in `health` why.
            match group.pop_front() {
                Some(Op::Write { done, .. }) => drop(done.map(|done| done.send(()))),
                Some(Op::Read { found: asked, .. }) => drop(asked.send(found)),
                Some(Op::Close { done }) => {
                    if let Some(database) = self.database.take() {
                        database.close().map_err(|error| error.to_string())?;
                    }
                    let _: Result<(), ()> = done.send(());
                    return Ok(Served::Closed);
                }
                None => {}
            }
        }
        Ok(Served::All)
    }

    fn read(&self, number: u64) -> Result<Option<Bytes>, String> {
        let found = self.database.as_ref().map(|database| read(database, number)).transpose();
        found.map(Option::flatten).map_err(|error| format!("the file of tasks cannot be read: {error}"))
    }

    fn measure(&self) {
        let bytes = self.path.as_ref().and_then(|path| fs::metadata(path).ok()).map_or(0, |file| file.len());
        *self.health.lock() = Health::Open { bytes };
    }
}

enum Served {
    All,
    Closed,
}

/// What waits already, up to the bounds of one transaction.
fn gather(first: Op, ops: &mpsc::Receiver<Op>) -> VecDeque<Op> {
    let bytes = |op: &Op| match op {
        Op::Write { rows, .. } => rows.iter().filter_map(|row| row.value.as_ref()).map(Bytes::len).sum(),
        Op::Read { .. } | Op::Close { .. } => 0,
    };
    let mut gathered: usize = bytes(&first);
    let mut group = VecDeque::from([first]);
    while group.len() < GROUP
        && gathered < GROUP_BYTES
        && !matches!(group.back(), Some(Op::Close { .. }))
        && let Ok(op) = ops.try_recv()
    {
        gathered += bytes(&op);
        group.push_back(op);
    }
    group
}

/// A library that gives up on what it reads must not end more than this store.
fn guarded<T>(work: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(String::from("the file of tasks is damaged: reading it failed")))
}

/// Opens a file, or makes it. It is made under another name, so that none is ever found that was begun only.
fn open(path: &Path, make: Make) -> Result<Option<Database>, String> {
    let cannot = |what: &str, error: &dyn std::fmt::Display| format!("{}: cannot be {what}: {error}", path.display());
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => return open_backend(backend(file)?).map(Some).map_err(|why| format!("{}: {why}", path.display())),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(cannot("opened", &error)),
        Err(_) if make == Make::No => return Ok(None),
        Err(_) => {}
    }
    let mut begun = path.as_os_str().to_owned();
    begun.push(".new");
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&begun);
    let file = file.map_err(|error| cannot("made", &error))?;
    // Whoever makes one at the same time is seen here, and whoever has just made it, below.
    file.try_lock().map_err(|error| cannot("made", &error))?;
    if path.exists() {
        return open(path, make);
    }
    file.set_len(0).map_err(|error| cannot("made", &error))?;
    let database = open_backend(backend(file)?).map_err(|why| cannot("made", &why))?;
    let named = fs::rename(&begun, path).and_then(|()| File::open(folder(path))?.sync_all());
    named.map_err(|error| cannot("made", &error))?;
    Ok(Some(database))
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn backend(file: File) -> Result<FileBackend, String> {
    FileBackend::new(file).map_err(|error| error.to_string())
}

/// Opens a database, with every checksum in it looked at, and of a format that is known; an empty one gets it.
pub(super) fn open_backend(backend: impl StorageBackend) -> Result<Database, String> {
    let opened = Builder::new().set_cache_size(CACHE).set_check_integrity_on_open(true).create_with_backend(backend);
    let database = opened.map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => "it is in use by another process".to_owned(),
        error => format!("it cannot be read: {error}. It is left as it is; move it away to begin with a new one"),
    })?;
    let judged = judge_format(&database).map_err(|error| error.to_string())?;
    match judged {
        Some(FORMAT) => Ok(database),
        Some(other) => Err(format!("its format is {other}: expected {FORMAT}. It is left as it is")),
        None => Err("it is the database of something else. It is left as it is".to_owned()),
    }
}

fn judge_format(database: &Database) -> Result<Option<u64>, redb::Error> {
    let reading = database.begin_read()?;
    if reading.list_tables()?.next().is_some() {
        return match reading.open_table(FORMATS) {
            Ok(table) => Ok(table.get("format")?.map(|format| format.value())),
            Err(redb::TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(error.into()),
        };
    }
    drop(reading);
    let writing = database.begin_write()?;
    writing.open_table(FORMATS)?.insert("format", FORMAT)?;
    for table in Table::ALL {
        writing.open_table(table.definition())?;
    }
    writing.commit()?;
    Ok(Some(FORMAT))
}

fn load(database: &Database) -> Result<Loaded, String> {
    let damaged = |error: redb::Error| format!("the file of tasks is damaged: {error}");
    let mut loaded = Loaded::default();
    let mut wrong = None;
    let records = &mut loaded.records;
    each(database, Table::Records, |number, value| match decode::<Record>(value) {
        Some(record) if record.number == number => records.push(record),
        _ => wrong = wrong.or(Some(number)),
    })
    .map_err(damaged)?;
    each(database, Table::Keys, |number, value| match decode(value) {
        Some(keys) => drop(loaded.keys.insert(number, keys)),
        None => wrong = wrong.or(Some(number)),
    })
    .map_err(damaged)?;
    each(database, Table::Descriptions, |number, value| {
        loaded.descriptions.insert(number, Bytes::copy_from_slice(value));
    })
    .map_err(damaged)?;
    each(database, Table::Results, |number, _| {
        loaded.results.insert(number);
    })
    .map_err(damaged)?;
    match wrong {
        Some(number) => Err(format!("the file of tasks is damaged: what it says of task {number} cannot be read")),
        None => Ok(loaded),
    }
}

fn each(database: &Database, table: Table, mut take: impl FnMut(u64, &[u8])) -> Result<(), redb::Error> {
    let reading = database.begin_read()?;
    for row in reading.open_table(table.definition())?.iter()? {
        let (number, value) = row?;
        take(number.value(), value.value());
    }
    Ok(())
}

fn commit(database: &Database, group: &VecDeque<Op>) -> Result<(), redb::Error> {
    let rows = group.iter().flat_map(|op| match op {
        Op::Write { rows, .. } => rows.as_slice(),
        Op::Read { .. } | Op::Close { .. } => &[],
    });
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return Ok(());
    }
    let writing = database.begin_write()?;
    rows.try_for_each(|row| apply(&writing, row))?;
    writing.commit()?;
    Ok(())
}

fn apply(writing: &WriteTransaction, row: &Row) -> Result<(), redb::Error> {
    let mut table = writing.open_table(row.table.definition())?;
    match &row.value {
        Some(value) => drop(table.insert(row.number, &**value)?),
        None => drop(table.remove(row.number)?),
    }
    Ok(())
}

fn read(database: &Database, number: u64) -> Result<Option<Bytes>, redb::Error> {
    let table = database.begin_read()?.open_table(Table::Results.definition())?;
    Ok(table.get(number)?.map(|value| Bytes::copy_from_slice(value.value())))
}

fn set(record: &Record) -> Row {
    row(Table::Records, record.number, encode(record))
}

fn row(table: Table, number: u64, value: Bytes) -> Row {
    Row { table, number, value: Some(value) }
}

fn encode<T: Serialize>(value: &T) -> Bytes {
    postcard::to_allocvec(value).expect("what has a length before each list can be written into memory").into()
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    let (value, rest) = postcard::take_from_bytes(bytes).ok()?;
    rest.is_empty().then_some(value)
}

/// An outcome as a row: the length of its head, the head, the body.
pub(super) fn pack(outcome: &Outcome) -> Bytes {
    let fields = outcome.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let head = encode(&(outcome.status.as_u16(), fields.collect::<Vec<_>>()));
    let mut packed = Vec::with_capacity(4 + head.len() + outcome.body.len());
    packed.extend_from_slice(&(head.len() as u32).to_be_bytes());
    packed.extend_from_slice(&head);
    packed.extend_from_slice(&outcome.body);
    packed.into()
}

pub(super) fn unpack(packed: Bytes) -> Option<Outcome> {
    let (length, rest) = packed.split_first_chunk()?;
    let length = u32::from_be_bytes(*length) as usize;
    let (status, fields): (u16, Vec<(String, Vec<u8>)>) = decode(rest.get(..length)?)?;
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.try_append(HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?).ok()?;
    }
    Some(Outcome { status: StatusCode::from_u16(status).ok()?, headers, body: packed.slice(4 + length..) })
}
