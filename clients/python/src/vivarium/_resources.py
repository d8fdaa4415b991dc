"""The server's collections, each with its routes; named as in the API."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, cast, overload

from . import models
from ._events import messages
from ._http import Body, Http
from ._things import Adapter, Analysis, BaseModel, Checkpoint, Dataset, Evaluation, Experiment, Job, Judge, Pages, QuestionSet

__all__ = [
    "Adapters", "Analyses", "BaseModels", "Chat", "Checkpoints", "Datasets", "Evaluations", "Experiments", "Jobs", "Judges", "QuestionSets",
]  # fmt: skip

PIECE = 1 << 20
Source = str | bytes | Path


class Resource:
    """Routes that belong together."""

    def __init__(self, http: Http) -> None:
        self._http = http


class Datasets(Resource):
    """`/v1/datasets`."""

    def create(self, name: str, rows: Iterable[Mapping[str, object]] | Source, *, twin: str | None = None) -> Dataset:
        """Uploads chat or text rows: a path, JSON lines as bytes, or the rows themselves.

        A row that is wrong raises `VivariumError` with `line` and `pointer`. The same name with the same bytes is what is there.
        """
        if not isinstance(rows, (str, bytes, Path)):
            rows = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        query, headers = {"name": name, "twin": twin}, {"Content-Type": "application/jsonl"}
        return Dataset(self._http, self._http.json("POST", "/v1/datasets", query, body=content(rows), headers=headers))

    def get(self, dataset: str) -> Dataset:
        """One by its id or name."""
        return Dataset(self._http, self._http.json("GET", Dataset._path, dataset=dataset))

    def list(self, *, limit: int | None = None) -> Pages[Dataset]:
        """All, the newest first; `limit` is the size of a page."""
        return Pages(self._http, "/v1/datasets", {"limit": limit}, lambda data: Dataset(self._http, data))


class BaseModels(Resource):
    """`/v1/base-models`."""

    def create(self, name: str, source: Mapping[str, object]) -> BaseModel:
        """Registers weights: `{"path"}`, `{"hub", "revision"}`, `{"job"}` or `{"random"}`; `wait()` until it is ready."""
        return BaseModel(self._http, self._http.json("POST", "/v1/base-models", json={"name": name, "source": source}))

    def get(self, model: str) -> BaseModel:
        """One by its id or name."""
        return BaseModel(self._http, self._http.json("GET", BaseModel._path, model=model))

    def list(self, *, limit: int | None = None) -> Pages[BaseModel]:
        """All, the newest first."""
        return Pages(self._http, "/v1/base-models", {"limit": limit}, lambda data: BaseModel(self._http, data))


class Adapters(Resource):
    """`/v1/adapters`."""

    def create(self, folder: str | Path, base_model: str, *, name: str | None = None) -> Adapter:
        """Hands in the files of a PEFT adapter, or of a steering vector."""
        wanted = ("adapter_config.json", "adapter_model.safetensors", "steering_config.json", "steering_vector.safetensors")
        files = [path for path in (Path(folder) / file for file in wanted) if path.is_file()]

        def body() -> dict[str, Any]:
            parts = {path.name: (path.name, path.read_bytes()) for path in files}
            return {"files": parts, "data": {"base_model": base_model}}

        return Adapter(self._http, self._http.json("POST", "/v1/adapters", {"name": name}, body=body))

    def get(self, adapter: str) -> Adapter:
        """One by its id or name."""
        return Adapter(self._http, self._http.json("GET", Adapter._path, adapter=adapter))

    def list(self, *, limit: int | None = None) -> Pages[Adapter]:
        """All, the newest first."""
        return Pages(self._http, "/v1/adapters", {"limit": limit}, lambda data: Adapter(self._http, data))


class QuestionSets(Resource):
    """`/v1/question-sets`."""

    def create(self, name: str, questions: Source | Sequence[Mapping[str, object]]) -> QuestionSet:
        """Stores questions: a path to YAML, its text as bytes, or the questions themselves."""
        media = "application/yaml"
        if not isinstance(questions, (str, bytes, Path)):
            questions, media = json.dumps(questions).encode(), "application/json"
        headers = {"Content-Type": media}
        return QuestionSet(self._http, self._http.json("POST", "/v1/question-sets", {"name": name}, body=content(questions), headers=headers))

    def get(self, set: str) -> QuestionSet:
        """One by its id or name."""
        return QuestionSet(self._http, self._http.json("GET", QuestionSet._path, set=set))

    def list(self, *, limit: int | None = None) -> Pages[QuestionSet]:
        """All."""
        return Pages(self._http, "/v1/question-sets", {"limit": limit}, lambda data: QuestionSet(self._http, data))


class Judges(Resource):
    """`/v1/judges`."""

    def list(self) -> Pages[Judge]:
        """Which can be named, and what is in the way of the others."""
        return Pages(self._http, "/v1/judges", {}, lambda data: Judge(self._http, data))


class Jobs(Resource):
    """`/v1/jobs`."""

    def submit(self, job: models.JobRequest | Mapping[str, object] | None = None, /, **fields: object) -> Job:
        """Queues work: `submit(kind="finetune", …)` or a whole body, over which the fields stand.

        The same work is not done twice: `deduplicated` tells that it was there.
        """
        return Job(self._http, self._http.json("POST", "/v1/jobs", json={**(job or {}), **fields}))

    def finetune(self, **fields: object) -> Job:
        """`submit` of kind `finetune`."""
        return self.submit({"kind": "finetune"}, **fields)

    def evaluate(self, **fields: object) -> Job:
        """`submit` of kind `evaluate`."""
        return self.submit({"kind": "evaluate"}, **fields)

    def analyze(self, **fields: object) -> Job:
        """`submit` of kind `analyze`."""
        return self.submit({"kind": "analyze"}, **fields)

    def estimate(self, job: models.EstimateRequest | Mapping[str, object] | None = None, /, **fields: object) -> models.Estimated:
        """Memory, disk and time that a job would need; nothing is queued."""
        return cast("models.Estimated", self._http.json("POST", "/v1/jobs/estimate", json={**(job or {}), **fields}))

    def get(self, id: str) -> Job:
        """One by its id."""
        return Job(self._http, self._http.json("GET", Job._path, id=id))

    def list(self, *, kind: str | None = None, state: str | None = None, name: str | None = None, tag: str | None = None,
             limit: int | None = None) -> Pages[Job]:  # fmt: skip
        """Those that fit, the newest first."""
        query = {"kind": kind, "state": state, "name": name, "tag": tag, "limit": limit}
        return Pages(self._http, "/v1/jobs", query, lambda data: Job(self._http, data))


class Checkpoints(Resource):
    """`/v1/checkpoints`; those of a job are `job.checkpoints()`."""

    def get(self, checkpoint: str) -> Checkpoint:
        """One by its id."""
        return Checkpoint(self._http, self._http.json("GET", Checkpoint._path, checkpoint=checkpoint))


class Evaluations(Resource):
    """`/v1/evaluations`."""

    def get(self, evaluation: str) -> Evaluation:
        """One by its id, its name or its job's id."""
        return Evaluation(self._http, self._http.json("GET", Evaluation._path, evaluation=evaluation))

    def list(self, *, name: str | None = None, judge: str | None = None, limit: int | None = None) -> Pages[Evaluation]:
        """Those that fit, the newest first."""
        query = {"name": name, "judge": judge, "limit": limit}
        return Pages(self._http, "/v1/evaluations", query, lambda data: Evaluation(self._http, data))


class Analyses(Resource):
    """`/v1/analyses`."""

    def get(self, analysis: str) -> Analysis:
        """One by its id or its job's."""
        return Analysis(self._http, self._http.json("GET", Analysis._path, analysis=analysis))


class Experiments(Resource):
    """`/v1/experiments`."""

    def submit(self, experiment: Mapping[str, object] | Source) -> Experiment:
        """Starts an experiment: a path to YAML or JSON, its text as bytes, or the body itself."""
        return Experiment(self._http, self._post(experiment, {}))

    def dry_run(self, experiment: Mapping[str, object] | Source) -> models.DryRun:
        """What it would do and need; nothing is queued."""
        return cast("models.DryRun", self._post(experiment, {"dry_run": True}))

    def get(self, id: str) -> Experiment:
        """One by its id."""
        return Experiment(self._http, self._http.json("GET", Experiment._path, id=id))

    def list(self, *, name: str | None = None, limit: int | None = None) -> Pages[Experiment]:
        """Those that fit, the newest first."""
        query = {"name": name, "limit": limit}
        return Pages(self._http, "/v1/experiments", query, lambda data: Experiment(self._http, data))

    def _post(self, experiment: Mapping[str, object] | Source, query: Mapping[str, object]) -> Any:
        if isinstance(experiment, (str, bytes, Path)):
            headers = {"Content-Type": "application/yaml"}
            return self._http.json("POST", "/v1/experiments", query, body=content(experiment), headers=headers)
        return self._http.json("POST", "/v1/experiments", query, json=experiment)


class Chat(Resource):
    """`/openai/v1/chat/completions`: bases, fine-tunes at any step and scale, adapters."""

    @overload
    def create(
        self, *, model: str, messages: Sequence[Mapping[str, object]], stream: Literal[False] = False, **options: object
    ) -> models.ChatCompletion: ...

    @overload
    def create(
        self, *, model: str, messages: Sequence[Mapping[str, object]], stream: Literal[True], **options: object
    ) -> Iterator[dict[str, Any]]: ...

    def create(
        self, *, model: str, messages: Sequence[Mapping[str, object]], stream: bool = False, **options: object
    ) -> models.ChatCompletion | Iterator[dict[str, Any]]:
        """An answer, or with `stream` its pieces; the options are those of OpenAI's API."""
        body = {"model": model, "messages": list(messages), "stream": stream, **options}
        if stream:
            return self._stream(body)
        return cast("models.ChatCompletion", self._http.json("POST", "/openai/v1/chat/completions", json=body))

    def say(self, model: str, text: str, **options: object) -> str:
        """The text that a model answers to one message."""
        answer = self.create(model=model, messages=[{"role": "user", "content": text}], **options)  # type: ignore[call-overload]
        return str(answer["choices"][0]["message"]["content"])

    def models(self) -> list[models.Model]:
        """Every name that can be asked."""
        page: models.Models = self._http.json("GET", "/openai/v1/models", {"limit": 1000})
        return page["data"]

    def _stream(self, body: Mapping[str, object]) -> Iterator[dict[str, Any]]:
        with self._http.stream("POST", "/openai/v1/chat/completions", json=body) as response:
            for message in messages(response.iter_lines()):
                if message.data == "[DONE]":
                    return
                yield json.loads(message.data)


def content(source: Source) -> Body:
    """A body that can be sent again: bytes as they are, a path by pieces."""
    if isinstance(source, bytes):
        return lambda: {"content": source}
    path = Path(source)

    def pieces() -> Iterator[bytes]:
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece

    def body() -> dict[str, Any]:
        if not path.is_file():
            raise FileNotFoundError(f"{path} is no file; text itself is given as bytes")
        return {"content": pieces()}

    return body
