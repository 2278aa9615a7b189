# SPDX-License-Identifier: GPL-2.0-or-later
"""A folder of kernel modules: finding them by name, their dependencies, their uncompressed contents."""

import lzma
import re
import subprocess
from pathlib import Path

from .base import LabError

SUFFIX = re.compile(r"\.ko(\.xz|\.zst|\.gz)?$")


class ModuleTree:
    """The modules below a folder such as /lib/modules/RELEASE; what is not there counts as built in."""

    def __init__(self, folder):
        files = (file for file in Path(folder).rglob("*.ko*") if SUFFIX.search(file.name))
        self.files = {SUFFIX.sub("", file.name).replace("-", "_"): file for file in files}
        self._contents = {}

    def content(self, name):
        """The module's ELF file, uncompressed."""
        if name not in self._contents:
            self._contents[name] = decompressed(self.files[name])
        return self._contents[name]

    def depends(self, name):
        """The modules it names as needed, from its .modinfo section."""
        found = re.search(rb"\0depends=([^\0]*)\0", self.content(name))
        return (
            [word.replace("-", "_") for word in found.group(1).decode().split(",") if word] if found else []
        )

    def load_order(self, names):
        """These modules and all they need, each after what it needs; what is not there is left out."""
        order = []

        def add(name):
            if name in self.files and name not in order:
                for needed in self.depends(name):
                    add(needed)
                order.append(name)

        for name in names:
            add(name)
        return order

    def has_init(self, name):
        """Whether loading it runs a function of its own: such a module has code to be thrown away after that.

        The section's name is looked for by its end, because ".rela.init.text" holds it too.
        """
        return b".init.text\0" in self.content(name)


def decompressed(file):
    """A module file's contents: Debian compresses modules with xz from 6.3, others use zstd or gzip."""
    if file.suffix == ".xz":
        return lzma.decompress(file.read_bytes())
    if file.suffix in (".zst", ".gz"):
        tool = {".zst": "zstd", ".gz": "gzip"}[file.suffix]
        done = subprocess.run([tool, "-dcq", file], capture_output=True, check=False)
        if done.returncode != 0:
            raise LabError(f"{tool} cannot decompress {file}: {done.stderr.decode().strip()}")
        return done.stdout
    return file.read_bytes()
