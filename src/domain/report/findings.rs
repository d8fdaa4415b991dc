//! What came out, in plain sentences: rates at the end, turns, lags. Each says what its uncertainty is about.

use super::material::Material;
use super::numbers::{cell_name, percent, percents, step, steps};
use super::paper::is_behavioural;
use super::value::{ArmReport, LagLine, Questions, SeedsLine, TransitionLine};

/// One sentence an arm and kind of questions, one a marker, one a lag.
pub(super) fn findings(material: &Material, rates: &[SeedsLine]) -> Vec<String> {
    let mut findings: Vec<String> = Vec::new();
    for arm in &material.arms {
        for questions in [Questions::Broad, Questions::InDomain] {
            findings.extend(at_the_end(arm, questions, rates));
        }
    }
    if let Some(analysis) = &material.analysis {
        findings.extend(turns(&analysis.transitions));
        findings.extend(analysis.lags.iter().filter_map(lag));
    }
    findings
}

/// The rate of the arm's last step, at scale 1 where it was asked there.
fn at_the_end(arm: &ArmReport, questions: Questions, rates: &[SeedsLine]) -> Option<String> {
    let here = rates
        .iter()
        .filter(|line| line.arm == arm.name && line.questions == questions);
    let last = here.clone().filter_map(|line| line.step).max();
    let here = here.filter(|line| line.step == last);
    let near = |line: &&SeedsLine| (line.scale.unwrap_or(1.0) - 1.0).abs();
    let line = here.min_by(|one, other| near(one).total_cmp(&near(other)))?;
    let place = match (line.step, line.scale) {
        (Some(step), Some(scale)) => format!(" at step {step}, scale {scale}"),
        _ => String::new(),
    };
    let kind = match questions {
        Questions::Broad => "",
        Questions::InDomain => " on questions of the data's own domain",
    };
    let spread = match (line.seeds_interval, line.seeds) {
        (Some(interval), seeds) => format!(
            "; mean of {seeds} seeds {}, 95 % t interval over seeds {}",
            percent(line.mean),
            percents(Some(interval))
        ),
        (None, 1) if !arm.seeds.is_empty() => "; one seed".into(),
        _ => String::new(),
    };
    let (count, scored) = (line.count, line.scored);
    let pooled = percent(count as f64 / scored.max(1) as f64);
    let name = &arm.name;
    Some(format!(
        "{name}{place}{kind}: {count} of {scored} scored answers are misaligned ({pooled}){spread}."
    ))
}

fn turns(transitions: &[TransitionLine]) -> Vec<String> {
    let mut sentences: Vec<String> = Vec::new();
    let mut seen = Vec::new();
    for line in transitions {
        let group = (&line.arm, &line.marker, line.scale.map(f64::to_bits));
        if seen.contains(&group) {
            continue;
        }
        seen.push(group);
        if still(transitions, line) {
            continue;
        }
        let same = |other: &&TransitionLine| {
            (&other.arm, &other.marker, other.scale.map(f64::to_bits)) == group
        };
        let group: Vec<&TransitionLine> = transitions.iter().filter(same).collect();
        sentences.extend(marker(&group));
    }
    sentences.extend(nothing(transitions));
    sentences
}

/// Whether no seed of the arm shows anything by this marker at this scale.
fn still(transitions: &[TransitionLine], line: &TransitionLine) -> bool {
    let same = |other: &&TransitionLine| {
        (&other.arm, &other.marker, other.scale) == (&line.arm, &line.marker, line.scale)
    };
    transitions
        .iter()
        .filter(same)
        .all(|other| other.verdict == "none")
}

/// What does not change, one sentence an arm.
fn nothing(transitions: &[TransitionLine]) -> Vec<String> {
    let mut arms: Vec<(&str, Vec<String>)> = Vec::new();
    for line in transitions.iter().filter(|line| still(transitions, line)) {
        let scale = line.scale.map(|scale| format!(" at scale {scale}"));
        let what = format!(
            "{}{}",
            line.marker.replace('_', " "),
            scale.unwrap_or_default()
        );
        let place = match arms.iter().position(|(arm, _)| *arm == line.arm) {
            Some(place) => place,
            None => {
                arms.push((&line.arm, Vec::new()));
                arms.len() - 1
            }
        };
        if !arms[place].1.contains(&what) {
            arms[place].1.push(what);
        }
    }
    let sentence = |(arm, whats): (&str, Vec<String>)| {
        format!("{arm}: no seed shows a change in {}.", whats.join(", "))
    };
    arms.into_iter().map(sentence).collect()
}

/// All verdicts of one arm, marker and scale in one sentence.
fn marker(lines: &[&TransitionLine]) -> Option<String> {
    let first = lines.first()?;
    let what = match is_behavioural(&first.marker) {
        true => format!("behaviour ({})", first.marker.replace('_', " ")),
        false => first.marker.replace('_', " "),
    };
    let scale = first.scale.map(|scale| format!(" at scale {scale}"));
    let one = |line: &&TransitionLine| {
        let whose = match line.seed {
            Some(seed) => format!("seed {seed} "),
            None if lines.len() > 1 => "seeds together ".into(),
            None => String::new(),
        };
        let place = line.step.map(|at| format!(" at step {}", step(at)));
        let sure = line
            .interval
            .map(|ends| format!(" ({})", steps(Some(ends))));
        let (place, sure) = (place.unwrap_or_default(), sure.unwrap_or_default());
        format!("{whose}{}{place}{sure}", line.verdict)
    };
    let verdicts: Vec<String> = lines.iter().map(one).collect();
    Some(format!(
        "{}, {what}{}: {}.",
        first.arm,
        scale.unwrap_or_default(),
        verdicts.join("; ")
    ))
}

fn lag(line: &LagLine) -> Option<String> {
    let lag = line.lag?;
    let scale = line.scale.map(|scale| format!(" at scale {scale}"));
    let sure = match (line.interval, &line.source) {
        (Some(ends), Some(source)) => format!(" ({}; {source})", steps(Some(ends))),
        (Some(ends), None) => format!(" ({})", steps(Some(ends))),
        _ => ", without an interval".into(),
    };
    let order = if lag >= 0.0 { "after" } else { "before" };
    Some(format!(
        "{}{}: the behaviour turns {} steps {order} the weights{sure}.",
        cell_name(&line.arm, line.seed),
        scale.unwrap_or_default(),
        step(lag.abs()),
    ))
}
