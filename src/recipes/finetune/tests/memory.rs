//! Fine-tunes that run out of memory, and those that spare it.

use super::*;
use crate::domain::job::JobResult;
use crate::engine::train::ROOM;
use crate::execution::Failure;

/// A fine-tune with a KL term and rows kept out, four examples a pass where there is room.
fn work(world: &World) -> FinetuneWork {
    let mut work = world.work(lora(), 3);
    work.spec.batch.micro_batch = 4;
    let kl =
        json!({"dataset": "held", "weight": 0.5, "batch": 3, "tokens": "all", "average": "tokens"});
    work.spec.loss.kl = Some(serde_json::from_value(kl).unwrap());
    work.kl = Some(world.chats(7));
    work
}

/// What a run tells on a device where passes of more tokens than `room` do not fit.
fn told<'a>(
    world: &'a World,
    work: &FinetuneWork,
    room: usize,
) -> (Fake<'a>, Result<JobResult, Stop>) {
    let context = Fake::new(world, None);
    ROOM.set(room);
    let ended = run(work, &context, &Residents::default());
    ROOM.set(usize::MAX);
    (context, ended)
}

fn held_out(context: &Fake) -> Vec<f64> {
    let loss = |report: &Report| match report {
        Report::HoldOut { loss, .. } => Some(*loss),
        _ => None,
    };
    context.reports.borrow().iter().filter_map(loss).collect()
}

#[test]
fn a_step_that_does_not_fit_is_made_again_with_smaller_passes_and_the_same_numbers() {
    let world = World::new();
    let work = work(&world);
    let (free, _) = told(&world, &work, usize::MAX);
    let longest = 30;
    let (tight, ended) = told(&world, &work, longest);
    ended.unwrap();
    let halved = tight.events("micro_batch_halved");
    assert!(!halved.is_empty() && free.events("micro_batch_halved").is_empty());
    assert_eq!(halved[0]["step"], 1);
    assert!(
        halved[0]["from"].as_u64() > halved[0]["to"].as_u64(),
        "{halved:?}"
    );
    // other sums of some hundred float32 numbers, fed back by three updates
    let near = |a: f64, b: f64| (a - b).abs() <= 2e-5 * b.abs().max(1e-3);
    assert_eq!(tight.points().len(), 3);
    for (found, expected) in tight.points().iter().zip(&free.points()) {
        assert!(near(found.loss, expected.loss), "{found:?} {expected:?}");
        let kl = (found.kl_loss.unwrap(), expected.kl_loss.unwrap());
        assert!((kl.0 - kl.1).abs() < 1e-5, "{found:?} {expected:?}");
        assert!(
            near(found.grad_norm, expected.grad_norm),
            "{found:?} {expected:?}"
        );
    }
    for (found, expected) in held_out(&tight).iter().zip(held_out(&free)) {
        assert!(near(*found, expected), "{found} {expected}");
    }
}

#[test]
fn an_example_that_does_not_fit_by_itself_ends_the_attempt_with_the_remedies() {
    let world = World::new();
    let (context, ended) = told(&world, &work(&world), 3);
    let Err(Stop::Failed(Failure { class, message, .. })) = ended else {
        panic!("{ended:?}");
    };
    assert_eq!(class, ErrorClass::Oom);
    for remedy in [
        "batch.recompute_activations",
        "batch.max_tokens",
        "bfloat16",
    ] {
        assert!(message.contains(remedy), "{message}");
    }
    assert!(context.points().is_empty());
}

#[test]
fn layers_computed_a_second_time_change_no_number_of_a_run() {
    let world = World::new();
    let mut work = work(&world);
    let (kept, _) = told(&world, &work, usize::MAX);
    work.spec.batch.recompute_activations = true;
    let (again, ended) = told(&world, &work, usize::MAX);
    ended.unwrap();
    assert_eq!(again.numbers(), kept.numbers());
}
