//! Training beside PEFT and torch.optim.AdamW: the same beginning, the same order, and every number of every step.

mod gaps;
mod initial;
mod ours;
mod recorded;

use std::collections::BTreeSet;

use self::gaps::Gaps;
use self::ours::Ours;
use self::recorded::{Trajectory, trajectories};

/// By how much at least a planted mistake misses the bound of the series that shows it best.
const CLEARLY: f64 = 100.0;

/// Each is planted in some run.
const MISTAKES: [&str; 6] = [
    "alpha_over_r",
    "no_bias_correction",
    "coupled_decay",
    "warmup_off_by_one",
    "mean_per_micro_batch",
    "kl_reversed",
];

struct Line {
    name: String,
    steps: usize,
    learnt: f64,
    clipped: usize,
    ours: Ours,
    gaps: Gaps,
    mistakes: Vec<Mistake>,
}

/// How far a planted mistake leads from the engine's run.
struct Mistake {
    name: String,
    gaps: Gaps,
}

impl Mistake {
    /// The KL term's own number says how the term is computed; what it does to the training must be seen without it.
    fn is_told_apart(&self) -> bool {
        self.gaps.best(true).1 > CLEARLY && self.gaps.best(false).1 > 1.0
    }

    fn text(&self) -> String {
        let (series, missed) = self.gaps.best(true);
        let others = match self.gaps.best(false) {
            (same, _) if same == series => String::new(),
            (other, missed) => format!(" and {missed:.0} by {other}"),
        };
        format!("{} {missed:.0} by {series}{others}", self.name)
    }
}

fn line(trajectory: &Trajectory) -> Line {
    let recorded = &trajectory.recorded;
    let ours = ours::run(trajectory);
    let mistakes = recorded.mistakes.iter().map(|(name, steps)| Mistake {
        name: name.clone(),
        gaps: gaps::of_steps((&ours.modules, &ours.steps), (&recorded.modules, steps)),
    });
    Line {
        name: trajectory.name(),
        steps: recorded.steps.len(),
        learnt: recorded.learnt(),
        clipped: recorded.clipped(),
        gaps: apart(trajectory, &ours),
        mistakes: mistakes.collect(),
        ours,
    }
}

fn apart(trajectory: &Trajectory, ours: &Ours) -> Gaps {
    let recorded = &trajectory.recorded;
    let steps = gaps::of_steps(
        (&ours.modules, &ours.steps),
        (&recorded.modules, &recorded.steps),
    );
    let Some(end) = trajectory.end() else {
        return steps;
    };
    let ends = gaps::of_ends(&trajectory.start(), &ours.end, &end);
    Gaps {
        turned: ends.turned,
        length: ends.length,
        ..steps
    }
}

impl Line {
    fn holds(&self) -> bool {
        self.gaps.of_bounds() < 1.0
            && self.mistakes.iter().all(Mistake::is_told_apart)
            && self.learnt > 0.2
            && (1..self.steps).contains(&self.clipped)
    }

    fn print(&self) {
        let gaps = &self.gaps;
        println!(
            "{:<24} {:>5} {:>6.0}% {:>7} {:>9.1e} {:>9.1e} {:>9.1e} {:>9.1e} {:>10.1e} {:>9.1e}  {}",
            self.name,
            self.steps,
            100.0 * self.learnt,
            self.clipped,
            gaps.loss,
            gaps.kl,
            gaps.grad_norm,
            gaps.norms,
            gaps.turned,
            gaps.length,
            if self.holds() { "yes" } else { "NO" },
        );
        let told: Vec<_> = self.mistakes.iter().map(Mistake::text).collect();
        if !told.is_empty() {
            println!(
                "    bounds are missed so many times with {}",
                told.join(", ")
            );
        }
    }
}

#[test]
fn runs_take_the_path_that_peft_and_adamw_take_and_planted_mistakes_do_not() {
    println!(
        "{:<24} {:>5} {:>7} {:>7} {:>9} {:>9} {:>9} {:>9} {:>10} {:>9}  holds",
        "run", "steps", "learnt", "clipped", "loss", "kl", "grad", "norms", "1 - cosine", "length"
    );
    let trajectories = trajectories();
    let lines: Vec<Line> = trajectories.iter().map(line).collect();
    lines.iter().for_each(Line::print);
    assert!(lines.iter().all(Line::holds));
    both_averages_are_one_term(&lines);
    covered(&trajectories);
}

/// Averaged over the vocabulary too and with so much more weight, the KL term is the same: so is every number of the run.
fn both_averages_are_one_term(lines: &[Line]) {
    let of = |average: &'static str| {
        let method = format!(" kl_{average}");
        lines
            .iter()
            .filter(move |line| line.name.ends_with(&method))
    };
    for (tokens, vocabulary) in of("tokens").zip(of("vocabulary")) {
        let steps = |line: &Line| (line.ours.modules.clone(), line.ours.steps.clone());
        let (left, right) = (steps(tokens), steps(vocabulary));
        let gaps = gaps::of_steps((&left.0, &left.1), (&right.0, &right.1));
        assert!(gaps.of_bounds() < 1.0, "{}: {gaps:?}", tokens.name);
    }
}

/// All three families with pairs, and all weights; rows of many lengths, several micro-batches a step; every mistake.
fn covered(trajectories: &[Trajectory]) {
    let with = |method: &str| {
        let found = trajectories.iter().filter(|one| one.method == method);
        found.map(|one| &one.family[..4]).collect::<BTreeSet<_>>()
    };
    assert!(with("lora").is_superset(&["gemm", "llam", "qwen"].into()));
    assert!(!with("full").is_empty());
    assert!(!with("kl_full").is_empty());
    let mistakes = trajectories.iter();
    let mistakes = mistakes.flat_map(|one| one.recorded.mistakes.keys().map(String::as_str));
    assert!(
        mistakes
            .collect::<BTreeSet<_>>()
            .is_superset(&MISTAKES.into())
    );
    for one in trajectories {
        let lengths: BTreeSet<_> = one.recorded.lengths().into_iter().collect();
        assert!(lengths.len() > 5, "{}: {lengths:?}", one.name());
        let rows = one.recorded.examples(0).len();
        assert!(rows > 2 * one.recorded.micro_batch, "{}", one.name());
    }
}
