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
    let good = kept.last_kept((step - 1).saturating_sub(u64::from(!sound)), total);
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

/// JSON has no number for what is none.
fn shown(number: f64) -> Value {
    match number.is_finite() {
        true => json!(number),
        false => json!(number.to_string()),
    }
}
