"""The way in: one server, one key."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Any

import httpx

from . import _resources, models
from ._http import Http, Query

__all__ = ["Client"]

DEFAULT_URL = "http://127.0.0.1:8080"


class Client:
    """A Vivarium server.

    `base_url` is `VIVARIUM_BASE_URL` where it is not given, else `VIVARIUM_SERVER`, else the server on this machine;
    `api_key` is `VIVARIUM_API_KEY`. Reads and whatever carries a key of its own are tried again `retries` times, after as
    long as the server asks for. A client may be shared between threads.
    """

    def __init__(self, base_url: str | None = None, api_key: str | None = None, *, timeout: float = 60.0, retries: int = 5,
                 transport: httpx.BaseTransport | None = None) -> None:  # fmt: skip
        url = base_url or os.environ.get("VIVARIUM_BASE_URL") or os.environ.get("VIVARIUM_SERVER") or DEFAULT_URL
        key = api_key or os.environ.get("VIVARIUM_API_KEY")
        self._http = Http(url, key, timeout, retries, transport)
        self.base_url = url
        self.datasets = _resources.Datasets(self._http)
        self.base_models = _resources.BaseModels(self._http)
        self.adapters = _resources.Adapters(self._http)
        self.question_sets = _resources.QuestionSets(self._http)
        self.judges = _resources.Judges(self._http)
        self.jobs = _resources.Jobs(self._http)
        self.experiments = _resources.Experiments(self._http)
        self.evaluations = _resources.Evaluations(self._http)
        self.analyses = _resources.Analyses(self._http)
        self.checkpoints = _resources.Checkpoints(self._http)
        self.chat = _resources.Chat(self._http)

    def version(self) -> models.Version:
        """What the server is."""
        version: models.Version = self._http.json("GET", "/version")
        return version

    def devices(self) -> list[models.Device]:
        """Where it computes, and what is in memory."""
        page: models.Page_Device = self._http.json("GET", "/v1/devices")
        return page["data"]

    def request(self, method: str, path: str, query: Query | None = None, *, json: object = None) -> Any:
        """Any other route's JSON, with the same key, retries and errors."""
        return self._http.json(method, path, query, json=json)

    def close(self) -> None:
        """Ends its connections."""
        self._http.pool.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client {self.base_url}>"
