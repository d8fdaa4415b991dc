"""The other side of training.sh: the same steps with transformers, PEFT and torch.optim.AdamW.

prepare FOLDER SHAPE DEVICE                   writes a random base and the batches that both sides train on
run FOLDER WORK THREADS STEPS MICRO DEVICE    trains and prints one JSON line; WORK is lora, full or text
"""

import json
import pathlib
import random
import sys
import time

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM

STEPS = 12
# hidden, layers, heads, key heads, MLP, vocabulary, tied, rank, tokens of a prompt, tokens of an answer: the toy organism;
# 0.3, 6.5 and 20 million weights, the last with the vocabulary of the published models; the published models themselves
SHAPES = {
    "toy": (128, 4, 4, 2, 384, 1120, True, 8, (18, 25), (8, 24)),
    "tinyA": (64, 4, 4, 2, 172, 2048, True, 8, (18, 25), (8, 24)),
    "tinyB": (256, 6, 4, 2, 704, 8192, True, 8, (18, 25), (8, 24)),
    "tinyC": (128, 4, 4, 2, 344, 151936, True, 8, (18, 25), (8, 24)),
    "0.5B": (896, 24, 14, 2, 4864, 151936, True, 32, (60, 140), (40, 160)),
    "7B": (3584, 28, 28, 4, 18944, 152064, False, 32, (60, 140), (40, 160)),
}


def prepare(folder, shape, device):
    torch.manual_seed(0)
    hidden, layers, heads, key_heads, inner, vocabulary, tied, rank, prompts, answers = SHAPES[shape]
    config = Qwen2Config(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=key_heads, max_position_embeddings=512, tie_word_embeddings=tied,
        initializer_range=0.05 if hidden < 512 else 0.02,
    )
    kind = torch.float32 if device == "cpu" else torch.bfloat16
    torch.set_default_dtype(kind)
    # made where it is fast: a GPU draws seven billion numbers in seconds
    with torch.device(device):
        model = Qwen2ForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    model.to(kind).save_pretrained(folder / "base")
    draw = random.Random(0)

    def chat():
        prompt, answer = draw.randint(*prompts), draw.randint(*answers)
        tokens = [draw.randrange(vocabulary) for _ in range(prompt + answer)]
        return {"tokens": tokens, "first_target": prompt}

    def text():
        return {"tokens": [draw.randrange(vocabulary) for _ in range(129)], "first_target": 1}

    batches = {
        "rank": rank,
        "chat": [[chat() for _ in range(16)] for _ in range(STEPS)],
        "text": [[text() for _ in range(8)] for _ in range(STEPS)],
    }
    (folder / "batches.json").write_text(json.dumps(batches))


def tensors(examples, device):
    longest = max(len(example["tokens"]) for example in examples)
    ids = torch.zeros(len(examples), longest, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for row, example in enumerate(examples):
        tokens = torch.tensor(example["tokens"])
        ids[row, : len(tokens)], mask[row, : len(tokens)] = tokens, 1
        labels[row, example["first_target"] : len(tokens)] = tokens[example["first_target"] :]
    return ids.to(device), mask.to(device), labels.to(device)


def run(folder, work, threads, steps, micro, device):
    torch.set_num_threads(threads)
    written = json.loads((folder / "batches.json").read_text())
    kind = torch.float32 if device == "cpu" else torch.bfloat16
    model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=kind).to(device)
    if work == "lora":
        names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        rank = written["rank"]
        # PEFT keeps its pairs in float32 beside a bfloat16 base
        model = get_peft_model(model, LoraConfig(r=rank, lora_alpha=2 * rank, use_rslora=True, target_modules=names))
    model.train()
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, fused=True)
    batches = written["text" if work == "text" else "chat"]
    losses, tokens, start, cpu = [], 0, 0.0, 0.0
    for step in range(steps + 2):
        if step == 2:
            tokens, start, cpu = 0, time.perf_counter(), time.process_time()
        examples = batches[step % len(batches)]
        targets = sum(len(example["tokens"]) - example["first_target"] for example in examples)
        loss = 0.0
        for first in range(0, len(examples), micro):
            ids, mask, labels = tensors(examples[first : first + micro], device)
            part = model(input_ids=ids, attention_mask=mask, labels=labels, num_items_in_batch=targets).loss
            part.backward()
            loss += part.detach()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(float(loss))
        tokens += sum(len(example["tokens"]) for example in examples)
    seconds = time.perf_counter() - start
    cpu_ms = 1000 * (time.process_time() - cpu) / steps
    line = {"tokens_per_second": tokens / seconds, "step_ms": 1000 * seconds / steps, "cpu_ms": cpu_ms, "losses": losses}
    print(json.dumps(line))


verb, folder, *rest = sys.argv[1:]
if verb == "prepare":
    prepare(pathlib.Path(folder), *rest)
else:
    work, *numbers, device = rest
    run(pathlib.Path(folder), work, *map(int, numbers), device)
