"""A job's events as they come: reads server-sent events and goes on behind the last one after a cut."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import httpx

from ._http import Http, pause
from .errors import ConnectionFailed, VivariumError
from .models import Event

__all__ = ["EventStream", "messages"]

# The server says something at least this often, in seconds; silence for longer is a cut that nobody told.
SILENCE = 60.0


@dataclass
class Message:
    """One message of a stream."""

    event: str = "message"
    data: str = ""
    id: str | None = None
    retry: int | None = None


def messages(lines: Iterable[str]) -> Iterator[Message]:
    """The messages in a stream's lines. One that was cut off before its empty line is not one."""
    now, data = Message(), list[str]()
    for line in lines:
        if not line:
            if data or now.retry is not None:
                now.data = "\n".join(data)
                yield now
            now, data = Message(), []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            now.event = value
        elif field == "id":
            now.id = value
        elif field == "retry" and value.isdigit():
            now.retry = int(value)


class EventStream:
    """Iterates over what happens to a job until it has ended; `close` ends it from any thread."""

    def __init__(self, http: Http, job: str, after: int | None = None) -> None:
        self._http = http
        self._job = job
        self.last = after
        self._pause: float | None = None
        self._closed = False
        self._response: httpx.Response | None = None

    def __iter__(self) -> Iterator[Event]:
        failures = 0
        while not self._closed:
            try:
                for event in self._connection():
                    failures = 0
                    if event is None:
                        return
                    yield event
                error = ConnectionFailed(f"the stream of {self._job} broke off", retryable=True)
            except httpx.TransportError as broken:
                error = ConnectionFailed(f"the stream of {self._job} broke: {broken or type(broken).__name__}", retryable=True)
            failures += 1
            if failures > self._http.retries and not self._closed:
                raise error
            if not self._closed:
                time.sleep(pause(failures - 1, self._pause if failures == 1 else None))

    def close(self) -> None:
        """Ends the iteration; a reader that waits for bytes is woken."""
        self._closed = True
        if self._response is not None:
            with suppress(Exception):
                self._response.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    def _connection(self) -> Iterator[Event | None]:
        """What one connection brings; nothing in its place once the server says that there is no more."""
        headers = {"Accept": "text/event-stream"}
        if self.last is not None:
            headers["Last-Event-ID"] = str(self.last)
        with self._http.stream("GET", "/v1/jobs/{id}/events", headers=headers, read_timeout=SILENCE, id=self._job) as response:
            self._response = response
            for message in messages(response.iter_lines()):
                if message.retry is not None:
                    self._pause = message.retry / 1000
                if message.event == "end":
                    yield None
                    return
                if message.data:
                    event: Event = json.loads(message.data)
                    self.last = event["id"]
                    yield event


def quiet(stream: EventStream) -> Iterator[Event]:
    """The stream without its failure: for those who have another way to learn what happens."""
    with suppress(VivariumError):
        yield from stream
