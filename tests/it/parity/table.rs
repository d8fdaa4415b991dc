//! The comparison of freshly made folders, as a table for people.

use tch::Kind;
use vivarium::engine::model::projection::Deltas;

use super::fixture::{Fixture, all, live};
use super::{BFLOAT16, FLOAT32, compare};

struct Line {
    name: String,
    /// The largest of padded and single rows.
    float32: f64,
    bfloat16: (f64, f64),
    cached: f64,
    /// How many greedy texts are equal, of how many.
    greedy: (usize, usize),
    /// How many adapters are right, of how many, and their largest difference.
    adapters: (usize, usize, f64),
}

fn line(fixture: &Fixture) -> Line {
    let model = fixture.model(Kind::Float);
    let padded = compare::padded_gap(fixture, &model);
    let cases = &fixture.cases;
    let drawn = compare::greedy(&model, &cases.prompts, None);
    let pairs = drawn.iter().zip(&cases.greedy);
    let cached = drawn.iter().zip(&cases.prompts);
    let cached =
        cached.map(|(drawn, prompt)| compare::cached_gap(&model, prompt, drawn, &Deltas::none()));
    let found: Vec<_> = fixture
        .adapters()
        .iter()
        .map(|adapted| compare::adapter(&model, adapted))
        .collect();
    let right = |one: &&compare::AdapterGaps| {
        one.logits < FLOAT32 && one.cached < FLOAT32 && one.greedy && one.effect > 1.0
    };
    Line {
        name: fixture.name.clone(),
        float32: padded.max(compare::single_gap(fixture, &model)),
        bfloat16: compare::bfloat16(fixture),
        cached: cached.fold(0.0, f64::max),
        greedy: (
            pairs
                .filter(|(ours, theirs)| ours.tokens == **theirs)
                .count(),
            drawn.len(),
        ),
        adapters: (
            found.iter().filter(right).count(),
            found.len(),
            found.iter().map(|one| one.logits).fold(0.0, f64::max),
        ),
    }
}

impl Line {
    fn holds(&self) -> bool {
        self.float32 < FLOAT32
            // Both sides ran on this machine's kernels, so here the bound is absolute.
            && self.bfloat16.0 < BFLOAT16
            && self.cached < FLOAT32
            && self.greedy.0 == self.greedy.1
            && self.adapters.0 == self.adapters.1
    }

    fn print(&self) {
        let (most, relative) = self.bfloat16;
        let (right, adapters, gap) = self.adapters;
        println!(
            "{:<18} {:>9.1e} {:>11.1e} {:>9.1e} {:>9.4} {:>6}/{} {:>7}/{} {:>9.1e}  {}",
            self.name,
            self.float32,
            self.cached,
            most,
            relative,
            self.greedy.0,
            self.greedy.1,
            right,
            adapters,
            gap,
            if self.holds() { "yes" } else { "NO" },
        );
    }
}

#[test]
#[ignore = "needs VIVARIUM_PARITY, a folder made by scripts/parity/fixtures.py; make parity runs it"]
fn freshly_made_models_are_computed_as_transformers_and_peft_compute_them() {
    assert!(live().is_some(), "VIVARIUM_PARITY names no folder");
    println!(
        "{:<18} {:>9} {:>11} {:>9} {:>9} {:>8} {:>9} {:>9}  holds",
        "model", "float32", "cached", "bfloat16", "its rms", "greedy", "adapters", "float32"
    );
    let lines: Vec<Line> = all().iter().map(line).collect();
    lines.iter().for_each(Line::print);
    assert!(lines.iter().all(Line::holds));
}
