"""Knowing the folder tells what may be imported there: the law of imports, by the syntax tree.

- ``rollout``, the ground, is pure: nothing of ours outside it, and nothing that does I/O,
  reads a clock, logs, or knows our hosts.
- ``wire`` has of ours the ground's words (errors, reports, words) and its own modules.
- A host (``hooks``, ``listener``, ``rpc``, ``ctl``, ``installation``) has the ground and itself,
  never another host.
- ``hooks`` runs in other people's processes: the standard library, Gunicorn and ours only.
- Inside a host the folders and files stand on floors: no import runs back up, and there is no
  circle of modules, be it for the sake of types only.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import supervisor_roll

PACKAGE = "supervisor_roll"
GROUND = frozenset({"rollout", "wire"})
HOSTS = frozenset({"hooks", "listener", "rpc", "ctl", "installation"})
# The parts of a host (its folders, and its files beside them), highest first. What is not named
# stands below all others. An import leads down, or stays in its part.
FLOORS: dict[str, list[set[str]]] = {
    "listener": [
        {"__main__"},
        {"idle"},
        {"coordinator"},
        {"page"},
        {"watching"},
        {"exchanges"},
        {"saved_state"},
        {"messages", "actions", "reconcile", "history"},
        {"recycling", "in_service"},
        {"rollouts"},
        {"arbiters"},
        {"side_processes", "outbox", "told"},
        {"configuration"},
        {"edges"},
    ],
    "installation": [
        {"command"},
        {"doctor", "init"},
        {"checks", "program_checks"},
        {"site"},
        {"running"},
        {"supervisor_conf", "gunicorn_conf", "replace"},
        {"files", "finding", "edits"},
    ],
    "hooks": [{"__init__"}, {"worker"}, {"arbiter"}, {"by_worker_class"}, {"health", "drain"}],
}
WORDS = frozenset({"rollout.errors", "rollout.reports", "rollout.words"})
IMPURE = frozenset(
    {
        "os",
        "socket",
        "time",
        "threading",
        "logging",
        "asyncio",
        "supervisor",
        "gunicorn",
        "psutil",
        "pathlib",
        "subprocess",
        "select",
        "selectors",
        "signal",
        "datetime",
        "multiprocessing",
    }
)


def imports(source: str, package: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of each module or name that ``source`` in ``package`` imports."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")
                parents = parents[: len(parents) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            for alias in node.names:
                yield node.lineno, f"{base}.{alias.name}"
        elif isinstance(node, ast.Call) and _imports_by_call(node):
            yield node.lineno, ast.literal_eval(node.args[0])


def _imports_by_call(node: ast.Call) -> bool:
    called = getattr(node.func, "id", "") or getattr(node.func, "attr", "")
    return called in ("__import__", "import_module") and isinstance(
        next(iter(node.args), None), ast.Constant
    )


def _for_types_alone(source: str) -> set[int]:
    """The lines below an ``if TYPE_CHECKING``, which are never executed."""
    return {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for one in node.body
        for line in range(one.lineno, (one.end_lineno or one.lineno) + 1)
    }


def breaches(root: Path) -> list[str]:
    """What breaks the law in the source tree of the package at ``root``, a line each."""
    found = []
    for path in sorted(root.rglob("*.py")):
        inside = path.relative_to(root)
        folder = inside.parts[0] if len(inside.parts) > 1 else ""
        if folder not in GROUND | HOSTS | {""}:
            found.append(f"{inside}: the folder {folder} is neither of the ground nor a host")
            continue
        package = ".".join([PACKAGE, *inside.parts[:-1]])
        source = path.read_text(encoding="utf-8")
        typing = _for_types_alone(source)
        for line, name in imports(source, package):
            why = _forbidden(folder, name)
            if why and not (line in typing and name.startswith("typing_extensions.")):
                found.append(f"{inside}:{line}: {name}: {why}")
    return found


def _forbidden(folder: str, name: str) -> str:
    top, *rest = name.split(".")
    if top == PACKAGE:
        return _forbidden_of_ours(folder, rest)
    if folder == "rollout" and (top in IMPURE or top not in sys.stdlib_module_names):
        return "the ground is pure"
    if folder == "wire" and top not in sys.stdlib_module_names:
        return "codecs need the standard library only"
    if folder == "hooks" and top not in sys.stdlib_module_names | {"gunicorn"}:
        return "hooks have the standard library and gunicorn only"
    return ""


def _forbidden_of_ours(folder: str, inside: list[str]) -> str:
    target = inside[0] if inside else ""
    if folder == "rollout" and target != "rollout":
        return "rollout imports nothing of ours outside it"
    if folder == "wire" and target != "wire" and ".".join(inside[:2]) not in WORDS:
        return f"wire imports of ours {', '.join(sorted(WORDS))} only"
    if folder == "" and target in GROUND | HOSTS:
        return "the package itself imports no part of it: each host would get all"
    if folder in HOSTS and target in HOSTS - {folder}:
        return "a host never imports another host"
    return ""


def graph(root: Path, host: str) -> dict[str, set[str]]:
    """Which modules of the host import which others of it, by their names below the host."""
    paths = {}
    for path in sorted((root / host).rglob("*.py")):
        name = ".".join(path.relative_to(root / host).with_suffix("").parts)
        paths[name.removesuffix(".__init__")] = path
    found: dict[str, set[str]] = {}
    for module, path in paths.items():
        package = ".".join([PACKAGE, *path.relative_to(root).parts[:-1]])
        prefix = f"{PACKAGE}.{host}."
        found[module] = set()
        for _, name in imports(path.read_text(encoding="utf-8"), package):
            inside = name.removeprefix(prefix) if name.startswith(prefix) else ""
            target = inside if inside in paths else inside.rpartition(".")[0]
            if target in paths and target != module:
                found[module].add(target)
    return found


def climbs(found: dict[str, set[str]], floors: list[set[str]]) -> list[str]:
    """The imports that do not lead down."""
    height = {part: -number for number, floor in enumerate(floors) for part in floor}
    lowest = -len(floors)
    return [
        f"{module} imports {target}"
        for module, targets in found.items()
        for target in sorted(targets)
        if (above := module.split(".")[0]) != (below := target.split(".")[0])
        and height.get(above, lowest) <= height.get(below, lowest)
        and {above, below} & height.keys()
    ]


def circles(found: dict[str, set[str]]) -> list[set[str]]:
    """The sets of modules each of which leads to all others of its set."""

    def reach(module: str) -> set[str]:
        seen: set[str] = set()
        ahead = [module]
        while ahead:
            new = found[ahead.pop()] - seen
            seen |= new
            ahead += new
        return seen

    reached = {module: reach(module) for module in found}
    sets = [
        {one for one in reached[module] if module in reached[one]}
        for module in found
        if module in reached[module]
    ]
    return [one for number, one in enumerate(sets) if one not in sets[:number]]


@pytest.mark.parametrize("host", sorted(HOSTS))
def test_inside_a_host_no_import_runs_back_up(host: str):
    found = graph(Path(supervisor_roll.__file__).parent, host)
    assert any(found.values()), "there is nothing to check"
    assert climbs(found, FLOORS.get(host, [])) == []
    assert circles(found) == []


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("from supervisor_roll.listener.rollouts import jobs", "climb"),
        ("from supervisor_roll.listener.rollouts.jobs import Jobs", "climb"),
        ("from ..rollouts.jobs import Jobs", "climb"),
        ("def f():\n    import supervisor_roll.listener.rollouts.jobs", "climb"),
        ("if TYPE_CHECKING:\n    from supervisor_roll.listener.coordinator import C", "climb"),
        ("from supervisor_roll.listener.arbiters.releases import Releases", "circle"),
        ("from . import releases", "circle"),
    ],
)
def test_what_runs_back_up_is_found(tmp_path: Path, source: str, why: str):
    files = {
        "coordinator": "",
        "rollouts/jobs": "",
        "arbiters/releases": "from supervisor_roll.listener.arbiters.registry import Registry",
        "arbiters/registry": source,
    }
    for name, text in files.items():
        file = tmp_path / "listener" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    found = graph(tmp_path, "listener")
    assert len(climbs(found, FLOORS["listener"])) == (why == "climb")
    assert circles(found) == ([{"arbiters.registry", "arbiters.releases"}] * (why == "circle"))


def test_the_package_keeps_the_law():
    root = Path(supervisor_roll.__file__).parent
    assert list(root.rglob("*.py")), "there is nothing to check"
    assert breaches(root) == []


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("rollout/machine.py", "import time"),
        ("rollout/machine.py", "from os import path"),
        ("rollout/machine.py", "import os.path as p"),
        ("rollout/machine.py", "def f():\n    import logging"),
        ("rollout/machine.py", "try:\n    import psutil\nexcept ImportError:\n    pass"),
        ("rollout/machine.py", "if False:\n    from gunicorn.arbiter import Arbiter"),
        ("rollout/machine.py", "from supervisor_roll.wire import datagram"),
        ("rollout/machine.py", "from ..wire import datagram"),
        ("rollout/machine.py", "from .. import wire"),
        ("rollout/machine.py", "import requests"),
        ("rollout/deep/er.py", "from ...hooks import x"),
        ("wire/messages.py", "import typing_extensions"),
        ("wire/messages.py", "from typing_extensions import dataclass_transform"),
        ("wire/datagram.py", "from supervisor_roll.rollout.settings import Settings"),
        ("wire/datagram.py", "from supervisor_roll.rollout import settings"),
        ("wire/datagram.py", "from supervisor_roll.rollout import *"),
        ("wire/datagram.py", "import supervisor_roll"),
        ("wire/datagram.py", "import supervisor.childutils"),
        ("hooks/worker/readiness.py", "import supervisor"),
        ("hooks/worker/readiness.py", "import psutil"),
        ("hooks/worker/readiness.py", "from rich import live"),
        ("hooks/worker/readiness.py", "from supervisor_roll.listener import x"),
        ("hooks/worker/readiness.py", "import importlib\nimportlib.import_module('psutil')"),
        ("listener/loop.py", "from supervisor_roll.rpc import x"),
        ("listener/loop.py", "from supervisor_roll import hooks"),
        ("rpc/__init__.py", "from ..ctl import x"),
        ("installation/checks.py", "from supervisor_roll.hooks import install"),
        ("ctl/__init__.py", "from supervisor_roll.listener.arbiters.registry import Worker"),
        ("ctl/__init__.py", "__import__('supervisor_roll.rpc')"),
        ("__init__.py", "from supervisor_roll.rollout import machine"),
        ("utils/__init__.py", ""),
    ],
)
def test_what_breaks_the_law_is_found(tmp_path: Path, path: str, source: str):
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source, encoding="utf-8")
    found = breaches(tmp_path)
    assert len(found) == 1 and found[0].startswith(path), found


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("rollout/machine.py", "from supervisor_roll.rollout.errors import IllegalEvent"),
        ("rollout/machine.py", "from . import errors\nfrom .settings import Settings\nimport math"),
        ("rollout/machine.py", "'import os'  # import time"),
        ("wire/datagram.py", "from supervisor_roll.rollout.errors import BadMessage\nimport json"),
        ("wire/datagram.py", "from ..rollout import errors\nfrom .eventlistener import OK"),
        (
            "hooks/worker/readiness.py",
            "import socket\nfrom gunicorn import util\nfrom . import channel",
        ),
        ("hooks/worker/readiness.py", "from supervisor_roll.wire.messages import Ready"),
        (
            "listener/loop.py",
            "import psutil\nimport supervisor\nfrom ..rollout.machine import Rollout",
        ),
        ("rpc/__init__.py", "from supervisor.rpcinterface import Faults"),
        ("ctl/__init__.py", "import rich\nfrom supervisor_roll.ctl.rendering import bar"),
    ],
)
def test_what_keeps_the_law_is_let_through(tmp_path: Path, path: str, source: str):
    file = tmp_path / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(source, encoding="utf-8")
    assert breaches(tmp_path) == []
