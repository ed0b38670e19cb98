//! What is not to be advised any more, until the process ends: `POST /performance/profile/insights/mute`.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Request, State},
    http::StatusCode,
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::{
    api::{Shared, bad_request, parameters},
    body::Intake,
    openapi::words,
    problem::Problem,
};
use crate::advice::{self, can_mute, kinds, muting};

/// Bytes of a wish: the longest name with every character escaped, and room to spare.
const MOST_BYTES: u64 = 16 << 10;

/// What is to be muted, or not any more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Wish {
    #[schema(schema_with = words::mutable)]
    finding: String,
    /// `false` takes back what was muted here.
    mute: bool,
}

/// What is muted now.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MutedView {
    /// Ids of findings, and kinds: those of `advice.mute`, and then those that were muted here.
    muted: Vec<String>,
    /// The lines to paste into `proxy.toml` so that it stays so after a restart.
    config: String,
}

/// Mutes a finding, or takes that back.
pub(super) async fn mute(
    State(state): Shared,
    Extension(intake): Extension<Arc<Intake>>,
    request: Request,
) -> Result<Json<MutedView>, Problem> {
    let uri = request.uri().clone();
    parameters(&uri, &[])?;
    let body = intake.receive(request.into_body(), MOST_BYTES).await.map_err(|why| why.problem(&uri, "16 KiB"))?;
    let Wish { finding, mute } = wish(&body).map_err(|detail| bad_request(&uri, detail))?;
    let configured = state.advice.load();
    let conflict = |detail| Problem::new(StatusCode::CONFLICT, &uri, detail);
    if mute {
        let most = advice::Muted::MOST;
        let full = |_| conflict(format!("{most} findings are muted here: expected one of them to be taken back first"));
        state.muted.mute(&finding).map_err(full)?;
    } else {
        if let Some(by) = muting(&configured.mute, &finding) {
            let detail =
                format!("{finding:?} is muted by the configuration: expected {by:?} to be taken out of advice.mute");
            return Err(conflict(detail));
        }
        state.muted.unmute(&finding);
    }
    tracing::info!(finding, mute, "findings muted by the admin port");
    let muted = state.muted.and(&configured.mute);
    Ok(Json(MutedView { config: advice::mute_lines(&muted), muted }))
}

fn wish(body: &[u8]) -> Result<Wish, String> {
    // An object and nothing else: serde takes an array for the fields in their order.
    let expected = |error| format!("{error}: expected a JSON object with finding and mute");
    let object: Map<String, Value> = serde_json::from_slice(body).map_err(expected)?;
    let wish: Wish = serde_json::from_value(object.into()).map_err(expected)?;
    let (finding, most) = (&wish.finding, advice::Muted::LONGEST);
    if !(1..=most).contains(&finding.chars().count()) || finding.chars().any(char::is_control) {
        return Err(format!("finding = {finding:?}: expected 1 to {most} characters, and no control characters"));
    }
    if !can_mute(finding) {
        let kinds = kinds().collect::<Vec<_>>().join(", ");
        return Err(format!("finding = {finding:?}: expected the id of a finding, or a kind: {kinds}"));
    }
    Ok(wish)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        admin::fixture::{Answer, Exchange, advised_state, empty_state},
        state,
    };

    const PATH: &str = "/performance/profile/insights/mute";

    async fn posted(state: &Arc<state::State>, body: impl ToString) -> Answer {
        Exchange::of("POST", PATH).field("content-type", "application/json").body(body.to_string()).with(state).await
    }

    async fn answered(state: &Arc<state::State>, path: &str) -> Value {
        serde_json::from_str(&Exchange::get(path).with(state).await.body).unwrap()
    }

    fn configured(state: &state::State, names: &[&str]) {
        let mute = names.iter().map(|name| String::from(*name)).collect();
        state.advice.store(advice::Settings { mute }.into());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_muted_is_no_reason_and_comes_back() {
        let (state, errors) = (advised_state(), "errors:POST /orders");
        let seen = async || {
            let dashboard = answered(&state, "/performance/dashboard").await;
            let insights = answered(&state, "/performance/profile/insights").await;
            assert_eq!(dashboard["insights"], insights);
            let status = dashboard["status"].as_str().unwrap().to_owned();
            (status, insights["muted"].clone(), insights["muted_findings"].clone())
        };
        assert_eq!(seen().await, ("critical".into(), json!(0), json!([])));
        posted(&state, json!({"finding": errors, "mute": true})).await.assert_json(
            r#"{"muted":["errors:POST /orders"],"config":"[advice]\nmute = [\"errors:POST /orders\"]\n"}"#,
        );
        let title = "9.8 % of the requests of POST /orders are answered with an error";
        let shown = |by| json!({"id": errors, "title": title, "severity": "critical", "by": by});
        assert_eq!(seen().await, ("warning".into(), json!(1), json!([shown("admin")])));
        configured(&state, &["errors", "slow_endpoint"]);
        let (status, muted, findings) = seen().await;
        assert_eq!((&*status, muted), ("healthy", json!(2)));
        assert_eq!((&findings[0], &findings[1]["by"]), (&shown("config"), &json!("config")), "{findings:#}");
        configured(&state, &[]);
        posted(&state, json!({"finding": errors, "mute": false}))
            .await
            .assert_json(r#"{"muted":[],"config":"[advice]\nmute = []\n"}"#);
        assert_eq!(seen().await, ("critical".into(), json!(0), json!([])));
    }

    #[tokio::test]
    async fn both_ways_are_listed_and_each_name_once() {
        let state = empty_state();
        configured(&state, &["low_hit_rate", "errors:GET /b"]);
        for finding in ["slow_endpoint:GET /\\\"{id}", "errors:GET /b", "slow_endpoint:GET /\\\"{id}"] {
            assert_eq!(posted(&state, json!({"finding": finding, "mute": true})).await.status, StatusCode::OK);
        }
        posted(&state, json!({"finding": "errors:GET /never", "mute": false})).await.assert_json(
            r#"{"muted":["low_hit_rate","errors:GET /b","slow_endpoint:GET /\\\"{id}"],
            "config":"[advice]\nmute = [\"low_hit_rate\", \"errors:GET /b\", \"slow_endpoint:GET /\\\\\\\"{id}\"]\n"}"#,
        );
    }

    #[tokio::test]
    async fn what_cannot_be_is_a_conflict_that_says_why() {
        let state = empty_state();
        configured(&state, &["low_hit_rate", "errors:GET /b"]);
        for (finding, by) in [
            ("errors:GET /b", "errors:GET /b"),
            ("low_hit_rate:GET /a", "low_hit_rate"),
            ("low_hit_rate", "low_hit_rate"),
        ] {
            let answer = posted(&state, json!({"finding": finding, "mute": false})).await;
            let detail =
                format!("{finding:?} is muted by the configuration: expected {by:?} to be taken out of advice.mute");
            answer.assert_problem(StatusCode::CONFLICT, "Conflict", &detail, PATH);
        }
        (0..1000).for_each(|n| state.muted.mute(&format!("errors:GET /{n}")).unwrap());
        let answer = posted(&state, json!({"finding": "errors:GET /1000", "mute": true})).await;
        let detail = "1000 findings are muted here: expected one of them to be taken back first";
        answer.assert_problem(StatusCode::CONFLICT, "Conflict", detail, PATH);
    }

    #[tokio::test]
    async fn a_finding_has_a_name_that_can_be_one() {
        let longest = format!("errors:{}", "\u{1f680}".repeat(393));
        let state = empty_state();
        assert_eq!(posted(&state, json!({"finding": longest, "mute": true})).await.status, StatusCode::OK);
        let kinds = kinds().collect::<Vec<_>>().join(", ");
        let (text, object) =
            ("expected 1 to 400 characters, and no control characters", "expected a JSON object with finding and mute");
        for (body, detail) in [
            (json!({"finding": "", "mute": true}), format!("finding = \"\": {text}")),
            (json!({"finding": "errors:\u{7}", "mute": true}), format!("finding = \"errors:\\u{{7}}\": {text}")),
            (
                json!({"finding": format!("{longest}x"), "mute": true}),
                format!("finding = {longest:?}: {text}").replace("\": ", "x\": "),
            ),
            (
                json!({"finding": "slow", "mute": false}),
                format!("finding = \"slow\": expected the id of a finding, or a kind: {kinds}"),
            ),
            (json!({"finding": "errors"}), format!("missing field `mute`: {object}")),
            (
                json!({"finding": "errors", "mute": 1}),
                format!("invalid type: integer `1`, expected a boolean: {object}"),
            ),
            (
                json!({"finding": "errors", "mute": true, "by": "me"}),
                format!("unknown field `by`, expected `finding` or `mute`: {object}"),
            ),
            (json!(["errors", true]), format!("invalid type: sequence, expected a map at line 1 column 0: {object}")),
        ] {
            let state = empty_state();
            posted(&state, body).await.assert_problem(StatusCode::BAD_REQUEST, "Bad Request", &detail, PATH);
            assert!(state.muted.and(&[]).is_empty());
        }
    }
}
