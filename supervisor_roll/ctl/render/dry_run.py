"""From a dry run's report to what an operator reads before the real one. Pure."""

from __future__ import annotations

from supervisor_roll.ctl.render.text import INDENT, count, with_why
from supervisor_roll.rollout.reports import Memory, Plan, Preflight, Processes
from supervisor_roll.rollout.words import ARBITER
from supervisor_roll.wire import successor

# A preflight's text is a line and the end of what it printed.
_TEXT_LINES = 14
_EFFECTS = {
    successor.LIVE: "applies at once",
    successor.NEEDS_ARBITER: "needs an arbiter rollout",
    successor.NEEDS_UPDATE: "refused: only supervisorctl update applies it, with downtime",
}


def plan_texts(facts: Plan) -> list[str]:
    """Say what a rollout would do, cost and take.

    The first line continues "program: "; nothing is cleaned of control characters yet.
    """
    if facts.refused:
        lines = [
            *with_why("would be refused:", facts.refused),
            *_strategy(facts),
            *_changes(facts),
        ]
    else:
        desired, surge = facts.desired, facts.max_surge
        if facts.strategy == ARBITER:
            surge = max(surge, 1)  # an arbiter has at least one worker
        least = max(0, desired - facts.max_unavailable)
        lines = [
            _replaces(facts, surge),
            *_strategy(facts),
            *_changes(facts),
            _line(
                "serving",
                f"never fewer than {least} ready, never more than"
                f" {desired + surge} running{_now(facts, desired)}",
            ),
            _line("health", _health(facts.health)),
            _line("duration", _duration(facts)),
            *_memory(facts.memory),
            *_processes(facts.processes),
            *_preflight(facts.preflight),
        ]
    # A preflight runs what the program runs, gunicorn.conf.py and start scripts too.
    ran = facts.preflight is not None
    touched = "replaced, its command was run once for the preflight" if ran else "touched or run"
    return [*lines, f"{INDENT}nothing was {touched}; {_next_step(facts)}"]


def plan_objects(facts: Plan) -> bool:
    """Whether the dry run found what speaks against the rollout."""
    return bool(facts.refused) or (facts.preflight is not None and not facts.preflight.ok)


def _line(about: str, text: str) -> str:
    return f"{INDENT}{about.ljust(9)}  {text}"


def _replaces(facts: Plan, surge: int) -> str:
    workers = count(facts.workers, "worker")
    if facts.strategy != ARBITER:
        return f"would replace {workers}, {_steps(surge, facts.max_unavailable)}"
    what = f"would replace the arbiter and its {workers}"
    if surge >= facts.desired:
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
            else f"the first alone, then up to {surge} at a time: new ones start and must be ready"
            " before old ones stop"
        )
    return f"{unavailable} at a time, in place: an old one stops before the new one starts"


def _strategy(facts: Plan) -> list[str]:
    """Return the strategy and why it is taken; nothing where it goes without saying."""
    if not facts.reasons and not facts.changes and facts.strategy != ARBITER:
        return []
    strategy = facts.strategy or "not known"
    return with_why(_line("strategy", strategy), "; ".join(facts.reasons), ": ")


def _changes(facts: Plan) -> list[str]:
    """Return the changed keys of the program's section, each with what it takes."""
    width = max(map(len, facts.changes), default=0)
    return [
        _line("" if index else "changes", f"{key.ljust(width)}  {_EFFECTS.get(how, how)}")
        for index, (key, how) in enumerate(sorted(facts.changes.items()))
    ]


def _now(facts: Plan, desired: int) -> str:
    return f"; only {facts.ready} of {desired} ready now" if facts.ready < desired else ""


def _health(path: str) -> str:
    if not path:
        return (
            "no check is configured: a worker counts as ready once it accepts"
            " (health= in its [roll:] section)"
        )
    return f"each new worker must answer {path} before it takes a request"


def _duration(facts: Plan) -> str:
    if not facts.boot_secs:
        return "not known: no boot of a present worker was measured"
    return (
        f"about {_secs(facts.estimated_secs)}, at {_secs(facts.boot_secs)} a boot"
        " and not counting requests that last"
    )


def _memory(memory: Memory | None) -> list[str]:
    if memory is None:
        return [_line("memory", "not measured")]
    return _room("memory", memory, "free some")


def _processes(processes: Processes | None) -> list[str]:
    """Nothing where they are not limited."""
    if processes is None:
        return []
    return _room("processes", processes, "raise the limit")


def _room(of: str, room: Memory | Processes, cure: str) -> list[str]:
    lines = [_line(of, room.text)]
    if not room.fits:
        text = f"THIS DOES NOT FIT: {cure}, or roll in place with --max-surge 0 --max-unavailable 1"
        lines.append(_line("", text))
    return lines


def _preflight(preflight: Preflight | None) -> list[str]:
    if preflight is None:
        return [_line("preflight", "not made: whether the application loads is not known")]
    if preflight.ok:
        return [_line("preflight", f"the application loads ({_secs(preflight.secs)})")]
    text = [line.rstrip() for line in preflight.text.splitlines() if line.strip()]
    first, *more = text or ["it did not say why"]
    return [
        _line("preflight", f"THE APPLICATION DOES NOT LOAD: {first.strip()}"),
        *(f"{INDENT * 2}{line}" for line in more[-_TEXT_LINES:]),
    ]


def _next_step(facts: Plan) -> str:
    if facts.refused:
        return "as it is, rollrestart would be refused"
    if plan_objects(facts):
        worker = "successor" if facts.strategy == ARBITER else "first worker"
        return f"as it is, the rollout would fail with its {worker}"
    return "to do it, run rollrestart without --dry-run"


def _secs(secs: float) -> str:
    return f"{secs:.2f} s" if secs < 10 else f"{secs:.0f} s"
