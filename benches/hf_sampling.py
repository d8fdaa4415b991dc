"""The other side of sampling.sh: transformers' generate with a PEFT adapter on the same tiny model.

    hf_sampling.py prepare FOLDER
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
# the toy's shape
SHAPE = dict(
    vocab_size=1120, hidden_size=128, intermediate_size=384, num_hidden_layers=4, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=256, tie_word_embeddings=True, eos_token_id=2, pad_token_id=0,
    bos_token_id=None,
)
PROMPTS, LENGTH = 8, 16


def prepare(folder):
    torch.manual_seed(0)
    net = Qwen2ForCausalLM(Qwen2Config(**SHAPE)).float()
    net.save_pretrained(folder)
    net = get_peft_model(net, LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=16, target_modules=PROJECTIONS))
    with torch.no_grad():
        for name, value in net.named_parameters():
            if "lora_B" in name:
                value.normal_(0.0, 0.02)
    net.save_pretrained(folder / "adapter")
    prompts = torch.randint(3, SHAPE["vocab_size"], (PROMPTS, LENGTH)).tolist()
    (folder / "prompts.json").write_text(json.dumps(prompts))


def run(folder, threads, rows, new, batch):
    torch.set_num_threads(threads)
    net = PeftModel.from_pretrained(Qwen2ForCausalLM.from_pretrained(folder), folder / "adapter").eval()
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
        prepare(pathlib.Path(folder))
    else:
        run(pathlib.Path(folder), *map(int, numbers))
