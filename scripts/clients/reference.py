"""Log-likelihoods of continuations by transformers (and PEFT) on the same files; printed as JSON."""

import json
import sys

import torch
from transformers import AutoModelForCausalLM


def main():
    asked = json.load(open(sys.argv[1]))
    model = AutoModelForCausalLM.from_pretrained(asked["base"], dtype=torch.float32, attn_implementation="eager")
    if asked.get("adapter"):
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, asked["adapter"])
    model.eval()
    told = []
    for ids in asked["prompts"]:
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0].double()
        told.append(torch.log_softmax(logits, -1)[:-1].gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist())
    json.dump(told, sys.stdout)


main()
