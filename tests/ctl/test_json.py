"""--json: objects alone on standard output, all else on standard error."""

from __future__ import annotations

import dataclasses
import json
import subprocess
from collections.abc import Callable
from typing import Any

from supervisor_roll.ctl.render import objects
from supervisor_roll.rollout import reports
from supervisor_roll.wire import mailbox as wire
from tests.ctl.script import BEGAN, complete
from tests.rpc.supervised import PASSWORD, SCRIPTED_LISTENER, USER, Supervised


def printed(site: Supervised, *arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    """The exit status, the objects, and what is on standard error."""
    done = subprocess.run(
        site.ctl_command(*arguments), capture_output=True, text=True, timeout=60, check=False
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert {one["version"] for one in found} <= {1}
    return done.returncode, found, done.stderr


def test_a_rollout(site: Supervised) -> None:
    site.script(*complete("myapp"), ["done"])
    status, found, said = printed(site, "rollrestart", "--json", "myapp")
    requested, *told, ended = found
    assert (status, said) == (0, "")
    assert {key: requested[key] for key in ("type", "kind", "programs", "skipped")} == {
        "type": "requested",
        "kind": "rollout",
        "programs": ["myapp"],
        "skipped": {},
    }
    assert [(one["type"], one["kind"], one["program"]) for one in told] == [
        ("report", kind, "myapp") for kind in ("began", "replaced", "replaced", "complete")
    ]
    assert {one["job"] for one in told} == {requested["job"]}
    assert [one["seq"] for one in told] == [1, 2, 3, 4]
    assert told[0]["facts"] == {**vars(reports.Began()), **BEGAN}  # also what was not said
    assert ended == {"version": 1, "type": "ended", "programs": {"myapp": "complete"}, "ok": True}


def test_what_is_skipped_or_fails_and_what_a_dry_run_finds(site: Supervised) -> None:
    site.script(["report", "web:one", "refused", {"why": "it has no hook"}], ["done"])
    status, found, said = printed(site, "rollrestart", "--json", "web:one", "idle:*")
    assert (status, said) == (1, "")
    assert found[0]["skipped"] == {"idle": "not running: it is STOPPED"}
    assert (found[1]["kind"], found[1]["facts"]) == ("refused", {"why": "it has no hook"})
    assert found[-1]["ok"] is False

    preflight = {"ok": False, "secs": 0.5, "text": "ImportError"}
    site.script(["report", "myapp", "plan", {"workers": 2, "preflight": preflight}], ["done"])
    status, found, _ = printed(site, "rollrestart", "--json", "--dry-run", "myapp")
    assert status == 1
    assert [one["type"] for one in found] == ["requested", "report", "ended"]
    assert found[1]["facts"]["preflight"] == preflight
    assert found[1]["facts"].keys() == vars(reports.Plan()).keys()
    assert found[-1]["ok"] is False


def test_an_update_without_changes_and_a_request_that_is_not_waited_for(site: Supervised) -> None:
    site.script(["done"])
    status, found, said = printed(site, "rollupdate", "--json")
    assert (status, said) == (0, "no changes\n")
    assert [one["type"] for one in found] == ["requested", "ended"]
    assert found[-1]["programs"] == {}

    site.script(["done"])
    status, found, _ = printed(site, "rollrestart", "--json", "--no-wait", "myapp")
    assert (status, [one["type"] for one in found]) == (0, ["requested"])


def test_the_status_of_all_and_of_one_that_was_never_rolled(site: Supervised) -> None:
    site.script(["report", "myapp", "began", BEGAN])
    assert printed(site, "rollrestart", "--no-wait", "--json", "myapp")[0] == 0
    status, found, _ = printed(site, "rollstatus", "--json", "web:one")
    assert status == 0
    [one, listener] = found
    assert (one["type"], one["program"], one["state"]) == ("status", "web:one", "idle")
    assert (listener["type"], listener["state"]) == ("listener", "RUNNING")
    _, found, _ = printed(site, "rollstatus", "--json")
    assert ["myapp"] in [one["programs"] for one in found if one["type"] == "job"]


def test_errors_are_on_standard_error_alone(site: Supervised) -> None:
    status, found, said = printed(site, "rollrestart", "--json", "nobody")
    assert (status, found) == (1, [])
    assert "nobody" in said
    status, found, said = printed(site, "rollrestart", "--json")
    assert (status, found) == (2, [])
    assert said.startswith("Error: rollrestart requires a process name\n")
    url = ["-s", f"http://127.0.0.1:{site.port}", "-u", USER, "-p"]
    status, found, said = printed(site, *url, f"no{PASSWORD}", "rollstatus", "--json")
    assert (status, found) == (1, [])
    assert "401" in said


def test_without_supervisord(make_site: Callable[..., Supervised]) -> None:
    status, found, said = printed(make_site(SCRIPTED_LISTENER), "rollstatus", "--json")
    assert (status, found) == (4, [])
    assert said.endswith("no such file\n")


def test_a_kind_of_another_release_has_the_facts_that_it_came_with() -> None:
    one = wire.Report("1", "web", "new", {"fact": 1}, 2.0, 3)
    assert objects.report(one)["facts"] == {"fact": 1}
    assert objects.report(one).keys() - {"version", "type"} == {
        field.name for field in dataclasses.fields(wire.Report)
    }
