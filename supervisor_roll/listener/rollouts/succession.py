"""Strategy ``arbiter``, as far as it is not the rollout's: supervisord, sockets, exits.

The successor is supervisord's child as any program; here it is asked for, given its
listening sockets, watched, promoted or discarded.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from supervisor.xmlrpc import Faults

from supervisor_roll.listener.arbiters.arbiter import Arbiter
from supervisor_roll.listener.edges import socket_store
from supervisor_roll.listener.edges.socket_store import SocketStore, StoredSocket
from supervisor_roll.listener.edges.supervisord import Refused, Supervisord, Unreachable
from supervisor_roll.listener.rollouts import strategy
from supervisor_roll.listener.rollouts.run import Run
from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout.arbiter import ArbiterRollout
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.reports import Failed, Outcome
from supervisor_roll.wire import datagram as dg
from supervisor_roll.wire.datagram import Message
from supervisor_roll.wire.successor import Succession

if TYPE_CHECKING:
    from supervisor_roll.listener.rollouts.jobs import Jobs

log = logging.getLogger("supervisor_roll")

# supervisord takes note of a child's end when its loop wakes, within a second.
REAPED_SECS, LOOK_SECS = 5.0, 0.1
# What is written to a successor's log may well be longer than an operator wants to read.
TAIL_LINES = 20
# An arbiter that has crashed is started again at once, if it is to be at all.
CRASHED_SECS = 10.0
_INTENDED = frozenset({"STOPPING", "STOPPED", "FATAL", "UNKNOWN"})


@dataclass
class _Ended:
    """A successor that has ended, and of which supervisord is yet to say how."""

    namespec: str
    pid: int
    until: float


class SuccessorControl:
    """What belongs to the rollouts of strategy ``arbiter``. ``clock`` is monotonic."""

    def __init__(self, jobs: Jobs, supervisord: Supervisord, clock: Callable[[], float]) -> None:
        self._jobs, self._supervisord, self._clock = jobs, supervisord, clock
        self.store = SocketStore()
        self._ended: list[_Ended] = []
        self._tails: dict[str, str] = {}  # namespec -> the end of its last successor's output
        self._crashed: dict[str, float] = {}  # namespec -> till when its sockets are held

    # --- before and while a rollout runs --------------------------------------------------------

    def obstacle(self, arbiter: Arbiter) -> str:
        """Why the arbiter's sockets could not be handed on; empty if they can."""
        if not strategy.owns_sockets(arbiter) or self.store.has(arbiter.id):
            return ""
        cure = (
            f"roll its workers once, the first fresh one hands them in: rollrestart --strategy "
            f"workers {arbiter.namespec}; then roll it again"
        )
        if not arbiter.sockets:
            return f"its listening sockets have not been handed in; {cure}"
        try:
            self.store.take(
                arbiter.id,
                arbiter.namespec,
                self._jobs.registry.table.sockets(arbiter.id, arbiter.sockets),
            )
            return ""
        except (OSError, AttributeError) as error:
            return (
                "its listening sockets are not held: this listener was started after its "
                f"arbiter, and may not take them from it ({error}); {cure}; or run the listener "
                "as root"
            )

    def act(self, namespec: str, action: ev.Action) -> None:
        """Have supervisord do it, and tell the rollout. Raises Unreachable: to be tried again."""
        rollout = self._rollout(namespec)
        if rollout is None or action not in rollout.again():
            return  # it has turned, while supervisord did not answer
        try:
            if isinstance(action, ev.StartSuccessor):
                self._started(namespec, self._supervisord.succeed(namespec))
            elif isinstance(action, ev.Promote):
                drain_secs = rollout.settings.drain_timeout_secs
                self._promoted(namespec, self._supervisord.promote(namespec, drain_secs))
            else:
                found = self._supervisord.discard(namespec)
                if not found.successor:
                    self._gone(namespec, found)
        except Refused as fault:
            log.error("%s: %s", namespec, fault)
            why = fault.text.removeprefix(f"{namespec}: ")
            if fault.code in (Faults.UNKNOWN_METHOD, Faults.INCORRECT_PARAMETERS):
                why = "it runs an earlier version of supervisor_roll: restart supervisord once"
            self._feed(namespec, ev.PrerequisiteFailed(f"supervisord: {why}"))

    def _started(self, namespec: str, found: Succession) -> None:
        registry = self._jobs.registry
        registry.stale()
        registry.processes()  # it is one of them now, or this is tried again
        arbiter = registry.table.identity(found.successor)
        if arbiter is not None and registry.arbiter(arbiter) is not None:
            self._feed(namespec, ev.SuccessorStarted(arbiter))
        else:
            self._ended.append(_Ended(namespec, found.successor, self._clock() + REAPED_SECS))

    def _promoted(self, namespec: str, found: Succession) -> None:
        run = self._jobs.runs.get(namespec)
        for one in self._jobs.registry.siblings(namespec):
            if one.id.pid == found.pid:
                one.successor = False
        self._jobs.registry.stale()
        self._feed(namespec, ev.Promoted())
        if run is not None and not found.retiring:
            self._feed(namespec, ev.ArbiterExited("it had exited before"))

    def starting(self, arbiter: Arbiter, message: Message) -> tuple[Message, list[int]]:
        """An arbiter has no sockets yet: what it gets, and with how many workers it begins.

        The descriptors are the caller's to close.
        """
        fields = {"SUCCESSOR": str(int(arbiter.successor))}
        if arbiter.successor:
            rollout = self._rollout(arbiter.namespec)
            if rollout is None:
                return Message(dg.ACK, {**fields, "REFUSED": "its rollout has ended"}), []
            self._compare(arbiter, message)
            fields["WORKERS"] = str(rollout.first)
        held = list(self.store.for_another(arbiter.id, arbiter.namespec))
        fields["SOCKETS"] = "\n".join(one.address for one in held)
        fds = [os.dup(one.fd) for one in held]
        if not arbiter.successor:
            # It may be about to open an address that one of these stands in the way of.
            binds = message.fields.get("BINDS", "").split("\n")
            for one in held:
                if one.address not in binds:
                    self.store.forget(one)
        return Message(dg.ACK, fields), fds

    def _compare(self, successor: Arbiter, message: Message) -> None:
        """A count that was raised by signals stays, unless another one has been configured.

        An address that is no longer configured goes away, which may be no wish of an operator.
        """
        serving = next(
            (one for one in self._jobs.registry.siblings(successor.namespec) if not one.successor),
            None,
        )
        before = serving.facts.get("CONFIGURED") if serving is not None else None
        count = int(message.number("CONFIGURED", -1))
        if (
            serving is not None
            and before is not None
            and count >= 0
            and (str(count) != before or count > serving.count)
        ):
            self._feed(successor.namespec, ev.Configured(count))
        if serving is not None and "BINDS" in message.fields:
            binds = message.fields["BINDS"].split("\n")
            old = serving.facts.get("BINDS", "").split("\n")
            for address in filter(None, set(old) - set(binds)):
                self._jobs.warn(
                    successor.namespec,
                    f"{address} is no longer configured: refused once the old arbiter is gone",
                )

    def listening(self, arbiter: Arbiter, message: Message, fds: list[int], own: bool) -> bool:
        """An arbiter's sockets have come; those that are kept are taken out of ``fds``.

        ``own``: from itself. A worker may hand in no others.
        """
        addresses = message.fields.get("SOCKETS", "").split("\n")
        numbers = message.fields.get("FDS", "").split("\n")
        if not fds or len(addresses) != len(fds) or not all(map(socket_store.listening, fds)):
            return False
        if not own and not self._jobs.registry.table.has_sockets(arbiter.id, fds):
            return False
        held = [StoredSocket(address, fd) for address, fd in zip(addresses, fds, strict=True)]
        fds.clear()
        if len(numbers) == len(held) and all(map(_is_descriptor, numbers)):
            arbiter.sockets = [
                (one.address, int(number)) for one, number in zip(held, numbers, strict=True)
            ]
        self.store.take(arbiter.id, arbiter.namespec, held)
        if not arbiter.successor:
            # What was held for one that has crashed is this one's now.
            self._crashed.pop(arbiter.namespec, None)
            alive = [one.id for one in self._jobs.registry.siblings(arbiter.namespec)]
            self.store.drop_others(arbiter.id, arbiter.namespec, alive)
        return True

    def wants_sockets(self, arbiter: Arbiter) -> bool:
        return (
            arbiter.facts.get("LISTENS") == "1"
            and arbiter.facts.get("REUSE_PORT") != "1"
            and strategy.owns_sockets(arbiter)
            and not self.store.has(arbiter.id)
        )

    def stopping(self, arbiter: Arbiter, message: Message) -> Message:
        """An arbiter has stopped: whether the paths of its Unix sockets are to stay."""
        # Two that are stopped together each find the other still there.
        arbiter.stopping = True
        others = [
            one.facts.get("BINDS", "")
            for one in self._jobs.registry.siblings(arbiter.namespec)
            if not one.stopping
        ]
        if others:
            paths = message.fields.get("PATHS", "").split("\n")
            unused = (
                socket_store.unused(paths, "\n".join(others).split("\n")) if all(others) else []
            )
            return Message(dg.ACK, {"KEEP": "1", "REMOVE": "\n".join(unused)})
        self._jobs.registry.stale()
        try:
            keep = self._states().get(arbiter.namespec, "UNKNOWN") not in _INTENDED
        except Unreachable:
            keep = True
        return Message(dg.ACK, {"KEEP": str(int(keep))})

    # --- exits ----------------------------------------------------------------------------------

    def exited(self, arbiter: Arbiter) -> None:
        """An arbiter has ended; it is known no more."""
        namespec = arbiter.namespec
        if arbiter.successor:
            self.store.drop(arbiter.id)
            self._ended.append(_Ended(namespec, arbiter.id.pid, self._clock() + REAPED_SECS))
        elif any(not one.successor for one in self._jobs.registry.siblings(namespec)):
            self.store.drop(arbiter.id)
        elif self.store.has(arbiter.id):
            self._crashed[namespec] = self._clock() + CRASHED_SECS

    def tick(self) -> None:
        """Look after what cannot notify us."""
        for one in list(self._ended):
            found = self._succession(one.namespec)
            if found.successor != one.pid or self._clock() >= one.until:
                self._ended.remove(one)
                self._gone(one.namespec, found)
        for namespec, until in list(self._crashed.items()):
            if self._clock() >= until:
                state = self._states().get(namespec)
                del self._crashed[namespec]
                if state not in ("STARTING", "RUNNING", "BACKOFF"):
                    self.store.release(namespec)

    def processes_changed(self) -> None:
        """Heed that programs were stopped on purpose, or are gone. Raises Unreachable."""
        rolled = [namespec for namespec, run in self._jobs.runs.items() if run.rolling]
        if not self.store.programs and not rolled:
            return
        states = self._states()
        for namespec in rolled:
            self._heed(namespec, states.get(namespec, "UNKNOWN"))
        for namespec in self.store.programs:
            if states.get(namespec, "UNKNOWN") in _INTENDED:
                self.store.release(namespec)
                self._crashed.pop(namespec, None)

    def heed_stop(self, namespec: str) -> None:
        """One of the program's processes has gone: a rollout fails by that, unless it was meant.

        supervisord calls a program STOPPING before it stops it.
        """
        run = self._jobs.runs.get(namespec)
        if run is None or run.rolling is None:
            return
        self._jobs.registry.stale()
        info = self._jobs.registry.info(namespec)
        if info is not None:
            self._heed(namespec, info.state)

    def _heed(self, namespec: str, state: str) -> None:
        by = "a stop of the program (supervisorctl stop, restart or update)"
        # The second takes back what supervisord was asked for and has not done yet.
        for event in (ev.Aborted(by), ev.PrerequisiteFailed("the program is being stopped")):
            run = self._jobs.runs.get(namespec)
            if run is not None and run.rolling is not None and state in _INTENDED:
                self._jobs.handle(run, run.rolling, event)

    def next_deadline(self) -> float | None:
        if self._ended:
            return self._clock() + LOOK_SECS
        return min(self._crashed.values(), default=None)

    def restored(self, run: Run) -> None:
        """A listener before this one was killed in the middle of this run."""
        rollout = run.rolling
        if not isinstance(rollout, ArbiterRollout):
            return
        for action in rollout.again():
            self._jobs.outbox.actions.append((run.namespec, action))
        successor = rollout.successor
        if successor is not None and self._jobs.registry.running(successor) is None:
            self._ended.append(_Ended(run.namespec, successor.pid, self._clock() + REAPED_SECS))

    def closing(self, run: Run, facts: Outcome) -> Outcome:
        """What a rollout tells at its end, with what serves now and what a successor had to say."""
        tail = self._tails.pop(run.namespec, "")
        if not isinstance(run.rollout, ArbiterRollout):
            return facts
        why = facts.why
        # A traceback says more, and is its end as a rule.
        if isinstance(facts, Failed) and tail and "\n" not in why:
            why = f"{why}\nthe end of the successor's output:\n{tail}"
        old = run.arbiter if run.rollout.promoted else None
        serving = next(
            (
                one
                for one in self._jobs.registry.siblings(run.namespec)
                if not one.successor and one.id != old
            ),
            None,
        )
        workers = list(serving.workers.values()) if serving else []
        return replace(
            facts,
            why=why,
            arbiter=serving.id.pid if serving else 0,
            workers=sum(not one.sick or one.serves_sick for one in workers),
            sick=sum(one.serves_sick for one in workers),
            same=serving is not None and serving.id == run.arbiter,
        )

    def _states(self) -> dict[str, str]:
        """The states of supervisord's processes. Raises Unreachable."""
        try:
            return {one.namespec: one.state for one in self._jobs.registry.processes()}
        except Refused as fault:
            if fault.code == Faults.SHUTDOWN_STATE:
                return {}  # it stops them all
            raise

    def _succession(self, namespec: str) -> Succession:
        try:
            return self._supervisord.succession(namespec)
        except Refused:
            return Succession()  # the program is not there any more

    def _gone(self, namespec: str, found: Succession) -> None:
        tail = "\n".join(found.tail.rstrip().splitlines()[-TAIL_LINES:])
        self._tails[namespec] = tail
        why = f"the successor {found.ended or 'has exited'}"
        # Of Gunicorn's own addresses Gunicorn says: Connection in use.
        if "Address already in use" in tail and "Connection in use" not in tail:
            why += (
                ". Its sockets were taken over; something else is listened on while it starts, by "
                "on_starting, when_ready or with preload_app the application, in which two "
                "arbiters run for a while, and the old one has that address"
            )
        if tail:
            why += f"; the end of its output:\n{tail}"
        self._feed(namespec, ev.ArbiterExited(why, successor=True))

    def _feed(self, namespec: str, event: ev.Event) -> None:
        rollout = self._rollout(namespec)
        if rollout is not None:
            self._jobs.handle(self._jobs.runs[namespec], rollout, event)

    def _rollout(self, namespec: str) -> ArbiterRollout | None:
        """The program's rollout under way, if it is of this strategy."""
        run = self._jobs.runs.get(namespec)
        return run.rolling if run and isinstance(run.rolling, ArbiterRollout) else None


def _is_descriptor(number: str) -> bool:
    return number.isascii() and number.isdecimal() and len(number) < 10


def is_successor(run: Run, arbiter: InstanceId) -> bool:
    """Whether the arbiter is the successor in this run, promoted or not."""
    return isinstance(run.rollout, ArbiterRollout) and run.rollout.successor == arbiter
