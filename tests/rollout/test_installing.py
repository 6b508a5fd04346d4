"""What an installation needs, in words."""

import pytest

from supervisor_roll.rollout.installing import socket_directory, wrapper_cure


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("bash", "write exec before gunicorn in the shell's command"),
        ("sudo", "remove sudo, and set user= in the program's section instead"),
        ("poetry", "start the environment's own gunicorn instead of poetry (/venv/bin/gunicorn)"),
        ("tini", "remove tini: supervisord itself passes signals on and reaps what ends"),
        ("strange", ""),
    ],
)
def test_each_wrapper_has_its_cure(name: str, cure: str) -> None:
    assert wrapper_cure(name, " (/venv/bin/gunicorn)") == cure


def test_the_sockets_are_beside_supervisords_own_socket_or_else_its_pidfile() -> None:
    assert socket_directory(["/run/s.sock", "/other.sock"], "/run/d.pid") == "/run/s_roll.sock"
    assert socket_directory([], "/run/d.pid") == "/run/d_roll.sock"
