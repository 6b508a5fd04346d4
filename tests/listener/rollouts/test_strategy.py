"""Which strategy a rollout takes: by what is asked for, by what has changed, and by the memory."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from supervisor.xmlrpc import Faults

from supervisor_roll.listener.arbiters.arbiter import Arbiter
from supervisor_roll.listener.edges.process_limits import Left
from supervisor_roll.listener.rollouts.eligibility import why_not_arbiter
from supervisor_roll.listener.rollouts.strategy import choose
from supervisor_roll.rollout.events import InstanceId
from supervisor_roll.rollout.reports import Began, Note, Plan, Refused, Replaced, Warned
from supervisor_roll.rollout.settings import Settings
from supervisor_roll.rollout.words import COMPLETE
from supervisor_roll.wire.gunicorn_facts import GunicornFacts
from supervisor_roll.wire.mailbox import DRY_RUN
from supervisor_roll.wire.messages import Ready
from supervisor_roll.wire.successor import LIVE, NEEDS_ARBITER, NEEDS_UPDATE, Change, Reread
from tests.fakes.arbiter_rollouts import ALL_OF_IT, BIND, NEW, kinds, why
from tests.fakes.site import Site

ENVIRONMENT = {"environment": NEEDS_ARBITER}
UPDATE_ONLY = {"socket": NEEDS_UPDATE, "command": NEEDS_ARBITER}


def arbiter(**facts: str) -> Arbiter:
    return Arbiter(InstanceId(1, 1), "myapp", facts=GunicornFacts.told(Ready(**facts)))


def change(keys: dict[str, str], why: str = "") -> Change:
    return Change("myapp", keys, "digest", why)


def settings(strategy: str) -> Settings:
    return Settings.parsed({"strategy": strategy})


# --- the choice -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "facts", "keys", "chosen", "reasons"),
    [
        ("auto", {}, {}, "workers", []),
        ("auto", {}, {"stopwaitsecs": LIVE}, "workers", []),
        ("auto", {}, ENVIRONMENT, "arbiter", ["its configuration has changed: environment"]),
        (
            "auto",
            {},
            {"user": NEEDS_ARBITER, "command": NEEDS_ARBITER, "priority": LIVE},
            "arbiter",
            ["its configuration has changed: command, user"],
        ),
        ("auto", {"preload": True}, {}, "arbiter", ["it has preload_app"]),
        ("auto", {"preload": True, "stale": "myapp"}, {}, "arbiter", ["it has preload_app"]),
        (
            "auto",
            {"stale": "myapp.settings"},
            {},
            "arbiter",
            ["its arbiter has imported modules of the application: myapp.settings"],
        ),
        (
            "auto",
            {"preload": True},
            ENVIRONMENT,
            "arbiter",
            ["its configuration has changed: environment", "it has preload_app"],
        ),
        ("arbiter", {}, {}, "arbiter", ["as asked for"]),
        ("arbiter", {}, {"stopwaitsecs": LIVE}, "arbiter", ["as asked for"]),
        ("arbiter", {}, ENVIRONMENT, "arbiter", ["its configuration has changed: environment"]),
        ("workers", {}, {}, "workers", []),
        ("workers", {}, {"stopwaitsecs": LIVE}, "workers", []),
        ("workers", {}, ENVIRONMENT, "workers", []),
        ("workers", {"preload": True}, {}, "workers", []),
        ("workers", {}, UPDATE_ONLY, "workers", []),
    ],
)
def test_the_strategy_follows_from_what_must_be_renewed(
    asked: str, facts: dict[str, str], keys: dict[str, str], chosen: str, reasons: list[str]
) -> None:
    choice = choose(arbiter(**facts), settings(asked), change(keys) if keys else None)
    assert (choice.strategy, choice.reasons) == (chosen, reasons)
    assert choice.changes == keys
    assert choice.refused == ""


@pytest.mark.parametrize("asked", ["auto", "arbiter"])
def test_what_only_an_update_applies_is_refused_with_what_to_run(asked: str) -> None:
    choice = choose(arbiter(preload=True), settings(asked), change(UPDATE_ONLY, "run this"))
    assert choice.refused == "its configuration has changed: socket; run this"
    choice = choose(arbiter(), settings(asked), change(UPDATE_ONLY))
    assert "only supervisorctl update can apply that" in choice.refused


@pytest.mark.parametrize(
    ("asked", "keys", "warned_of"),
    [
        ("workers", ENVIRONMENT, "environment"),
        ("workers", UPDATE_ONLY, "command"),
        ("workers", {"stopwaitsecs": LIVE}, ""),
        ("workers", {}, ""),
        ("arbiter", ENVIRONMENT, ""),
        ("auto", ENVIRONMENT, ""),
    ],
)
def test_only_workers_leave_a_change_unapplied_and_warn_of_it(
    asked: str, keys: dict[str, str], warned_of: str
) -> None:
    warning = choose(arbiter(), settings(asked), change(keys)).warning
    assert warning == (
        f"its configuration has changed, which replacing workers does not apply: {warned_of}"
        if warned_of
        else ""
    )


@pytest.mark.parametrize(
    ("keys", "live"),
    [
        ({}, False),
        ({"priority": LIVE}, True),
        ({"priority": LIVE, "stopsignal": LIVE}, True),
        ({"priority": LIVE, **ENVIRONMENT}, False),
    ],
)
def test_it_says_whether_all_that_has_changed_can_be_heeded_at_once(
    keys: dict[str, str], live: bool
) -> None:
    assert choose(arbiter(), settings("auto"), change(keys)).live is live


def test_a_gunicorn_configuration_file_that_has_changed_takes_an_arbiter(tmp_path: Path) -> None:
    file = tmp_path / "gunicorn.conf.py"
    file.write_text("workers = 2\n")
    facts = {"conf": str(file), "conf_digest": hashlib.sha256(file.read_bytes()).hexdigest()}
    assert choose(arbiter(**facts), settings("auto"), None).strategy == "workers"

    file.write_text("workers = 3\n")
    choice = choose(arbiter(**facts), settings("auto"), None)
    assert (choice.strategy, choice.changes) == ("arbiter", {str(file): NEEDS_ARBITER})
    assert choice.reasons == [f"its configuration has changed: {file}"]
    choice = choose(arbiter(**facts), settings("auto"), change({"priority": LIVE}))
    assert (choice.strategy, choice.live) == ("arbiter", False)
    assert str(file) in choose(arbiter(**facts), settings("workers"), None).warning


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"conf": "", "conf_digest": ""},
        {"conf": "/nonexistent", "conf_digest": "1" * 64},
        {"conf": "/", "conf_digest": "1" * 64},
        {"conf": "/etc/hostname", "conf_digest": ""},
    ],
)
def test_a_gunicorn_configuration_file_that_cannot_be_read_has_not_changed(
    facts: dict[str, str],
) -> None:
    choice = choose(arbiter(**facts), settings("auto"), None)
    assert (choice.strategy, choice.changes) == ("workers", {})


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"listens": True}, ""),
        ({}, "without the hooks on_starting, when_ready and on_exit"),
        ({"listens": False}, "restart it once; or use --strategy workers"),
        ({"listens": True, "reuse_port": True}, "turn reuse_port off"),
        (
            {"listens": True, "unchecked": True, "worker_class": "uvicorn"},
            "cannot be checked inside a worker",
        ),
    ],
)
def test_what_stands_against_replacing_an_arbiter_is_said(facts: dict[str, str], why: str) -> None:
    found = why_not_arbiter(arbiter(**facts), Settings.parsed({"health": "/_status"}))
    assert why in found
    assert bool(found) is bool(why)


# --- what the coordinator makes of it -----------------------------------------------------------


def changed(site: Site, keys: dict[str, str]) -> None:
    """supervisord finds this when it rereads its configuration, and a change of another."""
    site.supervisord.found = Reread([Change("other", {"socket": NEEDS_UPDATE}), change(keys)])


def texts(site: Site, job: str, kind: str) -> list[str]:
    return [one.facts["text"] for one in site.found(job)[0] if one.kind == kind]


def test_a_changed_environment_takes_an_arbiter_and_is_said_to(site: Site) -> None:
    changed(site, {**ENVIRONMENT, "priority": LIVE})
    job = site.ask("myapp")
    assert kinds(site, job) == ALL_OF_IT
    assert site.facts(job, Began.kind)["reasons"] == ["its configuration has changed: environment"]
    assert site.facts(job, Began.kind)["changes"] == {**ENVIRONMENT, "priority": LIVE}
    assert site.signals == ["succeed myapp", "promote myapp"]


def test_what_supervisord_heeds_at_once_takes_workers_and_comes_into_force(site: Site) -> None:
    changed(site, {"stopwaitsecs": LIVE, "autorestart": LIVE})
    job = site.ask("myapp")
    assert kinds(site, job) == [Began.kind, Note.kind, Replaced.kind, Replaced.kind, COMPLETE]
    assert texts(site, job, Note.kind) == ["now in effect: autorestart, stopwaitsecs"]
    assert [one for one in site.signals if one.startswith("adopt")] == ["adopt myapp"]
    assert site.facts(job, Began.kind)["changes"] == {"stopwaitsecs": LIVE, "autorestart": LIVE}


def test_what_does_not_come_into_force_is_warned_of(site: Site) -> None:
    changed(site, {"priority": LIVE})
    site.supervisord.faults["adopt"] = (Faults.FAILED, "myapp: no")
    job = site.ask("myapp")
    assert kinds(site, job)[-1] == COMPLETE
    assert "the changes of priority are not in effect" in texts(site, job, Warned.kind)[0]


def test_what_only_an_update_applies_is_not_touched(site: Site) -> None:
    changed(site, UPDATE_ONLY)
    job = site.ask("myapp")
    assert kinds(site, job) == [Refused.kind]
    assert "its configuration has changed: socket" in why(site, job)
    assert site.signals == []


def test_where_only_workers_are_asked_for_a_change_is_warned_of(site: Site) -> None:
    changed(site, ENVIRONMENT)
    job = site.ask("myapp", strategy="workers")
    assert kinds(site, job) == [Began.kind, Warned.kind, Replaced.kind, Replaced.kind, COMPLETE]
    assert "replacing workers does not apply: environment" in texts(site, job, Warned.kind)[0]


def test_preload_takes_an_arbiter(site: Site) -> None:
    site.start("other", 1, binds=[BIND], preload=True, pid=NEW - 500)
    site.settle()
    job = site.ask("other")
    assert site.facts(job, Began.kind)["reasons"] == ["it has preload_app"]
    assert kinds(site, job)[-1] == COMPLETE


@pytest.mark.parametrize("strategy", ["auto", "arbiter"])
def test_an_invalid_configuration_refuses_and_is_named(site: Site, strategy: str) -> None:
    site.supervisord.faults["reread"] = (
        Faults.CANT_REREAD,
        "program:myapp: user: no such user (file: /etc/x.conf)",
    )
    job = site.ask("myapp", strategy=strategy)
    assert kinds(site, job) == [Refused.kind]
    assert why(site, job) == (
        "supervisord cannot read its configuration: program:myapp: user: no "
        "such user (file: /etc/x.conf)"
    )
    assert site.signals == []


def test_an_invalid_configuration_does_not_keep_workers_from_being_replaced(site: Site) -> None:
    site.supervisord.faults["reread"] = (Faults.CANT_REREAD, "program:myapp: user: no such user")
    job = site.ask("myapp", strategy="workers")
    assert kinds(site, job) == [Warned.kind, Began.kind, Replaced.kind, Replaced.kind, COMPLETE]
    assert "no such user" in texts(site, job, Warned.kind)[0]


def test_a_supervisord_that_runs_an_earlier_version_is_only_warned_of(site: Site) -> None:
    site.supervisord.faults["reread"] = (Faults.UNKNOWN_METHOD, "")
    job = site.ask("myapp")
    assert kinds(site, job) == [Warned.kind, Began.kind, Replaced.kind, Replaced.kind, COMPLETE]
    assert texts(site, job, Warned.kind) == [
        "supervisord runs an earlier version of supervisor_roll: restart it once, so that "
        "changes of the configuration are noticed"
    ]


def test_a_dry_run_tells_the_strategy_and_touches_nothing(site: Site) -> None:
    changed(site, {**ENVIRONMENT, "user": NEEDS_ARBITER})
    job = site.ask("myapp", kind=DRY_RUN)
    assert kinds(site, job) == [Warned.kind, Plan.kind]
    site.check_facts(
        job,
        Plan.kind,
        strategy="arbiter",
        changes={**ENVIRONMENT, "user": NEEDS_ARBITER},
        refused="",
        reasons=["its configuration has changed: environment, user"],
        workers=2,
        max_surge=2,
        max_unavailable=0,
        memory=None,
        preflight=None,
    )
    changed(site, UPDATE_ONLY)
    job = site.ask("myapp", kind=DRY_RUN)
    assert kinds(site, job) == [Plan.kind]
    assert "supervisorctl update" in site.facts(job, Plan.kind)["refused"]
    assert site.signals == []
    assert "myapp" not in site.supervisord.mailbox.statuses


def test_what_is_deployed_elsewhere_takes_an_arbiter_and_is_refused_to_workers() -> None:
    choice = choose(arbiter(), settings("auto"), None, "directory= now leads to r2")
    assert (choice.strategy, choice.reasons) == ("arbiter", ["directory= now leads to r2"])
    choice = choose(arbiter(), settings("workers"), None, "directory= now leads to r2")
    assert "directory= now leads to r2; use --strategy arbiter" in choice.refused


# --- memory -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("room", "values", "surge", "first"),
    [
        (250, {}, 2, "succeed myapp"),  # two full sets
        (200, {}, 2, "succeed myapp"),
        (150, {}, 1, "succeed myapp"),  # one more than now
        (250, {"max_surge": "1"}, 1, "succeed myapp"),  # as it was asked for
        (0, {"max_surge": "0", "max_unavailable": "1"}, 0, "TTOU myapp"),
    ],
)
def test_two_full_sets_run_only_where_memory_allows(
    site: Site, room: int, values: dict[str, str], surge: int, first: str
) -> None:
    site.table.worker_bytes, site.table.room_bytes = 100, room
    job = site.ask("myapp", strategy="arbiter", **values)
    assert site.facts(job, Began.kind)["max_surge"] == surge
    assert site.signals[0] == first
    assert ("TTIN myapp:myapp.successor" in site.signals) is (surge < 2)
    assert kinds(site, job)[-1] == COMPLETE


def test_where_no_more_processes_may_start_it_is_refused_and_a_dry_run_tells_it(site: Site) -> None:
    site.table.left = Left(1, "cgroup /web")
    job = site.ask("myapp", strategy="workers")
    assert kinds(site, job) == [Refused.kind]
    assert (
        "it does not fit into the limit of processes: 2 more processes and threads: 1 are left "
        "(cgroup /web)"
    ) in why(site, job)
    job = site.ask("myapp", kind=DRY_RUN, strategy="workers")
    assert site.facts(job, Plan.kind)["processes"]["fits"] is False
    assert site.signals == []
    job = site.ask("myapp", strategy="workers", max_surge="0", max_unavailable="1")
    assert kinds(site, job)[-1] == COMPLETE
    # The arbiter's own threads count too: there is room for a gradual one, and no more.
    site.table.left = Left(4, "cgroup /web")
    job = site.ask("myapp", strategy="arbiter")
    assert site.facts(job, Began.kind)["max_surge"] == 1


def test_where_not_even_one_more_fits_it_is_refused_and_a_dry_run_tells_it(site: Site) -> None:
    site.table.worker_bytes, site.table.room_bytes = 100, 50
    job = site.ask("myapp", strategy="arbiter")
    assert kinds(site, job) == [Refused.kind]
    assert "it does not fit into memory: 1 more worker of about" in why(site, job)
    assert "--max-surge 0 --max-unavailable 1" in why(site, job)
    job = site.ask("myapp", kind=DRY_RUN, strategy="arbiter")
    memory = site.facts(job, Plan.kind)["memory"]
    assert (memory["fits"], memory["extra_bytes"], memory["available_bytes"]) == (False, 100, 50)
    assert site.signals == []
