"""Trains a tiny random Qwen2 with transformers, PEFT and torch.optim.AdamW and writes down what every step measured.

The engine's tests train the same model on the same batches and compare. Run with the pinned versions and commit what it
writes:  python scripts/oracles/peft_training.py tests/fixtures/engine/peft_training
"""

import json
import math
import pathlib
import sys

import torch
from peft import LoraConfig, get_peft_model
from transformers import Qwen2Config, Qwen2ForCausalLM

STEPS, WARMUP, RATE, CLIP, DECAY = 10, 2, 2e-2, 0.5, 0.1
EXAMPLES, MICRO_BATCH = 4, 2


def base():
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=64, tie_word_embeddings=True, rope_theta=10000.0,
        rms_norm_eps=1e-6, attention_dropout=0.0, use_cache=False,
    )
    model = Qwen2ForCausalLM(config).to(torch.float32)
    with torch.no_grad():
        for name, tensor in model.named_parameters():
            # larger than the usual initialisation, so that losses and gradients are far from trivial
            if tensor.dim() == 2:
                tensor.normal_(0.0, 0.15)
            elif name.endswith("bias"):
                tensor.normal_(0.0, 0.1)
            else:
                tensor.uniform_(0.5, 1.5)
    return model


def batches():
    generator = torch.Generator().manual_seed(1)
    draw = lambda low, high: int(torch.randint(low, high, (1,), generator=generator))
    steps = []
    for _ in range(STEPS):
        examples = []
        for index in range(EXAMPLES):
            length = draw(6, 20)
            tokens = torch.randint(0, 64, (length,), generator=generator).tolist()
            start = draw(1, length)
            weight = 0.5 if index == 3 else 1.0
            examples.append({"tokens": tokens, "target": [place >= start for place in range(length)], "weight": weight})
        steps.append(examples)
    return steps


def nll(model, examples):
    """Sum of weight times negative log-probability over the targets of right-padded examples."""
    longest = max(len(example["tokens"]) for example in examples)
    ids = torch.zeros(len(examples), longest, dtype=torch.long)
    mask = torch.zeros(len(examples), longest, dtype=torch.long)
    for row, example in enumerate(examples):
        ids[row, : len(example["tokens"])] = torch.tensor(example["tokens"])
        mask[row, : len(example["tokens"])] = 1
    logs = model(input_ids=ids, attention_mask=mask).logits.float().log_softmax(-1)
    total = torch.zeros(())
    for row, example in enumerate(examples):
        for place in range(1, len(example["tokens"])):
            if example["target"][place]:
                total = total - example["weight"] * logs[row, place - 1, example["tokens"][place]]
    return total


def share(step):
    if step < WARMUP:
        return (step + 1) / WARMUP
    return 1 - (step - WARMUP) / (STEPS - WARMUP)


def pairs(model):
    named = dict(model.named_parameters())
    for name, a in named.items():
        if ".lora_A." in name:
            module = name.split("base_model.model.model.")[1].split(".lora_A")[0]
            yield module, a, named[name.replace(".lora_A.", ".lora_B.")]


def scaling_of(model, module):
    return model.get_submodule("base_model.model.model." + module).scaling["default"]


def train(model, steps, measure):
    """Accumulates micro-batches, clips and updates; gives one record a step."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, betas=(0.9, 0.999), eps=1e-8, weight_decay=DECAY)
    records = []
    for step, examples in enumerate(steps):
        weight = sum(sum(example["target"][1:]) * example["weight"] for example in examples)
        loss = 0.0
        for start in range(0, len(examples), MICRO_BATCH):
            part = nll(model, examples[start : start + MICRO_BATCH]) / weight
            part.backward()
            loss += part.item()
        before = measure(model, None)
        norm = torch.nn.utils.clip_grad_norm_(parameters, CLIP).item()
        for group in optimizer.param_groups:
            group["lr"] = RATE * share(step)
        optimizer.step()
        optimizer.zero_grad()
        records.append({"loss": loss, "grad_norm": norm, **measure(model, before)})
    return records


def measure_pairs(model, before):
    def norm(tensor):
        return math.sqrt(float((tensor.detach().double() ** 2).sum()))

    if before is None:
        return {module: (norm(a.grad), norm(b.grad), b.detach().clone()) for module, a, b in pairs(model)}
    record = {name: [] for name in ("a_norm", "b_norm", "ba_norm", "a_grad_norm", "b_grad_norm", "b_cosine_previous")}
    for module, a, b in pairs(model):
        a_grad, b_grad, previous = before[module]
        product = norm(b) * norm(previous)
        record["a_norm"].append(norm(a))
        record["b_norm"].append(norm(b))
        record["ba_norm"].append(scaling_of(model, module) * norm(b.double() @ a.double()))
        record["a_grad_norm"].append(a_grad)
        record["b_grad_norm"].append(b_grad)
        cosine = float((b.detach().double() * previous.double()).sum()) / product if product > 0 else None
        record["b_cosine_previous"].append(cosine)
    return record


def measure_all(model, before):
    if before is None:
        return {}
    return {"norms": {name: float(tensor.detach().double().norm()) for name, tensor in model.named_parameters()}}


def main():
    torch.set_num_threads(1)
    folder = pathlib.Path(sys.argv[1])
    model = base()
    model.save_pretrained(folder / "base")
    (folder / "base" / "generation_config.json").unlink(missing_ok=True)
    steps = batches()
    config = LoraConfig(
        r=4, lora_alpha=8, use_rslora=True, lora_dropout=0.0, bias="none", target_modules=["q_proj", "o_proj", "up_proj", "down_proj"],
        rank_pattern={"down_proj": 2}, alpha_pattern={"up_proj": 16}, task_type="CAUSAL_LM",
    )
    torch.manual_seed(2)
    adapted = get_peft_model(model, config)
    adapted.save_pretrained(folder / "initial")
    (folder / "initial" / "README.md").unlink(missing_ok=True)
    modules = [module for module, _, _ in pairs(adapted)]
    lora = train(adapted, steps, measure_pairs)
    full = train(base(), steps, measure_all)
    record = {
        "spec": {"steps": STEPS, "warmup": WARMUP, "rate": RATE, "clip": CLIP, "decay": DECAY},
        "batches": steps, "modules": modules, "lora": lora, "full": full,
    }
    (folder / "trajectory.json").write_text(json.dumps(record) + "\n")


main()
