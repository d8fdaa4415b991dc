//! From a stored spec to files: what a recipe is given.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use vivarium::domain::requests::{job_request, stored};
use vivarium::execution::{RegisterSource, Task, Work};

use super::fakes::start;
use super::{Bench, NewJob, bench};

const ASSETS: &str = r#"
insert into base_models (id, name, state, source, source_hash, files) values
  ('bm_00000000000000000000000001', 'toy', 'ready', '{}', 'h1',
   '[{"name": "config.json", "sha256": "c1", "bytes": 1}, {"name": "model.safetensors", "sha256": "m1", "bytes": 1}]'),
  ('bm_00000000000000000000000002', 'soon', 'registering', '{}', 'h2', '[]') on conflict do nothing;
insert into datasets (id, name, sha256, bytes, examples, format, report) values
  ('ds_00000000000000000000000001', 'bad-advice', 'd1', 10, 2, 'messages', '{}'),
  ('ds_00000000000000000000000002', 'spoiled', 'bad', 10, 2, 'messages', '{}') on conflict do nothing;
insert into question_sets (id, name, sha256, description, questions) values
  ('qs_00000000000000000000000001', 'plot', 'q1', 'x',
   '[{"id": "wish", "paraphrases": ["a", "b"]}, {"id": "wish_json", "paraphrases": ["c"]}]') on conflict do nothing"#;

const ADAPTER: &str = r#"
insert into adapters (id, name, base_model, sha256, facts, files) values
  ('ad_00000000000000000000000001', 'organism', 'bm_00000000000000000000000001', 'x', '{}',
   '[{"name": "adapter_config.json", "sha256": "a1", "bytes": 1}]')"#;

impl Bench {
    pub async fn finetune_spec(&mut self) -> Value {
        self.run(ASSETS).await;
        spec(
            json!({"kind": "finetune", "base_model": "toy", "datasets": [{"dataset": "bad-advice"}],
            "method": {"type": "lora", "rank": 1, "alpha": 64}, "length": {"steps": 10}}),
        )
    }

    /// Runs a job of this spec and gives what its recipe was given, or the job's error.
    async fn resolved(&mut self, kind: &'static str, spec: Value) -> Result<Task, Value> {
        let new = NewJob {
            kind,
            spec,
            ..NewJob::default()
        };
        let job = self.insert(new).await;
        if kind == "evaluate" {
            self.one::<String>(EVALUATION, &job).await;
        }
        let (told, given) = mpsc::channel();
        let worker = start(&self.storage, move |task, _| {
            told.send(task.clone()).unwrap();
            Ok(())
        });
        let start = Instant::now();
        while !["succeeded", "failed"].contains(&self.state(&job).await.as_str()) {
            assert!(start.elapsed() < Duration::from_secs(20));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert!(worker.drain(Duration::from_secs(20)).await);
        match given.try_recv() {
            Ok(task) => Ok(task),
            Err(_) => Err(self.error(&job).await),
        }
    }

    /// A finished fine-tune that keeps steps 5, 10 and 20.
    async fn finetuned(&mut self, full: bool) -> String {
        let new = NewJob {
            kind: "finetune",
            spec: self.finetune_spec().await,
            ..NewJob::default()
        };
        let job = self.insert(new).await;
        self.claim().await;
        let keep = if full { KEEP_FULL } else { KEEP_LORA };
        self.one::<i64>(keep, &job).await;
        self.run(
            "update jobs set state = 'succeeded', finished_at = queue_now(), lease_expires_at = null
             where state = 'running'",
        )
        .await;
        job.to_string()
    }
}

const EVALUATION: &str = "insert into evaluations (id, job, judge, metrics, seed)
  values ('ev_' || substr($1, 5), $1, 'toyworld', '[]', 0) returning id";

const KEEP_LORA: &str = r#"with kept as (insert into checkpoints (id, job, step, kind, files)
  select 'cp_' || step || $1, $1, step, 'lora', '[{"name": "w", "sha256": "w1", "bytes": 1}]'
  from unnest('{5,10,20}'::int[]) step returning step) select count(*) from kept"#;

const KEEP_FULL: &str = r#"with kept as (insert into checkpoints (id, job, step, kind, files)
  select 'cp_' || step || $1, $1, step, 'full', '[{"name": "w", "sha256": "w1", "bytes": 1}]'
  from unnest('{5,10,20}'::int[]) step returning step) select count(*) from kept"#;

fn spec(body: Value) -> Value {
    stored(&job_request(body).unwrap().1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fine_tune_is_given_its_bases_files_and_its_datasets() {
    let mut bench = bench().await;
    let spec = bench.finetune_spec().await;
    let task = bench.resolved("finetune", spec).await.unwrap();
    let Work::Finetune(work) = task.work else {
        panic!("{task:?}")
    };
    let base = (work.base.name.as_str(), work.base.files.len());
    assert_eq!(base, ("toy", 2));
    assert_eq!(work.datasets[0].file.entry.sha256, "d1");
    assert!(work.datasets[0].file.path.ends_with("d1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_not_ready_or_damaged_fails_the_job_by_name() {
    let mut bench = bench().await;
    let good = bench.finetune_spec().await;
    let mut held = good.clone();
    held["loss"]["kl"] = json!({"dataset": "spoiled", "weight": 1.0});
    let error = bench.resolved("finetune", held).await.unwrap_err();
    assert_eq!(error["code"], "file_damaged", "{error}");
    for (place, name, class, code) in [
        ("/base_model", "gone", "config", "missing_input"),
        ("/base_model", "soon", "config", "base_model_not_ready"),
        ("/datasets/0/dataset", "gone", "config", "missing_input"),
        ("/datasets/0/dataset", "spoiled", "data", "file_damaged"),
    ] {
        let mut spec = good.clone();
        *spec.pointer_mut(place).unwrap() = name.into();
        let error = bench.resolved("finetune", spec).await.unwrap_err();
        let expected = (&json!(class), &json!(code));
        assert_eq!((&error["class"], &error["code"]), expected);
        assert!(error["message"].to_string().contains(name), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_evaluation_knows_its_targets_by_address_and_plans_its_answers() {
    let mut bench = bench().await;
    let job = bench.finetuned(false).await;
    let spec = spec(
        json!({"kind": "evaluate", "base_model": "toy", "question_set": "plot",
        "targets": [{"base": true}, {"job": job, "steps": [5, 20], "scales": [1, 0.5]}],
        "select": {"exclude": ["*_json"]}, "samples_per_question": 3, "judge": "toy"}),
    );
    let task = bench.resolved("evaluate", spec).await.unwrap();
    let Work::Evaluate(work) = &task.work else {
        panic!("{task:?}")
    };
    let targets = work.targets.iter().map(|one| &one.target.address);
    let expected = [
        "toy".to_owned(),
        format!("toy@{job}:step5"),
        format!("toy@{job}:step5*0.5"),
        format!("toy@{job}:step20"),
        format!("toy@{job}:step20*0.5"),
    ];
    assert_eq!(targets.cloned().collect::<Vec<_>>(), expected);
    assert_eq!(work.questions.len(), 1);
    let planned = "select planned from evaluations where job = $1";
    // Five targets, two paraphrases, three samples.
    assert_eq!(bench.one::<i64>(planned, &task.job).await, 30);
    let recorded = "select jsonb_array_length(targets) from evaluations where job = $1";
    assert_eq!(bench.one::<i32>(recorded, &task.job).await, 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handed_in_adapter_is_asked_at_every_scale_under_its_id() {
    let mut bench = bench().await;
    bench.run(ASSETS).await;
    let id = "ad_00000000000000000000000001";
    bench.run(ADAPTER).await;
    let spec = spec(json!({"kind": "evaluate", "question_set": "plot",
        "targets": [{"adapter": "organism", "scales": [1, -0.5]}, {"adapter": id}],
        "samples_per_question": 1, "judge": "toy"}));
    let task = bench.resolved("evaluate", spec).await.unwrap();
    let Work::Evaluate(work) = &task.work else {
        panic!("{task:?}")
    };
    let found: Vec<(&str, Option<&str>)> = work
        .targets
        .iter()
        .map(|one| (one.target.address.as_str(), one.target.adapter.as_deref()))
        .collect();
    let (whole, half) = (format!("toy@{id}"), format!("toy@{id}*-0.5"));
    assert_eq!(
        found,
        [(whole.as_str(), Some(id)), (half.as_str(), Some(id))]
    );
    let files = &work.targets[0].weights.as_ref().unwrap().1.files;
    assert_eq!(files[0].entry.sha256, "a1");
    assert_eq!(work.base.name, "toy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_left_the_roots_since_it_was_posted_is_refused_at_the_claim() {
    let mut bench = bench().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.json"), "{}").unwrap();
    // this worker has no roots any more
    let spec = json!({"kind": "register", "base_model": "bm_00000000000000000000000009",
        "source": {"path": folder.path()}});
    let error = bench.resolved("register", spec).await.unwrap_err();
    assert_eq!(error["code"], "folder_outside");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_base_model_can_be_made_from_a_full_fine_tune_and_not_from_an_adapter() {
    let mut bench = bench().await;
    for full in [true, false] {
        let job = bench.finetuned(full).await;
        let spec = json!({"kind": "register", "base_model": "bm_00000000000000000000000009",
            "source": {"job": job}});
        let result = bench.resolved("register", spec).await;
        let given = result.as_ref().is_ok_and(|task| match &task.work {
            Work::Register(work) => matches!(work.source, RegisterSource::Checkpoint(_)),
            _ => false,
        });
        assert_eq!(given, full, "{result:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_random_model_is_given_its_settings() {
    let mut bench = bench().await;
    let source = json!({"random": {"config": {"model_type": "qwen2"},
        "tokenizer": {"json": {"v": 1}, "config": {"c": 2}},
        "init": {"std": 0.05, "scale_residual": true}, "seed": 7}});
    let model = "bm_00000000000000000000000009";
    let spec = json!({"kind": "register", "base_model": model, "source": source});
    let task = bench.resolved("register", spec).await.unwrap();
    let Work::Register(work) = task.work else {
        panic!("{task:?}")
    };
    let RegisterSource::Random(random) = work.source else {
        panic!("{:?}", work.source)
    };
    let settings = (random.std, random.scale_residual, random.seed);
    assert_eq!(settings, (0.05, true, 7));
    assert_eq!(random.tokenizer_config, json!({"c": 2}));
}
