//! A job's hold on its base model.

use serde_json::json;

use crate::domain::finetune::Dtype;
use crate::engine::device::Device;
use crate::engine::files::Files;
use crate::engine::residents::{Ask, Lent, Resident, Residents};
use crate::execution::{Context, ModelFiles, Report, Stop};

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
    let ask = Ask {
        name: &model.name,
        seconds: &|| context.seconds(),
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
