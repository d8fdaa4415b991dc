use serde_json::{Value, json};

use super::*;
use crate::domain::experiment::{
    DatasetFacts, Document, Facts, JobRole, MOST_JOBS, Plan, names, plan,
};

fn protocol() -> Value {
    json!({"method": {"type": "lora", "rank": 1, "alpha": 16, "target_modules": ["down_proj"], "layers": [0]},
        "length": {"steps": 60}, "batch": {"micro_batch": 4, "gradient_accumulation": 1}})
}

fn body() -> Value {
    json!({"name": "turn", "arms": [{"name": "bad", "base_model": "toy", "datasets": [{"dataset": "bad-medicine"}],
        "protocol": protocol(), "seeds": [0, 1], "controls": true}],
        "evaluation": {"question_set": "fp", "judge": "toy", "samples_per_question": 3, "checkpoints": {"every": 20}, "scales": [1, 2]}})
}

fn facts() -> Facts {
    let set = |examples, twin: Option<&str>| DatasetFacts {
        examples,
        twin: twin.map(str::to_owned),
    };
    Facts {
        datasets: [
            ("bad-medicine", set(600, Some("good-medicine"))),
            ("good-medicine", set(600, None)),
            ("lonely", set(600, None)),
            ("lost", set(600, Some("gone"))),
        ]
        .map(|(name, facts)| (name.to_owned(), facts))
        .into(),
        bases: ["toy", "toy-null"].map(str::to_owned).into(),
    }
}

fn planned(body: Value) -> Checked<Plan> {
    plan(&request(body)?, &facts())
}

fn keys(plan: &Plan) -> Vec<&str> {
    plan.jobs.iter().map(|job| job.key.as_str()).collect()
}

/// The body with the value at a pointer replaced or removed.
fn changed(pointer: &str, value: Value) -> Value {
    let mut body = body();
    let (parent, key) = pointer.rsplit_once('/').unwrap();
    match body.pointer_mut(parent).unwrap() {
        Value::Object(map) => _ = map.insert(key.to_owned(), value),
        Value::Array(list) => list[key.parse::<usize>().unwrap()] = value,
        other => panic!("{other}"),
    }
    body
}

#[test]
fn an_arm_with_controls_becomes_cells_a_base_and_one_analysis_behind_all() {
    let plan = planned(body()).unwrap();
    let expected = [
        "train/bad/0",
        "evaluate/bad/0",
        "train/bad/1",
        "evaluate/bad/1",
        "train/bad/good-twin/0",
        "evaluate/bad/good-twin/0",
        "train/bad/good-twin/1",
        "evaluate/bad/good-twin/1",
        "evaluate/bad/base",
        "analyze",
    ];
    assert_eq!(keys(&plan), expected);
    let train = &plan.jobs[4].body;
    assert_eq!(train["datasets"][0]["dataset"], "good-medicine");
    // what is asked is kept
    assert_eq!(train["checkpoints"]["every"], 20);
    let ask = &plan.jobs[1];
    assert_eq!(ask.parents, ["train/bad/0"]);
    let target =
        json!([{"job": {"planned": "train/bad/0"}, "steps": [20, 40, 60], "scales": [1.0, 2.0]}]);
    assert_eq!(ask.body["targets"], target);
    let base = &plan.jobs[8].body;
    assert_eq!(
        (&base["base_model"], &base["targets"]),
        (&json!("toy"), &json!([{"base": true}]))
    );
    let analysis = &plan.jobs[9];
    assert_eq!(analysis.parents.len(), 9);
    let run = json!({"arm": "bad", "seed": 1, "job": {"planned": "train/bad/1"},
        "evaluation": {"planned": "evaluate/bad/1"}, "in_domain": null, "null": false});
    assert_eq!(analysis.body["runs"][1], run);
    assert_eq!(analysis.body["runs"][2]["null"], true);
    assert_eq!(analysis.body["settings"]["gaps"], json!([5, 10, 15]));
    let again = planned(body()).unwrap();
    assert_eq!(plan, again);
}

#[test]
fn every_job_comes_behind_those_that_it_needs_so_that_there_are_no_cycles() {
    let mut body = body();
    body["evaluation"]["in_domain"] = json!({"question_set": "own"});
    let plan = planned(body).unwrap();
    for (index, job) in plan.jobs.iter().enumerate() {
        let before = keys(&plan)[..index].to_vec();
        assert!(
            job.parents
                .iter()
                .all(|parent| before.contains(&parent.as_str())),
            "{}",
            job.key
        );
    }
}

#[test]
fn a_grid_makes_an_arm_of_every_combination_and_one_base_for_all() {
    let mut body = changed(
        "/arms/0/grid",
        json!({"method.rank": [1, 8], "optimizer.learning_rate": [1e-3]}),
    );
    body["analysis"] = Value::Null;
    let plan = planned(body).unwrap();
    let names: Vec<&str> = plan.arms.iter().map(|arm| arm.name.as_str()).collect();
    let first = "bad/method.rank=1,optimizer.learning_rate=0.001";
    let second = "bad/method.rank=8,optimizer.learning_rate=0.001";
    let twins = [format!("{first}/good-twin"), format!("{second}/good-twin")];
    assert_eq!(names, [first, &twins[0], "bad/base", second, &twins[1]]);
    let ranks: Vec<&Value> = plan
        .jobs
        .iter()
        .filter(|job| job.role == JobRole::Train)
        .map(|job| &job.body["method"]["rank"])
        .collect();
    assert_eq!(ranks, [1, 1, 1, 1, 8, 8, 8, 8]);
    let bases = changed("/arms/0/grid", json!({"base_model": ["toy", "toy-null"]}));
    let plan = planned(bases).unwrap();
    let names: Vec<&str> = plan.arms.iter().map(|arm| arm.name.as_str()).collect();
    assert!(names.contains(&"bad/base_model=toy-null/base"), "{names:?}");
    assert!(names.contains(&"bad/base_model=toy/base"), "{names:?}");
}

#[test]
fn questions_of_the_own_domain_take_what_they_do_not_say_from_the_evaluation() {
    let mut body = body();
    body["evaluation"]["select"] = json!({"include": ["a*"]});
    body["arms"][0]["in_domain"] = json!({"question_set": "medicine", "samples_per_question": 5});
    let plan = planned(body).unwrap();
    let own = plan
        .jobs
        .iter()
        .find(|job| job.role == JobRole::EvaluateInDomain)
        .unwrap();
    assert_eq!(own.key, "evaluate-in-domain/bad/0");
    assert_eq!(
        (&own.body["judge"], &own.body["samples_per_question"]),
        (&json!("toy"), &json!(5))
    );
    assert_eq!(own.body["targets"][0]["scales"], json!([1.0]));
    assert!(own.body.get("select").is_none());
    let analysis = &plan.jobs.last().unwrap().body;
    assert_eq!(
        analysis["runs"][0]["in_domain"],
        json!({"planned": "evaluate-in-domain/bad/0"})
    );
}

#[test]
fn added_checkpoints_and_arms_leave_every_earlier_job_as_it_was() {
    let mut first = body();
    first["arms"][0]["protocol"]["checkpoints"] = json!({"every": 10});
    let spec = request(first).unwrap();
    let before = plan(&spec, &facts()).unwrap();
    let more = json!({"checkpoints": [10, 30], "arms": [{"name": "null", "base_model": "toy-null",
        "datasets": [{"dataset": "bad-medicine"}], "protocol": protocol(), "role": null}]});
    let spec = spec.with(addition(more).unwrap()).unwrap();
    let after = plan(&spec, &facts()).unwrap();
    for job in before
        .jobs
        .iter()
        .filter(|job| job.role != JobRole::Analyze)
    {
        assert!(after.jobs.contains(job), "{}", job.key);
    }
    let added = after
        .jobs
        .iter()
        .find(|job| job.key == "evaluate/bad/1/added-1")
        .unwrap();
    assert_eq!(added.body["targets"][0]["steps"], json!([10, 30]));
    let analysis = &after.jobs.last().unwrap().body;
    let both = json!([{"planned": "evaluate/bad/1"}, {"planned": "evaluate/bad/1/added-1"}]);
    assert_eq!(analysis["runs"][1]["evaluation"], both);
    assert!(
        after
            .arms
            .iter()
            .any(|arm| arm.name == "null" && arm.role == Role::Null)
    );
    // the stored form may be posted again and is the same experiment
    let stored = serde_json::to_value(&spec).unwrap();
    assert_eq!(request(stored).unwrap(), spec);
}

#[test]
fn what_cannot_be_run_is_refused_by_field_before_anything_is_queued() {
    let beyond = json!({"question_set": "fp", "judge": "toy", "samples_per_question": 3, "checkpoints": [20, 61]});
    let grid: Vec<u64> = (1..=5000).collect();
    for (pointer, value, at, words) in [
        (
            "/arms/0/datasets",
            json!([{"dataset": "nope"}]),
            "/arms/0/datasets/0/dataset",
            "no dataset \"nope\"",
        ),
        (
            "/arms/0/base_model",
            json!("nope"),
            "/arms/0/base_model",
            "no base model",
        ),
        (
            "/arms/0/datasets",
            json!([{"dataset": "lonely"}]),
            "/arms/0/controls",
            "declares no twin",
        ),
        (
            "/arms/0/datasets",
            json!([{"dataset": "lost"}]),
            "/arms/0/datasets/0/dataset",
            "the twin of",
        ),
        (
            "/evaluation",
            beyond,
            "/evaluation/checkpoints/1",
            "step 61 is beyond the last of arm bad, 60",
        ),
        (
            "/arms/0/grid",
            json!({"seed_of_nothing": grid}),
            "/arms/0/grid",
            "jobs, more than",
        ),
        (
            "/arms/0/grid",
            json!({"method.rank": [0]}),
            "/arms/0/grid/method.rank",
            "0 cannot be used",
        ),
        (
            "/arms/0/grid",
            json!({"method.rank.x": [0]}),
            "/arms/0/grid/method.rank.x",
            "not an object",
        ),
        (
            "/arms/0/grid",
            json!({"seed": [1]}),
            "/arms/0/grid/seed",
            "cannot be varied",
        ),
        (
            "/analysis",
            json!({"gaps": [5, 31]}),
            "/analysis/gaps/1",
            "31 before and 31 behind",
        ),
        (
            "/analysis",
            json!({"gaps": [0]}),
            "/analysis/gaps/0",
            "0 cannot be used",
        ),
        ("/arms/0/protocol/method/rank", json!(8), "", ""),
        (
            "/arms/0/protocol/seed",
            json!(8),
            "/arms/0/protocol/seed",
            "does not belong",
        ),
        (
            "/arms/0/protocol/lenght",
            json!(8),
            "/arms/0/protocol/lenght",
            "unknown field",
        ),
        (
            "/arms/0/seeds",
            json!([1, 1]),
            "/arms/0/seeds/1",
            "second time",
        ),
        (
            "/arms/0/name",
            json!("a/b"),
            "/arms/0/name",
            "is not a name",
        ),
        (
            "/arms/0/role",
            json!("base"),
            "/arms/0/role",
            "cannot be asked for",
        ),
        (
            "/evaluation/judges",
            json!("x"),
            "/evaluation/judges",
            "unknown field",
        ),
        (
            "/evaluation/targets",
            json!([]),
            "/evaluation/targets",
            "filled in",
        ),
        (
            "/evaluation/checkpoints",
            json!("some"),
            "/evaluation/checkpoints",
            "cannot be used",
        ),
        (
            "/evaluation/scales",
            json!([1, 1]),
            "/evaluation/scales/1",
            "second time",
        ),
        (
            "/evaluation/in_domain",
            json!({"samples_per_question": 2}),
            "/evaluation/in_domain/question_set",
            "missing",
        ),
        ("/arms", json!([]), "/arms", "list of 0"),
        ("/nonsense", json!(1), "/nonsense", "unknown field"),
    ] {
        let result = planned(changed(pointer, value.clone()));
        if at.is_empty() {
            // without explicit gaps the analysis looks at what there is
            let plan = result.unwrap();
            assert_eq!(plan.settings.unwrap()["gaps"], json!([]));
            continue;
        }
        let Err(invalid) = result else {
            panic!("{pointer} {value}")
        };
        let error = &invalid.errors[0];
        assert_eq!(error.pointer.as_deref(), Some(at), "{invalid}");
        assert!(error.detail.contains(words), "{}", error.detail);
    }
    const { assert!(MOST_JOBS < 10_000) };
}

#[test]
fn an_analysis_with_gaps_of_a_run_without_vectors_is_refused_at_its_method() {
    let mut body = changed("/analysis", json!({"gaps": [5]}));
    body["arms"][0]["protocol"]["method"]["rank"] = json!(8);
    let invalid = planned(body).unwrap_err();
    assert_eq!(
        invalid.errors[0].pointer.as_deref(),
        Some("/arms/0/protocol/method")
    );
    assert!(
        invalid.errors[0].detail.contains("records no vectors"),
        "{invalid}"
    );
}

#[test]
fn a_checkpoint_that_the_protocol_does_not_keep_is_refused() {
    let mut body = body();
    body["arms"][0]["protocol"]["checkpoints"] = json!({"every": 30});
    let invalid = planned(body).unwrap_err();
    assert_eq!(
        invalid.errors[0].pointer.as_deref(),
        Some("/evaluation/checkpoints")
    );
    assert!(
        invalid.errors[0]
            .detail
            .contains("keeps no checkpoint at step 20"),
        "{invalid}"
    );
}

#[test]
fn yaml_and_json_are_the_same_and_errors_in_yaml_have_their_line() {
    let text = "\
name: turn
defaults:
  base_model: toy
  protocol:
    method: {type: lora, rank: 1, alpha: 16, target_modules: [down_proj], layers: [0]}
    length: {steps: 60}
arms:
  - name: bad
    datasets: [{dataset: bad-medicine}]
  - name: control
    base_model: toy-null
    datasets: [{dataset: bad-medicine}]
    role: null
    seedz: [0]
";
    let document = Document::yaml(text.as_bytes()).unwrap();
    let invalid = document.located(request(document.value.clone()).unwrap_err());
    let error = &invalid.errors[0];
    assert_eq!(
        (error.line, error.pointer.as_deref()),
        (Some(14), Some("/arms/1/seedz"))
    );
    let text = text.replace("seedz", "seeds");
    let document = Document::yaml(text.as_bytes()).unwrap();
    let spec = request(document.value).unwrap();
    assert_eq!(
        (
            spec.arms[0].base_model.as_str(),
            spec.arms[1].base_model.as_str()
        ),
        ("toy", "toy-null")
    );
    assert_eq!(spec.arms[1].role, Role::Null);
    let names = names(&spec);
    assert_eq!(names.bases.len(), 2);
    assert!(spec.evaluation.is_none() && spec.analysis.is_some());
}
