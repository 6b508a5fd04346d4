"""The sdist, the wheel, and a Debian package with what is in the wheel, in a given folder."""

from __future__ import annotations

import gzip
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable
from email.utils import formatdate
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAME = "supervisor-roll"
MAINTAINER = "The supervisor_roll authors <root@localhost>"
#: Debian's own packages leave both to py3compile and py3clean.
POSTINST = f"""\
#!/bin/sh
set -e
if [ "$1" = configure ] && command -v py3compile >/dev/null 2>&1; then
    py3compile -p {NAME}
fi
"""
PRERM = f"""\
#!/bin/sh
set -e
if command -v py3clean >/dev/null 2>&1; then
    py3clean -p {NAME}
fi
"""
CONTROL = """\
Package: {name}
Version: {version}
Architecture: all
Maintainer: {maintainer}
Installed-Size: {kib}
Depends: {depends}
Suggests: python3-gunicorn, python3-rich
Section: admin
Priority: optional
Description: rolling restarts of Gunicorn programs under supervisord
 A new release or a changed configuration goes live worker by worker, and no
 request fails. This package has the parts for supervisord, supervisorctl and
 Gunicorn, and a wheel of the same version for applications' own virtualenvs.
 .
 Installing it changes nothing: supervisor-roll init writes what is needed into
 a supervisord.conf.
"""
CHANGES = """\
{name} ({version}) unstable; urgency=medium

  * See CHANGELOG.rst.

 -- {maintainer}  {date}
"""
COPYRIGHT = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"


def build(to: Path) -> Path:
    """Build both, from a copy, since setuptools writes into what it builds; the wheel."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "checkout"
        shutil.copytree(
            ROOT, copy, ignore=shutil.ignore_patterns(".*", "build", "dist", "*.egg-info")
        )
        command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", to, copy]
        built = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if built.returncode:
            sys.exit(built.stdout)
    (wheel,) = to.glob("supervisor_roll-*.whl")
    return wheel


def dependencies(requirements: Iterable[str]) -> str:
    """What Debian calls what the wheel requires, extras left out."""
    named = ["python3 (>= 3.10)"]
    for one in requirements:
        if "extra ==" not in one:
            name, least = re.fullmatch(r"([\w.-]+)>=([\d.]+)", one).groups()
            named.append(f"{'' if name == 'supervisor' else 'python3-'}{name} (>= {least})")
    return ", ".join(named)


def unpack(wheel: Path, root: Path) -> importlib.metadata.Distribution:
    """Put what is in the wheel where Debian has it; its metadata."""
    packages = root / "usr/lib/python3/dist-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    (info,) = packages.glob("*.dist-info")
    (info / "RECORD").unlink()  # dpkg has it; without it pip leaves the package alone
    (data,) = packages.glob("*.data")
    shutil.move(data / "data/share", root / "usr/share")
    shutil.rmtree(data)
    found = importlib.metadata.PathDistribution(info)
    scripts = root / "usr/bin"
    scripts.mkdir()
    for script in found.entry_points.select(group="console_scripts"):
        text = f"#!/usr/bin/python3\nimport sys\n\nfrom {script.module} import {script.attr}\n\n"
        (scripts / script.name).write_text(f"{text}sys.exit({script.attr}())\n")
        (scripts / script.name).chmod(0o755)
    shutil.copy(wheel, root / "usr/share/supervisor_roll")
    return found


def document(root: Path, version: str) -> None:
    """Add README, the pages, and what Debian wants of each package: its licence and changes."""
    folder = root / "usr/share/doc" / NAME
    shutil.copytree(ROOT / "docs", folder / "docs")
    for page in ("README.rst", "CHANGELOG.rst"):
        shutil.copy(ROOT / page, folder)
    holder, _, text = (ROOT / "LICENSE").read_text().partition("\n\n")[2].partition("\n\n")
    licence = "\n".join(f" {line or '.'}" for line in text.splitlines())
    holder = holder.removeprefix("Copyright (c) ")
    (folder / "copyright").write_text(
        f"{COPYRIGHT}Files: *\nCopyright: {holder}\nLicense: Expat\n{licence}\n"
    )
    with gzip.GzipFile(folder / "changelog.gz", "wb", mtime=0) as changes:
        date = formatdate((ROOT / "CHANGELOG.rst").stat().st_mtime)
        text = CHANGES.format(name=NAME, version=version, maintainer=MAINTAINER, date=date)
        changes.write(text.encode())


def package(wheel: Path, to: Path) -> Path:
    """Build the Debian package; its path."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "root"
        found = unpack(wheel, root)
        document(root, found.version)
        for one in (root, *root.rglob("*")):
            one.chmod(0o755 if one.is_dir() or one.parent.name == "bin" else 0o644)
        kib = sum(one.stat().st_size for one in root.rglob("*") if one.is_file()) // 1024
        control = root / "DEBIAN"
        control.mkdir(mode=0o755)
        (control / "control").write_text(
            CONTROL.format(
                name=NAME,
                version=found.version,
                kib=kib,
                depends=dependencies(found.requires or ()),
                maintainer=MAINTAINER,
            )
        )
        for name, text in (("postinst", POSTINST), ("prerm", PRERM)):
            (control / name).write_text(text)
            (control / name).chmod(0o755)
        deb = to / f"{NAME}_{found.version}_all.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "--build", root, deb], check=True)
    return deb


def main(to: Path) -> None:
    package(build(to), to)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
