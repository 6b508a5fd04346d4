"""The commands' arguments. Wrong ones raise Usage; nothing here ends the process."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import NoReturn

from supervisor_roll.ctl import help as texts
from supervisor_roll.rollout.errors import BadSetting
from supervisor_roll.rollout.setting_help import PARALLEL, SETTINGS, default_of
from supervisor_roll.rollout.settings import Amount, Settings, parsed_parallel
from supervisor_roll.wire.mailbox import is_number


class Usage(Exception):
    """The arguments are wrong; the text says how. Empty if only help was asked for."""


@dataclass(frozen=True)
class RollRestart:
    """``values`` holds only the settings that were given, as they were given."""

    names: list[str]
    values: dict[str, str] = field(default_factory=dict)
    wait: bool = True
    dry_run: bool = False
    parallel: int | None = None
    drain: bool = False


@dataclass(frozen=True)
class RollUpdate:
    """No ``names`` means all programs."""

    names: list[str]
    wait: bool = True
    parallel: int | None = None


@dataclass(frozen=True)
class RollRecycle:
    """No ``pids`` means the worker with the most memory."""

    name: str
    pids: list[int]
    wait: bool = True


@dataclass(frozen=True)
class RollStatus:
    names: list[str]
    follow: bool = False
    watch: bool = False


@dataclass(frozen=True)
class RollHistory:
    """No ``names`` means all programs; one may be the number of a rollout.

    That one is drawn on the terminal with ``timeline``, and into the files ``svg`` and ``html``.
    ``last`` are shown; 0: as many as without it.
    """

    names: list[str]
    timeline: bool = False
    svg: str = ""
    html: str = ""
    last: int = 0

    @property
    def draws(self) -> bool:
        return bool(self.timeline or self.svg or self.html)


@dataclass(frozen=True)
class RollControl:
    """The arguments of rollabort, rollpause, rollresume, rolldrain and rollready."""

    names: list[str]
    wait: bool = True


JSON, TRACEBACK = "--json", "--traceback"
MOST_LAST = 1000  # more are not kept

_SETTINGS = {  # option: key
    "--strategy": "strategy",
    "--max-surge": "max_surge",
    "--max-unavailable": "max_unavailable",
    "--ready-timeout": "ready_timeout_secs",
    "--min-ready": "min_ready_secs",
    "--canary": "canary",
}


def parser(command: str) -> argparse.ArgumentParser:
    """Return the parser of a command, which knows its help and usage too."""
    made = _Parser(command)
    if command == texts.ROLLRESTART:
        for option, key in _SETTINGS.items():
            told = SETTINGS[key]
            made.add_argument(option, dest=key, metavar=told.form, help=_help(key, told.text))
        made.add_argument(
            "--preflight",
            action=argparse.BooleanOptionalAction,
            help=_help("preflight", SETTINGS["preflight"].text),
        )
        made.add_argument(
            "--dry-run",
            action="store_true",
            help="Replace nothing: make a preflight, which runs the program's command once "
            "(--no-preflight: do not), and show what would be done and what it would cost.",
        )
        made.add_argument(
            "--drain",
            action="store_true",
            help="Take the programs out of service first, as rolldrain does, and put them back "
            "once the rollout has ended, as rollready does, however it ended.",
        )
    if command in (texts.ROLLRESTART, texts.ROLLUPDATE):
        made.add_argument(
            "--parallel", metavar=PARALLEL.form, help=f"{PARALLEL.text} ([roll] parallel=, or 1)"
        )
    if command in texts.WAITS:
        made.add_argument(
            "--no-wait", action="store_true", help="Return as soon as the request is made."
        )
    if command == texts.ROLLSTATUS:
        goes_on = made.add_mutually_exclusive_group()
        goes_on.add_argument(
            "--follow",
            action="store_true",
            help="Follow what is under way until it has ended, as rollrestart does.",
        )
        goes_on.add_argument(
            "--watch",
            action="store_true",
            help="Show it anew until Ctrl-C, without a terminal whenever it has changed.",
        )
    if command == texts.ROLLHISTORY:
        made.add_argument("--last", metavar="N", help=f"Show so many, {MOST_LAST} at most. (50)")
        made.add_argument(
            "--timeline",
            action="store_true",
            help="Draw that rollout: a bar for each worker, and how many were ready.",
        )
        made.add_argument("--svg", metavar="FILE", help="Write that as a picture, ...")
        made.add_argument("--html", metavar="FILE", help="... or as a page with all that was told.")
    if command in texts.REPORTING:
        made.add_argument(
            TRACEBACK,
            action="store_true",
            help="Show tracebacks whole: also the frames of importlib, Gunicorn and its hooks.",
        )
    if command in texts.WITH_JSON:
        made.add_argument(
            JSON, action="store_true", help="Print objects, one a line, in place of text."
        )
    made.add_argument("names", nargs="*", help=argparse.SUPPRESS)
    return made


@dataclass(frozen=True)
class Option:
    """Whether an option takes a value, and which values there are if that is known."""

    takes_value: bool = False
    values: list[str] = field(default_factory=list)


def options(command: str) -> dict[str, Option]:
    """Return the options of a command by name."""
    found = {}
    for action in parser(command)._actions:
        form = str(action.metavar or "")
        values = form.split("|") if form.replace("|", "").islower() else []
        option = Option(action.nargs is None, values)
        found.update(dict.fromkeys(action.option_strings, option))
    return found


def rollrestart(text: str) -> RollRestart:
    """Parse what follows the command. Raises Usage."""
    found = _parsed(texts.ROLLRESTART, text, needs_names=True)
    values = {
        key: value for key in _SETTINGS.values() if (value := getattr(found, key)) is not None
    }
    if found.preflight is not None:
        values["preflight"] = "true" if found.preflight else "false"
    _check(values)
    if found.drain and (found.no_wait or found.dry_run):
        raise Usage("--drain waits for the rollout: not with --no-wait or --dry-run")
    return RollRestart(
        found.names, values, not found.no_wait, found.dry_run, _parallel(found), found.drain
    )


def rollupdate(text: str) -> RollUpdate:
    """Parse what follows the command. Raises Usage."""
    found = _parsed(texts.ROLLUPDATE, text)
    return RollUpdate(found.names, not found.no_wait, _parallel(found))


def rollrecycle(text: str) -> RollRecycle:
    """Parse what follows the command. Raises Usage."""
    found = _parsed(texts.ROLLRECYCLE, text, needs_names=True)
    name, *pids = found.names
    for pid in pids:
        if not is_number(pid):
            raise Usage(f"{pid} is no pid")
    return RollRecycle(name, [int(pid) for pid in pids], not found.no_wait)


def rollstatus(text: str) -> RollStatus:
    """Parse what follows the command. Raises Usage."""
    found = _parsed(texts.ROLLSTATUS, text)
    return RollStatus(found.names, found.follow, found.watch)


def rollhistory(text: str) -> RollHistory:
    """Parse what follows the command. Raises Usage."""
    found = _parsed(texts.ROLLHISTORY, text)
    names, last = found.names, found.last or "0"
    if any(is_number(name) for name in names) and len(names) > 1:
        raise Usage("rollhistory takes names, or the number of one rollout")
    if not is_number(last) or (found.last and not 1 <= int(last) <= MOST_LAST):
        raise Usage(f"--last {last}: must be a number from 1 to {MOST_LAST}")
    given = RollHistory(names, found.timeline, found.svg or "", found.html or "", int(last))
    one = len(names) == 1 and is_number(names[0])
    if given.draws and not one:
        raise Usage("--timeline, --svg and --html take the number of one rollout")
    if given.draws and found.json:
        raise Usage("--json goes with none of --timeline, --svg and --html")
    if one and given.last:
        raise Usage("--last goes with names")
    return given


def control(command: str, text: str) -> RollControl:
    """Parse what follows rollabort, rollpause, rollresume, rolldrain or rollready. Raises Usage."""
    found = _parsed(command, text, needs_names=True)
    return RollControl(found.names, not getattr(found, "no_wait", False))


def _parsed(command: str, text: str, needs_names: bool = False) -> argparse.Namespace:
    found = parser(command).parse_intermixed_args(text.split())
    if needs_names and not found.names:
        raise Usage(f"{command} requires a process name")
    return found


def _parallel(found: argparse.Namespace) -> int | None:
    try:
        return None if found.parallel is None else parsed_parallel(found.parallel)
    except BadSetting as error:
        raise Usage(f"--parallel {error.value}: {error.rule}") from None


def _help(key: str, text: str) -> str:
    default = default_of(key)
    return (f"{text} ({default})" if default else text).replace("%", "%%")


def _check(values: dict[str, str]) -> None:
    # One of the two amounts may well be 0 if the program's own section sets the other, so
    # only the listener, which knows the section, can say that nothing could move.
    given = {"max_surge", "max_unavailable"} <= values.keys()
    base = Settings() if given else Settings(max_surge=Amount(1), max_unavailable=Amount(1))
    try:
        base.replaced(values)
    except BadSetting as error:
        option = {key: option for option, key in _SETTINGS.items()}.get(error.key, error.key)
        raise Usage(f"{option} {error.value}: {error.rule}") from None


class _Parser(argparse.ArgumentParser):
    """argparse prints and exits; inside supervisorctl, which may be a shell, it must not."""

    def __init__(self, command: str) -> None:
        super().__init__(
            usage=texts.USAGES[command],
            description=texts.DESCRIPTIONS[command],
            epilog=texts.epilog(command),
            formatter_class=_Formatter,
            add_help=False,
            allow_abbrev=False,
        )
        self.add_argument("-h", "--help", action=_Help, help="Show this.")

    def error(self, message: str) -> NoReturn:
        raise Usage(message)


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Of a width that no terminal changes, with the options in a column of their own."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=90)


class _Help(argparse.Action):
    def __init__(self, option_strings: list[str], dest: str, help: str) -> None:
        super().__init__(option_strings, dest, nargs=0, default=argparse.SUPPRESS, help=help)

    def __call__(self, *_: object) -> NoReturn:
        raise Usage("")
