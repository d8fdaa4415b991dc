//! A job's hold on its base model.

use std::cell::Cell;

use serde_json::json;

use crate::domain::finetune::Dtype;
use crate::engine::device::Device;
use crate::engine::files::Files;
use crate::engine::residents::{Ask, Lent, Resident, Residents};
use crate::execution::{Context, ModelFiles, Report, Stop};

/// Bytes read between two reports of progress.
const PROGRESS_BYTES: u64 = 64 << 20;

/// The base's weights for as long as the answer lives; reading them is told as the event `base_loaded`.
pub(super) fn lend(
    model: &ModelFiles,
    files: Files,
    dtype: Option<Dtype>,
    residents: &Residents,
    context: &dyn Context,
) -> Result<Lent, Stop> {
    let wanted = Resident {
        identity: model.identity.clone(),
        dtype,
        device: context.settings().device.parse::<Device>()?.available()?,
    };
    let told = Cell::new(0);
    let ask = Ask {
        name: &model.name,
        seconds: &|| context.seconds(),
        progress: &|done, total| {
            if done >= told.get() + PROGRESS_BYTES || done == total {
                told.set(done);
                // a report that is refused ends the attempt at its next turn
                let _ = context.report(Report::Progress {
                    done,
                    total,
                    unit: "byte",
                });
            }
        },
    };
    let lent = residents.weights(&wanted, &ask, || Ok(files))?;
    if let Some(seconds) = lent.read_in {
        context.report(Report::Event {
            r#type: "base_loaded",
            data: json!({"base_model": model.name, "device": wanted.device.to_string(), "seconds": seconds}),
        })?;
    }
    Ok(lent)
}
