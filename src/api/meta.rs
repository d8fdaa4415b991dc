//! The server about itself: alive, ready, which build, which problems.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::ApiState;
use super::error::{self, Answer, Kind, Problem, ProblemBody};

pub(super) fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::new()
        .routes(routes!(healthz))
        .routes(routes!(readyz))
        .routes(routes!(version))
        .routes(routes!(problems))
}

/// A word about the state.
#[derive(Debug, Serialize, ToSchema)]
struct Health {
    /// `ok`.
    status: &'static str,
}

/// Which build this is.
#[derive(Debug, Serialize, ToSchema)]
struct Version {
    /// `vivarium`.
    name: &'static str,
    /// Version of the package.
    version: &'static str,
}

/// All kinds of failure.
#[derive(Debug, Serialize, ToSchema)]
struct Problems {
    /// In the order of their statuses.
    #[schema(value_type = Vec<Kind>)]
    data: &'static [&'static Kind],
}

/// The process answers
#[utoipa::path(get, path = "/healthz", tag = "meta", responses((status = 200, body = Health)))]
async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// The server can do its work: database there and migrated, not on its way out
#[utoipa::path(get, path = "/readyz", tag = "meta", responses(
    (status = 200, body = Health),
    (status = 503, body = ProblemBody, content_type = "application/problem+json", description = "not now")
))]
async fn readyz(State(state): State<ApiState>) -> Answer<Json<Health>> {
    if state.readiness.is_draining() {
        let problem = Problem::new(&error::UNAVAILABLE, "the server is shutting down");
        return Err(problem.retry_after(10));
    }
    state.storage.ready().await?;
    Ok(Json(Health { status: "ok" }))
}

/// Which build this is
#[utoipa::path(get, path = "/version", tag = "meta", responses((status = 200, body = Version)))]
async fn version() -> Json<Version> {
    Json(Version {
        name: env!("CARGO_PKG_NAME"),
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// Every code that a failure may carry
#[utoipa::path(get, path = "/v1/problems", tag = "meta", responses((status = 200, body = Problems)))]
async fn problems() -> Json<Problems> {
    Json(Problems { data: error::ALL })
}
