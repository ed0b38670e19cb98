//! May a stored response stand in for an origin that failed?

use super::*;

table! {
    "May it stand in when the origin fails?", stands,
    "The origin fails when it cannot be reached, does not answer in time, or answers 500, 502, 503 or 504.";

    while_fresh: "RFC 9111 §4", "after 59 s", "Cache-Control: max-age=60" => "uses it";
    as_the_settings_allow: "RFC 9111 §4.2.4", "after 359 s", "Cache-Control: max-age=60" => "uses it";
    no_longer: "RFC 9111 §4.2.4", "after 360 s", "Cache-Control: max-age=60" => "passes the failure on";
    as_the_origin_allows: "RFC 5861 §4", "after 64 s", "Cache-Control: max-age=60, stale-if-error=5" => "uses it";
    not_after_that: "RFC 5861 §4", "after 65 s", "Cache-Control: max-age=60, stale-if-error=5" => "passes the failure on";
    stale_while_revalidate_does_as_well: "RFC 5861 §3", "after 64 s", "Cache-Control: max-age=60, stale-while-revalidate=5, stale-if-error=0" => "uses it";
    must_revalidate: "RFC 9111 §5.2.2.2", "after 60 s", "Cache-Control: max-age=60, must-revalidate" => "passes the failure on";
    must_revalidate_while_fresh: "RFC 9111 §5.2.2.2", "after 59 s", "Cache-Control: max-age=60, must-revalidate" => "uses it";
    s_maxage: "RFC 9111 §5.2.2.10", "after 60 s", "Cache-Control: s-maxage=60, stale-if-error=9" => "passes the failure on";
    no_cache: "RFC 9111 §5.2.2.4", "", "Cache-Control: no-cache, max-age=60\nETag: \"a\"" => "passes the failure on";
    stale_on_arrival: "RFC 5861 §4", "after 9 s", "Cache-Control: max-age=0, stale-if-error=10" => "uses it";
}

#[test]
fn what_a_failure_is() {
    // RFC 5861 §4: "500, 502, 503, or 504".
    let failures: Vec<u16> = (100..1000).filter(|status| crate::cache::policy::is_failure(*status)).collect();
    assert_eq!(failures, [500, 502, 503, 504]);
}
