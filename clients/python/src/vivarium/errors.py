"""What can go wrong, as the server tells it: place, value, remedy."""

from __future__ import annotations

import json
from typing import Any, cast

import httpx

from .models import FieldError, Job

__all__ = ["VivariumError", "ConnectionFailed", "JobFailed", "WaitTimeout", "BrokenDownload"]


class VivariumError(Exception):
    """A request that the server refused, or whose answer never came.

    `status` and `code` are the answer's (nothing where there was none), `errors` has an entry with `pointer` or `line` for each
    value that is wrong, `hint` is the first remedy among them, `request_id` stands in the server's log.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int | None = None,
        code: str | None = None,
        errors: list[FieldError] | None = None,
        retryable: bool = False,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.detail = detail
        self.status = status
        self.code = code
        self.errors: list[FieldError] = errors or []
        self.retryable = retryable
        self.request_id = request_id
        self.retry_after = retry_after
        super().__init__(self._text())

    @property
    def hint(self) -> str | None:
        """The first remedy that the server names."""
        return next((error["hint"] for error in self.errors if error.get("hint")), None)

    @property
    def pointer(self) -> str | None:
        """Where the first wrong value stands in the body."""
        return next((error["pointer"] for error in self.errors if error.get("pointer") is not None), None)

    def _text(self) -> str:
        told = f"{self.code} ({self.status}): {self.detail}" if self.code else self.detail
        lines = [told, *(_line(error) for error in self.errors)]
        if self.request_id:
            lines.append(f"  request {self.request_id}")
        return "\n".join(lines)


class ConnectionFailed(VivariumError):
    """The server could not be reached, or the connection broke, as often as it was tried."""


class JobFailed(VivariumError):
    """A job or an experiment that was waited for ended otherwise than well; `job` is what the server tells of it."""

    def __init__(self, detail: str, job: Job | dict[str, Any]) -> None:
        self.job = job
        super().__init__(detail)


class WaitTimeout(VivariumError, TimeoutError):
    """The time to wait is over; the job goes on."""


class BrokenDownload(VivariumError):
    """The bytes that came are not those that the server's hash names."""


def _line(error: FieldError) -> str:
    place = error.get("pointer") or ""
    if error.get("line") is not None:
        place = f"line {error['line']} {place}".rstrip()
    hint = f" ({error['hint']})" if error.get("hint") else ""
    return f"  {place or 'body'}: {error['detail']}{hint}"


def from_response(response: httpx.Response) -> VivariumError:
    """The error that a refused request's answer tells; its body must have been read."""
    try:
        body = json.loads(response.content)
    except ValueError:
        body = None
    facts: dict[str, Any] = body if isinstance(body, dict) else {}
    if isinstance(facts.get("error"), dict):
        facts = _as_problem(facts["error"])
    detail = facts.get("detail") or facts.get("title") or response.text[:500] or response.reason_phrase
    return VivariumError(
        str(detail),
        status=response.status_code,
        code=cast("str | None", facts.get("code")) or f"http_{response.status_code}",
        errors=cast("list[FieldError]", facts.get("errors") or []),
        retryable=bool(facts.get("retryable", response.status_code in (429, 502, 503, 504))),
        request_id=facts.get("request_id") or response.headers.get("x-request-id"),
        retry_after=_retry_after(response),
    )


def _as_problem(error: dict[str, Any]) -> dict[str, Any]:
    """An error in the form of OpenAI's API, as those under `/openai` are."""
    place = {"pointer": "/" + str(error["param"]).replace(".", "/"), "detail": error.get("message", "")} if error.get("param") else None
    return {"detail": error.get("message"), "code": error.get("code") or error.get("type"), "errors": [place] if place else []}


def _retry_after(response: httpx.Response) -> float | None:
    try:
        return max(0.0, float(response.headers["retry-after"]))
    except (KeyError, ValueError):
        return None
