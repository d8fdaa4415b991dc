//! Series and transitions as flat tables.

use crate::api::error::Answer;
use crate::api::table::{cell, csv, head};
use crate::domain::analysis::{Centring, ModuleSeries, RateSeries, RunSeries, VectorSeries};
use crate::domain::geometry::Reading;
use crate::domain::transitions::{TransitionRow, Verdict};

/// Which series a number belongs to.
#[derive(Debug, Clone, Default)]
struct Key {
    module: String,
    series: String,
    gap: Option<u64>,
    scale: Option<f64>,
}

/// Columns behind the value, of rates alone.
const OF_RATES: usize = 6;

/// One row a run, series and step; a share of the variance has no step.
pub(super) fn series(runs: &[RunSeries]) -> Answer<Vec<u8>> {
    let names = [
        "arm",
        "seed",
        "module",
        "series",
        "gap",
        "scale",
        "step",
        "value",
        "count",
        "of",
        "answers_low",
        "answers_high",
        "questions_low",
        "questions_high",
    ];
    csv(&head(&names), runs.iter().flat_map(of_run))
}

fn of_run(run: &RunSeries) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for module in &run.modules {
        of_module(&mut rows, module);
    }
    for comp in &run.comp {
        let (vector, reading) = (letter(comp.vector.letter()), reading(comp.reading));
        let key = Key {
            series: format!("{vector}_comp_{reading}{}", centring(comp.centring)),
            ..Key::default()
        };
        numbers(&mut rows, &key, &comp.steps, &comp.values);
    }
    run.rates
        .iter()
        .for_each(|rates| of_rates(&mut rows, rates));
    let own = [run.arm.clone(), run.seed.to_string()];
    let whole = |row: Vec<String>| own.iter().cloned().chain(row).collect();
    rows.into_iter().map(whole).collect()
}

fn of_module(rows: &mut Vec<Vec<String>>, module: &ModuleSeries) {
    let norms = &module.norms;
    for (name, values) in [
        ("a_norm", &norms.a_norm),
        ("b_norm", &norms.b_norm),
        ("ba_norm", &norms.ba_norm),
    ] {
        let key = Key {
            module: module.module.name.clone(),
            series: name.into(),
            ..Key::default()
        };
        numbers(rows, &key, &norms.steps, values);
    }
    for vector in &module.vectors {
        of_vector(rows, &module.module.name, vector);
    }
}

fn of_vector(rows: &mut Vec<Vec<String>>, module: &str, vector: &VectorSeries) {
    let side = letter(vector.vector.letter());
    let key = |series: String| Key {
        module: module.into(),
        series,
        ..Key::default()
    };
    for turns in &vector.local_cosine {
        let key = Key {
            gap: Some(turns.gap),
            ..key(format!("{side}_local_cosine"))
        };
        numbers(rows, &key, &vector.steps, &turns.values);
    }
    for (name, values) in [
        ("cosine_to_final", &vector.cosine_to_final),
        ("cosine_to_previous", &vector.cosine_to_previous),
    ] {
        numbers(rows, &key(format!("{side}_{name}")), &vector.steps, values);
    }
    let plane = &vector.components;
    for (place, scores) in plane.scores.iter().enumerate() {
        let key = key(format!("{side}_component_{}", place + 1));
        let scores: Vec<Option<f64>> = scores.iter().copied().map(Some).collect();
        numbers(rows, &key, &plane.steps, &scores);
    }
    for (place, share) in plane.explained.iter().enumerate() {
        let key = key(format!("{side}_explained_{}", place + 1));
        rows.push(row(&key, None, Some(*share)));
    }
}

fn of_rates(rows: &mut Vec<Vec<String>>, rates: &RateSeries) {
    let key = Key {
        series: rates.marker.clone(),
        scale: Some(rates.scale),
        ..Key::default()
    };
    for (place, step) in rates.steps.iter().enumerate() {
        let mut cells = row(&key, Some(*step), rates.rate[place]);
        cells.truncate(cells.len() - OF_RATES);
        cells.extend([cell(Some(rates.count[place])), cell(Some(rates.of[place]))]);
        for interval in [rates.answers[place], rates.questions[place]] {
            cells.extend([
                cell(interval.map(|it| it[0])),
                cell(interval.map(|it| it[1])),
            ]);
        }
        rows.push(cells);
    }
}

fn numbers(rows: &mut Vec<Vec<String>>, key: &Key, steps: &[u64], values: &[Option<f64>]) {
    let pairs = steps.iter().zip(values);
    rows.extend(pairs.map(|(step, value)| row(key, Some(*step), *value)));
}

fn row(key: &Key, step: Option<u64>, value: Option<f64>) -> Vec<String> {
    let mut cells = vec![
        key.module.clone(),
        key.series.clone(),
        cell(key.gap),
        cell(key.scale),
        cell(step),
        cell(value),
    ];
    cells.resize(cells.len() + OF_RATES, String::new());
    cells
}

fn letter(of: &str) -> String {
    of.to_lowercase()
}

fn reading(of: Reading) -> &'static str {
    match of {
        Reading::Literal => "literal",
        Reading::Crossed => "crossed",
    }
}

fn centring(of: Centring) -> &'static str {
    match of {
        Centring::None => "",
        Centring::OverSteps => "_centred_over_steps",
        Centring::OverModules => "_centred_over_modules",
    }
}

/// One row a marker of a run or an arm; the reasons in one cell, separated by semicolons.
pub(super) fn transitions(rows: &[TransitionRow]) -> Answer<Vec<u8>> {
    let names = [
        "arm",
        "seed",
        "marker",
        "scale",
        "verdict",
        "step",
        "interval_low",
        "interval_high",
        "source",
        "grid",
        "gap",
        "spread",
        "reasons",
    ];
    let row = |row: &TransitionRow| {
        let resolution = row.resolution.as_ref();
        vec![
            row.arm.clone(),
            cell(row.seed),
            row.marker.clone(),
            cell(row.scale),
            verdict(row.verdict).to_owned(),
            cell(row.step),
            cell(row.interval.map(|ends| ends[0])),
            cell(row.interval.map(|ends| ends[1])),
            cell(row.source.clone()),
            cell(resolution.and_then(|it| it.grid)),
            cell(resolution.and_then(|it| it.gap)),
            cell(resolution.and_then(|it| it.spread)),
            row.reasons.join("; "),
        ]
    };
    csv(&head(&names), rows.iter().map(row))
}

fn verdict(of: Verdict) -> &'static str {
    match of {
        Verdict::Transition => "transition",
        Verdict::Gradual => "gradual",
        Verdict::None => "none",
        Verdict::AlsoInTheNull => "also in the null",
    }
}
