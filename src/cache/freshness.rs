//! How long a response may be used, and how old it is (RFC 9111 §4.2, RFC 5861).

use std::time::{Duration, Instant, SystemTime};

use crate::header::{CacheControl, Fields, cache_control::delta_seconds, date, fields::trim};

/// When a response came, by the two clocks: the steady one measures, the wall clock is what `Date` is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Received {
    /// When the request for it was sent.
    pub requested: Instant,
    /// When its head was here.
    pub at: Instant,
    /// The same moment on the wall clock.
    pub wall: SystemTime,
}

/// What a response is good for, fixed when it is stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// How long it is fresh, counted from its age 0.
    pub lifetime: Duration,
    /// How old it was on arrival.
    pub initial_age: Duration,
    /// It is validated before each use (`no-cache`).
    pub always_validate: bool,
    /// For so long after its lifetime it may be used while it is being refreshed (RFC 5861 §3).
    pub stale_while_revalidate: Duration,
    /// For so long after its lifetime it may be used when the origin fails (RFC 5861 §4).
    pub stale_if_error: Duration,
    /// It may be used stale by nobody, whatever the client accepts (RFC 9111 §4.2.4).
    pub never_stale: bool,
}

/// What a stored response may be used for at some age.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Freshness {
    /// As it is.
    Fresh,
    /// As it is, while it is being refreshed.
    WhileRevalidate,
    /// When the origin fails.
    IfError,
    /// Only after the origin has confirmed it.
    Spent,
}

impl Terms {
    /// What the response may be used for at this age. `lifetime` is its own, or less where it was declared stale.
    pub fn at(&self, age: Duration, lifetime: Duration) -> Freshness {
        if self.always_validate {
            return Freshness::Spent;
        }
        match age.checked_sub(lifetime) {
            None => Freshness::Fresh,
            Some(stale_for) if stale_for < self.stale_while_revalidate => Freshness::WhileRevalidate,
            Some(stale_for) if stale_for < self.stale_if_error => Freshness::IfError,
            Some(_) => Freshness::Spent,
        }
    }

    /// For how long after its lifetime the response may be of use without the origin's word.
    pub fn grace(&self) -> Duration {
        self.stale_while_revalidate.max(self.stale_if_error)
    }
}

/// Whole seconds of freshness left at an age; negative when there are none left.
pub(super) fn seconds_between(age: Duration, lifetime: Duration) -> i64 {
    let seconds = |duration: Duration| i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    seconds(lifetime) - seconds(age)
}

/// The freshness lifetime that the origin states for a shared cache: `s-maxage`, else `max-age` (RFC 9111 §4.2.1).
pub fn directed_lifetime(control: &CacheControl) -> Option<Duration> {
    control.s_maxage.or(control.max_age)
}

/// The lifetime that `Expires` less `Date` states (RFC 9111 §4.2.1, §5.3).
pub fn dated_lifetime<M: Fields>(response: &M, received: &Received) -> Option<Duration> {
    let mut lines = response.all("expires");
    let expires = lines.next()?;
    // RFC 9111 §5.3: an invalid date, above all "0", means already expired; of two dates neither can be trusted.
    let expires = date::parse(expires).filter(|_| lines.next().is_none());
    let date = response.get("date").and_then(date::parse).unwrap_or(received.wall);
    Some(expires.and_then(|expires| expires.duration_since(date).ok()).unwrap_or(Duration::ZERO))
}

/// No guess is longer than a day, so that a mistaken one is over the next morning.
const LONGEST_GUESS: Duration = Duration::from_secs(86_400);

/// A guessed lifetime: a tenth of the time that the response had not changed for (RFC 9111 §4.2.2).
pub fn heuristic_lifetime<M: Fields>(response: &M, received: &Received) -> Option<Duration> {
    let modified = response.get("last-modified").and_then(date::parse)?;
    let date = response.get("date").and_then(date::parse).unwrap_or(received.wall);
    Some((date.duration_since(modified).ok()? / 10).min(LONGEST_GUESS))
}

/// How old the response was when it came: the larger of what `Date` says and what `Age` says with the time
/// that the fetch took (RFC 9111 §4.2.3, corrected_initial_age).
pub fn initial_age<M: Fields>(response: &M, received: &Received) -> Duration {
    let date = response.get("date").and_then(date::parse).unwrap_or(received.wall);
    let apparent = received.wall.duration_since(date).unwrap_or(Duration::ZERO);
    // RFC 9111 §5.1: of a list the first member counts; what is no number is ignored.
    let age = response.get("age").map(|value| trim(value.split(|byte| *byte == b',').next().unwrap_or_default()));
    let age = Duration::from_secs(age.and_then(delta_seconds).unwrap_or(0));
    apparent.max(age.saturating_add(received.at.saturating_duration_since(received.requested)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::header::ResponseHead;
    use std::time::UNIX_EPOCH;

    const DATE: u64 = 784_111_777; // Sun, 06 Nov 1994 08:49:37 GMT

    /// A response that came `wall_late` seconds after its Date, `delay` seconds after it was asked for.
    fn received(wall_late: u64, delay: u64) -> Received {
        let requested = Instant::now();
        Received {
            requested,
            at: requested + Duration::from_secs(delay),
            wall: UNIX_EPOCH + Duration::from_secs(DATE + wall_late),
        }
    }

    fn lifetime(fields: &str) -> Option<u64> {
        let head = ResponseHead::for_tests(200, fields);
        let stated = directed_lifetime(&CacheControl::of(&head)).or_else(|| dated_lifetime(&head, &received(5, 0)));
        stated.map(|lifetime| lifetime.as_secs())
    }

    fn guess(fields: &str) -> Option<u64> {
        heuristic_lifetime(&ResponseHead::for_tests(200, fields), &received(5, 0)).map(|lifetime| lifetime.as_secs())
    }

    /// What a response with 60 s of freshness, 30 s of stale-while-revalidate and 100 s of stale-if-error is good for.
    fn at(age: u64) -> Freshness {
        let secs = Duration::from_secs;
        let terms = Terms {
            lifetime: secs(60),
            stale_while_revalidate: secs(30),
            stale_if_error: secs(100),
            ..Terms::default()
        };
        terms.at(secs(age), terms.lifetime)
    }

    fn age(fields: &str, wall_late: u64, delay: u64) -> u64 {
        initial_age(&ResponseHead::for_tests(200, fields), &received(wall_late, delay)).as_secs()
    }

    macro_rules! table {
        ($($name:ident: $left:expr => $right:expr;)+) => { $(#[test] fn $name() { assert_eq!($left, $right); })+ };
    }

    const AT: &str = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

    table! {
        // §4.2.1
        nothing_stated: lifetime(AT) => None;
        max_age: lifetime("Cache-Control: max-age=60") => Some(60);
        s_maxage_wins: lifetime("Cache-Control: max-age=60, s-maxage=10") => Some(10);
        max_age_wins_over_expires: lifetime("Cache-Control: max-age=60\r\nExpires: 0") => Some(60);
        expires_less_date: lifetime(&format!("{AT}Expires: Sun, 06 Nov 1994 08:50:37 GMT")) => Some(60);
        expires_without_date_less_now: lifetime("Expires: Sun, 06 Nov 1994 08:50:37 GMT") => Some(55);
        expires_before_date: lifetime(&format!("{AT}Expires: Sun, 06 Nov 1994 08:48:37 GMT")) => Some(0);
        // §5.3
        expires_invalid: lifetime(&format!("{AT}Expires: 0")) => Some(0);
        expires_twice: lifetime(&format!("{AT}Expires: Sun, 06 Nov 1994 08:50:37 GMT\r\nExpires: Sun, 06 Nov 1994 08:50:37 GMT")) => Some(0);
        // §4.2.2
        guess_without_last_modified: guess(AT) => None;
        a_tenth_of_the_time_unchanged: guess(&format!("{AT}Last-Modified: Sun, 06 Nov 1994 08:39:37 GMT")) => Some(60);
        a_guess_counts_from_date_and_else_from_now: guess("Last-Modified: Sun, 06 Nov 1994 08:49:32 GMT") => Some(1);
        modified_after_its_date: guess(&format!("{AT}Last-Modified: Sun, 06 Nov 1994 08:50:37 GMT")) => None;
        a_guess_is_a_day_at_most: guess(&format!("{AT}Last-Modified: Thu, 01 Jan 1970 00:00:01 GMT")) => Some(86_400);
        // §4.2: fresh while its lifetime is greater than its age; RFC 5861 §3, §4
        fresh_to_its_last_second: at(59) => Freshness::Fresh;
        stale_from_the_end_of_its_lifetime: at(60) => Freshness::WhileRevalidate;
        last_second_of_stale_while_revalidate: at(89) => Freshness::WhileRevalidate;
        then_only_if_the_origin_fails: at(90) => Freshness::IfError;
        last_second_of_stale_if_error: at(159) => Freshness::IfError;
        then_not_without_the_origin: at(160) => Freshness::Spent;
        // §4.2.3
        age_of_nothing: age("", 0, 0) => 0;
        date_in_the_past: age(AT, 7, 0) => 7;
        date_in_the_future: age("Date: Sun, 06 Nov 1994 09:49:37 GMT", 0, 0) => 0;
        age_field: age(&format!("{AT}Age: 30"), 7, 0) => 30;
        date_older_than_age: age(&format!("{AT}Age: 3"), 7, 0) => 7;
        delay_adds_to_age: age(&format!("{AT}Age: 30"), 0, 4) => 34;
        delay_without_age: age(AT, 0, 4) => 4;
        // §5.1
        first_member_of_age: age(&format!("{AT}Age: 30, 99"), 0, 0) => 30;
        first_line_of_age: age(&format!("{AT}Age: 30\r\nAge: 99"), 0, 0) => 30;
        negative_age: age(&format!("{AT}Age: -30"), 0, 0) => 0;
        fractional_age: age(&format!("{AT}Age: 3.5"), 0, 0) => 0;
        enormous_age: age(&format!("{AT}Age: 99999999999999999999"), 0, 0) => 1 << 31;
    }
}
