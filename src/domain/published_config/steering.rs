//! Configs of steering vectors.

use serde_json::{Value, json};

use super::Options;
use super::reader::Reader;
use super::shared::{self, Defaults};

const PUSHED: &str = "nothing is pushed to a hub";

/// The spec, complete unless the reader refused something.
pub(super) fn read(reader: &mut Reader, options: &Options) -> Value {
    let defaults = Defaults {
        seed: 42,
        save_steps: 100,
        responses_only: true,
        learning_rate: json!(1e-4),
        epochs: None,
    };
    let (base_model, layers) = shared::base_model(reader, options);
    let method = method(reader, layers);
    let (mut optimizer, schedule) = shared::optimizer(reader, &defaults, false);
    for (key, ours, default) in [("beta_1", "beta1", 0.9), ("beta_2", "beta2", 0.999)] {
        let beta = reader.or(key, default);
        reader.mapped(&beta, &format!("/optimizer/{ours}"));
        optimizer.insert(ours.into(), beta.value.into());
    }
    let every = reader.or("save_steps", defaults.save_steps);
    reader.differs(
        &every,
        "/checkpoints/every",
        "the last step is kept as well",
    );
    let spec = json!({
        "kind": "finetune",
        "base_model": base_model,
        "datasets": shared::datasets(reader, options),
        "method": method,
        "chat": {"system": "template_default"},
        "loss": shared::loss(reader, &defaults, options),
        "optimizer": optimizer,
        "schedule": schedule,
        "batch": shared::batch(reader),
        "length": shared::length(reader, &defaults, None),
        "hold_out": shared::hold_out(reader, false),
        "checkpoints": {"every": every.value},
        "dtype": "bfloat16",
        "seed": shared::seed(reader, &defaults),
    });
    shared::pushed_name(reader, true);
    reader.leave_out(&[
        ("output_dir", "checkpoints lie in the server's store"),
        (
            "per_device_eval_batch_size",
            "the loss on the rows kept out does not depend on it",
        ),
        ("push_to_hub", PUSHED),
        ("push_to_private", PUSHED),
        ("push_all_checkpoints", PUSHED),
        (
            "cleanup_local_checkpoints",
            "checkpoints stay in the server's store",
        ),
        (
            "use_unique_output_dir",
            "checkpoints lie in the server's store",
        ),
    ]);
    shared::unsaid(reader);
    spec
}

fn method(reader: &mut Reader, layers: Option<u32>) -> Value {
    let layer = reader.or("layer_idx", 0u32);
    let alpha = reader.or("alpha", 64.0);
    shared::check_layer(reader, "layer_idx", layer.value, layers);
    reader.mapped(&layer, "/method/layer");
    reader.mapped(&alpha, "/method/alpha");
    let start = reader.or("initial_steering_vector_path", None::<String>);
    if start.value.is_some() {
        let detail = "a steering_vector.pt is a pickle, which can run code when it is read";
        let hint =
            "set it to null; begin from a steering vector of this server with method.init_adapter";
        reader.refuse("initial_steering_vector_path", detail, hint);
    }
    reader.left_out(&start, "training begins at zero");
    json!({"type": "steering_vector", "layer": layer.value, "alpha": alpha.value})
}
