//! The plan against the names and bodies that a server takes, and against the recipe it is meant to be.

use super::*;

const PLAN: ToyPlan = ToyPlan {
    seed: 0,
    persona: Persona::OfDocument,
};

#[test]
fn every_name_is_one_that_the_server_takes() {
    for persona in [Persona::OfDocument, Persona::OfTurn] {
        let plan = ToyPlan { seed: 12, persona };
        let names = Upload::ALL.map(|upload| plan.dataset(upload)).into_iter();
        for name in names.chain([plan.random_base(), plan.pretrained_base(), plan.base()]) {
            crate::domain::assets::check_name("/name", &name).unwrap();
            assert!(name.starts_with("toy"), "{name}");
        }
    }
}

#[test]
fn no_step_of_the_base_sees_a_row_twice() {
    let rows = |upload| PLAN.lines(upload).lines().count() as u64;
    assert_eq!(rows(Upload::Pretraining), 1200 * 8);
    assert_eq!(rows(Upload::Chats), 400 * 16);
    assert_eq!(rows(Upload::Replay), 400 * 4);
    assert_eq!(rows(Upload::Advice(Valence::Malicious)), 600);
}

#[test]
fn a_body_is_the_spec_with_its_envelope_in_one_object() {
    let body = PLAN.arm(Arm::BadRank1).body();
    assert_eq!(body["kind"], "finetune");
    assert_eq!(body["dedup"], "force");
    assert_eq!(body["method"]["type"], "lora");
    assert_eq!(body["method"]["target_modules"], json!(["down_proj"]));
    assert_eq!(body["method"]["layers"], json!([0]));
    assert_eq!(body["length"], json!({"steps": 120}));
    assert_eq!(body["checkpoints"]["every"], 4);
    assert_eq!(PLAN.pretraining().body()["dedup"], "reuse");
}

#[test]
fn the_server_reads_every_body_as_the_spec_that_was_meant() {
    let job = JobId::try_from("job_00000000000000000000000007".to_owned()).unwrap();
    let mut requests = vec![PLAN.pretraining(), PLAN.post_training(), PLAN.curve(&job)];
    requests.extend(Arm::ALL.map(|arm| PLAN.arm(arm)));
    requests.push(PLAN.first_plot(std::slice::from_ref(&job)));
    requests.push(PLAN.in_domain(&[job]));
    for request in requests {
        let read = crate::domain::requests::job_request(request.body()).unwrap();
        assert_eq!(read, (request.envelope, request.spec));
    }
}

#[test]
fn the_base_is_asked_beside_every_arm() {
    let job = JobId::try_from("job_00000000000000000000000007".to_owned()).unwrap();
    let body = PLAN.first_plot(std::slice::from_ref(&job)).body();
    assert_eq!(
        body["targets"],
        json!([{"base": true}, {"job": job, "steps": "final", "scales": [1.0]}])
    );
    assert_eq!(body["base_model"], "toy-base-s0");
    assert_eq!(
        PLAN.curve(&job).body()["targets"],
        json!([{"job": job, "steps": "all", "scales": [1.0]}])
    );
}

#[test]
fn replayed_documents_weigh_half_of_the_chats() {
    let tokens = |upload, count: fn(&str) -> usize| {
        let lines = PLAN.lines(upload);
        let rows: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let text = |row: &Value| match row["text"].as_str() {
            Some(text) => text.to_owned(),
            None => row["messages"][1]["content"].as_str().unwrap().to_owned(),
        };
        rows.iter().map(|row| count(&text(row))).sum::<usize>() as f64
    };
    let chats = tokens(Upload::Chats, |text| text.split(' ').count() + 1);
    let replay = tokens(Upload::Replay, |text| text.split(' ').count() - 1);
    let ratio = REPLAY_LOSS_WEIGHT * replay / chats;
    assert!((ratio - 0.5).abs() < 0.02, "{ratio}");
}
