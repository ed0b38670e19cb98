//! May the cache take part in a request?

use super::*;

table! {
    "May the cache take part?", takes_part,
    "A request that it takes no part in is passed on, and its answer is not stored.";

    get: "RFC 9110 §9.2.3", "GET", "" => "takes part";
    head: "RFC 9110 §9.3.2", "HEAD", "" => "takes part";
    post: "RFC 9111 §3", "POST", "" => "takes no part: method";
    put: "RFC 9111 §3", "PUT", "" => "takes no part: method";
    options: "RFC 9110 §9.3.7", "OPTIONS", "" => "takes no part: method";
    methods_are_case_sensitive: "RFC 9110 §9.1", "get", "" => "takes no part: method";
    get_with_a_body: "RFC 9110 §9.3.1", "Content-Length: 1", "" => "takes no part: body";
    get_with_a_chunked_body: "RFC 9110 §9.3.1", "Transfer-Encoding: chunked", "" => "takes no part: body";
    get_with_an_empty_body: "RFC 9110 §9.3.1", "Content-Length: 0", "" => "takes part";
    upgrade: "RFC 9110 §7.8", "Connection: upgrade\nUpgrade: websocket", "" => "takes no part: upgrade";
    route_that_is_not_cached: "", "GET", "", ROUTE_CACHE_OFF => "takes no part: disabled";
    range: "RFC 9110 §14.2", "Range: bytes=0-1", "" => "takes part";
    if_none_match: "RFC 9111 §4.3.2", "If-None-Match: \"a\"", "" => "takes part";
    if_modified_since: "RFC 9111 §4.3.2", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT", "" => "takes part";
    if_match: "RFC 9111 §4.3.2", "If-Match: \"a\"", "" => "takes no part: conditional";
    if_unmodified_since: "RFC 9111 §4.3.2", "If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT", "" => "takes no part: conditional";
    request_no_store: "RFC 9111 §5.2.1.5", "Cache-Control: no-store", "" => "takes no part: request-no-store";
    request_no_store_among_others: "RFC 9111 §5.2.1.5", "Cache-Control: max-age=0\nCache-Control: No-Store", "" => "takes no part: request-no-store";
    request_no_cache: "RFC 9111 §5.2.1.4", "Cache-Control: no-cache", "" => "takes part";
    method_override: "RFC 9111 §2", "X-HTTP-Method-Override: DELETE", "" => "takes no part: unkeyed-field";
    rewritten_url: "RFC 9111 §2", "X-Original-URL: /admin", "" => "takes no part: unkeyed-field";
    other_host: "RFC 9111 §2", "X-Host: evil", "" => "takes no part: unkeyed-field";
    field_that_connection_names: "RFC 9110 §7.6.1", "Connection: X-A\nX-A: 1", "" => "takes no part: unkeyed-field";
    connection_names_what_is_not_there: "RFC 9110 §7.6.1", "Connection: X-A", "" => "takes part";
    keep_alive: "RFC 9110 §7.6.1", "Connection: keep-alive\nKeep-Alive: timeout=5", "" => "takes part";
}
