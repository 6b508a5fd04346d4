"""Who may ask for what, and what becomes of it: against a real supervisord."""

from __future__ import annotations

import json
from xmlrpc.client import Fault

import pytest
from supervisor.options import make_namespec
from supervisor.xmlrpc import Faults

from supervisor_roll.rollout.reports import Began, Warned, WorkerLife
from supervisor_roll.rollout.words import COMPLETE, FAILED
from supervisor_roll.wire import mailbox as wire
from supervisor_roll.wire.codec import from_json, to_json
from supervisor_roll.wire.mailbox import Report, Status
from supervisor_roll.wire.program import Processes, ProcessInfo
from supervisor_roll.wire.workers import Workers
from tests.rpc.supervised import Supervised, wait_for

IDLE = ("idle", "not running: it is STOPPED")


@pytest.mark.parametrize(
    ("names", "programs", "skipped", "wildcard"),
    [
        (["myapp"], ["myapp"], [], False),
        (["myapp:myapp"], ["myapp"], [], False),
        (["web:two", "web:one", "web:two"], ["web:two", "web:one"], [], False),
        (["web:*"], ["web:one", "web:two"], [], True),
        (["web:"], ["web:one", "web:two"], [], True),
        (["myapp", "web:*", "web:one"], ["myapp", "web:one", "web:two"], [], True),
        (["idle:*"], [], [IDLE], True),
        (["all"], ["myapp", "web:one", "web:two"], [IDLE], True),
    ],
)
def test_names_are_expanded_as_supervisorctl_reads_them(
    site: Supervised,
    names: list[str],
    programs: list[str],
    skipped: list[tuple[str, str]],
    wildcard: bool,
) -> None:
    receipt = site.request(*names, max_surge="2")
    assert sorted(receipt.programs) == sorted(programs)
    assert receipt.skipped == skipped
    if "all" not in names:
        assert receipt.programs == programs
    pending = {request.id: request for request in site.exchange().requests}
    assert (receipt.id in pending) == bool(programs)
    if programs:
        request = pending[receipt.id]
        assert (request.kind, request.programs, request.values, request.by, request.wildcard) == (
            wire.ROLLOUT,
            receipt.programs,
            {"max_surge": "2"},
            "a test",
            wildcard,
        )
        assert request.at > 1e9
    else:
        assert site.reports(receipt.id).done
    site.exchange(fetched=list(pending), done=list(pending))


@pytest.mark.parametrize(
    ("names", "code", "says"),
    [
        (["nosuch"], Faults.BAD_NAME, "nosuch: ERROR (no such process)"),
        (["myapp", "nosuch"], Faults.BAD_NAME, "nosuch: ERROR (no such process)"),
        (["web"], Faults.BAD_NAME, "web: ERROR (no such process)"),
        (["web:three"], Faults.BAD_NAME, "web:three: ERROR (no such process)"),
        (["nosuch:*"], Faults.BAD_NAME, "nosuch:*: ERROR (no such group)"),
        (["idle"], Faults.NOT_RUNNING, "idle: ERROR (not running: it is STOPPED)"),
        (["a\x00\x1b[2J\ud800"], Faults.BAD_NAME, "a??[2J?: ERROR (no such process)"),
        ([], Faults.BAD_ARGUMENTS, "names is empty"),
    ],
)
def test_a_name_that_cannot_be_rolled_is_a_fault(
    site: Supervised, names: list[str], code: int, says: str
) -> None:
    with pytest.raises(Fault) as caught:
        site.request(*names)
    assert caught.value.faultCode == code
    assert says in caught.value.faultString
    assert site.exchange().requests == []


def test_an_abort_is_for_a_program_whether_it_runs_or_not(site: Supervised) -> None:
    receipt = site.request("idle", "all", kind=wire.ABORT)
    assert sorted(receipt.programs) == ["idle", "myapp", "web:one", "web:two"]
    assert receipt.skipped == []
    [request] = site.exchange().requests
    assert request.kind == wire.ABORT
    site.exchange(fetched=[request.id], done=[request.id])


@pytest.mark.parametrize(
    ("method", "arguments", "code"),
    [
        ("request", ["{"], Faults.BAD_ARGUMENTS),
        ("request", [3], Faults.BAD_ARGUMENTS),
        ("request", ['{"kind": "reboot", "names": ["myapp"]}'], Faults.BAD_ARGUMENTS),
        ("request", [], Faults.INCORRECT_PARAMETERS),
        ("reports", ["nosuch", 0], Faults.BAD_NAME),
        ("reports", [["nosuch"], 0], Faults.BAD_ARGUMENTS),
        ("_listener", [], Faults.UNKNOWN_METHOD),
    ],
)
def test_a_malformed_call_is_a_fault(
    site: Supervised, method: str, arguments: list[object], code: int
) -> None:
    with pytest.raises(Fault) as caught:
        getattr(site.server.roll, method)(*arguments)
    assert caught.value.faultCode == code


def test_a_request_is_handed_out_until_it_is_taken_and_never_again(site: Supervised) -> None:
    job = site.request("myapp").id
    assert [request.id for request in site.exchange().requests] == [job]
    assert [request.id for request in site.exchange(hello=True).requests] == [job]
    assert site.exchange(fetched=[job]).requests == []
    assert site.exchange(hello=True).requests == []
    site.exchange(done=[job])


def test_reports_are_numbered_within_a_job_and_read_from_any_number_on(site: Supervised) -> None:
    job = site.request("myapp").id
    site.exchange(
        fetched=[job],
        reports=[
            Report(job, "myapp", Warned.kind, {"text": f"number {n}: \x1b \u2603"}) for n in (1, 2)
        ],
    )
    found = site.reports(job)
    assert [(one.seq, one.facts["text"]) for one in found.reports] == [
        (1, "number 1: \x1b \u2603"),
        (2, "number 2: \x1b \u2603"),
    ]
    assert (found.done, found.listener) == (False, "RUNNING")
    site.exchange(reports=[Report(job, "myapp", COMPLETE)], done=[job])
    later = site.reports(job, since=2)
    assert [(one.seq, one.kind) for one in later.reports] == [(3, COMPLETE)]
    assert later.done


def test_a_listener_that_says_hello_gets_what_an_earlier_one_left(site: Supervised) -> None:
    job = site.request("web:one").id
    site.exchange(fetched=[job], state={"myapp": {"run": '{"x": "\u2603"}'}})
    site.exchange()
    assert site.exchange().state == {}
    hello = site.exchange(hello=True)
    assert (hello.state, hello.jobs) == ({"myapp": {"run": '{"x": "\u2603"}'}}, [job])
    site.exchange(done=[job], whole=True)
    assert site.exchange(hello=True).jobs == []


def test_statuses_are_what_was_said_last_without_programs_that_are_gone(site: Supervised) -> None:
    site.exchange(statuses={"myapp": Status(COMPLETE, 1.0)})
    statuses = {"web:one": Status(FAILED, 2.0, why="no"), "gone": Status(FAILED, 1.0)}
    site.exchange(whole=True, statuses=statuses)
    overview = from_json(wire.Overview, site.server.roll.status())
    assert overview.programs == {"web:one": Status(FAILED, 2.0, why="no")}
    assert overview.listener == wire.Listener(site.info("roll")["pid"], "RUNNING")


def test_a_rollout_that_the_listener_began_by_itself_can_be_followed(site: Supervised) -> None:
    site.exchange(reports=[Report("watched-1", "myapp", Began.kind)])
    overview = from_json(wire.Overview, site.server.roll.status())
    assert [(job.id, job.programs) for job in overview.jobs] == [("watched-1", ["myapp"])]
    site.exchange(done=["watched-1"])
    assert site.reports("watched-1").done


def test_workers_are_told_of_while_somebody_watches(site: Supervised) -> None:
    assert from_json(Workers, site.server.roll.workers([])) == Workers()
    life = to_json(WorkerLife(7))
    assert site.exchange(workers={"myapp": {"7": life}, "web:one": {}}).watched
    found = from_json(Workers, site.server.roll.workers([]))
    assert found.programs == {"myapp": [WorkerLife(7)]}
    assert found.at > 1e9
    assert from_json(Workers, site.server.roll.workers(["web:one", 5, []])).programs == {}
    assert from_json(Workers, site.server.roll.workers(["myapp", {}])).programs != {}
    for names in ("myapp", ["myapp"] * (wire.MAX_NAMES + 1)):
        with pytest.raises(Fault) as caught:
            site.server.roll.workers(names)
        assert caught.value.faultCode == Faults.BAD_ARGUMENTS


def test_all_http_servers_share_one_mailbox(site: Supervised) -> None:
    job = site.request("myapp", server=site.inet_server).id
    assert [request.id for request in site.exchange().requests] == [job]
    site.exchange(
        server=site.inet_server, fetched=[job], done=[job], reports=[Report(job, "myapp", COMPLETE)]
    )
    assert [one.kind for one in site.reports(job).reports] == [COMPLETE]


def test_a_request_waits_for_a_listener_that_starts_again_and_not_for_a_stopped_one(
    site: Supervised,
) -> None:
    site.server.supervisor.stopProcess("roll")
    with pytest.raises(Fault) as caught:
        site.request("myapp")
    assert caught.value.faultCode == Faults.FAILED
    assert "listener roll is STOPPED" in caught.value.faultString
    assert "supervisorctl start roll" in caught.value.faultString
    site.server.supervisor.startProcess("roll")
    wait_for(lambda: site.info("roll")["statename"] == "RUNNING")
    job = site.request("myapp").id
    assert [request.id for request in site.exchange(hello=True).requests] == [job]
    site.exchange(fetched=[job], done=[job])


def test_the_methods_describe_themselves(site: Supervised) -> None:
    methods = [
        name.removeprefix("roll.")
        for name in site.server.system.listMethods()
        if name.startswith("roll.")
    ]
    assert len(methods) == 17
    for method in methods:
        signature = site.server.system.methodSignature(f"roll.{method}")
        assert signature[0] == "string"
        assert json.dumps(site.server.system.methodHelp(f"roll.{method}"))


def test_processes_in_brief_are_what_supervisor_says_at_length(site: Supervised) -> None:
    def at_length() -> set[ProcessInfo]:
        return {
            ProcessInfo(
                make_namespec(one["group"], one["name"]),
                one["pid"],
                one["statename"],
                "stderr" if one["stderr_logfile"] else "stdout" if one["stdout_logfile"] else "",
            )
            for one in site.server.supervisor.getAllProcessInfo()
        }

    def in_brief() -> set[ProcessInfo]:
        return set(from_json(Processes, site.listener.getProcesses()).processes)

    assert len(in_brief()) > 3
    wait_for(lambda: at_length() == in_brief())
