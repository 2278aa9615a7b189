# SPDX-License-Identifier: GPL-2.0-or-later
"""Lacuna as an operator has it in the lab host: installed from packages, run by systemd."""

import json
import os
import subprocess
import threading
from pathlib import Path

from .base import LabError, run
from .lacuna import Lacuna

CONFIG = Path("/etc/lacuna/lacunad.toml")
STORE = Path("/var/lib/lacuna")
SERVICE = "lacunad.service"


class InstalledLacuna(Lacuna):
    """As Lacuna, by way of the packages `debs`; the module's own is left out where `module` is a file to load."""

    def __init__(self, debs, module):
        self.debs, self.module = debs, module
        self.client = ["lacunactl"]
        self.states, self.seen = {}, {}
        self.daemon = None
        self.wanted = True

    def install(self):
        """Install the packages without a network, as `apt install ./*.deb` does; loads the module if it is a file."""
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        run(["apt-get", "install", "--yes", *self.debs], env=environment)
        drop_in = Path(f"/run/systemd/system/{SERVICE}.d/lab.conf")
        drop_in.parent.mkdir(parents=True, exist_ok=True)
        drop_in.write_text("[Service]\nEnvironment=LIBGUESTFS_DEBUG=1\n")  # into the journal
        run(["systemctl", "daemon-reload"])
        self.service("restart")
        if self.module:
            run(["insmod", self.module], hint="see host-dmesg.log")
        threading.Thread(target=self._watch, daemon=True).start()

    def remove(self, how):
        """`how`: remove or purge."""
        names = [run(["dpkg-deb", "--field", deb, "Package"]).strip() for deb in self.debs]
        self.wanted = False
        # not by apt, which does not know names that no list has
        run(["dpkg", f"--{how}", *names], env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})

    @staticmethod
    def service(verb):
        """systemctl `verb` of the daemon's service."""
        return run(["systemctl", verb, SERVICE])

    def running(self):
        """Always: if the service is not, systemd starts it again."""
        return True

    @staticmethod
    def active():
        """Whether systemd says that the service is active."""
        return subprocess.run(["systemctl", "--quiet", "is-active", SERVICE], check=False).returncode == 0

    @staticmethod
    def configure(rules, settings=""):
        """Put rules ([{key: value}]) before the one of the package's configuration, and have it read again."""
        text = "".join(
            "\n[[guest]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in rule.items()) for rule in rules
        )
        top, rule, others = CONFIG.read_text().partition("\n[[guest]]\n")
        CONFIG.write_text(f"{top}\n{settings}\n{text}{rule}{others}")
        run(["systemctl", "reload", SERVICE])

    def _watch(self):
        """`lacunactl watch` again and again: the service may be started anew."""
        while self.wanted:
            try:
                super()._watch()
            except (OSError, LabError) as problem:
                print(problem, flush=True)
            threading.Event().wait(0.5)
