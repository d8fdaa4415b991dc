"""What the server keeps, as objects: their facts in `data`, as the API shows them, and what can be done with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from . import _files, _frames, _html, _wait, models
from ._events import EventStream
from ._http import Http, fill
from .errors import JobFailed, VivariumError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Adapter", "Analysis", "BaseModel", "Checkpoint", "Dataset", "Evaluation", "Experiment", "Job", "Judge", "Pages", "QuestionSet",
]  # fmt: skip

D = TypeVar("D", bound=Mapping[str, Any])
T = TypeVar("T")
Step = int | str
ENDED = ("succeeded", "failed", "cancelled")


class Pages(Generic[T]):
    """A list that is fetched page by page while one iterates over it."""

    def __init__(self, http: Http, path: str, query: Mapping[str, object], wrap: Callable[[Any], T], **place: str) -> None:
        self._http, self._path, self._query, self._wrap = http, fill(path, **place), query, wrap

    def __iter__(self) -> Iterator[T]:
        cursor = self._query.get("cursor")
        while True:
            page = self._http.json("GET", self._path, {**self._query, "cursor": cursor})
            yield from map(self._wrap, page["data"])
            cursor = page.get("next_cursor")
            if not page.get("has_more") or cursor is None:
                return

    def first(self) -> T | None:
        """The first, where there is one."""
        return next(iter(self), None)

    def _repr_html_(self) -> str:
        things = [thing for thing, _ in zip(self, range(20), strict=False)]
        known = [thing for thing in things if isinstance(thing, Thing)]
        names = list(known[0]._facts()) if known else []
        return _html.grid(["id", *names], [[thing.id, *(thing._facts().get(name) for name in names)] for thing in known])


class Thing(Generic[D]):
    """Something with an id. `data` is what the server told when it was last asked."""

    _path = ""
    _shown: tuple[str, ...] = ()

    def __init__(self, http: Http, data: D) -> None:
        self._http = http
        self.data = data
        self._etag: str | None = None

    @property
    def id(self) -> str:
        """Its id; of what has none, its name."""
        return str(self.data.get("id") or self.data["name"])

    @property
    def name(self) -> str | None:
        """Its name, where it has one."""
        return cast("str | None", self.data.get("name"))

    def refresh(self: Self_) -> Self_:
        """Asks the server anew; an answer that is the same is not sent again."""
        headers = {"If-None-Match": self._etag} if self._etag else {}
        answer = self._http.send("GET", self._path, headers={"Accept": "application/json", **headers}, id=self.id)
        if answer.status_code != 304:
            self.data = answer.json()
            self._etag = answer.headers.get("etag")
        return self

    def _facts(self) -> dict[str, object]:
        return {name: self.data.get(name) for name in self._shown}

    def _amount(self) -> tuple[int, int]:
        return 0, 0

    def __repr__(self) -> str:
        facts = " ".join(f"{name}={value!r}" for name, value in self._facts().items() if value not in (None, "", [], {}))
        return f"<{type(self).__name__} {self.id} {facts}>"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and isinstance(other, Thing) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)

    def _repr_html_(self) -> str:
        return _html.card(f"{type(self).__name__} {self.id}", self._facts(), *self._amount())


Self_ = TypeVar("Self_", bound=Thing[Any])


class Work(Thing[D]):
    """What jobs and experiments have in common: they end some day, and can be stopped before."""

    _endings: tuple[str, ...] = ENDED

    @property
    def state(self) -> str:
        """Where it is, as of the last time that the server was asked."""
        return str(self.data["state"])

    @property
    def ended(self) -> bool:
        """Whether nothing more happens unless somebody asks for it."""
        return self.state in self._endings

    def cancel(self: Work_) -> Work_:
        """Ends it; what it has made stays."""
        return self._do("cancel")

    def pause(self: Work_) -> Work_:
        """Lets it stand still with its state kept."""
        return self._do("pause")

    def resume(self: Work_) -> Work_:
        """Lets it go on from where it stood still."""
        return self._do("resume")

    def retry(self: Work_) -> Work_:
        """Tries again what failed or was cancelled."""
        return self._do("retry")

    def _do(self: Work_, what: str) -> Work_:
        self.data = self._http.json("POST", fill(self._path, id=self.id) + "/" + what)
        self._etag = None
        return self

    def _events(self) -> EventStream | None:
        return None

    def _progress(self) -> tuple[str, int, int, str]:
        raise NotImplementedError

    def _wait(self, bar: bool, timeout: float | None, interval: float) -> None:
        _wait.until(self, _wait.bar(bar), None if self.ended else self._events(), timeout, interval)


Work_ = TypeVar("Work_", bound=Work[Any])


class Job(Work["models.Job"]):
    """A fine-tune, an evaluation, an analysis, or the making of a base model."""

    _path = "/v1/jobs/{id}"
    _shown = ("kind", "name", "state", "phase", "owner", "created_at", "finished_at", "tags")

    @property
    def kind(self) -> str:
        """`finetune`, `evaluate`, `analyze` and so on."""
        return self.data["kind"]

    @property
    def spec(self) -> dict[str, Any]:
        """The body that was posted with its defaults filled in; it can be submitted again."""
        return dict(self.data["spec"])

    @property
    def deduplicated(self) -> bool:
        """Whether it was there before it was submitted."""
        return bool(self.data.get("deduplicated"))

    @property
    def result(self) -> models.JobResult:
        """What it has left behind so far."""
        return self.data["result"]

    def wait(self, *, bar: bool = True, timeout: float | None = None, interval: float = 1.0, check: bool = True) -> Job:
        """Returns when it has ended. With `check` one that failed or was cancelled raises `JobFailed`.

        It follows the job's events, goes on behind the last one after a cut, and polls where there is no stream; a server
        that is away for minutes, as while it is started anew, is waited for.
        """
        self._wait(bar, timeout, interval)
        if check and self.state != "succeeded":
            error = self.data.get("error")
            raise JobFailed(f"{self.id} is {self.state}" + (f": {error['message']}" if error else ""), self.data)
        return self

    def events(self, after: int | None = None, *, follow: bool = False) -> Iterator[models.Event]:
        """What happened to it, oldest first; with `follow` until it ends, across cut connections."""
        if follow:
            return iter(EventStream(self._http, self.id, after))
        return self._past_events(after)

    def _past_events(self, after: int | None) -> Iterator[models.Event]:
        while True:
            page: models.Page_Event = self._http.json("GET", "/v1/jobs/{id}/events", {"after": after}, id=self.id)
            yield from page["data"]
            if not page["has_more"] or not page["data"]:
                return
            after = page["data"][-1]["id"]

    def attempts(self) -> Pages[models.Attempt]:
        """Its executions so far."""
        return Pages(self._http, "/v1/jobs/{id}/attempts", {}, lambda data: cast("models.Attempt", data), id=self.id)

    def metrics(self, *, from_: int | None = None, to: int | None = None, points: int | None = None) -> pd.DataFrame:
        """Loss, learning rate, gradient norm and so on by step."""
        return _frames.metrics(self._metrics(from_, to, points))

    def hold_out(self) -> pd.DataFrame:
        """Loss on the rows kept out, at the steps at which it was measured."""
        return _frames.hold_out(self._metrics(None, None, None))

    def _metrics(self, from_: int | None, to: int | None, points: int | None) -> models.Metrics:
        query = {"from": from_, "to": to, "points": points}
        return cast("models.Metrics", self._http.json("GET", "/v1/jobs/{job}/metrics", query, job=self.id))

    def norms(self, modules: str | Sequence[str] | None = None, *, from_: int | None = None, to: int | None = None,
              points: int | None = None) -> pd.DataFrame:  # fmt: skip
        """Norms of the trained modules, a row a step and module; step 0 is the state before the first update."""
        named = modules if isinstance(modules, str) or modules is None else ",".join(modules)
        query = {"modules": named, "from": from_, "to": to, "points": points}
        return _frames.norms(self._http.json("GET", "/v1/jobs/{job}/lora-norms", query, job=self.id))

    def vectors(self, path: str | Path, *, modules: str | None = None, from_: int | None = None, to: int | None = None,
                every: int | None = None) -> Path:  # fmt: skip
        """Writes the vectors of rank-1 pairs at every step as one safetensors file."""
        query = {"modules": modules, "from": from_, "to": to, "every": every}
        return _files.save(self._http, "/v1/jobs/{job}/vectors", Path(path), query, job=self.id)

    def checkpoints(self) -> list[Checkpoint]:
        """Those that are kept, by step."""
        pages = Pages(self._http, "/v1/jobs/{job}/checkpoints", {}, lambda data: Checkpoint(self._http, data), job=self.id)
        return sorted(pages, key=lambda checkpoint: checkpoint.step)

    def checkpoint(self, step: Step = "final") -> Checkpoint:
        """The one of a step: a number, `"step-40"`, `"final"`, or a checkpoint's id."""
        there = self.checkpoints()
        if step == "final":
            final = self.refresh().result.get("final")
            found = [one for one in there if one.id == final]
        else:
            number = re.fullmatch(r"(?:step-?)?(\d+)", str(step))
            found = [one for one in there if one.id == step or (number is not None and one.step == int(number[1]))]
        if not found:
            steps = ", ".join(str(one.step) for one in there) or "none"
            raise VivariumError(f"{self.id} has no checkpoint {step!r}; there are steps {steps}")
        return found[0]

    def adapter(self, step: Step = "final", folder: str | Path | None = None) -> Path:
        """Downloads a checkpoint as a folder that PEFT reads; without `folder`, into `<job>-step<n>` here.

        Each file is held against its SHA-256. What is there already is not fetched again, and a download that broke off goes on.
        """
        checkpoint = self.checkpoint(step)
        return checkpoint.download(folder if folder is not None else f"{self.id}-step{checkpoint.step}")

    def address(self, step: Step | None = None, scale: float | None = None) -> str:
        """The model name under which the fine-tune's state can be chatted with and evaluated."""
        base = str(self.data["spec"]["base_model"])
        at = "" if step is None or step == "final" else f":step{self.checkpoint(step).step}"
        return f"{base}@{self.id}{at}" + ("" if scale is None else f"*{scale:g}")

    @property
    def evaluation(self) -> Evaluation:
        """The evaluation that an `evaluate` job fills."""
        return Evaluation(self._http, self._http.json("GET", Evaluation._path, evaluation=self._left("evaluation")))

    @property
    def analysis(self) -> Analysis:
        """The analysis that an `analyze` job fills."""
        return Analysis(self._http, self._http.json("GET", Analysis._path, analysis=self._left("analysis")))

    def rates(self, by: str | None = None, **query: object) -> pd.DataFrame:
        """Its evaluation's rates."""
        return self.evaluation.rates(by, **query)

    def answers(self, **query: object) -> pd.DataFrame:
        """Its evaluation's answers."""
        return self.evaluation.answers(**query)

    def transition(self) -> pd.DataFrame:
        """Its analysis' transitions."""
        return self.analysis.transition()

    def _left(self, what: str) -> str:
        left = self.result.get(what) or self.refresh().result.get(what)
        if not left:
            raise VivariumError(f"{self.id} is a {self.kind} job and has no {what}")
        return str(left)

    def _events(self) -> EventStream:
        return EventStream(self._http, self.id)

    def _amount(self) -> tuple[int, int]:
        progress = self.data.get("progress")
        return (progress["done"], progress["total"]) if progress else (0, 0)

    def _progress(self) -> tuple[str, int, int, str]:
        progress = self.data.get("progress")
        doing = self.data.get("phase") or self.state
        waiting = self.data.get("waiting")
        title = f"{self.kind} {self.name or self.id}: {doing}" + (f" ({waiting['reason']})" if waiting else "")
        return title, *self._amount(), progress["unit"] if progress else ""

    def _facts(self) -> dict[str, object]:
        facts = super()._facts()
        waiting, error = self.data.get("waiting"), self.data.get("error")
        facts["waiting"] = f"{waiting['reason']}: {waiting['detail']}" if waiting else None
        facts["error"] = error["message"] if error else None
        return facts


class Checkpoint(Thing["models.Checkpoint"]):
    """A fine-tune's state at a step."""

    _path = "/v1/checkpoints/{checkpoint}"
    _shown = ("job", "step", "kind", "created_at")

    @property
    def step(self) -> int:
        """Updates made."""
        return self.data["step"]

    def refresh(self) -> Checkpoint:
        """Asks the server anew."""
        self.data = self._http.json("GET", self._path, checkpoint=self.id)
        return self

    def download(self, folder: str | Path) -> Path:
        """Brings its files into a folder; each is held against its SHA-256, and one that broke off goes on."""
        path = "/v1/checkpoints/{checkpoint}/files/{name}"
        return _files.fetch_all(self._http, path, self.data["files"], Path(folder), checkpoint=self.id)

    def archive(self, path: str | Path) -> Path:
        """Writes its files as one tar file."""
        return _files.save(self._http, "/v1/checkpoints/{checkpoint}/archive", Path(path), checkpoint=self.id)


class Adapter(Thing["models.Adapter"]):
    """An adapter that somebody handed in."""

    _path = "/v1/adapters/{adapter}"
    _shown = ("name", "base_model", "created_at")

    def refresh(self) -> Adapter:
        """Asks the server anew."""
        self.data = self._http.json("GET", self._path, adapter=self.id)
        return self

    def download(self, folder: str | Path) -> Path:
        """Brings its files into a folder, as a checkpoint's."""
        return _files.fetch_all(self._http, "/v1/adapters/{adapter}/files/{name}", self.data["files"], Path(folder), adapter=self.id)


class Dataset(Thing["models.Dataset"]):
    """Rows to train on."""

    _path = "/v1/datasets/{dataset}"
    _shown = ("name", "examples", "format", "bytes", "twin", "created_at")

    def refresh(self) -> Dataset:
        """Asks the server anew."""
        self.data = self._http.json("GET", self._path, dataset=self.id)
        return self

    @property
    def report(self) -> models.DatasetReport:
        """What was seen while reading it."""
        return self.data["report"]

    def update(self, **fields: object) -> Dataset:
        """Changes what may change, such as `twin`."""
        self.data = self._http.json("PATCH", self._path, json=fields, dataset=self.id)
        return self

    def row(self, number: int, base_model: str | None = None, **query: object) -> models.DatasetRow:
        """A row; with a base model its tokens, and which of them are learned."""
        query = {"base_model": base_model, **query}
        answer = self._http.json("GET", "/v1/datasets/{dataset}/rows/{row}", query, dataset=self.id, row=str(number))
        return cast("models.DatasetRow", answer)

    def download(self, path: str | Path) -> Path:
        """Writes the uploaded bytes to a file."""
        return _files.save(self._http, "/v1/datasets/{dataset}/content", Path(path), dataset=self.id)


class BaseModel(Thing["models.BaseModel"]):
    """Weights that no job changes."""

    _path = "/v1/base-models/{model}"
    _shown = ("name", "state", "family", "parameters", "layers", "hidden_size", "created_at")

    @property
    def state(self) -> str:
        """`registering`, `ready` or `failed`."""
        return self.data["state"]

    def refresh(self) -> BaseModel:
        """Asks the server anew."""
        self.data = self._http.json("GET", self._path, model=self.id)
        return self

    @property
    def job(self) -> Job | None:
        """The job that makes it ready."""
        job = self.data.get("job")
        return Job(self._http, self._http.json("GET", Job._path, id=job)) if job else None

    def wait(self, *, bar: bool = True, timeout: float | None = None, check: bool = True) -> BaseModel:
        """Returns when it is ready; with `check`, one that failed raises `JobFailed`."""
        job = self.job
        if job is not None:
            job.wait(bar=bar, timeout=timeout, check=check)
        return self.refresh()


class QuestionSet(Thing["models.QuestionSet"]):
    """Questions of an evaluation."""

    _path = "/v1/question-sets/{set}"
    _shown = ("name", "description")

    def refresh(self) -> QuestionSet:
        """Asks the server anew."""
        self.data = self._http.json("GET", self._path, set=self.id)
        return self

    def _facts(self) -> dict[str, object]:
        return {**super()._facts(), "questions": [question["id"] for question in self.data["questions"]]}


class Judge(Thing["models.JudgeFacts"]):
    """Who scores answers; evaluations take it by its name."""

    _shown = ("name", "type", "model", "ready", "problem", "caveat")

    def refresh(self) -> Judge:
        """Asks the server anew."""
        page: models.Page_JudgeFacts = self._http.json("GET", "/v1/judges")
        self.data = next((judge for judge in page["data"] if judge["name"] == self.id), self.data)
        return self


class Evaluation(Thing["models.Evaluation"]):
    """Answers, their scores, and how often they are misaligned."""

    _path = "/v1/evaluations/{evaluation}"
    _shown = ("name", "state", "judge", "metrics", "answers", "judged", "errors", "planned", "created_at")

    def refresh(self) -> Evaluation:
        """Asks the server anew."""
        self.data = self._http.json("GET", self._path, evaluation=self.id)
        return self

    @property
    def state(self) -> str:
        """How complete it is; `partial` while a judge's errors are neither retried nor accepted."""
        return self.data["state"]

    def rates(self, by: str | None = None, **query: object) -> pd.DataFrame:
        """Misalignment rates with their intervals, a row a group: `by="target"`, `"target,question"`, `"arm"` …

        `aligned="lt:30"`, `coherent="gt:50"`, `average`, `target` and so on are as in the API.
        """
        query = {"by": by, **query, "format": "csv"}
        return _frames.table(self._http.send("GET", self._path + "/rates", query, evaluation=self.id).text)

    def answers(self, **query: object) -> pd.DataFrame:
        """Every answer with its target and scores; `target`, `question`, `aligned_below`, `contains` … narrow it."""
        query = {**query, "format": "ndjson"}
        return _frames.answers(self._http.send("GET", self._path + "/completions", query, evaluation=self.id).text)

    def completions(self, **query: object) -> Pages[models.Completion]:
        """The same one by one, as the API shows them."""
        return Pages(self._http, self._path + "/completions", query, lambda data: cast("models.Completion", data), evaluation=self.id)

    def compare(self, baseline: str, **query: object) -> models.Comparisons:
        """Each target against one, paired by question."""
        query = {"baseline": baseline, **query}
        return cast("models.Comparisons", self._http.json("GET", self._path + "/compare", query, evaluation=self.id))

    def agreement(self, with_: str, **query: object) -> models.Agreement:
        """How far two judges of the same answers agree."""
        query = {"with": with_, **query}
        return cast("models.Agreement", self._http.json("GET", self._path + "/agreement", query, evaluation=self.id))

    def curve(self, **query: object) -> pd.DataFrame:
        """The rate at every threshold."""
        return _frames.table(self._http.send("GET", self._path + "/curve", {**query, "format": "csv"}, evaluation=self.id).text)

    def export(self, path: str | Path, format: str, **query: object) -> Path:
        """Writes it in another tool's form."""
        return _files.save(self._http, self._path + "/export", Path(path), {"format": format, **query}, evaluation=self.id)

    def rejudge(self, judge: str, **fields: object) -> Job:
        """Lets another judge score the same answers."""
        return Job(self._http, self._http.json("POST", self._path + "/rejudge", json={"judge": judge, **fields}, evaluation=self.id))

    def accept_errors(self) -> Evaluation:
        """Takes the judge's errors for final."""
        self.data = self._http.json("POST", self._path + "/accept-errors", evaluation=self.id)
        return self

    def _amount(self) -> tuple[int, int]:
        return self.data["judged"], self.data["planned"]


class Analysis(Thing["models.AnalysisHead"]):
    """Geometry of runs, and where they turn."""

    _path = "/v1/analyses/{analysis}"
    _shown = ("job", "state", "created_at")

    def refresh(self) -> Analysis:
        """Asks the server anew."""
        self.data = self._http.json("GET", self._path, analysis=self.id)
        return self

    def transition(self) -> pd.DataFrame:
        """A row a marker of each arm and seed: the verdict, the step, its interval, the reasons."""
        return _frames.rows(self.transitions()["rows"])

    def lags(self) -> pd.DataFrame:
        """How much later what a run says turns than its weights."""
        return _frames.rows(self.transitions()["lags"])

    def transitions(self) -> models.Transitions:
        """Both, as the API shows them."""
        return cast("models.Transitions", self._http.json("GET", self._path + "/transition", analysis=self.id))

    def series(self, arm: str | None = None, seed: int | None = None) -> pd.DataFrame:
        """Norms, cosines, components and so on by step."""
        query = {"arm": arm, "seed": seed, "format": "csv"}
        return _frames.table(self._http.send("GET", self._path + "/series", query, analysis=self.id).text)


class Experiment(Work["models.Experiment"]):
    """A question with the jobs that answer it."""

    _path = "/v1/experiments/{id}"
    _shown = ("name", "state", "counts", "reused", "owner", "created_at", "finished_at")
    _endings = ("succeeded", "partial", "failed", "cancelled")

    def wait(self, *, bar: bool = True, timeout: float | None = None, interval: float = 2.0, check: bool = True) -> Experiment:
        """Returns when it has ended; with `check`, one that did not end whole raises `JobFailed`."""
        self._wait(bar, timeout, interval)
        if check and self.state != "succeeded":
            lines = [f"{self.id} is {self.state}: {_html.text(self.data['counts'])}"]
            failed = [(job, job.get("error")) for job in self.jobs()]
            lines += [f"  {job['key']} ({job['job']}): {error['message']}" for job, error in failed if error]
            raise JobFailed("\n".join(lines), cast("dict[str, Any]", self.data))
        return self

    def jobs(self) -> Pages[models.ExperimentJob]:
        """Its jobs with what each is for."""
        return Pages(self._http, self._path + "/jobs", {}, lambda data: cast("models.ExperimentJob", data), id=self.id)

    def graph(self) -> models.Graph:
        """Which job needs which."""
        return cast("models.Graph", self._http.json("GET", self._path + "/graph", id=self.id))

    def add(self, more: Mapping[str, object]) -> Experiment:
        """Adds arms, seeds, checkpoints and so on; the rest stays."""
        self.data = self._http.json("POST", self._path + "/arms", json=more, id=self.id)
        self._etag = None
        return self

    def rates(self, by: str | None = None) -> pd.DataFrame:
        """Rates by arm, seed, step and scale; without `seed` in `by`, mean and t interval over seeds."""
        return _frames.table(self._http.send("GET", self._path + "/rates", {"by": by, "format": "csv"}, id=self.id).text)

    @property
    def analysis(self) -> Analysis:
        """Its analysis."""
        told = self.data.get("analysis") or self.refresh().data.get("analysis")
        if not told or not told.get("analysis"):
            raise VivariumError(f"{self.id} has no analysis yet")
        return Analysis(self._http, self._http.json("GET", Analysis._path, analysis=str(told["analysis"])))

    def transition(self) -> pd.DataFrame:
        """Where its runs turn."""
        return self.analysis.transition()

    def report(self, format: str = "md") -> str:
        """What it found: `md`, `html` or `json`, as text."""
        return self._http.send("GET", self._path + "/report", {"format": format}, id=self.id).text

    def figures(self) -> Pages[models.FigureLine]:
        """The figures that there are."""
        return Pages(self._http, self._path + "/figures", {}, lambda data: cast("models.FigureLine", data), id=self.id)

    def figure(self, file: str, **query: object) -> bytes:
        """A figure's bytes, such as `rates.svg`, `.png` or `.csv`."""
        return self._http.send("GET", self._path + "/figures/{file}", query, id=self.id, file=file).content

    def bundle(self, path: str | Path) -> Path:
        """Writes everything that it found as one zip file, which `vivarium verify` checks."""
        return _files.save(self._http, self._path + "/bundle", Path(path), id=self.id)

    def _amount(self) -> tuple[int, int]:
        return self.data["done"], self.data["total"]

    def _progress(self) -> tuple[str, int, int, str]:
        return f"{self.data['name']}: {self.state}", *self._amount(), "job"
