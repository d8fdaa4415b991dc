"""AdamW with 8-bit moments as bitsandbytes computes it, in numpy, on made-up gradients; and the same with planted mistakes.

The rules are those of its `create_dynamic_map` and `kOptimizerStatic8bit2StateBlockwise`: blocks of 256 numbers of one
tensor share a float32 scale, the block's largest magnitude; a moment divided by it takes the nearest of 256 values; a first
moment keeps its sign; the update uses the new moments before they are coded; tensors below 4,096 numbers keep float32.
Decay comes before the step, as in torch.optim.AdamW; bitsandbytes' kernel multiplies behind it, which is rate × decay of a step.

Run: python3 scripts/parity/eight_bits.py FOLDER [--seed N]
"""

import argparse
import json
import pathlib

import numpy as np
from safetensors.numpy import save_file

STEPS, RATE, DECAY, BETA1, BETA2, EPSILON = 40, 1e-2, 0.1, 0.9, 0.999, 1e-8
BLOCK, SMALLEST = 256, 4096
# A ragged last block, whole blocks, and a tensor that keeps float32.
SHAPES = {"ragged": (70, 101), "whole": (64, 64), "small": (30, 10)}
MISTAKES = ("one_scale", "even_map", "float32_moments")


def dynamic_map(signed):
    """Seven decades, each with twice the values of the one below, at the middles of even steps; and 0 and 1."""
    values = [0.0, 1.0]
    for decade in range(7):
        edges = np.linspace(0.1, 1, 2 ** (decade if signed else decade + 1) + 1)
        middles = (edges[:-1] + edges[1:]) / 2 * 10.0 ** (decade - 6)
        values += [*middles, *(-middles if signed else ())]
    return np.sort(np.array(values, dtype=np.float32))


def even_map(signed):
    return np.linspace(-1 if signed else 0, 1, 256, dtype=np.float32)


class Coded:
    """The moments of one tensor in 8 bits."""

    def __init__(self, size, signed, mistake):
        self.signed, self.size = signed, size
        self.values = (even_map if mistake == "even_map" else dynamic_map)(signed)
        self.block = size if mistake == "one_scale" else BLOCK
        self.write(np.zeros(size, dtype=np.float32))

    def read(self):
        return (self.values[self.codes] * self.scales[:, None]).reshape(-1)[: self.size]

    def write(self, numbers):
        blocks = -(-self.size // self.block)
        padded = np.zeros(blocks * self.block, dtype=np.float32)
        padded[: self.size] = numbers
        padded = padded.reshape(blocks, self.block)
        self.scales = np.abs(padded).max(1)
        shares = padded / np.maximum(self.scales, np.finfo(np.float32).tiny)[:, None]
        bounds = (self.values[:-1] + self.values[1:]) * np.float32(0.5)
        codes = np.searchsorted(bounds, shares, side="left")
        if self.signed:
            codes = codes - ((padded < 0) & (self.values[codes] >= 0))
        self.codes = codes


class Wide:
    """The moments of one tensor in float32."""

    def __init__(self, size):
        self.numbers = np.zeros(size, dtype=np.float32)

    def read(self):
        return self.numbers

    def write(self, numbers):
        self.numbers = numbers


def moments(size, mistake):
    if size < SMALLEST or mistake == "float32_moments":
        return Wide(size), Wide(size)
    return Coded(size, True, mistake), Coded(size, False, mistake)


def run(start, gradients, mistake=None):
    """The weights after every step."""
    weights = start.astype(np.float32).reshape(-1)
    first, second = moments(weights.size, mistake)
    path = []
    for step, gradient in enumerate(gradients.reshape(len(gradients), -1), 1):
        one = np.float32(BETA1) * first.read() + np.float32(1 - BETA1) * gradient
        two = np.float32(BETA2) * second.read() + np.float32(1 - BETA2) * gradient * gradient
        size = np.sqrt(two / np.float32(1 - BETA2**step)) + np.float32(EPSILON)
        weights = weights * np.float32(1 - RATE * DECAY) - np.float32(RATE / (1 - BETA1**step)) * one / size
        first.write(one)
        second.write(two)
        path.append(weights)
    return np.stack(path).reshape(len(gradients), *start.shape).astype(np.float32)


def drawn(rng, shape):
    """Gradients of very different sizes by row, with a drift, so that blocks have something to keep apart."""
    sizes = 10.0 ** rng.uniform(-1.5, 0, size=(1, shape[0], 1))
    drift = rng.standard_normal((1, *shape))
    return ((rng.standard_normal((STEPS, *shape)) + drift) * sizes).astype(np.float32)


def main(folder, seed):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    tensors = {}
    for name, shape in SHAPES.items():
        start = (0.1 * rng.standard_normal(shape)).astype(np.float32)
        gradients = drawn(rng, shape)
        tensors |= {f"{name}.start": start, f"{name}.gradients": gradients, f"{name}.path": run(start, gradients)}
        for mistake in MISTAKES:
            tensors[f"{name}.{mistake}"] = run(start, gradients, mistake)
    save_file(tensors, folder / "path.safetensors")
    optimizer = dict(name="adamw_8bit", learning_rate=RATE, weight_decay=DECAY, beta1=BETA1, beta2=BETA2, epsilon=EPSILON, max_grad_norm=None)
    (folder / "path.json").write_text(json.dumps(dict(optimizer=optimizer, shapes=SHAPES, steps=STEPS, mistakes=MISTAKES)) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    main(asked.folder, asked.seed)
