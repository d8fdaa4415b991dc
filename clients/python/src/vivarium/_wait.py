"""Waiting until something ends: events wake it, polling carries it, a bar shows it."""

from __future__ import annotations

import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any, Protocol

from ._events import EventStream, quiet
from .errors import ConnectionFailed, WaitTimeout

__all__ = ["Progress", "until", "Awaited"]

# Seconds for which a server may be away, as while it is started anew.
PATIENCE = 600.0


class Progress(Protocol):
    """Shows how far something is."""

    def show(self, title: str, done: int, total: int, unit: str) -> None:
        """Shows it anew."""

    def close(self) -> None:
        """Shows no more."""


class Awaited(Protocol):
    """Something that ends some day."""

    @property
    def id(self) -> str: ...

    @property
    def ended(self) -> bool: ...

    def refresh(self) -> Any: ...

    def _progress(self) -> tuple[str, int, int, str]: ...


class Quiet:
    """No bar."""

    def show(self, title: str, done: int, total: int, unit: str) -> None:
        """Shows nothing."""

    def close(self) -> None:
        """Nothing to end."""


class Line:
    """One line on a terminal that is written over."""

    def show(self, title: str, done: int, total: int, unit: str) -> None:
        share = done / total if total else 0.0
        sys.stderr.write(f"\r\x1b[K{title}  [{'#' * int(24 * share):<24}] {done}/{total} {unit}")
        sys.stderr.flush()

    def close(self) -> None:
        sys.stderr.write("\n")


class Tqdm:
    """tqdm's bar: a widget in a notebook, a line elsewhere."""

    def __init__(self, tqdm: Any) -> None:
        self.tqdm = tqdm
        self.bar: Any = None

    def show(self, title: str, done: int, total: int, unit: str) -> None:
        if self.bar is None:
            self.bar = self.tqdm(total=total, unit=unit, desc=title)
        self.bar.total, self.bar.unit, self.bar.n = total, unit, done
        self.bar.set_description_str(title, refresh=False)
        self.bar.refresh()

    def close(self) -> None:
        if self.bar is not None:
            self.bar.close()


def bar(wanted: bool) -> Progress:
    """The best bar that there is; tqdm is used where it is installed."""
    if not wanted:
        return Quiet()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from tqdm.auto import tqdm

            return Tqdm(tqdm)
    except ImportError:
        return Line() if sys.stderr.isatty() else Quiet()


class Follower:
    """Reads a stream in the background and rings at each event."""

    def __init__(self, stream: EventStream) -> None:
        self.stream = stream
        self.news = threading.Event()
        self.thread = threading.Thread(target=self._read, daemon=True, name="vivarium-events")
        self.thread.start()

    def _read(self) -> None:
        for _ in quiet(self.stream):
            self.news.set()
        self.news.set()

    def wait(self, seconds: float) -> None:
        if self.thread.is_alive():
            if self.news.wait(seconds):
                # events come in bursts; one look is enough for them all
                time.sleep(0.05)
            self.news.clear()
        else:
            time.sleep(seconds)

    def close(self) -> None:
        self.stream.close()
        self.thread.join(timeout=2)


def until(
    thing: Awaited,
    shown: Progress,
    stream: EventStream | None,
    timeout: float | None,
    interval: float,
    patience: float = PATIENCE,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Returns when it has ended. A server that is away is waited for as long as `patience` says."""
    follower = Follower(stream) if stream else None
    began = heard = clock()
    try:
        while True:
            try:
                thing.refresh()
                heard = clock()
            except ConnectionFailed:
                if clock() - heard > patience:
                    raise
            shown.show(*thing._progress())
            if thing.ended:
                return
            left = interval if timeout is None else min(interval, timeout - (clock() - began))
            if left <= 0:
                raise WaitTimeout(f"{thing.id} has not ended after {timeout:g} s; it goes on")
            if follower:
                follower.wait(left)
            else:
                time.sleep(left)
    finally:
        if follower:
            follower.close()
        shown.close()
