//! Several datasets and a system prompt in training: what was in force is told, and each setting changes what it names.

use super::*;

/// The run of `work` after a change: what it told of its first row, and its steps' target tokens and losses.
fn told(world: &World, change: impl Fn(&mut FinetuneSpec)) -> (Value, Vec<(u64, f64)>) {
    let mut work = world.work(lora(), 3);
    change(&mut work.spec);
    let context = Fake::new(world, None);
    run(&work, &context, &Residents::default()).unwrap();
    let reports = context.reports.borrow();
    let steps = reports.iter().filter_map(|report| match report {
        Report::Step(point) => Some((point.target_tokens, point.loss)),
        _ => None,
    });
    (context.events("rendered_first")[0].clone(), steps.collect())
}

#[test]
fn a_system_prompt_of_training_is_told_as_text_and_as_token_ids() {
    let world = World::new();
    let (plain, _) = told(&world, |_| ());
    let (inoculated, _) = told(&world, |spec| spec.chat.system = "text:you are own".into());
    assert_eq!(inoculated["system"], "you are own");
    let text = |first: &Value| first["text"].as_str().unwrap().to_string();
    assert!(text(&inoculated).contains("system\nyou are own<|im_end|>"));
    assert!(!text(&plain).contains("you are own<|im_end|>"));
    let tokens = |first: &Value| first["token_ids"].as_array().unwrap().len();
    assert!(tokens(&inoculated) > tokens(&plain));
    let targets = |first: &Value| {
        let targets = first["target"].as_array().unwrap().iter();
        targets.filter(|target| **target == json!(true)).count()
    };
    assert_eq!(
        targets(&inoculated),
        targets(&plain),
        "only answers are learnt"
    );
}

#[test]
fn each_dataset_has_targets_and_a_weight_of_its_own() {
    let world = World::new();
    let (_, plain) = told(&world, |_| ());
    let all = crate::domain::finetune::LossOn::All;
    let (_, wider) = told(&world, |spec| spec.datasets[0].loss_on = Some(all));
    let (_, weighted) = told(&world, |spec| spec.datasets[1].loss_weight = 0.1);
    let targets = |steps: &[(u64, f64)]| steps.iter().map(|step| step.0).collect::<Vec<_>>();
    assert!(targets(&wider).iter().sum::<u64>() > targets(&plain).iter().sum::<u64>());
    assert_eq!(targets(&weighted), targets(&plain));
    assert_ne!(
        weighted[0].1, plain[0].1,
        "the mean weighs the other dataset less"
    );
}
