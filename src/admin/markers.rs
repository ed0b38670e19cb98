//! Moments from which on things may be different: `/performance/markers`.

use std::sync::Arc;

use axum::{
    Extension, Json,
    extract::{Request, State},
    http::{StatusCode, Uri},
};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::Instant;
use utoipa::ToSchema;

use super::{
    api::{Shared, bad_request, parameters},
    body::Intake,
    openapi::words,
    problem::Problem,
    profile::{Page, seconds},
};
use crate::{
    advice::{Kind, Marker},
    state,
};

/// Bytes of a wish for a marker.
const MOST_BYTES: u64 = 4 << 10;

/// Markers, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Markers {
    #[schema(max_items = 50)]
    markers: Vec<MarkerView>,
    /// How many are remembered altogether; at most 50.
    #[schema(maximum = 50)]
    total: usize,
    /// As many are shown at most.
    #[schema(minimum = 1, maximum = 100)]
    limit: usize,
    /// As many are left out before them.
    offset: usize,
}

/// A moment from which on things may be different.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MarkerView {
    /// When it was, in seconds since 1970.
    at_seconds: f64,
    #[schema(schema_with = words::marker_kind)]
    kind: &'static str,
    /// What it is called.
    #[schema(min_length = 1, max_length = 100)]
    label: String,
}

/// A marker that is to be set.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewMarker {
    /// What is new from now on, such as the version of the app. It may not have control characters.
    #[schema(pattern = r"^[^\u0000-\u001f\u007f-\u009f]{1,100}$")]
    label: String,
}

impl MarkerView {
    fn of(marker: &Marker, state: &state::State) -> Self {
        let Marker { at, kind, label } = marker;
        Self { at_seconds: seconds(state.profiler.since_1970(*at)), kind: kind.name(), label: label.clone() }
    }
}

/// Those that are remembered.
pub(super) async fn list(State(state): Shared, uri: Uri) -> Result<Json<Markers>, Problem> {
    let page = parameters(&uri, &["limit", "offset"])?.page().map_err(|detail| bad_request(&uri, detail))?;
    let (Page { limit, offset }, all) = (page, state.markers.all());
    let markers = all.iter().skip(offset).take(limit).map(|marker| MarkerView::of(marker, &state)).collect();
    Ok(Json(Markers { markers, total: all.len(), limit, offset }))
}

/// Sets one, of now.
pub(super) async fn add(
    State(state): Shared,
    Extension(intake): Extension<Arc<Intake>>,
    request: Request,
) -> Result<(StatusCode, Json<MarkerView>), Problem> {
    let uri = request.uri().clone();
    parameters(&uri, &[])?;
    let body = intake.receive(request.into_body(), MOST_BYTES).await.map_err(|why| why.problem(&uri, "4 KiB"))?;
    let label = label(&body).map_err(|detail| bad_request(&uri, detail))?;
    let marker = Marker { at: Instant::now().into_std(), kind: Kind::Deploy, label };
    let view = MarkerView::of(&marker, &state);
    tracing::info!(label = marker.label, "marker set by the admin port");
    state.markers.mark(marker);
    Ok((StatusCode::CREATED, Json(view)))
}

fn label(body: &[u8]) -> Result<String, String> {
    // An object and nothing else: serde takes an array for the fields in their order.
    let expected = |error| format!("{error}: expected a JSON object with label");
    let object: Map<String, Value> = serde_json::from_slice(body).map_err(expected)?;
    let NewMarker { label } = serde_json::from_value(object.into()).map_err(expected)?;
    let most = Marker::LONGEST_LABEL;
    if !(1..=most).contains(&label.chars().count()) || label.chars().any(char::is_control) {
        return Err(format!("label = {label:?}: expected 1 to {most} characters, and no control characters"));
    }
    Ok(label)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::fixture::{Answer, Exchange, empty_state};

    const PATH: &str = "/performance/markers";

    async fn posted(state: &Arc<state::State>, body: String) -> Answer {
        Exchange::of("POST", PATH).field("content-type", "application/json").body(body).with(state).await
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_set_is_listed_the_newest_first() {
        let state = empty_state();
        Exchange::get(PATH).with(&state).await.assert_json(r#"{"markers":[],"total":0,"limit":10,"offset":0}"#);
        for label in ["v1", "\u{e9}\u{1f680} \\\""] {
            tokio::time::advance(std::time::Duration::from_millis(1500)).await;
            let answer = posted(&state, serde_json::json!({ "label": label }).to_string()).await;
            assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        }
        Exchange::get(&format!("{PATH}?limit=1")).with(&state).await.assert_json(
            r#"{"markers":[{"at_seconds":1700000103.0,"kind":"deploy","label":"é🚀 \\\""}],"total":2,"limit":1,"offset":0}"#,
        );
        Exchange::get(&format!("{PATH}?offset=1")).with(&state).await.assert_json(
            r#"{"markers":[{"at_seconds":1700000101.5,"kind":"deploy","label":"v1"}],"total":2,"limit":10,"offset":1}"#,
        );
    }

    #[tokio::test]
    async fn a_label_is_text_for_people() {
        let longest = "\u{e9}".repeat(100);
        assert_eq!(posted(&empty_state(), format!(r#"{{"label":"{longest}"}}"#)).await.status, StatusCode::CREATED);
        let text = "expected 1 to 100 characters, and no control characters";
        let object = "expected a JSON object with label";
        for (body, detail) in [
            (r#"{"label":""}"#, format!("label = \"\": {text}")),
            (r#"{"label":"a\nb"}"#, format!("label = \"a\\nb\": {text}")),
            (&format!(r#"{{"label":"{longest}x"}}"#), format!("label = \"{longest}x\": {text}")),
            ("{}", format!("missing field `label`: {object}")),
            (r#"{"label":7}"#, format!("invalid type: integer `7`, expected a string: {object}")),
            (r#"{"label":null}"#, format!("invalid type: null, expected a string: {object}")),
            (r#"{"label":"a","kind":"purge"}"#, format!("unknown field `kind`, expected `label`: {object}")),
            (r#"["a"]"#, format!("invalid type: sequence, expected a map at line 1 column 0: {object}")),
        ] {
            let (state, body) = (empty_state(), body.to_owned());
            let answer = posted(&state, body).await;
            answer.assert_problem(StatusCode::BAD_REQUEST, "Bad Request", &detail, PATH);
            assert!(state.markers.all().is_empty());
        }
    }

    #[tokio::test]
    async fn purging_everything_is_marked() {
        let state = empty_state();
        for body in [r#"{"prefix":"/"}"#, r#"{"dry_run":true}"#, r#"{"mode":"soft"}"#] {
            let post = Exchange::of("POST", "/performance/cache/clear").field("content-type", "application/json");
            assert_eq!(post.body(body).with(&state).await.status, StatusCode::OK);
        }
        let marked: Vec<(Kind, String)> =
            state.markers.all().into_iter().map(|marker| (marker.kind, marker.label)).collect();
        assert_eq!(marked, [(Kind::Purge, "everything".into())]);
    }
}
