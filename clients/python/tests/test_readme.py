"""The README's notebook, cell by cell, on a small base."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import Server

from vivarium import BaseModel


def test_the_readmes_notebook_runs(server: Server, base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIVARIUM_BASE_URL", server.url)
    monkeypatch.chdir(tmp_path)
    cells = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(cells) == 6
    notebook: dict[str, object] = {}
    for cell in cells:
        # another base, fewer answers, and no plots, which would need one more package
        cell = cell.replace("toy-base-s0", str(base.name)).replace("samples_per_question=20", "samples_per_question=2")
        exec(re.sub(r"\.plot\(.*\)", "", cell), notebook)
    assert (tmp_path / "my-adapter" / "adapter_model.safetensors").is_file()
