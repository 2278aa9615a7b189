# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernel packages: which belong to a kernel, and where the kernel and its modules are in them."""

import lzma
import re
import struct
import subprocess
from pathlib import Path

from .base import LabError
from .debian import Apt, unpack

RELEASES = {
    "bullseye": ("bullseye", "bullseye-security"),
    "bookworm": ("bookworm", "bookworm-security"),
    "bookworm-backports": ("bookworm-backports", "bookworm"),
    "trixie": ("trixie", "trixie-security"),
    "trixie-backports": ("trixie-backports", "trixie"),
    "sid": ("sid",),
}


class KernelPackage:
    """A kernel chosen by SUITE (its newest for amd64) or SUITE:RELEASE, such as bookworm:6.1.0-40-amd64."""

    def __init__(self, choice):
        suite, _, release = choice.partition(":")
        if suite not in RELEASES:
            raise LabError(
                f"no kernel {choice}: give SUITE or SUITE:RELEASE, SUITE one of {', '.join(RELEASES)}"
            )
        self.apt = Apt(*RELEASES[suite])
        self.release = release or self._newest()
        record = self.apt.records(f"linux-image-{self.release}")[0]
        self.version = record["Version"]
        # From 6.19 on linux-image-* is empty and needs the packages with the image and with the modules.
        parts = re.findall(r"linux-(?:binary|base|modules)-\d\S*", record.get("Depends", ""))
        self.packages = [f"linux-image-{self.release}", *parts]

    def _newest(self):
        """The release the metapackage linux-image-amd64 depends on."""
        for record in self.apt.records("linux-image-amd64"):
            found = re.search(r"linux-image-(\d\S*)", record.get("Depends", ""))
            if found:
                return found.group(1)
        raise LabError(f"linux-image-amd64 of {self.apt.name} depends on no kernel image")

    def fetch(self):
        """Download the packages; returns the .deb files."""
        return [self.apt.fetch(package, self.version) for package in self.packages]


def unpack_kernel(debs, folder):
    """Unpack a kernel's packages; returns (kernel image, module folder)."""
    for deb in debs:
        unpack(deb, folder)
    names = ", ".join(Path(deb).name for deb in debs)
    # From 7.2 on the image is lib/modules/RELEASE/vmlinuz.
    images = [
        image
        for image in [*folder.glob("boot/vmlinuz-*"), *folder.glob("**/lib/modules/*/vmlinuz")]
        if image.is_file() and not image.is_symlink()
    ]
    trees = [tree for tree in folder.glob("**/lib/modules/*") if tree.is_dir() and any(tree.rglob("*.ko*"))]
    if len(images) != 1 or len(trees) != 1:
        raise LabError(
            f"{len(images)} kernel images and {len(trees)} module folders in {names}: expected one of "
            "each; give a linux-image package, from 6.19 on its linux-binary-* and linux-modules-*"
        )
    return images[0], trees[0]


def payload(image):
    """The ELF file inside a bzImage (Documentation/x86/boot.rst: payload_offset and neighbours)."""
    data = image.read_bytes()
    setup_sectors = data[0x1F1] or 4
    offset, length = struct.unpack_from("<II", data, 0x248)
    start = (setup_sectors + 1) * 512 + offset
    packed = data[start : start + length]
    if packed.startswith(b"\xfd7zXZ\0"):
        return lzma.LZMADecompressor().decompress(packed)
    # The four bytes behind the compressed data are its size; zstd would take them for garbage.
    done = subprocess.run(["zstd", "-dcq"], input=packed[:-4], capture_output=True, check=False)
    if done.returncode != 0:
        raise LabError(f"the payload of {image} is neither xz nor zstd: {done.stderr.decode().strip()}")
    return done.stdout
