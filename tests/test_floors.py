"""Inside a host the folders stand on floors: no import runs back up, and none runs in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import supervisor_roll

# From the top down; what shares a floor may import each other, but in no circle.
FLOORS = {
    "hooks": (
        "",  # the package itself
        "worker",
        "arbiter",
        "by_worker_class",
        "drain health",
        "channel install places safely shared_memory",
    ),
}


def imports(path: Path) -> Iterator[str]:
    """The modules that a module imports when it runs, also those within functions."""
    waiting: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported(root: Path, host: str) -> dict[str, set[str]]:
    """What each of the host's modules imports of the host, by names inside it."""
    paths = {
        ".".join(path.relative_to(root / host).with_suffix("").parts).removesuffix("__init__"): path
        for path in (root / host).rglob("*.py")
    }
    modules = {name.rstrip("."): path for name, path in paths.items()}
    prefix = f"{root.name}.{host}"
    found: dict[str, set[str]] = {}
    for module, path in modules.items():
        found[module] = set()
        for name in imports(path):
            if name == prefix or name.startswith(f"{prefix}."):
                inside = name.removeprefix(prefix).lstrip(".")
                # A module, or a name in one.
                target = inside if inside in modules else inside.rpartition(".")[0]
                found[module] |= {target} - {module}
    return found


def breaches(graph: Mapping[str, set[str]], floors: tuple[str, ...]) -> Iterator[str]:
    stands_on = {part: floor for floor, parts in enumerate(floors) for part in parts.split(" ")}
    for module, targets in graph.items():
        if module.partition(".")[0] not in stands_on:
            yield f"{module} is on no floor"
            continue
        for target in targets:
            floor, other = (stands_on.get(one.partition(".")[0], -1) for one in (module, target))
            if other < floor:
                yield f"{module} imports {target}, which is above it"
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield "a circle: " + " imports ".join(reversed(error.args[1]))


@pytest.mark.parametrize("host", FLOORS)
def test_no_import_runs_back_up_or_in_a_circle(host: str) -> None:
    graph = imported(Path(supervisor_roll.__file__).parent, host)
    assert len(graph) > 3
    assert sorted(breaches(graph, FLOORS[host])) == []


@pytest.mark.parametrize(
    ("files", "found"),
    [
        ({"low/a": "import p.h.high.b"}, "low.a imports high.b, which is above it"),
        ({"low/a": "def f():\n    from p.h.high import b"}, "low.a imports high.b, which"),
        ({"low/a": "from p.h import f"}, "low.a imports , which is above it"),
        ({"low/a": "from p.h.low.c import x", "low/c": "from p.h.low import a"}, "a circle: low."),
        ({"new": ""}, "new is on no floor"),
    ],
)
def test_what_runs_back_is_found(tmp_path: Path, files: dict[str, str], found: str) -> None:
    root = tmp_path / "p"
    made = {"__init__": "", "high/b": "", "low/__init__": "", **files}
    for name, source in made.items():
        path = root / "h" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    (breach,) = breaches(imported(root, "h"), ("", "high", "low"))
    assert breach.startswith(found)


def test_what_runs_down_is_let_through(tmp_path: Path) -> None:
    path = tmp_path / "p" / "h" / "high.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "from typing import TYPE_CHECKING\nimport p.h.low\n"
        "if TYPE_CHECKING:\n    from p.h.top import T\n",
        encoding="utf-8",
    )
    path.with_name("low.py").write_text("import os", encoding="utf-8")
    path.with_name("top.py").write_text("import p.h.high", encoding="utf-8")
    graph = imported(tmp_path / "p", "h")
    assert not list(breaches(graph, ("top", "high", "low")))
