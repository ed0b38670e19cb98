//! Durations and sizes, as people write them: "1m30s", "64MiB". The same in `proxy.toml` and on the admin port.

use std::{fmt, ops::RangeInclusive, time::Duration};

/// The units of a duration in milliseconds, largest first.
const DURATIONS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// The units of a size in bytes. Powers of 1024 are larger than their decimal neighbours and are shown first.
const SIZES: [(&str, u64); 10] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("KB", 1000),
    ("kB", 1000),
    ("B", 1),
];

/// What is wrong with a duration or a size; shown, it says what was expected.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Occurs when a text is no duration.
    Duration,
    /// Occurs when a duration is a plain number; the number.
    DurationUnit(String),
    /// Occurs when a duration is outside of these bounds.
    DurationRange(RangeInclusive<Duration>),
    /// Occurs when a text is no size.
    Size,
    /// Occurs when a number is too large to be represented.
    Overflow,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Duration => f.write_str("expected a duration such as \"250ms\", \"5s\" or \"1m30s\""),
            Fault::DurationUnit(number) => write!(f, "expected a duration with its unit, such as \"{number}s\""),
            Fault::DurationRange(range) => {
                let (least, most) = (show_duration(*range.start()), show_duration(*range.end()));
                write!(f, "expected a duration from \"{least}\" to \"{most}\"")
            }
            Fault::Size => f.write_str("expected a size such as \"64MiB\""),
            Fault::Overflow => f.write_str("expected less: the number is too large"),
        }
    }
}

/// Reads a duration as [`duration`] does, and refuses one that is outside of `range`.
pub fn duration_within(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, Fault> {
    let duration = duration(text)?;
    if range.contains(&duration) { Ok(duration) } else { Err(Fault::DurationRange(range)) }
}

/// Reads "250ms", "5s", "1m30s", "2h" or "7d": each unit at most once, the larger before the smaller.
pub fn duration(text: &str) -> Result<Duration, Fault> {
    let (mut rest, mut total, mut larger) = (text, 0_u64, u64::MAX);
    while !rest.is_empty() {
        let (number, tail) = split(rest, |c| !c.is_ascii_digit());
        let (name, tail) = split(tail, |c| c.is_ascii_digit());
        if name.is_empty() {
            return Err(Fault::DurationUnit(number.to_owned()));
        }
        let unit = DURATIONS.iter().find(|(unit, _)| *unit == name).map(|(_, unit)| *unit);
        let Some(unit) = unit.filter(|unit| *unit < larger && !number.is_empty()) else {
            return Err(Fault::Duration);
        };
        let number: u64 = number.parse().map_err(|_| Fault::Overflow)?;
        total = number.checked_mul(unit).and_then(|part| total.checked_add(part)).ok_or(Fault::Overflow)?;
        (rest, larger) = (tail, unit);
    }
    if text.is_empty() { Err(Fault::Duration) } else { Ok(Duration::from_millis(total)) }
}

/// Reads "64KiB" (1024 bytes each) or "10MB" (a million bytes each).
pub fn size(text: &str) -> Result<u64, Fault> {
    let (number, name) = split(text, |c| !c.is_ascii_digit());
    let unit = SIZES.iter().find(|(unit, _)| *unit == name).filter(|_| !number.is_empty());
    let Some((_, unit)) = unit else { return Err(Fault::Size) };
    number.parse::<u64>().ok().and_then(|number| number.checked_mul(*unit)).ok_or(Fault::Overflow)
}

/// What [`duration`] reads as the same duration; less than a millisecond is left out.
pub fn show_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut shown = String::new();
    for (name, unit) in DURATIONS {
        if rest >= unit {
            shown.push_str(&format!("{}{name}", rest / unit));
            rest %= unit;
        }
    }
    if shown.is_empty() { "0s".into() } else { shown }
}

/// The TOML value for a size: `"64MiB"` in the largest unit of 1024 that divides it, or plain bytes.
pub fn show_size(bytes: u64) -> String {
    match SIZES[..4].iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("\"{}{name}\"", bytes / unit),
        None => bytes.to_string(),
    }
}

/// Splits before the first character for which `ends` holds.
fn split(text: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    macro_rules! reads {
        ($($name:ident: $parse:ident($text:expr) = $expected:expr;)*) => {$(
            #[test]
            fn $name() {
                assert_eq!($parse($text), $expected);
            }
        )*};
    }

    const fn millis(millis: u64) -> Result<Duration, Fault> {
        Ok(Duration::from_millis(millis))
    }

    const BOUNDS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(120);

    fn within(text: &str) -> Result<Duration, Fault> {
        duration_within(text, BOUNDS)
    }

    reads! {
        milliseconds: duration("250ms") = millis(250);
        seconds: duration("5s") = millis(5000);
        more_seconds_than_a_minute_has: duration("90s") = millis(90_000);
        minutes_and_seconds: duration("1m30s") = millis(90_000);
        hours: duration("2h") = millis(7_200_000);
        days: duration("7d") = millis(604_800_000);
        every_unit: duration("1d2h3m4s5ms") = millis(93_784_005);
        no_time: duration("0s") = millis(0);
        nothing_is_no_duration: duration("") = Err(Fault::Duration);
        a_plain_number_lacks_its_unit: duration("5") = Err(Fault::DurationUnit("5".into()));
        a_last_number_lacks_its_unit: duration("1m30") = Err(Fault::DurationUnit("30".into()));
        a_unit_lacks_its_number: duration("s") = Err(Fault::Duration);
        smaller_before_larger: duration("30s1m") = Err(Fault::Duration);
        a_unit_twice: duration("1s1s") = Err(Fault::Duration);
        a_space_within: duration("1m 30s") = Err(Fault::Duration);
        a_sign: duration("-5s") = Err(Fault::Duration);
        a_fraction: duration("1.5s") = Err(Fault::Duration);
        capitals: duration("5S") = Err(Fault::Duration);
        a_duration_at_its_bound: within("2m") = millis(120_000);
        a_duration_beyond_its_bounds: within("121s") = Err(Fault::DurationRange(BOUNDS));
        a_bounded_duration_without_unit: within("5") = Err(Fault::DurationUnit("5".into()));
        a_number_too_large_for_64_bits: duration("99999999999999999999s") = Err(Fault::Overflow);
        a_product_too_large_for_64_bits: duration("18446744073709551615d") = Err(Fault::Overflow);
        a_sum_too_large_for_64_bits: duration("213503982334d18446744073709551615ms") = Err(Fault::Overflow);

        kibibytes: size("64KiB") = Ok(65_536);
        megabytes: size("10MB") = Ok(10_000_000);
        mebibytes: size("10MiB") = Ok(10_485_760);
        gibibytes: size("2GiB") = Ok(2 << 30);
        kilobytes_as_the_standard_writes_them: size("3kB") = Ok(3000);
        bytes: size("512B") = Ok(512);
        apples: size("64 apples") = Err(Fault::Size);
        a_size_without_unit: size("64") = Err(Fault::Size);
        a_unit_alone: size("MiB") = Err(Fault::Size);
        nothing_is_no_size: size("") = Err(Fault::Size);
        megabits: size("64Mb") = Err(Fault::Size);
        a_negative_size: size("-1KiB") = Err(Fault::Size);
        a_size_too_large_for_64_bits: size("18446744073709551615TiB") = Err(Fault::Overflow);
        digits_too_many_for_64_bits: size("99999999999999999999B") = Err(Fault::Overflow);
    }

    #[test]
    fn a_size_is_shown_in_the_largest_unit_that_divides_it() {
        assert_eq!(show_size(256 << 20), "\"256MiB\"");
        assert_eq!(show_size(1536 << 10), "\"1536KiB\"");
        assert_eq!(show_size(1000), "1000");
        assert_eq!(show_size(0), "0");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".*") {
            let _ = (duration(&text), size(&text));
        }

        #[test]
        fn a_shown_duration_is_read_as_itself(millis in any::<u64>()) {
            let expected = Duration::from_millis(millis);
            prop_assert_eq!(duration(&show_duration(expected)), Ok(expected));
        }

        #[test]
        fn a_shown_size_is_read_as_itself(shift in 0..40_u32, small in 0..1_u64 << 20) {
            let bytes = small << shift;
            let shown = show_size(bytes);
            let read = shown.parse().or_else(|_| size(shown.trim_matches('"')));
            prop_assert_eq!(read, Ok(bytes));
        }
    }
}
