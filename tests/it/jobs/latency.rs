//! How long a submission takes while 10,000 jobs wait; run by `benches/submit-latency.sh`.

use std::time::Instant;

use axum::http::StatusCode;
use serde_json::json;
use vivarium::api::Settings;

use super::api::{Api, finetune};

const QUEUED: &str = "
insert into jobs (id, kind, owner, state, priority, spec, numerics_hash, spec_hash, queued_at)
select 'job_' || lpad(n::text, 26, '0'), 'finetune', 'local', 'queued', 1, '{}', 'n' || n, 's' || n,
  queue_now() - make_interval(secs => 20000 - n) from generate_series(1, 10000) n;
analyze jobs;";

#[tokio::test]
#[ignore = "a measurement of a minute"]
async fn submissions_are_quick_while_ten_thousand_jobs_wait() {
    let settings = Settings {
        queued_jobs: 20_000,
        ..Settings::default()
    };
    let api = Api::with(settings).await;
    api.sql(QUEUED).await;
    let mut seconds = Vec::new();
    for seed in 0..1000 {
        let mut body = finetune();
        body["seed"] = json!(seed);
        let began = Instant::now();
        let reply = api.post("/v1/jobs", &body).await;
        seconds.push(began.elapsed().as_secs_f64());
        assert_eq!(reply.status, StatusCode::ACCEPTED, "{}", reply.body);
    }
    seconds.sort_by(f64::total_cmp);
    let at = |share: f64| seconds[(share * (seconds.len() - 1) as f64) as usize] * 1e3;
    println!(
        "POST /v1/jobs with 10,000 queued: p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    assert!(at(0.99) <= 50.0, "p99 is {:.1} ms, above 50 ms", at(0.99));
}
