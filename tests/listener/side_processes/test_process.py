"""The application is loaded beforehand as it would be, and whatever it does, it is over then.

Real Gunicorns. Some tests become another user, and so need root; without root those check
that this is said.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from supervisor_roll.listener.edges.process_user import Credentials
from supervisor_roll.listener.side_processes.process import (
    NotPossible,
    Result,
    SideProcess,
    environment,
    objection,
)
from supervisor_roll.wire.program import Program
from tests.harness.folders import new_folder
from tests.harness.processes import is_gone
from tests.harness.waiting import wait_until

ROOT = Path(__file__).parents[3]
GUNICORN = f"{sys.executable} -m gunicorn"
GOOD = "def app(environ, start_response):\n    return []\n"
PATIENCE_SECS = 30.0
pytestmark = pytest.mark.processes


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that any user may read, which pytest's own is not."""
    path = new_folder("roll-", "/tmp")
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def program(
    folder: Path,
    command: str = f"{GUNICORN} app:app",
    source: str = GOOD,
    uid: int | None = None,
    umask: int = 0o022,
    **variables: str,
) -> Program:
    (folder / "app.py").write_text(source)
    arguments = ["/bin/sh", "-c", f"exec {command}"]
    path = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    return Program(
        command,
        "/bin/sh",
        arguments,
        str(folder),
        {**path, **variables},
        os.getuid() if uid is None else uid,
        umask,
    )


def ended(preflight: SideProcess) -> Result:
    """Its result, waiting as the listener does: for its descriptor and its deadlines."""
    until = time.monotonic() + PATIENCE_SECS
    while (result := preflight.poll()) is None:
        deadline = preflight.next_deadline
        assert deadline is not None and time.monotonic() < until
        select.select([preflight], [], [], max(0.0, min(deadline, until) - time.monotonic()))
    assert preflight.next_deadline is None
    preflight.close()
    return result


def descriptors() -> set[tuple[str, str]]:
    """What is open in this process, but for the descriptor that looks."""
    gc.collect()
    named = [
        (path.name, str(path.readlink()))
        for path in Path("/proc/self/fd").glob("*")
        if path.is_symlink()
    ]
    return {(name, target) for name, target in named if not target.startswith("/proc/")}


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No descriptor, no zombie and no child is left of any preflight."""
    before = descriptors()
    yield
    assert descriptors() <= before  # what earlier tests left may go meanwhile
    assert psutil.Process().children() == []


def test_a_good_application_loads(folder: Path) -> None:
    result = ended(SideProcess.start(program(folder, source="print('hello')\n" + GOOD)))
    assert (result.ok, result.text) == (True, "")
    assert 0 < result.secs < PATIENCE_SECS


@pytest.mark.parametrize(
    ("source", "first", "within"),
    [
        ("import nosuch", "ModuleNotFoundError: No module named 'nosuch'", 'app.py", line 1'),
        ("def x(:", "SyntaxError: invalid syntax", 'app.py", line 1'),
        ("raise ValueError('first\\n  second\\nthird')", "ValueError: first", "third"),
        (
            "import sys; sys.exit(5)",
            "it left with status 5 while it loaded the application (sys.exit?)",
            "",
        ),
        (
            "import sys; sys.exit('no DATABASE_URL')",
            "it left with status 1 while it loaded the application (sys.exit?)",
            "no DATABASE_URL",
        ),
        ("import os; os.kill(os.getpid(), 9)", "it was killed: out of memory?", ""),
        (
            "import os; os.kill(os.getpid(), 11)",
            "it died of SIGSEGV; it stood here (most recent call first):",
            'app.py", line 1',
        ),
        (
            "other = 1",
            "gunicorn.errors.AppImportError: Failed to find attribute 'app' in 'app'.",
            "",
        ),
    ],
)
def test_a_bad_one_says_why(folder: Path, source: str, first: str, within: str) -> None:
    result = ended(SideProcess.start(program(folder, source=source)))
    assert not result.ok
    lines = result.text.splitlines()
    assert lines[0] == first
    assert within in result.text
    assert len(lines) <= 13


def test_the_end_of_a_long_output_is_kept(folder: Path) -> None:
    """It neither blocks who prints it nor is it kept whole; what is no text is replaced."""
    source = (
        "import sys\nsys.stdout.buffer.write(b'x' * 20_000_000 + b'\\n\\xff\\n')\n"
        "sys.stdout.flush()\nimport nosuch\n"
    )
    result = ended(SideProcess.start(program(folder, source=source)))
    lines = result.text.splitlines()
    assert lines[0] == "ModuleNotFoundError: No module named 'nosuch'"
    assert "import nosuch" in lines[-1]


def test_a_crowd_of_lines_is_cut(folder: Path) -> None:
    source = "for n in range(100): print(n)\nimport sys; sys.exit(7)\n"
    result = ended(SideProcess.start(program(folder, source=source)))
    assert result.text.splitlines()[1:] == [str(n) for n in range(88, 100)]


@pytest.mark.parametrize("asks", ["time.sleep(600)", "signal.pause()"])
def test_one_that_hangs_is_ended_and_says_where(folder: Path, asks: str) -> None:
    source = f"import time, signal\ndef connect():\n    {asks}\nconnect()\n"
    result = ended(SideProcess.start(program(folder, source=source), timeout_secs=2))
    assert not result.ok
    lines = result.text.splitlines()
    assert lines[0] == "not loaded within 2 s; it stood here (most recent call first):"
    assert lines[1] == f'  File "{folder}/app.py", line 3 in connect'
    assert len(lines) <= 13
    assert result.secs < 10


def test_one_that_ignores_being_asked_is_killed(folder: Path) -> None:
    source = (
        "import signal, time\nsignal.signal(signal.SIGABRT, signal.SIG_IGN)\n"
        "print('waiting for the database', flush=True)\ntime.sleep(600)\n"
    )
    result = ended(SideProcess.start(program(folder, source=source), timeout_secs=2))
    assert (result.ok, result.text) == (False, "not loaded within 2 s\nwaiting for the database")


def test_a_thread_that_is_left_behind_is_no_failure(folder: Path) -> None:
    """Python waits for it when it exits, for ever, although the application has loaded."""
    source = GOOD + (
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\n"
    )
    result = ended(SideProcess.start(program(folder, source=source), timeout_secs=2))
    assert (result.ok, result.text) == (True, "")


@pytest.mark.parametrize("then", ["", "import nosuch\n"])
def test_what_it_started_ends_with_it(folder: Path, then: str) -> None:
    source = GOOD + (
        "import subprocess\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "open('child', 'w').write(str(child.pid))\n" + then
    )
    result = ended(SideProcess.start(program(folder, source=source)))
    assert result.ok is not bool(then)
    child = int((folder / "child").read_text())
    wait_until(lambda: is_gone(child), PATIENCE_SECS, "its child is gone")


def test_it_can_be_given_up(folder: Path) -> None:
    preflight = SideProcess.start(program(folder, source="import time; time.sleep(600)"))
    assert preflight.poll() is None
    preflight.kill()
    result = ended(preflight)
    assert (result.ok, result.text) == (False, "it was given up")
    preflight.kill()
    preflight.close()


def test_closing_ends_it(folder: Path) -> None:
    preflight = SideProcess.start(program(folder, source="import time; time.sleep(600)"))
    preflight.close()
    assert preflight.poll() is not None


def test_it_ends_with_the_listener(folder: Path) -> None:
    """Even with one that is killed, which closes nothing."""
    running = program(
        folder,
        source=(
            "import os, time\nopen('pid.new', 'w').write(str(os.getpid()))\n"
            "os.rename('pid.new', 'pid')\ntime.sleep(600)\n"
        ),
    )
    script = (
        "import signal\nfrom supervisor_roll.listener.side_processes.process import SideProcess\n"
        "from supervisor_roll.wire.program import Program\n"
        f"SideProcess.start({running!r})\nsignal.pause()\n"
    )
    listener = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT)
    try:
        wait_until((folder / "pid").exists, PATIENCE_SECS, "it has said its pid")
    finally:
        listener.kill()
        listener.wait()
    pid = int((folder / "pid").read_text())
    wait_until(lambda: is_gone(pid), PATIENCE_SECS, "it is gone")


def test_it_runs_as_the_program_would(folder: Path) -> None:
    """Its own environment, directory and umask, and nothing of ours: no input, no descriptors."""
    source = GOOD + (
        "import os, sys\n"
        "umask = os.umask(0)\n"
        "variables = [os.environ.get(one) for one in ('COLOUR', 'LISTENERS_OWN')]\n"
        "said = [os.getcwd(), oct(umask), *variables,"
        " sys.stdin.read(), sorted(os.listdir('/proc/self/fd'))[:3], os.getsid(0) == os.getpid()]\n"
        "open('said', 'w').write(repr(said))\n"
    )
    os.environ["LISTENERS_OWN"] = "secret"
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    os.dup2(writer, 200, inheritable=True)
    try:
        running = program(
            folder,
            source=source + "assert not os.path.exists('/proc/self/fd/200')",
            umask=0o027,
            COLOUR="gr\udcffn",
        )
        result = ended(SideProcess.start(running))
    finally:
        for one in (reader, writer, 200):
            os.close(one)
        del os.environ["LISTENERS_OWN"]
    assert result.text == ""
    assert (folder / "said").read_text(errors="surrogateescape") == repr(
        [str(folder), "0o27", "gr\udcffn", None, "", ["0", "1", "2"], True]
    )


def test_it_reads_the_configuration_and_its_hooks_say_nothing(folder: Path) -> None:
    (folder / "gunicorn.conf.py").write_text(
        "import os\nopen('read', 'w').write(os.environ['SUPERVISOR_ROLL_PREFLIGHT'])\n"
        "def on_starting(server): open('started', 'w')\n"
        "from supervisor_roll.hooks import install; install(globals())\n"
    )
    command = f"{GUNICORN} -c gunicorn.conf.py -w 3 -b unix:{folder}/sock app:app"
    for running in (
        program(folder, command),
        program(folder, command, GUNICORN_CMD_ARGS="--threads 2 --"),
    ):
        assert ended(SideProcess.start(running)).text == ""
        assert (folder / "read").read_text() == "1"
        assert not (folder / "started").exists() and not (folder / "sock").exists()


@pytest.mark.parametrize(
    ("conf", "first"),
    [
        ("workers = -1", "Error: Value must be positive: -1"),
        ("import nosuch", "ModuleNotFoundError: No module named 'nosuch'"),
    ],
)
def test_a_bad_configuration_says_why(folder: Path, conf: str, first: str) -> None:
    (folder / "gunicorn.conf.py").write_text(conf)
    result = ended(SideProcess.start(program(folder)))
    assert (result.ok, result.text.splitlines()[0]) == (False, first)


def test_it_finds_what_gunicorns_pythonpath_has(folder: Path) -> None:
    """``--check-config`` itself does not look there."""
    running = program(folder, f"{GUNICORN} --pythonpath lib,other inlib:app")
    (folder / "other").mkdir()
    (folder / "other" / "inlib.py").write_text(GOOD)
    assert not ended(SideProcess.start(running)).ok
    assert ended(SideProcess.start(running, pythonpath=f"{folder}/lib,{folder}/other")).ok


def test_it_loads_as_the_user_who_will(folder: Path) -> None:
    source = GOOD + ("import os\nprint('I am', os.getuid(), os.getgid(), *os.getgroups())\n1/0\n")
    nobody = pwd.getpwnam("nobody")
    running = program(folder, source=source, uid=nobody.pw_uid)
    if os.getuid():
        with pytest.raises(NotPossible, match=f"loaded by uid {nobody.pw_uid}, which this"):
            SideProcess.start(running)
        return
    python = python_for(nobody.pw_uid)
    if python:
        # Where Gunicorn is installed may be hidden from that user, as its interpreter may be.
        for name in ("gunicorn", "packaging"):
            shutil.copytree(package(name), folder / name)
        command = f"{python} -m gunicorn app:app"
    else:
        command = "sh -c 'echo I am $(id -u) $(id -g) $(id -G); exit 1'"
    own, group = nobody.pw_uid, nobody.pw_gid
    for uid, given, says in (
        (own, None, f"I am {own} {group} {group}"),
        (0, Credentials(own, 4242, (4242, 4243)), f"I am {own} 4242 4242 4243"),
    ):
        running = program(folder, command, source, uid, PYTHONPATH=str(folder))
        assert says in ended(SideProcess.start(running, given)).text


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"file": "/nosuch/gunicorn"}, "No such file or directory: '/nosuch/gunicorn'"),
        ({"directory": "/nosuch"}, "No such file or directory: '/nosuch'"),
        ({"file": "/etc/passwd"}, "Permission denied: '/etc/passwd'"),
    ],
)
def test_what_cannot_be_run_says_so(folder: Path, changes: dict[str, str], why: str) -> None:
    running = Program(**{**program(folder).__dict__, **changes})
    with pytest.raises(NotPossible, match=why):
        SideProcess.start(running)


def test_a_user_that_does_not_exist_is_named(folder: Path) -> None:
    with pytest.raises(NotPossible, match="no user has the uid 3999999999"):
        SideProcess.start(program(folder, uid=3_999_999_999))


def test_the_environment_keeps_what_is_the_programs() -> None:
    spawned = {
        "A": "1",
        "GUNICORN_CMD_ARGS": "-w 3",
        "PYTHONPATH": "/p",
        "LISTEN_FDS": "1",
        "NOTIFY_SOCKET": "/n",
        "SUPERVISOR_ROLL_SOCKET": "/s",
    }
    assert environment(spawned, "/a,/b") == {
        "A": "1",
        "GUNICORN_CMD_ARGS": "--check-config -w 3",
        "PYTHONPATH": "/a:/b:/p",
        "SUPERVISOR_ROLL_SOCKET": "preflight",
        "SUPERVISOR_ROLL_PREFLIGHT": "1",
        "PYTHONFAULTHANDLER": "1",
    }
    assert spawned["GUNICORN_CMD_ARGS"] == "-w 3"
    assert environment({})["GUNICORN_CMD_ARGS"] == "--check-config"
    assert "PYTHONPATH" not in environment({})


@pytest.mark.parametrize(
    ("command", "running", "why"),
    [
        ("gunicorn app:app", [], ""),
        ("/srv/venv/bin/gunicorn app:app", [], ""),
        ("/bin/sh -c 'ulimit -n 9; exec gunicorn app:app'", [], ""),
        ("python3 -m gunicorn app:app", [], ""),
        ("python3 -m gunicorn.app.wsgiapp app:app", [], ""),
        ("gunicorn3 app:app", [], ""),
        ("env A=1 newrelic-admin run-program gunicorn app:app", [], ""),
        ("/srv/start", ["/venv/bin/python", "/venv/bin/gunicorn", "app:app"], ""),
        ("/srv/start", ["gunicorn: master [app:app]"], "neither its command nor its process"),
        ("python serve.py", ["python", "serve.py"], "neither its command nor its process"),
        ("python /srv/gunicorn/serve.py", [], "neither its command nor its process"),
        ("sudo -u www gunicorn app:app", ["/venv/bin/gunicorn"], "goes through sudo"),
        ("sh -c 'exec env -i gunicorn app:app'", [], "goes through env -i"),
        (
            "sh -c 'GUNICORN_CMD_ARGS=-w3 exec gunicorn app:app'",
            [],
            "sets GUNICORN_CMD_ARGS itself",
        ),
    ],
)
def test_a_command_that_would_serve_in_place_of_checking_is_not_run(
    command: str, running: list[str], why: str
) -> None:
    found = objection(command, running)
    assert why in found and bool(found) == bool(why)


def test_a_signal_is_not_for_who_started_it(folder: Path) -> None:
    """Its group is its own: what ends it does not end the listener."""
    before = signal.getsignal(signal.SIGTERM)
    preflight = SideProcess.start(program(folder, source="import os, signal\nos.killpg(0, 9)\n"))
    assert ended(preflight).text == "it was killed: out of memory?"
    assert signal.getsignal(signal.SIGTERM) == before


def python_for(uid: int) -> str:
    """An interpreter that this user may execute, "" if there is none: root's own is often not."""
    for python in (sys.executable, shutil.which("python3", path="/usr/local/bin:/usr/bin")):
        with contextlib.suppress(OSError):
            if python and not subprocess.run([python, "-c", ""], user=uid, check=False).returncode:
                return python
    return ""


def package(name: str) -> Path:
    return Path(str(importlib.import_module(name).__file__)).parent
