//! The queue over HTTP: who waits, why, until when, and what would be.

use axum::http::StatusCode;
use serde_json::{Value, json};
use vivarium::storage::queue;

use super::api::Api;

/// Three users: one job of anna's runs, two of hers and one of ben's wait in the normal band, one of carol's in the high one.
async fn shared() -> Api {
    let api = Api::new().await;
    let past = "insert into jobs (id, kind, owner, state, priority, spec, numerics_hash, spec_hash, queued_at, finished_at, attempt)
      values ('job_00000000000000000000000001', 'finetune', 'anna', 'succeeded', 1, '{}', 'p', 'p', queue_now(), queue_now(), 1);
      insert into attempts (job, attempt, lease_number, worker, started_at)
      values ('job_00000000000000000000000001', 1, 1, 'w', queue_now() - interval '100 seconds');
      update attempts set ended_at = started_at + interval '100 seconds', outcome = 'succeeded'";
    api.sql(past).await;
    add(&api, 2, "anna", 1).await;
    let claim = queue::claim(&api.state.storage, "w", 600.0).await.unwrap();
    assert_eq!(claim.unwrap().lease.job.as_str(), id(2));
    for (n, owner, priority) in [
        (3, "anna", 1),
        (4, "anna", 1),
        (5, "ben", 1),
        (6, "carol", 0),
    ] {
        add(&api, n, owner, priority).await;
    }
    api
}

fn id(n: u32) -> String {
    format!("job_{n:026}")
}

async fn add(api: &Api, n: u32, owner: &str, priority: i16) {
    let job = id(n);
    api.sql(&format!(
        "insert into jobs (id, kind, name, owner, state, priority, spec, numerics_hash, spec_hash, queued_at)
         values ('{job}', 'finetune', 'run {n}', '{owner}', 'queued', {priority}, '{{}}', '{n}', '{n}', queue_now())"
    ))
    .await;
}

fn column(rows: &Value, name: &str) -> Vec<Value> {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row[name].clone()).collect()
}

#[tokio::test]
async fn everybody_sees_the_order_and_the_reason_of_every_wait() {
    let api = shared().await;
    let queue = api.get("/v1/queue").await.body;
    assert_eq!(column(&queue["running"], "owner"), ["anna"]);
    let waiting = &queue["waiting"];
    assert_eq!(column(waiting, "job"), [id(6), id(5), id(3), id(4)]);
    assert_eq!(column(waiting, "position"), [1, 2, 3, 4]);
    assert_eq!(
        column(waiting, "reason"),
        ["slots", "priority", "priority", "priority"]
    );
    let first = waiting[0]["detail"].as_str().unwrap();
    assert!(
        first.contains(&id(2)) && first.contains("of anna"),
        "{first}"
    );
    // The one place is free when the running job has taken the usual 100 seconds, and each job takes as long.
    let starts = column(waiting, "start");
    let at = |value: &Value| {
        let format = &time::format_description::well_known::Rfc3339;
        time::OffsetDateTime::parse(value.as_str().unwrap(), format).unwrap()
    };
    for pair in starts.windows(2) {
        assert_eq!((at(&pair[1]) - at(&pair[0])).whole_seconds(), 100);
    }
    assert_eq!(column(&queue["users"], "owner")[0], "anna");
    let job = api.get(&format!("/v1/jobs/{}", id(5))).await.body;
    assert_eq!(job["waiting"]["reason"], "priority");
    assert_eq!(job["waiting"]["eta"], waiting[1]["start"]);
    let one = api.get(&format!("/v1/queue/{}", id(3))).await.body;
    assert_eq!(one, waiting[2]);
    let runs = api.get(&format!("/v1/queue/{}", id(2))).await;
    assert_eq!(runs.status, StatusCode::NOT_FOUND);
    let cut = api.get("/v1/queue?limit=1").await.body;
    assert_eq!(
        (cut["waiting"].as_array().unwrap().len(), &cut["not_shown"]),
        (1, &json!(3))
    );
}

#[tokio::test]
async fn what_would_be_is_told_and_nothing_is_queued() {
    let api = shared().await;
    let before = api.count("jobs").await;
    let body = json!({"jobs": [{"kind": "finetune", "owner": "carol", "priority": "high", "seconds": 50.0, "count": 2}]});
    let told = api.post("/v1/queue/simulate", &body).await;
    assert_eq!(told.status, StatusCode::OK, "{}", told.body);
    assert_eq!(column(&told.body["jobs"], "position"), [2, 3]);
    assert_eq!(column(&told.body["jobs"], "reason"), ["slots", "slots"]);
    assert_eq!(
        column(&told.body["jobs"], "job"),
        [Value::Null, Value::Null]
    );
    assert_eq!(column(&told.body["delayed"], "job"), [id(5), id(3), id(4)]);
    assert_eq!(
        column(&told.body["delayed"], "seconds"),
        [100.0, 100.0, 100.0]
    );
    assert_eq!(api.count("jobs").await, before);
}

#[tokio::test]
async fn a_question_that_cannot_be_answered_is_refused_by_field() {
    let api = Api::new().await;
    let wrong = [
        (json!({"jobs": []}), "/jobs"),
        (
            json!({"jobs": [{"kind": "finetune", "count": 1001}]}),
            "/jobs",
        ),
        (
            json!({"jobs": [{"kind": "finetune", "count": 0}]}),
            "/jobs/0/count",
        ),
        (
            json!({"jobs": [{"kind": "finetune", "seconds": -1}]}),
            "/jobs/0/seconds",
        ),
        (json!({"jobs": [{"kind": "dance"}]}), "/jobs/0/kind"),
        (
            json!({"jobs": [{"kind": "finetune", "owners": "a"}]}),
            "/jobs/0/owners",
        ),
    ];
    for (body, pointer) in wrong {
        let refused = api.post("/v1/queue/simulate", &body).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{body}");
        let pointers = column(&refused.body["errors"], "pointer");
        assert!(pointers.contains(&json!(pointer)), "{body}: {pointers:?}");
    }
}
