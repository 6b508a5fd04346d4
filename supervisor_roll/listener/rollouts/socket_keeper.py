"""The listening sockets of arbiters: duplicates are kept, and handed to those that come after.

So a successor shares the sockets of the one that serves, and a crash refuses nobody.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from itertools import chain

from supervisor_roll.listener.arbiters.arbiter import Arbiter
from supervisor_roll.listener.edges import socket_store
from supervisor_roll.listener.edges.socket_store import SocketStore, StoredSocket
from supervisor_roll.listener.edges.supervisord import SupervisordError
from supervisor_roll.listener.rollouts.active import INTENDED, ActiveRollouts
from supervisor_roll.listener.rollouts.eligibility import owns_sockets
from supervisor_roll.listener.rollouts.run import Run
from supervisor_roll.rollout import events as ev
from supervisor_roll.wire.messages import Ack, Listening, Starting, Stopping

# An arbiter that has crashed is started again at once, if it is to be at all.
CRASHED_SECS = 10.0


class SocketKeeper:
    """Answers arbiters that start, listen and stop. ``store`` has the sockets."""

    def __init__(self, active: ActiveRollouts) -> None:
        self._active, self._registry, self._clock = active, active.registry, active.clock
        self.store = SocketStore()
        self._crashed: dict[str, float] = {}  # namespec -> till when its sockets are held

    def recover_sockets(self, arbiter: Arbiter) -> str:
        """Take the arbiter's sockets from it, if they are not held; empty, or why not."""
        if not owns_sockets(arbiter) or self.store.has(arbiter.id):
            return ""
        cure = (
            f"roll its workers once, the first fresh one hands them in: rollrestart --strategy "
            f"workers {arbiter.namespec}; then roll it again"
        )
        if not arbiter.sockets:
            return f"its listening sockets have not been handed in; {cure}"
        try:
            found = self._registry.table.sockets(arbiter.id, arbiter.sockets)
            self.store.put(arbiter.id, arbiter.namespec, found)
            return ""
        except (OSError, AttributeError) as error:
            return (
                "its listening sockets are not held: this listener was started after its "
                f"arbiter, and may not take them from it ({error}); {cure}; or run the listener "
                "as root"
            )

    def starting(self, arbiter: Arbiter, message: Starting) -> tuple[Ack, list[int]]:
        """Answer an arbiter that has no sockets yet: with these, and how many workers to start.

        The descriptors are the caller's to close.
        """
        workers = 0
        if arbiter.successor:
            found = self._active.succession(arbiter.namespec)
            if found is None:
                return Ack(successor=True, refused="its rollout has ended"), []
            run, rollout = found
            self._compare(run, message)
            workers = rollout.first
        held = list(self.store.for_another(arbiter.id, arbiter.namespec))
        fds = [os.dup(one.fd) for one in held]
        if not arbiter.successor:
            # It may be about to open an address that one of these stands in the way of.
            for one in held:
                if one.address not in (message.binds or ()):
                    self.store.forget(one)
        addresses = tuple(one.address for one in held)
        return Ack(successor=arbiter.successor, workers=workers, sockets=addresses), fds

    def _compare(self, run: Run, message: Starting) -> None:
        """Keep a count that was raised by signals, unless another one has been configured.

        An address that is no longer configured goes away, which may be no wish of an operator.
        """
        siblings = self._registry.siblings(run.namespec)
        serving = next((one for one in siblings if not one.successor), None)
        if serving is None:
            return
        before, count = serving.facts.configured, message.configured
        if before >= 0 and count >= 0 and (count != before or count > serving.count):
            self._active.handle(run, ev.Configured(count))
        if message.binds is not None:
            for address in set(serving.facts.binds).difference(message.binds):
                self._active.warn(
                    run.namespec,
                    f"{address} is no longer configured: refused once the old arbiter is gone",
                )

    def listening(self, arbiter: Arbiter, message: Listening, fds: list[int], own: bool) -> bool:
        """Keep an arbiter's sockets that have come; those are taken out of ``fds``.

        ``own``: from itself. A worker may hand in no others.
        """
        addresses, numbers = message.sockets, message.fds
        if self.store.is_full(arbiter.namespec):
            return False
        if not fds or len(addresses) != len(fds) or not all(map(socket_store.listening, fds)):
            return False
        if not own and not self._registry.table.has_sockets(arbiter.id, fds):
            return False
        held = [StoredSocket(address, fd) for address, fd in zip(addresses, fds, strict=True)]
        fds.clear()
        if len(numbers) == len(held) and all(map(_is_descriptor, numbers)):
            arbiter.sockets = [
                (one.address, int(number)) for one, number in zip(held, numbers, strict=True)
            ]
        self.store.put(arbiter.id, arbiter.namespec, held)
        if not arbiter.successor:
            # What was held for one that has crashed is this one's now.
            self._crashed.pop(arbiter.namespec, None)
            alive = [one.id for one in self._registry.siblings(arbiter.namespec)]
            self.store.drop_others(arbiter.id, arbiter.namespec, alive)
        return True

    def wants_sockets(self, arbiter: Arbiter) -> bool:
        return (
            arbiter.facts.listens
            and not arbiter.facts.reuse_port
            and owns_sockets(arbiter)
            and not self.store.has(arbiter.id)
        )

    def stopping(self, arbiter: Arbiter, message: Stopping) -> Ack:
        """Answer an arbiter that has stopped: whether the paths of its Unix sockets stay."""
        # Two that are stopped together each find the other still there.
        arbiter.stopping = True
        others = [
            one.facts.binds for one in self._registry.siblings(arbiter.namespec) if not one.stopping
        ]
        if others:
            unused = socket_store.unused(message.paths, chain(*others)) if all(others) else []
            return Ack(keep=True, remove=tuple(unused))
        self._registry.stale()
        try:
            keep = self._registry.states().get(arbiter.namespec, "UNKNOWN") not in INTENDED
        except SupervisordError:
            keep = True
        return Ack(keep=keep)

    def exited(self, arbiter: Arbiter) -> None:
        """Let go the sockets of an arbiter that has ended, or keep them for the next."""
        siblings = self._registry.siblings(arbiter.namespec)
        if arbiter.successor or any(not one.successor for one in siblings):
            self.store.drop(arbiter.id)
        elif self.store.has(arbiter.id):
            self._crashed[arbiter.namespec] = self._clock() + CRASHED_SECS

    def states_changed(self, states: Mapping[str, str]) -> None:
        """Let go the sockets of programs that were stopped on purpose, or are gone."""
        for namespec in self.store.programs:
            if states.get(namespec, "UNKNOWN") in INTENDED:
                self.store.release(namespec)
                self._crashed.pop(namespec, None)

    def tick(self) -> None:
        """Let go the sockets of those that were not started again. Raises SupervisordError."""
        for namespec, until in list(self._crashed.items()):
            if self._clock() >= until:
                state = self._registry.states().get(namespec)
                del self._crashed[namespec]
                if state not in ("STARTING", "RUNNING", "BACKOFF"):
                    self.store.release(namespec)

    def next_deadline(self) -> float | None:
        return min(self._crashed.values(), default=None)


def _is_descriptor(number: str) -> bool:
    return number.isascii() and number.isdecimal() and len(number) < 10
