"""The commands: rollrestart, rollupdate, rollrecycle, rollstatus, and what controls rollouts.

Each sets ``ctl.exitstatus`` and returns; none ends the process, since it may run in
supervisorctl's shell. What is not handled here supervisorctl prints and counts as an error.
"""

from __future__ import annotations

import getpass
import os
import socket
import sys
from collections.abc import Callable, Iterable
from functools import partial, wraps
from pathlib import Path
from typing import TextIO, TypeVar
from xmlrpc.client import Fault

from supervisor.options import split_namespec
from supervisor.supervisorctl import (
    ControllerPluginBase,
    LSBInitExitStatuses,
    LSBStatusExitStatuses,
)
from supervisor.xmlrpc import Faults

from supervisor_roll.ctl import arguments
from supervisor_roll.ctl.arguments import Usage
from supervisor_roll.ctl.client import RollClient
from supervisor_roll.ctl.follower import Follower, Lost
from supervisor_roll.ctl.help import (
    ROLLABORT,
    ROLLDRAIN,
    ROLLHISTORY,
    ROLLPAUSE,
    ROLLREADY,
    ROLLRECYCLE,
    ROLLRESTART,
    ROLLRESUME,
    ROLLSTATUS,
    ROLLUPDATE,
)
from supervisor_roll.ctl.render import history, objects, reports
from supervisor_roll.ctl.screen import ReaderLeft, Screen
from supervisor_roll.ctl.selection import being_rolled, following, jobs_of, programs_of
from supervisor_roll.ctl.status import look, show, watch
from supervisor_roll.rollout.reports import Past, Refused, Warned
from supervisor_roll.rollout.words import COMPLETE
from supervisor_roll.wire import mailbox as wire

INTERRUPTED = 130  # as a shell counts a command that SIGINT ended

READER_LEFT = 141  # as a shell counts one that SIGPIPE ended

_Arguments = TypeVar("_Arguments")


def _command(command: Callable[[RollPlugin, str], None]) -> Callable[[RollPlugin, str], None]:
    """End the command, as SIGPIPE would, once nobody reads it (``| head``).

    A rollout goes on without its command, as after Ctrl-C. With ``--json`` what is no object goes
    to standard error, also what supervisorctl itself says.
    """

    @wraps(command)
    def guarded(self: RollPlugin, text: str) -> None:
        stdout = self.ctl.stdout
        self.whole = arguments.TRACEBACK in text.split()
        if arguments.JSON in text.split():
            self.objects, self.ctl.stdout = stdout, sys.stderr
        try:
            command(self, text)
        except ReaderLeft:
            self.ctl.exitstatus = READER_LEFT
        except Exception as error:
            if self.objects is None or self.ctl.options.interactive:
                raise  # supervisorctl says it, or asks for the password
            self.ctl.output(f"error: {error}")
            self.ctl.exitstatus = LSBInitExitStatuses.GENERIC
        finally:
            self.objects, self.ctl.stdout = None, stdout

    return guarded


class RollPlugin(ControllerPluginBase):
    """supervisorctl finds its commands by the prefix ``do_``, and their help by ``help_``."""

    name = "roll"
    objects: TextIO | None = None  # where objects go, while a command with --json runs
    whole = False  # with --traceback

    def do_help(self, topic: str) -> None:
        # supervisorctl asks every plugin for every topic.
        if not topic or topic.startswith("roll"):
            super().do_help(topic)

    @_command
    def do_rollrestart(self, text: str) -> None:
        given = self._parsed(arguments.rollrestart, text, ROLLRESTART)
        if given is not None and self.ctl.upcheck():
            kind = wire.DRY_RUN if given.dry_run else wire.ROLLOUT
            by = _by(ROLLRESTART)
            ask = wire.Command(kind, given.names, given.values, by, given.parallel)
            if given.drain:
                self._roll_drained(ask)
            else:
                self._roll(ask, given.wait)

    def help_rollrestart(self) -> None:
        self._help(ROLLRESTART)

    @_command
    def do_rollupdate(self, text: str) -> None:
        given = self._parsed(arguments.rollupdate, text, ROLLUPDATE)
        if given is not None and self.ctl.upcheck():
            names, by = given.names or ["all"], _by(ROLLUPDATE)
            self._roll(wire.Command(wire.UPDATE, names, {}, by, given.parallel), given.wait)

    def help_rollupdate(self) -> None:
        self._help(ROLLUPDATE)

    @_command
    def do_rollrecycle(self, text: str) -> None:
        given = self._parsed(arguments.rollrecycle, text, ROLLRECYCLE)
        if given is not None and self.ctl.upcheck():
            ask = wire.Command(wire.RECYCLE, [given.name], by=_by(ROLLRECYCLE), pids=given.pids)
            self._roll(ask, given.wait)

    def help_rollrecycle(self) -> None:
        self._help(ROLLRECYCLE)

    @_command
    def do_rollstatus(self, text: str) -> None:
        given = self._parsed(arguments.rollstatus, text, ROLLSTATUS)
        if given is None:
            return
        if not self.ctl.upcheck():
            self.ctl.exitstatus = LSBStatusExitStatuses.UNKNOWN  # as `status` has it
            return
        screen, client = Screen(self.ctl.stdout, self.objects), RollClient(self.ctl)
        followed: list[str] = []
        try:
            # Who watches looks again and again.
            found = client.overview() if given.follow or given.watch else look(client)
            names = self._matching(client, screen, given.names)
            about = names if given.names else None
            if given.watch:
                watch(client, screen, about, self.whole)
            if given.follow:
                jobs = jobs_of(found.jobs, about)
                if jobs:
                    screen.log()
                    followed = [name for job in jobs for name in job.programs]
                    self._follow(client, screen, jobs, only=bool(given.names))
                    return
            show(found, screen, about, self.whole)
            states = {found.programs[name].state for name in names if name in found.programs}
            if given.follow and names and states != {COMPLETE}:
                self.ctl.exitstatus = LSBInitExitStatuses.GENERIC
        except Fault as fault:
            self._show_fault(screen, fault)
        except KeyboardInterrupt:
            screen.close()
            self.ctl.exitstatus = INTERRUPTED
            screen.say("")
            if followed:
                self._say_detached(screen, followed)
        finally:
            screen.close()

    def help_rollstatus(self) -> None:
        self._help(ROLLSTATUS)

    @_command
    def do_rollhistory(self, text: str) -> None:
        given = self._parsed(arguments.rollhistory, text, ROLLHISTORY)
        if given is None or not self.ctl.upcheck():
            return
        screen, client = Screen(self.ctl.stdout, self.objects), RollClient(self.ctl)
        ask = wire.Command(
            wire.HISTORY, given.names or ["all"], by=_by(ROLLHISTORY), last=given.last
        )
        receipt = self._requested(client, screen, ask)
        if receipt is None:
            return
        try:
            answer = client.answer(receipt.id)
        except (Fault, TimeoutError) as error:
            screen.say(f"error: {error}")
            self.ctl.exitstatus = LSBInitExitStatuses.GENERIC
            return
        past = [one for one in answer if one.kind == Past.kind]
        if past and wire.is_number(ask.names[0]):
            told = [one for one in answer if one.kind != Past.kind]
            if given.draws:
                self._draw(screen, given, past[0], told)
                return
            screen.tell(
                history.one_rollout(past[0], told, self.whole), *map(objects.report, answer)
            )
            return
        for one in answer:
            if isinstance(one.content, Refused | Warned):
                for line in reports.report_lines(one, whole=self.whole):
                    screen.say(line)
        if past:
            screen.tell(history.history_table(past), *map(objects.report, past))
        elif not answer:
            screen.say("no such rollout is known" if given.names else "no rollout has ended yet")
        if not past and (answer or given.names):
            self.ctl.exitstatus = LSBInitExitStatuses.GENERIC

    def help_rollhistory(self) -> None:
        self._help(ROLLHISTORY)

    @_command
    def do_rollabort(self, text: str) -> None:
        self._control(wire.ABORT, "aborting", text, ROLLABORT)

    def help_rollabort(self) -> None:
        self._help(ROLLABORT)

    @_command
    def do_rollpause(self, text: str) -> None:
        self._control(wire.PAUSE, "pausing", text, ROLLPAUSE)

    def help_rollpause(self) -> None:
        self._help(ROLLPAUSE)

    @_command
    def do_rollresume(self, text: str) -> None:
        self._control(wire.RESUME, "resuming", text, ROLLRESUME)

    def help_rollresume(self) -> None:
        self._help(ROLLRESUME)

    @_command
    def do_rolldrain(self, text: str) -> None:
        self._serve(wire.DRAIN, text, ROLLDRAIN)

    def help_rolldrain(self) -> None:
        self._help(ROLLDRAIN)

    @_command
    def do_rollready(self, text: str) -> None:
        self._serve(wire.READY, text, ROLLREADY)

    def help_rollready(self) -> None:
        self._help(ROLLREADY)

    # --- the steps ------------------------------------------------------------------------

    def _roll(self, ask: wire.Command, wait: bool) -> bool:
        """Ask for it, and follow it to its end if one is to ``wait``. Whether it was taken."""
        screen, client = Screen(self.ctl.stdout, self.objects), RollClient(self.ctl)
        update = ask.kind == wire.UPDATE
        receipt = None
        try:
            receipt = self._requested(client, screen, ask)
            if receipt is None:
                return False
            if wait and ask.kind != wire.DRY_RUN:
                screen.log()
            skipped = [f"{program}: skipped: {why}" for program, why in receipt.skipped]
            screen.tell(skipped, objects.requested(ask.kind, receipt))
            # Which programs an update rolls is found out later, if there are any.
            programs = ask.names if update else receipt.programs
            if not programs:
                screen.say("no program to roll")
                self.ctl.exitstatus = LSBInitExitStatuses.GENERIC
            elif wait:
                self._follow(client, screen, [wire.Job(receipt.id, ask.kind, programs)])
            else:
                what = "update requested" if update else "requested"
                lines = [f"{program}: {what}" for program in programs]
                if ask.kind not in (wire.DRAIN, wire.READY):
                    lines.append(f"Follow with `{following(programs)}`.")
                screen.tell(lines)
        except KeyboardInterrupt:
            screen.close()
            self.ctl.exitstatus = INTERRUPTED
            screen.say("")
            if receipt is None:
                screen.say(
                    "Interrupted before supervisord answered; `rollstatus` says whether a"
                    " rollout began."
                )
            elif ask.kind in (wire.DRAIN, wire.READY):
                screen.say("Detached: what was asked for goes on; see `rollstatus`.")
            else:
                self._say_detached(screen, ask.names if update else receipt.programs)
        finally:
            screen.close()
        return receipt is not None

    def _roll_drained(self, ask: wire.Command) -> None:
        """Roll programs that are out of service meanwhile, and put them back in any case."""
        if not self._roll(wire.Command(wire.DRAIN, ask.names, by=ask.by), wait=True):
            return
        status = self.ctl.exitstatus
        if not status:
            self._roll(ask, wait=True)
            status = self.ctl.exitstatus
        if status == INTERRUPTED:
            names = " ".join(ask.names)
            self.ctl.output(f"Out of service until `rollready {names}`.")
            return
        self._roll(wire.Command(wire.READY, ask.names, by=ask.by), wait=True)
        self.ctl.exitstatus = status or self.ctl.exitstatus

    def _serve(self, kind: str, text: str, command: str) -> None:
        """Take programs out of service, or put them back."""
        given = self._parsed(partial(arguments.control, command), text, command)
        if given is not None and self.ctl.upcheck():
            self._roll(wire.Command(kind, given.names, by=_by(command)), given.wait)

    def _draw(
        self,
        screen: Screen,
        given: arguments.RollHistory,
        past: wire.Report,
        told: list[wire.Report],
    ) -> None:
        """Show one rollout as a picture, or write it into files."""
        # Imported here since every supervisorctl command loads this plugin.
        from supervisor_roll.ctl.render.timeline import laid_out, timeline_lines
        from supervisor_roll.ctl.render.timeline_svg import page, svg
        from supervisor_roll.ctl.write_file import write_file

        picture = laid_out(past, told)
        if picture is None:
            screen.say("nothing is known of that rollout's workers")
            self.ctl.exitstatus = LSBInitExitStatuses.GENERIC
            return
        if given.timeline:
            screen.draw(partial(timeline_lines, picture))
        files: dict[str, Callable[[], str]] = {
            given.svg: partial(svg, picture),
            given.html: partial(page, picture, past, told, self.whole),
        }
        for name, drawn in files.items():
            try:
                if name:
                    write_file(Path(name), drawn())
                    screen.say(f"written to {name}")
            except OSError as error:
                screen.say(f"error: {name} cannot be written: {error.strerror or error}")
                self.ctl.exitstatus = LSBInitExitStatuses.GENERIC

    def _control(self, kind: str, doing: str, text: str, command: str) -> None:
        """Ask something of rollouts under way, and do not wait for what comes of it."""
        given = self._parsed(partial(arguments.control, command), text, command)
        if given is None or not self.ctl.upcheck():
            return
        screen, client = Screen(self.ctl.stdout, self.objects), RollClient(self.ctl)
        try:
            found = client.overview()
        except Fault as fault:
            self._show_fault(screen, fault)
            return
        active = being_rolled(found)
        receipt = self._requested(client, screen, wire.Command(kind, given.names, {}, _by(command)))
        if receipt is None:
            return
        for program in receipt.programs:
            if program in active:
                screen.say(f"{program}: {doing}")
            elif program in given.names:
                screen.say(f"{program}: it is not being rolled")
                self.ctl.exitstatus = LSBInitExitStatuses.GENERIC
        if not active.union(given.names).intersection(receipt.programs):
            screen.say("none of these is being rolled")
            self.ctl.exitstatus = LSBInitExitStatuses.GENERIC

    def _help(self, command: str) -> None:
        self.ctl.output(arguments.parser(command).format_help().rstrip())

    def _parsed(
        self, parse: Callable[[str], _Arguments], text: str, command: str
    ) -> _Arguments | None:
        try:
            return parse(text)
        except Usage as error:
            if str(error):
                self.ctl.output(f"Error: {error}")
                self.ctl.exitstatus = LSBInitExitStatuses.INVALID_ARGS
                self.ctl.output(arguments.parser(command).format_usage().rstrip())
            else:
                self._help(command)
            return None

    def _requested(
        self, client: RollClient, screen: Screen, ask: wire.Command
    ) -> wire.Receipt | None:
        try:
            return client.request(ask, lambda: screen.say("waiting for the listener to start ..."))
        except Fault as fault:
            self._show_fault(screen, fault)
            return None

    def _follow(
        self, client: RollClient, screen: Screen, jobs: list[wire.Job], only: bool = False
    ) -> None:
        follower = Follower(client, screen, whole=self.whole)
        try:
            for job in jobs:
                follower.follow(job.id, job.programs, only, job.kind == wire.UPDATE)
        except Lost as lost:
            screen.close()
            screen.say(f"error: {lost}")
            self.ctl.exitstatus = LSBInitExitStatuses.GENERIC
            return
        outcomes = {program: kind for program, kind in follower.outcomes.items() if program}
        line = reports.outcome_line(outcomes, len(follower.objected), follower.interleaved)
        ended = objects.ended(outcomes, follower.succeeded)
        screen.tell([line] if len(outcomes) > 1 else [], ended)
        if not follower.succeeded:
            self.ctl.exitstatus = LSBInitExitStatuses.GENERIC

    def _matching(self, client: RollClient, screen: Screen, names: list[str]) -> list[str]:
        """Return the programs that ``names`` mean, as `status` reads them."""
        if not names:
            return []
        everyone = client.process_names()
        matching: dict[str, None] = {}
        for name in names:
            found = programs_of(name, everyone)
            if not found:
                kind = "group" if split_namespec(name)[1] is None else "process"
                screen.say(f"{name}: ERROR (no such {kind})")
                self.ctl.exitstatus = LSBStatusExitStatuses.UNKNOWN
            matching.update(dict.fromkeys(found))
        return list(matching)

    def _show_fault(self, screen: Screen, fault: Fault) -> None:
        if fault.faultCode == Faults.UNKNOWN_METHOD:
            screen.say(
                "error: supervisord has no [rpcinterface:roll]: include conf.d/roll.conf,"
                " then restart supervisord or run `supervisorctl reload`"
            )
            self.ctl.exitstatus = LSBInitExitStatuses.UNIMPLEMENTED_FEATURE
            return
        code, _, text = fault.faultString.partition(": ")
        if fault.faultCode in (Faults.BAD_NAME, Faults.NOT_RUNNING) and text:
            screen.say(text)
        elif fault.faultCode == Faults.SHUTDOWN_STATE:
            screen.say("error: supervisord is shutting down")
        elif fault.faultCode == Faults.BAD_ARGUMENTS:
            screen.say(
                f"error: {text or code}; if supervisord runs an earlier version of"
                " supervisor_roll, restart it once"
            )
        else:
            screen.say(f"error: {text or code}")
        self.ctl.set_exitstatus_from_xmlrpc_fault(fault.faultCode)

    def _say_detached(self, screen: Screen, programs: Iterable[str]) -> None:
        names = list(dict.fromkeys(programs))
        screen.say(
            f"Detached; the rollout goes on. Follow it with `{following(names)}`,"
            f" abort it with `rollabort {' '.join(names)}`."
        )


def _by(command: str) -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no such user in the password database
        user = f"uid {os.getuid()}"
    return f"supervisorctl {command} ({user}@{socket.gethostname()}, pid {os.getpid()})"
