#!/usr/bin/env bash
# Prints p50 and p99 of POST /v1/jobs with 10,000 jobs waiting: the real router on a real database. The test cluster does
# not flush to disk; a durable one adds the time of one flush to each submission.
set -euo pipefail
cd "$(dirname "$0")/.."
exec cargo test --test it -- --ignored --nocapture ten_thousand_jobs_wait
