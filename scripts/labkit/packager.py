# SPDX-License-Identifier: GPL-2.0-or-later
"""Lacuna's packages for a Debian release, built with its own compiler and libraries in a root that mmdebstrap makes."""

import os
import shlex
import subprocess

from . import cache, debian_root
from .base import REPOSITORY, LabError, plain_environment, run, say
from .kernel_package import RELEASES

# The releases whose hosts Lacuna is packaged for.
SUITES = ("bookworm", "trixie")
# Where the root sees this repository: the same for everybody, so that builds can be compared.
SOURCE = "/source"


def folder(suite):
    """The build folder of that release's packages."""
    return REPOSITORY / f"build-{suite}"


def build(suite):
    """Build and check that release's packages; returns them."""
    if os.geteuid() != 0:
        raise LabError("mmdebstrap needs root to make what others can use: sudo scripts/package --suite ...")
    target = folder(suite)
    target.mkdir(exist_ok=True)
    configure = ["cmake", "-S", ".", "-B", target.name, "-G", "Ninja", "-D", "LACUNA_TESTS=OFF"]
    steps = [["cd", SOURCE], configure, ["scripts/package", "--check", target.name]]
    log = target / "packager.log"
    say(f"building the packages of {suite} (log: {log})")
    with open(log, "wb") as stream:
        done = subprocess.run(
            command(root(suite), target, steps), stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=plain_environment(), check=False
        )
    if done.returncode != 0:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
        raise LabError(f"the packages of {suite} could not be built:\n{tail}")
    return sorted((target / "packages").glob("*.deb"))


def root(suite):
    """The folder in which that release is installed, with what it takes to build the packages."""
    packages = run([REPOSITORY / "scripts/setup", "--list-packaging"]).split()

    def make(unfinished):
        say(f"installing {suite} with {len(packages)} packages and what they need: some minutes")
        unread = [pattern for pattern in debian_root.UNREAD if "lintian" not in pattern]
        debian_root.install(unfinished / "root", RELEASES[suite], packages, left_out=unread)
        (unfinished / f"root{SOURCE}").mkdir()

    return cache.folder("packager-root", [RELEASES[suite], packages, debian_root.RECIPE], make) / "root"


def command(place, target, steps):
    """The command that does these steps in the root `place`, where of this repository only the folder `target` can be written to."""
    source = f"{place}{SOURCE}"
    mounts = [["mount", "--rbind", f"/{name}", f"{place}/{name}"] for name in ("dev", "proc")]
    mounts += [["mount", "-t", "tmpfs", "tmpfs", f"{place}/tmp"]]
    mounts += [["mount", "--bind", REPOSITORY, source], ["mount", "-o", "remount,bind,ro", source]]
    mounts += [["mount", "--bind", target, f"{source}/{target.name}"]]
    inside = ["chroot", place, "sh", "-c", script(steps)]
    # unshare makes the mounts this command's own; who is not root becomes root of a user namespace
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    return ["unshare", "--mount", *user, "sh", "-c", script([*mounts, inside])]


def script(steps):
    """Commands as a text for sh that ends with the first that fails."""
    return " && ".join(shlex.join(map(str, step)) for step in steps)
