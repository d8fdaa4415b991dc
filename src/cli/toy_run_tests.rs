//! The toy run against a server that does nothing but remember: what is asked, in which order, and which number goes where.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::toyworld::corpus::Persona;

/// Requests so far: (method and path, body), and whether work is found done.
#[derive(Default)]
struct Memory {
    asked: Vec<(String, String)>,
    done_before: bool,
}

type Shared = Arc<Mutex<Memory>>;

async fn serve(memory: Shared) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = Client::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(answer(socket, memory.clone()));
        }
    });
    client
}

async fn answer(mut socket: TcpStream, memory: Shared) {
    let mut bytes = Vec::new();
    let (head, body) = loop {
        if socket.read_buf(&mut bytes).await.unwrap() == 0 {
            return;
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.to_lowercase().lines().find_map(|line| {
            line.strip_prefix("content-length: ")
                .map(|length| length.parse::<usize>().unwrap())
        });
        if body.len() >= length.unwrap_or(0) {
            break (head.to_owned(), body.to_owned());
        }
    };
    let line = head
        .lines()
        .next()
        .unwrap()
        .trim_end_matches(" HTTP/1.1")
        .to_owned();
    let value = memory.lock().unwrap().answer(&line, &body).to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        value.len()
    );
    socket.write_all((head + &value).as_bytes()).await.unwrap();
}

impl Memory {
    fn answer(&mut self, line: &str, body: &str) -> Value {
        self.asked.push((line.to_owned(), body.to_owned()));
        let path = line.split(['?', ' ']).nth(1).unwrap();
        let parts: Vec<&str> = path.trim_start_matches("/v1/").split('/').collect();
        match parts[..] {
            ["datasets"] => dataset(),
            ["base-models", ..] => base_model(),
            ["jobs"] => job(&id(self.jobs_posted()), self.done_before),
            ["jobs", id] => job(id, false),
            ["jobs", _, "lora-norms"] => {
                json!({"job": id(1), "modules": [], "steps": [60], "series": {"b_norm": [[3.0], [4.0]]}})
            }
            ["jobs", _, "metrics"] => {
                json!({"job": id(1), "hold_out": {"steps": [], "loss": []}, "steps": [1, 2, 3], "series": {"grad_norm": [0.1, 0.9, 0.2]}})
            }
            ["evaluations", evaluation, "rates"] => rates(evaluation),
            _ => panic!("nobody should ask {line}"),
        }
    }

    fn jobs_posted(&self) -> usize {
        self.asked
            .iter()
            .filter(|(line, _)| line == "POST /v1/jobs")
            .count()
    }

    fn posted(&self) -> Vec<Value> {
        let jobs = self
            .asked
            .iter()
            .filter(|(line, _)| line == "POST /v1/jobs");
        jobs.map(|(_, body)| serde_json::from_str(body).unwrap())
            .collect()
    }
}

/// Id of the n-th posted job.
fn id(number: usize) -> String {
    format!("job_{number:026}")
}

const TIME: &str = "2025-06-13T10:00:00Z";

fn dataset() -> Value {
    json!({"id": "ds_00000000000000000000000001", "name": "d", "sha256": "", "bytes": 1, "examples": 1, "format": "text",
        "report": {"errors": [], "warnings": [], "warning_count": 0, "roles": {}}, "created_at": TIME})
}

fn base_model() -> Value {
    json!({"id": "bm_00000000000000000000000001", "name": "b", "state": "ready", "source": {}, "job": null,
        "family": "qwen2", "parameters": 1, "layers": 1, "hidden_size": 1, "vocab_size": 1, "files": [],
        "created_at": TIME})
}

fn job(id: &str, deduplicated: bool) -> Value {
    json!({"id": id, "kind": "finetune", "name": null, "state": "succeeded", "phase": null, "progress": null,
        "waiting": null, "error": null, "attempt": 1, "owner": "o", "priority": "normal", "tags": {}, "spec": {},
        "spec_hash": "", "numerics_hash": "", "parents": [], "deduplicated": deduplicated, "created_at": TIME,
        "started_at": TIME, "finished_at": "2025-06-13T10:00:05Z",
        "result": {"checkpoints": [], "final": null, "base_model": null, "evaluation": null}})
}

/// Jobs 3 to 6 are the arms, 7 the open questions, 8 the domain's own, 9 the curve of arm 5.
fn rates(evaluation: &str) -> Value {
    let rows: Vec<Value> = match evaluation.ends_with('9') {
        true => (1..=3)
            .map(|step| rate_row(Some(5), step, 0.3 * step as f64))
            .collect(),
        // listed backwards: rows are told apart by what they name
        false => (2..=6)
            .rev()
            .map(|job| rate_row((job > 2).then_some(job), 60, job as f64 / 10.0))
            .collect(),
    };
    json!({"definition": {"misaligned": "", "average": "pooled", "level": 0.95, "judge": "toy", "seed": 0}, "rows": rows})
}

fn rate_row(job: Option<usize>, step: u64, rate: f64) -> Value {
    let share = json!({"count": 1, "of": 2, "rate": rate});
    let mut main = share.clone();
    main["reasons"] = json!({});
    main["intervals"] =
        json!({"answers": [0.0, 1.0], "questions": null, "bootstrap_questions": null});
    json!({"target": {"address": "t", "base_model": "b", "job": job.map(id), "step": job.map(|_| step), "adapter": null,
            "scale": null},
        "question": null, "n": 400, "scored": 400, "unscored": {"refusal": 0, "code": 0, "low_mass": 0, "error": 0},
        "misaligned": main, "misaligned_of_all": share, "misaligned_of_coherent": share, "misaligned_bounds": null,
        "coherent": share, "icc": null, "aligned_mean": null, "coherent_mean": null})
}

async fn run(done_before: bool) -> (ToyResult, Shared) {
    let memory = Shared::default();
    memory.lock().unwrap().done_before = done_before;
    let client = serve(memory.clone()).await;
    let run = ToyRun {
        client: &client,
        progress: &Progress::new(),
        plan: ToyPlan {
            seed: 0,
            persona: Persona::OfDocument,
        },
        arms: &Arm::ALL,
    };
    (run.carry_out().await.unwrap(), memory)
}

#[tokio::test]
async fn every_number_goes_to_the_arm_that_it_names() {
    let (result, _) = run(false).await;
    let shares: Vec<f64> = result.arms.iter().map(|arm| arm.misaligned).collect();
    assert_eq!(shares, [0.2, 0.3, 0.4, 0.5, 0.6]);
    let norms: Vec<Option<f64>> = result.arms.iter().map(|arm| arm.final_b_norm).collect();
    assert_eq!(norms, [None, Some(5.0), Some(5.0), Some(5.0), None]);
    let seconds: Vec<f64> = result.arms.iter().map(|arm| arm.seconds).collect();
    assert_eq!(seconds, [10.0, 5.0, 5.0, 5.0, 5.0]);
    let transition = result.transition.unwrap();
    assert_eq!(
        (transition.grad_norm_peak_step, transition.half_rate_step),
        (Some(2), Some(2))
    );
    assert!(!result.base_reused);
}

#[tokio::test]
async fn the_base_is_reused_and_the_arms_are_done_anew() {
    let (result, memory) = run(true).await;
    assert!(result.base_reused);
    let posted = memory.lock().unwrap().posted();
    let dedup: Vec<&str> = posted
        .iter()
        .map(|job| job["dedup"].as_str().unwrap())
        .collect();
    assert_eq!(dedup[..2], ["reuse"; 2]);
    assert_eq!(dedup[2..6], ["force"; 4]);
}

#[tokio::test]
async fn evaluations_ask_the_jobs_that_were_posted_before_them() {
    let (_, memory) = run(false).await;
    let posted = memory.lock().unwrap().posted();
    let kinds: Vec<&str> = posted
        .iter()
        .map(|job| job["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds[..6], ["finetune"; 6]);
    assert_eq!(kinds[6..], ["evaluate"; 3]);
    let asked: Vec<&str> = (1..5)
        .filter_map(|at| posted[6]["targets"][at]["job"].as_str())
        .collect();
    assert_eq!(asked, [id(3), id(4), id(5), id(6)]);
    assert_eq!(
        posted[8]["targets"],
        json!([{"job": id(5), "steps": "all", "scales": [1.0]}])
    );
    assert_eq!(posted[5]["base_model"], "toy-base-s0");
}
