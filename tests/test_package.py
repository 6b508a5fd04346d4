"""What is built to be installed: the sdist, the wheel, and Debian's package of the wheel."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from supervisor_roll import __version__

ROOT = Path(__file__).parents[1]
spec = importlib.util.spec_from_file_location("_deb", ROOT / "scripts" / "_deb.py")
assert spec is not None and spec.loader is not None
deb = importlib.util.module_from_spec(spec)
spec.loader.exec_module(deb)

MODULES = {f"{one.relative_to(ROOT)}" for one in ROOT.glob("supervisor_roll/**/*.py")}


def ran(*command: object, **options: object) -> str:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_sdist_the_wheel_and_the_debian_package(tmp_path: Path) -> None:
    wheel = deb.build(tmp_path)
    (sdist,) = tmp_path.glob("*.tar.gz")
    assert ran(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel)

    with tarfile.open(sdist) as archive:
        sources = {name.partition("/")[2] for name in archive.getnames()}
    assert {"scripts/test", "tests/conftest.py", "docs/reference.rst", "conf.d/roll.conf"} < sources
    assert sources > MODULES

    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    data = f"supervisor_roll-{__version__}.data/data/share/supervisor_roll/conf.d"
    assert packed == {
        *MODULES,
        "supervisor_roll/py.typed",
        *(f"supervisor_roll/rpc/page/page.{type}" for type in ("html", "css", "js")),
        f"{data}/roll.conf",
        f"{data}/gunicorn-example.conf",
    }

    # Of the wheel's own, whatever the environment has: it is imported from where pip puts it.
    target = tmp_path / "target"
    ran(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", target, wheel)
    environment = {**os.environ, "PYTHONPATH": str(target)}
    where = "import supervisor_roll.hooks as it; print(it.__file__)"
    printed = ran(sys.executable, "-c", where, cwd=tmp_path, env=environment)
    assert Path(printed.strip()).is_relative_to(target)
    command = target / "bin" / "supervisor-roll"
    assert ran(command, "--version", cwd=tmp_path, env=environment) == f"{__version__}\n"

    if shutil.which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is missing: no Debian package was built")
    package = deb.package(wheel, tmp_path)
    fields = ran("dpkg-deb", "--field", package, "Version", "Depends").splitlines()
    assert fields == [
        f"Version: {__version__}",
        "Depends: python3 (>= 3.10), supervisor (>= 4.2)",
    ]
    ran("dpkg-deb", "--extract", package, tmp_path / "root")
    files = {str(one.relative_to(tmp_path / "root")) for one in tmp_path.glob("root/**/*")}
    assert files > {f"usr/lib/python3/dist-packages/{one}" for one in MODULES}
    assert files > {
        "usr/bin/supervisor-roll",
        "usr/share/supervisor_roll/conf.d/roll.conf",
        f"usr/share/supervisor_roll/{wheel.name}",
        "usr/share/doc/supervisor-roll/README.rst",
        "usr/share/doc/supervisor-roll/changelog.gz",
        "usr/share/doc/supervisor-roll/copyright",
    }
    assert not [one for one in files if one.startswith("etc/")]  # nothing is enabled
