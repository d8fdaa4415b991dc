"""Writes tests/fixtures/engine/adamw_8bit.json: what bitsandbytes' 8-bit AdamW makes of one tensor, on a CPU.

Needs torch and bitsandbytes 0.50. Weights and gradients come from the formulas below, which the test repeats.
"""

import json
import math
import pathlib

import bitsandbytes
import torch

COUNT, UPDATES, EVERY = 5000, 12, 41
RATE, DECAY = 0.01, 0.1


def weight(i):
    return math.sin(0.7 * i) * 0.5


def gradient(i, update):
    return math.cos(0.37 * i * update + update) * 10.0 ** -(i % 4)


def tensor(values):
    return torch.tensor(list(values), dtype=torch.float64).float()


weights = torch.nn.Parameter(tensor(weight(i) for i in range(COUNT)))
optimizer = bitsandbytes.optim.AdamW8bit([weights], lr=RATE, weight_decay=DECAY)
rows = []
for update in range(1, UPDATES + 1):
    weights.grad = tensor(gradient(i, update) for i in range(COUNT))
    optimizer.step()
    rows.append([float(x) for x in weights.detach()[::EVERY]])
state = optimizer.state[weights]
found = {
    "bitsandbytes": bitsandbytes.__version__,
    "count": COUNT,
    "every": EVERY,
    "rate": RATE,
    "decay": DECAY,
    "weights": rows,
    "first_codes": state["state1"][::EVERY].tolist(),
    "second_codes": state["state2"][::EVERY].tolist(),
    "first_scales": state["absmax1"].tolist(),
    "second_scales": state["absmax2"].tolist(),
}
path = pathlib.Path(__file__).parents[2] / "tests/fixtures/engine/adamw_8bit.json"
path.write_text(json.dumps(found) + "\n")
