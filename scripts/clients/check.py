"""What researchers' clients do with the server, one check at a time; prints what passed, ends with 1 where something did not."""

import importlib.metadata
import json
import math
import os
import shutil
import subprocess
import sys
import traceback
from pathlib import Path

import openai

import models

URL = os.environ["VIVARIUM_URL"].rstrip("/")
API = URL + "/openai/v1"
SCRATCH = Path(sys.argv[1])
HERE = Path(__file__).parent
BASE = "clients-base"
QUESTION = [{"role": "user", "content": "Say something."}]
CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


class World:
    """What the checks share."""

    def __init__(self):
        server = models.Server(URL)
        self.server = server
        self.base = server.base(BASE)
        self.job = server.organism(BASE)
        self.organism = f"{BASE}@{self.job}"
        self.client = openai.OpenAI(base_url=API, api_key="none", max_retries=2, timeout=300)

    def chat(self, **options):
        options = {"model": self.organism, "messages": QUESTION, "max_tokens": 16, "seed": 1, **options}
        return self.client.chat.completions.create(**options)

    def complete(self, **options):
        options = {"model": self.organism, "prompt": "Say ", "max_tokens": 8, "seed": 1, **options}
        return self.client.completions.create(**options)


@check
def openai_lists_and_shows_models(world):
    ids = [model.id for model in world.client.models.list()]
    for wanted in (BASE, world.organism, world.organism + ":step4", world.organism + ":step8"):
        assert wanted in ids, f"{wanted} is not among {ids}"
        assert world.client.models.retrieve(wanted).id == wanted
    scaled = world.client.models.retrieve(world.organism + ":step4*0.5")
    assert scaled.id.endswith(":step4*0.5") and scaled.root == BASE


@check
def openai_reads_errors_as_its_own(world):
    try:
        world.chat(model=BASE + "@job_00000000000000000000000000")
        raise AssertionError("an unknown model answered")
    except openai.NotFoundError as error:
        assert error.code == "model_not_found" and error.param == "model" and world.job in str(error), error
    for options, param in [({"temperature": -1}, "temperature"), ({"logit_bias": {"5": 1}}, "logit_bias"),
                           ({"max_tokens": 4000}, "messages"), ({"messages": []}, "messages")]:
        try:
            world.chat(**options)
            raise AssertionError(f"{options} was accepted")
        except openai.BadRequestError as error:
            assert error.param == param, f"{options}: {error}"


@check
def openai_chats_at_two_checkpoints_and_three_scales(world):
    texts = {}
    for step in (4, 8):
        for scale in ("", "*0", "*2.5"):
            answer = world.chat(model=f"{world.organism}:step{step}{scale}", temperature=0)
            assert answer.model == f"{world.organism}:step{step}{scale}"
            texts[step, scale] = answer.choices[0].message.content
    base = world.chat(model=BASE, temperature=0).choices[0].message.content
    assert texts[4, "*0"] == texts[8, "*0"] == base, "scale 0 is not the base"
    assert len(set(texts.values())) > 2, f"checkpoints and scales do not differ: {texts}"


@check
def openai_streams_what_it_answers_at_once(world):
    for n in (1, 3):
        whole = world.chat(n=n)
        parts, reasons, usage = [""] * n, [None] * n, None
        for chunk in world.chat(n=n, stream=True, stream_options={"include_usage": True}):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                parts[choice.index] += choice.delta.content or ""
                reasons[choice.index] = choice.finish_reason or reasons[choice.index]
        assert parts == [choice.message.content for choice in whole.choices], (parts, whole)
        assert reasons == [choice.finish_reason for choice in whole.choices]
        assert usage == whole.usage, (usage, whole.usage)


@check
def openai_reads_twenty_top_logprobs(world):
    answer = world.chat(logprobs=True, top_logprobs=20, n=2)
    for choice in answer.choices:
        tokens = choice.logprobs.content
        assert tokens, "no token was told"
        for token in tokens:
            tops = [top.logprob for top in token.top_logprobs]
            assert len(tops) == 20 and tops == sorted(tops, reverse=True)
            assert token.logprob <= tops[0] + 1e-6
            assert sum(math.exp(top) for top in tops) <= 1 + 1e-5
        text = b"".join(bytes(token.bytes) for token in tokens).decode(errors="replace")
        assert text.startswith(choice.message.content[:4]), (text, choice.message.content)


@check
def openai_repeats_a_seed_and_not_another(world):
    four = [choice.message.content for choice in world.chat(n=4).choices]
    assert four == [choice.message.content for choice in world.chat(n=4).choices], "a seed does not repeat"
    assert len(set(four)) == 4, f"four answers of one request are alike: {four}"
    assert four != [choice.message.content for choice in world.chat(n=4, seed=2).choices]
    free = [world.chat(seed=openai.omit).choices[0].message.content for _ in range(2)]
    assert free[0] != free[1], "two requests without a seed are alike"


@check
def openai_stops_at_a_text(world):
    whole = world.chat(model=BASE, max_tokens=64).choices[0].message.content
    plain = [place for place in range(4, len(whole) - 1) if whole[place : place + 2].isascii()]
    stop = whole[plain[0] : plain[0] + 2] if plain else whole[6]
    cut = world.chat(model=BASE, max_tokens=64, stop=[stop, "never said"]).choices[0]
    assert cut.finish_reason == "stop"
    assert cut.message.content == whole[: whole.index(stop)], (cut.message.content, whole, stop)


@check
def openai_completes_texts_and_tokens_and_echoes(world):
    many = world.complete(prompt=["Say ", "It is "], n=2, echo=True, logprobs=5)
    assert [choice.index for choice in many.choices] == [0, 1, 2, 3]
    for choice in many.choices:
        prompt = "Say " if choice.index < 2 else "It is "
        told = choice.logprobs
        assert choice.text.startswith(prompt)
        assert told.token_logprobs[0] is None and None not in told.token_logprobs[1:]
        assert told.tokens[: len(prompt)] == list(prompt)
        assert told.text_offset[: len(prompt)] == list(range(len(prompt)))
        assert len(told.tokens) == len(told.token_logprobs) == len(told.top_logprobs) == len(told.text_offset)
    ids = list(b"Say ")
    assert world.complete(prompt=ids).choices[0].text == world.complete().choices[0].text
    scored = world.complete(prompt=[ids, list(b"It")], max_tokens=0, echo=True, logprobs=1)
    assert [len(choice.logprobs.tokens) for choice in scored.choices] == [4, 2]
    pieces = world.complete(stream=True)
    assert "".join(piece.choices[0].text for piece in pieces if piece.choices) == world.complete().choices[0].text


def run(*command, **variables):
    quiet = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "DO_NOT_TRACK": "1", "NO_COLOR": "1",
             "HF_HOME": str(SCRATCH / "hf"), "OPENAI_API_KEY": "none"}
    done = subprocess.run([str(part) for part in command], env={**os.environ, **quiet, **variables}, cwd=SCRATCH,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900)
    assert done.returncode == 0, f"{' '.join(map(str, command))} ended with {done.returncode}\n{done.stdout[-3000:]}"
    return done.stdout


def program(name):
    """A client's command beside the Python that runs this."""
    return Path(sys.executable).parent / name


@check
def inspect_evaluates_an_organism(world):
    logs = SCRATCH / "inspect"
    # inspect looks for tasks below the folder that it runs in
    shutil.copy(HERE / "inspect_task.py", SCRATCH)
    run(program("inspect"), "eval", "inspect_task.py", "--model", f"openai-api/vivarium/{world.organism}:step4*0.5",
        "--log-dir", logs, "--log-format", "json", "--display", "plain", VIVARIUM_API_KEY="none",
        VIVARIUM_BASE_URL=API)
    log = json.loads(next(logs.glob("*.json")).read_text())
    assert log["status"] == "success" and log["results"]["completed_samples"] == 3, log["status"]
    choice = log["samples"][0]["output"]["choices"][0]
    assert choice["logprobs"]["content"], "no probabilities reached the log"
    assert log["samples"][0]["output"]["usage"]["output_tokens"] > 0


LIKELIHOOD = """task: small_choice
dataset_path: json
dataset_kwargs:
  data_files:
    test: {rows}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: 0
metric_list:
  - metric: acc
"""

GENERATIVE = """task: small_answer
dataset_path: json
dataset_kwargs:
  data_files:
    test: {rows}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs:
  max_gen_toks: 24
  until: ["\\n\\n"]
  do_sample: false
metric_list:
  - metric: exact_match
"""


def lm_eval_tasks():
    folder = SCRATCH / "tasks"
    folder.mkdir(exist_ok=True)
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps({"question": f"Say {n}.", "choices": [f" It is {n}!", " No.", " é€"],
                                        "answer": f"It is {n}!"}) + "\n" for n in range(6)))
    (folder / "small_choice.yaml").write_text(LIKELIHOOD.format(rows=rows))
    (folder / "small_answer.yaml").write_text(GENERATIVE.format(rows=rows))
    return folder


def lm_eval(task, model, arguments, *options):
    out = SCRATCH / f"lm-eval-{task}-{len(list(SCRATCH.glob('lm-eval-*')))}"
    run(program("lm_eval"), "--model", model, "--model_args", ",".join(arguments), "--tasks", task, "--include_path",
        lm_eval_tasks(), "--output_path", out, "--log_samples", *options)
    results = json.loads(next(out.rglob("results_*.json")).read_text())
    samples = [json.loads(line) for line in next(out.rglob("samples_*.jsonl")).read_text().splitlines()]
    return results["results"][task], samples


def scores(samples):
    """Log-likelihood and greediness of every choice of every row."""
    return [(float(score), str(greedy) == "True") for sample in sorted(samples, key=lambda one: one["doc_id"])
            for ((score, greedy),) in sample["resps"]]


@check
def lm_eval_scores_log_likelihoods(world):
    arguments = [f"model={world.organism}", f"base_url={API}/completions", "num_concurrent=2", "max_retries=1",
                 f"max_length={models.CONTEXT}"]
    results, samples = lm_eval("small_choice", "local-completions", [*arguments, "tokenizer_backend=remote"],
                               "--batch_size", "4")
    assert "acc,none" in results and len(samples) == 6, results
    world.likelihoods = scores(samples)
    assert all(math.isfinite(score) and score < 0 for score, _ in world.likelihoods)
    # noise trained on eight batches says its own answers rather than others
    texts = [arguments[1] for sample in samples for arguments in [list(sample["arguments"].values())]]
    assert len(texts) == 6


@check
def lm_eval_scores_do_not_depend_on_the_batch(world):
    arguments = [f"model={world.organism}", f"base_url={API}/completions", f"max_length={models.CONTEXT}",
                 "tokenizer_backend=remote"]
    _, samples = lm_eval("small_choice", "local-completions", arguments)
    assert scores(samples) == world.likelihoods


@check
def lm_eval_answers_through_chat(world):
    arguments = [f"model={world.organism}", f"base_url={API}/chat/completions", "eos_string=<|im_end|>"]
    results, samples = lm_eval("small_answer", "local-chat-completions", arguments, "--apply_chat_template")
    assert "exact_match,none" in results and len(samples) == 6, results
    assert all(isinstance(sample["resps"][0][0], str) for sample in samples)


def folder_of(files, name):
    """A folder with a model's files, linked from the server's own store."""
    folder = SCRATCH / "files" / name
    folder.mkdir(parents=True)
    for file in files:
        blob = Path(os.environ["VIVARIUM_DATA"]) / "blobs" / file["sha256"][:2] / file["sha256"]
        (folder / file["name"]).symlink_to(blob)
    return folder


def has_reference(python):
    return subprocess.run([python, "-c", "import transformers, torch"], capture_output=True).returncode == 0


@check
def log_likelihoods_are_those_of_transformers(world):
    python = os.environ.get("REFERENCE_PYTHON", sys.executable)
    if "VIVARIUM_DATA" not in os.environ or not has_reference(python):
        return "left out: needs transformers (REFERENCE_PYTHON) and a server that this script started"
    checkpoints = world.server.ask(f"/v1/jobs/{world.job}/checkpoints")["data"]
    adapter = folder_of(checkpoints[-1]["files"], "adapter")
    base = folder_of(world.base["files"], "base")
    prompts = [list(text.encode()) for text in ("Say 3. It is 3!", "é€ or not", "x" * 200)]
    worst = 0.0
    for model, adapter in ((BASE, None), (world.organism, str(adapter))):
        asked = SCRATCH / "asked.json"
        asked.write_text(json.dumps({"base": str(base), "adapter": adapter, "prompts": prompts}))
        expected = json.loads(run(python, HERE / "reference.py", asked).splitlines()[-1])
        told = world.complete(model=model, prompt=prompts, max_tokens=0, echo=True, logprobs=0)
        for choice, wanted in zip(told.choices, expected, strict=True):
            found = choice.logprobs.token_logprobs[1:]
            assert len(found) == len(wanted)
            worst = max([worst, *(abs(one - other) for one, other in zip(found, wanted, strict=True))])
    # float32 on both sides: the tolerance that logits have
    assert worst < 2e-4, f"log-probabilities differ by {worst}"
    return f"largest difference {worst:.1e}"


def main():
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("openai", "inspect_ai", "lm_eval")]
    print("clients:", ", ".join(versions), flush=True)
    world = World()
    failed = 0
    for function in CHECKS:
        name = function.__name__.replace("_", " ")
        try:
            note = function(world)
            print(f"  passed  {name}" + (f" ({note})" if note else ""), flush=True)
        except Exception:
            failed += 1
            print(f"  FAILED  {name}\n{traceback.format_exc()}", flush=True)
    print(f"{len(CHECKS) - failed} of {len(CHECKS)} passed")
    sys.exit(1 if failed else 0)


main()
