# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks for a lab host that cannot share this machine's folders: ext4 with what it needs of them."""

import json
import os
import re
import shutil
import tempfile
from pathlib import Path

from .base import LabError, run

# What the agent and its guests run; python3 is the system's, whatever else is first in PATH.
PROGRAMS = ("qemu-system-x86_64", "python3", "sh", "insmod", "rmmod", "dmesg", "cp", "sync")
PLACES = ("/usr/bin", "/usr/sbin")
DATA = ("/usr/share/qemu/*.bin", "/usr/share/qemu/*.rom", "/usr/share/seabios/*.bin")
# Of Python's own library, what the agent has no use for.
LEFT_OUT = shutil.ignore_patterns(
    "test", "idlelib", "lib2to3", "ensurepip", "config-*", "pydoc_data", "dist-packages"
)
MERGED = ("bin", "sbin", "lib", "lib64")
EMPTY = ("dev", "proc", "sys", "run", "tmp")
# Bochs wants whole cylinders of 16 heads and 63 sectors.
CYLINDER = 16 * 63 * 512
SPARE_BYTES = 32 << 20


def root_disk(image, job, folders):
    """Make the disk with the programs, these folders, and all files and folders that the job (JSON) names."""
    with tempfile.TemporaryDirectory(dir=image.parent) as name:
        root = Path(name)
        for merged in MERGED:
            (root / "usr" / merged).mkdir(parents=True)
            (root / merged).symlink_to(f"usr/{merged}")
        for empty in EMPTY:
            (root / empty).mkdir()
        wanted = [*programs(), *folders, *paths_in(json.loads(job.read_text()))]
        for path in [*wanted, *libraries(wanted)]:
            copy(path, root)
        make_disk(image, root)


def paths_in(value):
    """All absolute paths in an object made of JSON, if they exist."""
    if isinstance(value, str):
        path = Path(value)
        return [path] if path.is_absolute() and path.exists() else []
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [path for part in parts for path in paths_in(part)]


def programs():
    """The programs and what they read."""
    found = [Path(place) / name for name in PROGRAMS for place in PLACES if (Path(place) / name).exists()]
    if len(found) != len(PROGRAMS):
        raise LabError(f"not all of {', '.join(PROGRAMS)} are in {' and '.join(PLACES)}: run scripts/setup")
    script = "import os; print(os.path.dirname(os.__file__))"
    python = Path(run([found[PROGRAMS.index("python3")], "-c", script]).strip())
    data = [path for pattern in DATA for path in Path("/").glob(pattern.lstrip("/"))]
    return [*found, *data, python]


def libraries(files):
    """The shared libraries that these files need, as far as they are programs."""
    programs_of_them = [file for file in files if file.is_file() and os.access(file, os.X_OK)]
    # ldd tells what it can, and fails if one of them was a script
    told = run(["sh", "-c", 'ldd "$@" || true', "sh", *programs_of_them])
    return sorted({Path(found) for found in re.findall(r"(/\S+) \(0x", told)})


def copy(path, root):
    """Put a file or folder where it is on this machine; symbolic links are followed."""
    target = root / str(path).lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        shutil.copytree(path, target, ignore=LEFT_OUT, dirs_exist_ok=True, copy_function=link)
    elif not target.exists():
        link(path, target)


def link(source, target):
    """A hard link, which costs nothing; where there can be none, a copy."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copy2(source, target)


def make_disk(image, folder, spare=SPARE_BYTES):
    """Make an ext4 file system that holds the folder's files, with room for more."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    used = sum(path.stat().st_size + 4096 for path in files)
    cylinders = (used * 11 // 10 + spare) // CYLINDER + 1
    with open(image, "wb") as file:
        file.truncate(cylinders * CYLINDER)
    # without a journal all is in its place after a sync, for read_disk()
    run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-d", folder, image])


def read_disk(image, folder):
    """Copy the files of such a file system into a folder."""
    run(["debugfs", "-R", f'rdump "/" "{folder}"', image])
    shutil.rmtree(folder / "lost+found", ignore_errors=True)
