"""The script that speaks HAProxy's runtime API, to one that answers as HAProxy 2.6 does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from supervisor_roll.listener.in_service import haproxy

STAT = "# pxname,svname,qcur,qmax,scur,smax,\n{rows}\n"


class RuntimeApi:
    """``sessions`` are those of web/s1 at each look, the last of them for ever."""

    def __init__(self, path: Path) -> None:
        self.sessions, self.asked = [0], list[str]()
        self.refusal = ""
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(str(path))
        self._socket.listen()
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, connection.makefile("r") as file:
                command = file.readline().strip()
                self.asked.append(command)
                connection.sendall(self._answer(command).encode())

    def _answer(self, command: str) -> str:
        if command.startswith("set "):
            return f"{self.refusal}\n"
        count = self.sessions.pop(0) if len(self.sessions) > 1 else self.sessions[0]
        return STAT.format(rows=f"web,s2,0,0,9,9,\nweb,s1,1,0,{count},0,")


@pytest.fixture
def api(tmp_path: Path) -> Iterator[RuntimeApi]:
    one = RuntimeApi(tmp_path / "h")
    yield one
    one.close()


def run(folder: Path, state: str, secs: str = "60") -> int:
    return haproxy.main(str(folder / "h"), "web/s1", state, secs)


def test_a_drain_waits_until_its_sessions_are_gone(
    api: RuntimeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.sessions = [2, 1, -1]  # and one in the queue
    assert run(tmp_path, "drain") == 0
    assert capsys.readouterr().out == "0\n"
    assert api.asked == ["set server web/s1 state drain", *["show stat web 4 -1"] * 3]


def test_it_waits_no_longer_than_it_may(
    api: RuntimeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.sessions = [4]
    assert run(tmp_path, "drain", "0") == 0
    assert capsys.readouterr().out == "5\n"


def test_the_way_back_waits_for_nothing(api: RuntimeApi, tmp_path: Path) -> None:
    assert run(tmp_path, "ready") == 0
    assert api.asked == ["set server web/s1 state ready"]


def test_what_it_refuses_is_told(
    api: RuntimeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    api.refusal = "No such server."
    assert run(tmp_path, "drain") == 1
    assert "No such server." in capsys.readouterr().out


@pytest.mark.parametrize("where", ["/nowhere/h", "127.0.0.1:1", "[::1]:1"])
def test_one_that_is_not_there_is_told(where: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert haproxy.main(where, "web/s1", "drain", "1") == 1
    assert capsys.readouterr().out.startswith(f"HAProxy at {where}: ")
