"""Trains a steering vector with transformers, a forward hook and torch.optim.AdamW; and steers a Gemma 2.

The hook of the training stands on the down projection of a Qwen2's first layer, as in the published code; that of the
Gemma 2, which norms what the MLP gives, on the whole layer. The model and the batches are those of peft_training.py.
Run with the pinned versions and commit what it writes:
python scripts/oracles/steering.py tests/fixtures/engine/peft_training tests/fixtures/families/gemma2 tests/fixtures/engine/steering
"""

import json
import math
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM

LAYER, ALPHA, RATE, CLIP, DECAY, MICRO_BATCH = 0, 64.0, 2e-3, 15.0, 0.1, 2


def loss_of(model, examples):
    """Sum of weight times negative log-probability over the targets, one example at a time."""
    total = torch.zeros(())
    for example in examples:
        logs = model(input_ids=torch.tensor([example["tokens"]])).logits.float().log_softmax(-1)[0]
        for place in range(1, len(example["tokens"])):
            if example["target"][place]:
                total = total - example["weight"] * logs[place - 1, example["tokens"][place]]
    return total


def norm(tensor):
    return math.sqrt(float((tensor.detach().double() ** 2).sum()))


def train(model, spec, batches):
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    vector = torch.nn.Parameter(torch.zeros(model.config.hidden_size))
    place = model.model.layers[LAYER].mlp.down_proj
    place.register_forward_hook(lambda module, inputs, output: output + ALPHA * vector)
    optimizer = torch.optim.AdamW([vector], lr=RATE, betas=(0.9, 0.999), eps=1e-8, weight_decay=DECAY)
    records = []
    for step, examples in enumerate(batches):
        weight = sum(sum(example["target"][1:]) * example["weight"] for example in examples)
        loss = 0.0
        for start in range(0, len(examples), MICRO_BATCH):
            part = loss_of(model, examples[start : start + MICRO_BATCH]) / weight
            part.backward()
            loss += part.item()
        previous = vector.detach().clone()
        grad_norm = torch.nn.utils.clip_grad_norm_([vector], CLIP).item()
        warmup, steps = spec["warmup"], spec["steps"]
        share = (step + 1) / warmup if step < warmup else 1 - (step - warmup) / (steps - warmup)
        for group in optimizer.param_groups:
            group["lr"] = RATE * share
        optimizer.step()
        optimizer.zero_grad()
        product = norm(vector) * norm(previous)
        cosine = float((vector.detach().double() * previous.double()).sum()) / product if product > 0 else None
        records.append({"loss": loss, "grad_norm": grad_norm, "norm": norm(vector), "cosine": cosine})
    return records, vector.detach().tolist()


def steered(folder):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    vector = torch.randn(model.config.hidden_size, generator=torch.Generator().manual_seed(3))
    layer = model.config.num_hidden_layers // 2

    def hook(module, inputs, output):
        return (output[0] + 0.5 * vector, *output[1:]) if isinstance(output, tuple) else output + 0.5 * vector

    model.model.layers[layer].register_forward_hook(hook)
    tokens = [6, 33, 6, 53, 61, 23, 11, 29, 3]
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([tokens])).logits[0]
    return {"layer": layer, "alpha": 0.5, "vector": vector.tolist(), "tokens": tokens, "logits": logits[-1].tolist()}


def main():
    torch.set_num_threads(1)
    training, gemma, out = (pathlib.Path(path) for path in sys.argv[1:4])
    given = json.loads((training / "trajectory.json").read_text())
    model = AutoModelForCausalLM.from_pretrained(training / "base", dtype=torch.float32)
    steps, vector = train(model, given["spec"], given["batches"])
    record = {
        "layer": LAYER, "alpha": ALPHA, "rate": RATE, "clip": CLIP, "decay": DECAY,
        "steps": steps, "vector": vector, "normed": steered(gemma),
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / "steering.json").write_text(json.dumps(record) + "\n")


main()
