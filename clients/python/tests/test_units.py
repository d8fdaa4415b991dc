"""What can be seen without a server: retries, errors, streams, tables, and that the client knows the server's routes."""

from __future__ import annotations

import ast
import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from vivarium import BrokenDownload, Client, ConnectionFailed, Experiment, Job, VivariumError, _events, _files, _frames, _http, _wait

CLIENT = Path(__file__).resolve().parents[1]
OPENAPI = json.loads((CLIENT.parents[1] / "openapi" / "openapi.json").read_text(encoding="utf-8"))
Answer = Callable[[httpx.Request], httpx.Response]
PROBLEM = {
    "type": "/v1/problems#invalid", "title": "Values cannot be accepted", "status": 422, "detail": "two things", "instance": "/v1/jobs",
    "code": "invalid", "retryable": False, "request_id": "abc",
    "errors": [{"pointer": "/a", "detail": "is 3"}, {"pointer": "/b", "detail": "is 4", "hint": "make it 5"}],
}  # fmt: skip


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    pauses: list[float] = []
    monkeypatch.setattr("time.sleep", pauses.append)
    return pauses


def talking(answer: Answer, **options: Any) -> Client:
    return Client("http://server", transport=httpx.MockTransport(answer), **options)


def in_turn(*answers: httpx.Response | Exception) -> tuple[Answer, list[httpx.Request]]:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        one = answers[min(len(seen), len(answers)) - 1]
        if isinstance(one, Exception):
            raise one
        return one

    return answer, seen


def job(**facts: object) -> dict[str, object]:
    return {"id": "job_1", "kind": "finetune", "state": "succeeded", "result": {}, "spec": {"base_model": "b"}, **facts}


def test_the_models_are_what_the_openapi_document_says() -> None:
    checked = subprocess.run([sys.executable, CLIENT / "generate.py", "--check"], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr


def test_every_route_of_the_client_is_one_of_the_server() -> None:
    used = set()
    for source in (CLIENT / "src" / "vivarium").glob("*.py"):
        tree = ast.parse(source.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and str(node.value).startswith(("/v1/", "/openai/v1", "/version")):
                used.add(str(node.value))
        for kind in (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)):
            own = [one.value.value for one in kind.body if isinstance(one, ast.Assign) and getattr(one.targets[0], "id", "") == "_path"
                   and isinstance(one.value, ast.Constant)]  # fmt: skip
            added = [node.right.value for node in ast.walk(kind) if isinstance(node, ast.BinOp) and ast.unparse(node.left) == "self._path"
                     and isinstance(node.right, ast.Constant)]  # fmt: skip
            used |= {str(path) + str(more) for path in own for more in added}
    for action in ("cancel", "pause", "resume", "retry"):
        used |= {f"/v1/jobs/{{id}}/{action}", f"/v1/experiments/{{id}}/{action}"}
    assert len(used) > 40
    assert used <= set(OPENAPI["paths"]), used - set(OPENAPI["paths"])


def test_a_read_is_tried_again_after_as_long_as_the_server_asks(slept: list[float]) -> None:
    answer, seen = in_turn(
        httpx.Response(503, headers={"retry-after": "7"}), httpx.Response(429, headers={"retry-after": "3600"}), httpx.ConnectError("no"),
        httpx.ReadError("cut"), httpx.Response(200, json={"version": "1"}),
    )  # fmt: skip
    assert talking(answer).version() == {"version": "1"}
    assert len(seen) == 5 and slept[:2] == [7, 60] and all(0 < pause < 10 for pause in slept[2:])


def test_a_post_is_tried_again_under_the_same_key_and_another_call_has_another(slept: list[float]) -> None:
    answer, seen = in_turn(httpx.ReadError("cut"), httpx.Response(502), httpx.Response(202, json=job()))
    client = talking(answer)
    client.jobs.submit(kind="finetune")
    keys = [request.headers["idempotency-key"] for request in seen]
    assert len(keys) == 3 and len(set(keys)) == 1 and len({request.content for request in seen}) == 1
    client.jobs.submit(kind="finetune")
    assert seen[-1].headers["idempotency-key"] != keys[0]


def test_chat_is_not_asked_twice_where_the_first_may_have_been_answered(slept: list[float]) -> None:
    answer, seen = in_turn(httpx.ReadError("cut"))
    with pytest.raises(ConnectionFailed):
        talking(answer).chat.say("m", "hello")
    assert len(seen) == 1 and "idempotency-key" not in seen[0].headers


def test_a_refusal_is_not_tried_again_and_tells_place_value_and_remedy(slept: list[float]) -> None:
    answer, seen = in_turn(httpx.Response(422, json=PROBLEM))
    with pytest.raises(VivariumError) as caught:
        talking(answer).jobs.submit(kind="finetune")
    error = caught.value
    assert len(seen) == 1 and not slept
    assert (error.status, error.code, error.pointer, error.hint, error.request_id) == (422, "invalid", "/a", "make it 5", "abc")
    assert str(error).splitlines() == ["invalid (422): two things", "  /a: is 3", "  /b: is 4 (make it 5)", "  request abc"]


def test_what_is_no_problem_document_is_an_error_all_the_same(slept: list[float]) -> None:
    for body in (b"<html>gateway", b"", b"[1]", b'{"error": {"message": "bad", "param": "a.b", "code": "c"}}'):
        with pytest.raises(VivariumError) as caught:
            talking(in_turn(httpx.Response(404, content=body))[0]).version()
        assert caught.value.status == 404 and str(caught.value)
    assert caught.value.pointer == "/a/b" and caught.value.code == "c"


def test_an_unreachable_server_is_told_with_its_address(slept: list[float]) -> None:
    with pytest.raises(ConnectionFailed, match="http://server/version: no route"):
        talking(in_turn(httpx.ConnectError("no route"))[0], retries=2).version()
    assert len(slept) == 2


def test_the_key_is_sent_and_shown_nowhere(monkeypatch: pytest.MonkeyPatch, slept: list[float]) -> None:
    monkeypatch.setenv("VIVARIUM_API_KEY", "viv_secret")
    monkeypatch.setenv("VIVARIUM_BASE_URL", "http://elsewhere:1/")
    answer, seen = in_turn(httpx.Response(200, json={}))
    client = Client(transport=httpx.MockTransport(answer))
    client.version()
    assert seen[0].headers["authorization"] == "Bearer viv_secret" and str(seen[0].url) == "http://elsewhere:1/version"
    assert "secret" not in repr(client) + repr(vars(client))
    with pytest.raises(ConnectionFailed) as caught:
        Client(transport=httpx.MockTransport(in_turn(httpx.ConnectError("no"))[0])).version()
    assert "secret" not in str(caught.value)


def test_names_are_quoted_into_paths_and_queries_are_repeated() -> None:
    assert _http.fill("/v1/a/{name}/b", name="../x y?{z}") == "/v1/a/..%2Fx%20y%3F%7Bz%7D/b"
    told = _http.parameters({"target": ["a", "b"], "from_": 3, "none": None, "dry_run": True})
    assert str(told) == "target=a&target=b&from=3&dry_run=true"


def test_a_stream_is_read_as_the_standard_says() -> None:
    lines = [": hello", "retry: 2000", "", "id: 4", "event: a", "data: 1", "data:2", "", "event: empty", "", "data: cut off"]
    told = [(one.id, one.event, one.data, one.retry) for one in _events.messages(lines)]
    assert told == [(None, "message", "", 2000), ("4", "a", "1\n2", None)]


def test_a_wait_polls_where_there_is_no_stream(slept: list[float]) -> None:
    states = iter(["queued", "running", "running", "succeeded"])

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/events"):
            return httpx.Response(503, json={"code": "unavailable", "detail": "too many streams"})
        return httpx.Response(200, json=job(state=next(states, "succeeded"), progress={"done": 1, "total": 2, "unit": "step"}))

    client = talking(answer, retries=0)
    assert client.jobs.get("job_1").wait(bar=False).state == "succeeded"


def test_a_wait_shows_how_far_the_job_is() -> None:
    states = iter([("queued", 0), ("running", 3), ("running", 3), ("succeeded", 8)])

    def answer(request: httpx.Request) -> httpx.Response:
        state, done = next(states)
        return httpx.Response(200, json=job(state=state, progress={"done": done, "total": 8, "unit": "step", "eta": None}))

    class Shown:
        lines: list[tuple[str, int, int, str]] = []

        def show(self, *line: Any) -> None:
            self.lines.append(line)

        def close(self) -> None:
            self.lines.append(("closed", 0, 0, ""))

    shown = Shown()
    one = talking(answer).jobs.get("job_1")
    _wait.until(one, shown, None, None, 0.001)
    assert shown.lines[0] == ("finetune job_1: running", 3, 8, "step") and shown.lines[-1][0] == "closed"
    assert shown.lines[-2] == ("finetune job_1: succeeded", 8, 8, "step")


def test_a_file_that_hashes_to_something_else_is_not_kept(tmp_path: Path) -> None:
    entry: Any = {"name": "a.bin", "sha256": "0" * 64, "bytes": 3}
    client = talking(in_turn(httpx.Response(200, content=b"abc"))[0])
    with pytest.raises(BrokenDownload, match="hash to ba7816bf"):
        _files.fetch_all(client._http, "/v1/checkpoints/{checkpoint}/files/{name}", [entry], tmp_path, checkpoint="cp_1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["../a", "/etc/a", "a/../../b", "", "..\\a", "C:a"])
def test_a_name_that_leads_out_of_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BrokenDownload):
        _files.inside(tmp_path, name)
    assert _files.inside(tmp_path, "sub/a.bin") == tmp_path / "sub" / "a.bin"


def test_frames_keep_gaps_words_and_intervals() -> None:
    norms: Any = {
        "steps": [0, 1], "modules": [{"name": "m", "layer": 2, "projection": "down_proj"}, {"name": "whole"}],
        "series": {"b_norm": [[0.0, 1.5], [2.0, None]]},
    }  # fmt: skip
    frame = _frames.norms(norms)
    assert list(frame["module"]) == ["m", "whole", "m", "whole"] and list(frame["step"]) == [0, 0, 1, 1]
    assert list(frame["b_norm"][:3]) == [0.0, 2.0, 1.5] and math.isnan(frame["b_norm"][3])
    assert frame["layer"][0] == 2 and frame["layer"].isna()[1]
    table = _frames.table("question,rate\nNA,0.1\nnull,\n")
    assert list(table["question"]) == ["NA", "null"] and math.isnan(table["rate"][1])
    answer = {"target": {"address": "x"}, "question": "q", "answer": "a\u2028b", "scores": {"aligned": 3}, "unscored": {"coherent": "refusal"}}
    answers = _frames.answers(json.dumps(answer, ensure_ascii=False) + "\n")
    assert answers.iloc[0].to_dict() == {
        "address": "x", "question": "q", "answer": "a\u2028b", "aligned": 3, "coherent_unscored": "refusal",
    }  # fmt: skip
    rows = _frames.rows([{"step": 4, "interval": [3, 5]}, {"step": None, "interval": None}])
    assert list(rows["interval_low"])[0] == 3 and list(rows["interval_high"])[0] == 5 and math.isnan(rows["interval_low"][1])


def test_what_the_server_says_is_escaped_in_a_notebook() -> None:
    client = talking(in_turn(httpx.Response(200, json=job(name="<script>", tags={"a": "<b>"})))[0])
    html = client.jobs.get("job_1")._repr_html_()
    assert "<script>" not in html and "&lt;script&gt;" in html and "<b>finetune" not in html and "&lt;b&gt;" in html


def test_an_experiment_ends_in_words_of_its_own() -> None:
    told: Any = {"id": "ex_1", "name": "n", "state": "partial", "counts": {"failed": 1}, "done": 2, "total": 3}
    failed = {"key": "train/a/0", "job": "job_2", "error": {"message": "out of disk"}}
    page = httpx.Response(200, json={"data": [failed, {"key": "train/a/1", "job": "job_3"}], "has_more": False})
    experiment = Experiment(talking(in_turn(httpx.Response(200, json=told), page)[0])._http, told)
    with pytest.raises(VivariumError, match=r"ex_1 is partial: failed 1\n  train/a/0 \(job_2\): out of disk$"):
        experiment.wait(bar=False)
    assert not Job(experiment._http, job(state="partial")).ended  # type: ignore[arg-type]
