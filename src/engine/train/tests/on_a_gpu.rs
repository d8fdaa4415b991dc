//! Training on a CUDA device beside the reference and beside itself. Few machines have one: `scripts/gpu-check` runs these.

use super::*;
use crate::engine::device::open_cuda;

/// Must come before any other call of libtorch.
fn device() -> Device {
    open_cuda();
    Device::Cuda(0).available().unwrap()
}

impl Oracle {
    fn lora_on(&self, device: Device, kind: Option<tch::Kind>, setup: Setup) -> Trainer {
        let base = base_on(device, kind);
        let files = Files::in_folder(&folder().join("initial")).unwrap();
        let adapter = Adapter::load(&files, &base.config, device).unwrap();
        Trainer::lora(&base, &adapter, &self.optimizer(), setup).unwrap()
    }
}

/// float32 products on another processor, in another order, fed back by ten updates.
fn close(found: &Measured, loss: f64, grad_norm: f64, tolerance: f64) {
    let near = |a: f64, b: f64| (a - b).abs() < tolerance * b.abs();
    assert!(near(found.loss, loss), "{found:?}, expected {loss}");
    assert!(
        near(found.grad_norm, grad_norm),
        "{found:?}, expected {grad_norm}"
    );
}

#[test]
#[ignore = "needs a CUDA device"]
fn on_a_gpu_pairs_and_all_weights_take_the_path_of_the_reference() {
    let device = device();
    let oracle = oracle();
    let mut lora = oracle.lora_on(device, None, SETUP);
    for (found, expected) in oracle.run(&mut lora).iter().zip(&oracle.lora) {
        close(found, expected.loss, expected.grad_norm, 1e-3);
    }
    let mut full = Trainer::full(&base_on(device, None), &oracle.optimizer(), SETUP).unwrap();
    for (found, expected) in oracle.run(&mut full).iter().zip(&oracle.full) {
        close(found, expected.loss, expected.grad_norm, 1e-3);
    }
}

#[test]
#[ignore = "needs a CUDA device"]
fn on_a_gpu_neither_the_cut_nor_a_second_computation_changes_a_number() {
    let device = device();
    let oracle = oracle();
    let whole = oracle.run(&mut oracle.lora_on(device, None, SETUP));
    for (most, recompute) in [(Some(1), false), (None, true), (Some(1), true)] {
        let mut trainer = oracle.lora_on(device, None, Setup { recompute, ..SETUP });
        trainer.limit.most = most;
        for (found, expected) in oracle.run(&mut trainer).iter().zip(&whole) {
            close(found, expected.loss, expected.grad_norm, 1e-4);
        }
    }
}

#[test]
#[ignore = "needs a CUDA device"]
fn on_a_gpu_a_bfloat16_base_trains_float32_pairs_close_to_a_float32_base() {
    let device = device();
    let oracle = oracle();
    let mut narrow = oracle.lora_on(device, Some(tch::Kind::BFloat16), SETUP);
    // bfloat16 keeps 8 bits; a mean over dozens of tokens is off by less than one rounding of a token
    for (found, expected) in oracle.run(&mut narrow).iter().zip(&oracle.lora) {
        close(found, expected.loss, expected.grad_norm, 5e-2);
    }
    assert_eq!(narrow.flat.weights.kind(), tch::Kind::Float);
}
