//! What is said of a rate's change, and why.

use super::change::LEAST_STEPS;
use super::profile::Reach;
use super::{
    ALARM, Behaviour, CLEARER, Curve, Fit, LEAST_ANSWERS, LEAST_QUESTIONS, LONGEST, Path, Turn,
};

pub(super) fn too_few_steps(steps: usize) -> Behaviour {
    let reason = format!("answers at {steps} steps; at least {LEAST_STEPS} are needed");
    none(vec![reason], None)
}

pub(super) fn no_change(path: &Path, chance: f64) -> Behaviour {
    let hits: u64 = path
        .counts()
        .iter()
        .flatten()
        .map(|cluster| cluster.yes)
        .sum();
    let reason = match hits {
        0 => "no answer at any step does".to_owned(),
        _ => format!(
            "a constant rate shows a step as clear as the clearest here with a chance of {} among all series of the run; \
             {} is the limit",
            percent(chance),
            percent(ALARM)
        ),
    };
    none(vec![reason], Some(chance))
}

pub(super) fn too_little(chance: f64) -> Behaviour {
    let reason = format!("the levels differ by fewer than {LEAST_ANSWERS} answers a checkpoint");
    none(vec![reason], Some(chance))
}

fn none(reasons: Vec<String>, chance: Option<f64>) -> Behaviour {
    Behaviour {
        turn: Turn::None,
        reasons,
        chance,
        fit: None,
    }
}

pub(super) fn changed(path: &Path, chance: f64, fit: Fit, reach: Option<Reach>) -> Behaviour {
    let (turn, verdict) = turn(path, &fit);
    let mut reasons = vec![told(&fit.curve), verdict];
    reasons.push(format!(
        "a constant rate shows so clear a step with a chance of {}",
        percent(chance)
    ));
    reasons.extend(doubts(path, &fit, reach));
    Behaviour {
        turn,
        reasons,
        chance: Some(chance),
        fit: Some(fit),
    }
}

fn turn(path: &Path, fit: &Fit) -> (Turn, String) {
    let part = fit.curve.width / path.span();
    if part > LONGEST {
        let took = format!(
            "the change takes {} of the run; a transition takes at most half",
            percent(part)
        );
        return (Turn::Gradual, took);
    }
    if fit.over_line < CLEARER {
        let alike = "a straight line over the whole run suits the counts as well as a step does";
        return (Turn::Gradual, alike.into());
    }
    (
        Turn::Transition,
        "a step suits the counts clearly better than a straight line over the whole run".into(),
    )
}

fn told(curve: &Curve) -> String {
    let goes = if curve.after > curve.before {
        "rises"
    } else {
        "falls"
    };
    format!(
        "the rate {goes} from {} to {}, half-way at step {:.1}, from a tenth to nine tenths in {:.1} steps",
        percent(curve.before),
        percent(curve.after),
        curve.step,
        curve.width
    )
}

fn doubts(path: &Path, fit: &Fit, reach: Option<Reach>) -> Vec<String> {
    let mut doubts = Vec::new();
    if fit.over_jump < 3.84 {
        let [from, to] = fit.jump;
        doubts.push(format!(
            "a jump between steps {from} and {to} suits the counts as well"
        ));
    }
    match reach {
        None => doubts.push(format!(
            "no interval: {} questions with answers; at least {LEAST_QUESTIONS} are needed",
            path.questions()
        )),
        Some(reach) => {
            let ends = ["begins", "ends"].into_iter().zip(reach.cut_off);
            let cut = ends.filter(|(_, cut)| *cut);
            doubts.extend(cut.map(|(end, _)| format!("the interval {end} where the run {end}")));
        }
    }
    doubts
}

fn percent(share: f64) -> String {
    match 100.0 * share {
        little if little < 0.01 => "less than 0.01 %".into(),
        share => format!("{share:.2} %"),
    }
}
