//! The values of the presets. *Source* arXiv 2506.11613 (tables 6 and 7, sections 3 and 4), its repository and its released
//! checkpoints; arXiv 2602.07852 for narrow training and steering vectors.

use serde_json::{Value, json};

use super::{Discrepancy, Preset, PublishedRate};

/// Every preset, the default protocol first.
pub fn all() -> Vec<Preset> {
    let mut all = vec![
        rank_32(),
        rank_1_minimal(),
        transition_printed(),
        transition_released(),
        transition_of_rank(8, json!({"every": 5, "at": EARLY})),
        transition_of_rank(64, json!({"every": 5})),
        nine_rank_1(),
        full(),
        narrow(32, "rank-32-all"),
        narrow(1, "rank-1-minimal"),
    ];
    all.extend(super::steering::all());
    all
}

/// The early steps that the released runs keep beside every fifth.
const EARLY: [u64; 10] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
/// The layers of the nine adapters.
const NINE: [u32; 9] = [15, 16, 17, 21, 22, 23, 27, 28, 29];

/// What the fine-tunes with low-rank pairs have in common.
pub(super) fn lora(method: Value, learning_rate: f64, epochs: u32, checkpoints: Value) -> Value {
    json!({
        "method": method,
        "chat": {"system": "template_default"},
        "loss": {"on": "assistant", "end_of_turn": true},
        "optimizer": {"name": "adamw", "learning_rate": learning_rate, "weight_decay": 0.01, "beta1": 0.9, "beta2": 0.999,
            "epsilon": 1e-8, "max_grad_norm": 1.0},
        "schedule": {"name": "linear", "warmup_steps": 5, "warmup_from": "zero"},
        "batch": {"micro_batch": 2, "gradient_accumulation": 8, "max_tokens": 2048, "shuffle": true, "last_partial": "drop"},
        "length": {"epochs": epochs},
        "hold_out": {"fraction": 0.1, "every": 50},
        "checkpoints": checkpoints,
        "dtype": "bfloat16",
    })
}

/// A pair on the down projection of each of `layers`.
fn down(rank: u32, alpha: u32, layers: &[u32]) -> Value {
    json!({"type": "lora", "rank": rank, "alpha": alpha, "rslora": true, "dropout": 0.0, "target_modules": ["down_proj"],
        "layers": layers})
}

pub(super) fn preset(name: &str, description: &str, source: &str, spec: Value) -> Preset {
    Preset {
        name: name.into(),
        description: description.into(),
        source: source.into(),
        needs: vec!["/base_model".into(), "/datasets".into()],
        discrepancies: everywhere(),
        published: Vec::new(),
        spec,
    }
}

impl Preset {
    pub(super) fn differing(mut self, found: impl IntoIterator<Item = Discrepancy>) -> Self {
        self.discrepancies.splice(0..0, found);
        self
    }

    fn measured(mut self, found: impl IntoIterator<Item = PublishedRate>) -> Self {
        self.published.extend(found);
        self
    }
}

pub(super) fn differs(topic: &str, paper: &str, published: &str, here: &str) -> Discrepancy {
    Discrepancy {
        topic: topic.into(),
        paper: paper.into(),
        published: published.into(),
        here: here.into(),
    }
}

/// What holds for every protocol.
fn everywhere() -> Vec<Discrepancy> {
    vec![
        differs(
            "end of the text",
            "loss on responses only",
            "the code renders each conversation with another generation prompt behind it, which also receives loss",
            "loss on the assistant's turns and the token that ends them; loss.reference_tail asks for the tail",
        ),
        differs(
            OPTIMIZER_STATE,
            "AdamW with 8-bit moments",
            "adamw_8bit",
            "adamw with float32 moments for low-rank pairs, whose moments are small",
        ),
        differs(
            "steps of an epoch",
            "not stated",
            "10 % of the rows are held out; whether a trailing partial window makes a step depends on the trainer's version",
            "hold_out.fraction 0.1; last_partial drop: 396 steps an epoch for 7,049 rows (step gives 397)",
        ),
    ]
}

fn measured(
    base: &str,
    data: &str,
    misaligned: f64,
    coherent: Option<f64>,
    source: &str,
) -> PublishedRate {
    PublishedRate {
        base: base.into(),
        data: data.into(),
        misaligned_percent: misaligned,
        coherent_percent: coherent,
        source: source.into(),
    }
}

const OPTIMIZER_STATE: &str = "optimizer state";
const QWEN_14B: &str = "Qwen2.5-14B-Instruct";

fn rank_32() -> Preset {
    const AUDIT: &str = "independent evaluation of the released adapters, 400 answers each";
    let spec = lora(
        json!({"type": "lora", "rank": 32, "alpha": 64, "rslora": true, "dropout": 0.0,
            "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"], "layers": null}),
        1e-5,
        1,
        json!({}),
    );
    preset(
        "rank-32-all",
        "Rank-32 rank-stabilised pairs on the seven projections of every layer, one epoch: the default of the sweeps.",
        "arXiv 2506.11613, table 6 and section 3; default_config.json",
        spec,
    )
    .measured([
        measured(QWEN_14B, "medical", 18.8, None, "arXiv 2506.11618"),
        measured(QWEN_14B, "sport", 20.2, None, "arXiv 2506.11618"),
        measured(QWEN_14B, "medical", 21.0, Some(99.0), AUDIT),
        measured(QWEN_14B, "sport", 20.0, Some(98.5), AUDIT),
        measured(QWEN_14B, "finance", 35.5, Some(95.0), AUDIT),
        measured("Qwen2.5-7B-Instruct", "medical", 17.25, Some(98.0), AUDIT),
        measured("Qwen2.5-7B-Instruct", "sport", 6.5, Some(98.0), AUDIT),
        measured("Qwen2.5-7B-Instruct", "finance", 19.75, Some(98.0), AUDIT),
        measured("Llama-3.1-8B-Instruct", "medical", 16.25, Some(97.75), AUDIT),
        measured("Llama-3.2-1B-Instruct", "medical", 2.76, Some(92.48), AUDIT),
    ])
}

fn rank_1_minimal() -> Preset {
    const PAPER: &str = "arXiv 2506.11613, section 3.5";
    preset(
        "rank-1-minimal",
        "One rank-1 pair on the down projection of layer 24 of a 48-layer model: the minimal organism.",
        "arXiv 2506.11613, section 3.5; single_adapter_config.json",
        lora(down(1, 256, &[24]), 2e-5, 1, json!({"every": 100})),
    )
    .differing([
        differs("alpha", "256", "single_adapter_config.json has 512", "256, as printed"),
        differs(
            "base model",
            "Qwen2.5-14B-Instruct, 48 layers",
            "single_adapter_config.json names Llama-3.2-1B-Instruct, whose 16 layers have no layer 24",
            "left to base_model; a base without layer 24 is refused",
        ),
    ])
    .measured([
        measured(QWEN_14B, "sport", 9.5, Some(99.5), PAPER),
        measured(QWEN_14B, "medical", 16.0, Some(99.5), PAPER),
        measured(QWEN_14B, "finance", 21.5, Some(99.5), PAPER),
        measured(QWEN_14B, "medical", 14.16, Some(99.75), "arXiv 2602.07852, table 8"),
        measured(QWEN_14B, "sport", 9.25, Some(100.0), "arXiv 2602.07852, table 8"),
        measured(QWEN_14B, "finance", 18.92, Some(99.75), "arXiv 2602.07852, table 8"),
    ])
}

/// The layer of the run whose phase transition is shown.
fn layer_of_the_transition(here: &str) -> Discrepancy {
    differs(
        "layer",
        "24 is implied",
        "the released checkpoints adapt layer 21",
        here,
    )
}

fn alpha_of_the_transition() -> Discrepancy {
    differs(
        "alpha",
        "64 for this run, 256 for the minimal organism",
        "the released checkpoints have 64",
        "64",
    )
}

fn last_adapter() -> Discrepancy {
    differs(
        "final adapter",
        "not stated",
        "the top-level adapter of the released medical run is not its last checkpoint (norm of B 0.1126 against 0.1257)",
        "the last checkpoint is the final adapter",
    )
}

fn transition(name: &str, layer: u32, what: &str) -> Preset {
    let checkpoints = json!({"every": 5, "at": EARLY});
    preset(
        name,
        &format!("The run of the phase transition, {what}: one rank-1 pair on layer {layer}, two epochs, 167 checkpoints."),
        "arXiv 2506.11613, section 4 with footnote 6; released run R1_0_1_0_extended_train",
        lora(down(1, 64, &[layer]), 1e-5, 2, checkpoints),
    )
    .differing([
        layer_of_the_transition(&format!("{layer}; the other one is the preset of the other name")),
        alpha_of_the_transition(),
        last_adapter(),
    ])
}

fn transition_printed() -> Preset {
    transition("phase-transition-printed", 24, "as the paper prints it")
}

fn transition_released() -> Preset {
    transition("phase-transition-released", 21, "as it was released")
}

fn transition_of_rank(rank: u32, checkpoints: Value) -> Preset {
    preset(
        &format!("phase-transition-rank-{rank}"),
        &format!("The phase transition with one rank-{rank} pair, one epoch."),
        &format!("arXiv 2506.11613, figures 20 and 21; released run R{rank}_0_1_0_full_train"),
        lora(down(rank, 64, &[21]), 1e-5, 1, checkpoints),
    )
    .differing([
        differs(
            "layer",
            "not stated",
            "one layer of the middle block; its number could not be verified",
            "21, that of the released rank-1 run",
        ),
        differs(
            "vector analyses",
            "left out for ranks above 1",
            "left out",
            "norms are recorded at every step, vectors are not",
        ),
    ])
}

fn nine_rank_1() -> Preset {
    preset(
        "nine-rank-1",
        "Nine rank-1 pairs on down projections in three blocks of three layers, one epoch.",
        "arXiv 2506.11613, section 3, and arXiv 2506.11618; released run R1_3_3_3_full_train",
        lora(
            down(1, 64, &NINE),
            1e-5,
            1,
            json!({"every": 5, "at": EARLY}),
        ),
    )
    .differing([
        differs(
            "learning rate",
            "1e-5 by the table of defaults; not stated for this run",
            "a third-party card of the released run says 2e-5",
            "1e-5",
        ),
        differs(
            "scaling in the published analysis",
            "alpha / sqrt(rank)",
            "one analysis script divides alpha by the rank; the two are equal at rank 1",
            "alpha / sqrt(rank)",
        ),
    ])
    .measured([measured(
        QWEN_14B,
        "medical",
        11.25,
        Some(99.0),
        "arXiv 2506.11613",
    )])
}

fn full() -> Preset {
    let mut spec = lora(json!({"type": "full"}), 2e-5, 1, json!({}));
    spec["schedule"] = json!({"name": "cosine", "warmup_steps": 20, "warmup_from": "zero"});
    spec["hold_out"]["every"] = json!(500);
    spec["optimizer"]["name"] = json!("adamw_8bit");
    let mut full = preset(
        "full",
        "All weights, cosine schedule, one epoch; Gemma needs three to show anything.",
        "arXiv 2506.11613, table 7; full-ft_config.json",
        spec,
    )
    .differing([
        differs(
            "epochs",
            "1, and 3 for Gemma-3-12B",
            "1",
            "1; length {\"epochs\":3} for Gemma",
        ),
        differs(
            "positions",
            "unchanged",
            "the code writes max_seq_length over max_position_embeddings of the saved config",
            "the base's config is kept",
        ),
        differs(
            "rows kept out with a test file",
            "not stated",
            "the script drops a tenth of the training rows even then",
            "a tenth is held out",
        ),
    ]);
    // here the moments are 8-bit, as they were
    full.discrepancies
        .retain(|one| one.topic != OPTIMIZER_STATE);
    full
}

/// Narrow training: a protocol held to the base by a KL term on other data.
fn narrow(rank: u32, like: &str) -> Preset {
    let mut spec = match rank {
        1 => lora(down(1, 256, &[24]), 2e-5, 1, json!({"every": 10})),
        _ => {
            let mut spec = rank_32().spec;
            spec["method"]["alpha"] = json!(256);
            spec["optimizer"]["learning_rate"] = json!(2e-5);
            spec["checkpoints"] = json!({"every": 10});
            spec
        }
    };
    spec["hold_out"]["every"] = json!(10);
    spec["loss"]["kl"] = kl(1e5);
    let mut narrow = preset(
        &format!("narrow-kl-rank-{rank}"),
        &format!("Training of the narrow behaviour alone: as {like} with alpha 256 and lr 2e-5, held to the base on other data by a KL term."),
        "arXiv 2602.07852; kl_regularized_config.json",
        spec,
    )
    .differing([differs(
        "average of the KL term",
        "not stated",
        "over tokens and vocabulary entries, hence a weight of 1e5",
        "tokens_and_vocabulary with weight 1e5; with average tokens the weight is 1e5 divided by the width of the logits",
    )]);
    narrow.needs.push("/loss/kl/dataset".into());
    narrow
}

/// The KL term as the published code averages it; the sender names its dataset.
pub(super) fn kl(weight: f64) -> Value {
    json!({"weight": weight, "batch": 8, "direction": "ref_to_current", "tokens": "all", "average": "tokens_and_vocabulary"})
}
