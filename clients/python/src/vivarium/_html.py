"""How things look in a notebook; every text that comes from the server is escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

__all__ = ["card", "grid"]

CELL = "text-align:left;padding:2px 10px 2px 0;vertical-align:top"


def card(title: str, facts: Mapping[str, object], done: int = 0, total: int = 0) -> str:
    """A title, a bar where there is something to count, and a line a fact."""
    bar = ""
    if total:
        bar = f'<progress value="{done}" max="{total}" style="width:16em"></progress> {done} of {total}'
    lines = "".join(
        f'<tr><th style="{CELL}">{escape(name)}</th><td style="{CELL}">{escape(text(value))}</td></tr>'
        for name, value in facts.items()
        if value not in (None, "", [], {})
    )
    return f"<div><b>{escape(title)}</b> {bar}<table>{lines}</table></div>"


def grid(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """A table with a head."""
    head = "".join(f'<th style="{CELL}">{escape(name)}</th>' for name in columns)
    body = "".join("<tr>" + "".join(f'<td style="{CELL}">{escape(text(value))}</td>' for value in row) + "</tr>" for row in rows)
    return f"<table><tr>{head}</tr>{body}</table>"


def text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(str(one) for one in value)
    return str(value)
