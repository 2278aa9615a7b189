# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kernel packages: which belong to a kernel, and where the kernel and its modules are in them."""

import bz2
import lzma
import re
import struct
import subprocess
import zlib
from pathlib import Path

from .base import LabError, say
from .debian import Apt, unpack

RELEASES = {
    "bullseye": ("bullseye", "bullseye-security"),
    "bookworm": ("bookworm", "bookworm-security"),
    "bookworm-backports": ("bookworm-backports", "bookworm"),
    "trixie": ("trixie", "trixie-security"),
    "trixie-backports": ("trixie-backports", "trixie"),
    "sid": ("sid",),
}


GZIP = b"\x1f\x8b\x08"
# How payloads begin that Python can unpack itself.
DECOMPRESSORS = {
    GZIP: lambda: zlib.decompressobj(zlib.MAX_WBITS | 16),
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\0": lzma.LZMADecompressor,
    b"\x5d\0\0": lambda: lzma.LZMADecompressor(lzma.FORMAT_ALONE),
}
# A flavour, perhaps of a series: amd64, cloud-amd64, 6.18-rt-amd64, 686-pae.
FLAVOUR = re.compile(r"(?:(\d+\.\d+)-)?((?:[a-z]+-)?(?:amd64|686|686-pae))")


class KernelPackage:
    """A Debian kernel chosen by a text: SUITE, SUITE:FLAVOUR, SUITE:SERIES-FLAVOUR or SUITE:RELEASE.

    The first three mean the newest there is: bookworm (of amd64), bookworm:cloud-amd64,
    trixie-backports:6.18-rt-amd64. The last is such as bookworm:6.1.0-40-amd64. Flavours 686 and 686-pae are of
    the architecture i386.
    """

    def __init__(self, choice):
        suite, _, kernel = choice.partition(":")
        if suite not in RELEASES:
            raise LabError(
                f"no kernel {choice}: give SUITE, SUITE:FLAVOUR, SUITE:SERIES-FLAVOUR or SUITE:RELEASE, "
                f"SUITE one of {', '.join(RELEASES)}"
            )
        self.architecture = "i386" if re.search(r"\b686\b", kernel) else "amd64"
        # Mirrors that have the releases for i386 need not have their security updates.
        suites = RELEASES[suite][:1] if self.architecture == "i386" else RELEASES[suite]
        self.apt = Apt(*suites, architecture=self.architecture)
        found = FLAVOUR.fullmatch(kernel or "amd64")
        self.release = self._newest(*found.groups()) if found else kernel
        record = self.apt.records(f"linux-image-{self.release}")[0]
        self.version = record["Version"]
        # From 6.19 on linux-image-* is empty and needs the packages with the image and with the modules.
        parts = re.findall(r"linux-(?:binary|modules)-\d\S*", record.get("Depends", ""))
        self.packages = [f"linux-image-{self.release}", *filter(self._is_there, parts)]

    def _is_there(self, package):
        """Whether the archive has it: modules of older kernels are removed before their images."""
        if any(record["Version"] == self.version for record in self.apt.records(package, needed=False)):
            return True
        say(f"{self.apt.name} has no {package} {self.version} any more: going on without")
        return False

    def _newest(self, series, flavour):
        """The newest release of a flavour: of a series, or the one its metapackage depends on."""
        if series:
            names = self.apt.names(f"linux-image-{series}.")
            releases = [name.removeprefix("linux-image-") for name in names]
            fitting = [text for text in releases if re.fullmatch(rf"\d[^-]*(?:-\d[^-]*)?-{flavour}", text)]
            if not fitting:
                raise LabError(f"{self.apt.name} has no kernel of the series {series} and flavour {flavour}")
            return max(fitting, key=lambda text: [int(digits) for digits in re.findall(r"\d+", text)])
        for record in self.apt.records(f"linux-image-{flavour}"):
            found = re.search(r"linux-image-(\d\S*)", record.get("Depends", ""))
            if found:
                return found.group(1)
        raise LabError(f"linux-image-{flavour} of {self.apt.name} depends on no kernel image")

    def fetch(self):
        """Download the packages; returns the .deb files."""
        return [self.apt.fetch(package, self.version) for package in self.packages]


def series(suite):
    """The kernel series a suite has for amd64, oldest first: [(6, 12), ...]."""
    names = Apt(*RELEASES[suite]).names("linux-image-")
    found = (re.fullmatch(r"linux-image-(\d+)\.(\d+)[.\d]*[+-].*-amd64", name) for name in names)
    return sorted({(int(match[1]), int(match[2])) for match in found if match})


def unpack_kernel(debs, folder):
    """Unpack a kernel's packages; returns (kernel image, module folder or None)."""
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
    if len(images) != 1 or len(trees) > 1:
        raise LabError(
            f"{len(images)} kernel images and {len(trees)} module folders in {names}: expected one of "
            "each; give a linux-image package, from 6.19 on its linux-binary-* and linux-modules-*"
        )
    return images[0], trees[0] if trees else None


def is_64_bit(image):
    """Whether a bzImage holds a 64-bit kernel (Documentation/x86/boot.rst: xloadflags, XLF_KERNEL_64, from protocol 2.12 on)."""
    with open(image, "rb") as stream:
        header = stream.read(0x238)
    if header[0x202:0x206] != b"HdrS":
        raise LabError(f"{image} is no bzImage")
    if int.from_bytes(header[0x206:0x208], "little") >= 0x20C:
        return bool(header[0x236] & 1)
    kernel = payload(image)
    if kernel.startswith(b"\x7fELF"):
        return kernel[4] == 2  # ELFCLASS64
    return b"\0x86_64\0" in kernel  # what uname -m says


def payload(image):
    """The kernel inside a bzImage (Documentation/x86/boot.rst: payload_offset and neighbours, from protocol 2.08 on): an ELF
    file; in older images what objcopy has made of one, behind the loader and always packed by gzip."""
    data = image.read_bytes()
    start = ((data[0x1F1] or 4) + 1) * 512
    if int.from_bytes(data[0x206:0x208], "little") >= 0x208:
        offset, length = struct.unpack_from("<II", data, 0x248)
        return unpacked(image, data[start + offset : start + offset + length])
    return unpacked(image, data[max(data.find(GZIP, start), start) :])


def unpacked(image, packed):
    """A payload, unpacked."""
    if packed.startswith(b"\x7fELF"):
        return packed
    for magic, decompressor in DECOMPRESSORS.items():
        if packed.startswith(magic):
            return decompressor().decompress(packed)
    # The four bytes behind the compressed data are its size; zstd would take them for garbage.
    done = subprocess.run(["zstd", "-dcq"], input=packed[:-4], capture_output=True, check=False)
    if done.returncode != 0:
        raise LabError(f"the payload of {image} is packed in no way known here: {done.stderr.decode().strip()}")
    return done.stdout
