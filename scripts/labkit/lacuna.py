# SPDX-License-Identifier: GPL-2.0-or-later
"""Lacuna in the lab host: the module, the daemon, and questions to the daemon."""

import json
import os
import socket
import subprocess
import threading
import time
from pathlib import Path

from .base import LabError, run

FOLDER = Path("/run/lacuna")
SOCKET = FOLDER / "lacunad.sock"
CONFIG = FOLDER / "lacunad.toml"
STORE = FOLDER / "store"


class Lacuna:
    """`job` names the module file, daemon, client and constraints folder; the daemon's log goes to `log`."""

    def __init__(self, job, guests, log):
        self.job, self.guests, self.log = job, guests, log
        self.client = [job["client"], "--socket", SOCKET]
        # A look takes an emulated host a minute: only where it is what is tried. None: as it is where nobody has said anything.
        self.policy, self.confirm_boots, self.deep = "learn", 2, "on-request"
        self.daemon = None
        self.states, self.seen = {}, {}

    def load_module(self, *parameters):
        """Load lacuna.ko."""
        run(["insmod", self.job["module"], *parameters], hint="see host-dmesg.log")

    def module_loaded(self):
        """Whether the module is in the kernel."""
        return Path("/sys/module/lacuna").exists()

    def unload_module(self, seconds=10):
        """Unload the module, trying for some seconds; tells whether it went."""
        end = time.monotonic() + seconds
        while subprocess.run(["rmmod", "lacuna"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
            if time.monotonic() > end:
                return False
            time.sleep(0.5)
        return True

    @staticmethod
    def hooked(function):
        """Whether anything is hooked into this function of the host's kernel."""
        tracing = Path("/sys/kernel/tracing")
        if not (tracing / "enabled_functions").exists():
            run(["mount", "-t", "tracefs", "tracefs", tracing])
        return function in (tracing / "enabled_functions").read_text().split()

    def write_config(self):
        """The daemon's configuration: every guest of the job with its kernel, or several."""
        STORE.mkdir(parents=True, exist_ok=True)
        text = (
            f'store = "{STORE}"\nsocket = "{SOCKET}"\nconstraints = "{self.job["constraints"]}"\n'
            f'deadline_seconds = {self.job["deadline"]}\nrecord = {json.dumps(self.job["record"])}\n'
            f'confirm_boots = {self.confirm_boots}\ncompare_one_in = 0\n'
        )
        if self.deep:
            text += f'deep = "{self.deep}"\n'
        for guest in self.guests:
            kernels = json.dumps(guest.get("kernels") or [str(guest["kernel"])])
            text += f'\n[[guest]]\nname = "{guest["name"]}*"\nkernels = {kernels}\npolicy = "{self.policy}"\n'
            if guest.get("system_map"):
                text += f'system_map = "{guest["system_map"]}"\n'
        CONFIG.write_text(text)

    def start_daemon(self):
        """Start lacunad and wait until it is ready (sd_notify): it has read the guests' kernels then."""
        self.write_config()
        notify = FOLDER / "notify"
        notify.unlink(missing_ok=True)
        self.states.clear()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener, open(self.log, "ab") as log:
            listener.bind(str(notify))
            listener.settimeout(1)
            self.daemon = subprocess.Popen(
                [self.job["daemon"], "--config", CONFIG, "--log-level", "debug"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "NOTIFY_SOCKET": str(notify)},
            )
            self._wait_ready(listener, self.job["startup_seconds"])
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self):
        """Keep `states` up to date from `lacunactl watch`, for as long as the daemon lives."""
        with subprocess.Popen(
            [*self.client, "--json", "watch"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ) as watch:
            for line in watch.stdout:
                entry = json.loads(line)
                self.seen.setdefault(entry["name"], time.monotonic())
                self.states[entry["name"]] = entry

    def _wait_ready(self, listener, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                if b"READY=1" in listener.recv(4096):
                    return
            except TimeoutError:
                pass
            if self.daemon.poll() is not None:
                raise LabError(
                    f"lacunad ended with exit code {self.daemon.returncode} at its start: see {self.log.name}"
                )
        raise LabError(f"lacunad was not ready within {seconds} s: see {self.log.name}")

    @staticmethod
    def facts(name):
        """What the store says about a guest's boot, {} if nothing."""
        file = STORE / "guests" / f"{name}.json"
        return json.loads(file.read_text()) if file.exists() else {}

    def running(self):
        """Whether the daemon that was started still runs."""
        return self.daemon.poll() is None

    def stop_daemon(self, seconds=20):
        """Ask the daemon to end; returns its exit code, None when it did not end by itself."""
        self.daemon.terminate()
        try:
            return self.daemon.wait(seconds)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            return None

    def ask(self, *words, seconds=60):
        """lacunactl's JSON answer; None when it fails or takes too long (the agent's log tells)."""
        command = [*self.client, "--json", *words]
        try:
            done = subprocess.run(
                command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired as problem:
            print(problem, flush=True)
            return None
        return json.loads(done.stdout) if done.returncode == 0 else None
