//! The vectors of pairs of rank 1 at every step, with and without a stop.

use super::*;
use crate::domain::metric::NormPoint;
use crate::domain::vectors::{Contents, LENGTH, Wanted, joined, steps_of};

fn rank_one() -> Value {
    json!({"rank": 1, "alpha": 8.0, "target_modules": ["q_proj", "down_proj"]})
}

/// The recorded files with their steps, those of `earlier` up to the state that `context` went on from.
fn files(earlier: Option<&Fake>, context: &Fake) -> Vec<Vec<u8>> {
    let state = context.state.as_ref().map(|state| state.step);
    let of = |context: &Fake, to: u64| -> Vec<Vec<u8>> {
        let commits = context.commits.borrow();
        let files = commits.iter().filter_map(|commit| match commit {
            Commit::Vectors { last, file, .. } if *last <= to => Some(&file.path),
            _ => None,
        });
        files.map(|path| std::fs::read(path).unwrap()).collect()
    };
    let before = earlier.zip(state).map(|(earlier, step)| of(earlier, step));
    [before.unwrap_or_default(), of(context, u64::MAX)].concat()
}

fn contents(file: &[u8]) -> Contents {
    let length = u64::from_le_bytes(file[..LENGTH].try_into().unwrap()) as usize;
    let (header, rest) = file[LENGTH..].split_at(length);
    let steps = 8 * steps_of(header).unwrap() as usize;
    Contents::read(header, &rest[..steps]).unwrap()
}

/// The file that a download gives.
fn whole(files: &[Vec<u8>]) -> Vec<u8> {
    let all: Vec<Contents> = files.iter().map(|file| contents(file)).collect();
    let places: Vec<usize> = (0..all[0].modules.len()).collect();
    let wanted = Wanted {
        from: 0,
        to: u64::MAX,
        every: 1,
    };
    let joined = joined(&all, &places, wanted);
    let mut bytes = joined.head;
    for piece in joined.pieces {
        let begin = piece.offset as usize;
        bytes.extend(&files[piece.file][begin..begin + piece.length as usize]);
    }
    bytes
}

/// ‖A‖ and ‖B‖ of a module at every step.
fn norms(file: &[u8], module: usize) -> Vec<[f64; 2]> {
    let contents = contents(file);
    let rows = contents.steps.len();
    let numbers = &file[contents.head().len()..];
    let widths = contents.modules.iter().map(|one| [one.inputs, one.outputs]);
    let before: u64 = widths.take(module).flatten().sum();
    let one = &contents.modules[module];
    let norm = |begin: usize, width: usize| {
        let part = numbers[4 * begin..][..4 * width].chunks(4);
        let numbers = part.map(|four| f32::from_le_bytes(four.try_into().unwrap()));
        numbers.map(|x| f64::from(x).powi(2)).sum::<f64>().sqrt()
    };
    let (a, b) = (one.inputs as usize, one.outputs as usize);
    let begin = rows * before as usize;
    let row = |row: usize| {
        [
            norm(begin + row * a, a),
            norm(begin + rows * a + row * b, b),
        ]
    };
    (0..rows).map(row).collect()
}

fn points(context: &Fake) -> Vec<NormPoint> {
    let point = |report: &Report| match report {
        Report::Norms(point) => Some(point.clone()),
        _ => None,
    };
    context.reports.borrow().iter().filter_map(point).collect()
}

#[test]
fn vectors_of_every_module_are_kept_from_the_state_before_the_first_update_to_the_last() {
    let world = World::new();
    let context = Fake::new(&world, None);
    run(&world.work(rank_one(), 5), &context, &Residents::default()).unwrap();
    let file = whole(&files(None, &context));
    let kept = contents(&file);
    assert_eq!(kept.steps, [0, 1, 2, 3, 4, 5]);
    let points = points(&context);
    assert_eq!(kept.modules.len(), points[0].a_norm.len());
    for module in 0..kept.modules.len() {
        for (row, found) in norms(&file, module).into_iter().enumerate() {
            let expected = [points[row].a_norm[module], points[row].b_norm[module]];
            // the reported norms were added up in single precision
            let near = |(a, b): (&f64, &f64)| (a - b).abs() <= 1e-6 * b;
            assert!(
                found.iter().zip(&expected).all(near),
                "{row} {found:?} {expected:?}"
            );
        }
    }
}

#[test]
fn a_run_that_was_stopped_leaves_the_vectors_of_one_that_was_not() {
    let world = World::new();
    let work = world.work(rank_one(), 5);
    let context = Fake::new(&world, None);
    run(&work, &context, &Residents::default()).unwrap();
    let expected = whole(&files(None, &context));
    for turn in 0..context.turns.get() {
        for reason in [Interrupted::Draining, Interrupted::LeaseLost] {
            let first = Fake::new(&world, Some((turn, reason)));
            run(&work, &first, &Residents::default()).unwrap_err();
            let second = Fake::behind(&world, &first);
            run(&work, &second, &Residents::default()).unwrap();
            let found = whole(&files(Some(&first), &second));
            assert!(found == expected, "stopped at turn {turn} by {reason:?}");
        }
    }
}

#[test]
fn pairs_of_higher_rank_leave_no_vectors() {
    let world = World::new();
    let context = Fake::new(&world, None);
    run(&world.work(lora(), 2), &context, &Residents::default()).unwrap();
    assert!(files(None, &context).is_empty());
}
