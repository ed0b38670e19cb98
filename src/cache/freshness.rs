//! How long a response is fresh, and how old it is (RFC 9111 §4.2).

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

/// The freshness lifetime that the origin states for a shared cache: `s-maxage`, else `max-age`, else
/// `Expires` less `Date` (RFC 9111 §4.2.1). `None` when it states none.
pub fn stated_lifetime<M: Fields>(response: &M, control: &CacheControl, received: &Received) -> Option<Duration> {
    control.s_maxage.or(control.max_age).or_else(|| {
        let mut lines = response.all("expires");
        let expires = lines.next()?;
        // RFC 9111 §5.3: an invalid date, above all "0", means already expired; of two dates neither can be trusted.
        let expires = date::parse(expires).filter(|_| lines.next().is_none());
        let date = response.get("date").and_then(date::parse).unwrap_or(received.wall);
        Some(expires.and_then(|expires| expires.duration_since(date).ok()).unwrap_or(Duration::ZERO))
    })
}

/// How old the response was when it came: the larger of what `Date` says and what `Age` says with the time
/// that the fetch took (RFC 9111 §4.2.3, corrected_initial_age).
pub fn initial_age<M: Fields>(response: &M, received: &Received) -> Duration {
    let date = response.get("date").and_then(date::parse).unwrap_or(received.wall);
    let apparent = received.wall.duration_since(date).unwrap_or(Duration::ZERO);
    // RFC 9111 §5.1: of a list the first member counts; what is no number is ignored.
    let age = response.get("age").map(|value| trim(value.split(|byte| *byte == b',').next().unwrap_or_default()));
    let age = Duration::from_secs(age.and_then(delta_seconds).unwrap_or(0));
    apparent.max(age + received.at.saturating_duration_since(received.requested))
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
        stated_lifetime(&head, &CacheControl::of(&head), &received(5, 0)).map(|lifetime| lifetime.as_secs())
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
