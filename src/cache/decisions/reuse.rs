//! May a stored response be used for a request?

use super::*;

table! {
    "May a stored response be used?", uses,
    "The response was stored for a GET with no cookie and no Authorization.";

    // Fresh and stale.
    fresh: "RFC 9111 §4.2", "after 59 s", "Cache-Control: max-age=60" => "uses it";
    stale: "RFC 9111 §4.2", "after 60 s", "Cache-Control: max-age=60" => "asks the origin to confirm it: stale";
    age_counts: "RFC 9111 §4.2.3", "after 10 s", "Cache-Control: max-age=60\nAge: 50" => "asks the origin to confirm it: stale";
    a_tenth_of_the_time_unchanged: "RFC 9111 §4.2.2", "after 59 s", "Last-Modified: Sun, 06 Nov 1994 08:39:37 GMT", HEURISTIC => "uses it";
    and_no_longer: "RFC 9111 §4.2.2", "after 60 s", "Last-Modified: Sun, 06 Nov 1994 08:39:37 GMT", HEURISTIC => "asks the origin to confirm it: stale";
    nothing_stored: "RFC 9211 §2.2", "", "Cache-Control: no-store" => "asks the origin: uri-miss";
    head_from_get: "RFC 9110 §9.3.2", "HEAD", "Cache-Control: max-age=60" => "uses it";
    head_of_what_is_stale: "RFC 9111 §4.3.5", "after 60 s\nHEAD", "Cache-Control: max-age=60" => "asks the origin, and takes no part: head";
    head_of_nothing: "RFC 9111 §4.3.5", "HEAD", "Cache-Control: no-store" => "asks the origin, and takes no part: head";
    range_of_what_is_fresh: "RFC 9110 §14.2", "Range: bytes=0-1", "Cache-Control: max-age=60" => "uses it";
    range_of_what_is_stale: "RFC 9111 §3.4", "after 60 s\nRange: bytes=0-1", "Cache-Control: max-age=60" => "asks the origin, and takes no part: range";
    range_of_nothing: "RFC 9111 §3.4", "Range: bytes=0-1", "Cache-Control: no-store" => "asks the origin, and takes no part: range";

    // Stale and used.
    while_revalidate: "RFC 5861 §3", "after 89 s", "Cache-Control: max-age=60, stale-while-revalidate=30" => "uses it: stale-while-revalidate";
    and_not_after_that: "RFC 5861 §3", "after 90 s", "Cache-Control: max-age=60, stale-while-revalidate=30" => "asks the origin to confirm it: stale";
    head_while_revalidate: "RFC 5861 §3", "after 61 s\nHEAD", "Cache-Control: max-age=60, stale-while-revalidate=30" => "uses it: stale-while-revalidate";
    stale_on_arrival_while_revalidate: "RFC 5861 §3", "after 5 s", "Cache-Control: max-age=0, stale-while-revalidate=30" => "uses it: stale-while-revalidate";
    s_maxage_while_revalidate: "RFC 9111 §5.2.2.10", "after 60 s", "Cache-Control: s-maxage=60, stale-while-revalidate=30" => "asks the origin to confirm it: stale";
    if_error_is_for_errors: "RFC 5861 §4", "after 60 s", "Cache-Control: max-age=60, stale-if-error=30" => "asks the origin to confirm it: stale";

    // Validated before each use.
    no_cache: "RFC 9111 §5.2.2.4", "", "Cache-Control: no-cache, max-age=60\nETag: \"a\"" => "asks the origin to confirm it, for this request alone: stale";
    max_age_zero: "RFC 9111 §4.2", "", "Cache-Control: max-age=0\nETag: \"a\"" => "asks the origin to confirm it, for this request alone: stale";
    expired_on_arrival: "RFC 9111 §4.2.3", "", "Cache-Control: max-age=60\nAge: 60\nLast-Modified: Sun, 06 Nov 1994 08:39:37 GMT" => "asks the origin to confirm it, for this request alone: stale";

    // Whose it is.
    cookie: "RFC 9111 §7.3", "Cookie: sessionid=1", "Cache-Control: max-age=60" => "asks the origin, and takes no part: cookie";
    cookie_that_does_not_count: "RFC 9111 §7.3", "Cookie: _ga=1", "Cache-Control: max-age=60" => "uses it";
    cookie_and_public: "RFC 9111 §5.2.2.9", "Cookie: sessionid=1", "Cache-Control: public, max-age=60" => "uses it";
    cookie_on_a_public_route: "RFC 9111 §7.3", "Cookie: sessionid=1", "Cache-Control: max-age=60", ROUTE_PUBLIC => "uses it";
    cookie_and_vary_cookie: "RFC 9111 §4.1", "Cookie: sessionid=1", "Cache-Control: public, max-age=60\nVary: Cookie" => "asks the origin: vary-miss";
    authorization: "RFC 9111 §3.5", "Authorization: Basic YTpi", "Cache-Control: max-age=60" => "asks the origin, and takes no part: authorization";
    authorization_and_must_revalidate: "RFC 9111 §5.2.2.2", "Authorization: Basic YTpi", "Cache-Control: max-age=60, must-revalidate" => "uses it";
    authorization_and_cdn: "RFC 9213 §2.2", "Authorization: Basic YTpi", "CDN-Cache-Control: max-age=60" => "asks the origin, and takes no part: authorization";
    other_values_of_selecting_fields: "RFC 9111 §4.1", "Accept-Language: de", "Cache-Control: max-age=60\nVary: Accept-Language" => "asks the origin: vary-miss";
    coded_and_not_said_so: "RFC 9111 §4.1", "Accept-Encoding: gzip", "Cache-Control: max-age=60\nContent-Encoding: br" => "asks the origin: vary-miss";

    // What the client demands, where it does not count.
    no_cache_is_not_heard: "RFC 9111 §5.2.1", "Cache-Control: no-cache", "Cache-Control: max-age=60" => "uses it";
    max_stale_is_not_heard: "RFC 9111 §5.2.1", "after 60 s\nCache-Control: max-stale", "Cache-Control: max-age=60" => "asks the origin to confirm it: stale";
    only_if_cached_is_not_heard: "RFC 9111 §5.2.1", "Cache-Control: only-if-cached", "Cache-Control: no-store" => "asks the origin: uri-miss";

    // And where it does.
    demands_max_age: "RFC 9111 §5.2.1.1", "after 11 s\nCache-Control: max-age=10", "Cache-Control: max-age=60", HONOUR => "asks the origin to confirm it, for this request alone: request";
    meets_max_age: "RFC 9111 §5.2.1.1", "after 10 s\nCache-Control: max-age=10", "Cache-Control: max-age=60", HONOUR => "uses it";
    max_age_forbids_stale: "RFC 9111 §5.2.1.1", "after 61 s\nCache-Control: max-age=99", "Cache-Control: max-age=60, stale-while-revalidate=30", HONOUR => "asks the origin to confirm it: stale";
    max_age_with_max_stale: "RFC 9111 §5.2.1.1", "after 61 s\nCache-Control: max-age=99, max-stale=5", "Cache-Control: max-age=60", HONOUR => "uses it: max-stale";
    older_than_max_age_with_max_stale: "RFC 9111 §5.2.1.1", "after 61 s\nCache-Control: max-age=9, max-stale=5", "Cache-Control: max-age=60", HONOUR => "asks the origin to confirm it: stale";
    demands_max_stale: "RFC 9111 §5.2.1.2", "after 65 s\nCache-Control: max-stale=5", "Cache-Control: max-age=60", HONOUR => "uses it: max-stale";
    beyond_max_stale: "RFC 9111 §5.2.1.2", "after 66 s\nCache-Control: max-stale=5", "Cache-Control: max-age=60", HONOUR => "asks the origin to confirm it: stale";
    any_max_stale: "RFC 9111 §5.2.1.2", "after 9999 s\nCache-Control: max-stale", "Cache-Control: max-age=60", HONOUR => "uses it: max-stale";
    max_stale_of_what_is_fresh: "RFC 9111 §5.2.1.2", "after 9 s\nCache-Control: max-stale", "Cache-Control: max-age=60", HONOUR => "uses it";
    max_stale_against_must_revalidate: "RFC 9111 §5.2.2.2", "after 61 s\nCache-Control: max-stale", "Cache-Control: max-age=60, must-revalidate", HONOUR => "asks the origin to confirm it: stale";
    max_stale_against_s_maxage: "RFC 9111 §5.2.2.10", "after 61 s\nCache-Control: max-stale", "Cache-Control: s-maxage=60", HONOUR => "asks the origin to confirm it: stale";
    max_stale_against_no_cache: "RFC 9111 §5.2.2.4", "Cache-Control: max-stale", "Cache-Control: no-cache\nETag: \"a\"", HONOUR => "asks the origin to confirm it, for this request alone: stale";
    demands_min_fresh: "RFC 9111 §5.2.1.3", "after 51 s\nCache-Control: min-fresh=10", "Cache-Control: max-age=60", HONOUR => "asks the origin to confirm it, for this request alone: request";
    meets_min_fresh: "RFC 9111 §5.2.1.3", "after 50 s\nCache-Control: min-fresh=10", "Cache-Control: max-age=60", HONOUR => "uses it";
    min_fresh_forbids_stale: "RFC 9111 §5.2.1.3", "after 61 s\nCache-Control: min-fresh=0", "Cache-Control: max-age=60, stale-while-revalidate=30", HONOUR => "asks the origin to confirm it: stale";
    min_fresh_with_max_stale: "RFC 9111 §5.2.1.3", "after 61 s\nCache-Control: min-fresh=1, max-stale", "Cache-Control: max-age=60", HONOUR => "asks the origin to confirm it: stale";
    demands_no_cache: "RFC 9111 §5.2.1.4", "Cache-Control: no-cache", "Cache-Control: max-age=60", HONOUR => "asks the origin to confirm it, for this request alone: request";
    no_cache_of_what_is_stale: "RFC 9111 §5.2.1.4", "after 61 s\nCache-Control: no-cache", "Cache-Control: max-age=60, stale-while-revalidate=30", HONOUR => "asks the origin to confirm it: stale";
    only_if_cached_and_fresh: "RFC 9111 §5.2.1.7", "Cache-Control: only-if-cached", "Cache-Control: max-age=60", HONOUR => "uses it";
    only_if_cached_and_stale: "RFC 9111 §5.2.1.7", "after 61 s\nCache-Control: only-if-cached", "Cache-Control: max-age=60", HONOUR => "answers 504: only-if-cached";
    only_if_cached_and_stale_is_taken: "RFC 9111 §5.2.1.7", "after 61 s\nCache-Control: only-if-cached, max-stale", "Cache-Control: max-age=60", HONOUR => "uses it: max-stale";
    only_if_cached_and_not_there: "RFC 9111 §5.2.1.7", "Cache-Control: only-if-cached", "Cache-Control: no-store", HONOUR => "answers 504: only-if-cached";
    pragma: "RFC 9111 §5.4", "Pragma: no-cache", "Cache-Control: max-age=60", HONOUR => "asks the origin to confirm it, for this request alone: request";
    pragma_beside_cache_control: "RFC 9111 §5.4", "Pragma: no-cache\nCache-Control: max-age=99", "Cache-Control: max-age=60", HONOUR => "uses it";
}
