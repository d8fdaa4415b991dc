//! Assets and results over HTTP, asked of the real router on a real database.

mod adapters;
mod base_models;
mod datasets;
mod devices;
mod downloads;
mod estimates;
mod evaluation_estimates;
mod evaluations;
mod exchange;
mod published;
mod question_sets;
mod rates;
mod rows;
mod series;
mod vectors;

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use sqlx::PgConnection;
use tower::ServiceExt;
use vivarium::api::{ApiState, Settings, router};
use vivarium::artifacts::Store;
use vivarium::domain::time::SystemClock;
use vivarium::storage::Storage;

use crate::support::{TestDatabase, database};

/// A router with its own database and data folder.
struct Api {
    database: TestDatabase,
    storage: Storage,
    data: tempfile::TempDir,
    files: Arc<Store>,
    router: Router,
}

/// What came back.
struct Reply {
    status: StatusCode,
    headers: HeaderMap,
    bytes: Vec<u8>,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The problem's body, after its form was checked.
    fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], status);
        assert!(problem["code"].is_string() && problem["request_id"].is_string());
        problem
    }
}

async fn api() -> Api {
    api_with(Settings::default()).await
}

async fn api_with(settings: Settings) -> Api {
    api_on(settings, |_| {}).await
}

/// An API whose state was changed before it was put behind the router.
async fn api_on(settings: Settings, change: impl FnOnce(&mut ApiState)) -> Api {
    let database = database().await;
    let storage = database.storage().await;
    let data = tempfile::tempdir().unwrap();
    let files = Arc::new(Store::open(data.path()).unwrap());
    let clock = Arc::new(SystemClock::start());
    let mut state = ApiState::new(storage.clone(), files.clone(), settings, clock);
    change(&mut state);
    Api {
        database,
        storage,
        data,
        files,
        router: router(state),
    }
}

impl Api {
    async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        Reply {
            status: parts.status,
            headers: parts.headers,
            bytes,
        }
    }

    async fn get(&self, path: &str) -> Reply {
        self.get_with(path, &[]).await
    }

    async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.send(
            with(Request::get(path), headers)
                .body(Body::empty())
                .unwrap(),
        )
        .await
    }

    async fn post(&self, path: &str, media_type: &str, body: impl Into<Body>) -> Reply {
        let request = Request::post(path).header("content-type", media_type);
        self.send(request.body(body.into()).unwrap()).await
    }

    async fn post_json(&self, path: &str, body: &Value) -> Reply {
        self.post(path, "application/json", body.to_string()).await
    }

    async fn connection(&self) -> PgConnection {
        self.database.connection().await
    }

    async fn execute(&self, statement: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement))
            .execute(&mut self.connection().await)
            .await
            .unwrap();
    }

    /// Files under the data folder and rows of the tables that requests write.
    async fn left(&self) -> (usize, i64) {
        const ROWS: &str = "select (select count(*) from datasets) + (select count(*) from base_models)
            + (select count(*) from jobs) + (select count(*) from question_sets) + (select count(*) from adapters) + (select count(*) from events)";
        let rows = sqlx::query_scalar(ROWS)
            .fetch_one(&mut self.connection().await)
            .await
            .unwrap();
        (files_under(self.data.path()), rows)
    }

    /// A job that has succeeded; its id ends with `number`.
    async fn finished_job(&self, number: u32, kind: &str, spec: &Value) -> String {
        let job = format!("job_{number:026}");
        self.execute(&format!(
            "insert into jobs (id, kind, owner, state, priority, spec, numerics_hash, spec_hash, finished_at)
             values ('{job}', '{kind}', 'test', 'succeeded', 1, '{spec}', 'n{number}', 's{number}', queue_now())"
        ))
        .await;
        job
    }
}

fn with(
    mut request: axum::http::request::Builder,
    headers: &[(&str, &str)],
) -> axum::http::request::Builder {
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request
}

fn files_under(folder: &Path) -> usize {
    let paths = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    paths
        .map(|path| if path.is_dir() { files_under(&path) } else { 1 })
        .sum()
}
