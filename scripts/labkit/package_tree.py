# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian packages with all they need, unpacked into a folder: programs of a suite that is not this machine's."""

from .base import LabError, run
from .cache import locked
from .debian import unpack

# From trixie on packages have their files below /usr only.
MERGED = ("bin", "sbin", "lib", "lib64")


class PackageTree:
    """The packages `wanted`, preferably from `suite`, and all they need, as on a machine where nothing is installed."""

    def __init__(self, apt, wanted, suite=None):
        self.apt, self.wanted, self.suite = apt, wanted, suite
        self.packages = self._closure()

    def _apt(self, *words):
        nothing = self.apt.folder / "nothing-installed"
        nothing.touch()
        command = ["apt-get", "install", "--yes", "--no-install-recommends", *words]
        command += ["--target-release", self.suite] if self.suite else []
        command += ["--option", f"Dir::State::status={nothing}"]
        command += ["--option", f"Dir::Cache::archives={self.apt.folder}/tree"]
        return run([*command, *self.wanted], env=self.apt.environment)

    def _closure(self):
        """Name and version of each package, sorted."""
        lines = (line.split() for line in self._apt("--simulate").splitlines())
        return sorted(f"{line[1]} {line[2].strip('(')}" for line in lines if line[:1] == ["Inst"])

    def unpack(self, folder):
        """Put the files into a folder; no script of the packages is run."""
        archives = self.apt.folder / "tree"
        with locked(f"apt-{self.apt.name}"):
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
