"""Prints, as JSON, the logits that PEFT computes with a base folder and an adapter folder, for rows of token ids.

Run: python3 scripts/oracles/peft_logits.py BASE ADAPTER '[[1,2,3]]'    → [[[logit, …] for each token] for each row]
"""

import json
import sys

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

base, adapter, rows = sys.argv[1:]
torch.set_num_threads(1)
net = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), adapter).eval()
with torch.no_grad():
    print(json.dumps([net(torch.tensor([row])).logits[0].tolist() for row in json.loads(rows)]))
