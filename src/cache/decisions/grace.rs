//! For how long may a response be used once it is stale?

use super::*;

table! {
    "For how long may it be used once it is stale?", graces,
    "Without its origin's word before each use. `stale_if_error` of `[cache]` is 5 min unless said otherwise.";

    // The origin's word, then the route's, then that of [cache].
    no_word: "RFC 9111 §4.2.4", "", "Cache-Control: max-age=60" => "300 s when the origin fails";
    no_word_at_all: "RFC 9111 §4.2.4", "", "Cache-Control: max-age=60", IF_ERROR_OFF => "only for who accepts it";
    cache_says: "RFC 5861 §3", "", "Cache-Control: max-age=60", WHILE => "15 s while it is refreshed, 300 s when the origin fails";
    route_says_more_than_cache: "RFC 5861 §3", "", "Cache-Control: max-age=60", WHILE, ROUTE_WHILE, ROUTE_IF_ERROR => "20 s while it is refreshed, 40 s when the origin fails";
    origin_says_more_than_both: "RFC 5861 §3", "", "Cache-Control: max-age=60, stale-while-revalidate=1, stale-if-error=2", WHILE, ROUTE_WHILE, ROUTE_IF_ERROR => "1 s while it is refreshed, 2 s when the origin fails";
    origin_says_one_of_two: "RFC 5861 §3", "", "Cache-Control: max-age=60, stale-while-revalidate=1", ROUTE_WHILE, ROUTE_IF_ERROR => "1 s while it is refreshed, 40 s when the origin fails";
    origin_says_none: "RFC 5861 §4", "", "Cache-Control: max-age=60, stale-while-revalidate=0, stale-if-error=0", ROUTE_WHILE, ROUTE_IF_ERROR => "only for who accepts it";
    nonsense_is_none: "RFC 9111 §4.2.1", "", "Cache-Control: max-age=60, stale-if-error=soon" => "only for who accepts it";
    shorter_of_two: "RFC 9111 §4.2.1", "", "Cache-Control: max-age=60, stale-if-error=9, stale-if-error=5" => "5 s when the origin fails";
    targeted_says: "RFC 9213 §2.2", "", "CDN-Cache-Control: max-age=60, stale-if-error=5\nCache-Control: stale-if-error=99" => "5 s when the origin fails";
    of_what_a_route_keeps: "RFC 9111 §4.2.4", "", "", ROUTE_TTL, ROUTE_IF_ERROR => "40 s when the origin fails";

    // What forbids it.
    must_revalidate: "RFC 9111 §5.2.2.2", "", "Cache-Control: max-age=60, must-revalidate, stale-if-error=9", ROUTE_WHILE => "never";
    proxy_revalidate: "RFC 9111 §5.2.2.8", "", "Cache-Control: max-age=60, proxy-revalidate, stale-if-error=9", ROUTE_WHILE => "never";
    s_maxage: "RFC 9111 §5.2.2.10", "", "Cache-Control: s-maxage=60, stale-while-revalidate=9", ROUTE_WHILE => "never";
    no_cache: "RFC 9111 §5.2.2.4", "", "Cache-Control: no-cache, stale-if-error=9\nETag: \"a\"", ROUTE_WHILE => "never";
    targeted_must_revalidate: "RFC 9213 §2.2", "", "CDN-Cache-Control: max-age=60, must-revalidate" => "never";
    must_revalidate_beside_a_targeted_field: "RFC 9213 §2.2", "", "CDN-Cache-Control: max-age=60\nCache-Control: must-revalidate" => "300 s when the origin fails";
}
