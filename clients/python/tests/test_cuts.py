"""Connections that break, servers that go away and come back."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from conftest import Server, Wire, protocol

from vivarium import BaseModel, Client, Dataset, Job


def test_a_download_goes_on_where_it_broke(wire: Wire, organism: Job, tmp_path: Path) -> None:
    whole = organism.adapter(8, tmp_path / "whole")
    with Client(wire.url) as client:
        checkpoint = client.checkpoints.get(organism.checkpoint(8).id)
        wire.cut()
        wire.cuts = [5_000, 5_000, 7_000]
        folder = checkpoint.download(tmp_path / "cut")
    for path in whole.iterdir():
        assert (folder / path.name).read_bytes() == path.read_bytes()
    assert wire.cuts == [] and not list(folder.glob("*.part"))
    assert any("range: bytes=" in head.lower() for head in wire.heads), wire.heads


def test_a_folder_that_is_whole_is_not_fetched_again_and_a_damaged_file_is(wire: Wire, organism: Job, tmp_path: Path) -> None:
    with Client(wire.url) as client:
        checkpoint = client.checkpoints.get(organism.checkpoint(8).id)
        folder = checkpoint.download(tmp_path)
        before = len(wire.heads)
        checkpoint.download(tmp_path)
        assert len(wire.heads) == before
        config = folder / "adapter_config.json"
        right = config.read_bytes()
        config.write_bytes(b"#" + right[1:])
        checkpoint.download(tmp_path)
        assert len(wire.heads) == before + 1 and config.read_bytes() == right


def test_events_come_once_each_across_cuts(wire: Wire, organism: Job) -> None:
    whole = [event["id"] for event in organism.events()]
    assert whole == sorted(set(whole)) and len(whole) >= 10
    with Client(wire.url) as client:
        job = client.jobs.get(organism.id)
        wire.cut()
        wire.cuts = [1_000, 900, 1_500]
        assert [event["id"] for event in job.events(follow=True)] == whole
        assert [event["id"] for event in job.events(after=whole[3], follow=True)] == whole[4:]
    assert wire.cuts == [] and any("last-event-id:" in head.lower() for head in wire.heads)


def test_a_wait_survives_cut_connections(wire: Wire, base: BaseModel, dataset: Dataset) -> None:
    over = threading.Event()

    def saw() -> None:
        while not over.wait(0.3):
            wire.cut()

    with Client(wire.url) as client:
        job = client.jobs.finetune(**protocol(base, dataset, 600, seed=3, checkpoints={"every": 300}))
        thread = threading.Thread(target=saw)
        thread.start()
        try:
            assert job.wait(bar=False, interval=0.1, timeout=120).state == "succeeded"
        finally:
            over.set()
            thread.join()
    assert not [one for one in threading.enumerate() if one.name == "vivarium-events" and one.is_alive()]


def test_a_wait_outlives_the_server(wire: Wire, server: Server, base: BaseModel, dataset: Dataset) -> None:
    with Client(wire.url, retries=1) as client:
        job = client.jobs.finetune(**protocol(base, dataset, 3_000, seed=4, checkpoints={"every": 500}))
        ended: list[str] = []
        thread = threading.Thread(target=lambda: ended.append(job.wait(bar=False, interval=0.2, timeout=240).state))
        thread.start()
        time.sleep(0.7)
        server.stop()
        assert not ended
        server.start()
        thread.join(timeout=240)
        assert ended == ["succeeded"]
        assert list(job.metrics().index) == list(range(1, 3_001))


