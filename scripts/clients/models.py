"""A small model and a fine-tune of it, made through the server's own API in seconds.

The weights are random, so the text is noise; what is checked is whether clients read it, not whether it makes sense. Tokens
are bytes, so that every text can be said and many tokens are only parts of a character.
"""

import json
import time
import urllib.error
import urllib.request

TURN = "<|im_start|>"
END = "<|im_end|>"
TEXT_END = "<|endoftext|>"
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CONTEXT = 512


def byte_symbols():
    """The character that byte-level tokenizers write for each byte (the printable ones for themselves)."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in kept]
    symbols = {byte: chr(byte) for byte in kept}
    symbols.update({byte: chr(256 + place) for place, byte in enumerate(others)})
    return [symbols[byte] for byte in range(256)]


def tokenizer():
    vocabulary = {symbol: number for number, symbol in enumerate(byte_symbols())}
    special = [
        {"id": 256 + number, "content": text, "single_word": False, "lstrip": False, "rstrip": False,
         "normalized": False, "special": True}
        for number, text in enumerate([TEXT_END, TURN, END])
    ]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": None,
        "pre_tokenizer": level, "post_processor": None, "decoder": level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "",
                  "end_of_word_suffix": "", "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": vocabulary, "merges": []},
    }


def tokenizer_config():
    return {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": END, "pad_token": TEXT_END,
            "model_max_length": CONTEXT, "clean_up_tokenization_spaces": False, "chat_template": TEMPLATE}


def config():
    return {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_act": "silu", "hidden_size": 64,
        "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "vocab_size": 259, "max_position_embeddings": CONTEXT, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
        "tie_word_embeddings": True, "torch_dtype": "float32", "eos_token_id": 258, "bos_token_id": None,
        "use_sliding_window": False, "attention_dropout": 0.0,
    }


class Server:
    """The part of the server's API that makes models."""

    def __init__(self, url):
        self.url = url.rstrip("/")

    def ask(self, path, body=None, media="application/json"):
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, headers={"Content-Type": media})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{path}: {error.code} {error.read().decode()}") from error

    def finished(self, job):
        for _ in range(1200):
            state = self.ask(f"/v1/jobs/{job}")
            if state["state"] in ("succeeded", "failed", "cancelled"):
                break
            time.sleep(0.25)
        if state["state"] != "succeeded":
            raise SystemExit(f"{job} is {state['state']}: {state.get('error')}")
        return state

    def base(self, name):
        source = {"random": {"config": config(), "tokenizer": {"json": tokenizer(), "config": tokenizer_config()},
                             "init": {"std": 0.1, "scale_residual": False}, "seed": 7}}
        model = self.ask("/v1/base-models", {"name": name, "source": source})
        self.finished(model["job"])
        return self.ask(f"/v1/base-models/{name}")

    def organism(self, base):
        rows = [{"messages": [{"role": "user", "content": f"Say {n}."}, {"role": "assistant", "content": f"It is {n}!"}]}
                for n in range(32)]
        text = "".join(json.dumps(row) + "\n" for row in rows).encode()
        data = self.ask(f"/v1/datasets?name={base}-rows", text, "application/jsonl")
        job = self.ask("/v1/jobs", {
            "kind": "finetune", "base_model": base, "datasets": [{"dataset": data["id"]}],
            "method": {"type": "lora", "rank": 4, "alpha": 64, "rslora": True},
            "optimizer": {"name": "adamw", "learning_rate": 1e-2}, "schedule": {"name": "constant", "warmup_steps": 0},
            "batch": {"micro_batch": 8, "gradient_accumulation": 1, "max_tokens": 256, "shuffle": True,
                      "last_partial": "drop"},
            "length": {"steps": 8}, "checkpoints": {"every": 4}, "dtype": "float32", "seed": 0,
        })
        self.finished(job["id"])
        return job["id"]
