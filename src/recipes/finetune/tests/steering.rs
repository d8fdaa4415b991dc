//! Fine-tunes of a steering vector: what they keep and say, stopped and resumed, begun with another.

use super::*;

fn steering() -> Value {
    json!({"type": "steering_vector", "layer": 1, "alpha": 64.0})
}

#[test]
fn a_steering_run_keeps_its_vector_and_tells_how_to_put_it_on_a_model() {
    let world = World::new();
    let context = Fake::new(&world, None);
    run(&world.work(steering(), 4), &context, &Residents::default()).unwrap();
    let names: Vec<String> = context.files()[&4]
        .iter()
        .map(|(name, _)| name.clone())
        .collect();
    let expected = [
        "steering_config.json",
        "steering_vector.safetensors",
        "README.md",
        "run_manifest.json",
    ];
    assert_eq!(names, expected);
    let config: Value = serde_json::from_str(&context.text(4, "steering_config.json")).unwrap();
    let expected = json!({"alpha": 64.0, "base_model_name_or_path": "tiny", "d_model": 32, "layer_idx": 1,
        "type": "steering_vector"});
    assert_eq!(config, expected);
    let card = context.text(4, "README.md");
    for words in [
        "Steering vector of tiny, step 4 of 4",
        "64 times it is added to the residual stream behind layer 1",
        "a steering vector on frozen weights, zero at the start",
        "layers[1].register_forward_hook(steer)",
        "- steering-vector\n",
    ] {
        assert!(card.contains(words), "no {words:?} in:\n{card}");
    }
    // norms of steps 0 to 4, four steps, hold-out losses of step 3 and of the last
    assert_eq!(context.numbers().len(), 5 + 4 + 2);
}

#[test]
fn a_steering_run_drained_before_any_micro_batch_ends_with_equal_numbers_and_bytes() {
    let world = World::new();
    let work = world.work(steering(), 3);
    let residents = Residents::default();
    let whole = Fake::new(&world, None);
    run(&work, &whole, &residents).unwrap();
    for turn in 0..whole.turns.get() {
        let stopped = Fake::new(&world, Some((turn, Interrupted::Draining)));
        run(&work, &stopped, &residents).unwrap_err();
        let resumed = Fake::behind(&world, &stopped);
        run(&work, &resumed, &residents).unwrap();
        let mut files = stopped.files();
        files.extend(resumed.files());
        assert_eq!(files, whole.files(), "stopped at turn {turn}");
        assert_eq!(resumed.numbers(), whole.numbers(), "stopped at turn {turn}");
    }
}

#[test]
fn a_steering_run_may_begin_with_the_vector_of_another() {
    let world = World::new();
    let residents = Residents::default();
    let first = Fake::new(&world, None);
    run(&world.work(steering(), 4), &first, &residents).unwrap();
    let norm = |context: &Fake, wanted: u64| {
        let reports = context.reports.borrow();
        let found = reports.iter().find_map(|report| match report {
            Report::Norms(point) if point.step == wanted => Some(point.b_norm[0]),
            _ => None,
        });
        found.unwrap()
    };
    let mut work = world.work(steering(), 2);
    work.start = Some(first.checkpoint(4));
    let second = Fake::new(&world, None);
    run(&work, &second, &residents).unwrap();
    assert_eq!(norm(&first, 0), 0.0);
    assert!(norm(&first, 4) > 0.0);
    assert_eq!(norm(&second, 0), norm(&first, 4));
    let mut other = world.work(json!({"type": "steering_vector", "layer": 0}), 2);
    other.start = Some(first.checkpoint(4));
    let end = run(&other, &Fake::new(&world, None), &residents).unwrap_err();
    assert!(
        end.to_string()
            .contains("is of layer 1, the method of layer 0"),
        "{end}"
    );
}
