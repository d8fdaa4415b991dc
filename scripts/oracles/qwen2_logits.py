"""Makes tests/fixtures/engine: tiny random Qwen2 models and PEFT adapters with the logits that transformers and PEFT
compute for them. The tests read only these files.

Run: python3 scripts/oracles/qwen2_logits.py    (torch 2.11, transformers 5, peft 0.21; CPU)
"""

import json
import pathlib
import shutil

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import Qwen2Config, Qwen2ForCausalLM

OUT = pathlib.Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "engine"
ROWS = [[3, 17, 5, 31, 8, 8, 22, 1, 39], [11, 4, 29, 2, 36], [7]]
SHAPE = dict(
    vocab_size=40, hidden_size=16, intermediate_size=24, num_hidden_layers=3, num_attention_heads=4,
    num_key_value_heads=2, head_dim=8, max_position_embeddings=64, rope_theta=1000.0, rms_norm_eps=1e-5,
    eos_token_id=1, bos_token_id=None, pad_token_id=0,
)
ADAPTERS = {
    "plain": dict(
        r=2, lora_alpha=6,
        target_modules=["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
    ),
    "stabilised": dict(
        r=3, lora_alpha=5, use_rslora=True, target_modules=["q_proj", "v_proj", "down_proj"],
        layers_to_transform=[0, 2], rank_pattern={"down_proj": 2}, alpha_pattern={"layers.2.self_attn.q_proj": 7},
    ),
    "regex": dict(
        r=2, lora_alpha=3, target_modules=r".*layers\.(?!1\.)\d+\.(self_attn|mlp)\.(v|up)_proj",
        rank_pattern={r"layers\.[02]\.mlp\..*": 3, "up_proj": 5}, alpha_pattern={r".*\.2\..*_proj": 9, "v_proj": 1},
    ),
    "single": dict(r=1, lora_alpha=64, use_rslora=True, target_modules=["down_proj"], layers_to_transform=1),
    "excluded": dict(
        r=4, lora_alpha=8, target_modules="all-linear", exclude_modules=r".*\.1\.mlp\..*",
    ),
    "listed": dict(
        r=2, lora_alpha=8, target_modules=["self_attn.o_proj", "gate_proj", "model.layers.0.mlp.up_proj"],
        exclude_modules=["layers.2.mlp.gate_proj"], layers_to_transform=[1, 2], layers_pattern=["h", "layers"],
    ),
}


def model(tied):
    """A model whose every tensor is random, norms and biases included, so that none can be left out unnoticed."""
    torch.manual_seed(5 if tied else 6)
    net = Qwen2ForCausalLM(Qwen2Config(tie_word_embeddings=tied, **SHAPE)).float().eval()
    with torch.no_grad():
        for name, value in net.named_parameters():
            value.normal_(1.0 if "norm" in name else 0.0, 0.3)
    return net


def batch():
    width = max(map(len, ROWS))
    tokens = torch.tensor([row + [0] * (width - len(row)) for row in ROWS])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in ROWS])
    return tokens, mask


def logits(net):
    """Of the real tokens only, one row after the other."""
    tokens, mask = batch()
    with torch.no_grad():
        return net(tokens, attention_mask=mask).logits[mask.bool()].contiguous()


def keep(folder, net):
    folder.mkdir(parents=True)
    net.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    save_file({"logits": logits(net)}, folder / "expected.safetensors")


def adapt(name, settings):
    net = get_peft_model(model(tied=False), LoraConfig(task_type="CAUSAL_LM", **settings)).eval()
    torch.manual_seed(7)
    with torch.no_grad():
        for key, value in net.named_parameters():
            if "lora_" in key:
                value.normal_(0.0, 0.2)
    folder = OUT / name
    net.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    tidy(folder / "adapter_config.json")
    save_file({"logits": logits(net)}, folder / "expected.safetensors")


def tidy(path):
    """PEFT writes lists of modules in the order of a set; sorted, a second run makes the same bytes."""
    settings = json.loads(path.read_text())
    for key in ["target_modules", "exclude_modules"]:
        if isinstance(settings[key], list):
            settings[key] = sorted(settings[key])
    path.write_text(json.dumps(settings, indent=2) + "\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    for folder in ["tied", "untied", *ADAPTERS]:
        shutil.rmtree(OUT / folder, ignore_errors=True)
    keep(OUT / "tied", model(tied=True))
    keep(OUT / "untied", model(tied=False))
    for name, settings in ADAPTERS.items():
        adapt(name, settings)
    (OUT / "rows.json").write_text(json.dumps(ROWS) + "\n")
