"""What is to be done since the configuration, or a watched file, has changed.

A process is rolled automatically when its program's section differs from what it runs with, or when
what stands at a path that its program watches differs from what it was last rolled with. That
very difference is tried once: whether its rollout completes or fails, there is another one only
for another difference. So a release that fails is not rolled again and again, and neither is
the one before it that ``on_failure`` has put back.

supervisord tells what differs from what runs, so we cannot remember it wrongly. Only what was
tried is remembered, and saved.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from supervisor_roll.listener.configuration.sections import BadConfiguration, Configuration
from supervisor_roll.listener.configuration.supervisor_files import included, included_folders
from supervisor_roll.listener.edges.file_watch import POLL_SECS, FileWatch, fingerprint
from supervisor_roll.listener.edges.supervisord import Refused
from supervisor_roll.listener.reconcile.attempts import Attempt, Attempts, Saved
from supervisor_roll.listener.reconcile.operations import (
    ADOPT,
    RESIZE,
    ROLL,
    RUNNING,
    Operation,
    operations_for,
    parts,
    resizing,
    why_not,
)
from supervisor_roll.listener.reconcile.program_index import ProgramIndex
from supervisor_roll.listener.reconcile.requested import RequestedUpdate
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.wire.codec import fitting
from supervisor_roll.wire.successor import Change, Reread

# supervisord may have refused for what is not in the files: a folder, a user.
ASK_SECS = 10.0


@dataclass(frozen=True)
class Watched:
    """Paths, each with its fingerprint; ``look_secs``: how often to look, at each tick if None."""

    files: dict[str, str]
    look_secs: float | None


@dataclass(frozen=True)
class _Program:
    """One that is rolled automatically."""

    settings: Settings
    namespecs: Sequence[str]

    def fingerprints(self) -> dict[str, str]:
        return {path: fingerprint(path) for path in self.settings.watch}


class Reconciler:
    """Decides what is to be rolled. ``now`` is always seconds on one monotonic clock.

    ``configuration`` raises BadConfiguration, ``reread`` raises SupervisordError, ``state`` is
    supervisor's name of a process's state, and ``busy`` whether it is being rolled.
    ``problems`` are for the caller to tell and to clear, and ``unsaved`` is for it to unset.
    """

    def __init__(
        self,
        configuration: Callable[[], Configuration],
        reread: Callable[[], Reread],
        state: Callable[[str], str],
        busy: Callable[[str], bool],
    ) -> None:
        self.problems: list[str] = []
        self.unsaved = False
        self._read, self._reread, self._state, self._busy = configuration, reread, state, busy
        self._configuration: Configuration | None = None  # the last good one
        self._bad: BadConfiguration | None = None  # why the files are not good as they are now
        self._programs: dict[str, _Program] = {}  # those with auto=true
        self._found: Reread | Refused | None = None  # None: to be asked for
        self._files, self._paths = FileWatch(), FileWatch()
        self._look_at = float("-inf")
        self._said: dict[str, str] = {}  # problems, by what they are about
        self._ask_at = float("-inf")  # when to ask again after a fault
        # Saved:
        self._tried: dict[str, Attempts] = {}
        self._resized: dict[str, list[str]] = {}  # group -> what it was to gain and lose
        self._index = ProgramIndex()

    # --- automatically ------------------------------------------------------------------------

    def tick(self, now: float) -> list[Operation]:
        """Return what is due. Raises SupervisordError."""
        if now < self._look_at:
            return []
        self._look_at = now + POLL_SECS
        self._look(now)
        settle_secs = min(
            (one.settings.settle_secs for one in self._programs.values()),
            default=Settings().settle_secs,
        )
        if not self._files.all_still(settle_secs, now):
            return []
        if self._configuration is None or self._bad is not None:
            self._tell({**self._said, "": str(self._bad)})
            return []
        self._forget(self._configuration)
        return self._due(self._configuration, now)

    def next_deadline(self, now: float) -> float | None:
        """When ``tick`` is due; None if nothing is watched."""
        return max(now, self._look_at) if self._programs else None

    def watched_at_rest(self, now: float) -> Watched | None:
        """Return what is watched, if nothing is to be done until something changes there."""
        if self._configuration is None or self._bad is not None:
            return None
        if self._programs and not isinstance(self._found, Reread):
            return None
        settings = [one.settings for one in self._programs.values()] or [Settings()]
        settle_secs = max(one.settle_secs for one in settings)
        folders = included_folders(self._configuration.patterns)
        # Before a look at the files, so that none comes unseen.
        files = {folder: fingerprint(folder) for folder in folders}
        known = self._files.fingerprints
        if known.keys() != set(self._configured_files()) or not all(
            one.all_still(settle_secs, now) for one in (self._files, self._paths)
        ):
            return None
        files |= known | self._paths.fingerprints
        return Watched(files, POLL_SECS if self._programs else None)

    def began(self, namespec: str, digest: str) -> None:
        """Note that a rollout has begun, of that change and of what is at the watched paths now."""
        program = self._program(namespec)
        if program is None:
            return
        tried = self._tried.setdefault(namespec, Attempts())
        tried.attempt = Attempt(digest, program.fingerprints())
        self.unsaved = True

    def ended(self, namespec: str, ok: bool) -> None:
        """Note that a rollout has ended, or was never begun; ``ok``: it is complete."""
        tried = self._tried.get(namespec)
        if tried is None or tried.attempt is None:
            return  # none of ours
        tried.ended(ok)
        self._found, self.unsaved = None, True

    def saved(self) -> Saved:
        return Saved(self._tried, self._resized, self._index.groups)

    def restore(self, data: object) -> None:
        """Take up what an earlier listener saved, as far as it can be used."""
        saved = fitting(Saved, data)
        self._tried, self._resized = saved.tried, saved.resized
        self._index.groups = saved.groups

    def _look(self, now: float) -> None:
        """Look at all that is watched."""
        try:
            self._take(self._read())
        except BadConfiguration as error:
            self._bad = error
        changed = self._files.look(self._configured_files(), now)
        if changed:
            self._found = None
        self._paths.look(
            {path for one in self._programs.values() for path in one.settings.watch}, now
        )
        for program in self._programs.values():
            for namespec in program.namespecs:
                tried = self._tried.setdefault(namespec, Attempts())
                for path in set(program.settings.watch) - tried.rolled.keys():
                    tried.rolled[path] = self._paths.fingerprints[path]
                    self.unsaved = True

    def _program(self, namespec: str) -> _Program | None:
        return self._programs.get(self._index.programs.get(namespec, ""))

    def _configured_files(self) -> list[str]:
        known = self._configuration
        return [] if known is None else [known.path, *included(known.patterns)]

    def _take(self, configuration: Configuration) -> None:
        self._configuration, self._bad = configuration, None
        self._programs = {
            name: _Program(settings, configuration.namespecs(name))
            for name, settings in configuration.settings.items()
            if settings.auto
        }
        self.unsaved |= self._index.learn(configuration)

    def _forget(self, configuration: Configuration) -> None:
        """Let a program that is no longer rolled automatically start afresh when it is again.

        Not so one whose section is wrong: what it misses meanwhile is rolled once that is mended.
        """
        watched = {
            namespec: program.settings.watch
            for program in self._programs.values()
            for namespec in program.namespecs
        }
        for namespec, tried in list(self._tried.items()):
            if self._index.programs.get(namespec) in configuration.bad:
                continue
            if namespec not in watched:
                del self._tried[namespec]
            elif dropped := tried.rolled.keys() - watched[namespec]:
                for path in dropped:
                    del tried.rolled[path]
            else:
                continue
            self.unsaved = True

    def _tell(self, problems: dict[str, str]) -> None:
        self.problems += [text for about, text in problems.items() if self._said.get(about) != text]
        self._said = problems

    def _due(self, configuration: Configuration, now: float) -> list[Operation]:
        told = {f"roll:{name}": str(bad) for name, bad in configuration.bad.items()}
        if not self._programs:
            self._tell(told)
            return []
        known, found = self._found, self._ask(configuration, now)
        if isinstance(found, Refused):
            self._tell(
                {**self._said, "": f"supervisord cannot reread its configuration: {found.text}"}
            )
            return []
        due = self._resizes(found, told, now)
        changes = {one.namespec: one for one in found.changes}
        for program in self._programs.values():
            due += self._operations(program, changes, told, now)
        if due and found is known:
            self._found = None  # somebody may have applied it meanwhile
            return self._due(configuration, now)
        self._tell(told)
        self._hand_out(due, found)
        return due

    def _ask(self, configuration: Configuration, now: float) -> Reread | Refused:
        if self._found is None or (isinstance(self._found, Refused) and now >= self._ask_at):
            self._ask_at = now + ASK_SECS
            try:
                self._found = self._reread()
                self.unsaved |= self._index.forget(configuration, self._found)
            except Refused as fault:
                self._found = fault
        return self._found

    def _operations(
        self, program: _Program, changes: Mapping[str, Change], problems: dict[str, str], now: float
    ) -> list[Operation]:
        own = {one: changes[one] for one in program.namespecs if one in changes}
        whys = {one: why_not(change, program.settings) for one, change in own.items()}
        problems |= {one: why for one, why in whys.items() if why}
        if not self._ready(program, now):
            return []
        due, paths = {}, {}
        there = {path: self._paths.fingerprints[path] for path in program.settings.watch}
        for namespec in program.namespecs:
            tried, change = self._tried[namespec], own.get(namespec)
            self.unsaved |= tried.settle(change is not None, there)
            if self._state(namespec) == RUNNING:
                paths[namespec] = tried.new(there)
                if change and change.digest != tried.digest and not whys[namespec]:
                    due[namespec] = change
        return operations_for(program.namespecs, due, paths)

    def _resizes(self, found: Reread, problems: dict[str, str], now: float) -> list[Operation]:
        due = []
        for resize in found.resized:
            names = self._index.of(resize)
            programs = [self._programs[name] for name in names if name in self._programs]
            if not programs or len(programs) < len(names):
                continue  # some are not to be touched unasked
            if resize.refused:
                problems[f"group:{resize.group}"] = f"{resize.group}: {resize.refused}"
            elif (
                all(self._ready(program, now) for program in programs)
                and not any(map(self._busy, resize.dropped))
                and not parts(resize) <= set(self._resized.get(resize.group, ()))
                and any(
                    self._state(namespec) == RUNNING
                    for program in programs
                    for namespec in program.namespecs
                )
            ):
                due.append(resizing(resize))
        for group in self._resized.keys() - {resize.group for resize in found.resized}:
            del self._resized[group]
            self.unsaved = True
        return due

    def _ready(self, program: _Program, now: float) -> bool:
        """Nothing that concerns it changes any more, and it is not being rolled."""
        settle_secs = program.settings.settle_secs
        return (
            self._files.all_still(settle_secs, now)
            and all(self._paths.still(path, settle_secs, now) for path in program.settings.watch)
            and not any(map(self._busy, program.namespecs))
        )

    def _hand_out(self, due: list[Operation], found: Reread) -> None:
        digests = {one.namespec: one.digest for one in found.changes}
        resized = {one.group: sorted(parts(one)) for one in found.resized}
        self.unsaved |= bool(due)
        for operation in due:
            for name in operation.names if operation.kind in (ROLL, ADOPT, RESIZE) else ():
                if operation.kind == RESIZE:
                    self._resized[name] = resized[name]
                elif (program := self._program(name)) and not self._busy(name):
                    self._tried.setdefault(name, Attempts()).attempt = Attempt(
                        digests.get(name, ""),
                        program.fingerprints() if operation.kind == ROLL else {},
                    )

    # --- as asked -------------------------------------------------------------------------------

    def update(self, names: list[str]) -> tuple[list[Operation], list[str]]:
        """Return what ``rollupdate`` is to do now, and what it leaves to the operator, in words.

        Raises BadConfiguration and SupervisordError.
        """
        configuration, found = self._read(), self._reread()
        self.unsaved |= self._index.learn(configuration)
        due, left = RequestedUpdate(names, configuration, found, self._state, self._index).answer()
        self._hand_out(due, found)
        return due, left
