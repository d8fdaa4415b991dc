//! Fine-tunes whose numbers are no numbers any more.

use super::*;

#[test]
fn a_loss_that_is_not_finite_fails_the_job_and_names_the_step_its_numbers_and_the_way_back() {
    let world = World::new();
    let context = Fake::new(&world, None);
    let mut work = world.work(lora(), 9);
    // the third update, at twice this rate, makes the weights so large that the fourth loss is no number
    work.spec.optimizer.learning_rate = 1e30;
    work.spec.optimizer.weight_decay = 0.0;
    work.spec.checkpoints = CheckpointSpec {
        every: Some(1),
        ..CheckpointSpec::default()
    };
    let Stop::Failed(failure) = run(&work, &context, &Residents::default()).unwrap_err() else {
        panic!("not a failure");
    };
    assert_eq!(
        (failure.class, failure.code),
        (ErrorClass::NonFinite, "loss_not_finite")
    );
    assert!(!failure.retryable);
    let told = &context.events("loss_not_finite")[0];
    let step = told["step"].as_u64().unwrap();
    // what is wrong is a text, for JSON has no such number
    assert!(
        told["loss"].is_string() || told["grad_norm"].is_string(),
        "{told}"
    );
    let good = told["last_good_checkpoint"].as_u64().unwrap();
    assert_eq!(
        good,
        if told["loss"].is_string() {
            step - 2
        } else {
            step - 1
        }
    );
    let text = &failure.message;
    for part in [
        format!("step {step}: loss "),
        "gradient norm".into(),
        format!("the last good checkpoint is that of step {good}"),
        "optimizer.learning_rate".into(),
    ] {
        assert!(text.contains(&part), "{part}: {text}");
    }
    let recorded = context.points();
    assert_eq!(recorded.last().unwrap().step, step - 1);
    assert!(recorded.iter().all(|point| point.loss.is_finite()));
    assert_eq!(context.files().into_keys().max(), Some(step - 1));
}

#[test]
fn without_a_checkpoint_there_is_none_to_go_back_to() {
    let world = World::new();
    let context = Fake::new(&world, None);
    let mut work = world.work(json!("full"), 9);
    work.spec.optimizer.learning_rate = 1e30;
    work.spec.checkpoints = CheckpointSpec::default();
    let end = run(&work, &context, &Residents::default()).unwrap_err();
    assert!(
        end.to_string().contains("there is no good checkpoint"),
        "{end}"
    );
    assert!(context.commits.borrow().is_empty());
}
