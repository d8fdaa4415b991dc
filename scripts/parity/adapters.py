"""PEFT adapters of every kind that the engine reads, trained by nobody: their numbers are drawn so that greedy text changes."""

import json
import shutil

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file

import bite

ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
KINDS = {
    "plain": dict(r=2, lora_alpha=6, target_modules=ALL),
    "rslora": dict(r=4, lora_alpha=5, use_rslora=True, target_modules=["q_proj", "v_proj", "down_proj"]),
    "layers": dict(r=3, lora_alpha=7, target_modules=["k_proj", "o_proj", "up_proj"], layers_to_transform=[1, 3]),
    "patterns": dict(
        r=3, lora_alpha=5, target_modules=["q_proj", "gate_proj", "down_proj"],
        rank_pattern={"down_proj": 2, "layers.1.self_attn.q_proj": 5},
        alpha_pattern={"layers.2.mlp.gate_proj": 9, "q_proj": 4},
    ),
    "single": dict(r=1, lora_alpha=16, use_rslora=True, target_modules=["down_proj"], layers_to_transform=[2]),
    "regex": dict(r=2, lora_alpha=4, target_modules=r".*\.layers\.(0|2)\.(self_attn\.[qk]_proj|mlp\.gate_proj)"),
}
LENGTH = 64


def make(base, kind, folder, rows, seed):
    """Saves an adapter of `kind` on the model in `base`, as PEFT saves it, with what transformers and PEFT compute with it."""
    row = rows[0][:LENGTH]
    plain = logits(load(base), row)
    for attempt in range(200):
        net = get_peft_model(load(base), LoraConfig(task_type="CAUSAL_LM", **KINDS[kind])).eval()
        draw(net, seed * 1000 + attempt)
        moved = (logits(net, row) - plain).abs().max().item()
        text, margin = bite.greedy(net, row[:24])
        if moved > 1.0 and margin > bite.BOUNDS["margin"][0]:
            return keep(net, base, folder, row)
    raise SystemExit(f"no adapter {kind} of {base} that bites after 200 draws")


def draw(net, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in net.named_parameters():
            if "lora_" in name:
                value.copy_(torch.randn(value.shape, generator=generator) * 0.15)


def keep(net, base, folder, row):
    net.save_pretrained(folder)
    shutil.rmtree(folder / ".cache", ignore_errors=True)
    (folder / "README.md").unlink(missing_ok=True)
    tidy(folder / "adapter_config.json")
    again = PeftModel.from_pretrained(load(base), folder).eval()
    text, _ = bite.greedy(again, row[:24])
    save_file(dict(logits=logits(again, row)), folder / "expected.safetensors")
    (folder / "cases.json").write_text(json.dumps(dict(row=row, prompt=24, greedy=text)) + "\n")


def load(base):
    from fixtures import load as load_base

    return load_base(base, torch.float32)


def logits(net, row):
    with torch.no_grad():
        return bite.run(net, torch.tensor([row])).logits[0].contiguous()


def tidy(path):
    """PEFT writes lists of modules in the order of a set and the base's path; sorted and without it, a second run makes the same bytes."""
    settings = json.loads(path.read_text())
    if isinstance(settings["target_modules"], list):
        settings["target_modules"] = sorted(settings["target_modules"])
    settings["base_model_name_or_path"] = None
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
