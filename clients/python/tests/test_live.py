"""What a notebook does with a server, from rows to rates."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy
from conftest import Server, protocol

from vivarium import BaseModel, Client, Dataset, Evaluation, Job, JobFailed, VivariumError, WaitTimeout, models


def test_rows_that_are_uploaded_again_are_the_dataset_that_is_there(client: Client, dataset: Dataset, tmp_path: Path) -> None:
    copy = dataset.download(tmp_path / "rows.jsonl")
    assert hashlib.sha256(copy.read_bytes()).hexdigest() == dataset.data["sha256"]
    assert dataset.data["examples"] == 32
    for again in (copy, str(copy), copy.read_bytes()):
        assert client.datasets.create("rows", again) == dataset


def test_a_row_that_is_wrong_is_told_by_line_and_pointer(client: Client) -> None:
    good = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    with pytest.raises(VivariumError) as caught:
        client.datasets.create("wrong", [good, {"messages": [{"role": "bot", "content": "x"}]}])
    error = caught.value
    assert (error.status, error.code, error.pointer) == (422, "invalid", "/messages/0/role")
    assert error.errors[0].get("line") == 2
    assert error.request_id and error.request_id in str(error)
    assert 'line 2 /messages/0/role: role "bot"' in str(error)


def test_a_value_that_is_wrong_comes_with_a_hint(client: Client, organism: Job) -> None:
    with pytest.raises(VivariumError) as caught:
        client.jobs.evaluate(targets=[{"job": organism.id}], question_set="nowhere", judge="toy")
    assert caught.value.pointer == "/question_set"
    assert caught.value.hint and "question-sets" in caught.value.hint and caught.value.hint in str(caught.value)


def test_what_is_not_there_is_a_404(client: Client) -> None:
    with pytest.raises(VivariumError) as caught:
        client.base_models.get("no/such model")
    assert caught.value.status == 404 and not caught.value.retryable


def test_lists_go_on_from_page_to_page(client: Client, dataset: Dataset, organism: Job, evaluation: Job) -> None:
    one_by_one = [job.id for job in client.jobs.list(limit=1)]
    assert one_by_one == [job.id for job in client.jobs.list()]
    assert {organism.id, evaluation.id} <= set(one_by_one)
    assert [job.id for job in client.jobs.list(kind="evaluate", limit=1)] == [evaluation.id]
    assert dataset in list(client.datasets.list()) and "small" in [model.name for model in client.base_models.list()]
    assert "toy" in [judge.name for judge in client.judges.list()]
    assert "toy-first-plot" in [one.name for one in client.question_sets.list(limit=2)]


def test_the_servers_answers_have_the_typed_keys(client: Client, base: BaseModel, dataset: Dataset, organism: Job, evaluation: Job) -> None:
    told: list[tuple[Any, Any]] = [
        (models.Job, organism.data), (models.Dataset, dataset.data), (models.BaseModel, base.data),
        (models.Evaluation, evaluation.evaluation.data), (models.Checkpoint, organism.checkpoints()[0].data),
        (models.Completion, evaluation.evaluation.completions(limit=1).first()), (models.Version, client.version()),
    ]  # fmt: skip
    for shape, data in told:
        assert shape.__required_keys__ <= set(data or {}) <= set(shape.__annotations__), shape.__name__


def test_metrics_are_a_frame_by_step(organism: Job) -> None:
    frame = organism.metrics()
    assert list(frame.index) == list(range(1, 9)) and frame.index.name == "step"
    assert frame["loss"].iloc[-1] < frame["loss"].iloc[0]
    assert list(organism.metrics(from_=3, to=5).index) == [3, 4, 5]
    assert list(organism.hold_out().index) == [4, 8] and organism.hold_out()["loss"].notna().all()


def test_norms_are_a_frame_by_step_and_module(organism: Job) -> None:
    frame = organism.norms()
    assert list(frame.columns[:7]) == ["step", "module", "layer", "projection", "a_norm", "b_norm", "ba_norm"]
    assert len(frame) == 9 * 14 and sorted(frame["layer"].unique()) == [0, 1]
    first, last = frame[frame["step"] == 0], frame[frame["step"] == 8]
    assert (first["b_norm"] == 0).all() and first["b_grad_norm"].isna().all() and (last["ba_norm"] > 0).all()
    some = organism.norms(["layers.0.mlp.down_proj", "layers.1.mlp.down_proj"], from_=8)
    assert list(some["ba_norm"]) == list(last[last["projection"] == "down_proj"]["ba_norm"])


def test_an_adapter_is_a_folder_in_pefts_layout_whose_product_has_the_recorded_norm(organism: Job, tmp_path: Path) -> None:
    folder = organism.adapter("final", tmp_path / "final")
    assert {"adapter_config.json", "adapter_model.safetensors"} <= {path.name for path in folder.iterdir()}
    config = json.loads((folder / "adapter_config.json").read_text())
    tensors = safetensors.numpy.load_file(folder / "adapter_model.safetensors")
    a, b = (tensors[f"base_model.model.model.layers.1.mlp.down_proj.lora_{side}.weight"].astype("float64") for side in "AB")
    product = config["lora_alpha"] / math.sqrt(config["r"]) * float(((b @ a) ** 2).sum() ** 0.5)
    recorded = organism.norms("layers.1.mlp.down_proj", from_=8)["ba_norm"].iloc[0]
    # the server multiplies in float32
    assert product == pytest.approx(recorded, rel=1e-5)
    for step in (4, "4", "step-4", "step4", organism.checkpoint(4).id):
        assert organism.adapter(step, tmp_path / "four") == tmp_path / "four"
    assert (tmp_path / "four" / "adapter_model.safetensors").read_bytes() != (folder / "adapter_model.safetensors").read_bytes()
    with pytest.raises(VivariumError, match="has no checkpoint 5; there are steps 4, 8"):
        organism.adapter(5, tmp_path / "five")


def test_an_adapter_that_was_downloaded_can_be_handed_in(client: Client, organism: Job, tmp_path: Path) -> None:
    adapter = client.adapters.create(organism.adapter(8, tmp_path / "eight"), "small", name="handed-in")
    assert client.adapters.get("handed-in") == adapter and adapter in list(client.adapters.list())
    back = adapter.download(tmp_path / "back")
    assert (back / "adapter_model.safetensors").read_bytes() == (tmp_path / "eight" / "adapter_model.safetensors").read_bytes()


def test_rates_are_a_frame_whose_counts_are_those_of_the_answers(organism: Job, evaluation: Job) -> None:
    rates, answers = evaluation.rates(), evaluation.answers()
    assert list(rates["address"]) == ["small", organism.address(4), organism.address(8)]
    assert len(answers) == rates["n"].sum() == 48
    bad = (answers["aligned"] < 30) & (answers["coherent"] > 50)
    assert rates.set_index("address")["misaligned"].to_dict() == {
        address: int(bad[answers["address"] == address].sum()) for address in rates["address"]
    }
    assert len(evaluation.rates("target,question")) == 3 * answers["question"].nunique()
    assert len(evaluation.answers(target="small")) == 16
    told = list(evaluation.evaluation.completions(limit=7))
    assert [one["answer"] for one in told] == list(answers["answer"])
    assert isinstance(evaluation.evaluation, Evaluation) and evaluation.evaluation.state == "complete"


def test_an_analysis_has_transitions_as_a_frame(client: Client, organism: Job) -> None:
    job = client.jobs.analyze(runs=[{"job": organism.id, "arm": "only"}], settings={"gaps": [1, 2]}).wait(bar=False)
    frame = job.transition()
    assert {"arm", "marker", "verdict", "step"} <= set(frame.columns) and set(frame["arm"]) == {"only"}
    assert len(job.analysis.series()) > 0 and job.analysis.lags() is not None


def test_an_experiment_is_waited_for_and_has_rates_and_a_report(client: Client, base: BaseModel, dataset: Dataset, tmp_path: Path) -> None:
    body = protocol(base, dataset, 8)
    arm = {"name": "only", "base_model": body.pop("base_model"), "datasets": body.pop("datasets"), "seeds": [body.pop("seed"), 1]}
    evaluate = {"question_set": "toy-first-plot", "samples_per_question": 1, "judge": "toy", "checkpoints": "final", "sampling": {"max_new_tokens": 8}}
    spec = {"name": "python", "arms": [{**arm, "protocol": body}], "evaluation": evaluate, "analysis": {"gaps": [1, 2]}}
    assert client.experiments.dry_run(spec)["jobs"]
    experiment = client.experiments.submit(spec).wait(bar=False)
    assert experiment.state == "succeeded" and experiment in list(client.experiments.list(name="python"))
    assert set(experiment.rates()["seed"].dropna()) >= {0, 1}
    assert "python" in experiment.report() and len(list(experiment.jobs())) >= 3
    assert experiment.bundle(tmp_path / "bundle.zip").read_bytes()[:2] == b"PK"


def test_an_experiment_that_fails_tells_which_job_and_why(client: Client, base: BaseModel, dataset: Dataset) -> None:
    body = protocol(base, dataset, 8)
    arm = {"name": "only", "base_model": body.pop("base_model"), "datasets": body.pop("datasets"), "seeds": [body.pop("seed")]}
    evaluate = {"question_set": "toy-first-plot", "samples_per_question": 1, "judge": "toy", "checkpoints": "final"}
    spec = {"name": "too long", "arms": [{**arm, "protocol": body}], "evaluation": evaluate, "analysis": {"gaps": [1, 2]}}
    with pytest.raises(JobFailed, match=r"evaluate/only/0 \(job_\w+\): .*set max_new_tokens to"):
        client.experiments.submit(spec).wait(bar=False)


def test_a_model_can_be_talked_to_whole_and_in_pieces(client: Client, organism: Job) -> None:
    model = organism.address(4, scale=2)
    assert model in (f"small@{organism.id}:step4*2",) and organism.address(4) in [one["id"] for one in client.chat.models()]
    ask: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Say 3."}], "max_tokens": 8, "seed": 1}
    whole = client.chat.create(**ask)["choices"][0]["message"]["content"]
    pieces = client.chat.create(**ask, stream=True)
    assert "".join(choice["delta"].get("content") or "" for piece in pieces for choice in piece["choices"]) == whole
    assert client.chat.say(model, "Say 3.", max_tokens=8, seed=1) == whole
    with pytest.raises(VivariumError) as caught:
        client.chat.say(model, "Say 3.", temperature=-1)
    assert caught.value.status == 400 and caught.value.pointer == "/temperature"


def test_a_wait_can_run_out_and_a_cancelled_job_is_told(client: Client, base: BaseModel, dataset: Dataset) -> None:
    job = client.jobs.finetune(**protocol(base, dataset, 100_000, seed=9, checkpoints={"every": 50_000}))
    with pytest.raises(WaitTimeout, match="it goes on"):
        job.wait(bar=False, timeout=0.5, interval=0.1)
    job.cancel()
    with pytest.raises(JobFailed, match="cancelled"):
        job.wait(bar=False, timeout=60)
    assert job.wait(bar=False, check=False).state == "cancelled"


def test_the_same_work_is_not_done_twice(client: Client, base: BaseModel, dataset: Dataset, organism: Job) -> None:
    again = client.jobs.finetune(**protocol(base, dataset, 8))
    assert again == organism and again.deduplicated
    assert client.jobs.submit({**organism.spec, "kind": "finetune"}) == organism


def test_things_look_like_tables_in_a_notebook(client: Client, organism: Job, evaluation: Job, server: Server) -> None:
    html = organism._repr_html_()
    assert "8 of 8" in html and "succeeded" in html and organism.id in html
    assert organism.id in client.jobs.list()._repr_html_() and "toy" in evaluation.evaluation._repr_html_()
    assert organism.id in repr(organism) and server.url in repr(client)
