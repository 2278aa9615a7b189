# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian packages of any suite, fetched by apt into folders of the lab's own."""

import os
import re
import shutil
import time
from pathlib import Path

from .base import CACHE, LabError, run, say
from .cache import locked

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
SUITES = (
    "bullseye",
    "bullseye-security",
    "bookworm",
    "bookworm-updates",
    "bookworm-security",
    "bookworm-backports",
    "trixie",
    "trixie-updates",
    "trixie-security",
    "trixie-backports",
    "sid",
)
LISTS_AGE_S = 24 * 3600


def mirror(label):
    """The mirror this machine's apt uses for the archive with that label (Debian or Debian-Security)."""
    targets = run(["apt-get", "indextargets", "--format", "$(LABEL)|$(SITE)", "Created-By: Packages"])
    for line in targets.splitlines():
        found, _, site = line.partition("|")
        if found == label:
            return site.rstrip("/")
    raise LabError(
        f"this machine's apt has no package lists labelled {label}: "
        "add that Debian archive to its sources and run apt-get update"
    )


def this_release():
    """The code name of the release that this machine runs, such as bookworm; empty if it has none."""
    found = re.search(r"^VERSION_CODENAME=(\w+)$", Path("/etc/os-release").read_text(encoding="utf-8"), re.M)
    return found[1] if found else ""


def source(suite):
    """The line of a sources.list for a suite."""
    label = "Debian-Security" if suite.endswith("-security") else "Debian"
    return f"deb [signed-by={KEYRING}] {mirror(label)} {suite} main"


def date_checks():
    """What this machine's apt has been told about the age of lists, as lines of a configuration: a mirror may stand still."""
    settings = run(["apt-config", "dump"]).splitlines()
    return [line for line in settings if line.startswith(("Acquire::Check-Valid-Until ", "Acquire::Check-Date "))]


def write_if_new(file, text):
    """Another apt may be reading it: what says the same already is left alone."""
    if not file.exists() or file.read_text() != text:
        file.write_text(text)


class Apt:
    """apt over some suites, with lists and downloads under the cache."""

    def __init__(self, *suites, architecture="amd64"):
        for suite in suites:
            if suite not in SUITES:
                raise LabError(f"unknown suite {suite}: one of {', '.join(SUITES)}")
        self.suites, self.architecture = suites, architecture
        self.name = "+".join(suites) + (f"-{architecture}" if architecture != "amd64" else "")
        self.folder = CACHE / "apt" / self.name
        self.environment = {**os.environ, "APT_CONFIG": str(self.folder / "apt.conf"), "LC_ALL": "C"}
        with locked(f"apt-{self.name}"):
            self._prepare()

    def _prepare(self):
        stamp = self.folder / "updated"
        self._configure()
        if stamp.exists() and time.time() - stamp.stat().st_mtime < LISTS_AGE_S:
            return
        say(f"updating the package lists of {self.name}")
        try:
            run(["apt-get", "update", "--error-on=any"], env=self.environment)
            shutil.rmtree(self.folder / "records", ignore_errors=True)
        except LabError as error:
            if not stamp.exists():
                raise
            say(f"no newer lists, using those at hand: {error}")
        stamp.touch()

    def _configure(self):
        """Looked at each time: the folder may have been moved, and apt wants absolute paths."""
        for sub in ("lists/partial", "archives/partial"):
            (self.folder / sub).mkdir(parents=True, exist_ok=True)
        write_if_new(self.folder / "sources.list", "".join(f"{source(suite)}\n" for suite in self.suites))
        write_if_new(
            self.folder / "apt.conf",
            f'Dir::State::lists "{self.folder}/lists";\nDir::Cache "{self.folder}";\n'
            f'Dir::Etc::sourcelist "{self.folder}/sources.list";\nDir::Etc::sourceparts "/dev/null";\n'
            f'APT::Architecture "{self.architecture}";\nAPT::Architectures {{ "{self.architecture}"; }};\n'
            'APT::Sandbox::User "root";\nAPT::Get::List-Cleanup "false";\nDPkg::Post-Invoke "";\n',
        )

    def records(self, package, needed=True):
        """The package's records in these suites, newest version first: [{field: value}]; [] if not needed.

        What apt says is kept until the lists are updated, since reading them takes apt a second each time.
        """
        kept = self.folder / "records" / package
        if not kept.exists():
            try:
                text = run(["apt-cache", "show", package], env=self.environment)
            except LabError:
                if not needed:
                    return []
                raise LabError(f"no package {package} in {self.name}") from None
            kept.parent.mkdir(exist_ok=True)
            unfinished = kept.with_suffix(f".{os.getpid()}")
            unfinished.write_text(text)
            unfinished.rename(kept)
        records = [
            dict(re.findall(r"^([A-Za-z0-9-]+): (.*)$", part, re.M))
            for part in kept.read_text().strip().split("\n\n")
        ]
        return [record for record in records if "Filename" in record]

    def names(self, start):
        """The names of all packages in these suites that begin so."""
        return run(["apt-cache", "pkgnames", start], env=self.environment).split()

    def fetch(self, package, version=None):
        """Download one package (its newest version unless told) and return the path of the .deb."""
        records = [record for record in self.records(package) if version in (None, record["Version"])]
        if not records:
            raise LabError(f"{self.name} has no version {version} of {package}")
        record = records[0]
        downloads = self.folder / "debs"
        file = downloads / os.path.basename(record["Filename"])
        with locked(f"apt-{self.name}"):
            if not file.exists() or file.stat().st_size != int(record["Size"]):
                downloads.mkdir(exist_ok=True)
                say(f"downloading {package} {record['Version']} ({int(record['Size']) >> 20} MiB)")
                run(
                    ["apt-get", "download", f"{package}={record['Version']}"],
                    env=self.environment,
                    cwd=downloads,
                )
                self._take_downloaded(record, file)
        return file

    @staticmethod
    def _take_downloaded(record, file):
        """Rename what apt wrote (it keeps the epoch, as %3a) to the archive's own file name."""
        written = (
            file.parent
            / f"{record['Package']}_{record['Version'].replace(':', '%3a')}_{record['Architecture']}.deb"
        )
        if written != file:
            written.rename(file)

    def fetch_missing(self, suite, packages):
        """Download packages from `suite` and what they need beyond this machine's; return the .debs."""
        with locked(f"apt-{self.name}"):
            run(["apt-get", "clean"], env=self.environment)
            run(
                [
                    "apt-get",
                    "install",
                    "--yes",
                    "--download-only",
                    "--reinstall",
                    "--no-install-recommends",
                    "--allow-downgrades",
                    "-t",
                    suite,
                    *packages,
                ],
                env=self.environment,
            )
            return sorted((self.folder / "archives").glob("*.deb"))


def unpack(deb, folder):
    """Unpack a package's files into a folder; nothing of it is run."""
    run(["dpkg-deb", "--extract", deb, folder], hint="is the file a complete Debian package?")
