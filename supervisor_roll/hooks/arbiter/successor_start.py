"""``on_starting``: an arbiter gets the sockets that are kept for it, or takes over from another.

A *successor* is an arbiter that supervisord runs beside the one that serves. Whatever
happens to it must not harm that one: it goes no further where it is not given the sockets
that the other serves on, and what only one of the two can have (the pidfile, the control
socket) stays the other's until that is gone.

The variable GUNICORN_PID in its environment has Gunicorn begin as after USR2: beside the
other's pidfile, and ending before it opens a socket where these hooks are missing.
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from supervisor_roll.hooks.arbiter import socket_handoff
from supervisor_roll.hooks.arbiter.addresses import inherits, texts_of
from supervisor_roll.hooks.arbiter.config_file import Configured
from supervisor_roll.hooks.arbiter.inherited_sockets import PathInUseError, kept_from, listeners
from supervisor_roll.hooks.arbiter.state import START, ArbiterState
from supervisor_roll.hooks.arbiter.takeover import Takeover
from supervisor_roll.hooks.channel import Channel
from supervisor_roll.hooks.safely import log
from supervisor_roll.wire.messages import Ack, Starting
from supervisor_roll.wire.successor import SUCCESSOR_VARIABLE

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Arbiter

# supervisord starts a listener that was killed again within seconds. A successor harms nobody
# while it waits for that one.
LISTENER_SECS, RETRY_SECS = 15.0, 0.2
_GUNICORN_PID = "GUNICORN_PID"


class _Refused(Exception):
    """Why a successor must not go on."""


def starting(server: Arbiter) -> None:
    """``on_starting``. Ends a successor that cannot have the sockets."""
    state = ArbiterState.of(server)
    state.configured = Configured.of(server)
    if SUCCESSOR_VARIABLE not in os.environ:
        # Else it was re-executed by USR2, or given its sockets by systemd.
        if _GUNICORN_PID not in os.environ and os.environ.get("LISTEN_PID") != str(os.getpid()):
            _get_sockets(server, state, beside_another=False)
        return
    try:
        predecessor = _begin(server)
        _get_sockets(server, state, beside_another=True)
        state.takeover = Takeover(server, predecessor)
        state.takeover.await_end()
        _fork_all_at_once(server)
    except BaseException as error:  # noqa: BLE001 - it must not go on, whatever it is
        if not isinstance(error, SystemExit):  # Gunicorn has said why
            known = isinstance(error, (_Refused, PathInUseError, OSError))
            log.error(
                "supervisor_roll: cannot start beside the arbiter that serves: %s",
                error,
                exc_info=not known,
            )
        if server.pidfile is not None:
            with suppress(OSError):
                server.pidfile.unlink()
        raise SystemExit(1) from None


def _fork_all_at_once(server: Arbiter) -> None:
    """Have its first workers forked without Gunicorn's pause of up to 0.1 s after each."""

    def spawn_workers() -> None:
        del server.spawn_workers
        for _ in range(server.num_workers - len(server.WORKERS)):
            server.spawn_worker()

    # Not on the class: only this arbiter's, and only once.
    server.spawn_workers = spawn_workers


def forget_predecessor(server: Arbiter) -> None:
    """Hide from what it loads or starts that it began beside another arbiter."""
    for environment in (os.environ, server.cfg.env_orig):  # the other one is for USR2
        for name in (SUCCESSOR_VARIABLE, _GUNICORN_PID):
            environment.pop(name, None)


def _begin(server: Arbiter) -> int:
    """Be an arbiter as any other, of which none after it need know how it began."""
    value = os.environ[SUCCESSOR_VARIABLE]
    forget_predecessor(server)
    server.master_pid, server.master_name = 0, "Master"
    server.proc_name = server.cfg.proc_name
    if not value.isdecimal():
        raise _Refused(f"{SUCCESSOR_VARIABLE}={value!r} is no pid")
    return int(value)


def _get_sockets(server: Arbiter, state: ArbiterState, *, beside_another: bool) -> None:
    if server.cfg.reuse_port:
        if beside_another:
            raise _Refused(
                "reuse_port is set: each arbiter has sockets of its own then, and "
                "connections would be lost with those of the other"
            )
        return
    if not state.line.path:
        if beside_another:
            raise _Refused("there is no listener to ask for the sockets")
        return
    socket_handoff.own_paths(server, beside_another=beside_another)
    state.asked_for_sockets = True
    message = Starting(
        binds=tuple(texts_of(server.cfg)), configured=server.cfg.workers, uid=server.cfg.uid
    )
    answer, fds = _answer_to(message, state, LISTENER_SECS if beside_another else 0.0)
    kept = kept_from(answer.sockets if answer is not None else (), fds)
    try:
        if beside_another:
            _accept(answer)
            if not kept and not inherits(server.cfg):
                raise _Refused("the listener keeps no sockets of the arbiter that serves")
        if answer is not None:
            _set_count(server, state, answer.workers)
        if kept and not inherits(server.cfg):
            server.LISTENERS = listeners(server, kept, beside_another=beside_another)
    finally:
        for one in kept:
            one.close()


def _answer_to(
    message: Starting, state: ArbiterState, within_secs: float
) -> tuple[Ack | None, list[int]]:
    """Ask again, with new patience, until there is an answer or the time is over."""
    until = time.monotonic() + within_secs
    while True:
        answer, fds = state.channel.ask_for_sockets(message)
        state.channel.close()
        if answer is not None or time.monotonic() >= until:
            return answer, fds
        signal.sigtimedwait((), RETRY_SECS)  # a sleep that gevent has not replaced
        state.channel = Channel()


def _accept(answer: Ack | None) -> None:
    if answer is None:
        raise _Refused(f"the listener gave no answer within {LISTENER_SECS:g} s")
    if answer.refused:
        raise _Refused(answer.refused)
    if not answer.successor:
        raise _Refused("the listener knows of no rollout that it belongs to")


def _set_count(server: Arbiter, state: ArbiterState, count: int) -> None:
    """Set the initial worker count, where the answer has one, without counting it as a TTIN."""
    if count > 0:
        state.change_count(server, count, START)
        state.page.set_count(count)
