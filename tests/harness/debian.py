"""A Debian of its own: this machine's, under an overlay in memory that goes with its processes.

What is installed and started in it is in namespaces of mounts, processes and, but for what needs
the network, of a loopback alone. Nothing of it is left once ``run`` is over.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.harness.venvs import CHECKOUT

# $1: the folder where all is mounted, $2: what is copied to /root, then the folders that every user
# can reach there. /run is empty there: what runs on this machine is not seen.
_ENTER = """
set -e
mount -t tmpfs -o size=1g none "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
mount -t proc proc "$1/root/proc"
mount --rbind /dev "$1/root/dev"
mount -t tmpfs none "$1/root/run"
mkdir "$1/root/run/lock"
cp --dereference /etc/resolv.conf /etc/hosts "$1/root/etc/"
cp --recursive "$2/." "$1/root/root/"
root=$1/root
shift 2
for shown; do
    [ "$(ls "$root$shown")" ] || mount --rbind "$shown" "$root$shown"  # of another file system
    while [ "$shown" != / ]; do shown=$(dirname "$shown"); chmod a+x "$root$shown"; done
done
exec chroot "$root" /bin/bash /root/run.sh
"""
_UP = """
import fcntl, socket, struct
fcntl.ioctl(socket.socket(), 0x8914, struct.pack("16sH", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP
"""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private")


def why_not() -> str:
    """Why there can be none here; empty if there can."""
    if os.geteuid() or not Path("/etc/debian_version").exists() or not shutil.which("unshare"):
        return "needs root on a Debian"
    mount = ["mount", "-t", "overlay", "overlay", "-o", "lowerdir=/usr:/etc", "/mnt"]
    if subprocess.run([*_UNSHARE, *mount], capture_output=True).returncode:
        return "no overlay can be mounted here"
    return ""


def run(folder: Path, files: Path, online: str, offline: str, timeout: float) -> tuple[int, str]:
    """Run ``online``, and then ``offline`` without any network but a loopback, with bash.

    ``folder`` is empty, and ``files`` are in /root. What they write to standard output or error is
    returned after the status, which is that of the first command that fails.
    """
    (files / "offline.sh").write_text(f"set -e\n/usr/bin/python3 -c '{_UP}'\n{offline}\n")
    (files / "run.sh").write_text(
        f"set -e\ncd /root\n{online}\nexec unshare --net bash /root/offline.sh\n"
    )
    shown = [CHECKOUT, sys.base_prefix]
    done = subprocess.run(
        [*_UNSHARE, "sh", "-c", _ENTER, "sh", folder, files, *shown],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=timeout,
        env={**os.environ, "PATH": _PATH, "HOME": "/root", "DEBIAN_FRONTEND": "noninteractive"},
    )
    return done.returncode, done.stdout
