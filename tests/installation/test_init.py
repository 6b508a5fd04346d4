"""What ``supervisor-roll init`` writes, and takes out again."""

from __future__ import annotations

import configparser
import os
import pwd
from pathlib import Path

import pytest

from supervisor_roll.installation import edits, init
from supervisor_roll.installation import replace as replacing
from supervisor_roll.installation.command import main
from supervisor_roll.installation.files import Unreadable
from supervisor_roll.rollout.installing import HOOK_LINE
from tests.installation.test_doctor import MAIN, ROOT

BARE = "; ours\n[supervisord]\nlogfile = %(here)s/x.log ; kept\n\n[program:web]\ncommand=cat\n"


def made(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def sections(path: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";",), strict=True)
    parser.read(path)
    return parser


@pytest.mark.parametrize("data", [BARE, BARE.rstrip("\n"), BARE.replace("\n", "\r\n"), MAIN])
def test_what_was_there_stays_and_undo_gives_it_back(tmp_path: Path, data: str) -> None:
    path = made(tmp_path / "supervisord.conf", data)
    assert main(["init", "--yes", str(path)]) == 0
    once = path.read_bytes()
    assert once.startswith(data.encode())
    assert set(edits.SECTIONS) <= set(sections(path).sections())
    assert main(["init", "--yes", str(path)]) == 0
    assert path.read_bytes() == once, "twice is as once"
    assert main(["init", "--yes", "--undo", str(path)]) == 0
    assert path.read_bytes() == data.encode()


def test_the_sections_are_those_of_roll_conf(tmp_path: Path) -> None:
    path = made(tmp_path / "supervisord.conf", BARE)
    main(["init", "--yes", str(path)])
    written, ours = sections(path), sections(ROOT / "conf.d" / "roll.conf")
    for name in ("rpcinterface:roll", "eventlistener:roll"):
        assert dict(written[name]) == dict(ours[name])


def test_what_is_there_already_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    made(tmp_path / "conf.d" / "roll.conf", (ROOT / "conf.d" / "roll.conf").read_bytes())
    path = made(tmp_path / "supervisord.conf", MAIN)
    assert main(["init", "--yes", str(path)]) == 0
    assert path.read_text() == MAIN
    port = "[inet_http_server]\nport=*:9001\n"
    path = made(tmp_path / "other.conf", BARE + port)
    main(["init", "--yes", str(path)])
    assert "unix_http_server" not in sections(path).sections()
    assert sections(path)["supervisorctl"]["serverurl"] == "http://localhost:9001"


@pytest.mark.parametrize("data", ["", "workers = 2\n", "workers = 2", "a = 1\r\nb = 2\r\n"])
def test_the_hooks_line(tmp_path: Path, data: str) -> None:
    path = made(tmp_path / "gunicorn.conf.py", data)
    assert main(["init", "--yes", str(path)]) == 0
    once = path.read_bytes()
    assert once.startswith(data.encode())
    assert once.decode().splitlines()[-1].startswith(HOOK_LINE)
    assert main(["init", "--yes", str(path)]) == 0
    assert path.read_bytes() == once
    assert main(["init", "--yes", "--undo", str(path)]) == 0
    assert path.read_bytes() == data.encode()


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("g.py", "workers = (\n", "line 1"),
        ("g.py", "workers = 1 + \\", "line 1"),
        ("g.py", f"{HOOK_LINE}\npre_fork = 1\n", "sets pre_fork after"),
        ("g.py", "from supervisor_roll.hooks import pre_fork\n", "add the others there"),
        ("g.py", "from base import *\n", "does not show"),
        ("g.py", b"a = 1\0", "no text"),
        ("s.conf", b"\xff\xfe", "not UTF-8"),
        ("s.conf", "[supervisord]\n[program:x]\n", "supervisord cannot read it"),
        ("s.conf", "[supervisord\n", "no section headers"),
    ],
)
def test_what_cannot_be_added_to_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, data: bytes | str, why: str
) -> None:
    path = made(tmp_path / name, data)
    before = path.read_bytes()
    assert main(["init", "--yes", str(path)]) == 2
    assert why in capsys.readouterr().err
    assert path.read_bytes() == before


def test_it_asks_and_shows_the_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = made(tmp_path / "gunicorn.conf.py", "workers = 2\n")
    asked = []

    def says(answer: str) -> None:
        monkeypatch.setattr("builtins.input", lambda text: asked.append(text) or answer)

    says("")
    assert main(["init", str(path)]) == 1
    assert path.read_text() == "workers = 2\n"
    assert f"+{HOOK_LINE}" in capsys.readouterr().out
    says("y")
    assert main(["init", str(path)]) == 0
    assert HOOK_LINE in path.read_text()
    assert len(asked) == 2


def test_mode_owner_attributes_and_link_stay(tmp_path: Path) -> None:
    real = made(tmp_path / "real.py", "workers = 2\n")
    real.chmod(0o640)
    nobody = pwd.getpwnam("nobody")
    if os.geteuid() == 0:
        os.chown(real, nobody.pw_uid, nobody.pw_gid)
    before = real.stat()
    link = tmp_path / "gunicorn.conf.py"
    link.symlink_to(real)
    assert main(["init", "--yes", str(link)]) == 0
    after = real.stat()
    assert link.is_symlink()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )
    assert HOOK_LINE in real.read_text()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["gunicorn.conf.py", "real.py"]


def test_a_change_meanwhile_is_not_lost(tmp_path: Path) -> None:
    path = made(tmp_path / "supervisord.conf", BARE)
    old = path.read_bytes()
    made(path, f"{BARE}; another's\n")
    with pytest.raises(Unreadable, match="changed meanwhile"):
        replacing.replace(str(path), old, init.wanted(str(path), old))
    assert path.read_text() == f"{BARE}; another's\n"
    assert [one.name for one in tmp_path.iterdir()] == ["supervisord.conf"]


def test_a_file_of_several_names_is_left(tmp_path: Path) -> None:
    path = made(tmp_path / "gunicorn.conf.py", "workers = 2\n")
    (tmp_path / "other").hardlink_to(path)
    assert main(["init", "--yes", str(path)]) == 2
    assert path.read_text() == "workers = 2\n"
