"""What README has a newcomer paste on a Debian leads to a first rollout, and so do the
configurations of the pages: with Debian's own supervisor, Gunicorn and our package of them."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path

import pytest

from tests.doc_blocks import ROOT, block, masked, shown
from tests.harness import debian
from tests.harness.venvs import packages_venv
from tests.harness.waiting import patience

spec = importlib.util.spec_from_file_location("_deb", ROOT / "scripts" / "_deb.py")
assert spec is not None and spec.loader is not None
deb = importlib.util.module_from_spec(spec)
spec.loader.exec_module(deb)

_NO_PACKAGES = 77
_DOWNLOAD = f"""
download="apt-get install --quiet --yes --download-only supervisor gunicorn"
$download || {{ apt-get update --quiet && $download; }} || exit {_NO_PACKAGES}
"""
_FUNCTIONS = """
waits() {
    until eval "$1"; do
        [ $SECONDS -lt 900 ] || { supervisorctl status; tail /var/log/supervisor/*.log; exit 9; }
        sleep 0.2
    done
}
runs() { waits "supervisorctl status $1 | grep --quiet RUNNING"; }
answer() { waits "/usr/bin/python3 -c '$ASK' $1 2>/dev/null"; }
roll() { echo "<<< $1"; supervisorctl rollrestart $1; echo ">>>"; }
ASK='import sys, urllib.request as it; print(it.urlopen(sys.argv[1]).read().decode())'
"""
# What the pages' examples have beside what the pages say of them.
_DJANGO = """
DEBUG = False
SECRET_KEY = "only for tests"
ALLOWED_HOSTS = ["www.example.org"]
ROOT_URLCONF = "mysite.urls"
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware"]
SECURE_SSL_REDIRECT = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
"""
_URLS = """
from django.http import HttpResponse
from django.urls import path
urlpatterns = [path("healthz", lambda request: HttpResponse("ok"))]
"""
_FRAPPE = """
def application(environ, start_response):
    there = environ["HTTP_HOST"] == "site1.local" and environ["PATH_INFO"] == "/api/method/ping"
    start_response("200 OK" if there else "404 Not Found", [])
    return [b"pong"]
"""
_ENVIRONMENTS = f"""
ln -s {sys.prefix} /srv/mysite/venv
ln -s {sys.prefix} /srv/myapp/venv
ln -s {sys.prefix} /home/frappe/frappe-bench/env
echo 'bind = "127.0.0.1:8001"' >/srv/mysite/gunicorn.conf.py
echo 'bind = "127.0.0.1:8002"; workers = 2' >/srv/api/gunicorn.conf.py
"""


def _pasted(text: str) -> str:
    """Have a shell read it from where the commands in it could read it too."""
    return f"bash -e <<'PASTED'\n{text}\nPASTED\n"


def test_what_a_newcomer_pastes_and_the_pages_examples(tmp_path: Path) -> None:
    if why := debian.why_not():
        pytest.skip(why)
    (tmp_path / "overlay").mkdir()
    files = Path(tmp_path / "files")
    (files / "dist").mkdir(parents=True)
    deb.package(deb.build(files / "dist"), files / "dist")
    install, _, paste = block("README", "apt-get").partition("\n\n")
    first, _, install = install.partition("\n")
    assert first.endswith("scripts/deb")  # which builds it as above, in an environment of its own
    fastapi = packages_venv("fastapi", "gunicorn", "uvicorn-worker").parent

    def written(path: str, text: str) -> str:
        (files / "tree" / path).parent.mkdir(parents=True, exist_ok=True)
        (files / "tree" / path).write_text(text)

    django = block("frameworks", "[program:mysite]")
    written("etc/supervisor/conf.d/mysite.conf", django)
    written("srv/mysite/mysite/settings.py", _DJANGO)
    written("srv/mysite/mysite/urls.py", _URLS)
    written("srv/mysite/mysite/wsgi.py", block("frameworks", "import os"))
    written("etc/supervisor/conf.d/api.conf", block("frameworks", "[program:api]"))
    written("srv/api/main.py", block("frameworks", "from contextlib"))
    frappe = block("frameworks", "[program:frappe-bench-frappe-web]")
    group = "[group:frappe-bench-web]\nprograms=frappe-bench-frappe-web\n"
    written("etc/supervisor/conf.d/frappe.conf", f"{frappe}\n\n{group}")
    written("home/frappe/frappe-bench/sites/frappe/app.py", _FRAPPE)
    written("srv/image.conf", block("install", "[supervisord]"))
    by_frappe = block("frameworks", "/home/frappe").partition("\n")[2]
    in_image = re.search(r"RUN (supervisor-roll .*)", block("install", "FROM"))[1]

    status, said = debian.run(
        tmp_path / "overlay",
        files,
        f"{_DOWNLOAD}{_pasted(install)}",
        f"""
service supervisor start
{_pasted(paste)}
{_FUNCTIONS}
runs myapp
answer http://127.0.0.1:8000/
sed -i 's/release 1/release 2/' /srv/myapp/app.py
roll myapp
answer http://127.0.0.1:8000/
supervisor-roll doctor
supervisorctl stop myapp

cp -r tree/. /
useradd frappe
{_ENVIRONMENTS}
ln -s {fastapi} /srv/api/venv
supervisor-roll init --yes /srv/mysite/gunicorn.conf.py /srv/api/gunicorn.conf.py
{by_frappe}
supervisorctl update
for one in mysite api frappe-bench-web:frappe-bench-frappe-web; do runs $one; roll $one; done

supervisorctl shutdown
waits '[ ! -e /run/supervisor.sock ]'
mv /srv/image.conf /etc/supervisord.conf  # where supervisorctl looks before Debian's
{in_image}
unshare --pid --fork --kill-child --mount-proc supervisord --nodaemon -c /etc/supervisord.conf &
waits '[ -e /run/supervisor.sock ]'
runs myapp
roll myapp

apt-get purge --quiet --yes supervisor-roll
! ls /usr/lib/python3/dist-packages/supervisor_roll /usr/share/supervisor_roll
echo all done
""",
        300 * patience(),
    )
    if status == _NO_PACKAGES:
        pytest.skip("apt-get finds no supervisor and gunicorn here")
    assert status == 0, said
    rolled = re.findall("<<< (\\S+)\n(.*?)>>>", said, re.DOTALL)
    assert masked(rolled[0][1])[-5:] == shown()[0]
    found = [(name, "arbiter" in output) for name, output in rolled]
    frappes = "frappe-bench-web:frappe-bench-frappe-web"
    assert found == [
        *(("myapp", False), ("mysite", False), ("api", False)),
        *((frappes, True), ("myapp", False)),
    ]
    assert "supervisord started with pid 1\n" in said
    assert re.findall("release .", said) == ["release 1", "release 2"]
