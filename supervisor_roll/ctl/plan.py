"""From a dry run's report to what an operator reads before the real one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_INDENT = "    "
# A preflight's text is a line and the end of what it printed.
_TEXT_LINES = 14


def plan_texts(facts: Mapping[str, Any]) -> list[str]:
    """What a rollout would do, cost and take. A fact that is missing or strange breaks no line.

    The first line continues "program: "; nothing is cleaned of control characters yet.
    """
    workers, desired = _count(facts, "workers"), _count(facts, "desired")
    surge, unavailable = _count(facts, "max_surge"), _count(facts, "max_unavailable")
    lines = [f"would replace {_noun(workers, 'worker')}, {_steps(surge, unavailable)}",
             f"{_INDENT}serving    never fewer than {max(0, desired - unavailable)} ready, never"
             f" more than {desired + surge} running{_now(facts, desired)}",
             f"{_INDENT}health     {_health(facts)}",
             f"{_INDENT}duration   {_duration(facts)}",
             *_memory(facts.get("memory")),
             *_preflight(facts.get("preflight"))]
    return [*lines, f"{_INDENT}nothing was touched; {_next_step(facts)}"]


def plan_objects(facts: Mapping[str, Any]) -> bool:
    """Whether the dry run found what speaks against the rollout."""
    preflight = facts.get("preflight")
    return isinstance(preflight, Mapping) and preflight.get("ok") is not True


def _steps(surge: int, unavailable: int) -> str:
    if surge and unavailable:
        return (f"with up to {surge} more than now, and up to {unavailable} stopped"
                " before the replacement is ready")
    if surge:
        return (f"{surge} at a time: the new one starts and must be ready before an old one"
                " stops" if surge == 1 else
                f"up to {surge} at a time: new ones start and must be ready before old ones stop")
    return f"{unavailable} at a time, in place: an old one stops before the new one starts"


def _now(facts: Mapping[str, Any], desired: int) -> str:
    ready = _count(facts, "ready")
    return f"; only {ready} of {desired} ready now" if ready < desired else ""


def _health(facts: Mapping[str, Any]) -> str:
    path = _text(facts, "health")
    if not path:
        return ("no check is configured: a worker counts as ready once it accepts"
                " (health= in its [roll:] section)")
    return f"each new worker must answer {path} before it takes a request"


def _duration(facts: Mapping[str, Any]) -> str:
    boot_secs = _number(facts, "boot_secs")
    if not boot_secs:
        return "not known: no boot of a present worker was measured"
    return (f"about {_secs(_number(facts, 'estimated_secs'))}, at {_secs(boot_secs)} a boot"
            " and not counting requests that last")


def _memory(memory: object) -> list[str]:
    if not isinstance(memory, Mapping):
        return [f"{_INDENT}memory     not measured"]
    lines = [f"{_INDENT}memory     {_text(memory, 'text')}"]
    if memory.get("fits") is not True:
        lines.append(f"{_INDENT}           THIS DOES NOT FIT: free some, or roll in place with"
                     " --max-surge 0 --max-unavailable 1")
    return lines


def _preflight(preflight: object) -> list[str]:
    if not isinstance(preflight, Mapping):
        return [f"{_INDENT}preflight  not made: whether the application loads is not known"]
    text = [line.rstrip() for line in _text(preflight, "text").splitlines() if line.strip()]
    if preflight.get("ok") is True:
        return [f"{_INDENT}preflight  the application loads"
                f" ({_secs(_number(preflight, 'secs'))})"]
    first, *more = text or ["it did not say why"]
    return [f"{_INDENT}preflight  THE APPLICATION DOES NOT LOAD: {first.strip()}",
            *(f"{_INDENT * 2}{line}" for line in more[-_TEXT_LINES:])]


def _next_step(facts: Mapping[str, Any]) -> str:
    if plan_objects(facts):
        return "as it is, the rollout would fail with its first worker"
    return "to do it, run rollrestart without --dry-run"


def _number(facts: Mapping[str, Any], key: str) -> float:
    value = facts.get(key)
    return value if isinstance(value, int | float) else 0


def _count(facts: Mapping[str, Any], key: str) -> int:
    return int(_number(facts, key))


def _text(facts: Mapping[str, Any], key: str) -> str:
    value = facts.get(key)
    return value if isinstance(value, str) else ""


def _noun(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _secs(secs: float) -> str:
    return f"{secs:.2f} s" if secs < 10 else f"{secs:.0f} s"
