"""What local users send: to the readiness socket, and over XML-RPC."""

from __future__ import annotations

import json
import time
import xmlrpc.client

from ground import Ground, fault

NOBODY = 65534
# The listener is to be held up by nobody; the least that a lingering descriptor would take.
_LATE_SECS = 28.0

_BEGIN = """
import socket, struct, sys, time, os, threading
path, until = sys.argv[1], time.monotonic() + float(sys.argv[2])
def sending(message, ancillary):
    sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sender.settimeout(0.2)
    try:
        sender.sendmsg([message], ancillary, 0, path)
    except OSError:
        time.sleep(0.01)
    sender.close()
"""
_GARBAGE = (
    _BEGIN
    + """
while time.monotonic() < until:
    sending(os.urandom(os.getpid() % 50 + 200), [])
"""
)
_DESCRIPTORS = (
    _BEGIN
    + """
fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(64)]
rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("64i", *fds))]
def flood():
    while time.monotonic() < until:
        sending(b"BOOTING=1", rights)
threads = [threading.Thread(target=flood) for _ in range(20)]
[one.start() for one in threads]
[one.join() for one in threads]
"""
)
_LINGERING = (
    _BEGIN
    + """
kept = []
for _ in range(3):
    server = socket.create_server(("127.0.0.1", 0))
    client = socket.create_connection(server.getsockname())
    kept.append(server.accept())  # once this is closed, nothing lingers any more
    client.setblocking(False)
    try:
        while True:
            client.send(b"x" * 65536)
    except BlockingIOError:
        pass
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 30))
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", client.fileno()))]
    sending(b"READY=1", rights)
    client.close()
time.sleep(max(0, until - time.monotonic()))
"""
)


def _enter(name: str, script: str, secs: float, whose: str, user: int) -> None:
    @fault(f"{name}, {whose}")
    def attacked(ground: Ground) -> None:
        ground.attack(script, secs, user)
        time.sleep(1)
        ground.release()
        began = time.monotonic()
        ground.roll(good=True)
        took_secs = time.monotonic() - began
        ground.expect(took_secs < _LATE_SECS, f"the rollout took {took_secs:.0f} s")


for _name, _script, _secs in (
    ("garbage", _GARBAGE, 6),
    ("64 descriptors a datagram", _DESCRIPTORS, 6),
    ("lingering descriptors", _LINGERING, 35),
):
    _enter(_name, _script, _secs, "stranger", NOBODY)
    _enter(_name, _script, _secs, "own user", 0)


@fault("XML-RPC: values that are forbidden", "workers")
def forbidden(ground: Ground) -> None:
    proof = ground.site.folder / "proof"
    values = {"on_failure": f"touch {proof}", "ready_timeout_secs": "0.2"}
    asked = {"kind": "rollout", "names": ["web"], "by": "x", "values": values}
    _refused(ground, lambda: ground.site.rpc.roll.request(json.dumps(asked)))
    time.sleep(3)
    ground.expect(not proof.exists(), "a caller's command was run")


@fault("XML-RPC: exchange without a secret", "workers")
def exchange(ground: Ground) -> None:
    text = json.dumps({"pid": 1, "hello": True})
    _refused(ground, lambda: ground.site.rpc.roll.exchange(text))
    _refused(ground, lambda: ground.site.rpc.roll.exchange(text, "x"))
    for method in ("startSuccessor", "promoteSuccessor", "discardSuccessor", "adopt", "resize"):
        _refused(ground, lambda method=method: getattr(ground.site.rpc.roll, method)("web"))


@fault("XML-RPC: requests of 1 MB", "workers")
def big(ground: Ground) -> None:
    asked = json.dumps({"kind": "update", "names": [], "by": "x" * 1_000_000, "values": {}})
    began = time.monotonic()
    for _ in range(8):
        _refused(ground, lambda: ground.site.rpc.roll.request(asked))
    ground.site.rpc.roll.status()
    secs = time.monotonic() - began
    ground.expect(secs < 15, f"supervisord was busy with it for {secs:.0f} s")


def _refused(ground: Ground, call: object) -> None:
    try:
        call()  # type: ignore[operator]
        ground.expect(False, "supervisord did as it was asked")
    except (xmlrpc.client.Error, OSError):
        pass
