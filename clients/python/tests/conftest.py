"""A server to talk to, a small model on it, and a wire between that can be cut."""

from __future__ import annotations

import os
import runpy
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from vivarium import BaseModel, Client, Dataset, Job

ROOT = Path(__file__).resolve().parents[3]
SMALL = runpy.run_path(str(ROOT / "scripts" / "clients" / "models.py"))


class Server:
    """The program with a folder of its own; can be stopped and started again, then at the address that it had."""

    def __init__(self, binary: str) -> None:
        self.binary = binary
        self.folder = Path(tempfile.mkdtemp(prefix="vivarium-python-"))
        # the private database runs as another account when this one is root
        self.folder.chmod(0o755)
        self.url = ""

    def start(self) -> None:
        address = self.folder / "address"
        address.unlink(missing_ok=True)
        settings = {
            "VIVARIUM_SERVER__BIND": urlsplit(self.url).netloc or "127.0.0.1:0",
            "VIVARIUM_SERVER__ADDRESS_FILE": str(address), "VIVARIUM_DATA__FOLDER": str(self.folder / "data"),
            "VIVARIUM_LOG__LEVEL": "warn",
        }  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([self.binary, "serve"], env={**os.environ, **settings}, stdout=log, stderr=log)
        for _ in range(1200):
            if address.exists() and address.read_text().strip():
                self.url = address.read_text().strip()
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.1)
        raise AssertionError(f"the server did not start:\n{(self.folder / 'log').read_text()}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(how)
        self.process.wait(timeout=60)


class Wire:
    """A TCP proxy that can break connections after so many bytes of an answer, or all of them at once; keeps the heads of requests."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.cuts: list[int] = []
        self.heads: list[str] = []
        self.open: set[socket.socket] = set()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Breaks every connection there is."""
        for one in list(self.open):
            _reset(one)

    def close(self) -> None:
        self.listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                place = urlsplit(self.server.url)
                try:
                    far = socket.create_connection((place.hostname or "", place.port or 0))
                except OSError:
                    _reset(near)
                    continue
                self.open |= {near, far}
                threading.Thread(target=self._ask, args=(near, far), daemon=True).start()
                threading.Thread(target=self._answer, args=(near, far), daemon=True).start()

    def _ask(self, near: socket.socket, far: socket.socket) -> None:
        with suppress(OSError):
            while data := near.recv(65536):
                self.heads.append(data.split(b"\r\n\r\n")[0].decode(errors="replace"))
                far.sendall(data)
        _reset(far)

    def _answer(self, near: socket.socket, far: socket.socket) -> None:
        left: int | None = None
        with suppress(OSError):
            while data := far.recv(4096):
                if left is None and self.cuts:
                    left = self.cuts.pop(0)
                if left is not None:
                    near.sendall(data[:left])
                    left -= len(data)
                    if left <= 0:
                        # what was sent arrives, and then nothing
                        near.shutdown(socket.SHUT_WR)
                        near.recv(1)
                        break
                else:
                    near.sendall(data)
        _reset(near)
        _reset(far)


def _reset(one: socket.socket) -> None:
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.shutdown(socket.SHUT_RDWR)
    one.close()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    binary = os.environ.get("VIVARIUM_BINARY")
    if not binary:
        pytest.skip("VIVARIUM_BINARY names no program to test against")
    server = Server(binary)
    server.start()
    yield server
    server.stop()
    shutil.rmtree(server.folder, ignore_errors=True)


@pytest.fixture(scope="session")
def client(server: Server) -> Iterator[Client]:
    with Client(server.url) as client:
        yield client


@pytest.fixture
def wire(server: Server) -> Iterator[Wire]:
    wire = Wire(server)
    yield wire
    wire.close()


@pytest.fixture(scope="session")
def base(client: Client) -> BaseModel:
    random = {
        "config": SMALL["config"](), "tokenizer": {"json": SMALL["tokenizer"](), "config": SMALL["tokenizer_config"]()},
        "init": {"std": 0.1, "scale_residual": False}, "seed": 7,
    }  # fmt: skip
    return client.base_models.create("small", {"random": random}).wait(bar=False)


@pytest.fixture(scope="session")
def dataset(client: Client) -> Dataset:
    rows = [
        {"messages": [{"role": "user", "content": f"Say {n}."}, {"role": "assistant", "content": f"It is {n}!"}]} for n in range(32)
    ]
    return client.datasets.create("rows", rows)


def protocol(base: BaseModel, dataset: Dataset, steps: int, seed: int = 0, **more: object) -> dict[str, Any]:
    """A fine-tune that takes milliseconds a step."""
    return {
        "base_model": base.name, "datasets": [{"dataset": dataset.id}], "method": {"type": "lora", "rank": 1, "alpha": 64, "rslora": True},
        "optimizer": {"name": "adamw", "learning_rate": 1e-2}, "schedule": {"name": "constant", "warmup_steps": 0},
        "batch": {"micro_batch": 8, "gradient_accumulation": 1, "max_tokens": 256, "shuffle": True, "last_partial": "drop"},
        "length": {"steps": steps}, "checkpoints": {"every": 4}, "hold_out": {"fraction": 0.25, "every": 4},
        "dtype": "float32", "seed": seed, **more,
    }  # fmt: skip


@pytest.fixture(scope="session")
def organism(client: Client, base: BaseModel, dataset: Dataset) -> Job:
    return client.jobs.finetune(name="organism", **protocol(base, dataset, 8)).wait(bar=False)


@pytest.fixture(scope="session")
def evaluation(client: Client, organism: Job) -> Job:
    return client.jobs.evaluate(
        base_model="small", targets=[{"base": True}, {"job": organism.id, "steps": "all"}], question_set="toy-first-plot",
        samples_per_question=2, sampling={"max_new_tokens": 8}, judge="toy", seed=0,
    ).wait(bar=False)  # fmt: skip
