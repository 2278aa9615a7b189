# SPDX-License-Identifier: GPL-2.0-or-later
"""What operators do with libvirt guests on a host with Lacuna installed: steps, each a function that makes checks."""

import json
import re
import shlex
import shutil
import subprocess
import time
import urllib.request
from pathlib import Path

from . import gdb, lost_guest
from .base import run
from .domain import FOLDER, Domain, virsh
from .installed import CONFIG, STORE, InstalledLacuna
from .trial import FINAL, TRAPPING, Trial, require

METRICS = "127.0.0.1:9464"
GDB = "127.0.0.1:1234"
KERNEL_FILES = ("kernel", "initrd")
# For the first disk libguestfs makes its appliance; the daemon gives up after 600 s. Each time that these seconds have passed
# libguestfs' virtual machine may be one that the emulator has lost.
LOOK_SECONDS, LOOKS = 90, 6


class OperatorTrial(Trial):
    """A Trial whose guests are libvirt's. `job` as operator.py writes it."""

    def __init__(self, job, out):
        super().__init__({**job, "lacuna": None}, out)
        self.lacuna = InstalledLacuna(job["debs"], job["module"])
        self.files = {}
        # as it comes, so that it is there however the run ends
        self.journal = subprocess.Popen(
            ["journalctl", "--follow", "--lines=all", "--output=short-precise"],
            stdout=open(self.out / "journal.log", "wb"),  # noqa: SIM115 (it is the process's)
            stdin=subprocess.DEVNULL,
        )

    def kernel(self, which):
        """{"kernel": ..., "initrd": ...} of the job's kernel `which`, where libvirt's guests may read them."""
        if which not in self.files:
            self.files[which] = {}
            for part in KERNEL_FILES:
                self.files[which][part] = FOLDER / f"{which}-{part}"
                shutil.copyfile(self.job["kernels"][which][part], self.files[which][part])
        return self.files[which]

    def domain(self, name, which="first", **options):
        """A domain that boots this kernel directly."""
        guest = Domain(name, self.kernel(which), self.out, **options)
        self.guests.append(guest)
        return guest

    def disk_domain(self, name, layout, pool=None):
        """A domain that boots from a copy of the job's disk of this layout, which lies in a new storage pool of this name."""
        folder = FOLDER / layout
        folder.mkdir(exist_ok=True)
        files = {"plain": ["plain.raw"], "overlay": ["overlay.qcow2", "plain.raw"]}.get(layout, [f"{layout}.raw"])
        for file in files:
            subprocess.run(["cp", "--sparse=always", Path(self.job["disks"]) / file, folder / file], check=True)
        form = "qcow2" if layout == "overlay" else "raw"
        place = folder / files[0]
        if pool:
            virsh("pool-create-as", pool, "dir", "--target", folder)
            place = f"{pool}:{files[0]}"
        # UEFI firmware keeps memory to itself of which GRUB then has too little for kernel and initrd
        memory = 512 if layout == "uefi" else 256
        guest = Domain(name, {"disks": [(place, form)], "uefi": layout == "uefi"}, self.out, memory=memory)
        self.guests.append(guest)
        return guest

    def check_read(self, what):
        """Wait until the daemon has read all it knows of; a check."""
        for _ in range(LOOKS):
            if done := wait_for(self.nothing_to_read, LOOK_SECONDS):
                break
            require(not lost_guest.look(), "the emulator has lost libguestfs' virtual machine")
        return self.check(what, done)

    def nothing_to_read(self):
        """Whether the daemon has read all it knows of."""
        return (self.lacuna.ask("status") or {"preparing": 1})["preparing"] == 0

    def start_lacuna(self):
        """Installed once, and left running."""

    def stop_lacuna(self):
        """The step that purges the packages does so."""

    def finish(self):
        super().finish()
        self.journal.terminate()
        subprocess.run(["cp", "-r", STORE, self.out / "store"], stderr=subprocess.DEVNULL, check=False)


def install(trial):
    """The packages are installed on a host that has never seen them; the service runs, and nothing is wrong with it."""
    before = files()
    trial.lacuna.install()
    trial.before = before
    trial.check("the service is active", trial.lacuna.active())
    trial.check("it answers", trial.lacuna.ask("status") is not None)
    trial.check("the installed configuration is sound", check_config())
    # many guests at once take an emulated host long
    settings = f'deadline_seconds = 900\nmetrics = "{METRICS}"\nconfirm_boots = 1\ncompare_one_in = 0'
    trial.lacuna.configure([{"name": "learn-*", "policy": "learn"}], settings)
    trial.lacuna.service("restart")  # metrics count from the next start


def check_config():
    """Whether lacunactl check-config has nothing to say."""
    return subprocess.run(["lacunactl", "check-config", CONFIG], check=False).returncode == 0


def learned(trial, guest):
    """Wait until a guest that was started has done its work; it must have been trapped and learned from."""
    if trial.wait_ready(guest):
        trial.collect(guest)
        trial.check_trapped(guest)


def define_and_start(trial):
    """Defined, then started: its kernel is read when its first vCPU is made, and its profile is there."""
    guest = trial.domain("first").define().start()
    learned(trial, guest)
    guest.kill()
    state = trial.wait_state(guest, ("gone",), 20)
    trial.check("a destroyed guest is reported gone", state == "gone", f"state {state}")


def start_from_disk(trial, layout, pool=None):
    """A domain that boots by GRUB from a disk of this layout: its kernel is read from the disk, and it is learned."""
    guest = trial.disk_domain(f"learn-{layout}", layout, pool)
    guest.define()
    trial.check_read(f"the disk of {guest.name} is read before it is started")
    guest.start()
    learned(trial, guest)
    guest.kill()


def disk(trial):
    """A raw disk with one partition, booted by BIOS."""
    start_from_disk(trial, "plain")


def debian(trial):
    """A whole Debian, installed on its disk, with its own initrd."""
    file = FOLDER / "debian.raw"
    subprocess.run(["cp", "--sparse=always", trial.job["debian"], file], check=True)
    guest = Domain("learn-debian", {"disks": [(file, "raw")]}, trial.out, memory=1024, has_terminal=True)
    trial.guests.append(guest)
    guest.define()
    trial.check_read("the disk of learn-debian is read before it is started")
    guest.start()
    learned(trial, guest)
    guest.kill()


def disk_in_use(trial):
    """The disk is read again while its guest runs, because a reset may start a kernel that was installed since; then started anew."""
    guest = trial.disk_domain("learn-in-use", "plain").define()
    trial.check_read("its disk is read")
    guest.start()
    if trial.wait_ready(guest):
        inits = guest.console.text.count("LACUNA-GUEST INIT")
        guest.do("reset")
        again = guest.console.wait_for(lambda console: console.text.count("LACUNA-GUEST INIT") > inits, 120, guest.alive)
        trial.check("it boots again", again)
        trial.check_read("its disk is read again")
        guest.do("destroy")
        trial.wait_state(guest, ("gone",), 20)
        guest.start()
        learned(trial, guest)
    guest.kill()


def autostart(trial):
    """A guest that libvirt starts by itself, as it does after the host has booted."""
    guest = trial.domain("learn-autostart").define()
    guest.do("autostart")
    units = ("libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket", "libvirtd.service")
    run(["systemctl", "stop", *units])
    Path("/run/libvirt/qemu/autostarted").unlink(missing_ok=True)  # by which libvirt knows that the host has not booted since
    run(["systemctl", "start", *units])
    learned(trial, guest)
    guest.kill()


def overlay(trial):
    """A qcow2 overlay on a raw disk, named as a volume of a storage pool."""
    start_from_disk(trial, "overlay", pool="lab")


def separate_boot(trial):
    """/boot on a partition of its own."""
    start_from_disk(trial, "separate-boot")


def uefi(trial):
    """Booted by UEFI firmware from a GPT disk; the emulated host needs a module for that, see tests/lab/host/cr8."""
    run(["insmod", trial.job["cr8_module"]])
    start_from_disk(trial, "uefi")
    run(["rmmod", "cr8"])


def lvm(trial):
    """Root and /boot on a logical volume that spans two disks, which no firmware can boot from: the kernel comes with libvirt's
    direct boot, but the rule names the disks.
    """
    folder = FOLDER / "lvm"
    folder.mkdir()
    disks = [folder / "one.raw", folder / "two.raw"]
    make_volume(disks, trial.job["kernels"]["first"])
    rules = [{"name": "volume", "policy": "learn", "images": [str(one) for one in disks], "image_format": "raw"}]
    trial.lacuna.configure(rules)
    trial.check_read("the disks of the volume are read")
    guest = trial.domain("volume").define().start()
    if trial.wait_ready(guest):
        trial.collect(guest)
        sources = json.loads((STORE / "guests/volume.json").read_text())["kernel"]["sources"]
        trial.check("its kernel was read from the disks", [len(one.get("disks", ())) for one in sources] == [2], sources)
    guest.kill()


def make_volume(disks, kernel):
    """A logical volume over two disks with a kernel in its /boot, made by libguestfs: the host mounts nothing."""
    commands = ["pvcreate /dev/sda", "pvcreate /dev/sdb", "vgcreate lab '/dev/sda /dev/sdb'", "lvcreate-free root lab 100"]
    commands += ["mkfs ext4 /dev/lab/root", "mount /dev/lab/root /", "mkdir /boot"]
    commands += [f"upload {kernel['kernel']} /boot/vmlinuz-lab"]
    for one in disks:
        with open(one, "wb") as stream:
            stream.truncate(24 << 20)
    drives = [word for one in disks for word in ("--format=raw", "-a", str(one))]
    run(["guestfish", *drives, "run"] + [word for command in commands for word in (":", *shlex.split(command))])


def known(trial):
    """A second guest of a kernel whose profile is complete: it is not trapped, and the profile is seen to hold."""
    guest = trial.domain("known").define().start()
    if trial.wait_ready(guest):
        trial.collect(guest)
        verified = wait_for(lambda: trial.lacuna.states.get(guest.name, {}).get("verified"), 60)
        trial.check("the profile holds", verified)
        traps = trial.stats(guest).get("traps_total")
        trial.check("it was not trapped", traps == 0, f"{traps} traps")
    guest.kill()


def running(trial):
    """lacunactl learn of a guest that has been left alone, and of one that ran before the daemon knew of it."""
    guest = trial.domain("left-alone", append="LACUNA_BUSY=1")
    trial.lacuna.configure([{"name": "left-alone", "policy": "ignore"}])
    guest.define().start()
    if trial.wait_ready(guest):
        state = trial.wait_state(guest, ("ignored",), 20)
        trial.check("it is left alone", state == "ignored", f"state {state}")
        trial.check("lacunactl learn is taken", trial.lacuna.ask("learn", guest.name) is not None)
        trial.wait_state(guest, ("waiting", *TRAPPING, "done"), 30)
        trial.collect(guest)
        trial.check_trapped(guest)
    guest.kill()


def observe(trial):
    """What an operator sees: a host in order, metrics, a journal that knows of guests."""
    trial.check("lacunactl doctor finds nothing wrong", subprocess.run(["lacunactl", "doctor"], check=False).returncode == 0)
    with urllib.request.urlopen(f"http://{METRICS}/metrics", timeout=10) as answer:
        metrics = answer.read().decode()
    traps = re.search(r'^lacuna_traps_total\{site="fork"\} (\d+)', metrics, re.M)
    trial.check("the metrics tell of traps", traps and int(traps[1]) > 0, traps and traps[0])
    trial.check("and of the module", "\nlacuna_module_loaded 1\n" in metrics)
    journal = run(["journalctl", "LACUNA_GUEST=first", "--output=cat"])
    trial.check("the journal knows of the first guest", "is done" in journal, journal[-200:])


def gdb_at_qemu(trial):
    """What docs/vmi-tools.md tells users of gdb to do."""
    guest, file = trial.domain("learn-gdb").define().start(), "/tmp/learn-gdb.elf"
    learned(trial, guest)
    run(["lacunactl", "export", "--format", "elf", guest.name, "--out", file])
    virsh("qemu-monitor-command", guest.name, "--hmp", f"gdbserver tcp:{GDB}")
    told = gdb.tasks(file, GDB)
    trial.check("gdb finds the first two tasks", told == gdb.FIRST, told)
    virsh("qemu-monitor-command", guest.name, "--hmp", "gdbserver none")
    guest.kill()


def transient(trial):
    """A transient guest, with another kernel."""
    guest = trial.domain("transient", "second").create()
    if trial.wait_ready(guest):
        trial.collect(guest)
    guest.kill()


def paused(trial):
    """Started paused, and resumed: learned like any other."""
    guest = trial.domain("learn-paused").define().start("--paused")
    trial.check("it is paused", guest.state() == "paused", guest.state())
    time.sleep(3)
    guest.do("resume")
    learned(trial, guest)
    guest.kill()


def reset(trial):
    """virsh reset while trapping, and a reboot from inside when all is known."""
    guest = trial.domain("learn-reset", append="LACUNA_REBOOT=20").define().start()
    if trial.wait_trapping(guest):
        guest.do("reset")
        if trial.wait_ready(guest):
            state = trial.wait_state(guest, FINAL, 90)
            trial.check("learned after the reset", state == "done", f"state {state}")
            inits = guest.console.text.count("LACUNA-GUEST INIT")
            again = guest.console.wait_for(
                lambda console: console.text.count("LACUNA-GUEST INIT") > inits, 120, guest.alive
            )
            trial.check("it reboots from inside", again)
            if trial.wait_ready(guest):
                trial.collect(guest)
    guest.kill()


def destroy_in_the_middle(trial):
    """virsh destroy while trapping, then start again."""
    guest = trial.domain("learn-destroyed").define().start()
    if trial.wait_trapping(guest):
        guest.do("destroy")
        state = trial.wait_state(guest, ("gone",), 20)
        trial.check("it is reported gone", state == "gone", f"state {state}")
        guest.start()
        if trial.wait_ready(guest):
            trial.collect(guest)
    guest.kill()


def managed_save(trial):
    """virsh managedsave while trapping: no trap goes into the file; it is restored by virsh start and goes on."""
    guest = trial.domain("learn-saved").define().start()
    if trial.wait_trapping(guest):
        guest.do("managedsave")
        trial.check("it is saved", guest.state() == "shut off", guest.state())
        log = guest.log.read_text(errors="replace")
        guest.start()
        came = guest.wait_until("LACUNA-GUEST READY", 120) or "LACUNA-GUEST READY" in log
        trial.check("the restored guest comes up and does its work", came)
        trial.check("the restored guest goes on", guest.state() == "running", guest.state())
    guest.kill()


def snapshot(trial):
    """A live snapshot of memory while trapping: the guest goes on, and what is restored from the file comes up as well."""
    guest = trial.domain("learn-snapshot").define().start()
    file = FOLDER / "snapshot"
    if trial.wait_trapping(guest):
        guest.do("snapshot-create-as", "one", "--live", "--memspec", f"file={file}")
        trial.check("it is taken while the guest runs", guest.state() == "running", guest.state())
        trial.check_let_go_first(guest)
        trial.wait_ready(guest)
        guest.do("destroy")
        guest.restore(file)
        # it may have been ready before the last of its memory was copied
        works = guest.console.wait_for(lambda console: console.said("LACUNA-GUEST READY") or console.views(), 120)
        trial.check("the restored guest comes up", works)
        trial.check("the restored guest goes on", guest.state() == "running", guest.state())
    guest.kill()


def restarts(trial):
    """lacunad is killed and started by systemd again, libvirtd is restarted, in the middle of a hunt."""
    guest = trial.domain("learn-restarts").define().start()
    if trial.wait_trapping(guest):
        run(["systemctl", "kill", "--signal=KILL", "lacunad.service"])
        run(["systemctl", "restart", "libvirtd.service"])
        if trial.wait_ready(guest):
            trial.check("the service is active again", wait_for(trial.lacuna.active, 30))
            trial.collect(guest)
    guest.kill()
    late = trial.domain("after-restarts", "second").define()
    late.start()
    if trial.wait_ready(late):
        trial.collect(late)
    late.kill()


def many(trial):
    """Many small guests at once, all of them learned from."""
    traps = start_together(trial, "learn-many")
    trial.check("all were trapped", all(traps), traps)


def many_known(trial):
    """As many, whose kernel is known: none is trapped."""
    traps = start_together(trial, "many")
    trial.check("guests whose kernel is known are not trapped", not any(traps), traps)


def start_together(trial, name):
    """Start the job's number of guests at once; all must come up and be done with. Returns how often each was trapped."""
    count = trial.job["many"]
    guests = [trial.domain(f"{name}-{number}", cpus=1, memory=128).define() for number in range(count)]
    for guest in guests:
        guest.start()
    ready = [guest for guest in guests if trial.wait_ready(guest)]
    trial.check("all guests came up", len(ready) == count, f"{len(ready)} of {count}")
    trial.say(f"memory of the daemon: {memory_of_daemon() >> 20} MiB")
    trial.check("the daemon's memory stays small", memory_of_daemon() < 200 << 20)
    traps = []
    for guest in ready:
        trial.collect(guest)
        traps.append(trial.stats(guest).get("traps_total", 0))
        guest.kill()  # at once: the others are looked at the faster
    return traps


def memory_of_daemon():
    """Bytes of memory that the daemon has (resident)."""
    pid = run(["systemctl", "show", "--property=MainPID", "--value", "lacunad.service"]).strip()
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) << 10


def upgrade_and_purge(trial):
    """Installed over itself, removed and purged: profiles stay until the purge, and after it nothing is left."""
    profiles = sorted(file.name for file in (STORE / "profiles").glob("*.json"))
    trial.check("profiles are in the store", profiles)
    run(["apt-get", "install", "--yes", "--reinstall", *trial.job["debs"]])
    trial.check("the service is active after an upgrade", wait_for(trial.lacuna.active, 30))
    now = sorted(file.name for file in (STORE / "profiles").glob("*.json"))
    trial.check("the profiles are the same after an upgrade", now == profiles, now)
    trial.lacuna.remove("remove")
    trial.check("the profiles are there after a removal", (STORE / "profiles").is_dir())
    trial.check("no daemon is left after a removal", not trial.lacuna.active())
    trial.lacuna.remove("purge")
    left = sorted(files() - trial.before)
    trial.check("nothing is left after a purge", not left, " ".join(left[:20]))


def files():
    """What of the host's files a package could leave behind."""
    found = subprocess.run(
        ["find", "/etc", "/usr", "/var/lib", "/var/cache", "/run/lacuna", "/lib/modules", "-xdev"],
        capture_output=True,
        text=True,
        check=False,
    ).stdout.splitlines()
    ours = ("lacuna",)
    return {name for name in found if any(word in name for word in ours)}


def wait_for(condition, seconds):
    """Poll a condition; tells whether it held within so many seconds."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.5)
    return condition()


STEPS = {
    "install": install,
    "define": define_and_start,
    "observe": observe,
    "gdb": gdb_at_qemu,
    "known": known,
    "running": running,
    "autostart": autostart,
    "disk": disk,
    "debian": debian,
    "disk-in-use": disk_in_use,
    "overlay": overlay,
    "separate-boot": separate_boot,
    "uefi": uefi,
    "lvm": lvm,
    "transient": transient,
    "paused": paused,
    "reset": reset,
    "destroy": destroy_in_the_middle,
    "save": managed_save,
    "snapshot": snapshot,
    "restarts": restarts,
    "many": many,
    "many-known": many_known,
    "purge": upgrade_and_purge,
}


def steps(trial):
    """Do the job's steps one after the other."""
    for name in trial.job["steps"]:
        trial.say(f"step {name}")
        STEPS[name](trial)
