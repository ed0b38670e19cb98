//! The access log: one line per request, written by a thread of its own, so that no request ever waits for a disk.

mod line;

use std::{
    fs::OpenOptions,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use crate::traffic::Counter;

pub(super) use self::line::Line;

/// Lines that may wait to be written; what comes beyond is dropped and counted.
const QUEUE: usize = 8192;

/// Which requests have a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Which {
    /// None.
    Off,
    /// Those with a status of 500 or more, those that were cut, and slow ones.
    #[default]
    Errors,
    /// All.
    All,
}

impl Which {
    /// Every choice with its word in the configuration.
    pub const WORDS: [(&str, Self); 3] = [("off", Self::Off), ("errors", Self::Errors), ("all", Self::All)];
}

/// What a line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line, with the attribute names of OpenTelemetry.
    #[default]
    Json,
    /// The combined format of web servers.
    Combined,
}

impl Format {
    /// Every choice with its word in the configuration.
    pub const WORDS: [(&str, Self); 2] = [("json", Self::Json), ("combined", Self::Combined)];
}

/// What is logged, how and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Which requests have a line.
    pub which: Which,
    /// What a line looks like.
    pub format: Format,
    /// The file; standard output where there is none.
    pub path: Option<PathBuf>,
    /// From when on a request is slow: the profiler's threshold.
    pub slow: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { which: Which::default(), format: Format::default(), path: None, slow: Duration::from_millis(500) }
    }
}

impl Settings {
    /// Whether a request has a line.
    pub(super) fn wants(&self, status: u16, aborted: bool, duration: Duration) -> bool {
        match self.which {
            Which::Off => false,
            Which::All => true,
            // A tunnel lives as long as its users like.
            Which::Errors => status >= 500 || aborted || (duration >= self.slow && status != 101),
        }
    }
}

/// Where requests leave their lines.
#[derive(Debug)]
pub(super) struct AccessLog {
    lines: SyncSender<Line>,
    reopen: Arc<AtomicBool>,
    dropped: Arc<Counter>,
}

impl AccessLog {
    /// Opens the log and starts its thread, which ends when the log is dropped.
    ///
    /// # Errors
    /// When the file cannot be opened, or no thread be started.
    pub(super) fn open(settings: &Settings, dropped: Arc<Counter>) -> io::Result<Self> {
        let (lines, waiting) = sync_channel(QUEUE);
        let reopen = Arc::new(AtomicBool::new(false));
        let writer = Writer {
            out: open(settings.path.as_deref())?,
            path: settings.path.clone(),
            format: settings.format,
            reopen: reopen.clone(),
            failed: dropped.clone(),
        };
        thread::Builder::new().name("access-log".into()).spawn(move || writer.run(&waiting))?;
        Ok(Self { lines, reopen, dropped })
    }

    /// Takes a line; never waits.
    pub(super) fn write(&self, line: Line) {
        if self.lines.try_send(line).is_err() {
            self.dropped.add();
        }
    }

    /// Has the file opened again by its name before the next line, after it was renamed.
    pub(super) fn reopen(&self) {
        self.reopen.store(true, Relaxed);
    }
}

fn open(path: Option<&Path>) -> io::Result<BufWriter<Box<dyn Write + Send>>> {
    let out: Box<dyn Write + Send> = match path {
        Some(path) => Box::new(OpenOptions::new().create(true).append(true).open(path)?),
        None => Box::new(io::stdout()),
    };
    Ok(BufWriter::with_capacity(64 << 10, out))
}

/// The thread's side.
struct Writer {
    out: BufWriter<Box<dyn Write + Send>>,
    path: Option<PathBuf>,
    format: Format,
    reopen: Arc<AtomicBool>,
    failed: Arc<Counter>,
}

impl Writer {
    fn run(mut self, waiting: &Receiver<Line>) {
        while let Ok(line) = waiting.recv() {
            self.reopen_if_asked();
            self.write(&line);
            // What is waiting is written at once, and flushed when nothing waits any more.
            while let Ok(line) = waiting.try_recv() {
                self.write(&line);
            }
            // Lines that cannot be written are gone; they were counted when they were formatted, or are now.
            if self.out.flush().is_err() {
                self.failed.add();
            }
        }
    }

    fn write(&mut self, line: &Line) {
        let text = match self.format {
            Format::Json => line::json(line),
            Format::Combined => line::combined(line),
        };
        if self.out.write_all(text.as_bytes()).is_err() {
            self.failed.add();
        }
    }

    fn reopen_if_asked(&mut self) {
        if !self.reopen.swap(false, Relaxed) {
            return;
        }
        match open(self.path.as_deref()) {
            Ok(out) => self.out = out,
            Err(error) => tracing::warn!(%error, "the access log cannot be opened again; going on with the old file"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{line::tests::line, *};

    #[test]
    fn a_renamed_file_is_left_and_a_new_one_begun() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("access.log"), dir.path().join("access.log.1"));
        let settings = Settings { format: Format::Combined, path: Some(path.clone()), ..Settings::default() };
        let written = |path: &Path, lines: usize| {
            while std::fs::read_to_string(path).unwrap_or_default().lines().count() < lines {
                thread::yield_now();
            }
        };
        let log = AccessLog::open(&settings, Arc::default()).unwrap();
        log.write(line());
        written(&path, 1);
        std::fs::rename(&path, &moved).unwrap();
        log.reopen();
        log.write(line());
        written(&path, 1);
        assert_eq!(std::fs::read_to_string(&moved).unwrap().lines().count(), 1);
    }

    #[test]
    fn what_cannot_be_taken_is_counted() {
        let (lines, _waiting) = sync_channel(1);
        let log = AccessLog { lines, reopen: Arc::default(), dropped: Arc::default() };
        (0..3).for_each(|_| log.write(line()));
        assert_eq!(log.dropped.value(), 2);
    }

    #[test]
    fn lines_are_for_errors_cuts_and_slow_requests_unless_told_otherwise() {
        let wants = |which, status, aborted, millis| {
            Settings { which, ..Settings::default() }.wants(status, aborted, Duration::from_millis(millis))
        };
        for (status, aborted, millis, expected) in [
            (200, false, 499, false),
            (499, false, 1, false),
            (500, false, 1, true),
            (200, true, 1, true),
            (200, false, 500, true),
        ] {
            assert_eq!(wants(Which::Errors, status, aborted, millis), expected, "{status} {aborted} {millis}");
            assert!(wants(Which::All, status, aborted, millis) && !wants(Which::Off, status, aborted, millis));
        }
    }
}
