"""The other side of sampling.sh: transformers' generate on the same tiny model, with a PEFT adapter where it has one.

    hf_sampling.py prepare FOLDER SIZE
    hf_sampling.py run FOLDER THREADS ROWS TOKENS BATCH     prints one JSON line
"""

import json
import pathlib
import sys
import time

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import Qwen2Config, Qwen2ForCausalLM

PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
# hidden, layers, heads, key heads, MLP, vocabulary, with an adapter: the toy's shape; 0.3 and 6 million parameters; the
# vocabulary of the published models
SIZES = {
    "toy": (128, 4, 4, 2, 384, 1120, True),
    "small": (64, 4, 4, 2, 172, 2048, False),
    "medium": (256, 6, 4, 2, 704, 8192, False),
    "wide": (128, 4, 4, 2, 344, 151936, False),
}
PROMPTS, LENGTH = 8, 16


def shape(size):
    hidden, layers, heads, key_heads, inner, vocabulary, _ = SIZES[size]
    return dict(
        vocab_size=vocabulary, hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=key_heads, max_position_embeddings=256, tie_word_embeddings=True,
        eos_token_id=2, pad_token_id=0, bos_token_id=None,
    )


def prepare(folder, size):
    torch.manual_seed(0)
    net = Qwen2ForCausalLM(Qwen2Config(**shape(size))).float()
    net.save_pretrained(folder)
    if SIZES[size][-1]:
        net = get_peft_model(net, LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules=PROJECTIONS))
        with torch.no_grad():
            for name, value in net.named_parameters():
                if "lora_B" in name:
                    value.normal_(0.0, 0.02)
        net.save_pretrained(folder / "adapter")
    prompts = torch.randint(3, SIZES[size][5], (PROMPTS, LENGTH)).tolist()
    (folder / "prompts.json").write_text(json.dumps(prompts))


def run(folder, threads, rows, new, batch):
    torch.set_num_threads(threads)
    net = Qwen2ForCausalLM.from_pretrained(folder)
    if (folder / "adapter").exists():
        net = PeftModel.from_pretrained(net, folder / "adapter")
    net = net.eval()
    prompts = json.loads((folder / "prompts.json").read_text())
    tokens = torch.tensor([prompts[index * len(prompts) // rows] for index in range(rows)])

    def once():
        with torch.inference_mode():
            for part in tokens.split(batch):
                net.generate(
                    input_ids=part, attention_mask=torch.ones_like(part), do_sample=True, temperature=1.0, top_k=0,
                    top_p=1.0, min_new_tokens=new, max_new_tokens=new, pad_token_id=0,
                )

    once()
    wall, cpu = time.perf_counter(), time.process_time()
    once()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    print(json.dumps({"tokens": rows * new, "seconds": round(wall, 4), "cpu_seconds": round(cpu, 4)}))


if __name__ == "__main__":
    verb, folder, *numbers = sys.argv[1:]
    if verb == "prepare":
        prepare(pathlib.Path(folder), *numbers)
    else:
        run(pathlib.Path(folder), *map(int, numbers))
