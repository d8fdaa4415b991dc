//! The queue and the worker on a real database.

mod attempts;
mod claims;
mod ends;
mod fairness;
mod fakes;
mod going;
mod inputs;
mod latency;
mod outage;
mod preemption;
mod records;
mod retention;
mod sweeps;

use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;
use vivarium::domain::ids::{BaseModelId, CheckpointId, JobId};
use vivarium::domain::job::{ErrorClass, JobError};
use vivarium::storage::Storage;
use vivarium::storage::queue::{self, Claim, Lease};

use crate::support::{TestDatabase, database};

/// A database with its pool and a plain connection for looking and preparing.
pub struct Bench {
    pub database: TestDatabase,
    pub storage: Storage,
    pub sql: PgConnection,
}

pub async fn bench() -> Bench {
    let database = database().await;
    Bench {
        storage: database.storage().await,
        sql: database.connection().await,
        database,
    }
}

/// A job to insert.
pub struct NewJob {
    pub kind: &'static str,
    pub state: &'static str,
    pub priority: i16,
    pub spec: Value,
    pub parents: Vec<JobId>,
}

impl Default for NewJob {
    fn default() -> Self {
        let model = BaseModelId::from_uuid(Uuid::now_v7());
        // needs no file to be claimed; the tests' recipes do not look at it
        let source = json!({"random": {"config": {}, "tokenizer": {"json": {}}}});
        Self {
            kind: "register",
            state: "queued",
            priority: 1,
            spec: json!({"kind": "register", "base_model": model, "source": source}),
            parents: Vec::new(),
        }
    }
}

impl Bench {
    /// Inserts a job as submission would.
    pub async fn insert(&mut self, new: NewJob) -> JobId {
        let id = JobId::from_uuid(Uuid::now_v7());
        sqlx::query(
            "insert into jobs (id, kind, owner, state, priority, spec, numerics_hash, spec_hash, queued_at)
             values ($1, $2, 'tests', $3, $4, $5, $1, $1, case when $3 = 'queued' then queue_now() end)",
        )
        .bind(id.as_str())
        .bind(new.kind)
        .bind(new.state)
        .bind(new.priority)
        .bind(&new.spec)
        .execute(&mut self.sql)
        .await
        .unwrap();
        for parent in &new.parents {
            sqlx::query("insert into job_parents (job, parent) values ($1, $2)")
                .bind(id.as_str())
                .bind(parent.as_str())
                .execute(&mut self.sql)
                .await
                .unwrap();
        }
        id
    }

    pub async fn queued(&mut self) -> JobId {
        self.insert(NewJob::default()).await
    }

    pub async fn blocked(&mut self, parents: &[&JobId]) -> JobId {
        let parents = parents.iter().map(|&id| id.clone()).collect();
        let state = "blocked";
        self.insert(NewJob {
            state,
            parents,
            ..NewJob::default()
        })
        .await
    }

    /// Runs one statement about a job and gives its one value.
    pub async fn one<T>(&mut self, statement: &'static str, job: &JobId) -> T
    where
        T: for<'r> sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres> + Send + Unpin,
    {
        let query = sqlx::query_scalar::<_, T>(statement).bind(job.as_str());
        query.fetch_one(&mut self.sql).await.unwrap()
    }

    pub async fn run(&mut self, statement: &'static str) {
        sqlx::raw_sql(statement)
            .execute(&mut self.sql)
            .await
            .unwrap();
    }

    pub async fn state(&mut self, job: &JobId) -> String {
        self.one("select state from jobs where id = $1", job).await
    }

    pub async fn error(&mut self, job: &JobId) -> Value {
        let statement = "select coalesce(error, 'null') from jobs where id = $1";
        self.one(statement, job).await
    }

    pub async fn events(&mut self, job: &JobId) -> Vec<String> {
        let statement =
            "select coalesce(array_agg(type order by id), '{}') from events where job = $1";
        self.one(statement, job).await
    }

    pub async fn outcomes(&mut self, job: &JobId) -> Vec<String> {
        let statement = "select coalesce(array_agg(outcome order by attempt), '{}') from attempts where job = $1 and outcome is not null";
        self.one(statement, job).await
    }

    pub async fn claim(&self) -> Claim {
        let claim = queue::claim(&self.storage, "w", 30.0).await.unwrap();
        claim.expect("a job that waits")
    }

    /// Lets every lease run out, as if time had passed.
    pub async fn expire(&mut self) {
        self.run("update jobs set lease_expires_at = queue_now() - interval '1 second' where lease_expires_at is not null").await;
    }

    /// An attempt that crashes: claimed, then taken back by a sweep.
    pub async fn crash(&mut self) -> Lease {
        let claim = self.claim().await;
        self.sweep_up().await;
        claim.lease
    }

    pub async fn sweep_up(&mut self) {
        self.expire().await;
        // A length of 0 stands for a database that has been up for long.
        let swept = queue::sweep(&self.storage, 0.0).await.unwrap();
        assert_eq!(swept.len(), 1);
    }
}

pub fn failure() -> JobError {
    JobError {
        class: ErrorClass::Data,
        code: "broken".into(),
        message: "it is broken".into(),
        retryable: false,
        attempt: 1,
    }
}

pub fn checkpoint_id() -> CheckpointId {
    CheckpointId::from_uuid(Uuid::now_v7())
}
