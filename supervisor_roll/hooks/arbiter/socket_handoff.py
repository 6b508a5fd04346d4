"""The listening sockets are kept by the listener: they are handed in, and paths stay on its word.

While they are kept, an arbiter that crashed and is started again refuses no connection, and
a successor accepts on the very same sockets.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from supervisor_roll.hooks.arbiter.addresses import (
    inherits,
    is_socket,
    text_of,
    texts_of,
    unix_paths,
)
from supervisor_roll.hooks.arbiter.state import ArbiterState
from supervisor_roll.hooks.channel import Channel
from supervisor_roll.hooks.install import is_ours
from supervisor_roll.wire.datagram import MAX_SOCKETS
from supervisor_roll.wire.messages import Listening, Stopping

if TYPE_CHECKING:
    from supervisor_roll.hooks.gunicorn_types import Arbiter, Listener


def ready(server: Arbiter) -> None:
    """``when_ready``: the arbiter listens."""
    state = ArbiterState.of(server)
    if state.asked_for_sockets:
        _hand_in(server, state)


def reloaded(server: Arbiter) -> None:
    """``on_reload``: where the addresses have changed, Gunicorn has opened all of them again."""
    state = ArbiterState.of(server)
    if state.handed_in and state.handed_in != server.LISTENERS:
        _hand_in(server, state)


def own_paths(server: Arbiter, *, beside_another: bool) -> None:
    """Have Gunicorn leave the paths of its Unix sockets to us.

    That it does if systemd gave it the sockets; the only other use of ``systemd`` is to
    re-execute itself, with systemd's variables for what is from descriptor 3 on.
    """
    state = ArbiterState.of(server)
    # Without our on_exit nobody would remove them. A successor never may.
    if not beside_another and not is_ours(server.cfg.on_exit):
        return
    state.owns_paths = server.systemd = True
    original = server.reexec

    def reexec() -> None:
        server.systemd = False
        try:
            original()
        finally:
            server.systemd = True

    server.reexec = reexec


def stopped(server: Arbiter) -> None:
    """``on_exit``: remove the paths of the Unix sockets, if nobody else is to serve there."""
    state = ArbiterState.of(server)
    # An arbiter that USR2 has started serves there, or served there before us.
    if not state.owns_paths or server.reexec_pid or server.master_pid:
        return
    paths = unix_paths(server.cfg)
    if not paths:
        return
    answer = state.channel.ask(Stopping(paths=tuple(paths)))
    state.channel.close()
    if answer is None:
        return
    # Beside another arbiter those only that it is not configured with.
    for path in paths:
        if (not answer.keep or path in answer.remove) and is_socket(path):
            with suppress(FileNotFoundError):
                Path(path).unlink()


def descriptors(listeners: Sequence[Listener]) -> list[tuple[str, int]]:
    """Return the address and the descriptor of each of Gunicorn's sockets.

    Read before a worker is forked: a gevent worker takes the descriptor out of the object
    before its application is loaded.
    """
    return [(text_of(one.cfg_addr), one.fileno()) for one in listeners]


def hand_in(channel: Channel, message: Listening, sockets: Sequence[tuple[str, int]]) -> bool:
    """Say LISTENING as ``message`` does, with the sockets; whether the listener has taken them."""
    texts, fds = tuple(text for text, _ in sockets), [fd for _, fd in sockets]
    with_them = Listening(**{**vars(message), "sockets": texts, "fds": tuple(map(str, fds))})
    return channel.ask(with_them, fds) is not None


def _hand_in(server: Arbiter, state: ArbiterState) -> None:
    state.handed_in = list(server.LISTENERS)
    state.listening = len(server.LISTENERS) <= MAX_SOCKETS
    # Those of fd:// are not ours.
    if server.LISTENERS and state.listening and not inherits(server.cfg):
        # Where no listener takes them yet, the first worker that it answers hands them in.
        hand_in(
            state.channel,
            Listening(
                binds=tuple(texts_of(server.cfg)), arbiter_pid=server.pid, uid=server.cfg.uid
            ),
            descriptors(server.LISTENERS),
        )
        state.channel.close()
