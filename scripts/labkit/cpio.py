# SPDX-License-Identifier: GPL-2.0-or-later
"""Writing initramfs archives (cpio "newc", Documentation/driver-api/early-userspace/buffer-format.rst)."""

import stat


class Archive:
    """An initramfs in the making; parent folders must be added before what they hold."""

    def __init__(self):
        self.parts = []
        self._number = 0

    def add(self, name, mode, content=b"", device=(0, 0)):
        """Add one entry with its full mode; device is (major, minor) of a device node."""
        self._number += 1
        path = name.encode() + b"\0"
        fields = (self._number, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(path), 0)
        self._append(b"070701" + b"".join(b"%08X" % field for field in fields) + path)
        self._append(content)

    def folder(self, name):
        """Add a folder."""
        self.add(name, stat.S_IFDIR | 0o755)

    def file(self, name, content, mode=0o644):
        """Add a regular file."""
        self.add(name, stat.S_IFREG | mode, content)

    def link(self, name, target):
        """Add a symbolic link."""
        self.add(name, stat.S_IFLNK | 0o777, target.encode())

    def console(self):
        """Add /dev/console: without it the kernel starts init with no output."""
        self.folder("dev")
        self.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))

    def _append(self, data):
        self.parts.append(data + b"\0" * (-len(data) % 4))

    def bytes(self):
        """The finished archive."""
        self.add("TRAILER!!!", 0)
        return b"".join(self.parts)
