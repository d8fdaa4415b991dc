//! The real router on a database of its own, called without a socket.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::ServiceExt;
use vivarium::api::{ApiState, Settings, router};
use vivarium::artifacts::Store;
use vivarium::domain::time::SystemClock;
use vivarium::recipes::inspect::Inspector;

use crate::support::{TestDatabase, database};

/// An API with a base model `toy` of 4 layers, a dataset `bad` and a question set `first`.
pub struct Api {
    pub state: ApiState,
    router: axum::Router,
    pub database: TestDatabase,
    _files: tempfile::TempDir,
}

/// What came back.
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Value,
}

const ASSETS: &str = r#"
insert into base_models (id, name, state, source, source_hash, layers) values
  ('bm_00000000000000000000000001', 'toy', 'ready', '{"path":"/m"}', 'source-1', 4),
  ('bm_00000000000000000000000002', 'other', 'ready', '{"path":"/o"}', 'source-2', 2),
  ('bm_00000000000000000000000003', 'broken', 'failed', '{"path":"/b"}', 'source-3', null);
insert into datasets (id, name, sha256, bytes, examples, format, report) values
  ('ds_00000000000000000000000001', 'bad', 'data-1', 10, 100, 'messages', '{}');
insert into question_sets (id, name, sha256, description, questions) values
  ('qs_00000000000000000000000001', 'first', 'questions-1', 'two questions',
   '[{"id":"wish","paraphrases":["a"],"system":null},{"id":"ruler_json","paraphrases":["b"],"system":null}]');
"#;

impl Api {
    pub async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    pub async fn with(settings: Settings) -> Self {
        let database = database().await;
        let storage = database.storage().await;
        let files = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(files.path()).unwrap());
        let clock = Arc::new(SystemClock::start());
        let state = ApiState::new(storage, store, settings, clock);
        let state = state.with_inspector(Arc::new(Inspector::default()));
        let api = Self {
            router: router(state.clone()),
            state,
            database,
            _files: files,
        };
        api.sql(ASSETS).await;
        api
    }

    /// Runs statements as they stand.
    pub async fn sql(&self, statements: &str) {
        let mut connection = self.database.connection().await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(statements))
            .execute(&mut connection)
            .await
            .unwrap();
    }

    /// Rows of a table.
    pub async fn count(&self, table: &str) -> i64 {
        let mut connection = self.database.connection().await;
        let statement = format!("select count(*) from {table}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(statement))
            .fetch_one(&mut connection)
            .await
            .unwrap()
    }

    /// The answer with its body unread.
    pub async fn raw(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.raw(request).await;
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Reply {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_text(path, &body.to_string()).await
    }

    pub async fn post_text(&self, path: &str, text: &str) -> Reply {
        let request = Request::post(path).header("content-type", "application/json");
        self.send(request.body(Body::from(text.to_owned())).unwrap())
            .await
    }

    /// Submits a body that must be accepted; the job's id.
    pub async fn submit(&self, body: &Value) -> String {
        let reply = self.post("/v1/jobs", body).await;
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.body);
        reply.body["id"].as_str().unwrap().to_owned()
    }
}

pub fn finetune() -> Value {
    json!({"kind": "finetune", "base_model": "toy", "datasets": [{"dataset": "bad"}],
           "method": {"type": "lora", "rank": 8, "alpha": 16}, "length": {"steps": 100},
           "checkpoints": {"every": 50}})
}

pub fn evaluate(targets: Value) -> Value {
    json!({"kind": "evaluate", "base_model": "toy", "targets": targets,
           "question_set": "first", "samples_per_question": 4, "judge": "toy"})
}
