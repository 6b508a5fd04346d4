"""Why nothing has been heard of a program that runs, and what to do about it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePath

from supervisor_roll.listener.edges.executed import Executed
from supervisor_roll.listener.edges.process_table import ProcessTable
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.installing import HOOK_LINE, wrapper_cure
from supervisor_roll.wire.datagram import SOCKET_VARIABLE

# A worker says at its fork that it boots. One that is older and has not said so never will, or
# was forked before this listener listened.
FORKED_SECS = 3.0


@dataclass(frozen=True)
class Silence:
    """``gunicorn``: the program is a Gunicorn. ``awaits``: what may still come, if it is young.

    ``rule``: what to say besides to who named just this program.
    """

    gunicorn: bool
    why: str
    awaits: str = ""
    rule: str = ""


def silence(table: ProcessTable, identity: InstanceId, spoke: bool) -> Silence:
    """Return what is known of a program's process of whose workers none has been heard.

    ``spoke``: a word came that may be an arbiter's; a wrapper's child is taken for one too.
    """
    pid = identity.pid
    own = table.executed(pid)
    parents = table.descendants(identity)
    if own.is_gunicorn and not spoke:
        workers = [
            one
            for child, parent in parents.items()
            if parent == pid and (one := table.executed(child)).is_gunicorn
        ]
        return _unhooked(pid, own, any(one.age_secs > FORKED_SECS for one in workers))
    below = {child for child in parents if table.executed(child).is_gunicorn}
    if own.is_gunicorn:
        below = set()  # its workers
    first = min((child for child in below if parents[child] not in below), default=0)
    if first:
        chain = [parents[first]]
        while chain[-1] != pid and chain[-1] in parents:
            chain.append(parents[chain[-1]])
        why = _wrapped([table.executed(one) for one in reversed(chain)], pid, first, table)
        return Silence(True, why, "" if first in parents.values() else "what it runs")
    if spoke:
        return Silence(
            True,
            f"its arbiter (pid {pid}) has reported, but none of its workers has: they fail to "
            "boot, or hang there; the program's log says why",
            "its first worker",
        )
    return Silence(
        False,
        f"it is no Gunicorn program (pid {pid}: {own.shown})",
        "Gunicorn to be executed" if own.names_gunicorn else "",
        ": only Gunicorn's own command, or an application that embeds Gunicorn and runs with the "
        f"hooks ({HOOK_LINE}), can be rolled",
    )


def _unhooked(pid: int, own: Executed, forked: bool) -> Silence:
    if own.environment is not None and not own.environment.get(SOCKET_VARIABLE):
        return Silence(
            True,
            f"its Gunicorn (pid {pid}) has no {SOCKET_VARIABLE} in its environment, by which its "
            "hooks find this listener: the program's command does not pass on the environment "
            "that supervisord gives (env -i, sudo), or sets its own; let the command pass it on, "
            "and restart the program once",
        )
    if forked and not own.shares_memory:
        return Silence(
            True,
            f"its Gunicorn (pid {pid}) runs without the hooks: end its gunicorn.conf.py with: "
            f"{HOOK_LINE} -- and restart it once",
        )
    return Silence(
        True,
        f"nothing heard from its Gunicorn (pid {pid}): the hooks are not installed, or its command "
        "does not pass on the environment (env -i, sudo), or it started before this listener and "
        f"has been idle since; end its gunicorn.conf.py with: {HOOK_LINE} -- and restart it once",
        "the first report of its Gunicorn, which comes once a worker has loaded the application, "
        "and never if the hooks are missing",
    )


def _wrapped(chain: list[Executed], pid: int, gunicorn: int, table: ProcessTable) -> str:
    path = _script(table.executed(gunicorn))
    cures = [
        cure for one in chain if (cure := wrapper_cure(_name(one), f" ({path})" if path else ""))
    ]
    cure = "; ".join(dict.fromkeys(cures)) or "start gunicorn directly"
    return (
        f"supervisord runs a wrapper (pid {pid}: {_name(chain[0])}) around Gunicorn (pid "
        f"{gunicorn}), so that its signals do not reach the arbiter; in the program's command, "
        f"{cure}"
    )


def _name(one: Executed) -> str:
    """Return the command's name; of a script that an interpreter runs, the script's."""
    names = [PurePath(word).name for word in one.arguments]
    if len(names) > 1 and re.match(r"python|pypy", names[0]):
        return next((name for name in names[1:] if not name.startswith("-")), names[0])
    # A login shell's name begins with a dash.
    return names[0].lstrip("-") if names else "?"


def _script(one: Executed) -> str:
    """Return the path of the gunicorn that is executed, if it shows."""
    return next(
        (word for word in one.arguments[:2] if word.startswith("/") and word.endswith("gunicorn")),
        "",
    )
