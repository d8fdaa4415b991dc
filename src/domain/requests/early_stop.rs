//! The bounds of the rule that ends a run early.

use super::bounds::Check;
use super::finetune::MOST_STEPS;
use crate::domain::early_stop::EarlyStop;
use crate::domain::invalid::{FieldError, Findings};

/// Checks the rule; `held_out` says whether there are hold-out losses to watch.
pub(super) fn check(findings: &mut Findings, rule: &EarlyStop, held_out: bool) {
    let mut place = Check::below(findings, "/early_stop");
    if rule.loss_below.is_none() && rule.steps.is_none() && rule.patience.is_none() {
        let detail = "neither loss_below nor patience is given";
        let hint = "give {\"loss_below\":0.01,\"steps\":6}, {\"patience\":3}, both, or null for no early stop";
        place.finding(FieldError::at("/early_stop", detail).hint(hint));
    }
    check_low_loss(&mut place, rule);
    check_patience(&mut place, rule, held_out);
}

fn check_low_loss(place: &mut Check<'_>, rule: &EarlyStop) {
    if let Some(bound) = rule.loss_below {
        place.positive("loss_below", bound);
    }
    match (rule.loss_below, rule.steps) {
        (Some(_), None) => {
            let wanted = "give the number of steps in a row that loss_below must hold";
            place.refuse("steps", "null", wanted);
        }
        (None, Some(steps)) => {
            place.refuse("steps", steps, "give it with loss_below, or leave it out");
        }
        (_, Some(steps)) => place.whole("steps", steps, 1..=MOST_STEPS),
        (None, None) => {}
    }
}

fn check_patience(place: &mut Check<'_>, rule: &EarlyStop, held_out: bool) {
    let wanted = "give a number of 0 or more";
    place.number("min_delta", rule.min_delta, |x| x >= 0.0, wanted);
    let Some(patience) = rule.patience else {
        if rule.min_delta > 0.0 {
            place.refuse(
                "min_delta",
                rule.min_delta,
                "give it with patience, or leave it out",
            );
        }
        return;
    };
    place.whole("patience", patience, 1..=MOST_STEPS);
    if !held_out {
        let wanted = "give hold_out, whose losses it watches, or leave patience out";
        place.refuse("patience", patience, wanted);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::domain::job::JobSpec;
    use crate::domain::requests::job_request;

    fn body(rule: Value, hold_out: Value) -> Value {
        json!({"kind": "finetune", "base_model": "toy", "datasets": [{"dataset": "bad"}], "method": {"type": "full"},
               "length": {"steps": 100}, "hold_out": hold_out, "early_stop": rule})
    }

    fn held() -> Value {
        json!({"fraction": 0.1, "every": 50})
    }

    #[test]
    fn a_rule_without_a_half_or_with_half_a_half_is_refused_at_its_place() {
        for (rule, hold_out, place, word) in [
            (json!({}), held(), "/early_stop", "neither"),
            (json!([]), held(), "/early_stop", "an array"),
            (
                json!({"loss_below": 0.01}),
                held(),
                "/early_stop/steps",
                "in a row",
            ),
            (
                json!({"steps": 6}),
                held(),
                "/early_stop/steps",
                "loss_below",
            ),
            (
                json!({"loss_below": 0, "steps": 6}),
                held(),
                "/early_stop/loss_below",
                "above 0",
            ),
            (
                json!({"loss_below": 1, "steps": 0}),
                held(),
                "/early_stop/steps",
                "from 1",
            ),
            (
                json!({"patience": 0}),
                held(),
                "/early_stop/patience",
                "from 1",
            ),
            (
                json!({"patience": 3}),
                Value::Null,
                "/early_stop/patience",
                "hold_out",
            ),
            (
                json!({"patience": 3, "min_delta": -1}),
                held(),
                "/early_stop/min_delta",
                "0 or more",
            ),
            (
                json!({"loss_below": 1, "steps": 1, "min_delta": 0.5}),
                held(),
                "/early_stop/min_delta",
                "patience",
            ),
            (
                json!({"loss_under": 1}),
                held(),
                "/early_stop/loss_under",
                "loss_below",
            ),
        ] {
            let found = job_request(body(rule.clone(), hold_out))
                .unwrap_err()
                .errors;
            let text = |error: &crate::domain::invalid::FieldError| {
                format!(
                    "{} {}",
                    error.detail,
                    error.hint.as_deref().unwrap_or_default()
                )
            };
            let hit = found
                .iter()
                .any(|error| error.pointer.as_deref() == Some(place) && text(error).contains(word));
            assert!(hit, "{rule}: {found:?}");
        }
    }

    #[test]
    fn either_rule_and_both_are_taken_and_null_is_the_default() {
        for rule in [
            json!({"loss_below": 0.01, "steps": 6}),
            json!({"patience": 3, "min_delta": 0.001}),
            json!({"loss_below": 0.01, "steps": 6, "patience": 1}),
        ] {
            job_request(body(rule, held())).unwrap();
        }
        let mut without = body(Value::Null, held());
        without.as_object_mut().unwrap().remove("early_stop");
        let JobSpec::Finetune(spec) = job_request(without).unwrap().1 else {
            panic!("not a fine-tune");
        };
        assert_eq!(spec.early_stop, None);
    }
}
