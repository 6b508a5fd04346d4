"""install(globals()) puts our hooks beside the user's own, in a form that Gunicorn accepts."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from gunicorn.config import KNOWN_SETTINGS, Config

from supervisor_roll import hooks
from supervisor_roll.hooks import install
from supervisor_roll.hooks.install import install_into

OURS = (
    "on_starting",
    "when_ready",
    "on_exit",
    "nworkers_changed",
    "on_reload",
    "pre_fork",
    "post_fork",
    "post_worker_init",
    "worker_abort",
    "worker_exit",
    "child_exit",
)
Calls = list[tuple[Any, ...]]


def recording(name: str, calls: Calls, arity: int) -> Callable[..., None]:
    """A hook that notes its name and arguments, in the only form that Gunicorn accepts."""

    def one(a: Any) -> None:
        calls.append((name, a))

    def two(a: Any, b: Any) -> None:
        calls.append((name, a, b))

    def three(a: Any, b: Any, c: Any) -> None:
        calls.append((name, a, b, c))

    def four(a: Any, b: Any, c: Any, d: Any) -> None:
        calls.append((name, a, b, c, d))

    return (one, two, three, four)[arity - 1]


def arity(name: str) -> int:
    return len(inspect.signature(getattr(hooks, name)).parameters)


# A string hook, as a configuration file may name it, finds this one.
STRING_CALLS: Calls = []


def named_hook(server: Any, worker: Any) -> None:
    STRING_CALLS.append((server, worker))


def test_an_empty_configuration_gets_exactly_our_hooks() -> None:
    namespace: dict[str, Any] = {"bind": "127.0.0.1:8000"}
    install(namespace)
    assert namespace == {"bind": "127.0.0.1:8000", **{name: getattr(hooks, name) for name in OURS}}


def test_a_hook_set_to_none_counts_as_not_set() -> None:
    namespace: dict[str, Any] = {"post_fork": None}
    install(namespace)
    assert namespace["post_fork"] is hooks.post_fork


@pytest.mark.parametrize("name", OURS)
def test_gunicorn_accepts_each_hook_with_and_without_the_users_own(name: str) -> None:
    alone: dict[str, Any] = {}
    install(alone)
    Config().set(name, alone[name])
    wrapped: dict[str, Any] = {name: recording(name, [], arity(name))}
    install(wrapped)
    Config().set(name, wrapped[name])
    assert wrapped[name] is not alone[name]


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("arguments", [1, 2, 3])
def test_the_users_hook_keeps_running_in_the_stated_order(order: str, arguments: int) -> None:
    calls: Calls = []
    namespace: dict[str, Any] = {"hook": recording("theirs", calls, arguments)}
    install_into(namespace, {"hook": (recording("ours", calls, arguments), order)})
    namespace["hook"](*range(arguments))
    names = ["ours", "theirs"] if order == "before" else ["theirs", "ours"]
    assert calls == [(name, *range(arguments)) for name in names]


def test_a_child_is_ours_before_and_a_ready_worker_after_the_users_hook() -> None:
    orders = {name: order for name, (_, order) in hooks._HOOKS.items()}
    assert orders["post_fork"] == orders["child_exit"] == "before"
    assert orders["post_worker_init"] == "after"


@pytest.mark.parametrize("order", ["before", "after"])
def test_an_error_of_the_users_hook_stays_its_own(order: str) -> None:
    def theirs(server: Any) -> None:
        raise LookupError("the user's own")

    namespace: dict[str, Any] = {"hook": theirs}
    install_into(namespace, {"hook": (recording("ours", [], 1), order)})
    with pytest.raises(LookupError, match="the user's own"):
        namespace["hook"](None)


def test_installing_again_changes_nothing() -> None:
    calls: Calls = []
    namespace: dict[str, Any] = {"pre_fork": recording("theirs", calls, 2)}
    install(namespace)
    first = dict(namespace)
    install(namespace)
    assert namespace == first


def test_a_hook_may_be_named_by_a_string() -> None:
    STRING_CALLS.clear()
    namespace: dict[str, Any] = {"hook": f"{__name__}.named_hook"}
    calls: Calls = []
    install_into(namespace, {"hook": (recording("ours", calls, 2), "after")})
    namespace["hook"]("server", "worker")
    assert STRING_CALLS == [("server", "worker")]
    assert calls == [("ours", "server", "worker")]


def test_what_cannot_be_called_is_an_error_that_names_the_hook() -> None:
    with pytest.raises(TypeError, match="pre_fork=42"):
        install({"pre_fork": 42})


def test_no_other_global_bears_a_settings_name() -> None:
    """So ``gunicorn -c python:supervisor_roll.hooks`` sets our hooks and nothing else."""
    for module in pkgutil.iter_modules(hooks.__path__):  # submodules are globals too, once loaded
        importlib.import_module(f"{hooks.__name__}.{module.name}")
    settings = {setting.name for setting in KNOWN_SETTINGS}
    assert settings & vars(hooks).keys() == set(OURS) == set(hooks._HOOKS)
    for name in OURS:
        assert getattr(hooks, name) is hooks._HOOKS[name][0]


def test_our_hooks_load_the_standard_library_only() -> None:
    """What runs inside somebody's Gunicorn must not pull in packages of ours."""
    program = (
        "import importlib, json, pkgutil, sys\n"
        "before = set(sys.modules)\n"
        "import supervisor_roll.hooks as hooks\n"
        "for module in pkgutil.iter_modules(hooks.__path__):\n"
        "    importlib.import_module(f'{hooks.__name__}.{module.name}')\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert loaded - set(sys.stdlib_module_names) == {"supervisor_roll"}
    assert not [
        name
        for name in json.loads(done.stdout)
        if name.startswith(
            ("supervisor_roll.listener", "supervisor_roll.rpc", "supervisor_roll.ctl")
        )
    ]
