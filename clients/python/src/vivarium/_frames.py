"""Answers as pandas frames; pandas is asked for when the first frame is."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .models import Completion, LoraNorms, Metrics

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["metrics", "hold_out", "norms", "table", "answers", "rows"]


# Columns stand as in the server's CSV; what is not listed comes behind.
ORDER = (
    "loss", "learning_rate", "a_norm", "b_norm", "ba_norm", "change_norm", "a_grad_norm", "b_grad_norm", "grad_norm", "b_cosine_previous",
    "change_cosine_previous", "stable_rank", "target_tokens", "tokens_per_second",
)  # fmt: skip


def _ordered(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as missing:
        raise ImportError("frames need pandas: pip install 'vivarium[pandas]'") from missing
    return pandas


def metrics(told: Metrics) -> pd.DataFrame:
    """A row a step, a column a series."""
    pandas = _pandas()
    series = {name: told["series"][name] for name in _ordered(told["series"])}
    frame: pd.DataFrame = pandas.DataFrame(series, index=pandas.Index(told["steps"], name="step"), dtype="float64")
    return frame


def hold_out(told: Metrics) -> pd.DataFrame:
    """The hold-out loss by step."""
    pandas = _pandas()
    held = told["hold_out"]
    frame: pd.DataFrame = pandas.DataFrame({"loss": held["loss"]}, index=pandas.Index(held["steps"], name="step"), dtype="float64")
    return frame


def norms(told: LoraNorms) -> pd.DataFrame:
    """A row a step and module, as in the server's CSV; what does not exist is NaN."""
    pandas = _pandas()
    modules, steps, series = told["modules"], told["steps"], told["series"]
    count = len(steps)
    columns: dict[str, Any] = {
        "step": [step for step in steps for _ in modules],
        "module": [module["name"] for module in modules] * count,
        "layer": pandas.array([module.get("layer") for module in modules] * count, dtype="Int64"),
        "projection": [module.get("projection") for module in modules] * count,
    }
    for name in _ordered(series):
        values = series[name]
        flat = [values[place][row] for row in range(count) for place in range(len(modules))]
        columns[name] = pandas.array(flat, dtype="Float64").to_numpy(dtype="float64", na_value=float("nan"))
    frame: pd.DataFrame = pandas.DataFrame(columns)
    return frame


def table(csv: str) -> pd.DataFrame:
    """A CSV of the server: only an empty field is missing, so that no word is taken for a gap."""
    pandas = _pandas()
    # before its third version pandas read the last digits of a number only when it was asked to
    exact = {"float_precision": "round_trip"} if int(pandas.__version__.split(".")[0]) < 3 else {}
    frame: pd.DataFrame = pandas.read_csv(io.StringIO(csv), keep_default_na=False, na_values=[""], **exact)
    return frame


def answers(lines: str) -> pd.DataFrame:
    """A row an answer: its target's fields, the answer, and for each metric its score and why there is none."""
    return rows(_answer(json.loads(line)) for line in lines.split("\n") if line)


def _answer(told: Completion) -> dict[str, Any]:
    row: dict[str, Any] = dict(told["target"])
    row.update({key: value for key, value in told.items() if key not in ("target", "scores", "unscored", "labels")})
    row.update(told["scores"])
    row.update({f"{metric}_unscored": cause for metric, cause in told["unscored"].items()})
    row.update({f"{metric}_label": word for metric, word in told.get("labels", {}).items()})
    return row


def rows(told: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """A row an object; intervals become two columns, `_low` and `_high`."""
    flat = []
    for one in told:
        row: dict[str, Any] = {}
        for key, value in one.items():
            if key == "interval":
                row["interval_low"], row["interval_high"] = value if value else (None, None)
            else:
                row[key] = value
        flat.append(row)
    frame: pd.DataFrame = _pandas().DataFrame(flat)
    return frame
