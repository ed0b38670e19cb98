//! How far a task is, on standard error: a bar that is drawn anew in its place, or a line for each change.

use std::{
    io::{self, IsTerminal, Write},
    time::Instant,
};

use super::port::plain;
use crate::advice::say;

/// Columns of a terminal that does not say how many it has.
const COLUMNS: usize = 80;
/// Of them for the bar itself.
const BAR: usize = 20;

/// What is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) name: String,
    pub(super) status: String,
    pub(super) percent: Option<u64>,
}

/// Shows it.
pub(super) struct Bar {
    is_terminal: bool,
    began: Instant,
    last: Option<Shown>,
}

impl Bar {
    pub(super) fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), began: Instant::now(), last: None }
    }

    /// Shows where it is now.
    pub(super) fn show(&mut self, now: Shown) {
        let mut stderr = io::stderr().lock();
        if self.is_terminal {
            let line = line(&now, &say::time(self.began.elapsed()), columns());
            // To the first column, and erased to the right of what is written.
            let _ = write!(stderr, "\r{line}\x1b[K");
            let _ = stderr.flush();
        } else if self.last.as_ref() != Some(&now) {
            let _ = writeln!(stderr, "{}", plain(&change(&now)));
        }
        self.last = Some(now);
    }

    /// Gives the line up to what comes.
    pub(super) fn end(&mut self) {
        if self.is_terminal && self.last.take().is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

fn columns() -> usize {
    rustix::termios::tcgetwinsize(io::stderr()).map_or(COLUMNS, |size| match size.ws_col {
        0 => COLUMNS,
        columns => usize::from(columns),
    })
}

fn change(Shown { name, status, percent }: &Shown) -> String {
    let percent = percent.map_or_else(String::new, |percent| format!(", {percent} %"));
    format!("{name}: {status}{percent}")
}

/// One line that is shorter than the terminal is wide, so that it never breaks.
fn line(Shown { name, status, percent }: &Shown, lasts: &str, columns: usize) -> String {
    let done = percent.unwrap_or(0).min(100) as usize;
    let bar = format!("[{}{}] {done:3} %", "#".repeat(done * BAR / 100), ".".repeat(BAR - done * BAR / 100));
    let line = format!("{bar}  {status}, {lasts}  {name}");
    // What is wider than a column takes two at most: half as many characters fit in any case.
    let is_narrow = line.is_ascii();
    plain(&line).chars().take(columns.saturating_sub(1) / if is_narrow { 1 } else { 2 }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        let at = |percent| Shown { name: "cache_warmup of /a".into(), status: "running".into(), percent };
        for (percent, columns, expected) in [
            (Some(0), 80, "[....................]   0 %  running, 3 s  cache_warmup of /a"),
            (Some(50), 80, "[##########..........]  50 %  running, 3 s  cache_warmup of /a"),
            (Some(300), 40, "[####################] 100 %  running, "),
            (None, 10, "[........"),
            (None, 0, ""),
        ] {
            assert_eq!(line(&at(percent), "3 s", columns), expected);
        }
        let named = |name: &str| Shown { name: name.into(), status: "running".into(), percent: None };
        assert!(!line(&named("\x1b[2J\r"), "3 s", 80).contains(['\x1b', '\r']));
        assert!(line(&named("名前"), "3 s", 60).chars().count() < 30);
        assert_eq!(change(&at(Some(7))), "cache_warmup of /a: running, 7 %");
        assert_eq!(change(&at(None)), "cache_warmup of /a: running");
    }
}
