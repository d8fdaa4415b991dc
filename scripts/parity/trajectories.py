"""Trains the tiny models of the parity check with transformers and PEFT, and writes down what every step measured.

Run behind fixtures.py: python3 scripts/parity/trajectories.py FOLDER [--seed N] [--only FAMILY …] [--kept]
FOLDER/<family>/trajectories/<method> gets PEFT's initial adapter, the trajectory, what is trained at its end, and the same run
with every planted mistake. `--kept` makes the short ones of the repository's own tests/fixtures/families.
"""

import argparse
import json
import pathlib
import random
import shutil
import statistics
from dataclasses import replace

import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model

import adapters
import measures
from families import VOCAB
from fixtures import load
from reference import KL_MISTAKES, MISTAKES, Plan, train

STEPS, ROWS, STEP_ROWS, MICRO_BATCH, KL_ROWS, KL_BATCH = 50, 24, 6, 2, 16, 8
LORA = dict(task_type="CAUSAL_LM", lora_dropout=0.0, bias="none", use_rslora=True)
WIDE = dict(r=8, lora_alpha=16, target_modules=adapters.ALL)
KL = dict(dataset="others", weight=0.5, tokens="assistant", average="tokens")
# A KL term averaged over the vocabulary too, with so much more weight, is the same term; both runs have the same draws.
SPREAD = KL | dict(weight=0.5 * VOCAB, average="tokens_and_vocabulary")
METHODS = {
    "lora": dict(adapter=WIDE, rate=2e-3, mistakes=MISTAKES),
    "single": dict(adapter=dict(r=1, lora_alpha=64, target_modules=["down_proj"], layers_to_transform=[3]), rate=4e-3, answers=2),
    "patterns": dict(adapter=adapters.KINDS["patterns"], rate=5e-3),
    "full": dict(adapter=None, rate=1e-3, schedule="cosine", mistakes=MISTAKES[1:]),
    "kl_tokens": dict(adapter=WIDE, rate=2e-3, kl=KL, draws="kl", mistakes=KL_MISTAKES),
    "kl_vocabulary": dict(adapter=WIDE, rate=2e-3, kl=SPREAD, draws="kl", mistakes=KL_MISTAKES),
    # Where the KL term alone reaches a weight, its first gradients are rounding, which a small epsilon would blow up to whole steps.
    "kl_full": dict(adapter=None, rate=1e-3, epsilon=1e-5, kl=KL | dict(tokens="all"), mistakes=KL_MISTAKES),
}
# Every family takes every method where the whole check runs, but for the KL term, which is the same code for all.
FAMILIES = ["qwen2_tied", "qwen2_untied", "qwen3_tied", "llama_tied", "llama_untied", "llama_biased", "mistral", "gemma2", "gemma3"]
KL_FAMILIES = ["qwen2_tied", "llama_untied", "gemma2", "gemma3"]
KEPT = [("qwen2_tied", "lora"), ("llama_tied", "lora"), ("gemma2", "lora"), ("llama_biased", "full"), ("llama_biased", "kl_full")]
KEPT_STEPS, KEPT_RANK = 12, 2


def drawn_rows(rng, count, answers):
    """Rows of 5 to 40 tokens, past the windows; answers are drawn from a few tokens, so that there is something to learn."""
    answers = rng.sample(range(3, 90), answers)
    rows = []
    for _ in range(count):
        asked, told = rng.randrange(3, 26), rng.randrange(2, 15)
        tokens = [rng.randrange(3, 90) for _ in range(asked)] + [rng.choice(answers) for _ in range(told)]
        rows.append(dict(tokens=tokens, start=asked))
    assert len({len(row["tokens"]) for row in rows}) > 5
    return rows


def drawn_order(rng, rows, steps, size):
    """Row numbers for each step, epoch after epoch, each shuffled anew."""
    numbers = []
    while len(numbers) < steps * size:
        epoch = list(range(rows))
        rng.shuffle(epoch)
        numbers += epoch
    return [numbers[step * size : (step + 1) * size] for step in range(steps)]


def plan_of(method, steps, rng):
    rows = drawn_rows(rng, ROWS, method.get("answers", 12))
    order = drawn_order(rng, len(rows), steps, STEP_ROWS)
    kl = method.get("kl")
    if kl:
        kl = dict(spec=kl, rows=drawn_rows(rng, KL_ROWS, 40), order=drawn_order(rng, KL_ROWS, steps, KL_BATCH))
    return Plan(
        rows=rows, order=order, micro_batch=MICRO_BATCH, rate=method["rate"], schedule=method.get("schedule", "linear"),
        warmup=steps // 10, decay=0.1, clip=None, kl=kl, epsilon=method.get("epsilon", 1e-8),
    )


def begin(base, method, folder, seed):
    """PEFT's untrained adapter on the base, saved as it saves it; None where all weights are trained."""
    if method["adapter"] is None:
        return
    torch.manual_seed(seed)
    config = LoraConfig(**LORA, **method["adapter"])
    save(get_peft_model(load(base, torch.float32), config), folder / "initial")


def net_of(base, method, folder, mistake=None):
    """The model at the beginning of a run, in float32, with what is to be trained requiring gradients."""
    net = load(base, torch.float32)
    if method["adapter"] is None:
        return net.requires_grad_(True)
    config = LoraConfig.from_pretrained(folder / "initial")
    config.use_rslora = mistake != "alpha_over_r"
    return PeftModel.from_pretrained(net, folder / "initial", config=config, is_trainable=True).eval()


def save(net, folder):
    net.save_pretrained(folder)
    for name in ("README.md", "generation_config.json"):
        (folder / name).unlink(missing_ok=True)
    if (folder / "adapter_config.json").exists():
        adapters.tidy(folder / "adapter_config.json")


def run(base, method, folder, plan, mistake=None):
    net = net_of(base, method, folder, mistake)
    measure = measures.All(net) if method["adapter"] is None else measures.Pairs()
    return net, measure.modules(net), train(net, plan, measure, mistake)


def tuned(base, method, folder, steps, rng):
    """A plan at which the reference learns, its own median gradient norm being the bound, so that about half the steps clip.

    With a run of it. A reference that learnt nothing, or always or never clipped, could not show a mistake.
    """
    for attempt in range(12):
        plan = plan_of(method, steps, rng)
        plan = replace(plan, rate=plan.rate * 2 ** (attempt // 3))
        norms = [record["grad_norm"] for record in run(base, method, folder, plan)[2]]
        plan = replace(plan, clip=statistics.median(norms))
        ran = run(base, method, folder, plan)
        found = shown(ran[2], plan)
        if found["learnt"] >= 0.25 and 0.2 <= found["clipped"] <= 0.8:
            return plan, ran, found
    raise SystemExit(f"{folder}: no plan at which the reference could show a mistake: {found}")


def shown(records, plan):
    """By which share the loss falls, of the first four steps to the last four, and at which share of the steps clipping acts."""
    first, last = (statistics.mean(record["loss"] for record in part) for part in (records[:4], records[-4:]))
    clipped = sum(record["grad_norm"] > plan.clip for record in records)
    return dict(learnt=1 - last / first, clipped=clipped / len(records), rate=plan.rate)


def make(base, name, kept, seed):
    method = METHODS[name]
    if kept and method["adapter"]:
        method = method | dict(adapter=method["adapter"] | dict(r=KEPT_RANK), rate=3 * method["rate"])
    folder = base / "trajectories" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rng = random.Random(f"{seed} {base.name} {method.get('draws', name)}")
    begin(base, method, folder, rng.randrange(1 << 30))
    plan, (net, modules, records), found = tuned(base, method, folder, KEPT_STEPS if kept else STEPS, rng)
    mistakes = {one: run(base, method, folder, plan, one)[2] for one in method.get("mistakes", ())}
    write(folder, plan, modules, records, mistakes, kept)
    if not (kept and method["adapter"] is None):
        save(net, folder / "final")
    print(base.name, name, {key: round(value, 4) for key, value in found.items()}, flush=True)


def write(folder, plan, modules, records, mistakes, kept):
    if kept:
        mistakes = {name: [{key: one[key] for key in ("loss", "kl", "rate", "grad_norm")} for one in found] for name, found in mistakes.items()}
    record = dict(
        optimizer=dict(learning_rate=plan.rate, weight_decay=plan.decay, epsilon=plan.epsilon, max_grad_norm=plan.clip),
        schedule=dict(name=plan.schedule, warmup_steps=plan.warmup, warmup_from="zero"),
        micro_batch=plan.micro_batch, rows=plan.rows, order=plan.order, kl=plan.kl, modules=modules, steps=records, mistakes=mistakes,
        made_by=dict(torch=torch.__version__, transformers=transformers.__version__),
    )
    (folder / "trajectory.json").write_text(json.dumps(rounded(record), separators=(",", ":")) + "\n")


def rounded(value):
    """Floats to nine digits, which tell any two of single precision apart."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, (list, tuple)) else value


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=FAMILIES)
    parser.add_argument("--methods", nargs="*", default=list(METHODS))
    parser.add_argument("--kept", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    asked = arguments()
    every = [(family, method) for family in asked.only for method in asked.methods]
    every = [(family, method) for family, method in every if "kl" not in METHODS[method] or family in KL_FAMILIES]
    for family, method in KEPT if asked.kept else every:
        make(asked.folder / family, method, asked.kept, asked.seed)
