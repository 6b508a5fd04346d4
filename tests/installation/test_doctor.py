"""What the doctor says of an installation's files; with a supervisord: tests/e2e/test_doctor.py."""

from __future__ import annotations

import json
import os
import pwd
import textwrap
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from supervisor_roll import __version__, hooks
from supervisor_roll.installation import checks, doctor, program_checks
from supervisor_roll.installation.command import main
from supervisor_roll.installation.finding import ERROR, OK, WARNING, Finding, error
from supervisor_roll.installation.gunicorn_conf import gunicorn_conf, parsed_command
from supervisor_roll.installation.site import Program, Site
from supervisor_roll.installation.supervisor_conf import SupervisorConf
from supervisor_roll.rollout.installing import HOOK_LINE, HOOKS
from supervisor_roll.rollout.reports import Memory, Plan, Refused
from supervisor_roll.wire import mailbox as wire
from tests.test_docs import INSTALL, table_under

ROOT = Path(__file__).parents[2]
#: What stands against nothing but that no supervisord runs.
MAIN = """\
[unix_http_server]
file=%(here)s/supervisor.sock
[supervisord]
logfile=%(here)s/supervisord.log
pidfile=%(here)s/supervisord.pid
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://%(here)s/supervisor.sock
[ctlplugin:roll]
supervisor.ctl_factory = supervisor_roll.ctl:make_plugin
[include]
files = conf.d/*.conf
"""
PROGRAM = """\
[program:web]
command={here}/venv/bin/gunicorn -c gunicorn.conf.py app
directory={here}
stopwaitsecs=40
[roll:web]
max_surge=25%
"""
ODD = [
    b"\0",
    b"\xff\xfe\n",
    b"[\n",
    b"[program:]\n",
    b"[program:web]\n",
    b"[roll:]\ncommand\n",
    b"[include]\nfiles=\n",
    b"[include]\nfiles=/\0*\n",
    b"[group:g]\nprograms=\n",
    b"command=%(ENV_)s %% %\n",
    b"command='\n",
    b"directory=~nobody/\0\n",
    b"environment=A\n",
    b"numprocs=99\n",
    b"numprocs=0\n",
    b"user=\n",
    b"stopsignal=0\n",
    b"buffer_size=-1\n",
    b"socket=%(here)s\n",
    b"serverurl=unix://\0\n",
    b"serverurl=ftp:\n",
    b"timeout = 10 ** 10\n",
    b"timeout = 'a'\n",
    b"graceful_timeout = float('nan')\n",
    b"graceful_timeout = 1e999\n",
    b"timeout: int\n",
    b"from supervisor_roll.hooks import *\n",
    b"(" * 500 + b"\n",
    b"# -*- coding: nonsense -*-\n",
]
GUNICORN = f"workers = 2\n{HOOK_LINE}\n"


class Files:
    """An installation without a fault, in a folder, to be spoilt."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.main = folder, folder / "supervisord.conf"
        self.gunicorn, self.web = folder / "gunicorn.conf.py", folder / "conf.d" / "web.conf"
        self.roll = folder / "conf.d" / "roll.conf"
        self.web.parent.mkdir()
        self.main.write_text(MAIN)
        self.web.write_text(PROGRAM.format(here=folder))
        self.gunicorn.write_text(GUNICORN)
        self.roll.write_text((ROOT / "conf.d" / "roll.conf").read_text())

    def change(self, file: str, old: str, new: str) -> None:
        path: Path = getattr(self, file)
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new.replace("{here}", str(self.folder))))

    def found(self) -> list[Finding]:
        return list(doctor.findings(str(self.main)))

    def bad(self) -> dict[str, Finding]:
        """What is not ok, by its check."""
        return {one.check: one for one in self.found() if one.level != OK}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


def test_nothing_is_wrong_but_that_nothing_runs(files: Files) -> None:
    assert list(files.bad()) == ["supervisord-runs"]
    levels = {one.check: one.level for one in files.found()}
    assert levels["hooks"] == levels["commands"] == levels["event-listener"] == OK


@pytest.mark.parametrize(
    ("file", "old", "new", "check", "level", "says"),
    [
        ("main", "[unix_http_server]", "[other]", "http-server", ERROR, "[unix_http_server]"),
        ("main", "[rpcinterface:supervisor]", "[x]", "supervisor-interface", ERROR, "init"),
        ("main", "[supervisorctl]", "[other]", "supervisorctl-section", ERROR, "does not start"),
        ("main", "[ctlplugin:roll]", "[other]", "commands", ERROR, "does not know rollrestart"),
        ("main", "conf.d/*", "conf.d/web*", "roll-interface", ERROR, "[rpcinterface:roll]"),
        ("main", "conf.d/*", "conf.d/web*", "event-listener", ERROR, "[eventlistener:roll]"),
        (
            "main",
            "[supervisord]",
            "[supervisor]",
            "accepted-by-supervisord",
            ERROR,
            "supervisord s",
        ),
        ("roll", "buffer_size = 100", "", "event-listener", WARNING, "buffer_size = 100"),
        ("roll", ",TICK_5", "", "event-listener", ERROR, "not told of TICK_5"),
        ("web", "[roll:web]", "[roll:wep]", "roll-sections", ERROR, "[program:wep]"),
        ("web", "stopwaitsecs=40", "", "stop-time", WARNING, "stopwaitsecs=35"),
        ("web", "-c g", "--graceful-timeout 60 -c g", "stop-time", WARNING, "graceful_timeout=60"),
        ("gunicorn", "workers", "timeout = 90\nworkers", "stop-time", WARNING, "timeout=90"),
        ("web", "stopwaitsecs=40", "stopsignal=INT", "stop-signal", WARNING, "drop its requests"),
        ("web", "stopwaitsecs=40", "stopsignal=HUP", "stop-signal", ERROR, "stopsignal=TERM"),
        ("gunicorn", HOOK_LINE, "", "hooks", ERROR, HOOK_LINE),
        (
            "gunicorn",
            HOOK_LINE,
            "from supervisor_roll.hooks import pre_fork",
            "hooks",
            ERROR,
            "on_",
        ),
        ("gunicorn", HOOK_LINE, f"{HOOK_LINE}\npre_fork = 1", "hooks", ERROR, "sets pre_fork"),
        ("gunicorn", "workers = 2", "workers = (", "hooks", WARNING, "line 1"),
        ("web", "-c gunicorn", "-c other", "hooks", WARNING, "No such file"),
        ("gunicorn", "workers", "reload = True\nworkers", "reload", ERROR, "turn reload off"),
        ("web", "-c gun", "--reload -c gun", "reload", ERROR, "turn reload off"),
        ("web", "-c gun", "--reuse-port -c gun", "reuse-port", ERROR, "turn reuse_port off"),
        (
            "gunicorn",
            "workers",
            "def on_exit(s): pass\nworkers",
            "two-arbiters",
            WARNING,
            "on_exit",
        ),
        ("web", "={here}/venv", "=sudo -u x {here}/venv", "wrapper", WARNING, "user="),
        ("web", "={here}/venv", "=uv run {here}/venv", "wrapper", WARNING, "own gunicorn"),
        ("web", "={here}/venv", "=env -i A=1 {here}/venv", "environment", WARNING, "env -i"),
        (
            "web",
            "stopwaitsecs=40",
            "environment=SUPERVISOR_ROLL_SOCKET=/x",
            "environment",
            ERROR,
            "remove it",
        ),
        ("web", "command=", "environment=A=%%(ENV_NOWHERE)s\ncommand=", "", ERROR, ""),
    ],
)
def test_what_is_spoilt_is_found_with_its_cure(
    files: Files, file: str, old: str, new: str, check: str, level: str, says: str
) -> None:
    files.change(file, old.replace("{here}", str(files.folder)), new.replace("%%", "%"))
    found = files.bad()[check or "accepted-by-supervisord"]
    assert found.level == level
    assert says in f"{found.text} {found.where} {found.cure}"


def test_a_section_and_its_file_are_named(files: Files) -> None:
    files.change("web", "stopwaitsecs=40", "")
    assert files.bad()["stop-time"].where == f"[program:web] in {files.web}"
    files.change("main", "[ctlplugin:roll]\nsupervisor.ctl_factory", "x")
    files.roll.write_text(f"{files.roll.read_text()}\n[ctlplugin:roll]\nsupervisor.ctl_factory=x:y")
    found = files.bad()["commands"]
    assert (found.where, found.cure) == (
        f"[ctlplugin:roll] in {files.roll}",
        f"move it to {files.main}",
    )


def test_two_gunicorns_on_one_control_socket(files: Files) -> None:
    venv = files.folder / "venv"
    (venv / "lib/python3.11/site-packages/gunicorn-25.1.0.dist-info").mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text("include-system-site-packages = false\n")
    info = venv / "lib/python3.11/site-packages/gunicorn-25.1.0.dist-info/METADATA"
    info.write_text("Metadata-Version: 2.1\nName: gunicorn\nVersion: 25.1.0\n")
    both = PROGRAM + PROGRAM.replace(":web", ":api")
    files.web.write_text(both.format(here=files.folder))
    found = files.bad()
    assert "web, api open the same control socket" in found["control-socket"].text
    # The virtualenv has no supervisor_roll either.
    assert f"{venv}/bin/pip install" in found["package"].cure
    files.gunicorn.write_text(f"control_socket_disable = True\n{GUNICORN}")
    assert "control-socket" not in files.bad()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_bytes(b"[supervisord]\n\xff"), "byte 14 is not UTF-8"),
        (lambda path: path.write_text("rubbish\n"), "no section headers"),
        (lambda path: path.write_bytes(b"#" * (1024 * 1024 + 1)), "more than 1048576 bytes"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "no regular file"),
        (lambda path: (path.unlink(), path.mkdir()), "Is a directory"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(files: Files, spoil: object, why: str) -> None:
    spoil(files.main)  # type: ignore[operator]
    (found,) = files.found()
    assert (found.level, found.where) == (ERROR, str(files.main))
    assert why in found.text


def test_a_bad_included_file_is_named(files: Files) -> None:
    files.web.write_bytes(b"\xff")
    assert str(files.web) in files.bad()["accepted-by-supervisord"].text


def test_what_is_named_is_not_imported(files: Files) -> None:
    (files.folder / "evil.py").write_text("raise SystemExit('imported')")
    files.change("main", "supervisor_roll.ctl:make_plugin", "evil:x")
    files.change("roll", "supervisor_roll.rpc:make_rpcinterface", "evil:x")
    files.change("gunicorn", "workers", "raise SystemExit('run')\nworkers")
    assert list(files.bad()) == ["supervisord-runs"]


def test_where_supervisorctl_looks(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["/nowhere/bin/supervisor-roll"])
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "supervisord.conf").write_text(MAIN)
    found = {one.check: one for one in doctor.findings()}["configuration-file"]
    assert (found.level, found.where) == (WARNING, str(files.main))
    assert f"{tmp_path}/etc/supervisord.conf" in found.text


def test_the_exit_status_is_that_of_the_worst(
    files: Files, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "-c", str(files.main)]) == 1
    assert capsys.readouterr().out.endswith("\n0 errors, 1 warning\n")
    files.change("gunicorn", HOOK_LINE, "")
    assert main(["doctor", "-c", str(files.main), "--json"]) == 2
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {(one["version"], one["type"]) for one in rows} == {(1, "finding")}
    (row,) = (one for one in rows if one["level"] == ERROR)
    assert (row["check"], row["program"], row["where"]) == ("hooks", "web", str(files.gunicorn))


def test_what_is_shown_cannot_steer_a_terminal() -> None:
    shown = "".join(error("a\x1b[2Jb", "c\nd", "e\rf").lines())
    assert shown.isprintable()


def told(files: Files, facts: Plan | Refused) -> list[Finding]:
    """What the checks of a program say whose listener tells ``facts``."""
    conf = SupervisorConf(str(files.main))
    (section,) = conf.sections
    process = section.process
    found = gunicorn_conf(process.command, process.environment, process.directory)
    program = Program(
        section, conf.where(section.section), found, process.directory, "RUNNING", facts
    )
    site = Site(conf)
    return [one for check in program_checks.CHECKS for one in check(site, program)]


def test_what_its_gunicorn_tells_goes_before_the_files(files: Files) -> None:
    plan = Plan(desired=2, ready=1, gunicorn="21.2.0", hooks="0.0.1", boot_secs=25.0, timeout=30.0)
    said = [one.text for one in told(files, plan) if one.level != OK]
    assert [text for text in said if "1 of 2 workers ready" in text]
    assert [text for text in said if "the hooks of supervisor_roll 0.0.1" in text]
    assert [text for text in said if "kills a worker that boots for timeout=30 s" in text]
    assert len(said) == 3
    plan = Plan(graceful_timeout=50.0, gunicorn="22.0", hooks="0.1.0", boot_secs=25.0, timeout=30.0)
    short = Memory(fits=False, text="too little")
    found = told(files, Plan(**{**vars(plan), "memory": short}))
    assert [one.text for one in found if "graceful_timeout=50 s" in one.text]
    assert [one.cure for one in found if "too little" in one.text] == [
        "make room, or set max_surge=0 and max_unavailable=1 in [roll:web]"
    ]


def test_what_a_refusal_says_is_not_said_again(files: Files) -> None:
    files.change("gunicorn", "workers", "reload = True\nworkers")
    assert len([one for one in told(files, Refused("it has reload")) if one.level != OK]) == 1
    plan = Plan(gunicorn="27.0.1", hooks=__version__)
    (found,) = (one for one in told(files, plan) if one.level != OK)
    assert found.where == str(files.gunicorn), "it has been edited since its start"


def test_a_refusal_is_an_error_with_its_cure(files: Files) -> None:
    why = f"its Gunicorn (pid 1) runs without the hooks: end its gunicorn.conf.py with: {HOOK_LINE}"
    (found,) = (one for one in told(files, Refused(why)) if one.level == ERROR)
    assert found.text == "its Gunicorn (pid 1) runs without the hooks"
    assert found.cure == f"end its gunicorn.conf.py with: {HOOK_LINE}"


@pytest.mark.parametrize(
    ("command", "gunicorn", "wrapper"),
    [
        ("/srv/bin/gunicorn app", "/srv/bin/gunicorn", ""),
        ("python3 -m gunicorn app", "gunicorn", ""),
        ("/srv/bin/python /srv/bin/gunicorn app", "/srv/bin/gunicorn", ""),
        ("sh -c 'cd /srv && exec bin/gunicorn app'", "bin/gunicorn", ""),
        ("sh -c 'exec env A=1 gunicorn app'", "gunicorn", ""),
        ("bash -lc 'gunicorn app; true'", "gunicorn", "bash"),
        ("/usr/bin/sudo -E gunicorn app", "gunicorn", "sudo"),
        ("poetry run gunicorn app", "gunicorn", "poetry"),
        ("cat", "", ""),
        ("'unbalanced", "", ""),
    ],
)
def test_commands(command: str, gunicorn: str, wrapper: str) -> None:
    found = parsed_command(command)
    assert (found.gunicorn, found.wrapper) == (gunicorn, wrapper)


def test_a_script_that_does_not_execute_gunicorn(files: Files) -> None:
    script = files.folder / "start.sh"
    script.write_text("#!/bin/sh\n# exec\n/srv/bin/gunicorn app\n")
    files.change("web", f"{files.folder}/venv/bin/gunicorn -c gunicorn.conf.py app", str(script))
    assert "write exec" in files.bad()["wrapper"].cure
    script.write_text("#!/bin/sh\nexec /srv/bin/gunicorn app\n")
    assert "wrapper" not in files.bad()


def test_the_hooks_are_those_that_are_installed() -> None:
    assert set(HOOKS) == set(hooks._HOOKS)


def test_each_check_is_documented() -> None:
    ours = [doctor.name_of(one) for one in (*checks.CHECKS, *program_checks.CHECKS)]
    assert list(table_under("Checking and making an installation", INSTALL)) == ours


def test_the_example_of_the_documentation(files: Files) -> None:
    files.change("web", "stopwaitsecs=40", "")
    found = told(files, Plan(gunicorn="27.0.1", hooks=__version__, desired=4, ready=4))
    path = "/etc/supervisor/conf.d/web.conf"
    as_there = [replace(one, where=one.where.replace(str(files.web), path)) for one in found]
    text = "\n".join(["web", *(line for one in as_there for line in one.lines())])
    assert textwrap.indent(text, " " * 8) in INSTALL.read_text()


def running(files: Files, roll: wire.Overview | None) -> dict[str, Finding]:
    """What the checks of the whole say beside a supervisord that tells so."""
    told = SimpleNamespace(
        roll=roll, pid=1, version="4.3.0", listener_environment={}, environment={}
    )
    site = Site(SupervisorConf(str(files.main)), running=told)  # type: ignore[arg-type]
    return {doctor.name_of(check): one for check in checks.CHECKS for one in check(site)}


def test_a_supervisord_that_was_not_restarted(files: Files) -> None:
    assert "restart supervisord" in running(files, None)["supervisord-runs"].cure


@pytest.mark.parametrize(
    ("listener", "check", "says"),
    [
        (None, "listener", "no listener has connected"),
        (wire.Listener(1, "FATAL"), "listener", "the listener is FATAL"),
        (wire.Listener(1, "RUNNING", "no memory"), "listener", "the listener: no memory"),
        (wire.Listener(1, "RUNNING", "", "0.0.9"), "versions", "but the listener runs 0.0.9"),
        (wire.Listener(1, "RUNNING"), "versions", "but the listener runs an earlier one"),
        (wire.Listener(1, "RUNNING"), "socket-directory", "supervisor_roll.sock cannot be reached"),
    ],
)
def test_a_listener_that_does_not_fit(
    files: Files, listener: wire.Listener | None, check: str, says: str
) -> None:
    found = running(files, wire.Overview({}, listener, [], __version__))[check]
    assert found.level != OK
    assert says in found.text


def test_a_supervisord_of_another_version(files: Files) -> None:
    listener = wire.Listener(1, "RUNNING", "", __version__)
    text = running(files, wire.Overview({}, listener, [], "0.0.9"))["versions"].text
    assert text.endswith("but supervisord runs 0.0.9")
    assert running(files, wire.Overview({}, listener, [], __version__))["versions"].level == OK


def test_a_folder_that_a_user_may_not_pass(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody").pw_uid
    tmp_path.chmod(0o700)
    assert "user nobody may not pass" in checks.unreachable_for(nobody, f"{tmp_path}/x")
    assert checks.unreachable_for(nobody, "/usr/bin") == ""
    assert "/usr/nowhere" in checks.unreachable_for(nobody, "/usr/nowhere")


@given(st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
def test_odd_files_crash_nothing(files: Files, data: st.DataObject) -> None:
    path = files.folder / "odd"
    seed = data.draw(st.sampled_from([files.main, files.web, files.roll, files.gunicorn]))
    pieces = seed.read_bytes().splitlines(keepends=True)
    odd = st.sampled_from(ODD) | st.binary(max_size=20)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(pieces)))
        pieces[at : at + data.draw(st.integers(0, 2))] = [data.draw(odd)]
    before = seed.read_bytes()
    path.write_bytes(b"".join(pieces))
    try:
        path.replace(seed)
        assert all(one.level in (OK, WARNING, ERROR) for one in files.found())
    finally:
        seed.write_bytes(before)
