"""What a program's command and its gunicorn.conf.py say, as far as that shows without running them.

The file is another user's code, so that it is read and never executed: a setting that is worked
out is unknown.
"""

from __future__ import annotations

import argparse
import ast
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path, PurePath

from supervisor_roll.installation.files import Unreadable, read_bytes
from supervisor_roll.rollout.installing import HOOKS

_SHELLS = ("sh", "bash", "dash", "ash", "zsh", "ksh", "busybox")
_MODULE = "supervisor_roll.hooks"
# What a name in the file is that is no literal.
_UNKNOWN = object()


@dataclass(frozen=True)
class CommandLine:
    """A program's command: what comes ``before`` Gunicorn, ``gunicorn`` itself, its arguments.

    ``executes``: a shell replaces itself by Gunicorn.
    """

    before: tuple[str, ...] = ()
    gunicorn: str = ""
    arguments: tuple[str, ...] = ()
    executes: bool = True

    @property
    def wrapper(self) -> str:
        """The name of what may stay between supervisord and Gunicorn; empty if nothing shows."""
        names = [PurePath(one).name for one in self.before]
        if names and names[0] in _SHELLS:
            return "" if self.executes else names[0]
        return next((one for one in names if "=" not in one and not one.startswith("-")), "")


def parsed_command(command: str) -> CommandLine:
    """Read the command of a program's section; without ``gunicorn`` if it shows none."""
    try:
        words = shlex.split(command)
    except ValueError:
        return CommandLine()
    if len(words) > 2 and PurePath(words[0]).name in _SHELLS and words[1].endswith("c"):
        script = words[2]
        inner = parsed_command(script)
        executes = bool(re.search(r"\bexec\s+([^;&|]*\s)?\S*gunicorn\b", script))
        end = next(
            (at for at, one in enumerate(inner.arguments) if re.search(r"[;&|]$", one)), None
        )
        return CommandLine((words[0],), inner.gunicorn, inner.arguments[:end], executes)
    for number, word in enumerate(words):
        if PurePath(word).name.startswith("gunicorn") and not word.endswith((".py", ".conf")):
            before = words[:number]
            interpreter = before and re.match(r"python|pypy", PurePath(before[0]).name)
            before = [] if interpreter else before
            return CommandLine(tuple(before), word, tuple(words[number + 1 :]))
    return CommandLine()


def parsed_arguments(words: tuple[str, ...] | list[str]) -> dict[str, object]:
    """Return the settings that arguments of Gunicorn's give; those that matter here."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("-c", "--config")
    parser.add_argument("-t", "--timeout", type=float)
    parser.add_argument("--graceful-timeout", type=float)
    parser.add_argument("--control-socket")
    for flag in ("--no-control-socket", "--preload", "--reload", "--reuse-port"):
        parser.add_argument(flag, action="store_true", default=None)
    try:
        found, _ = parser.parse_known_args(list(words))
    except (argparse.ArgumentError, SystemExit):
        return {}
    values = {key: value for key, value in vars(found).items() if value is not None}
    renamed = {"preload": "preload_app", "no_control_socket": "control_socket_disable"}
    return {renamed.get(key, key): value for key, value in values.items()}


@dataclass(frozen=True)
class ConfFile:
    """A gunicorn.conf.py. ``hooks`` are those of ours that it sets, None if that is not known.

    ``defined``: Gunicorn's hooks that it defines; ``late``: those after ``install``.
    """

    values: Mapping[str, object] = field(default_factory=dict)
    hooks: frozenset[str] | None = frozenset()
    defined: frozenset[str] = frozenset()
    late: frozenset[str] = frozenset()


def parsed_file(data: bytes, path: str) -> ConfFile:
    """Read a gunicorn.conf.py. Raises Unreadable where Python would not take it."""
    try:
        tree = ast.parse(data, path)
    except SyntaxError as why:
        raise Unreadable(path, f"line {why.lineno}: {why.msg}") from None
    except (ValueError, RecursionError, MemoryError) as why:
        raise Unreadable(path, f"Python cannot read it: {why}") from None
    values: dict[str, object] = {}
    defined, late, hooks = set[str](), set[str](), set[str]()
    installers, unknown = set[str](), False
    for node in tree.body:
        names = _set_by(node)
        if isinstance(node, ast.ImportFrom) and node.module == _MODULE:
            installers |= {one.asname or one.name for one in node.names if one.name == "install"}
            hooks |= {one.name for one in node.names if one.name in HOOKS}
            continue
        if isinstance(node, ast.ImportFrom) and any(one.name == "*" for one in node.names):
            unknown = True
        if isinstance(node, ast.Expr) and _installs(node.value, installers):
            hooks, late = set(HOOKS), set()
            continue
        value = _literal(node)
        values.update(dict.fromkeys(names, value))
        defined |= names & set(HOOKS)
        late |= names & hooks
    text = data.decode("utf-8", "replace")
    if not hooks and (unknown or _MODULE in text):
        return ConfFile(values, None, frozenset(defined))
    return ConfFile(values, frozenset(hooks), frozenset(defined), frozenset(late))


def _set_by(node: ast.stmt) -> set[str]:
    """Return the names of the file that a statement may set."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return {node.name}
    found = set[str]()
    ahead: list[ast.AST] = [node]
    while ahead:
        one = ahead.pop()
        if isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found.add(one.name)
            continue
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
            found.add(one.id)
        if isinstance(one, (ast.Import, ast.ImportFrom)):
            found |= {alias.asname or alias.name.partition(".")[0] for alias in one.names}
        ahead += ast.iter_child_nodes(one)
    return found


def _literal(node: ast.stmt) -> object:
    if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
        try:
            return ast.literal_eval(node.value)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            pass
    return _UNKNOWN


def _installs(node: ast.expr, installers: set[str]) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in installers
    )


@dataclass(frozen=True)
class GunicornConf:
    """All that shows of a program's Gunicorn. ``path`` is its configuration file, if known.

    ``problem`` says why that could not be read.
    """

    command: CommandLine
    values: Mapping[str, object]
    file: ConfFile | None = None
    path: str = ""
    problem: str = ""

    def get(self, name: str, default: object) -> object:
        """Return a setting; None where it is worked out."""
        value = self.values.get(name, default)
        return None if value is _UNKNOWN else value

    def on(self, name: str) -> bool:
        return bool(self.get(name, False))

    def seconds(self, name: str, default: float = 30.0) -> float | None:
        value = self.get(name, default)
        return float(value) if isinstance(value, (int, float)) else None


def gunicorn_conf(command: str, environment: Mapping[str, str], directory: str) -> GunicornConf:
    """Read what a command names. ``directory`` is where it starts, empty if that is not known."""
    line = parsed_command(command)
    try:
        given = parsed_arguments(shlex.split(environment.get("GUNICORN_CMD_ARGS", "")))
    except ValueError:
        given = {}
    given.update(parsed_arguments(line.arguments))
    named = str(given.get("config", "")).removeprefix("file:")
    if named.startswith("python:"):
        ours = named == f"python:{_MODULE}"
        hooks = frozenset(HOOKS) if ours else None
        return GunicornConf(line, given, ConfFile(hooks=hooks), named)
    relative = Path(named or "gunicorn.conf.py")
    if not (directory or relative.is_absolute()):
        return GunicornConf(line, given)
    path = Path(directory) / relative
    if not named and not path.exists():
        return GunicornConf(line, given, ConfFile())
    try:
        file = parsed_file(read_bytes(path), str(path))
    except Unreadable as why:
        return GunicornConf(line, given, None, str(path), why.why)
    return GunicornConf(line, {**file.values, **given}, file, str(path))


def versions_beside(executable: str) -> dict[str, str] | None:
    """Return what is installed in a virtualenv, by the path of its gunicorn; None: not known."""
    environment = Path(executable).parent.parent
    try:
        settings = (environment / "pyvenv.cfg").read_text(errors="replace")
    except (OSError, ValueError):
        return None
    if re.search(r"include-system-site-packages\s*=\s*true", settings, re.IGNORECASE):
        return None
    folders = [str(one) for one in environment.glob("lib/python3*/site-packages")]
    return {
        re.sub(r"[-_.]+", "_", one.name).lower(): one.version
        for one in distributions(path=folders)
        if one.name
    }
