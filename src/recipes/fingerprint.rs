//! What the numbers of a job depend on besides its spec.

use serde_json::{Value, json};

use crate::domain::canonical::NUMERICS_EPOCH;
use crate::execution::Settings;

/// The one version that this build links.
const LIBTORCH: &str = "2.11.0";

/// Equal fingerprints and equal specs give equal bits on CPU.
pub(super) fn of(settings: &Settings) -> Value {
    json!({
        "build": env!("CARGO_PKG_VERSION"),
        "numerics_epoch": NUMERICS_EPOCH,
        "libtorch": LIBTORCH,
        "device": settings.device,
        "cpu_capability": cpu_capability(),
        "threads": settings.threads_per_attempt,
        "decode_slots": crate::engine::generate::slots(settings.decode_slots),
        "deterministic": settings.device == "cpu",
    })
}

/// The settings of earlier attempts, as far as an attempt may choose them.
pub(super) fn settings_of(recorded: &Value, settings: &Settings) -> Settings {
    let number = |key: &str| recorded[key].as_u64().and_then(|n| u32::try_from(n).ok());
    Settings {
        threads_per_attempt: number("threads").unwrap_or(settings.threads_per_attempt),
        decode_slots: number("decode_slots").unwrap_or(settings.decode_slots),
        ..settings.clone()
    }
}

/// The widest instructions that libtorch's kernels choose between.
#[cfg(target_arch = "x86_64")]
fn cpu_capability() -> &'static str {
    let wide = is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq");
    if wide {
        "avx512"
    } else if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        "avx2"
    } else {
        "default"
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn cpu_capability() -> &'static str {
    std::env::consts::ARCH
}
