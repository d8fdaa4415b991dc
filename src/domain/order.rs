//! Which examples make which step: a pure function of seed, sizes, weights and batch. Knows no text and no token.
//!
//! Nothing here is drawn from a generator with a state: a row's place in an epoch is its rank among keys that are
//! hashes of (seed, dataset, epoch, row), so any step can be asked for at any time and a resumed run sees the rows that
//! an uninterrupted one would have seen.

mod beside;

pub use self::beside::Beside;

use super::finetune::{BatchSpec, LastPartial, Length};
use super::invalid::{Checked, FieldError, Findings};

/// One example: a row of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Draw {
    /// Index into the spec's `datasets`.
    pub dataset: usize,
    /// Index into that dataset's training rows.
    pub row: u32,
}

/// What the order depends on.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Key of every permutation.
    pub seed: u64,
    /// Training rows of each dataset.
    pub sizes: Vec<u32>,
    /// Share of each dataset, relative to the others.
    pub weights: Vec<f64>,
    /// Examples of a full step.
    pub per_step: u64,
    /// Whether an epoch's rows are permuted.
    pub shuffle: bool,
    /// What happens to an epoch's last rows when they do not fill a step.
    pub last_partial: LastPartial,
    /// How long.
    pub length: Length,
}

impl Plan {
    /// The plan of a fine-tune on datasets of `sizes` training rows.
    pub fn new(
        seed: u64,
        sizes: Vec<u32>,
        weights: Vec<f64>,
        batch: &BatchSpec,
        length: &Length,
    ) -> Self {
        Self {
            seed,
            sizes,
            weights,
            per_step: batch.examples_per_step(),
            shuffle: batch.shuffle,
            last_partial: batch.last_partial,
            length: length.clone(),
        }
    }
}

/// The steps of a run, each with its examples.
///
/// One dataset: an epoch is one pass over its rows. Several: every draw goes to the dataset that is furthest behind its
/// share, each dataset goes through its own epochs, and an epoch of the run is as many draws as there are rows in all.
#[derive(Debug, Clone)]
pub struct Order {
    plan: Plan,
    /// Draws of one epoch that are used, and the steps they make.
    epoch_draws: u64,
    epoch_steps: u64,
    total_steps: u64,
    /// Draws that each dataset has given before every step, one block of `sizes.len()` a step; empty for one dataset.
    given: Vec<u64>,
    /// The permutation last used, by dataset: (epoch, rows). A cache; answers do not depend on it.
    epochs: Vec<Option<(u64, Vec<u32>)>>,
}

impl Order {
    /// The order of a plan, or what is wrong with it.
    pub fn new(plan: Plan) -> Checked<Self> {
        let total_steps = total_steps(&plan)?;
        let rows = rows(&plan);
        let epoch_steps = epoch_steps(&plan);
        let mut order = Self {
            epoch_draws: rows.min(epoch_steps * plan.per_step),
            epoch_steps,
            total_steps,
            given: Vec::new(),
            epochs: vec![None; plan.sizes.len()],
            plan,
        };
        order.given = order.count_given();
        Ok(order)
    }

    /// Optimizer steps of the run.
    pub fn total_steps(&self) -> u64 {
        self.total_steps
    }

    /// The examples of step `step`, counted from 0 and less than `total_steps`.
    pub fn step(&mut self, step: u64) -> Vec<Draw> {
        let draws = self.draws_of(step);
        if self.plan.sizes.len() == 1 {
            return self.single(step, draws);
        }
        let sets = self.plan.sizes.len();
        let start = step as usize * sets;
        let mut given = self.given[start..start + sets].to_vec();
        let before: u64 = given.iter().sum();
        let mut examples = Vec::with_capacity(draws as usize);
        for total in before..before + draws {
            let dataset = furthest_behind(&self.shares(), &given, total);
            examples.push(self.nth(dataset, given[dataset]));
            given[dataset] += 1;
        }
        examples
    }

    fn single(&mut self, step: u64, draws: u64) -> Vec<Draw> {
        let epoch = step / self.epoch_steps;
        let first = (step % self.epoch_steps) * self.plan.per_step;
        (first..first + draws)
            .map(|place| self.at(0, epoch, place))
            .collect()
    }

    /// Examples of step `step`: fewer than a full step's only at the end of an epoch.
    fn draws_of(&self, step: u64) -> u64 {
        let first = (step % self.epoch_steps) * self.plan.per_step;
        (self.epoch_draws - first).min(self.plan.per_step)
    }

    fn nth(&mut self, dataset: usize, draw: u64) -> Draw {
        let size = u64::from(self.plan.sizes[dataset]);
        self.at(dataset, draw / size, draw % size)
    }

    fn at(&mut self, dataset: usize, epoch: u64, place: u64) -> Draw {
        if !self.plan.shuffle {
            return Draw {
                dataset,
                row: place as u32,
            };
        }
        let (seed, size) = (self.plan.seed, self.plan.sizes[dataset]);
        let cached = &mut self.epochs[dataset];
        if cached.as_ref().is_none_or(|(known, _)| *known != epoch) {
            *cached = Some((epoch, permutation(seed, dataset as u64, epoch, size)));
        }
        let row = cached.as_ref().map_or(0, |(_, rows)| rows[place as usize]);
        Draw { dataset, row }
    }

    fn shares(&self) -> Vec<f64> {
        let sum: f64 = self.plan.weights.iter().sum();
        self.plan
            .weights
            .iter()
            .map(|weight| weight / sum)
            .collect()
    }

    fn count_given(&self) -> Vec<u64> {
        let sets = self.plan.sizes.len();
        if sets == 1 {
            return Vec::new();
        }
        let shares = self.shares();
        let mut given = vec![0; sets];
        let mut total = 0;
        let mut table = Vec::with_capacity(sets * self.total_steps as usize);
        for step in 0..self.total_steps {
            table.extend_from_slice(&given);
            for _ in 0..self.draws_of(step) {
                let dataset = furthest_behind(&shares, &given, total);
                given[dataset] += 1;
                total += 1;
            }
        }
        table
    }
}

/// Optimizer steps of a plan's run, or what is wrong with the plan.
pub fn total_steps(plan: &Plan) -> Checked<u64> {
    check(plan)?;
    Ok(match (plan.length.epochs, plan.length.steps) {
        (Some(epochs), _) => u64::from(epochs) * epoch_steps(plan),
        (None, steps) => steps.unwrap_or(0),
    })
}

fn rows(plan: &Plan) -> u64 {
    plan.sizes.iter().map(|&size| u64::from(size)).sum()
}

fn epoch_steps(plan: &Plan) -> u64 {
    match plan.last_partial {
        LastPartial::Drop => rows(plan) / plan.per_step,
        LastPartial::Step => rows(plan).div_ceil(plan.per_step),
    }
}

/// The dataset whose share of `total + 1` draws exceeds what it has given by most; the first of equals.
fn furthest_behind(shares: &[f64], given: &[u64], total: u64) -> usize {
    let behind = |dataset: usize| shares[dataset] * (total + 1) as f64 - given[dataset] as f64;
    (1..shares.len()).fold(0, |best, dataset| {
        if behind(dataset) > behind(best) {
            dataset
        } else {
            best
        }
    })
}

fn check(plan: &Plan) -> Checked<()> {
    let mut findings = Findings::default();
    findings.require(
        !plan.sizes.is_empty() && plan.sizes.len() == plan.weights.len(),
        || FieldError::at("/datasets", "no dataset").hint("name at least one"),
    );
    for (index, size) in plan.sizes.iter().enumerate() {
        findings.require(*size > 0, || {
            FieldError::at(format!("/datasets/{index}"), "no row is left to train on")
        });
    }
    for (index, weight) in plan.weights.iter().enumerate() {
        findings.require(weight.is_finite() && *weight > 0.0, || {
            let place = format!("/datasets/{index}/weight");
            FieldError::at(place, format!("{weight} is not a number above 0"))
        });
    }
    findings.require(plan.per_step > 0, || {
        FieldError::at("/batch", "a step of no examples").hint("give numbers above 0")
    });
    findings.require(
        plan.length.epochs.is_some() != plan.length.steps.is_some(),
        || FieldError::at("/length", "give exactly one of epochs and steps"),
    );
    findings.finish()?;
    check_fills_a_step(plan)
}

fn check_fills_a_step(plan: &Plan) -> Checked<()> {
    let rows = rows(plan);
    if plan.last_partial == LastPartial::Drop && rows < plan.per_step {
        let detail = format!(
            "{rows} training rows do not fill a step of {}",
            plan.per_step
        );
        return Err(FieldError::at("/batch", detail)
            .hint("make the step smaller, or set last_partial to step")
            .into());
    }
    Ok(())
}

/// Rows 0..size in the order of their keys.
fn permutation(seed: u64, dataset: u64, epoch: u64, size: u32) -> Vec<u32> {
    let stream = key(&[seed, 1, dataset, epoch]);
    sorted_by_key(stream, size)
}

fn sorted_by_key(stream: u64, size: u32) -> Vec<u32> {
    let mut rows: Vec<(u64, u32)> = (0..size)
        .map(|row| (key(&[stream, u64::from(row)]), row))
        .collect();
    rows.sort_unstable();
    rows.into_iter().map(|(_, row)| row).collect()
}

/// A dataset's rows in two parts: (trained on, held out), both in the file's order.
///
/// The held-out part has ⌈size · fraction⌉ rows, those with the smallest keys of (seed, dataset, row).
pub fn split(seed: u64, dataset: u64, size: u32, fraction: f64) -> (Vec<u32>, Vec<u32>) {
    // a product such as 0.1 · 30 that lies a rounding above a whole number is that number
    let wanted = (f64::from(size) * fraction - 1e-9).ceil().max(0.0) as usize;
    let order = sorted_by_key(key(&[seed, 2, dataset]), size);
    let (held, trained) = order.split_at(wanted.min(order.len()));
    let sorted = |rows: &[u32]| {
        let mut rows = rows.to_vec();
        rows.sort_unstable();
        rows
    };
    (sorted(trained), sorted(held))
}

/// Hash of a few words: each is added in and mixed with SplitMix64's finalizer.
fn key(words: &[u64]) -> u64 {
    words.iter().fold(0x243f_6a88_85a3_08d3, |state, &word| {
        mix(state ^ mix(word.wrapping_add(0x9e37_79b9_7f4a_7c15)))
    })
}

fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn plan(sizes: &[u32], weights: &[f64], per_step: u64, length: Length) -> Plan {
        Plan {
            seed: 7,
            sizes: sizes.to_vec(),
            weights: weights.to_vec(),
            per_step,
            shuffle: true,
            last_partial: LastPartial::Drop,
            length,
        }
    }

    fn epochs(count: u32) -> Length {
        Length {
            epochs: Some(count),
            steps: None,
        }
    }

    fn steps(count: u64) -> Length {
        Length {
            epochs: None,
            steps: Some(count),
        }
    }

    fn all(plan: &Plan) -> Vec<Vec<Draw>> {
        let mut order = Order::new(plan.clone()).unwrap();
        (0..order.total_steps())
            .map(|step| order.step(step))
            .collect()
    }

    #[test]
    fn steps_of_the_medical_set_are_those_of_the_papers_arithmetic() {
        // PAPER: 7,049 rows, a tenth held out, 16 a step: 396 and 792 steps, or 397 and 794 with the trailing window
        let (trained, held) = split(0, 0, 7049, 0.1);
        assert_eq!((trained.len(), held.len()), (6344, 705));
        for (last, count, expected) in [
            (LastPartial::Drop, 1, 396),
            (LastPartial::Drop, 2, 792),
            (LastPartial::Step, 1, 397),
            (LastPartial::Step, 2, 794),
        ] {
            let mut plan = plan(&[6344], &[1.0], 16, epochs(count));
            plan.last_partial = last;
            assert_eq!(Order::new(plan).unwrap().total_steps(), expected);
        }
    }

    #[test]
    fn every_epoch_has_every_row_once_and_an_order_of_its_own() {
        let mut plan = plan(&[10], &[1.0], 4, epochs(3));
        plan.last_partial = LastPartial::Step;
        let steps = all(&plan);
        assert_eq!(
            steps.iter().map(Vec::len).collect::<Vec<_>>(),
            [4, 4, 2, 4, 4, 2, 4, 4, 2]
        );
        let epochs: Vec<Vec<Draw>> = steps.chunks(3).map(<[_]>::concat).collect();
        for epoch in &epochs {
            assert_eq!(epoch.iter().collect::<HashSet<_>>().len(), 10);
        }
        assert_ne!(epochs[0], epochs[1]);
        assert_ne!(epochs[1], epochs[2]);
    }

    #[test]
    fn a_run_resumed_at_any_step_sees_the_rows_of_an_uninterrupted_one() {
        for (sizes, weights) in [(vec![11], vec![1.0]), (vec![11, 7], vec![0.7, 0.3])] {
            for last in [LastPartial::Drop, LastPartial::Step] {
                let mut plan = plan(&sizes, &weights, 4, epochs(3));
                plan.last_partial = last;
                let whole = all(&plan);
                for start in 0..whole.len() {
                    let mut resumed = Order::new(plan.clone()).unwrap();
                    for (step, expected) in whole.iter().enumerate().skip(start) {
                        assert_eq!(&resumed.step(step as u64), expected);
                    }
                }
            }
        }
    }

    #[test]
    fn weights_that_divide_a_step_give_exact_counts_in_every_step() {
        let plan = plan(&[100, 30], &[0.8, 0.2], 20, steps(50));
        for step in all(&plan) {
            let first = step.iter().filter(|draw| draw.dataset == 0).count();
            assert_eq!((first, step.len() - first), (16, 4));
        }
    }

    #[test]
    fn each_set_of_a_mixture_goes_through_its_own_epochs() {
        let steps = all(&plan(&[8, 4], &[3.0, 1.0], 4, steps(8)));
        let of = |dataset| -> Vec<u32> {
            let draws = steps
                .iter()
                .flatten()
                .filter(|draw| draw.dataset == dataset);
            draws.map(|draw| draw.row).collect()
        };
        for (rows, size) in [(of(0), 8), (of(1), 4)] {
            for epoch in rows.chunks(size) {
                assert_eq!(epoch.iter().collect::<HashSet<_>>().len(), epoch.len());
            }
        }
        assert_eq!((of(0).len(), of(1).len()), (24, 8));
    }

    #[test]
    fn without_shuffling_rows_come_in_the_files_order() {
        let mut plan = plan(&[5], &[1.0], 2, steps(3));
        plan.shuffle = false;
        let rows: Vec<u32> = all(&plan).concat().iter().map(|draw| draw.row).collect();
        assert_eq!(rows, [0, 1, 2, 3, 0, 1]);
    }

    #[test]
    fn another_seed_gives_another_order_and_another_split() {
        let first = plan(&[50], &[1.0], 10, epochs(1));
        let second = Plan {
            seed: 8,
            ..first.clone()
        };
        assert_ne!(all(&first), all(&second));
        assert_ne!(split(7, 0, 50, 0.2), split(8, 0, 50, 0.2));
    }

    #[test]
    fn places_in_an_epoch_are_spread_evenly() {
        // 2000 epochs of 10 rows: each row lies in each place about 200 times; 5 standard deviations are 67
        let mut counts = [[0_i32; 10]; 10];
        for epoch in 0..2000 {
            for (place, row) in permutation(3, 0, epoch, 10).into_iter().enumerate() {
                counts[place][row as usize] += 1;
            }
        }
        for count in counts.iter().flatten() {
            assert!((count - 200).abs() < 67, "{counts:?}");
        }
    }

    #[test]
    fn plans_without_a_step_are_refused_with_the_remedy() {
        let error = Order::new(plan(&[3], &[1.0], 16, epochs(1))).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("3 training rows do not fill a step of 16")
        );
        assert!(Order::new(plan(&[3], &[0.0], 1, epochs(1))).is_err());
        assert!(Order::new(plan(&[0], &[1.0], 1, epochs(1))).is_err());
        assert!(
            Order::new(plan(
                &[3],
                &[1.0],
                1,
                Length {
                    epochs: None,
                    steps: None
                }
            ))
            .is_err()
        );
    }
}
