"""Requests that are tried again: when, how often, and with which key; knows no route."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx

from .errors import ConnectionFailed, VivariumError, from_response

__all__ = ["Body", "Http", "Query", "fill", "pause"]

Query = Mapping[str, object]
# Makes a request's body anew for each try: httpx' arguments `content` or `files` and `data`.
Body = Callable[[], dict[str, Any]]
TRY_AGAIN = (429, 502, 503, 504)
LONGEST_PAUSE = 60.0


class Http:
    """One server, one key, one pool of connections. Safe to share between threads."""

    def __init__(self, base_url: str, api_key: str | None, timeout: float, retries: int, transport: httpx.BaseTransport | None) -> None:
        headers = {"User-Agent": "vivarium-python/0.1.0"}
        if api_key:
            headers["Authorization"] = f"Bearer {api_key}"
        self.retries = retries
        self.timeout = timeout
        self.pool = httpx.Client(base_url=base_url.rstrip("/"), headers=headers, timeout=timeout, transport=transport)

    def json(self, method: str, path: str, /, query: Query | None = None, *, json: object = None, body: Body | None = None,
             headers: Mapping[str, str] | None = None, **place: str) -> Any:  # fmt: skip
        """The answer's JSON."""
        return self.send(method, path, query, json=json, body=body, headers={"Accept": "application/json", **(headers or {})}, **place).json()

    def send(self, method: str, path: str, /, query: Query | None = None, *, json: object = None, body: Body | None = None,
             headers: Mapping[str, str] | None = None, **place: str) -> httpx.Response:  # fmt: skip
        """A read answer of a kind 2xx or 304. `{name}` in the path is filled from the arguments."""
        for response in self._tries(method, path, query, json, body, headers, place, stream=False):
            return response
        raise AssertionError("a try ends in an answer or an error")

    @contextmanager
    def stream(self, method: str, path: str, /, query: Query | None = None, *, json: object = None,
               headers: Mapping[str, str] | None = None, read_timeout: float | None = None, **place: str) -> Iterator[httpx.Response]:  # fmt: skip
        """An answer that is still to be read. What breaks while it is read is for the caller to take up again."""
        tries = self._tries(method, path, query, json, None, headers, place, stream=True, read_timeout=read_timeout)
        response = next(tries)
        try:
            yield response
        finally:
            response.close()

    def _tries(self, method: str, path: str, query: Query | None, json: object, body: Body | None, headers: Mapping[str, str] | None,
               place: Mapping[str, str], *, stream: bool, read_timeout: float | None = None) -> Iterator[httpx.Response]:  # fmt: skip
        """Yields the one answer, after as many tries as it takes."""
        url = fill(path, **place)
        head = dict(headers or {})
        if method == "POST" and not path.startswith("/openai/"):
            head.setdefault("Idempotency-Key", str(uuid.uuid4()))
        repeatable = method in ("GET", "HEAD", "PUT", "DELETE") or "Idempotency-Key" in head
        timeout = httpx.Timeout(self.timeout, read=read_timeout) if read_timeout else httpx.Timeout(self.timeout)
        for tried in range(self.retries + 1):
            try:
                arguments = body() if body else ({"json": json} if json is not None else {})
                request = self.pool.build_request(method, url, params=parameters(query) or None, headers=head, timeout=timeout, **arguments)
                response = self.pool.send(request, stream=stream)
                if response.is_success or response.status_code == 304:
                    yield response
                    return
                response.read()
                response.close()
                error: VivariumError = from_response(response)
                again = response.status_code in TRY_AGAIN and (repeatable or response.status_code in (429, 503))
                again = again or (error.retryable and error.retry_after is not None and repeatable)
            except httpx.TransportError as broken:
                error = ConnectionFailed(f"{method} {self.pool.base_url.join(url)}: {broken or type(broken).__name__}", retryable=True)
                error.__cause__ = broken
                again = repeatable or isinstance(broken, (httpx.ConnectError, httpx.ConnectTimeout))
            if not again or tried == self.retries:
                raise error
            time.sleep(pause(tried, error.retry_after))


def fill(path: str, **place: str) -> str:
    """A path with the values in their places."""
    return path.format(**{name: quote(str(value), safe="") for name, value in place.items()}) if place else path


def pause(tried: int, asked: float | None = None) -> float:
    """Seconds until the next try: what the server asks for, else twice as long each time, not in step with others."""
    if asked is not None:
        return min(asked, LONGEST_PAUSE)
    return float(min(0.25 * 2**tried, 10.0) * random.uniform(0.5, 1.0))


def parameters(query: Query | None) -> httpx.QueryParams:
    """What is nothing is left out, several are repeated, `from_` is `from`."""
    pairs: list[tuple[str, str | int | float | bool | None]] = []
    for name, value in (query or {}).items():
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if one is not None:
                pairs.append((name.rstrip("_"), str(one).lower() if isinstance(one, bool) else str(one)))
    return httpx.QueryParams(pairs)
