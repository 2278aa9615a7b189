# SPDX-License-Identifier: GPL-2.0-or-later
"""A suite's own compiler and tools in a folder of the cache: where this machine's will not do."""

import os
import shlex

from . import cache
from .package_tree import PackageTree

# What the kernel's build calls besides make and the compiler, and what a folder needs to be a root at all.
TOOLS = ("base-files", "bash", "dash", "coreutils", "diffutils", "findutils", "grep", "sed", "mawk", "perl", "make")


class BuildRoot:
    """The packages `wanted` and all they need, unpacked; none of their scripts is run."""

    def __init__(self, apt, wanted):
        self.tree = PackageTree(apt, sorted({*TOOLS, *wanted}))
        self.root = cache.folder("build-root", [self.tree.packages, cache.CACHE], self._unpack)

    def _unpack(self, folder):
        self.tree.unpack(folder)
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
