"""The commands as an operator runs them: supervisorctl, supervisord and a listener are real."""

from __future__ import annotations

import signal
import subprocess
import time
from typing import Any

import psutil
import pytest

from supervisor_roll.ctl import COMMANDS
from tests.ctl.script import BEGAN, COMPLETE_OUTPUT, ENDED, complete
from tests.harness.command import unstamped
from tests.rpc.supervised import PASSWORD, USER, Supervised, wait_for


def test_rollrestart_shows_a_rollout_to_its_end_and_its_request_is_as_given(
    site: Supervised,
) -> None:
    site.script(*complete("myapp"), ["done"])
    assert site.ctl("rollrestart", "--max-surge", "50%", "myapp", "--ready-timeout", "5") == (
        0,
        COMPLETE_OUTPUT.format("myapp"),
    )
    [request] = site.requests
    assert request["kind"] == "rollout"
    assert request["programs"] == ["myapp"]
    assert request["values"] == {"max_surge": "50%", "ready_timeout_secs": "5"}
    assert request["by"].startswith("supervisorctl rollrestart (") and "pid" in request["by"]
    assert request["event"] == f"REMOTE_COMMUNICATION type:supervisor_roll\n{request['id']}"


def test_without_a_terminal_the_lines_of_a_rollout_begin_with_their_time(
    site: Supervised,
) -> None:
    """As a deploy log wants it; a traceback's lines belong to the line above them."""
    began = int(time.time())
    site.script(
        *complete("myapp")[:2], ["report", "myapp", "broken", {"why": "no\nOops"}], ["done"]
    )
    raw = subprocess.run(
        site.ctl_command("rollrestart", "myapp"), stdout=subprocess.PIPE, text=True
    ).stdout
    lines = [line for line in raw.splitlines() if not line.startswith("    ")]
    texts = [line[20:] for line in lines]
    assert texts[:2] == COMPLETE_OUTPUT.format("myapp").splitlines()[:2]
    assert [text.split(":")[0] for text in texts] == ["myapp"] * 4
    times = [time.mktime(time.strptime(line[:19], "%Y-%m-%d %H:%M:%S")) for line in lines]
    assert began <= times[0] and times == sorted(times) and times[-1] <= time.time()
    assert "\n    Oops\n" in raw


def test_what_is_asked_once_has_no_times(site: Supervised) -> None:
    site.script(["report", "myapp", "plan", {"workers": 1, "desired": 1}], ["done"])
    for command in (["rollrestart", "--dry-run", "myapp"], ["rollstatus"]):
        ran = subprocess.run(site.ctl_command(*command), stdout=subprocess.PIPE, text=True)
        assert ran.stdout and unstamped(ran.stdout) == ran.stdout


def test_rollrestart_over_http_with_a_password(site: Supervised) -> None:
    url = ["-s", f"http://127.0.0.1:{site.port}", "-u", USER, "-p"]
    site.script(*complete("myapp"), ["done"])
    assert site.ctl(*url, PASSWORD, "rollrestart", "myapp") == (0, COMPLETE_OUTPUT.format("myapp"))
    status, output = site.ctl(*url, "wrong", "rollrestart", "myapp")
    assert (status, output.splitlines()[0]) == (1, "Server requires authentication")
    assert len(site.requests) == 1


def test_a_failed_rollout_says_why_and_what_serves(site: Supervised) -> None:
    why = 'worker 11 failed to boot:\nTraceback (most recent call last):\n  File "app.py"\nOops'
    site.script(
        ["report", "myapp", "began", BEGAN],
        ["report", "myapp", "broken", {"why": why, "pid": 11}],
        [
            "report",
            "myapp",
            "failed",
            {**ENDED, "why": why, "secs": 8.1, "replaced": 0, "outdated": [1, 2], "fresh": []},
        ],
        ["done"],
    )
    assert site.ctl("rollrestart", "myapp") == (
        1,
        """\
myapp: rolling 2 workers (surge 1, unavailable 0)
myapp: FAILING: worker 11 failed to boot:
    Traceback (most recent call last):
      File "app.py"
    Oops
myapp: failed: 0 of 2 workers replaced in 8.1 s; still serving: 2 workers (2 outdated, 0 fresh)
    nothing changed for your clients; once the cause is repaired, run rollrestart again
""",
    )


def test_only_with_traceback_all_frames_are_shown(site: Supervised) -> None:
    frame = '  File "/venv/site-packages/gunicorn/util.py", line 420, in import_app'
    steps = [["report", "myapp", "broken", {"why": f"no boot\n{frame}\nOops"}], ["done"]]
    site.script(*steps)
    left_out = "      ... 1 frame of gunicorn\n"
    assert left_out in site.ctl("rollrestart", "myapp")[1]
    site.script(*steps)
    output = site.ctl("rollrestart", "--traceback", "myapp")[1]
    assert left_out not in output and f"    {frame}\n    Oops\n" in output


def test_several_programs_end_with_one_line_on_all(site: Supervised) -> None:
    site.script(
        *complete("web:one"), ["report", "web:two", "skipped", {"why": "no Gunicorn"}], ["done"]
    )
    assert site.ctl("rollrestart", "web:*", "idle:*") == (
        0,
        (
            "idle: skipped: not running: it is STOPPED\n"
            + COMPLETE_OUTPUT.format("web:one")
            + "web:two: skipped: no Gunicorn\n2 programs: 1 complete, 1 skipped\n"
        ),
    )


def test_of_programs_that_are_rolled_at_once_each_line_names_its_own(site: Supervised) -> None:
    one, two = complete("web:one"), complete("web:two")
    site.script(two[0], one[0], one[1], two[1], two[2], two[3], one[2], one[3], ["done"])
    status, text = site.ctl("rollrestart", "--parallel", "2", "web:*")
    lines = text.splitlines()
    assert (status, lines[-1]) == (0, "2 programs: 2 complete")
    for program in ("web:one", "web:two"):
        own = [line for line in lines if line.startswith(f"{program}: ")]
        assert own == COMPLETE_OUTPUT.format(program).splitlines()
    assert [request["parallel"] for request in site.requests] == [2]


@pytest.mark.parametrize(
    ("steps", "says"),
    [
        (
            [["report", "myapp", "refused", {"why": "it has no hook: add one"}], ["done"]],
            "myapp: refused, nothing was touched: it has no hook: add one\n",
        ),
        (
            [["report", "myapp", "skipped", {"why": "no Gunicorn program"}], ["done"]],
            "myapp: skipped: no Gunicorn program\n",
        ),
        (
            [["done"]],
            "myapp: the listener ended this rollout without reporting an outcome: see"
            " rollstatus and the listener's log\n",
        ),
    ],
)
def test_a_rollout_that_did_not_complete_is_an_error(
    site: Supervised, steps: list[Any], says: str
) -> None:
    site.script(*steps)
    assert site.ctl("rollrestart", "myapp") == (1, says)


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (["rollrestart"], 2, "Error: rollrestart requires a process name"),
        (["rollrestart", "--max-surge", "some", "myapp"], 2, "Error: --max-surge some: must be a"),
        (
            ["rollrestart", "--max-surge", "0", "--max-unavailable", "0%", "myapp"],
            2,
            "must not both be 0",
        ),
        (["rollrestart", "--min-ready", "-1", "myapp"], 2, "--min-ready"),
        (["rollrestart", "--ready-timeout", "0", "myapp"], 2, "must be more than 0 seconds"),
        (["rollrestart", "--parallel", "65", "all"], 2, "--parallel 65: must be a whole number"),
        (["rollupdate", "--parallel", "0"], 2, "--parallel 0: must be a whole number from 1 to 64"),
        (["rollrestart", "--frobnicate", "myapp"], 2, "unrecognized arguments: --frobnicate"),
        (["rollrestart", "myapp", "--max-surge"], 2, "expected one argument"),
        (["rollabort"], 2, "Error: rollabort requires a process name"),
        (["rollstatus", "--wait"], 2, "unrecognized arguments: --wait"),
        (["rollrestart", "nosuch"], 1, "nosuch: ERROR (no such process)\n"),
        (["rollrestart", "web"], 1, "web: ERROR (no such process)\n"),
        (["rollrestart", "nosuch:*"], 1, "nosuch:*: ERROR (no such group)\n"),
        (["rollrestart", "idle"], 7, "idle: ERROR (not running: it is STOPPED)\n"),
        (["rollrestart", "idle:*"], 1, "no program to roll\n"),
        (["rollstatus", "nosuch"], 4, "nosuch: ERROR (no such process)\n"),
        (["rollabort", "nosuch"], 1, "nosuch: ERROR (no such process)\n"),
        (["rollrestart", "--help"], 0, "rollrestart [options] <name>"),
        (["help", "rollstatus"], 0, "rollstatus [--follow]"),
        (["help", "rollabort"], 0, "rollabort <name>"),
    ],
)
def test_what_cannot_be_done_is_said_with_an_exit_status(
    site: Supervised, arguments: list[str], status: int, says: str
) -> None:
    site.script()
    got, output = site.ctl(*arguments)
    assert (got, says in output) == (status, True), output
    assert site.requests == []


def test_help_tells_of_every_option_and_of_ctrl_c_and_is_not_denied_by_another_plugin(
    site: Supervised,
) -> None:
    status, text = site.ctl("help", "rollrestart")
    assert status == 0
    for word in (
        "--max-surge",
        "--max-unavailable",
        "--ready-timeout",
        "--min-ready",
        "--no-wait",
        "--parallel",
        "--strategy",
        "<group>:*",
        "all",
        "Ctrl-C",
        "Exit status",
        "130",
    ):
        assert word in text
    assert "No help" not in text
    assert "No help" not in site.ctl("help", "start")[1]
    assert "No help" in site.ctl("help", "nosuch")[1]
    shown = site.ctl("help")[1].split()
    assert set(COMMANDS) <= set(shown)


def test_rollrecycle_asks_for_workers_of_one_program(site: Supervised) -> None:
    status, output = site.ctl("rollrecycle", "myapp", "12x")
    assert (status, "Error: 12x is no pid" in output) == (2, True)
    assert site.ctl("rollrecycle")[0] == 2
    site.script(["done"])
    assert site.ctl("rollrecycle", "--no-wait", "myapp", "123", "456")[0] == 0
    [request] = wait_for(lambda: site.requests)
    assert (request["kind"], request["pids"]) == ("recycle", [123, 456])
    assert request["programs"] == ["myapp"]


def test_no_wait_only_requests_and_rollstatus_follows_to_the_end(site: Supervised) -> None:
    site.script(
        ["report", "myapp", "began", BEGAN], ["until", "go-1"], *complete("myapp")[1:], ["done"]
    )
    assert site.ctl("rollrestart", "--no-wait", "myapp") == (
        0,
        "myapp: requested\nFollow with `rollstatus --follow myapp`.\n",
    )
    follower = site.ctl_start("rollstatus", "--follow", "myapp")
    follower.wait_says("rolling 2 workers")
    site.allow("go-1")
    follower.ends()
    assert follower.output == COMPLETE_OUTPUT.format("myapp")


def test_ctrl_c_detaches_and_the_rollout_goes_on(site: Supervised) -> None:
    site.script(
        ["report", "myapp", "began", BEGAN],
        ["until", "go-2"],
        *complete("myapp")[1:],
        ["status", "myapp", {"state": "complete", "since": 1e9}],
        ["done"],
    )
    roll = site.ctl_start("rollrestart", "myapp")
    roll.wait_says("rolling 2 workers")
    roll.interrupt()
    roll.ends(130)
    assert "Traceback" not in roll.output
    assert roll.output.splitlines()[-1] == (
        "Detached; the rollout goes on. Follow it with `rollstatus --follow myapp`, abort it with"
        " `rollabort myapp`."
    )
    site.allow("go-2")
    wait_for(lambda: site.ctl("rollstatus", "--follow", "myapp")[0] == 0)


DRAINED = ["report", "myapp", "drained", {"secs": 1.0}]
BACK = ["report", "myapp", "in-service", {"secs": 0.5}]
IN_SERVICE = "myapp: in service after 0.5 s\n"


def test_rolldrain_and_rollready_wait_for_what_was_asked_for(site: Supervised) -> None:
    site.script_by_kind({"drain": [DRAINED, ["done"]], "ready": [BACK, ["done"]]})
    assert site.ctl("rolldrain", "myapp") == (0, "myapp: out of service after 1.0 s\n")
    assert site.ctl("rollready", "myapp") == (0, IN_SERVICE)
    assert [one["kind"] for one in site.requests] == ["drain", "ready"]
    site.script(["report", "myapp", "undone", {"why": "HAProxy is away"}], ["done"])
    assert site.ctl("rolldrain", "myapp") == (1, "myapp: not done: HAProxy is away\n")
    site.script(["done"])
    assert site.ctl("rolldrain", "--no-wait", "myapp") == (0, "myapp: requested\n")
    assert site.ctl("rollready", "idle")[0] == 7


@pytest.mark.parametrize(
    ("rolled", "status"),
    [(complete("myapp"), 0), ([["report", "myapp", "refused", {"why": "no hooks"}]], 1)],
)
def test_a_program_is_drained_around_its_rollout_however_that_ends(
    site: Supervised, rolled: list[list[Any]], status: int
) -> None:
    scripts = {"drain": [DRAINED], "rollout": rolled, "ready": [BACK]}
    site.script_by_kind({kind: [*steps, ["done"]] for kind, steps in scripts.items()})
    ended, output = site.ctl("rollrestart", "--drain", "myapp")
    assert (ended, output[-len(IN_SERVICE) :]) == (status, IN_SERVICE)
    assert [one["kind"] for one in site.requests] == ["drain", "rollout", "ready"]


def test_what_could_not_be_drained_is_not_rolled_and_all_is_put_back(site: Supervised) -> None:
    undone = ["report", "myapp", "undone", {"why": "HAProxy is away"}]
    site.script_by_kind({"drain": [undone, ["done"]], "ready": [BACK, ["done"]]})
    assert site.ctl("rollrestart", "--drain", "myapp")[0] == 1
    assert [one["kind"] for one in site.requests] == ["drain", "ready"]
    assert site.ctl("rollrestart", "--drain", "nobody")[0] == 1
    for option in ("--no-wait", "--dry-run"):
        status, output = site.ctl("rollrestart", "--drain", option, "myapp")
        assert (status, "--drain waits for the rollout" in output) == (2, True)
    assert len(site.requests) == 2


def test_rollabort_waits_for_nothing(site: Supervised) -> None:
    site.script(
        ["report", "myapp", "began", BEGAN],
        ["until", "go-3"],
        [
            "report",
            "myapp",
            "aborted",
            {**ENDED, "why": "aborted by x", "replaced": 1, "outdated": [2], "fresh": [11]},
        ],
        ["done"],
    )
    roll = site.ctl_start("rollrestart", "myapp")
    roll.wait_says("rolling 2 workers")
    assert site.ctl("rollabort", "myapp") == (0, "myapp: aborting\n")
    site.allow("go-3")
    roll.ends(1)
    assert roll.output.endswith("""\
myapp: aborted: 1 of 2 workers replaced in 12.4 s; still serving: 2 workers (1 outdated, 1 fresh)
    aborted by x
    both releases serve now; run rollrestart again to finish
""")
    [_, request] = wait_for(lambda: len(site.requests) == 2 and site.requests)
    assert (request["kind"], request["programs"]) == ("abort", ["myapp"])
    status, output = site.ctl("rollabort", "myapp")
    assert (status, output) == (1, "myapp: it is not being rolled\n")


def test_a_reader_that_leaves_ends_the_command_without_a_traceback(site: Supervised) -> None:
    """As of `| head`: the rollout goes on, and the status is as of one that SIGPIPE ended."""
    site.script(
        ["report", "myapp", "began", BEGAN], ["until", "left"], *complete("myapp")[1:], ["done"]
    )
    roll = subprocess.Popen(
        site.ctl_command("rollrestart", "myapp"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert roll.stdout is not None and roll.stderr is not None
    assert b"rolling 2 workers" in roll.stdout.readline()
    roll.stdout.close()
    site.allow("left")
    assert (roll.stderr.read(), roll.wait(60)) == (b"", 141)
    roll.stderr.close()


def test_a_dry_run_of_several_programs_ends_with_what_can_be_rolled(site: Supervised) -> None:
    site.script(
        ["report", "web:one", "plan", {"workers": 1, "desired": 1}],
        ["report", "web:two", "plan", {"refused": "no"}],
        ["done"],
    )
    status, output = site.ctl("rollrestart", "--dry-run", "web:*")
    assert (status, output.splitlines()[-1]) == (1, "2 programs: 1 can be rolled, 1 cannot")


def test_rollstatus_shows_what_there_was(site: Supervised) -> None:
    began = time.time() - 600
    site.script(
        [
            "status",
            "myapp",
            {
                "state": "failed",
                "since": began,
                "ended": began + 8.1,
                "done": 1,
                "total": 4,
                "ready": 4,
                "desired": 4,
                "min_ready": 4,
                "why": "worker 3 died:\n  Oops",
            },
        ],
        [
            "status",
            "web:one",
            {
                "state": "progressing",
                "since": began,
                "done": 1,
                "total": 2,
                "ready": 2,
                "desired": 2,
                "min_ready": 2,
            },
        ],
        ["report", "web:one", "complete", ENDED],
        ["done"],
    )
    site.ctl("rollrestart", "web:one")
    status, output = site.ctl("rollstatus")
    assert status == 0
    heading, *rows = output.splitlines()
    assert heading.split() == ["PROGRAM", "STATE", "SINCE", "REPLACED", "READY", "WHY"]
    assert [row.split() for row in rows] == [
        ["myapp", "failed", "10", "min", "ago", "1/4", "4/4", "worker", "3", "died:", "..."],
        ["web:one", "progressing", "10", "min", "ago", "1/2", "2/2"],
    ]
    status, output = site.ctl("rollstatus", "myapp", "web:two")
    assert status == 0
    assert "myapp: failed\n" in output
    assert "  replaced  1 of 4 workers\n" in output
    assert "  ready     4 of 4, never fewer than 4\n" in output
    assert "  why       worker 3 died:\n        Oops\n" in output
    assert "  asked by  supervisorctl rollrestart (" in output
    assert "web:two: never rolled\n" in output
    assert site.ctl("rollstatus", "--follow", "myapp")[0] == 1


def test_a_supervisord_that_answers_slowly_is_waited_for(site: Supervised) -> None:
    site.script(
        ["report", "myapp", "began", BEGAN], ["until", "go-4"], *complete("myapp")[1:], ["done"]
    )
    roll = site.ctl_start("rollrestart", "myapp")
    roll.wait_says("rolling 2 workers")
    site.process.send_signal(signal.SIGSTOP)
    # While supervisord stands still, a connection to it is a poll that waits for its answer.
    poll = psutil.Process(roll.pid)
    wait_for(
        lambda: [
            one
            for one in poll.net_connections("unix")
            if one.type.name == "SOCK_STREAM" and one.raddr in ("", None)
        ]
    )
    site.allow("go-4")
    site.process.send_signal(signal.SIGCONT)
    roll.ends()
    assert roll.output == COMPLETE_OUTPUT.format("myapp")


def test_in_the_shell_an_error_ends_nothing(site: Supervised) -> None:
    site.script(*complete("myapp"), ["done"])
    status, output = site.ctl(
        stdin="rollrestart --max-surge x myapp\nrollrestart nosuch\n"
        "rollrestart myapp\nversion\nquit\n"
    )
    assert status == 0
    assert "--max-surge x: must be" in output
    assert "nosuch: ERROR (no such process)" in output
    assert COMPLETE_OUTPUT.format("myapp") in output.replace("supervisor> ", "")
    assert output.replace("supervisor> ", "").rstrip().rsplit("\n", 1)[-1][:2] == "4."
