//! HTTP dates (RFC 9110 §5.6.7).

use std::time::SystemTime;

/// Reads a date in any of the three forms that recipients must accept; `None` for anything else.
pub fn parse(value: &[u8]) -> Option<SystemTime> {
    httpdate::parse_http_date(std::str::from_utf8(value).ok()?).ok()
}

/// Writes a date in the form that senders must use.
pub fn format(time: SystemTime) -> String {
    httpdate::fmt_http_date(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn the_three_forms_of_the_rfc_mean_the_same_moment() {
        let moment = UNIX_EPOCH + Duration::from_secs(784_111_777);
        for form in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(parse(form.as_bytes()), Some(moment), "{form}");
        }
        assert_eq!(format(moment), "Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn anything_else_is_no_date() {
        for bad in ["", "0", "-1", "yesterday", "Sun, 06 Nov 1994 08:49:37", "\u{e9}"] {
            assert_eq!(parse(bad.as_bytes()), None, "{bad}");
        }
    }
}
