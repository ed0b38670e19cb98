//! May a response be stored?

use super::*;

table! {
    "May a response be stored, and for how long is it fresh?", stores,
    "Of a response to GET. Those that are not stored are passed on as they are.";

    // RFC 9111 §4.2.1: the lifetime that the origin states.
    max_age: "RFC 9111 §5.2.2.1", "", "Cache-Control: max-age=60" => "stores it; fresh for 60 s";
    s_maxage_before_max_age: "RFC 9111 §5.2.2.10", "", "Cache-Control: max-age=60, s-maxage=10" => "stores it; fresh for 10 s";
    max_age_before_expires: "RFC 9111 §5.3", "", "Cache-Control: max-age=60\nExpires: Sun, 06 Nov 1994 09:49:37 GMT" => "stores it; fresh for 60 s";
    s_maxage_before_expires: "RFC 9111 §5.3", "", "Cache-Control: s-maxage=60\nExpires: 0" => "stores it; fresh for 60 s";
    expires: "RFC 9111 §5.3", "", "Date: Sun, 06 Nov 1994 08:49:37 GMT\nExpires: Sun, 06 Nov 1994 08:50:37 GMT" => "stores it; fresh for 60 s";
    expires_without_date: "RFC 9111 §4.2.1", "", "Expires: Sun, 06 Nov 1994 08:50:37 GMT" => "stores it; fresh for 60 s";
    expires_counts_from_date: "RFC 9111 §4.2.1", "", "Date: Sun, 06 Nov 1994 08:49:27 GMT\nExpires: Sun, 06 Nov 1994 08:50:37 GMT" => "stores it; fresh for 60 s";
    expires_in_the_past: "RFC 9111 §5.3", "", "Expires: Sun, 06 Nov 1994 08:49:36 GMT" => "does not store it: expired";
    expires_zero: "RFC 9111 §5.3", "", "Expires: 0" => "does not store it: expired";
    expires_minus_one: "RFC 9111 §5.3", "", "Expires: -1" => "does not store it: expired";
    two_expires: "RFC 9111 §4.2.1", "", "Expires: Sun, 06 Nov 1994 08:50:37 GMT\nExpires: Sun, 06 Nov 1994 08:50:37 GMT" => "does not store it: expired";
    smaller_of_two: "RFC 9111 §4.2.1", "", "Cache-Control: max-age=60, max-age=10" => "stores it; fresh for 10 s";
    nonsense_is_stale: "RFC 9111 §4.2.1", "", "Cache-Control: max-age=soon" => "does not store it: expired";
    quoted_number: "RFC 9111 §5.2", "", "Cache-Control: max-age=\"60\"" => "stores it; fresh for 60 s";
    names_in_any_case: "RFC 9111 §5.2", "", "Cache-Control: MAX-AGE=60" => "stores it; fresh for 60 s";
    unknown_directives: "RFC 9111 §5.2.3", "", "Cache-Control: community=\"a, no-store\", max-age=60" => "stores it; fresh for 60 s";
    enormous_number: "RFC 9111 §1.2.2", "", "Cache-Control: max-age=99999999999999999999" => "stores it; fresh for 2147483648 s";

    // RFC 9111 §4.2.3: what of it has passed.
    age: "RFC 9111 §4.2.3", "", "Cache-Control: max-age=60\nAge: 20" => "stores it; fresh for 40 s";
    date_in_the_past: "RFC 9111 §4.2.3", "", "Cache-Control: max-age=60\nDate: Sun, 06 Nov 1994 08:49:17 GMT" => "stores it; fresh for 40 s";
    the_greater_of_both: "RFC 9111 §4.2.3", "", "Cache-Control: max-age=60\nDate: Sun, 06 Nov 1994 08:49:17 GMT\nAge: 30" => "stores it; fresh for 30 s";
    date_in_the_future: "RFC 9111 §4.2.3", "", "Cache-Control: max-age=60\nDate: Sun, 06 Nov 1994 09:49:37 GMT" => "stores it; fresh for 60 s";
    age_is_no_number: "RFC 9111 §5.1", "", "Cache-Control: max-age=60\nAge: old" => "stores it; fresh for 60 s";
    first_of_several_ages: "RFC 9111 §5.1", "", "Cache-Control: max-age=60\nAge: 20, 50" => "stores it; fresh for 40 s";
    as_old_as_its_lifetime: "RFC 9111 §4.2", "", "Cache-Control: max-age=60\nAge: 60" => "does not store it: expired";

    // Stale on arrival, or validated before each use: kept where the origin can confirm it, or allows it stale.
    max_age_zero: "RFC 9111 §4.3.1", "", "Cache-Control: max-age=0" => "does not store it: expired";
    max_age_zero_and_a_tag: "RFC 9111 §4.3.1", "", "Cache-Control: max-age=0\nETag: \"a\"" => "stores it; stale on arrival";
    max_age_zero_and_last_modified: "RFC 9111 §4.3.1", "", "Cache-Control: max-age=0\nLast-Modified: Sun, 06 Nov 1994 08:39:37 GMT" => "stores it; stale on arrival";
    max_age_zero_and_used_stale: "RFC 5861 §3", "", "Cache-Control: max-age=0, stale-while-revalidate=30" => "stores it; stale on arrival";
    max_age_zero_in_place_of_errors: "RFC 5861 §4", "", "Cache-Control: max-age=0, stale-if-error=30" => "stores it; stale on arrival";
    max_age_zero_and_the_operator_allows_it_stale: "RFC 5861 §3", "", "Cache-Control: max-age=0", ROUTE_WHILE => "does not store it: expired";
    max_age_zero_and_never_stale: "RFC 9111 §5.2.2.2", "", "Cache-Control: max-age=0, must-revalidate, stale-if-error=30" => "does not store it: expired";
    no_cache: "RFC 9111 §5.2.2.4", "", "Cache-Control: no-cache, max-age=60" => "does not store it: no-cache";
    no_cache_and_a_tag: "RFC 9111 §5.2.2.4", "", "Cache-Control: no-cache, max-age=60\nETag: \"a\"" => "stores it; asks before each use";
    no_cache_and_no_lifetime: "RFC 9111 §5.2.2.4", "", "Cache-Control: no-cache\nLast-Modified: Sun, 06 Nov 1994 08:39:37 GMT" => "stores it; asks before each use";
    no_cache_of_fields: "RFC 9111 §5.2.2.4", "", "Cache-Control: no-cache=\"X\", max-age=60\nETag: \"a\"" => "stores it; asks before each use";
    no_cache_and_used_stale: "RFC 9111 §5.2.2.4", "", "Cache-Control: no-cache, stale-while-revalidate=30" => "does not store it: no-cache";
    no_cache_is_no_leave_to_store: "RFC 9111 §3", "", "302\nCache-Control: no-cache\nETag: \"a\"" => "does not store it: status";
    no_cache_with_leave_to_store: "RFC 9111 §3", "", "302\nCache-Control: no-cache, public\nETag: \"a\"" => "stores it; asks before each use";

    // What forbids it.
    no_store: "RFC 9111 §5.2.2.5", "", "Cache-Control: max-age=60, no-store" => "does not store it: no-store";
    no_store_in_another_line: "RFC 9110 §5.3", "", "Cache-Control: max-age=60\nCache-Control: no-store" => "does not store it: no-store";
    private: "RFC 9111 §5.2.2.7", "", "Cache-Control: private, max-age=60" => "does not store it: private";
    private_fields: "RFC 9111 §5.2.2.7", "", "Cache-Control: private=\"X\", max-age=60" => "does not store it: private";
    private_on_a_public_route: "RFC 9111 §5.2.2.7", "", "Cache-Control: private, max-age=60", ROUTE_PUBLIC => "does not store it: private";
    vary_star: "RFC 9111 §4.1", "", "Cache-Control: max-age=60\nVary: *" => "does not store it: vary-star";
    vary_star_among_others: "RFC 9111 §4.1", "", "Cache-Control: max-age=60\nVary: a\nVary: b, *" => "does not store it: vary-star";
    vary: "RFC 9111 §4.1", "", "Cache-Control: max-age=60\nVary: Accept" => "stores it; fresh for 60 s";
    vary_by_what_we_tell: "RFC 9111 §4.1", "", "Cache-Control: max-age=60\nVary: X-Forwarded-For" => "does not store it: vary-unkeyed";
    too_large: "", "", "Cache-Control: max-age=60\nContent-Length: 8388609" => "does not store it: too-large";
    largest: "", "", "Cache-Control: max-age=60\nContent-Length: 8388608" => "stores it; fresh for 60 s";

    // Statuses.
    interim: "RFC 9111 §3", "", "103\nCache-Control: max-age=60" => "does not store it: status";
    partial: "RFC 9111 §3.3", "", "206\nCache-Control: max-age=60\nContent-Range: bytes 0-1/9" => "does not store it: status";
    not_modified: "RFC 9111 §3", "", "304\nCache-Control: max-age=60" => "does not store it: status";
    not_found: "RFC 9110 §15.1", "", "404\nCache-Control: max-age=60" => "stores it; fresh for 60 s";
    found: "RFC 9110 §15.4.3", "", "302\nCache-Control: max-age=60" => "stores it; fresh for 60 s";
    error: "RFC 9111 §3", "", "503\nCache-Control: max-age=60" => "stores it; fresh for 60 s";
    unknown_status: "RFC 9111 §3", "", "299\nCache-Control: max-age=60" => "stores it; fresh for 60 s";
    must_understand: "RFC 9111 §5.2.2.3", "", "Cache-Control: max-age=60, must-understand, no-store" => "stores it; fresh for 60 s";
    must_understand_what_is_unknown: "RFC 9111 §5.2.2.3", "", "299\nCache-Control: max-age=60, must-understand" => "does not store it: status";

    // RFC 9111 §4.2.2: no lifetime is stated.
    nothing_stated: "RFC 9111 §4.2.2", "", "" => "does not store it: no-freshness";
    public_is_no_lifetime: "RFC 9111 §5.2.2.9", "", "Cache-Control: public" => "does not store it: no-freshness";
    must_revalidate_is_no_lifetime: "RFC 9111 §5.2.2.2", "", "Cache-Control: must-revalidate" => "does not store it: no-freshness";
    a_tag_is_no_lifetime: "RFC 9111 §3", "", "ETag: \"a\"" => "does not store it: no-freshness";
    last_modified: "RFC 9111 §4.2.2", "", "Last-Modified: Sun, 06 Nov 1994 08:39:37 GMT" => "does not store it: no-freshness";
    last_modified_is_guessed_by: "RFC 9111 §4.2.2", "", "Last-Modified: Sun, 06 Nov 1994 08:39:37 GMT", HEURISTIC => "stores it; fresh for 60 s";
    a_guess_is_a_day_at_most: "RFC 9111 §4.2.2", "", "Last-Modified: Thu, 06 Nov 1980 08:39:37 GMT", HEURISTIC => "stores it; fresh for 86400 s";
    nothing_to_guess_by: "RFC 9111 §4.2.2", "", "", HEURISTIC => "does not store it: no-freshness";
    changed_in_the_future: "RFC 9111 §4.2.2", "", "Last-Modified: Sun, 06 Nov 1994 08:59:37 GMT", HEURISTIC => "does not store it: no-freshness";
    no_guess_against_the_origins_word: "RFC 9111 §4.2.2", "", "Cache-Control: max-age=0\nLast-Modified: Sun, 06 Nov 1994 08:39:37 GMT", HEURISTIC => "stores it; stale on arrival";
    no_guess_for_found: "RFC 9110 §15.1", "", "302\nLast-Modified: Sun, 06 Nov 1994 08:39:37 GMT", HEURISTIC => "does not store it: status";
    a_guess_for_found_that_is_public: "RFC 9111 §4.2.2", "", "302\nCache-Control: public\nLast-Modified: Sun, 06 Nov 1994 08:39:37 GMT", HEURISTIC => "stores it; fresh for 60 s";
    the_operators_lifetime: "RFC 9111 §4.2.2", "", "", DEFAULT_TTL => "stores it; fresh for 10 s";
    the_routes_before_the_operators: "RFC 9111 §4.2.2", "", "", DEFAULT_TTL, ROUTE_TTL => "stores it; fresh for 30 s";
    the_route_has_none: "RFC 9111 §4.2.2", "", "", DEFAULT_TTL, ROUTE_NO_TTL => "does not store it: no-freshness";
    the_routes_before_a_guess: "RFC 9111 §4.2.2", "", "Last-Modified: Sun, 06 Nov 1994 08:39:37 GMT", HEURISTIC, ROUTE_TTL => "stores it; fresh for 30 s";
    the_origins_before_the_routes: "RFC 9111 §4.2.1", "", "Cache-Control: max-age=60", ROUTE_TTL => "stores it; fresh for 60 s";
    the_origins_no_store_before_the_routes: "RFC 9111 §5.2.2.5", "", "Cache-Control: no-store", ROUTE_TTL => "does not store it: no-store";
    the_routes_and_no_cache: "RFC 9111 §5.2.2.4", "", "Cache-Control: no-cache", ROUTE_TTL => "does not store it: no-cache";
    the_routes_for_not_found: "RFC 9110 §15.1", "", "404", ROUTE_TTL => "stores it; fresh for 30 s";
    not_the_routes_for_found: "RFC 9110 §15.1", "", "302", ROUTE_TTL => "does not store it: status";
    not_the_routes_for_errors: "RFC 9110 §15.1", "", "501", ROUTE_TTL => "does not store it: status";

    // Whose it is.
    authorization: "RFC 9111 §3.5", "Authorization: Basic YTpi", "Cache-Control: max-age=60" => "does not store it: authorization";
    authorization_and_public: "RFC 9111 §3.5", "Authorization: Basic YTpi", "Cache-Control: public, max-age=60" => "stores it; fresh for 60 s";
    authorization_and_s_maxage: "RFC 9111 §3.5", "Authorization: Basic YTpi", "Cache-Control: s-maxage=60" => "stores it; fresh for 60 s";
    authorization_and_must_revalidate: "RFC 9111 §3.5", "Authorization: Basic YTpi", "Cache-Control: must-revalidate, max-age=60" => "stores it; fresh for 60 s";
    authorization_and_proxy_revalidate: "RFC 9111 §3.5", "Authorization: Basic YTpi", "Cache-Control: proxy-revalidate, max-age=60" => "does not store it: authorization";
    authorization_and_a_targeted_field: "RFC 9213 §2.2", "Authorization: Basic YTpi", "CDN-Cache-Control: max-age=60" => "does not store it: authorization";
    authorization_on_a_public_route: "RFC 9111 §3.5", "Authorization: Basic YTpi", "Cache-Control: max-age=60", ROUTE_PUBLIC => "stores it; fresh for 60 s";
    cookie: "RFC 9111 §7.3", "Cookie: sessionid=1", "Cache-Control: max-age=60" => "does not store it: cookie";
    cookie_and_public: "RFC 9111 §7.3", "Cookie: sessionid=1", "Cache-Control: public, max-age=60" => "stores it; fresh for 60 s";
    cookie_and_s_maxage: "RFC 9111 §7.3", "Cookie: sessionid=1", "Cache-Control: s-maxage=60" => "stores it; fresh for 60 s";
    cookie_and_must_revalidate: "RFC 9111 §7.3", "Cookie: sessionid=1", "Cache-Control: must-revalidate, max-age=60" => "does not store it: cookie";
    cookie_and_a_targeted_field: "RFC 9111 §7.3", "Cookie: sessionid=1", "CDN-Cache-Control: max-age=60" => "stores it; fresh for 60 s";
    cookie_that_does_not_count: "RFC 9111 §7.3", "Cookie: _ga=1", "Cache-Control: max-age=60" => "stores it; fresh for 60 s";
    cookie_on_a_public_route: "RFC 9111 §7.3", "Cookie: sessionid=1", "Cache-Control: max-age=60", ROUTE_PUBLIC => "stores it; fresh for 60 s";
    cookie_and_vary_cookie: "RFC 9111 §4.1", "Cookie: sessionid=1", "Cache-Control: public, max-age=60\nVary: Cookie" => "does not store it: cookie";
    no_cookie_and_vary_cookie: "RFC 9111 §4.1", "", "Cache-Control: max-age=60\nVary: Cookie" => "stores it; fresh for 60 s";
    set_cookie: "RFC 9111 §7.3", "", "Cache-Control: public, max-age=60\nSet-Cookie: a=1" => "does not store it: set-cookie";
    set_cookie_is_allowed: "RFC 9111 §7.3", "", "Cache-Control: max-age=60\nSet-Cookie: a=1", STORE_SET_COOKIE => "stores it; fresh for 60 s";
    set_cookie_is_allowed_with_the_origins_lifetime_alone: "RFC 9111 §7.3", "", "Set-Cookie: a=1", STORE_SET_COOKIE, ROUTE_TTL => "does not store it: set-cookie";
    set_cookie_on_a_public_route: "RFC 9111 §7.3", "", "Cache-Control: max-age=60\nSet-Cookie: a=1", ROUTE_PUBLIC => "does not store it: set-cookie";

    // RFC 9213: a targeted field decides alone.
    targeted_over_no_store: "RFC 9213 §2.2", "", "Cache-Control: no-store\nCDN-Cache-Control: max-age=600" => "stores it; fresh for 600 s";
    targeted_no_store: "RFC 9213 §2.2", "", "Cache-Control: max-age=60\nCDN-Cache-Control: no-store" => "does not store it: no-store";
    targeted_private: "RFC 9213 §2.2", "", "CDN-Cache-Control: max-age=10, private" => "does not store it: private";
    targeted_over_expires: "RFC 9213 §2.2", "", "Expires: 0\nCDN-Cache-Control: max-age=600" => "stores it; fresh for 600 s";
    targeted_says_nothing_we_know: "RFC 9213 §2.2", "", "Cache-Control: max-age=60\nCDN-Cache-Control: none" => "does not store it: no-freshness";
    targeted_of_the_wrong_type: "RFC 9213 §2.1", "", "Cache-Control: max-age=60\nCDN-Cache-Control: max-age=\"10\"" => "does not store it: no-freshness";
    targeted_of_nonsense: "RFC 9213 §2.1", "", "Cache-Control: max-age=60\nCDN-Cache-Control: max-age=10;" => "stores it; fresh for 60 s";
    targeted_and_empty: "RFC 9213 §2.1", "", "Cache-Control: max-age=60\nCDN-Cache-Control:" => "stores it; fresh for 60 s";
    targeted_and_age: "RFC 9213 §2.2", "", "Age: 7200\nCDN-Cache-Control: max-age=3600" => "does not store it: expired";
    ours_before_others: "RFC 9213 §2.2", "", "CDN-Cache-Control: max-age=10\nPacecar-Cache-Control: max-age=5" => "stores it; fresh for 5 s";
    surrogate_control: "Edge Architecture 1.0 §2.2", "", "Cache-Control: no-store\nSurrogate-Control: max-age=5" => "stores it; fresh for 5 s";
    targeted_is_switched_off: "RFC 9213 §2.2", "", "Cache-Control: max-age=60\nCDN-Cache-Control: max-age=10", NO_TARGETS => "stores it; fresh for 60 s";
}
