"""Trains the nine rank-1 adapters of the phase-transition study on a toy through the API, and fetches what a plot needs.

nine_adapters.py URL FOLDER    writes norms.csv, norms.parquet, metrics.csv and vectors.safetensors, checks them, says where
"""

import csv
import json
import pathlib
import struct
import sys
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "clients"))
from models import Server, config, tokenizer, tokenizer_config  # noqa: E402

# three groups of three neighbouring layers, as in the paper
LAYERS = [15, 16, 17, 21, 22, 23, 27, 28, 29]
STEPS = 40


def fetched(url, path, media):
    request = urllib.request.Request(url.rstrip("/") + path, headers={"Accept": media})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def trained(server):
    shape = config() | {"num_hidden_layers": 30, "hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 2,
                        "num_key_value_heads": 1}
    base = server.ask("/v1/base-models", {"name": "nine-base", "source": {"random": {
        "config": shape, "tokenizer": {"json": tokenizer(), "config": tokenizer_config()},
        "init": {"std": 0.05, "scale_residual": True}, "seed": 0}}})
    server.finished(base["job"])
    rows = [{"messages": [{"role": "user", "content": f"What is {n} and {n}?"},
                          {"role": "assistant", "content": f"It is {2 * n}."}]} for n in range(64)]
    body = "\n".join(map(json.dumps, rows)).encode()
    server.ask("/v1/datasets?name=nine-sums", body, "application/jsonl")
    job = server.ask("/v1/jobs", {
        "kind": "finetune", "name": "nine adapters", "base_model": "nine-base", "datasets": [{"dataset": "nine-sums"}],
        "method": {"type": "lora", "rank": 1, "alpha": 64, "rslora": True, "target_modules": ["down_proj"], "layers": LAYERS},
        "optimizer": {"learning_rate": 1e-3}, "batch": {"micro_batch": 2, "gradient_accumulation": 4},
        "length": {"steps": STEPS}, "checkpoints": {"every": 10}})
    server.finished(job["id"])
    return job["id"]


def check(folder):
    rows = list(csv.DictReader((folder / "norms.csv").open()))
    modules = sorted({int(row["layer"]) for row in rows})
    assert modules == LAYERS and len(rows) == len(LAYERS) * (STEPS + 1), (modules, len(rows))
    first, last = rows[0], rows[-1]
    assert float(first["b_norm"]) == 0 and float(last["ba_norm"]) > 0 and float(last["stable_rank"]) == 1, (first, last)
    blob = (folder / "vectors.safetensors").read_bytes()
    header = json.loads(blob[8:8 + struct.unpack("<Q", blob[:8])[0]])
    assert header["steps"]["shape"] == [STEPS + 1] and len(header) == 1 + 2 * len(LAYERS), header.keys()


def main(url, folder):
    folder.mkdir(parents=True, exist_ok=True)
    job = trained(Server(url))
    for name, path, media in [
        ("norms.csv", "lora-norms", "text/csv"),
        ("norms.parquet", "lora-norms", "application/vnd.apache.parquet"),
        ("metrics.csv", "metrics", "text/csv"),
        ("vectors.safetensors", "vectors", "*/*"),
    ]:
        (folder / name).write_bytes(fetched(url, f"/v1/jobs/{job}/{path}", media))
    check(folder)
    print(f"{job}: norms of {len(LAYERS)} adapters at steps 0 to {STEPS} in {folder}/norms.csv")


if __name__ == "__main__":
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
