# SPDX-License-Identifier: GPL-2.0-or-later
"""The lab's cache: folders that are made once and made anew when what they are made from changes."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from pathlib import Path

from .base import CACHE, say

# How many folders of a name are kept: enough for all kernels of `scripts/lab matrix`.
KEPT = 60


@contextlib.contextmanager
def locked(name):
    """Hold the cache's lock of that name, so that labs running side by side prepare a thing once."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with open(CACHE / f"{name}.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def hash_files(paths, suffixes=("",)):
    """One digest over the names and contents of files (of folders: the files below whose names end so)."""
    digest = hashlib.sha256()
    for path in paths:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if not file.name.endswith(suffixes) or file.name.endswith(".mod.c"):
                continue
            if file.is_file():
                digest.update(f"{file.relative_to(path.parent)}\0{file.stat().st_size}\0".encode())
                digest.update(file.read_bytes())
    return digest.hexdigest()


def place(name, inputs, make):
    """Where folder() keeps, or would make, what these arguments stand for."""
    recipe = Path(make.__code__.co_filename).read_text(encoding="utf-8")
    key = hashlib.sha256(json.dumps([inputs, recipe], sort_keys=True, default=str).encode()).hexdigest()[:16]
    return CACHE / name / key


def folder(name, inputs, make):
    """The cached folder made by make(empty folder) from `inputs` (anything JSON can hold).

    Its key is these inputs and the source file of `make`: a changed recipe makes it anew.
    """
    target = place(name, inputs, make)
    with locked(name):
        if target.is_dir():
            os.utime(target)
            return target
        say(f"preparing {name} ({target.name})")
        unfinished = target.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        make(unfinished)
        unfinished.rename(target)
        remove_old(target.parent)
    return target


def remove_old(folder):
    """Remove all but the folders used last."""
    by_use = sorted(
        (found for found in folder.iterdir() if found.is_dir()), key=lambda found: found.stat().st_mtime
    )
    for old in by_use[:-KEPT]:
        shutil.rmtree(old)
