//! Errors of the admin port, as RFC 9457 has them.

use axum::{
    http::{
        HeaderName, HeaderValue, StatusCode, Uri,
        header::{CONTENT_TYPE, RETRY_AFTER},
    },
    response::{IntoResponse, Response},
};
use serde::Serialize;
use utoipa::ToSchema;

/// An error answer. `detail` names what was given and what was expected, and nothing of the inside.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    kind: Kind,
    detail: String,
    instance: String,
    fields: Vec<(HeaderName, HeaderValue)>,
}

/// What a client can tell problems apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The status says it all.
    Blank,
    /// Too many requests under this policy; as the draft ratelimit-headers has it registered.
    QuotaExceeded { policy: &'static str },
}

impl Problem {
    pub(super) fn new(status: StatusCode, uri: &Uri, detail: impl Into<String>) -> Self {
        Self { status, kind: Kind::Blank, detail: detail.into(), instance: uri.path().into(), fields: vec![] }
    }

    pub(super) fn kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// With this field, beside others of its name.
    pub(super) fn field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.push((name, value));
        self
    }

    /// With `Retry-After`, in seconds: the same request may do better then (RFC 9110 §10.2.3).
    pub(super) fn retry_after(self, seconds: u32) -> Self {
        self.field(RETRY_AFTER, seconds.into())
    }
}

/// An error (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Body<'a> {
    /// `about:blank` where it says no more than the status does.
    r#type: &'static str,
    /// The reason phrase of the status.
    title: &'static str,
    /// The status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What was given, and what was expected.
    detail: &'a str,
    /// The path that was asked for.
    instance: &'a str,
    /// The limits that are used up, by name.
    #[serde(rename = "violated-policies", skip_serializing_if = "Option::is_none")]
    violated_policies: Option<[&'static str; 1]>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (r#type, violated_policies) = match self.kind {
            // RFC 9457 §4.2.1: it says no more than the status does.
            Kind::Blank => ("about:blank", None),
            Kind::QuotaExceeded { policy } => {
                ("https://iana.org/assignments/http-problem-types#quota-exceeded", Some([policy]))
            }
        };
        let body = Body {
            r#type,
            title: self.status.canonical_reason().unwrap_or_default(),
            status: self.status.as_u16(),
            detail: &self.detail,
            instance: &self.instance,
            violated_policies,
        };
        let mut response = (self.status, axum::Json(body)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response.headers_mut().extend(self.fields);
        response
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    #[tokio::test]
    async fn members_are_in_the_order_of_the_standard_and_foreign_text_is_escaped() {
        let uri = "/performance?x=1".parse().unwrap();
        let response = Problem::new(StatusCode::BAD_REQUEST, &uri, "by = \"<b>\": expected p50").into_response();
        let body = to_bytes(response.into_body(), 1000).await.unwrap();
        let expected = concat!(
            r#"{"type":"about:blank","title":"Bad Request","status":400,"#,
            r#""detail":"by = \"<b>\": expected p50","instance":"/performance"}"#
        );
        assert_eq!(body, expected);
    }
}
