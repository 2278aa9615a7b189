# SPDX-License-Identifier: GPL-2.0-or-later
"""KVM's own selftests, built from Debian's kernel source package, and run in the lab host."""

import os
import shutil
import signal
import subprocess

from . import cache
from .base import LabError, plain_environment, run
from .debian import unpack
from .kernel_build import SOURCE
from .kernel_source import KernelSource

TESTS = "tools/testing/selftests"
FEWEST = 60
SKIPPED = 4  # the exit code of a test that this machine's KVM or processor has nothing for (kselftest.h)
SECONDS = 40  # for one test; the slowest need a processor of their own for hours here


def programs():
    """The folder with the tests, built when first asked for."""
    source = KernelSource(*SOURCE)

    def build(folder):
        tree, built = folder / "source", folder / "tests"
        run(["cp", "-al", source.folder(), tree])
        unpack(source.apt.fetch(source.package, source.version), folder / "package")
        archive = next(folder.glob("package/usr/src/*.tar.xz"))
        run(["tar", "--extract", "--file", archive, "--directory", tree, "--strip-components=1", f"{source.package}/{TESTS}"])
        make = ["make", "-C", tree, "CC=gcc", f"-j{os.cpu_count()}"]
        run([*make, "headers"], env=plain_environment())
        # Two of 6.1's tests do not compile against their own kernel's headers: the others do.
        words = ["--keep-going", "-C", f"{TESTS}/kvm", f"OUTPUT={built}", f"LINUX_HDR_PATH={tree}/usr/include/"]
        subprocess.run([*make, *words], env=plain_environment(), capture_output=True, check=False)
        if len(names(built)) < FEWEST:
            raise LabError(f"of KVM's selftests only {len(names(built))} could be built in {tree}")
        for done in (tree, folder / "package", *built.rglob("*.o"), *built.rglob("*.d")):
            shutil.rmtree(done) if done.is_dir() else done.unlink()

    return cache.folder("kvm-selftests", [source.package, source.version], build) / "tests"


def names(folder):
    """The tests there are."""
    found = (file for file in sorted(folder.rglob("*")) if file.is_file() and os.access(file, os.X_OK))
    return [str(file.relative_to(folder)) for file in found if file.suffix not in (".o", ".sh")]


def outcome(folder, name, seconds=SECONDS):
    """How a test ends, in words, and what it says. What it has started itself ends with it."""
    with subprocess.Popen(
        [folder / name], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/tmp", start_new_session=True
    ) as test:
        try:
            text, _ = test.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            text = None
        try:
            os.killpg(test.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    if text is None:
        return "does not end", ""
    said = text.decode(errors="replace")[-2000:]
    if test.returncode in (0, SKIPPED):
        return ("is skipped" if test.returncode else "passes"), said
    return f"fails with {test.returncode}", said
