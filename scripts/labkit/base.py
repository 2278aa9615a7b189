# SPDX-License-Identifier: GPL-2.0-or-later
"""What all parts of the lab share: where things are, its error, its progress lines, running commands."""

import os
import subprocess
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / ".cache" / "lab"
BUILD = REPOSITORY / "build"
_started = time.monotonic()


class LabError(Exception):
    """The lab itself cannot go on; the message says what failed, on what, and what to do."""


def say(message):
    """Show one line of progress, with the seconds since the start, on standard error."""
    print(f"[{time.monotonic() - _started:6.1f}s] {message}", file=sys.stderr, flush=True)


def run(command, hint="", **options):
    """Run a command and return its standard output; on failure raise LabError with its last lines."""
    command = [str(word) for word in command]
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
            **options,
        )
    except FileNotFoundError:
        raise LabError(f"{command[0]} is not installed: run scripts/setup") from None
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-20:])
        raise LabError(f"`{' '.join(command)}` failed with exit code {done.returncode}: {hint}\n{tail}")
    return done.stdout


def plain_environment(**more):
    """The environment for build tools: without what the caller's make or locale would change."""
    kept = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    }
    return {**kept, "LC_ALL": "C", **more}
