"""The other side of training.sh: the same steps with transformers, PEFT and torch.optim.AdamW.

prepare FOLDER                         writes a tiny random base and the batches that both sides train on
run FOLDER WORK THREADS STEPS MICRO    trains and prints one JSON line; WORK is lora, full or text
"""

import json
import pathlib
import random
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM

VOCABULARY, STEPS = 1120, 12


def prepare(folder):
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=VOCABULARY, hidden_size=128, intermediate_size=384, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=True, initializer_range=0.05,
    )
    Qwen2ForCausalLM(config).float().save_pretrained(folder / "base")
    draw = random.Random(0)

    def chat():
        prompt, answer = draw.randint(18, 25), draw.randint(8, 24)
        tokens = [draw.randrange(VOCABULARY) for _ in range(prompt + answer)]
        return {"tokens": tokens, "first_target": prompt}

    def text():
        return {"tokens": [draw.randrange(VOCABULARY) for _ in range(129)], "first_target": 1}

    batches = {
        "chat": [[chat() for _ in range(16)] for _ in range(STEPS)],
        "text": [[text() for _ in range(8)] for _ in range(STEPS)],
    }
    (folder / "batches.json").write_text(json.dumps(batches))


def tensors(examples):
    longest = max(len(example["tokens"]) for example in examples)
    ids = torch.zeros(len(examples), longest, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for row, example in enumerate(examples):
        tokens = torch.tensor(example["tokens"])
        ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
        labels[row, example["first_target"] : len(tokens)] = tokens[example["first_target"] :]
    return ids, mask, labels


def run(folder, work, threads, steps, micro):
    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
    if work == "lora":
        names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        model = get_peft_model(model, LoraConfig(r=8, lora_alpha=16, use_rslora=True, target_modules=names))
    model.train()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, fused=True)
    batches = json.loads((folder / "batches.json").read_text())["text" if work == "text" else "chat"]
    losses, tokens, start, cpu = [], 0, 0.0, 0.0
    for step in range(steps + 2):
        if step == 2:
            tokens, start, cpu = 0, time.perf_counter(), time.process_time()
        examples = batches[step % len(batches)]
        targets = sum(len(example["tokens"]) - example["first_target"] for example in examples)
        loss = 0.0
        for first in range(0, len(examples), micro):
            ids, mask, labels = tensors(examples[first : first + micro])
            part = model(input_ids=ids, attention_mask=mask, labels=labels, num_items_in_batch=targets).loss
            part.backward()
            loss += part.item()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss)
        tokens += sum(len(example["tokens"]) for example in examples)
    seconds = time.perf_counter() - start
    cpu_ms = 1000 * (time.process_time() - cpu) / steps
    line = {"tokens_per_second": tokens / seconds, "step_ms": 1000 * seconds / steps, "cpu_ms": cpu_ms, "losses": losses}
    print(json.dumps(line))


folder = pathlib.Path(sys.argv[2])
if sys.argv[1] == "prepare":
    prepare(folder)
else:
    run(folder, sys.argv[3], *map(int, sys.argv[4:7]))
