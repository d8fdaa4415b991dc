//! Adapters against PEFT: its files, its numbers, its rules; and several adapters in one batch.

mod naming;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tch::{Kind, Tensor};
use vivarium::domain::finetune::{LoraMethod, Projection};
use vivarium::engine::adapter::{Adapter, Settings, Slots};
use vivarium::engine::device::Device;
use vivarium::engine::files::Files;
use vivarium::engine::model::Model;
use vivarium::engine::model::config::ModelConfig;
use vivarium::engine::model::projection::Deltas;
use vivarium::engine::weights::Weights;

use crate::engine_model::{TOLERANCE, difference, expected, fixture, load, logits, model, rows};

/// Of configurations: everything, rsLoRA with layers and patterns, expressions, one rank-1 pair, exclusions, lists.
const SHAPES: [&str; 6] = [
    "plain",
    "stabilised",
    "regex",
    "single",
    "excluded",
    "listed",
];

fn shape() -> ModelConfig {
    load("untied", None).config
}

fn adapter(folder: &Path) -> Result<Adapter, String> {
    let files = Files::in_folder(folder).unwrap();
    Adapter::load(&files, &shape(), Device::Cpu).map_err(|error| error.to_string())
}

fn method(fields: Value) -> LoraMethod {
    serde_json::from_value(fields).unwrap()
}

fn settings(name: &str) -> Value {
    Files::in_folder(&fixture(name))
        .unwrap()
        .json("adapter_config.json")
        .unwrap()
}

#[test]
fn adapters_made_by_peft_give_the_logits_that_peft_gives() {
    let model = model("untied");
    let plain = expected("untied");
    for name in SHAPES {
        let adapter = adapter(&fixture(name)).unwrap();
        let ours = logits(&model, &rows(), &adapter.deltas(1.0));
        let gap = difference(&ours, &expected(name));
        eprintln!("{name}: largest difference to PEFT {gap:e}");
        assert!(gap < TOLERANCE, "{name}: {gap:e}");
        assert!(difference(&ours, &plain) > 0.1, "{name}: too small to tell");
        assert!(difference(&logits(&model, &rows(), &adapter.deltas(0.0)), &plain) < TOLERANCE);
    }
}

#[test]
fn modules_follow_layers_and_patterns_as_in_peft() {
    let adapter = adapter(&fixture("stabilised")).unwrap();
    let found: Vec<_> = adapter
        .pairs
        .iter()
        .map(|pair| {
            (
                pair.module.name.as_str(),
                pair.module.rank,
                pair.module.scaling,
            )
        })
        .collect();
    let (three, two) = (3f64.sqrt(), 2f64.sqrt());
    assert_eq!(
        found,
        [
            ("layers.0.self_attn.q_proj", 3, 5.0 / three),
            ("layers.0.self_attn.v_proj", 3, 5.0 / three),
            ("layers.0.mlp.down_proj", 2, 5.0 / two),
            ("layers.2.self_attn.q_proj", 3, 7.0 / three),
            ("layers.2.self_attn.v_proj", 3, 5.0 / three),
            ("layers.2.mlp.down_proj", 2, 5.0 / two),
        ]
    );
}

#[test]
fn a_saved_adapter_is_the_same_adapter_in_the_same_bytes() {
    let model = model("untied");
    for name in SHAPES {
        let folder = tempfile::tempdir().unwrap();
        let first = adapter(&fixture(name)).unwrap();
        first.save(folder.path(), Some("org/base")).unwrap();
        let second = adapter(folder.path()).unwrap();
        assert_eq!(first.settings, second.settings);
        let ours = logits(&model, &rows(), &second.deltas(1.0));
        assert!(ours.equal(&logits(&model, &rows(), &first.deltas(1.0))));
        let tensors =
            |folder: &Path| std::fs::read(folder.join("adapter_model.safetensors")).unwrap();
        assert_eq!(
            tensors(folder.path()),
            tensors(&fixture(name)),
            "PEFT writes the same bytes"
        );
    }
}

/// A Python that has PEFT; a test that needs it is left out where there is none.
fn python() -> Option<String> {
    let python = std::env::var("PYTHON").unwrap_or_else(|_| "python3".into());
    let probe = Command::new(&python).args(["-c", "import peft"]).output();
    if probe.is_ok_and(|output| output.status.success()) {
        return Some(python);
    }
    eprintln!("left out: {python} has no peft; set PYTHON to one that has");
    None
}

/// The logits of every token of every row that PEFT computes with each adapter, saved into a folder of its own.
fn of_peft(python: &str, base: &Path, rows: &[Vec<u32>], adapters: &[&Adapter]) -> Vec<Tensor> {
    let folder = tempfile::tempdir().unwrap();
    let folders: Vec<_> = (0..adapters.len())
        .map(|place| folder.path().join(place.to_string()))
        .collect();
    for (folder, adapter) in folders.iter().zip(adapters) {
        std::fs::create_dir(folder).unwrap();
        adapter.save(folder, None).unwrap();
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/oracles/peft_logits.py");
    let output = Command::new(python)
        .args([&script, base])
        .args(&folders)
        .arg(json!(rows).to_string())
        .env("OMP_NUM_THREADS", "1")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let theirs: Vec<Vec<Vec<Vec<f32>>>> = serde_json::from_slice(&output.stdout).unwrap();
    theirs
        .into_iter()
        .map(|rows| Tensor::from_slice(&rows.into_iter().flatten().flatten().collect::<Vec<f32>>()))
        .collect()
}

/// A method's adapter with numbers that show.
fn trained(config: &ModelConfig, fields: Value) -> Adapter {
    let untrained = Adapter::init(config, &method(fields), 0, Device::Cpu).unwrap();
    untrained
        .map(|pair| Ok((pair.a.copy(), pair.b.ones_like() * 0.3)))
        .unwrap()
}

#[test]
fn an_adapter_saved_here_gives_the_same_logits_in_peft() {
    let Some(python) = python() else { return };
    let mut all: Vec<(&str, Adapter)> = trained_here()
        .map(|(name, fields)| (name, trained(&shape(), fields)))
        .into();
    all.extend(SHAPES.map(|name| (name, adapter(&fixture(name)).unwrap())));
    let adapters: Vec<&Adapter> = all.iter().map(|(_, adapter)| adapter).collect();
    let theirs = of_peft(&python, &fixture("untied"), &rows(), &adapters);
    for ((name, adapter), theirs) in all.iter().zip(theirs) {
        let ours = logits(&model("untied"), &rows(), &adapter.deltas(1.0));
        let gap = difference(&ours.view([-1]), &theirs);
        eprintln!("{name}: largest difference to PEFT {gap:e}");
        assert!(gap < TOLERANCE, "{name}: {gap:e}");
    }
}

#[test]
fn peft_puts_an_adapter_of_a_model_that_also_sees_on_its_language_alone() {
    let Some(python) = python() else { return };
    let base =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/families/gemma3_multimodal");
    let files = Files::in_folder(&base).unwrap();
    let config = ModelConfig::from_json(&files.json("config.json").unwrap()).unwrap();
    vivarium::engine::device::set_threads(1);
    let weights = Weights::load(&files, &config, Some(Kind::Float), Device::Cpu).unwrap();
    let model = Model::new(weights, 64).unwrap();
    let rows = [vec![2, 17, 5, 31, 8, 40, 63], vec![2, 11, 9]];
    // the vision tower has modules of these names as well
    let fields = json!({"rank": 2, "alpha": 4, "target_modules": ["q_proj", "k_proj", "v_proj", "up_proj"], "layers": [0, 3]});
    let adapter = trained(&config, fields);
    let theirs = of_peft(&python, &base, &rows, &[&adapter]).remove(0);
    let ours = logits(&model, &rows, &adapter.deltas(1.0)).view([-1]);
    let gap = difference(&ours, &theirs);
    let plain = logits(&model, &rows, &Deltas::none()).view([-1]);
    eprintln!(
        "largest difference to PEFT {gap:e}, to the base {:e}",
        difference(&ours, &plain)
    );
    assert!(gap < TOLERANCE, "{gap:e}");
    assert!(difference(&ours, &plain) > 0.1);
}

/// Methods as they are posted: patterns, rsLoRA, one pair, layers, everything.
fn trained_here() -> [(&'static str, Value); 4] {
    [
        (
            "patterns",
            json!({
                "rank": 2, "alpha": 3.5, "rslora": false, "target_modules": ["k_proj", "o_proj", "gate_proj"], "layers": [1, 2],
                "rank_pattern": {"layers.1.mlp.gate_proj": 4}, "alpha_pattern": {"o_proj": 1.0},
            }),
        ),
        ("rslora", json!({"rank": 3, "alpha": 8})),
        (
            "one pair",
            json!({"rank": 1, "alpha": 64, "target_modules": ["down_proj"], "layers": [1]}),
        ),
        ("a layer", json!({"rank": 2, "alpha": 4, "layers": [0]})),
    ]
}

#[test]
fn an_untrained_adapter_changes_nothing_and_is_drawn_as_peft_draws() {
    let method = method(json!({"rank": 64, "alpha": 64}));
    let untrained = Adapter::init(&shape(), &method, 1, Device::Cpu).unwrap();
    assert_eq!(untrained.pairs.len(), 21);
    for pair in &untrained.pairs {
        let width = pair.a.size()[1] as f64;
        let (bound, name) = (1.0 / width.sqrt(), &pair.module.name);
        assert_eq!(pair.b.abs().max().double_value(&[]), 0.0, "{name}");
        let (low, high) = (
            pair.a.min().double_value(&[]),
            pair.a.max().double_value(&[]),
        );
        // 1024 draws and more: each end comes within a fiftieth of the bound but for one chance in 27,000.
        assert!(-bound <= low && low < -0.98 * bound, "{name}: {low}");
        assert!(0.98 * bound < high && high <= bound, "{name}: {high}");
    }
    let model = model("untied");
    let ours = logits(&model, &rows(), &untrained.deltas(1.0));
    assert!(difference(&ours, &expected("untied")) < TOLERANCE);
    let again = Adapter::init(&shape(), &method, 1, Device::Cpu).unwrap();
    let other = Adapter::init(&shape(), &method, 2, Device::Cpu).unwrap();
    for ((one, same), other) in untrained.pairs.iter().zip(&again.pairs).zip(&other.pairs) {
        assert!(one.a.equal(&same.a) && !one.a.equal(&other.a));
    }
}

#[test]
fn a_module_does_not_depend_on_which_others_are_adapted() {
    let all = Adapter::init(
        &shape(),
        &method(json!({"rank": 2, "alpha": 4})),
        1,
        Device::Cpu,
    );
    let one =
        method(json!({"rank": 2, "alpha": 4, "target_modules": ["down_proj"], "layers": [2]}));
    let one = Adapter::init(&shape(), &one, 1, Device::Cpu).unwrap();
    assert_eq!(one.pairs.len(), 1);
    let all = all.unwrap();
    let same = all
        .pairs
        .iter()
        .find(|pair| pair.module.name == one.pairs[0].module.name);
    assert!(same.unwrap().a.equal(&one.pairs[0].a));
}

#[test]
fn sequences_of_one_batch_may_each_have_an_adapter_of_their_own() {
    let model = model("untied");
    let (plain, stable) = (
        adapter(&fixture("plain")).unwrap(),
        adapter(&fixture("stabilised")).unwrap(),
    );
    let mut slots = Slots::for_adapters(&shape(), [&plain, &stable], 4, Device::Cpu).unwrap();
    let row = rows()[0].clone();
    let batch = vec![row.clone(); 4];
    slots.set(0, Some((&stable, 2.0))).unwrap();
    slots.set(0, Some((&plain, 1.0))).unwrap();
    slots.set(1, Some((&stable, 1.0))).unwrap();
    slots.set(3, Some((&stable, -0.5))).unwrap();
    let together =
        logits(&model, &batch, &slots.deltas(0, 4).unwrap()).view([4, row.len() as i64, -1]);
    let alone = |deltas: &Deltas| logits(&model, std::slice::from_ref(&row), deltas);
    for (slot, want) in [
        (0, alone(&plain.deltas(1.0))),
        (1, alone(&stable.deltas(1.0))),
        (2, alone(&Deltas::none())),
        (3, alone(&stable.deltas(-0.5))),
        (3, alone(&slots.deltas(3, 1).unwrap())),
    ] {
        assert!(difference(&together.get(slot), &want) < TOLERANCE, "{slot}");
    }
}

#[test]
fn neighbours_with_other_adapters_change_no_bit_of_a_sequence() {
    let model = model("untied");
    let (plain, stable) = (
        adapter(&fixture("plain")).unwrap(),
        adapter(&fixture("stabilised")).unwrap(),
    );
    let batch = vec![rows()[0].clone(); 3];
    let length = batch[0].len() as i64;
    let with = |first: Option<(&Adapter, f64)>, last: Option<(&Adapter, f64)>| {
        let mut slots = Slots::for_adapters(&shape(), [&plain, &stable], 3, Device::Cpu).unwrap();
        slots.set(0, first).unwrap();
        slots.set(1, Some((&stable, 1.0))).unwrap();
        slots.set(2, last).unwrap();
        logits(&model, &batch, &slots.deltas(0, 3).unwrap()).narrow(0, length, length)
    };
    let empty = with(None, None);
    assert!(empty.equal(&with(Some((&plain, 3.0)), None)));
    assert!(empty.equal(&with(Some((&stable, 1.0)), Some((&plain, 20.0)))));
    // All alike: one copy of the pairs serves every sequence.
    assert!(empty.equal(&with(Some((&stable, 1.0)), Some((&stable, 1.0)))));
}

#[test]
fn scale_zero_and_an_empty_slot_give_the_bits_of_the_base() {
    let model = model("untied");
    let plain = adapter(&fixture("plain")).unwrap();
    let batch = vec![rows()[0].clone(); 2];
    let base = logits(&model, &batch, &Deltas::none());
    let mut slots = Slots::for_adapters(&shape(), [&plain], 2, Device::Cpu).unwrap();
    slots.set(0, Some((&plain, 0.0))).unwrap();
    assert!(base.equal(&logits(&model, &batch, &slots.deltas(0, 2).unwrap())));
    assert!(base.equal(&logits(&model, &batch, &plain.deltas(0.0))));
}

#[test]
fn slots_that_do_not_exist_are_refused() {
    let plain = adapter(&fixture("plain")).unwrap();
    let mut slots = Slots::for_adapters(&shape(), [&plain], 2, Device::Cpu).unwrap();
    assert!(slots.set(2, None).is_err() && slots.set(-1, None).is_err());
    assert!(slots.deltas(1, 2).is_err() && slots.deltas(0, 0).is_err());
}

#[test]
fn a_sequence_without_room_for_its_adapter_is_refused() {
    let (plain, stable) = (
        adapter(&fixture("plain")).unwrap(),
        adapter(&fixture("stabilised")).unwrap(),
    );
    let mut narrow = Slots::for_adapters(&shape(), [&plain], 1, Device::Cpu).unwrap();
    let error = narrow.set(0, Some((&stable, 1.0))).unwrap_err().to_string();
    assert!(
        error.contains("layers.0.self_attn.q_proj of rank 3"),
        "{error}"
    );
}

#[test]
fn the_gradient_of_a_pair_is_the_slope_of_the_loss() {
    let model = model("untied");
    let adapter = adapter(&fixture("plain")).unwrap();
    let tokens = Tensor::from_slice(&[3i64, 17, 5, 31]).view([1, 4]);
    let loss = |adapter: &Adapter| {
        let hidden = model.hidden(&tokens, &adapter.deltas(1.0)).unwrap();
        hidden.square().sum(Kind::Double)
    };
    let leaf = |tensor: &Tensor| tensor.copy().set_requires_grad(true);
    let trained = adapter
        .map(|pair| Ok((leaf(&pair.a), leaf(&pair.b))))
        .unwrap();
    loss(&trained).backward();
    let chosen = &trained.pairs[6];
    let slope = chosen.b.grad().sum(Kind::Double).double_value(&[]);
    let moved = |by: f64| {
        let pairs = adapter.map(|pair| {
            let here = if pair.module == chosen.module {
                by
            } else {
                0.0
            };
            Ok((pair.a.copy(), &pair.b + here))
        });
        loss(&pairs.unwrap()).double_value(&[])
    };
    let difference = (moved(1e-2) - moved(-1e-2)) / 2e-2;
    // Rounding of float32 states is about 1e-6 of a loss near 100, which the step of 0.01 makes 1e-2.
    assert!((difference - slope).abs() < 2e-2, "{difference} {slope}");
    assert!(slope.abs() > 0.2, "{slope}: too small to tell");
}
