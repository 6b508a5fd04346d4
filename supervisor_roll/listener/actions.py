"""What the rollouts want is done: signals, and what supervisord is asked for."""

from __future__ import annotations

import logging
import signal

from supervisor_roll.listener.edges.supervisord import Supervisord, SupervisordError
from supervisor_roll.listener.rollouts.active import ActiveRollouts
from supervisor_roll.listener.rollouts.log_text import spoken
from supervisor_roll.listener.rollouts.succession import SuccessorControl
from supervisor_roll.rollout import events as ev
from supervisor_roll.rollout.events import Action, InstanceId
from supervisor_roll.wire.mailbox import Signal
from supervisor_roll.wire.successor import program_of, successor_of

log = logging.getLogger("supervisor_roll")

_SIGNALS: dict[type[ev.Action], signal.Signals] = {
    ev.StopInstance: signal.SIGTERM,
    ev.DumpInstance: signal.SIGABRT,
    ev.KillInstance: signal.SIGKILL,
}
# supervisord sends these itself, as soon as it has saved why.
_TO_ARBITERS = (ev.AddInstance, ev.RemoveOldest)


class Actions:
    """Takes what is to be done out of the outbox."""

    def __init__(
        self, active: ActiveRollouts, successors: SuccessorControl, supervisord: Supervisord
    ) -> None:
        self._active, self._successors, self._supervisord = active, successors, supervisord
        self._outbox, self._registry = active.outbox, active.registry
        self._number = 0  # of the last signal that was left to supervisord
        self._left: list[tuple[str, Action]] = []  # which is logged once it is sent

    def leave_signals(self) -> None:
        """Leave to supervisord what it is to send, but for what another action comes before."""
        waiting, self._outbox.actions = self._outbox.actions, []
        for namespec, action in waiting:
            first = all(namespec != other for other, _ in self._outbox.actions)
            if first and isinstance(action, _TO_ARBITERS):
                self._left.append((namespec, action))
                self._number += 1
                to = successor_of(namespec) if action.whose is ev.Whose.SUCCESSOR else namespec
                name = "TTIN" if isinstance(action, ev.AddInstance) else "TTOU"
                self._outbox.signals.append(Signal(self._number, to, name))
            else:
                self._outbox.actions.append((namespec, action))

    def run(self) -> None:
        """Do what is not supervisord's to do. Raises SupervisordError; it is tried again then."""
        left, self._left = self._left, []
        for namespec, action in left:
            log.info("%s: %s", namespec, spoken(action))
        starts, self._outbox.starts = self._outbox.starts, []
        for start in starts:
            start()
        actions = self._outbox.actions
        while own := next((one for one in actions if not isinstance(one[1], _TO_ARBITERS)), None):
            actions.remove(own)
            namespec, action = own
            log.info("%s: %s", namespec, spoken(action))
            try:
                if isinstance(action, ev.StartSuccessor | ev.Promote | ev.Discard):
                    self._successors.act(namespec, action)
                elif isinstance(action, ev.StopInstance | ev.DumpInstance | ev.KillInstance):
                    self._signal(namespec, action.instance, _SIGNALS[type(action)])
            except SupervisordError:
                self._outbox.actions.insert(0, (namespec, action))
                raise

    def _signal(self, namespec: str, instance: InstanceId, signum: signal.Signals) -> None:
        try:
            if self._is_programs(namespec, instance):
                self._registry.table.send(instance, signum)
        except PermissionError:
            self._active.warn(
                namespec,
                f"the listener may not send {signum.name} to worker {instance.pid}: run it as "
                "root or as the worker's user",
            )

    def _is_programs(self, namespec: str, instance: InstanceId) -> bool:
        """Whether it is an arbiter that supervisord runs for the program now, or a worker of one.

        We may be root, and what we know of it may be old. A child that may be something else
        than a worker is never signalled. Raises SupervisordError.
        """
        child = self._registry.table.child(instance.pid)
        if child is None or child.id != instance:
            return False  # it has gone
        arbiters = {
            one.pid
            for one in self._supervisord.processes()
            if one.pid and program_of(one.namespec) == namespec
        }
        ours = instance.pid in arbiters or (
            child.parent.pid in arbiters and self._registry.is_worker(instance)
        )
        if not ours:
            log.error("%s: process %d is no worker of it: not signalled", namespec, instance.pid)
        return ours
