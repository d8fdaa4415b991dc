//! Updates with 8-bit moments beside the same in numpy, after bitsandbytes' rules.
//!
//! *Source* scripts/parity/eight_bits.py writes starts, gradients and the weights after every step, right and with mistakes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tch::{Kind, Tensor};
use vivarium::domain::finetune::OptimizerSpec;
use vivarium::engine::device::Device;
use vivarium::engine::tensors::Archive;
use vivarium::engine::train::flat::Flat;
use vivarium::engine::train::optimizer::Optimizer;

use super::fixture::json;

/// Of the way from the start. A share next to the middle of two codes may fall to either side: that turns single numbers by
/// a hundredth of a step, and one number in ten thousand is as near.
const BOUND: f64 = 1e-3;
/// By how much at least a planted mistake misses the bound where numbers are coded.
const CLEARLY: f64 = 10.0;

#[derive(Deserialize)]
struct Case {
    optimizer: OptimizerSpec,
    shapes: BTreeMap<String, Vec<i64>>,
    steps: i64,
    mistakes: Vec<String>,
}

struct Files {
    case: Case,
    archive: Archive,
}

impl Files {
    fn open(folder: &Path) -> Self {
        let path = folder.join("path.safetensors");
        Self {
            case: json(&folder.join("path.json")),
            archive: Archive::open([("path.safetensors", path.as_path())]).unwrap(),
        }
    }

    fn start(&self, name: &str) -> Tensor {
        let shape = &self.case.shapes[name];
        let name = format!("{name}.start");
        self.archive.read(&name, shape, None, Device::Cpu).unwrap()
    }

    /// A number for every step of a tensor.
    fn steps(&self, name: &str, what: &str) -> Tensor {
        let shape = [&[self.case.steps], &self.case.shapes[name][..]].concat();
        let name = format!("{name}.{what}");
        self.archive.read(&name, &shape, None, Device::Cpu).unwrap()
    }

    /// The engine's weights after every step, all tensors in one buffer.
    fn ours(&self) -> BTreeMap<&str, Tensor> {
        let names: Vec<&str> = self.case.shapes.keys().map(String::as_str).collect();
        let starts = names
            .iter()
            .map(|name| (name.to_string(), self.start(name)));
        let flat = Flat::gather(&starts.collect::<Vec<_>>(), tch::Device::Cpu).unwrap();
        let gradients = names
            .iter()
            .map(|name| self.steps(name, "gradients").flatten(1, -1));
        let gradients = Tensor::cat(&gradients.collect::<Vec<_>>(), 1);
        let mut optimizer = Optimizer::new(&self.case.optimizer, &flat, 0).unwrap();
        let mut path: Vec<Vec<Tensor>> = names.iter().map(|_| Vec::new()).collect();
        for step in 0..self.case.steps {
            let gradient = gradients.get(step);
            let rate = self.case.optimizer.learning_rate;
            optimizer.update(&flat.weights, &gradient, rate).unwrap();
            for (one, part) in path.iter_mut().zip(&flat.parts) {
                one.push(flat.view(&flat.weights, part).unwrap().copy());
            }
        }
        let stacked = path.iter().map(|one| Tensor::stack(one, 0));
        names.into_iter().zip(stacked).collect()
    }

    /// The largest distance of any step, in the reference's way up to there.
    fn gap(&self, name: &str, found: &Tensor, expected: &Tensor) -> f64 {
        let norms = |paths: Tensor| {
            let squares = paths.to_kind(Kind::Double).square().flatten(1, -1);
            squares
                .sum_dim_intlist([1i64].as_slice(), false, Kind::Double)
                .sqrt()
        };
        let way = norms(expected - self.start(name));
        (norms(found - expected) / way).max().double_value(&[])
    }
}

#[test]
#[ignore = "needs VIVARIUM_EIGHT_BITS, a folder made by scripts/parity/eight_bits.py; make parity runs it"]
fn moments_in_8_bits_take_the_path_that_bitsandbytes_rules_make() {
    let folder = PathBuf::from(std::env::var_os("VIVARIUM_EIGHT_BITS").unwrap());
    let files = Files::open(&folder);
    let ours = files.ours();
    for (name, found) in &ours {
        let gap = files.gap(name, found, &files.steps(name, "path"));
        println!(
            "{name}: {gap:.1e} of the way apart over {} steps",
            files.case.steps
        );
        assert!(gap < BOUND, "{name}: {gap:e}");
        // the small tensor keeps float32 and shows none of these
        for mistake in files.case.mistakes.iter().filter(|_| *name != "small") {
            let missed = files.gap(name, found, &files.steps(name, mistake)) / BOUND;
            println!("    {mistake} misses the bound {missed:.0}-fold");
            assert!(missed > CLEARLY, "{name}, {mistake}: {missed}");
        }
    }
}
