"""What rollstatus has to show: the programs' last rollouts, and those that were never rolled."""

from __future__ import annotations

import time
from dataclasses import replace
from xmlrpc.client import Fault

from supervisor_roll.ctl.client import POLL_SECS, RollClient, Unreachable
from supervisor_roll.ctl.render import objects
from supervisor_roll.ctl.render.status import overview_lines
from supervisor_roll.ctl.render.text import moment
from supervisor_roll.ctl.screen import Screen
from supervisor_roll.rollout.reports import WorkerLife
from supervisor_roll.rollout.words import BAKING, BOOTING, READY
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.workers import Workers

# A listener tells of its workers once somebody asks; where it is silent that is not waited for.
_WORKERS_SECS = 1.0
_WATCH_SECS = 1.0


def look(client: RollClient) -> wire.Overview:
    """Return the overview, with a status for each program that was never rolled, or cannot be."""
    found = client.overview()
    if found.listener is None or found.listener.state not in wire.LISTENING:
        return found
    told = _workers(client)
    programs = {name: _never_rolled(lives) for name, lives in told.programs.items()}
    programs |= found.programs
    for name, why in told.resists.items():
        if programs[name].state == wire.IDLE and not programs[name].why:
            programs[name] = replace(programs[name], why=f"cannot be rolled: {why}")
    return replace(found, programs=programs)


def _workers(client: RollClient) -> Workers:
    deadline = time.monotonic() + _WORKERS_SECS
    try:
        while not (found := client.workers([])).at and time.monotonic() < deadline:
            time.sleep(POLL_SECS)
    except Fault:  # of a supervisord that still runs an earlier release
        return Workers()
    return found


def _never_rolled(lives: list[WorkerLife]) -> wire.Status:
    living = [one for one in lives if one.gone_at is None]
    return wire.Status(
        wire.IDLE,
        0.0,
        ready=sum(one.state in (READY, BAKING) for one in living),
        desired=sum(one.state in (READY, BAKING, BOOTING) for one in living),
        fresh=[one.pid for one in living],
        releases={str(one.pid): one.release for one in living if one.release},
    )


def show(found: wire.Overview, screen: Screen, names: list[str] | None, whole: bool) -> None:
    """Show it, or what it has of ``names``."""
    shown = overview_lines(found, names, time.time(), whole)
    screen.tell(shown, *objects.overview(found, names))


def watch(client: RollClient, screen: Screen, names: list[str] | None, whole: bool) -> None:
    """Show it again and again until Ctrl-C; where it cannot be drawn anew, if it has changed."""
    before: wire.Overview | None = None
    trouble = ""
    while True:
        lines = [moment(now := time.time())]
        try:
            found = look(client)
        except Unreachable as error:
            lines.append(f"cannot reach supervisord: {error}")
            if not screen.redraw(lines) and lines[1] != trouble:
                screen.tell(lines)
            before, trouble = None, lines[1]
        else:
            lines += overview_lines(found, names, now, whole)
            if not screen.redraw(lines) and found != before:
                screen.tell(lines, *objects.overview(found, names))
            before, trouble = found, ""
        time.sleep(_WATCH_SECS)
