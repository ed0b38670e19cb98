//! Answers and header fields that many operations have.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::openapi::{
    ContentBuilder, Header, HeaderBuilder, ObjectBuilder, Ref, RefOr, Response, ResponseBuilder, Type,
};

use super::told::text;

/// The name of a problem, its status, what it is for, and an example of its detail.
pub(super) const PROBLEMS: [(&str, u16, &str, &str); 17] = [
    (
        "BadRequest",
        400,
        "Something about the request is wrong. A request that is no HTTP is answered without a body.",
        "unknown parameter \"limt\": expected limit, by",
    ),
    (
        "Unauthorized",
        401,
        "A token is set, and the request does not show it.",
        "Authorization is missing: expected the token, as Bearer or as the password of Basic",
    ),
    (
        "Forbidden",
        403,
        "A page of another site has a browser send this, or what is asked for is a client's.",
        "Origin \"https://evil.example\": expected a write from outside a browser, or from a page of this address",
    ),
    ("NotFound", 404, "There is nothing at this address.", "there is nothing at this address"),
    (
        "MethodNotAllowed",
        405,
        "Another method of the same path. Allow says which there are.",
        "PATCH: expected one of the methods in Allow",
    ),
    ("RequestTimeout", 408, "The body took longer than 30 seconds.", "the body took too long to come"),
    (
        "Conflict",
        409,
        "What is there stands against it.",
        "\"errors:POST /orders\" is muted by the configuration: expected \"errors\" to be taken out of advice.mute",
    ),
    ("Gone", 410, "It was there, and is not kept any more.", "the result of the task is not kept any more"),
    (
        "PreconditionFailed",
        412,
        "What is there does not meet If-Match or If-None-Match.",
        "what is there under this key does not meet If-Match or If-None-Match",
    ),
    ("PayloadTooLarge", 413, "The body is larger than it may be.", "expected at most 256 KiB"),
    (
        "UnsupportedMediaType",
        415,
        "The body of a POST is not called JSON, or a value has a content coding.",
        "no Content-Type: expected application/json, for curl with -H 'Content-Type: application/json'",
    ),
    (
        "MisdirectedRequest",
        421,
        "Host is neither an IP address nor localhost nor a name of the configuration.",
        "Host \"evil.example\": expected an IP address, localhost or a name in admin.hosts",
    ),
    (
        "UnprocessableContent",
        422,
        "The idempotency key came with another request before.",
        "this Idempotency-Key came with another request, which began task_4a1e6f0c2b9d4e7f8a3c5d6e7f8091a2: expected a key of its own",
    ),
    (
        "TooManyRequests",
        429,
        "This client has sent as many requests as it may. Retry-After says when the next may come.",
        "50 requests a minute: expected the next one in 2 seconds",
    ),
    ("HeadTooLarge", 431, "The head is larger than 16 KiB. The answer has no body, and ends the connection.", ""),
    (
        "InternalServerError",
        500,
        "A defect of Pacecar. It costs this answer and nothing else.",
        "a defect of Pacecar; its log says where",
    ),
    (
        "ServiceUnavailable",
        503,
        "There is no room for it now, or it is not available. Retry-After says when the same may do better.",
        "bodies that others send take all the room there is",
    ),
];

/// The problem with this status, as an operation refers to it.
pub(super) fn problem(status: u16) -> Option<Ref> {
    let named = PROBLEMS.iter().find(|(_, of, ..)| *of == status);
    named.map(|(name, ..)| Ref::from_response_name(*name))
}

pub(super) fn responses() -> BTreeMap<String, RefOr<Response>> {
    PROBLEMS
        .iter()
        .map(|(name, status, what, detail)| ((*name).into(), response(*status, what, detail).into()))
        .collect()
}

fn response(status: u16, what: &str, detail: &str) -> Response {
    let response = ResponseBuilder::new().description(what);
    let response = match status {
        401 => response.header_ref("WWW-Authenticate", header_ref("WWW-Authenticate")),
        405 => response.header_ref("Allow", header_ref("Allow")),
        429 => limited(response).header_ref("Retry-After", header_ref("Retry-After")),
        503 => response.header_ref("Retry-After", header_ref("Retry-After")),
        // hyper answers this one, before anything of ours is asked.
        431 => return response.build(),
        _ => response,
    };
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem")));
    response.content("application/problem+json", content.example(Some(example(status, detail))).build()).build()
}

fn example(status: u16, detail: &str) -> Value {
    let title = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let (instance, about) = ("/performance/profile/slowest", "about:blank");
    let mut example = json!({"type": about, "title": title, "status": status, "detail": detail, "instance": instance});
    if status == 429 {
        example["type"] = json!("https://iana.org/assignments/http-problem-types#quota-exceeded");
        example["violated-policies"] = json!(["profile-slowest"]);
    }
    example
}

/// With the fields that tell a client how many requests it may still send.
pub(super) fn limited(response: ResponseBuilder) -> ResponseBuilder {
    ["RateLimit", "RateLimit-Policy"]
        .into_iter()
        .fold(response, |response, name| response.header_ref(name, header_ref(name)))
}

pub(super) fn header_ref(name: &str) -> Ref {
    Ref::new(format!("#/components/headers/{name}"))
}

pub(super) fn headers() -> BTreeMap<String, RefOr<Header>> {
    let seconds = || ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
    [
        ("Age", seconds(), "Seconds since the value was put (RFC 9111 §5.1).", json!(17)),
        ("Allow", text(), "The methods of this path (RFC 9110 §10.2.1).", json!("GET,HEAD")),
        ("Cache-Status", text(), "What the cache did (RFC 9211).", json!("pacecar; hit; ttl=283")),
        ("ETag", text(), "Of the value as it is now (RFC 9110 §8.8.3).", json!("\"abc-1\"")),
        ("Location", text(), "Where the task is (RFC 9110 §10.2.2).", json!("/performance/tasks/task_4a1e6f0c2b9d4e7f8a3c5d6e7f8091a2")),
        (
            "RateLimit",
            text(),
            "Requests that may still come (`r`), and seconds until there are more (`t`); draft-ietf-httpapi-ratelimit-headers.",
            json!("\"profile-slowest\";r=49;t=2"),
        ),
        (
            "RateLimit-Policy",
            text(),
            "Requests that may come (`q`) in so many seconds (`w`).",
            json!("\"profile-slowest\";q=50;w=60"),
        ),
        ("Retry-After", seconds(), "Seconds (RFC 9110 §10.2.3).", json!(2)),
        ("WWW-Authenticate", text(), "How the token can be shown (RFC 9110 §11.6.1).", json!("Basic realm=\"Pacecar\", charset=\"UTF-8\", Bearer")),
    ]
    .into_iter()
    .map(|(name, schema, what, example)| {
        let header = HeaderBuilder::new().schema(Some(schema)).description(Some(what)).example(Some(example));
        (name.into(), header.build().into())
    })
    .collect()
}
