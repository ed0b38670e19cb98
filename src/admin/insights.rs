//! What the figures say that should be done: `GET /performance/profile/insights`. Nothing looks for findings yet.

use axum::{Json, http::Uri};
use serde::Serialize;
use utoipa::ToSchema;

use super::{api::parameters, openapi::words, problem::Problem};

/// The answer.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Insights {
    #[schema(schema_with = words::nothing_yet)]
    findings: [(); 0],
}

/// What should be done, most urgent first.
pub(super) async fn insights(uri: Uri) -> Result<Json<Insights>, Problem> {
    parameters(&uri, &[])?;
    Ok(Json(Insights::default()))
}
