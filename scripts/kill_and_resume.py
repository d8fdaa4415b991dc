#!/usr/bin/env python3
"""Prints what becomes of a training run whose server is killed twice with SIGKILL, beside the same run left alone.

usage: kill_and_resume.py [program]      target/release/vivarium where no program is given

A private server is started in a folder that vanishes, with its own database. The same fine-tune (three epochs, dropout where
the program computes it) runs twice: once in peace; once with kill -9 in mid-training, twice, and a pause and a resume behind
them. The events of both, the checkpoints' hashes and every row of metrics are compared; 1 where anything differs.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

WORDS = "how do i treat a fever please sip cool tea phone nurse rest and drink water sleep well".split()
FIXED = ["<end>", "<turn>", "<stop>", "?", ".", "user", "assistant", "system", "\n"]
TEMPLATE = (
    "{% for m in messages %}{{ '<turn> ' + m['role'] + ' \n ' + m['content'] + ' <stop> \n ' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<turn> assistant \n ' }}{% endif %}"
)
STEPS = 180
KILLS = (40, 101)
PAUSE = 140


def tokenizer():
    words = FIXED + WORDS + ["<unknown>"]
    split = lambda text, behavior: {"type": "Split", "pattern": {"String": text}, "behavior": behavior, "invert": False}
    special = [
        {"id": i, "content": FIXED[i], "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        for i in range(3)
    ]
    return {
        "json": {
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split(" ", "Removed"), split("\n", "Isolated")]},
            "post_processor": None, "decoder": None,
            "model": {"type": "WordLevel", "vocab": {word: i for i, word in enumerate(words)}, "unk_token": "<unknown>"},
        },
        "config": {
            "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": None, "eos_token": "<stop>", "pad_token": "<end>",
            "unk_token": "<unknown>", "model_max_length": 128, "chat_template": TEMPLATE,
        },
    }


def config():
    return {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "vocab_size": 32, "hidden_size": 96,
        "intermediate_size": 256, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
        "hidden_act": "silu", "max_position_embeddings": 128, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
        "tie_word_embeddings": True, "eos_token_id": 2, "pad_token_id": 0, "torch_dtype": "float32",
    }


def rows():
    text = lambda start, count: " ".join(WORDS[(start * 7 + i * i) % len(WORDS)] for i in range(count))
    for i in range(480):
        turns = [("user", text(i, 3 + i % 9) + " ?"), ("assistant", text(i + 5, 4 + i % 5) + " .")]
        yield json.dumps({"messages": [{"role": role, "content": content} for role, content in turns]})


class Server:
    def __init__(self, program, folder):
        self.program, self.folder, self.child, self.url = program, folder, None, None

    def start(self):
        address = os.path.join(self.folder, "address")
        if os.path.exists(address):
            os.remove(address)
        settings = {
            "VIVARIUM_SERVER__BIND": "127.0.0.1:0", "VIVARIUM_SERVER__ADDRESS_FILE": address,
            "VIVARIUM_DATA__FOLDER": os.path.join(self.folder, "data"), "VIVARIUM_WORKER__SLOTS": "1",
            "VIVARIUM_WORKER__DEVICE": "cpu", "VIVARIUM_WORKER__HEARTBEAT_SECONDS": "1",
            "VIVARIUM_WORKER__LEASE_SECONDS": "3", "VIVARIUM_WORKER__SWEEP_SECONDS": "1",
        }
        log = open(os.path.join(self.folder, "log"), "a")
        self.child = subprocess.Popen(
            [self.program, "serve"], cwd=self.folder, env=os.environ | settings, stdout=log, stderr=log
        )
        for _ in range(1200):
            if os.path.exists(address):
                with open(address) as file:
                    self.url = file.read().strip()
                print(f"server {self.child.pid} listens at {self.url}")
                return
            if self.child.poll() is not None:
                break
            time.sleep(0.05)
        with open(os.path.join(self.folder, "log")) as file:
            sys.exit("the server does not start:\n" + file.read())

    def kill(self):
        print(f"kill -9 {self.child.pid}")
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()

    def stop(self):
        if self.child and self.child.poll() is None:
            self.child.terminate()
            self.child.wait(60)

    def call(self, method, path, body=None, kind="application/json"):
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=method)
        if data is not None:
            request.add_header("content-type", kind)
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            sys.exit(f"{method} {path}: {error.code} {error.read().decode()}")

    def wait(self, job, done, limit=600):
        end = time.time() + limit
        while time.time() < end:
            shown = self.call("GET", f"/v1/jobs/{job}")
            if done(shown):
                return shown
            if shown["state"] in ("failed", "cancelled"):
                sys.exit(f"{job} is {shown['state']}: {shown['error']}")
            time.sleep(0.02)
        sys.exit(f"{job} does not get there")


def spec(dropout):
    return {
        "kind": "finetune", "base_model": "tiny", "datasets": [{"dataset": "rows"}],
        "method": {"type": "lora", "rank": 4, "alpha": 8, "dropout": dropout},
        "optimizer": {"learning_rate": 2e-3}, "batch": {"micro_batch": 4, "gradient_accumulation": 2},
        "length": {"epochs": 3}, "checkpoints": {"every": 30}, "hold_out": None, "dedup": "force", "seed": 7,
    }


def prepare(server):
    source = {"random": {"config": config(), "tokenizer": tokenizer(), "init": {"std": 0.05}, "seed": 0}}
    model = server.call("POST", "/v1/base-models", {"name": "tiny", "source": source})
    server.wait(model["job"], lambda job: job["state"] == "succeeded")
    lines = "\n".join(rows()).encode()
    server.call("POST", "/v1/datasets?name=rows", lines, "application/jsonl")


def outcome(server, job):
    checkpoints = server.call("GET", f"/v1/jobs/{job}/checkpoints")["data"]
    files = [(kept["step"], file["name"], file["sha256"]) for kept in checkpoints for file in kept["files"]]
    metrics = server.call("GET", f"/v1/jobs/{job}/metrics")
    for timing in ("tokens_per_second", "peak_memory_bytes"):
        metrics["series"].pop(timing, None)
    rows = {"steps": metrics["steps"], "series": metrics["series"]}
    norms = server.call("GET", f"/v1/jobs/{job}/lora-norms")
    return files, rows, {"steps": norms["steps"], "series": norms["series"]}


def digest(value):
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def events(server, job):
    for event in server.call("GET", f"/v1/jobs/{job}/events?limit=200")["data"]:
        if event["type"] not in ("rendered_first", "dataset_prepared", "phase"):
            print(f"  {event['at']:<30}  {event['type']:<18} {json.dumps(event['data'])[:110]}")


def progress(job):
    return (job["progress"] or {}).get("done", 0) if job["state"] == "running" else 0


def disturbed(server, dropout):
    job = server.call("POST", "/v1/jobs", spec(dropout))["id"]
    attempt = 1
    for step in KILLS:
        # a killed server's last word on progress stands until its lease has run out
        shown = server.wait(job, lambda job: job["attempt"] == attempt and progress(job) >= step)
        print(f"{job} is at step {shown['progress']['done']} of {shown['progress']['total']}")
        server.kill()
        server.start()
        attempt += 1
    server.wait(job, lambda job: job["attempt"] == attempt and progress(job) >= PAUSE)
    server.call("POST", f"/v1/jobs/{job}/pause")
    shown = server.wait(job, lambda job: job["state"] == "paused")
    print(f"{job} is paused at step {shown['progress']['done']}: {shown['waiting']['detail']}")
    server.call("POST", f"/v1/jobs/{job}/resume")
    return server.wait(job, lambda job: job["state"] == "succeeded")


def dropout_of(server):
    """0.1 where this program computes dropout."""
    try:
        body = json.dumps(spec(0.1) | {"base_model": "none"}).encode()
        request = urllib.request.Request(server.url + "/v1/jobs", body, {"content-type": "application/json"})
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30)
    except urllib.error.HTTPError as error:
        pointers = [one.get("pointer") for one in json.load(error)["errors"]]
        return 0.0 if "/method/dropout" in pointers else 0.1
    return 0.1


def compare(server, calm, torn):
    equal = True
    for name, one, other in zip(("files", "metric rows", "norm rows"), outcome(server, calm), outcome(server, torn)):
        same = one == other
        equal &= same
        print(f"{name:<12} {digest(one)}\n{'':<12} {digest(other)}  {'equal' if same else 'DIFFERENT'}")
        if name == "files":
            last = [file for file in one if file[0] == STEPS and file[1].endswith(".safetensors")]
            print("".join(f"{'':<12} step {step} {file} sha256 {sha256}\n" for step, file, sha256 in last), end="")
    return equal


def main():
    program = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/release/vivarium")
    folder = tempfile.mkdtemp()
    os.chmod(folder, 0o755)  # the private database runs as another account when this one is root
    server = Server(program, folder)
    try:
        server.start()
        prepare(server)
        dropout = dropout_of(server)
        print(f"dropout {dropout}")
        calm = server.call("POST", "/v1/jobs", spec(dropout))["id"]
        server.wait(calm, lambda job: job["state"] == "succeeded")
        torn = disturbed(server, dropout)
        print(f"events of {calm}, left alone:")
        events(server, calm)
        print(f"events of {torn['id']}, killed twice and paused once, {torn['attempt']} attempts:")
        events(server, torn["id"])
        equal = compare(server, calm, torn["id"])
        print("killed and resumed equals left alone" if equal else "killed and resumed DIFFERS")
        return 0 if equal else 1
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
