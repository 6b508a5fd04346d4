"""From a dry run's report to what an operator reads before the real one. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from supervisor_roll.ctl.render.text import INDENT, Facts, count, with_why
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire import successor

# A preflight's text is a line and the end of what it printed.
_TEXT_LINES = 14
_EFFECTS = {
    successor.LIVE: "applies at once",
    wire.WORKERS: "needs a worker rollout",
    successor.NEEDS_ARBITER: "needs an arbiter rollout",
    successor.NEEDS_UPDATE: "refused: only supervisorctl update applies it, with downtime",
}


def plan_texts(found: Mapping[str, Any]) -> list[str]:
    """What a rollout would do, cost and take. A fact that is missing or strange breaks no line.

    The first line continues "program: "; nothing is cleaned of control characters yet.
    """
    facts = Facts(found)
    if facts.text("refused"):
        lines = [
            *with_why("would be refused:", facts.text("refused")),
            *_strategy(facts),
            *_changes(facts),
        ]
    else:
        desired, surge = facts.count("desired"), facts.count("max_surge")
        if _of_arbiter(facts):
            surge = max(surge, 1)  # an arbiter has at least one worker
        least = max(0, desired - facts.count("max_unavailable"))
        lines = [
            _replaces(facts, surge),
            *_strategy(facts),
            *_changes(facts),
            _line(
                "serving",
                f"never fewer than {least} ready, never more than"
                f" {desired + surge} running{_now(facts, desired)}",
            ),
            _line("health", _health(facts)),
            _line("duration", _duration(facts)),
            *_memory(found.get("memory")),
            *_processes(found.get("processes")),
            *_preflight(found.get("preflight")),
        ]
    # A preflight runs what the program runs, gunicorn.conf.py and start scripts too.
    ran = found.get("preflight") is not None
    touched = "replaced, its command was run once for the preflight" if ran else "touched or run"
    return [*lines, f"{INDENT}nothing was {touched}; {_next_step(facts)}"]


def plan_objects(facts: Mapping[str, Any]) -> bool:
    """Whether the dry run found what speaks against the rollout."""
    return bool(Facts(facts).text("refused")) or _does_not_load(facts.get("preflight"))


def _does_not_load(preflight: object) -> bool:
    return isinstance(preflight, Mapping) and preflight.get("ok") is not True


def _line(about: str, text: str) -> str:
    return f"{INDENT}{about.ljust(9)}  {text}"


def _of_arbiter(facts: Facts) -> bool:
    return facts.text("strategy") == wire.ARBITER


def _replaces(facts: Facts, surge: int) -> str:
    workers = count(facts.count("workers"), "worker")
    if not _of_arbiter(facts):
        return f"would replace {workers}, {_steps(surge, facts.count('max_unavailable'))}"
    what = f"would replace the arbiter and its {workers}"
    if surge >= facts.count("desired"):
        return (
            f"{what}: the new arbiter starts with all of its workers, and they must be ready"
            " before the old ones stop"
        )
    return (
        f"{what} step by step: the new arbiter grows as the old one shrinks, with up to {surge}"
        " more than now"
    )


def _steps(surge: int, unavailable: int) -> str:
    if surge and unavailable:
        return (
            f"with up to {surge} more than now, and up to {unavailable} stopped"
            " before the replacement is ready"
        )
    if surge:
        return (
            f"{surge} at a time: the new one starts and must be ready before an old one stops"
            if surge == 1
            else f"up to {surge} at a time: new ones start and must be ready before old ones stop"
        )
    return f"{unavailable} at a time, in place: an old one stops before the new one starts"


def _strategy(facts: Facts) -> list[str]:
    """The strategy and why it is taken; nothing where it goes without saying."""
    reasons = facts.texts("reasons")
    if not reasons and not facts.pairs("changes") and not _of_arbiter(facts):
        return []
    strategy = facts.text("strategy") or "not known"
    return with_why(_line("strategy", strategy), "; ".join(reasons), ": ")


def _changes(facts: Facts) -> list[str]:
    """The changed keys of the program's section, each with what it takes."""
    changes = facts.pairs("changes")
    width = max(map(len, changes), default=0)
    return [
        _line("" if index else "changes", f"{key.ljust(width)}  {_EFFECTS.get(how, how)}")
        for index, (key, how) in enumerate(sorted(changes.items()))
    ]


def _now(facts: Facts, desired: int) -> str:
    ready = facts.count("ready")
    return f"; only {ready} of {desired} ready now" if ready < desired else ""


def _health(facts: Facts) -> str:
    path = facts.text("health")
    if not path:
        return (
            "no check is configured: a worker counts as ready once it accepts"
            " (health= in its [roll:] section)"
        )
    return f"each new worker must answer {path} before it takes a request"


def _duration(facts: Facts) -> str:
    boot_secs = facts.number("boot_secs")
    if not boot_secs:
        return "not known: no boot of a present worker was measured"
    return (
        f"about {_secs(facts.number('estimated_secs'))}, at {_secs(boot_secs)} a boot"
        " and not counting requests that last"
    )


def _memory(memory: object) -> list[str]:
    if not isinstance(memory, Mapping):
        return [_line("memory", "not measured")]
    return _room("memory", memory, "free some")


def _processes(processes: object) -> list[str]:
    """Nothing where they are not limited."""
    if not isinstance(processes, Mapping):
        return []
    return _room("processes", processes, "raise the limit")


def _room(of: str, facts: Mapping[str, Any], cure: str) -> list[str]:
    lines = [_line(of, Facts(facts).text("text"))]
    if facts.get("fits") is not True:
        text = f"THIS DOES NOT FIT: {cure}, or roll in place with --max-surge 0 --max-unavailable 1"
        lines.append(_line("", text))
    return lines


def _preflight(preflight: object) -> list[str]:
    if not isinstance(preflight, Mapping):
        return [_line("preflight", "not made: whether the application loads is not known")]
    facts = Facts(preflight)
    text = [line.rstrip() for line in facts.text("text").splitlines() if line.strip()]
    if not _does_not_load(preflight):
        return [_line("preflight", f"the application loads ({_secs(facts.number('secs'))})")]
    first, *more = text or ["it did not say why"]
    return [
        _line("preflight", f"THE APPLICATION DOES NOT LOAD: {first.strip()}"),
        *(f"{INDENT * 2}{line}" for line in more[-_TEXT_LINES:]),
    ]


def _next_step(facts: Facts) -> str:
    if facts.text("refused"):
        return "as it is, rollrestart would be refused"
    if plan_objects(facts.all):
        worker = "successor" if _of_arbiter(facts) else "first worker"
        return f"as it is, the rollout would fail with its {worker}"
    return "to do it, run rollrestart without --dry-run"


def _secs(secs: float) -> str:
    return f"{secs:.2f} s" if secs < 10 else f"{secs:.0f} s"
