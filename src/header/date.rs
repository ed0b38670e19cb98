//! HTTP dates (RFC 9110 §5.6.7).
//!
//! The grammar is held to strictly, since what a cache cannot read as a date must count as expired (RFC 9111 §5.3).
//! Two things are taken as they come: letters in any case (RFC 9111 §4.2 grants that to caches), and a weekday that is
//! not the one of that day, since the rest says which day it is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Datelike, Months, NaiveDate};

/// Reads a date in any of the three forms that recipients must accept; `None` for anything else.
///
/// The clock counts only for the two-digit years of the oldest form: see [`parse_at`].
pub fn parse(value: &[u8]) -> Option<SystemTime> {
    parse_at(value, SystemTime::now())
}

/// Reads a date as seen from `now`: a two-digit year is the latest one that is not more than 50 years ahead.
///
/// What is returned lies between 1970 and 9999, so that [`format()`] can write it; earlier dates are `None`. A leap
/// second is taken for the second before it.
pub fn parse_at(value: &[u8], now: SystemTime) -> Option<SystemTime> {
    imf_fixdate(value).or_else(|| asctime(value)).or_else(|| rfc850(value, now))
}

/// Writes a date in the form that senders must use.
pub fn format(time: SystemTime) -> String {
    httpdate::fmt_http_date(time)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`
fn imf_fixdate(value: &[u8]) -> Option<SystemTime> {
    let mut rest = Rest(value);
    rest.one_of(&DAYS)?;
    rest.literal(", ")?;
    let day = rest.number(2)?;
    rest.literal(" ")?;
    let month = rest.month()?;
    rest.literal(" ")?;
    let year = rest.number(4)?;
    rest.literal(" ")?;
    let time = rest.time_of_day()?;
    rest.literal(" GMT")?;
    rest.end()?;
    moment(year, month, day, time)
}

/// `Sun Nov  6 08:49:37 1994`
fn asctime(value: &[u8]) -> Option<SystemTime> {
    let mut rest = Rest(value);
    rest.one_of(&DAYS)?;
    rest.literal(" ")?;
    let month = rest.month()?;
    rest.literal(" ")?;
    let day = if rest.literal(" ").is_some() { rest.number(1)? } else { rest.number(2)? };
    rest.literal(" ")?;
    let time = rest.time_of_day()?;
    rest.literal(" ")?;
    let year = rest.number(4)?;
    rest.end()?;
    moment(year, month, day, time)
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`
fn rfc850(value: &[u8], now: SystemTime) -> Option<SystemTime> {
    let mut rest = Rest(value);
    rest.one_of(&LONG_DAYS)?;
    rest.literal(", ")?;
    let day = rest.number(2)?;
    rest.literal("-")?;
    let month = rest.month()?;
    rest.literal("-")?;
    let year = rest.number(2)?;
    rest.literal(" ")?;
    let time = rest.time_of_day()?;
    rest.literal(" GMT")?;
    rest.end()?;
    // "MUST interpret a timestamp that appears to be more than 50 years in the future as representing the most recent
    // year in the past that had the same last two digits."
    let now = now.duration_since(UNIX_EPOCH).ok()?;
    let latest =
        DateTime::from_timestamp(i64::try_from(now.as_secs()).ok()?, 0)?.checked_add_months(Months::new(600))?;
    let last_year = u32::try_from(latest.year()).ok()?;
    let year = last_year - (last_year % 100 + 100 - year) % 100;
    moment(year, month, day, time)
        .filter(|found| *found <= SystemTime::from(latest))
        .or_else(|| moment(year - 100, month, day, time))
}

/// The moment of a day and a time of day in UTC, if there is such a day between 1970 and 9999.
fn moment(year: u32, month: u32, day: u32, (hour, minute, second): (u32, u32, u32)) -> Option<SystemTime> {
    if year > 9999 {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?;
    let second = if second == 60 { 59 } else { second };
    let seconds = date.and_hms_opt(hour, minute, second)?.and_utc().timestamp();
    Some(UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).ok()?))
}

const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

const LONG_DAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// What is left to read of a date.
struct Rest<'a>(&'a [u8]);

impl Rest<'_> {
    /// Takes these characters, in any case, or nothing.
    fn literal(&mut self, expected: &str) -> Option<()> {
        let (head, tail) = self.0.split_at_checked(expected.len())?;
        head.eq_ignore_ascii_case(expected.as_bytes()).then(|| self.0 = tail)
    }

    /// Takes one of these names; its index.
    fn one_of(&mut self, names: &[&str]) -> Option<u32> {
        (0..).zip(names).find_map(|(index, name)| self.literal(name).map(|()| index))
    }

    /// Takes a month; January is 1.
    fn month(&mut self) -> Option<u32> {
        Some(self.one_of(&MONTHS)? + 1)
    }

    /// Takes a number of exactly so many digits, at most 4.
    fn number(&mut self, digits: usize) -> Option<u32> {
        let (head, tail) = self.0.split_at_checked(digits)?;
        self.0 = tail;
        head.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + u32::from(byte - b'0')))
    }

    /// Takes `08:49:37`; the numbers are not checked.
    fn time_of_day(&mut self) -> Option<(u32, u32, u32)> {
        let hour = self.number(2)?;
        self.literal(":")?;
        let minute = self.number(2)?;
        self.literal(":")?;
        Some((hour, minute, self.number(2)?))
    }

    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// 6 November 1994, 08:49:37: the moment of the RFC's examples.
    const NOV_1994: u64 = 784_111_777;
    /// 1 July 2026, 00:00:00.
    const JULY_2026: u64 = 1_782_864_000;
    /// 18 August 2050, 02:01:18.
    const AUG_2050: u64 = 2_544_400_878;

    /// Seconds since 1970, as read in July 2026.
    fn read(value: &[u8]) -> Option<u64> {
        let moment = parse_at(value, UNIX_EPOCH + Duration::from_secs(JULY_2026))?;
        Some(moment.duration_since(UNIX_EPOCH).unwrap().as_secs())
    }

    macro_rules! table {
        ($($name:ident: $value:expr => $expected:expr;)+) => {
            $(#[test] fn $name() { assert_eq!(read($value.as_bytes()), $expected, "{:?}", $value); })+
        };
    }

    table! {
        // RFC 9110 §5.6.7: the three forms.
        imf_fixdate_form: "Sun, 06 Nov 1994 08:49:37 GMT" => Some(NOV_1994);
        rfc_850_form: "Sunday, 06-Nov-94 08:49:37 GMT" => Some(NOV_1994);
        asctime_form: "Sun Nov  6 08:49:37 1994" => Some(NOV_1994);
        asctime_two_digit_day: "Tue Nov 16 08:49:37 1994" => Some(NOV_1994 + 10 * 86_400);
        first_second: "Thu, 01 Jan 1970 00:00:00 GMT" => Some(0);
        last_second: "Fri, 31 Dec 9999 23:59:59 GMT" => Some(253_402_300_799);
        beyond_32_bits: "Tue, 19 Jan 2038 14:14:08 GMT" => Some(2_147_523_248);
        leap_day: "Tue, 29 Feb 2000 00:00:00 GMT" => Some(951_782_400);
        leap_second_is_the_one_before: "Sat, 31 Dec 2016 23:59:60 GMT" => Some(1_483_228_799);
        // RFC 9110 §5.6.7, RFC 850: not more than 50 years ahead, to the second.
        two_digits_ahead: "Thursday, 18-Aug-50 02:01:18 GMT" => Some(AUG_2050);
        two_digits_fifty_years_ahead: "Wednesday, 01-Jul-76 00:00:00 GMT" => Some(3_360_787_200);
        two_digits_a_second_further: "Wednesday, 01-Jul-76 00:00:01 GMT" => Some(205_027_201);
        two_digits_last_century: "Friday, 01-Jul-77 00:00:00 GMT" => Some(236_563_200);
        // RFC 9111 §4.2: a cache matches names without regard to case.
        weekday_in_capitals: "THU, 18 Aug 2050 02:01:18 GMT" => Some(AUG_2050);
        month_in_capitals: "Thu, 18 AUG 2050 02:01:18 GMT" => Some(AUG_2050);
        zone_in_mixed_case: "Thu, 18 Aug 2050 02:01:18 gMT" => Some(AUG_2050);
        rfc_850_in_small_letters: "thursday, 18-aug-50 02:01:18 gmt" => Some(AUG_2050);
        asctime_in_capitals: "THU AUG 18 02:01:18 2050" => Some(AUG_2050);
        // The rest says which day it is.
        wrong_weekday: "Mon, 18 Aug 2050 02:01:18 GMT" => Some(AUG_2050);
        wrong_weekday_in_asctime: "Sun Aug 18 02:01:18 2050" => Some(AUG_2050);
        wrong_weekday_in_rfc_850: "Monday, 18-Aug-50 02:01:18 GMT" => Some(AUG_2050);
        // RFC 9111 §5.3: what is no date; senders say "already expired" that way.
        empty: "" => None;
        zero: "0" => None;
        minus_one: "-1" => None;
        a_word: "yesterday" => None;
        no_ascii: "\u{e9}" => None;
        // RFC 9110 §5.6.7: the zone is GMT.
        no_zone: "Thu, 18 Aug 2050 02:01:18" => None;
        utc: "Thu, 18 Aug 2050 02:01:18 UTC" => None;
        other_zone: "Thu, 18 Aug 2050 02:01:18 AEST" => None;
        zone_in_numbers: "Thu, 18 Aug 2050 02:01:18 +0000" => None;
        asctime_with_zone: "Thu Aug 18 02:01:18 2050 GMT" => None;
        // RFC 9110 §5.6.7: one space where the grammar has one.
        two_spaces_after_weekday: "Thu,  18 Aug 2050 02:01:18 GMT" => None;
        two_spaces_after_day: "Thu, 18  Aug 2050 02:01:18 GMT" => None;
        two_spaces_after_month: "Thu, 18 Aug  2050 02:01:18 GMT" => None;
        two_spaces_after_year: "Thu, 18 Aug 2050  02:01:18 GMT" => None;
        two_spaces_before_zone: "Thu, 18 Aug 2050 02:01:18  GMT" => None;
        no_space_after_comma: "Thu,18 Aug 2050 02:01:18 GMT" => None;
        tab_for_space: "Thu, 18 Aug 2050\t02:01:18 GMT" => None;
        asctime_one_space_before_digit: "Thu Aug 8 02:01:18 2050" => None;
        // RFC 9110 §5.6.7: punctuation.
        no_comma: "Thu 18 Aug 2050 02:01:18 GMT" => None;
        no_weekday: "18 Aug 2050 02:01:18 GMT" => None;
        dashes_in_imf_fixdate: "Thu, 18-Aug-2050 02:01:18 GMT" => None;
        spaces_in_rfc_850: "Thursday, 18 Aug 50 02:01:18 GMT" => None;
        dots_in_time: "Thu, 18 Aug 2050 02.01.18 GMT" => None;
        no_colons_in_time: "Thu, 18 Aug 2050 020118 GMT" => None;
        no_seconds: "Thu, 18 Aug 2050 02:01 GMT" => None;
        // RFC 9110 §5.6.7: so many digits.
        one_digit_hour: "Thu, 18 Aug 2050 2:01:18 GMT" => None;
        one_digit_day: "Thu, 8 Aug 2050 02:01:18 GMT" => None;
        two_digit_year: "Thu, 18 Aug 50 02:01:18 GMT" => None;
        four_digit_year_in_rfc_850: "Thursday, 18-Aug-2050 02:01:18 GMT" => None;
        five_digit_year: "Thu, 18 Aug 12050 02:01:18 GMT" => None;
        signed_number: "Thu, +8 Aug 2050 02:01:18 GMT" => None;
        // RFC 9110 §5.6.7: names.
        unknown_weekday: "Xyz, 18 Aug 2050 02:01:18 GMT" => None;
        unknown_month: "Thu, 18 Xyz 2050 02:01:18 GMT" => None;
        long_weekday_in_imf_fixdate: "Thursday, 18 Aug 2050 02:01:18 GMT" => None;
        short_weekday_in_rfc_850: "Thu, 18-Aug-50 02:01:18 GMT" => None;
        long_month: "Thu, 18 August 2050 02:01:18 GMT" => None;
        // RFC 9110 §5.6.7: days and times that there are.
        day_0: "Thu, 00 Aug 2050 02:01:18 GMT" => None;
        day_32: "Thu, 32 Aug 2050 02:01:18 GMT" => None;
        february_30: "Thu, 30 Feb 2050 02:01:18 GMT" => None;
        february_29_in_a_common_year: "Thu, 29 Feb 2050 02:01:18 GMT" => None;
        hour_24: "Thu, 18 Aug 2050 24:00:00 GMT" => None;
        minute_60: "Thu, 18 Aug 2050 02:60:18 GMT" => None;
        second_61: "Thu, 18 Aug 2050 02:01:61 GMT" => None;
        before_1970: "Wed, 31 Dec 1969 23:59:59 GMT" => None;
        // RFC 9110 §5.6.7: nothing around it.
        leading_space: " Thu, 18 Aug 2050 02:01:18 GMT" => None;
        trailing_space: "Thu, 18 Aug 2050 02:01:18 GMT " => None;
        trailing_letter: "Thu, 18 Aug 2050 02:01:18 GMTX" => None;
        two_dates: "Thu, 18 Aug 2050 02:01:18 GMT, Thu, 18 Aug 2050 02:01:18 GMT" => None;
        cut_short: "Thu, 18 Aug 2050 02:01:18 GM" => None;
    }

    #[test]
    fn senders_write_the_preferred_form() {
        assert_eq!(format(UNIX_EPOCH + Duration::from_secs(NOV_1994)), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn without_a_moment_to_look_from_the_clock_counts() {
        assert_eq!(parse(b"Sunday, 06-Nov-94 08:49:37 GMT"), Some(UNIX_EPOCH + Duration::from_secs(NOV_1994)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(seconds in 0u64..253_402_300_800) {
            let moment = UNIX_EPOCH + Duration::from_secs(seconds);
            prop_assert_eq!(read(format(moment).as_bytes()), Some(seconds));
        }

        #[test]
        fn what_is_read_can_be_written(
            value in "(Mon|Friday|Xyz|),? [0-9]{1,2}[ -](Feb|Dec|dec)[ -]([0-9]{2}){1,2} [0-9]{2}:[0-5][0-9]:[0-6][0-9] GMT",
            now in 0u64..253_402_300_800,
        ) {
            if let Some(moment) = parse_at(value.as_bytes(), UNIX_EPOCH + Duration::from_secs(now)) {
                format(moment);
            }
        }

        #[test]
        fn foreign_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40), now in any::<u32>()) {
            let _ = parse_at(&bytes, UNIX_EPOCH + Duration::from_secs(now.into()));
        }
    }
}
