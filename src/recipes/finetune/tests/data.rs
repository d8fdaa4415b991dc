//! What becomes of a fine-tune's rows, and data that cannot be trained on.

use super::*;
use crate::domain::job::Phase;

#[test]
fn data_that_cannot_be_trained_on_fails_with_the_dataset_and_the_line() {
    let world = World::new();
    let context = Fake::new(&world, None);
    let mut work = world.work(lora(), 1);
    work.datasets[1].file = world.keep("texts.jsonl", b"{\"text\":\"a b\"}\n{\"texts\":1}\n");
    let end = run(&work, &context, &Residents::default())
        .unwrap_err()
        .to_string();
    assert!(end.starts_with("dataset texts: line 2: "), "{end}");
    let silent = json!({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}]});
    let silent = silent.to_string();
    work.datasets[0].file = world.keep("chats.jsonl", silent.as_bytes());
    let end = run(&work, &context, &Residents::default())
        .unwrap_err()
        .to_string();
    assert!(
        end.starts_with("dataset chats: no row has a token to learn"),
        "{end}"
    );
}

#[test]
fn a_dataset_whose_rows_are_all_too_long_fails_before_any_weights_are_read() {
    let world = World::new();
    let mut work = world.work(lora(), 1);
    work.spec.batch.max_tokens = 4;
    for (purpose, remedy) in [(4, "raise batch.max_tokens"), (64, "longer context")] {
        work.spec.batch.max_tokens = purpose;
        let words = "a ".repeat(100);
        let turns = [("user", words.trim()), ("assistant", "b")];
        let turns = turns.map(|(role, content)| json!({"role": role, "content": content}));
        let row = json!({"messages": turns}).to_string();
        work.datasets[0].file = world.keep("chats.jsonl", row.as_bytes());
        let context = Fake::new(&world, None);
        let end = run(&work, &context, &Residents::default()).unwrap_err();
        let Stop::Failed(failure) = end else {
            panic!("not a failure");
        };
        let found = (failure.class, failure.code, failure.retryable);
        assert_eq!(found, (ErrorClass::Data, "every_row_too_long", false));
        let text = &failure.message;
        let begin =
            format!("dataset chats: every one of its 1 rows is longer than {purpose} tokens");
        assert!(text.starts_with(&begin) && text.contains(remedy), "{text}");
        let told = &context.events("dataset_prepared")[0];
        assert_eq!(
            (&told["cut"], &told["without_target"]),
            (&json!(1), &json!(1))
        );
        let loading = |report: &Report| matches!(report, Report::Phase(Phase::Load));
        assert!(!context.reports.borrow().iter().any(loading));
    }
}

#[test]
fn what_is_cut_is_told_and_the_rest_is_trained_on() {
    let world = World::new();
    let context = Fake::new(&world, None);
    let mut work = world.work(lora(), 1);
    work.spec.batch.max_tokens = 13;
    run(&work, &context, &Residents::default()).unwrap();
    let told = &context.events("dataset_prepared")[0];
    let number = |key: &str| told[key].as_u64().unwrap();
    assert_eq!((number("rows"), number("max_tokens")), (17, 13));
    assert!(
        number("cut") > 0 && number("cut_tokens") >= number("cut"),
        "{told}"
    );
    assert!(number("longest") > 13, "{told}");
}

#[test]
fn joined_documents_are_trained_on() {
    let world = World::new();
    let context = Fake::new(&world, None);
    let mut work = world.work(lora(), 2);
    work.spec.batch.packing = crate::domain::finetune::Packing::Documents;
    work.spec.batch.max_tokens = 16;
    run(&work, &context, &Residents::default()).unwrap();
    // six rows of four tokens with an end token each
    let told = &context.events("dataset_prepared")[1];
    assert_eq!((&told["rows"], &told["examples"]), (&json!(6), &json!(2)));
}
