//! Runs that end before the last planned step: what is kept and told, and the same after any stop.

use super::*;

/// Every loss is below the bound, so the third step in a row is the third step.
fn low_loss() -> Value {
    json!({"loss_below": 1e9, "steps": 3})
}

/// No fall is large enough, so the second evaluation behind the first is one too many.
fn patient() -> Value {
    json!({"patience": 2, "min_delta": 1e9})
}

fn ruled(world: &World, rule: Value, every: u64, steps: u64) -> FinetuneWork {
    let mut work = world.work(lora(), steps);
    work.spec.early_stop = serde_json::from_value(rule).unwrap();
    work.spec.hold_out.as_mut().unwrap().every = every;
    work
}

fn whole<'a>(world: &'a World, work: &FinetuneWork) -> Fake<'a> {
    let context = Fake::new(world, None);
    run(work, &context, &Residents::default()).unwrap();
    context
}

fn steps_made(context: &Fake) -> Vec<u64> {
    let step = |report: &Report| match report {
        Report::Step(point) => Some(point.step),
        _ => None,
    };
    context.reports.borrow().iter().filter_map(step).collect()
}

#[test]
fn a_run_that_stops_early_keeps_its_last_step_and_says_when_and_why() {
    let world = World::new();
    for (rule, every, reason) in [
        (low_loss(), 50, "loss_below"),
        (patient(), 1, "hold_out_stalled"),
    ] {
        let context = whole(&world, &ruled(&world, rule, every, 9));
        assert_eq!(steps_made(&context), [1, 2, 3]);
        assert_eq!(context.files().into_keys().collect::<Vec<_>>(), [2, 3]);
        let told = context.events("stopped_early");
        assert_eq!(told.len(), 1);
        assert_eq!(
            (&told[0]["step"], &told[0]["planned_steps"]),
            (&json!(3), &json!(9))
        );
        assert_eq!(told[0]["reason"], reason);
        let last = context
            .reports
            .borrow()
            .iter()
            .rev()
            .find_map(|report| match report {
                Report::Progress { done, total, .. } => Some((*done, *total)),
                _ => None,
            });
        assert_eq!(last, Some((3, 3)));
        // the hold-out loss of the last step, whether or not it was due
        assert!(
            context
                .numbers()
                .iter()
                .any(|line| line.starts_with("hold-out 3 "))
        );
        assert!(
            context
                .text(3, "README.md")
                .contains("| stopped early | after step 3: ")
        );
        let manifest: Value = serde_json::from_str(&context.text(3, "run_manifest.json")).unwrap();
        assert_eq!(manifest["stopped_early"], told[0]);
        assert!(
            !context
                .text(2, "run_manifest.json")
                .contains("stopped_early")
        );
    }
}

#[test]
fn the_steps_before_an_early_stop_are_those_of_a_run_without_one() {
    let world = World::new();
    let stopped = whole(&world, &ruled(&world, low_loss(), 50, 9)).numbers();
    let planned = whole(&world, &ruled(&world, Value::Null, 50, 9)).numbers();
    let steps: Vec<&String> = stopped
        .iter()
        .filter(|line| !line.starts_with("hold-out"))
        .collect();
    // the state before the first step, three steps and their norms
    assert_eq!(steps.len(), 7);
    assert!(steps.iter().all(|line| planned.contains(line)));
}

#[test]
fn a_rule_that_is_first_met_at_the_last_planned_step_stops_nothing_early() {
    let world = World::new();
    let context = whole(&world, &ruled(&world, low_loss(), 50, 3));
    assert_eq!(steps_made(&context), [1, 2, 3]);
    assert!(context.events("stopped_early").is_empty());
}

#[test]
fn a_run_resumed_after_any_stop_ends_early_at_the_same_step_with_the_same_bytes() {
    let world = World::new();
    for (rule, every) in [(low_loss(), 50), (patient(), 1)] {
        let work = ruled(&world, rule, every, 9);
        let uncut = whole(&world, &work);
        for turn in 0..uncut.turns.get() {
            let stopped = Fake::new(&world, Some((turn, Interrupted::Draining)));
            let residents = Residents::default();
            run(&work, &stopped, &residents).unwrap_err();
            let resumed = Fake::behind(&world, &stopped);
            run(&work, &resumed, &residents).unwrap();
            assert_eq!(resumed.numbers(), uncut.numbers(), "stopped at turn {turn}");
            assert_eq!(
                resumed.files()[&3],
                uncut.files()[&3],
                "stopped at turn {turn}"
            );
            assert_eq!(
                resumed.events("stopped_early"),
                uncut.events("stopped_early")
            );
        }
        // a process that died behind its last commit
        let again = Fake::behind(&world, &uncut);
        run(&work, &again, &Residents::default()).unwrap();
        assert_eq!(
            again.turns.get(),
            2,
            "the datasets are read, no step is made"
        );
        assert!(again.commits.borrow().is_empty());
    }
}

#[test]
fn a_state_without_what_the_rule_has_seen_is_refused() {
    let world = World::new();
    let work = ruled(&world, low_loss(), 50, 9);
    let without = whole(&world, &ruled(&world, Value::Null, 50, 2));
    let resumed = Fake::behind(&world, &without);
    let end = run(&work, &resumed, &Residents::default()).unwrap_err();
    assert!(end.to_string().contains("early_stop.txt"), "{end}");
}
