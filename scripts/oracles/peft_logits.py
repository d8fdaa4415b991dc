"""Prints, as JSON, the logits that PEFT computes with a base folder and each of some adapter folders, for rows of token ids.

PEFT only warns of tensors that it misses or does not know; here that is an error.

Run: python3 scripts/oracles/peft_logits.py BASE ADAPTER… '[[1,2,3]]'
→ [[[[logit, …] for each token] for each row] for each adapter]
"""

import json
import sys
import warnings

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

warnings.filterwarnings("error", message=".*adapter.*keys.*")
base, *adapters, rows = sys.argv[1:]
torch.set_num_threads(1)
found = []
for adapter in adapters:
    net = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    net = PeftModel.from_pretrained(net, adapter).eval()
    with torch.no_grad():
        found.append([net(torch.tensor([row])).logits[0].tolist() for row in json.loads(rows)])
print(json.dumps(found))
