//! How figures stand in sentences.

use std::time::Duration;

/// `340 ms`, `1.2 s`, `35 s` or `12 min`.
pub(crate) fn time(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        ..0.009_95 => format!("{:.1} ms", seconds * 1e3),
        ..0.9995 => format!("{:.0} ms", seconds * 1e3),
        ..9.95 => format!("{seconds:.1} s"),
        ..119.5 => format!("{seconds:.0} s"),
        _ => format!("{:.0} min", seconds / 60.0),
    }
}

/// How far back something goes: `the last 64 minutes`. Nothing shorter than a second is told.
pub(crate) fn last(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    let (count, unit) = match seconds {
        ..119.5 => (seconds.round().max(1.0), "second"),
        ..7170.0 => ((seconds / 60.0).round(), "minute"),
        _ => ((seconds / 3600.0).round(), "hour"),
    };
    if count == 1.0 { format!("the last {unit}") } else { format!("the last {count} {unit}s") }
}

/// Whole percent from 10 on, tenths below.
pub(crate) fn percent(percent: f64) -> String {
    if percent < 9.95 { format!("{} %", (percent * 10.0).round() / 10.0) } else { format!("{percent:.0} %") }
}

/// `12 431`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(' ');
        }
        shown.push(digit);
    }
    shown
}

/// `1 request`, `20 requests`.
pub(crate) fn requests(count: u64) -> String {
    if count == 1 { "1 request".into() } else { format!("{count} requests") }
}

/// `312 bytes`, `4.7 KiB`, `2.0 MiB`.
pub(crate) fn bytes(bytes: f64) -> String {
    match bytes {
        ..1023.5 => format!("{bytes:.0} bytes"),
        ..1_048_000.0 => format!("{:.1} KiB", bytes / 1024.0),
        ..1_073_000_000.0 => format!("{:.1} MiB", bytes / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes / 1_073_741_824.0),
    }
}

/// A clause as a sentence of its own.
pub(crate) fn sentence(clause: &str) -> String {
    let mut letters = clause.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

/// Members of a list: `a`, `a and b`, `a, b and c`.
pub(crate) fn list(members: &[String]) -> String {
    match members {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (micros, expected) in [
            (340, "0.3 ms"),
            (9_960, "10 ms"),
            (340_000, "340 ms"),
            (999_600, "1.0 s"),
            (1_234_000, "1.2 s"),
            (35_000_000, "35 s"),
            (720_000_000, "12 min"),
        ] {
            assert_eq!(time(Duration::from_micros(micros)), expected);
        }
        for (seconds, expected) in [
            (0, "the last second"),
            (100, "the last 100 seconds"),
            (3840, "the last 64 minutes"),
            (7200, "the last 2 hours"),
        ] {
            assert_eq!(last(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn shares_sizes_and_lists() {
        assert_eq!([0.0, 0.44, 9.96, 34.5].map(percent), ["0 %", "0.4 %", "10 %", "34 %"]);
        assert_eq!(
            [312.0, 4800.0, 2.0 * 1_048_576.0, 3.3e9].map(bytes),
            ["312 bytes", "4.7 KiB", "2.0 MiB", "3.1 GiB"]
        );
        let numbers = [(0, "0"), (999, "999"), (1000, "1 000"), (12_431, "12 431"), (1_234_567, "1 234 567")];
        numbers.iter().for_each(|(number, expected)| assert_eq!(grouped(*number), *expected));
        let list = |members: &[&str]| list(&members.iter().map(|member| String::from(*member)).collect::<Vec<_>>());
        assert_eq!((list(&["a"]), list(&["a", "b", "c"])), ("a".into(), "a, b and c".into()));
        assert_eq!(sentence("the app says no-store"), "The app says no-store.");
        assert_eq!([requests(1), requests(20)], ["1 request", "20 requests"]);
    }
}
