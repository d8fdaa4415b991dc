"""Writes a folder a family: a tiny checkpoint that bites, adapters, and what transformers and PEFT compute with them.

Run: python3 scripts/parity/fixtures.py FOLDER [--seed N] [--every-adapter] [--only FAMILY …]
The repository's own, tests/fixtures/families, are those of seed 0 (torch 2.11, transformers 5.17, peft 0.21; CPU). A folder
made anew loses its trajectories: `trajectories.py tests/fixtures/families --kept` makes them again.
"""

import argparse
import json
import pathlib
import random
import shutil

import torch
import transformers
from safetensors.torch import load_file, save_file

import adapters
import bite
import weights
from families import FAMILIES, LENGTH, VOCAB

TYPES = dict(float32=torch.float32, float16=torch.float16, bfloat16=torch.bfloat16)
PROMPTS = (40, 1, 19)
# Logits of either side may be off by 2e-4, so a lead below twice that decides nothing.
CLOSE = 5e-4


def load(folder, dtype):
    """As anybody loads it, but for Gemma 2, whose soft-capped scores only eager attention computes."""
    kind = json.loads((folder / "config.json").read_text())["architectures"][0]
    attention = dict(attn_implementation="eager") if kind.startswith("Gemma2") else {}
    net = getattr(transformers, kind).from_pretrained(folder, dtype=dtype, **attention)
    net.generation_config.eos_token_id = None
    return net.eval()


def make(name, folder, seed, every_adapter):
    family = FAMILIES[name]
    shutil.rmtree(folder, ignore_errors=True)
    rng = random.Random(f"{seed} {name}")
    rows = [[rng.randrange(3, 90) for _ in range(length)] for length in (LENGTH, 31, 7)]
    net, found = weights.find(lambda: fresh(family), family, rows, rng.randrange(1 << 30))
    save(net, family, folder)
    older(family, folder)
    expect(folder, rows, found)
    kinds = adapters.KINDS if every_adapter and family.adapters else family.adapters
    for kind in kinds:
        adapters.make(folder, kind, folder / "adapters" / kind, rows, rng.randrange(1 << 30))
    print(name, {key: round(value, 3) for key, value in found.items()}, flush=True)


def fresh(family):
    return family.model_class()._from_config(family.config(), attn_implementation="eager").float().eval()


def save(net, family, folder):
    stored = TYPES[family.stored]
    size = sum(value.numel() for value in net.parameters()) * stored.itemsize
    limit = size if family.shards == 1 else size // family.shards
    net.to(stored).save_pretrained(folder, max_shard_size=max(limit * 11 // 10, 1))
    (folder / "generation_config.json").unlink(missing_ok=True)
    if family.shards > 1:
        assert len(list(folder.glob("model-*.safetensors"))) > 1, "the checkpoint is not sharded"


def older(family, folder):
    """config.older.json says the same as config.json in the words of older files; transformers reads both alike."""
    if not family.published:
        return
    config = json.loads((folder / "config.json").read_text())
    text = config.get("text_config", config)
    for key in family.drop:
        text.pop(key, None)
    text.update(family.published)
    text["torch_dtype"] = text.pop("dtype", None)
    (folder / "config.older.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    kind = type(family.config())
    new, old = (kind.from_json_file(folder / file).get_text_config() for file in ("config.json", "config.older.json"))
    assert new.rope_parameters == old.rope_parameters, (new.rope_parameters, old.rope_parameters)
    assert getattr(new, "layer_types", None) == getattr(old, "layer_types", None), (new, old)


def expect(folder, rows, found):
    """Logits of the real tokens of a padded batch, those of bfloat16 for the first row, and greedy texts."""
    net = load(folder, torch.float32)
    tokens, mask = batch(rows)
    with torch.no_grad():
        logits = net(input_ids=tokens, attention_mask=mask, use_cache=False).logits[mask.bool()].contiguous()
        half = load(folder, torch.bfloat16)(input_ids=torch.tensor(rows[:1]), use_cache=False).logits[0].contiguous()
    save_file(dict(logits=logits, bfloat16=half.bfloat16()), folder / "expected.safetensors")
    prompts = [rows[0][:PROMPTS[0]], rows[1][:PROMPTS[1]], rows[1][:PROMPTS[2]]]
    prompts, texts = zip(*(decided(net, prompt) for prompt in prompts))
    cases = dict(
        rows=rows, prompts=prompts, greedy=texts, measured=found,
        made_by=dict(torch=torch.__version__, transformers=transformers.__version__),
    )
    (folder / "cases.json").write_text(json.dumps(cases) + "\n")


def decided(net, prompt):
    """The prompt and its greedy text; another prompt of its length where rounding would choose some token of that text.

    With a close call transformers' own cached and whole passes may part, and no engine could be held to either.
    """
    rng = random.Random(str(prompt))
    for _ in range(200):
        text, margin = bite.greedy(net, prompt)
        if margin >= CLOSE:
            return prompt, text
        prompt = [rng.randrange(3, 90) for _ in prompt]
    raise SystemExit(f"every text of {len(prompt)} tokens of a prompt has a close call")


def batch(rows):
    width = max(map(len, rows))
    tokens = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    return tokens, mask


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every-adapter", action="store_true")
    parser.add_argument("--only", nargs="*", default=list(FAMILIES))
    return parser.parse_args()


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    asked = arguments()
    for name in asked.only:
        make(name, asked.folder / name, asked.seed, asked.every_adapter)
