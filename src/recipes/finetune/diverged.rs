//! The end of a run whose numbers are no numbers any more: what is told, and where there is something good to go back to.

use serde_json::{Value, json};

use crate::domain::finetune::CheckpointSpec;
use crate::domain::job::ErrorClass;
use crate::engine::Error;
use crate::execution::{Context, Report, Stop};
use crate::recipes::failure;

/// A failed update as the end of the attempt; a step that diverged is told with its numbers and is not recorded.
pub(super) fn stop(error: Error, kept: &CheckpointSpec, total: u64, context: &dyn Context) -> Stop {
    let Error::Diverged {
        step,
        loss,
        kl_loss,
        grad_norm,
    } = error
    else {
        return error.into();
    };
    // the weights after step - 1 updates made this loss: where it is not finite, they are not good either
    let sound = loss.is_finite() && kl_loss.is_none_or(f64::is_finite);
    let good = last_good(kept, step - 1, u64::from(!sound), total);
    let told = context.report(Report::Event {
        r#type: "loss_not_finite",
        data: json!({
            "step": step,
            "loss": shown(loss),
            "kl_loss": kl_loss.map(shown),
            "grad_norm": shown(grad_norm),
            "last_good_checkpoint": good,
        }),
    });
    if let Err(stop) = told {
        return stop;
    }
    let back = match good {
        Some(good) => format!("the last good checkpoint is that of step {good}"),
        None => "there is no good checkpoint before it".into(),
    };
    let message = format!(
        "{error}: not finite, so the step is not recorded; {back}; lower optimizer.learning_rate, warm up longer or look \
         at the data of this step"
    );
    failure(ErrorClass::NonFinite, "loss_not_finite", message).into()
}

/// The newest checkpoint that is still there after so many updates, the last `spoiled` of which are no good.
fn last_good(kept: &CheckpointSpec, updates: u64, spoiled: u64, total: u64) -> Option<u64> {
    let made: Vec<u64> = (1..=updates)
        .filter(|&step| kept.keeps(step, total))
        .collect();
    let retired = kept.retired(&made);
    let stays = |step: &u64| *step + spoiled <= updates && !retired.contains(step);
    made.into_iter().rev().find(stays)
}

/// JSON has no number for what is none.
fn shown(number: f64) -> Value {
    match number.is_finite() {
        true => json!(number),
        false => json!(number.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::finetune::Keep;

    #[test]
    fn the_way_back_leads_to_a_checkpoint_that_is_still_there_and_was_not_spoiled() {
        let mut kept = CheckpointSpec {
            every: Some(2),
            at: vec![3],
            ..CheckpointSpec::default()
        };
        assert_eq!(last_good(&kept, 8, 0, 10), Some(8));
        assert_eq!(last_good(&kept, 8, 1, 10), Some(6));
        assert_eq!(last_good(&kept, 1, 0, 10), None);
        assert_eq!(last_good(&kept, 0, 1, 10), None);
        kept.keep = Some(Keep {
            last: Some(1),
            every: None,
        });
        // 8 is the newest and spoiled, 6 and 4 are retired
        assert_eq!(last_good(&kept, 8, 1, 10), Some(3));
    }
}
