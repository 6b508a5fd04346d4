"""The hooks answer a load balancer's health check for each kind of application; rolldrain and
rollready turn it, and it stays as it is while the listener is gone."""

from __future__ import annotations

import json
import os
import signal

from tests.harness import MakeSite, Program, Site
from tests.harness.connections import Connection

PAGE = "/balancer"
CLASSES = {
    "wsgi": ("gthread", "plain:app"),
    "asgi": ("asgi", "lifespan_app:app"),
    "uvicorn": ("uvicorn_worker.UvicornWorker", "lifespan_app:app"),
    "tornado": ("tornado", "tornado_app:app"),
}


def statuses(site: Site, path: str) -> dict[str, int]:
    found = {}
    for name in CLASSES:
        connection = Connection(site.address(name), 30.0)
        connection.request("GET", path)
        found[name] = connection.getresponse().status
        connection.close()
    return found


def all_of(status: int) -> dict[str, int]:
    return dict.fromkeys(CLASSES, status)


def test_it_is_there_for_each_kind_of_application(make_site: MakeSite) -> None:
    roll = {"status_path": PAGE, "rolldrain_secs": "0"}
    site = make_site(
        *(
            Program(
                name,
                app=app,
                worker_class=worker_class,
                workers=1,
                gunicorn="27.0.1",
                conf="control_socket_disable = True",
                roll=roll,
            )
            for name, (worker_class, app) in CLASSES.items()
        )
    )
    assert statuses(site, PAGE) == all_of(200)
    ran = site.ctl("rolldrain", "--json", *CLASSES)
    objects = [json.loads(line) for line in ran.output.splitlines()]
    assert (ran.status, objects[-1]["programs"]) == (0, dict.fromkeys(CLASSES, "drained"))
    assert (statuses(site, PAGE), statuses(site, "/")) == (all_of(404), all_of(200))
    site.restart_listener()
    assert statuses(site, PAGE) == all_of(404)
    assert "drained" in site.ctl("rollstatus").output
    assert site.ctl("rollready", *CLASSES).status == 0
    assert (statuses(site, PAGE), statuses(site, "/")) == (all_of(200), all_of(200))
    # A worker that starts while there is nobody to ask knows what others were told.
    assert site.ctl("rolldrain", "wsgi").status == 0
    site.rpc.supervisor.stopProcess("roll")
    before = site.workers("wsgi")
    for pid in before.children:
        os.kill(pid, signal.SIGKILL)
    site.wait_replaced("wsgi", before)
    assert statuses(site, PAGE) == {**all_of(200), "wsgi": 404}
