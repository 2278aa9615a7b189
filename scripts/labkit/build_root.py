# SPDX-License-Identifier: GPL-2.0-or-later
"""A suite's own compiler and tools in a folder of the cache: where this machine's will not do."""

import os
import shlex

from . import cache
from .base import LabError, run
from .debian import unpack

# What the kernel's build calls besides make and the compiler, and what a folder needs to be a root at all.
TOOLS = ("base-files", "bash", "dash", "coreutils", "diffutils", "findutils", "grep", "sed", "mawk", "make")
# From trixie on packages have their files below /usr only.
MERGED = ("bin", "sbin", "lib", "lib64")


class BuildRoot:
    """The packages `wanted` and all they need, unpacked; none of their scripts is run."""

    def __init__(self, apt, wanted):
        self.apt, self.wanted = apt, sorted({*TOOLS, *wanted})
        self.packages = self._closure()
        self.root = cache.folder("build-root", [self.packages, cache.CACHE], self._unpack)

    def _apt(self, *words):
        """apt-get install of what is wanted, as on a machine where nothing is installed."""
        nothing = self.apt.folder / "nothing-installed"
        nothing.touch()
        command = ["apt-get", "install", "--yes", "--no-install-recommends", *words]
        command += ["--option", f"Dir::State::status={nothing}"]
        command += ["--option", f"Dir::Cache::archives={self.apt.folder}/build-root"]
        return run([*command, *self.wanted], env=self.apt.environment)

    def _closure(self):
        """Name and version of each package, sorted."""
        lines = (line.split() for line in self._apt("--simulate").splitlines())
        return sorted(f"{line[1]} {line[2].strip('(')}" for line in lines if line[:1] == ["Inst"])

    def _unpack(self, folder):
        archives = self.apt.folder / "build-root"
        with cache.locked(f"apt-{self.apt.name}"):
            (archives / "partial").mkdir(parents=True, exist_ok=True)
            self._apt("--download-only")
            for name in MERGED:
                (folder / "usr" / name).mkdir(parents=True, exist_ok=True)
                (folder / name).symlink_to(f"usr/{name}")
            for package in self.packages:
                name, version = package.split()
                debs = list(archives.glob(f"{name}_{version.replace(':', '%3a')}_*.deb"))
                if len(debs) != 1:
                    raise LabError(f"apt has downloaded {len(debs)} files of {package} to {archives}")
                unpack(debs[0], folder)
                debs[0].unlink()
        # a link that the package's script would make, by way of /etc/alternatives
        (folder / "usr/bin/awk").symlink_to("mawk")
        for name in ("dev", "proc", "build", "usr/src"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def command(self, words, mounts):
        """The command that runs `words` in the root; `mounts`: folders by where they are to be seen in it."""
        steps = [["mount", "--rbind", f"/{name}", self.root / name] for name in ("dev", "proc")]
        steps += [["mount", "--bind", folder, self.root / where] for where, folder in mounts.items()]
        steps += [["exec", "chroot", self.root, *words]]
        script = " && ".join(shlex.join(map(str, step)) for step in steps)
        # unshare makes the mounts this command's own; who is not root becomes root of a user namespace
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        return ["unshare", "--mount", *user, "sh", "-c", script]
