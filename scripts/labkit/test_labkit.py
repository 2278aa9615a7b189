# SPDX-License-Identifier: GPL-2.0-or-later
"""Unit tests of the lab's parts that judge and compare."""

import gzip
import json
import struct
import subprocess
import tempfile
import unittest
from pathlib import Path

from labkit import behaviour, consumers, detail, guest_console, guest_system, host_disk, judge, kernel_build, lost_guest, matrix, packager
from labkit import told, views
from labkit.base import REPOSITORY, LabError
from labkit.cpio import Archive
from labkit.guest_kernel import choose
from labkit.guest_memory import GuestMemory
from labkit.host import emulator_failed, warnings
from labkit.kernel_modules import ModuleTree
from labkit.kernel_package import FLAVOUR, is_64_bit

TRUTH = {"members": {"task_struct": {"pid": 1256, "mm": 1192}, "module": {"name": 16}}}


def profile(**members):
    """A profile with these members of task_struct."""
    return {"members": {"task_struct": members}}


class JudgeTest(unittest.TestCase):
    def verdict(self, member, name="pid"):
        return judge.judge(profile(**{name: member}), TRUTH)["members"][f"task_struct.{name}"]["verdict"]

    def test_resolved(self):
        self.assertEqual(self.verdict({"state": "resolved", "offset": 1256}), "right")
        self.assertEqual(self.verdict({"state": "resolved", "offset": 1260}), "wrong")

    def test_ambiguous_is_wrong_only_when_the_truth_was_struck(self):
        self.assertEqual(
            self.verdict({"state": "ambiguous", "candidates": [1256, 1260], "remaining": 2}), "ambiguous"
        )
        self.assertEqual(
            self.verdict({"state": "ambiguous", "candidates": [8, 1260], "remaining": 2}), "wrong"
        )
        self.assertEqual(
            self.verdict({"state": "ambiguous", "candidates": [8, 1260], "remaining": 300}), "ambiguous"
        )

    def test_tie_is_right_if_the_truth_and_what_is_offered_are_in_it(self):
        tied = {"state": "tied", "offset": 1260, "candidates": [1256, 1260]}
        self.assertEqual(self.verdict(tied), "right")
        self.assertEqual(self.verdict({**tied, "candidates": [1260, 1264]}), "wrong")
        self.assertEqual(self.verdict({**tied, "offset": 8}), "wrong")
        verdict = judge.judge(profile(pid=tied), TRUTH)
        self.assertIn("right (a tie: 1256, 1260)", judge.table(verdict))

    def test_absent_is_right_only_where_there_is_no_such_member(self):
        absent = {"state": "absent"}
        self.assertEqual(judge.judge_member(absent, None)["verdict"], "right")
        self.assertEqual(judge.judge_member(absent, 16)["verdict"], "wrong")
        self.assertEqual(judge.judge_member({"state": "resolved", "offset": 16}, None)["verdict"], "wrong")

    def test_what_a_guest_cannot_teach_may_be_open_but_not_wrong(self):
        resolved = {name: {"state": "resolved", "offset": offset} for name, offset in (("pid", 1256), ("mm", 1192))}
        self.assertEqual(judge.exit_code(judge.judge(profile(**resolved), TRUTH)), 1)
        self.assertEqual(judge.exit_code(judge.judge(profile(**resolved), TRUTH, ("module",))), 0)
        wrong = {"members": {"task_struct": resolved, "module": {"name": {"state": "resolved", "offset": 24}}}}
        self.assertEqual(judge.exit_code(judge.judge(wrong, TRUTH, ("module",))), 2)
        self.assertEqual(judge.exit_code(judge.judge(profile(pid=resolved["pid"]), TRUTH, ("module",))), 1)

    def test_contradicted_and_missing(self):
        self.assertEqual(self.verdict({"state": "contradicted"}), "contradicted")
        self.assertEqual(judge.judge(None, TRUTH)["missing"], 3)

    def test_exit_codes(self):
        right = {
            "task_struct": {
                "pid": {"state": "resolved", "offset": 1256},
                "mm": {"state": "resolved", "offset": 1192},
            },
            "module": {"name": {"state": "resolved", "offset": 16}},
        }
        self.assertEqual(judge.exit_code(judge.judge({"members": right}, TRUTH)), 0)
        self.assertEqual(judge.exit_code(judge.judge(profile(), TRUTH)), 1)
        self.assertEqual(
            judge.exit_code(judge.judge(profile(pid={"state": "resolved", "offset": 0}), TRUTH)), 2
        )


class BehaviourTest(unittest.TestCase):
    def verdict(self, name, member, seen):
        structure, _, short = name.partition(".")
        return behaviour.judge({"members": {structure: {short: member}}}, seen)[name]["verdict"]

    def test_what_speaks_for_a_member_decides(self):
        pgd = {"state": "resolved", "offset": 72}
        self.assertEqual(self.verdict("mm_struct.pgd", pgd, {"program": True}), "right")
        self.assertEqual(self.verdict("mm_struct.pgd", pgd, {"program": False}), "wrong")
        self.assertEqual(self.verdict("mm_struct.pgd", pgd, {"processes": True}), "unproven")
        self.assertEqual(self.verdict("mm_struct.pgd", {"state": "ambiguous"}, {"program": True}), "ambiguous")

    def test_absent_only_in_a_kernel_that_knows_no_modules(self):
        absent = {"state": "absent"}
        self.assertEqual(self.verdict("module.name", absent, {"no_modules": True}), "right")
        self.assertEqual(self.verdict("module.name", absent, {"no_modules": False}), "wrong")
        self.assertEqual(self.verdict("task_struct.pid", absent, {"no_modules": True}), "wrong")

    def test_nothing_found_is_no_pass(self):
        self.assertEqual(judge.exit_code(judge.count(behaviour.judge(None, {}))), 1)

    def test_a_thread_with_the_number_of_its_process(self):
        offsets = {"task_struct.pid": 8, "task_struct.comm": 16}
        leader, thread = (struct.pack("<8xII16s", number, 140, b"worker-threads") for number in (140, 141))
        told, image = [[141, "worker-threads"]], bytes(40) + leader + thread + b"worker-threads"
        self.assertTrue(behaviour.threads(image, told, offsets))
        self.assertFalse(behaviour.threads(image, told, {**offsets, "task_struct.pid": 12}), "its process's number")
        self.assertIsNone(behaviour.threads(image, [], offsets))

    def test_program_as_it_is_loaded(self):
        file = Path(self.enterContext(tempfile.TemporaryDirectory())) / "program"
        header = struct.pack("<4sBBBB8xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 2, 62, 1, 0, 64, 0, 0, 64, 56, 1, 0, 0, 0)
        segment = struct.pack("<IIQQQQQQ", 1, 5, 120, 0x401000, 0x401000, 200, 200, 4096)
        file.write_bytes(header + segment + bytes(range(200)))
        self.assertEqual(behaviour.of_program(file, 0x401002, 4), b"\x02\x03\x04\x05")
        self.assertIsNone(behaviour.of_program(file, 0x401000 + 197, 4))


class MemoryTest(unittest.TestCase):
    """Page tables made by hand."""

    def memory(self, paging, tables, form):
        content = bytearray(0x10000)
        for at, entry in tables.items():
            struct.pack_into(form, content, at, entry)
        content[0x8000:0x8010] = bytes(range(16))
        return GuestMemory(bytes(content), paging, 0x1000)

    def test_four_levels(self):
        # the last but one page of the address space, and a large page below it
        tables = {0x1FF8: 0x2001, 0x2FF8: 0x3001, 0x3FF8: 0x4001, 0x4FF0: 0x8001, 0x3FF0: 0x80 | 1}
        memory = self.memory("4-level", tables, "<Q")
        self.assertEqual(memory.read(0xFFFFFFFFFFFFE004, 2), b"\x04\x05")
        self.assertEqual(memory.number(0xFFFFFFFFFFC08000, 2), 0x0100)
        self.assertIsNone(memory.read(0xFFFFFFFFFFFFF000, 1))
        self.assertIsNone(memory.read(0xFFFFFFFFFFFFEFFF, 2), "the page behind it is not mapped")

    def test_two_levels(self):
        tables = {0x1000 + 0x300 * 4: 0x2001, 0x2004: 0x8001}
        memory = self.memory("32-bit", tables, "<I")
        self.assertEqual(memory.word_size, 4)
        self.assertEqual(memory.read(0xC0001008, 1), b"\x08")
        self.assertIsNone(memory.read(0xC0000000, 1))

    def test_where_there_is_no_memory(self):
        memory = self.memory("32-bit", {0x1000: 0x2001, 0x2000: 0xFFFF0001, 0x1004: 0xFFFF0001}, "<I")
        self.assertIsNone(memory.read(0, 1))
        self.assertIsNone(memory.read(0x400000, 1))

    def test_ring_ends_at_its_head(self):
        tables = {0x1FF8: 0x2001, 0x2FF8: 0x3001, 0x3FF8: 0x4001, 0x4FE8: 0x9001}
        top = 0xFFFFFFFFFFFFD000
        memory = self.memory("4-level", {**tables, 0x9000: top + 0x20, 0x9020: top + 0x40, 0x9040: top}, "<Q")
        self.assertEqual(memory.ring(top), [top + 0x20, top + 0x40])
        self.assertEqual(memory.ring(top + 8), [], "it does not lead back")


class BitsTest(unittest.TestCase):
    def image(self, protocol, flags=0, packed=b""):
        file = Path(self.enterContext(tempfile.TemporaryDirectory())) / "vmlinuz"
        header = bytearray(1024)
        header[0x1F1], header[0x202:0x206] = 1, b"HdrS"
        struct.pack_into("<H", header, 0x206, protocol)
        if protocol >= 0x20C:
            header[0x236] = flags
        if protocol >= 0x208:
            struct.pack_into("<II", header, 0x248, 0, len(packed))
        file.write_bytes(bytes(header) + packed)
        return file

    def test_new_images_say_so(self):
        self.assertTrue(is_64_bit(self.image(0x20F, 1)))
        self.assertFalse(is_64_bit(self.image(0x20F, 0)))

    def test_older_ones_by_their_payload(self):
        for bits, answer in ((1, False), (2, True)):
            elf = b"\x7fELF" + bytes([bits]) + bytes(100)
            self.assertEqual(is_64_bit(self.image(0x20A, packed=gzip.compress(elf))), answer)
        self.assertTrue(is_64_bit(self.image(0x206, packed=b"loader" + gzip.compress(b"\0x86_64\0"))))
        self.assertFalse(is_64_bit(self.image(0x206, packed=b"loader" + gzip.compress(b"\0i686\0"))))


class MatrixTest(unittest.TestCase):
    def entry(self, text, code, results=None):
        """The row of an entry whose boot ended with this exit code and these results."""
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "entry"
            out.mkdir()
            for name, content in (results or {}).items():
                (out / f"{name}.json").write_text(json.dumps(content))
            (Path(folder) / "entry.log").write_text("starting\nerror: no such thing\n")
            return matrix.Entry(text).row(out, code, 1)

    def test_configurations_become_options(self):
        class Options:
            build, record, looks = "build", False, False

        command = matrix.Entry("bookworm:rt-amd64@4cpus@pti@nosmp").command("out", Options)
        self.assertIn("bookworm:rt-amd64", command)
        self.assertEqual(command[command.index("--cpus") + 1], "4")
        self.assertEqual(command[command.index("--append") + 1], "pti=on nosmp")
        with self.assertRaises(LabError):
            matrix.Entry("bookworm@5cpus")

    def test_row_tells_what_is_not_right(self):
        verdict = {name: 0 for name in judge.VERDICTS} | {"right": 1, "ambiguous": 1}
        verdict["members"] = {"a.b": {"verdict": "right"}, "a.c": {"verdict": "ambiguous"}}
        result = {
            "checks": [{"check": "it comes up", "ok": True}, {"check": "lists are equal", "ok": False}],
            "seconds": {"guest1": {"ready": 12.5}},
        }
        profile = {"kernel": {"release": "6.1.0-1-amd64"}}
        results = {"verdict": verdict, "result": result, "profile": profile, "stats": {"traps_total": 7, "wasted": {"fork": 1, "exit": 2}}}
        row = self.entry("bookworm", 2, results)
        cells = ["6.1.0-1-amd64", "-", "1", "0", "1", "0", "0", "0", "7", "3", "-", "-", "12.5", "a.c; lists are equal"]
        self.assertEqual(matrix.table([row])[1], cells)

    def test_guest_systems(self):
        class Options:
            build, record, looks = "build", False, False

        command = matrix.Entry("os:single").command("out", Options)
        self.assertEqual(command[command.index("--guest-os") + 1], "single")
        self.assertNotIn("--guest-kernel", command)
        command = matrix.Entry("trixie@os:go@1cpu").command("out", Options)
        self.assertEqual(command[command.index("--guest-os") + 1], "go")
        self.assertEqual(command[command.index("--guest-kernel") + 1], "trixie")
        verdict = {name: 0 for name in judge.VERDICTS} | {"right": 2, "ambiguous": 1}
        verdict["members"] = {
            "a.b": {"verdict": "right", "tie": [8, 12], "may_be_open": False},
            "m.c": {"verdict": "ambiguous", "may_be_open": True},
        }
        results = {"verdict": verdict, "result": {"checks": [], "seconds": {"guest1": {}}}, "times": {"hunt": 9.04, "prompt": 20.0}}
        row = self.entry("os:single", 0, results)
        self.assertEqual([row["hunt"], row["prompt"], row["remark"]], [9.0, 20.0, "a.b tied"])
        self.assertEqual(row["configuration"], "os:single")

    def test_lab_that_failed_is_no_pass(self):
        row = self.entry("bookworm", 3)
        self.assertEqual(row["code"], 3)
        self.assertEqual(row["remark"], "the lab failed: error: no such thing")
        self.assertNotIn("right", row)


class FlavourTest(unittest.TestCase):
    def test_flavours_are_told_from_releases(self):
        self.assertEqual(FLAVOUR.fullmatch("cloud-amd64").groups(), (None, "cloud-amd64"))
        self.assertEqual(FLAVOUR.fullmatch("6.18-rt-amd64").groups(), ("6.18", "rt-amd64"))
        self.assertEqual(FLAVOUR.fullmatch("686-pae").groups(), (None, "686-pae"))
        for release in ("6.1.0-56-amd64", "6.12.117+deb13-rt-amd64", "5.10.0-32-686-pae"):
            self.assertIsNone(FLAVOUR.fullmatch(release))


class GuestSystemTest(unittest.TestCase):
    def test_every_system_says_why_and_is_documented(self):
        documentation = (Path(__file__).parent / "README.md").read_text()
        for name, system in guest_system.SYSTEMS.items():
            self.assertTrue(system.why, name)
            self.assertIn(f"`{name}`", documentation)
            self.assertIn(f"os:{name}", matrix.CONFIGURATIONS)

    def test_what_a_guest_cannot_teach_is_not_compared(self):
        for name, system in guest_system.SYSTEMS.items():
            self.assertEqual("module" in system.untaught, name in ("single", "busybox", "crowd"), name)

    def test_amd64_is_not_run_on_a_32_bit_kernel(self):
        class Kernel:
            debs, is_64_bit = ["linux-image-6.1-686_1_i386.deb"], False

        with self.assertRaises(LabError):
            guest_system.choose("debian12").job(Kernel)


class KernelBuildTest(unittest.TestCase):
    def test_options(self):
        text = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=0x10\nCONFIG_A=n\n"
        self.assertEqual(kernel_build.options(text), {"CONFIG_A": "n", "CONFIG_C": "0x10"})

    def test_pinning_a_seed_leaves_the_other_link_alone(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        script, link = folder / "script", folder / "link"
        script.write_text('#!/bin/sh\nSEED=$(od -N 32 /dev/urandom)\necho "$SEED" > "$1"\n')
        script.chmod(0o755)
        link.hardlink_to(script)
        kernel_build.pin_seed(link, "c0ffee")
        subprocess.run([link, folder / "seed"], check=True)
        self.assertEqual((folder / "seed").read_text(), "c0ffee\n")
        self.assertIn("urandom", script.read_text())

    def test_a_script_without_a_seed_is_an_error(self):
        script = Path(self.enterContext(tempfile.TemporaryDirectory())) / "script"
        script.write_text("#!/bin/sh\n")
        with self.assertRaises(LabError):
            kernel_build.pin_seed(script, "c0ffee")

    def test_every_kernel_says_why_and_has_its_patch(self):
        for name, variant in kernel_build.known().items():
            self.assertTrue(variant["why"], name)
            self.assertTrue((kernel_build.KERNELS / variant.get("patch", "kernels.json")).is_file(), name)


class ConsoleTest(unittest.TestCase):
    BOOT = (
        "LACUNA-GUEST INIT\r\nLACUNA-GUEST READY\r\nLACUNA-VIEW 1 BEGIN\r\nP 1 user init\r\n"
        "P 7 kernel kworker/u4:0-events_unbound\r\nP 12 kernel rcu_tasks_rude_kthread\r\n"
        "P 9 kernel kworker/R-netns\r\n"
        "M dummy 0xffffffffc0ae7000\r\nLACUNA-VIEW 1 END\r\nLACUNA-VIEW 2 BEGIN\r\nP 1 us"
    )

    def console(self, text):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        (folder / "log").write_text(text, newline="")
        console = guest_console.GuestConsole(folder / "log", folder / "copy")
        console.poll()
        return console

    def test_view(self):
        ((number, view),) = self.console(self.BOOT).views()
        self.assertEqual(number, 1)
        self.assertEqual(view["modules"], [["dummy", 0xFFFFFFFFC0AE7000]])
        self.assertEqual(
            view["processes"],
            [
                [1, "user", "init"],
                [7, "kernel", "kworker/u4:0"],
                [9, "kernel", "kworker/R-netns"],
                [12, "kernel", "rcu_tasks_rude_"],
            ],
        )

    def test_a_reset_starts_anew(self):
        console = self.console(self.BOOT + "\r\nLACUNA-GUEST INIT\r\n")
        self.assertFalse(console.said("LACUNA-GUEST READY"))
        self.assertEqual(console.views(), [])

    def test_comparison(self):
        ((_, view),) = self.console(self.BOOT).views()
        processes = {
            "processes": [{"pid": pid, "kind": kind, "comm": comm} for pid, kind, comm in view["processes"]]
            + [{"pid": 0, "kind": "kernel", "comm": "swapper/0"}]
        }
        modules = {"modules": [{"name": "dummy", "address": "0xffffffffc0ae7001"}]}
        outside = views.outside_view("processes", processes)
        self.assertTrue(views.compare("processes", view, processes, outside)["equal"])
        different = views.compare("modules", view, modules, views.outside_view("modules", modules))
        self.assertFalse(different["equal"])
        self.assertEqual(different["only_in_guest"], [{"name": "dummy", "address": "0xffffffffc0ae7000"}])
        shown_nowhere = {"modules": [["dummy", 0]]}
        self.assertTrue(views.compare("modules", shown_nowhere, modules, views.outside_view("modules", modules))["equal"])
        self.assertFalse(views.compare("modules", {"modules": [["tun", 0]]}, modules, views.outside_view("modules", modules))["equal"])


class ConsumersTest(unittest.TestCase):
    TOLD = detail.parse(
        "LACUNA-DETAIL BEGIN\nprocess 1 0 0 1 47 /init|a_b| HOME=/|TERM=a_b|\nprocess 2 0 0 1 48 - -\n"
        "file 5 0 /dev/console\nfile 5 3 socket:[7]\nfile 5 cwd /\narea 5 1000 2000 r-xp /init\narea 5 7000 8000 rw-p [stack]\n"
        "mountinfo 1 1 0:2 / / rw shared:1 - rootfs none rw\nmountinfo 20 1 0:21 / /proc rw,nosuid - proc proc rw\nLACUNA-DETAIL END\n"
    )

    def differences(self, comparison, rows, compared):
        result = comparison(self.TOLD, rows)
        self.assertEqual(result["compared"], compared)
        return result["differences"]

    def test_rows_are_compared_with_what_the_guest_tells(self):
        rows = [{"PID": 1, "ARGS": "/init a b"}, {"PID": 2, "ARGS": "[kthreadd]"}]
        self.assertEqual(self.differences(told.arguments, rows, 1), [])
        self.assertTrue(self.differences(told.arguments, [{"PID": 1, "ARGS": "/init"}], 1))
        rows = [{"PID": 1, "KEY": "TERM", "VALUE": "a b"}, {"PID": 1, "KEY": "HOME", "VALUE": "/"}]
        self.assertEqual(self.differences(told.environments, rows, 1), [])
        self.assertTrue(self.differences(told.environments, rows[:1], 1))
        rows = [{"PID": 5, "FD": 0, "Path": "/dev/console"}, {"PID": 5, "FD": 3, "Path": "socket:[9]"}]
        self.assertEqual(self.differences(told.files, rows, 2), [])
        self.assertTrue(self.differences(told.files, [rows[0], {"PID": 5, "FD": 3, "Path": "<unknown d_dname pointer> 1:[9]"}], 2))
        rows = [{"PID": 5, "Start": 0x1000, "End": 0x2000, "Flags": "r-x", "File Path": "/init"}]
        rows.append({"PID": 5, "Start": 0x7000, "End": 0x8000, "Flags": "rw-", "File Path": "[stack]"})
        self.assertEqual(self.differences(told.areas, rows, 2), [])
        self.assertTrue(self.differences(told.areas, rows[:1], 1))
        columns = ("MOUNT ID", "PARENT_ID", "MAJOR:MINOR", "ROOT", "MOUNT_POINT", "MOUNT_OPTIONS", "FIELDS", "FSTYPE", "MOUNT_SRC")
        lines = ((1, 1, "0:2", "/", "/", "rw", "shared:1", "rootfs", "none"), (20, 1, "0:21", "/", "/proc", "nosuid,rw", "", "proc", "proc"))
        rows = [dict(zip(columns, line)) for line in (*lines, (30, 1, "0:21", "/", "/of/others", "rw", "", "proc", "proc"))]
        self.assertEqual(self.differences(told.mounts, rows, 2), [])
        self.assertTrue(self.differences(told.mounts, rows[1:], 1))
        self.assertTrue(self.differences(told.mounts, [rows[0], rows[1] | {"MOUNT_SRC": "none"}], 2))

    def test_the_line_that_says_why_is_found(self):
        text = "Volatility 3\nAttributeError: no member x\n\n\t* A plugin\nNo further results will be produced\n"
        self.assertEqual(consumers.why_nothing(text), "AttributeError: no member x")
        self.assertEqual(consumers.why_nothing("one\nlast\n"), "last")
        self.assertEqual(consumers.why_nothing(""), "printed nothing")


class HostTest(unittest.TestCase):
    def test_warnings(self):
        clean = (
            "Speculative Return Stack Overflow: WARNING: See https://kernel.org\nkvm: Nested Paging enabled\n"
        )
        self.assertEqual(warnings(clean), [])
        for line in (
            "WARNING: CPU: 0 PID: 1 at kernel/x.c",
            "BUG: unable to handle page fault",
            "Call Trace:",
            "rcu: INFO: rcu_preempt detected stalls",
            "BUG: KASAN: slab-use-after-free in retire+0x10/0x20 [lacuna]",
            "WARNING: possible circular locking dependency detected",
            "WARNING: suspicious RCU usage",
            "BUG: sleeping function called from invalid context at kernel/locking/mutex.c:580",
            "INFO: trying to register non-static key.",
            "turning off the locking correctness validator.",
            "UBSAN: array-index-out-of-bounds in kmod/look.c:1:2",
        ):
            self.assertEqual(warnings(clean + line), [line])

    def test_races_of_the_kernels_own_are_no_warnings(self):
        line = "=" * 66
        report = "\n".join(f"[   21.0] {words}" for words in (line, "BUG: KCSAN: data-race in {0} / tick", "", "write to 0xff of 8 bytes", " {0}+0x1/0x2{1}", line))
        own, kernels = report.format("lac_look", " [lacuna]"), report.format("ktime_get", "")
        self.assertEqual(warnings(kernels), [])
        self.assertEqual(warnings(f"{kernels}\n{own}\n{kernels}\nlater"), ["[   21.0] BUG: KCSAN: data-race in lac_look / tick"])


class ArchiveTest(unittest.TestCase):
    def test_cpio_reads_it(self):
        archive = Archive()
        archive.folder("modules")
        archive.file("modules/order", b"dummy\n")
        listed = subprocess.run(
            ["cpio", "-itv", "--quiet"], input=archive.bytes(), capture_output=True, check=True
        )
        self.assertRegex(listed.stdout.decode(), r"drwxr-xr-x.* modules\n-rw-r--r--.* 6 .* modules/order\n")


class DiskTest(unittest.TestCase):
    def test_what_is_put_on_a_disk_comes_back(self):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        for name in ("in/below", "out"):
            (folder / name).mkdir(parents=True)
        (folder / "in/below/file").write_bytes(b"\0content" * 1000)
        host_disk.make_disk(folder / "disk", folder / "in")
        self.assertEqual((folder / "disk").stat().st_size % host_disk.CYLINDER, 0)
        host_disk.read_disk(folder / "disk", folder / "out")
        self.assertEqual((folder / "out/below/file").read_bytes(), b"\0content" * 1000)
        self.assertEqual([path.name for path in (folder / "out").iterdir()], ["below"])

    def test_paths_in_a_job(self):
        job = {"kernel": "/bin/sh", "guests": [{"folder": ".", "initrd": "/no/such"}, {"initrd": "/etc"}]}
        self.assertEqual(host_disk.paths_in(job), [Path("/bin/sh"), Path("/etc")])


class ModulesTest(unittest.TestCase):
    def tree(self, **modules):
        folder = Path(self.enterContext(tempfile.TemporaryDirectory()))
        for name, depends in modules.items():
            (folder / f"{name}.ko").write_bytes(b"\0.rela.init.text\0depends=" + depends.encode() + b"\0")
        return ModuleTree(folder)

    def test_needed_modules_come_first(self):
        self.assertEqual(self.tree(zram="zsmalloc", zsmalloc="").load_order(["zram"]), ["zsmalloc", "zram"])

    def test_only_independent_modules_are_loaded_together(self):
        target = Path(self.enterContext(tempfile.TemporaryDirectory()))
        order = choose(self.tree(zram="zsmalloc", zsmalloc="", dummy="", tun=""), target)
        self.assertEqual(order, [["dummy", "tun"], ["zsmalloc"], ["zram"]])
        self.assertEqual(len(list(target.glob("*.ko"))), 4)


class EmulatorFailedTest(unittest.TestCase):
    """What the emulator is blamed for, and what not."""

    def test_stack_that_ends_where_gs_is_used_first(self):
        """As seen on 2026-11-25 with two guests, one of them libguestfs' appliance."""
        log = (
            "[  215.309709] BUG: TASK stack guard page was hit at 0000000088f64bff (stack is 000000008e6d6214..0000000)\n"
            "[  215.309709] stack guard page: 0000 [#1] PREEMPT SMP NOPTI\n"
            "[  215.309709] CPU: 0 PID: 1466 Comm: qemu-system-x86 Tainted: G           OE      6.1.0-56-amd64 #1\n"
            "[  215.309709] Hardware name: QEMU Standard PC (i440FX + PIIX, 1996)\n"
            "[  215.309709] RIP: 0010:error_entry+0xb5/0x130\n"
        )
        self.assertTrue(emulator_failed(log))
        # on 2026-11-26, with twenty guests
        for name in ("exc_page_fault+0x15/0x170", "asm_exc_page_fault+0x4/0x30"):
            self.assertTrue(emulator_failed(log.replace("error_entry+0xb5/0x130", name)))
        self.assertFalse(emulator_failed(log.replace("error_entry+", "lac_engine_event+")))

    def test_triple_fault_of_the_host_that_is_taken_for_the_guests(self):
        """As seen on 2026-11-25, before anything was trapped in the guest."""
        log = (
            "[  242.048853] Kernel panic - not syncing: corrupted stack end detected inside scheduler\n"
            "[  242.051873] Call Trace:\n"
            "[  242.052419]  <TASK>\n"
            "[  242.052419]  kvm_vcpu_reset+0x7a/0x5b0 [kvm]\n"
            "[  242.052419]  shutdown_interception+0x55/0x80 [kvm_amd]\n"
        )
        self.assertTrue(emulator_failed(log))
        self.assertFalse(emulator_failed(log.replace("shutdown_interception", "npf_interception")))

    def test_triple_fault_that_a_vmms_thread_comes_back_with(self):
        """As seen on 2026-11-28, in a thread that writes to an eventfd: once, since it could be ours."""
        log = (
            "[   74.540565] Kernel panic - not syncing: corrupted stack end detected inside scheduler\n"
            "[   74.541165] CPU: 0 PID: 136 Comm: qemu-system-x86 Tainted: G           OE      6.1.0-56-amd64 #1  Debian 6.1.192-2\n"
            "[   74.541711] Call Trace:\n"
            "[   74.543550]  schedule+0x5a/0xd0\n"
            "[   74.543550]  exit_to_user_mode_prepare+0x17c/0x240\n"
        )
        self.assertTrue(emulator_failed(log))
        self.assertFalse(emulator_failed(log, again=True))
        self.assertFalse(emulator_failed(log.replace("qemu-system-x86", "lacunad")))

    def test_guest_with_the_hosts_registers(self):
        self.assertTrue(emulator_failed(f"[  5.0] {lost_guest.MESSAGE} __svm_vcpu_run\n"))

    def test_guest_that_cannot_fetch(self):
        """As seen on 2026-11-28, at a guest's instruction behind WRMSR; a second time it is not the emulator's."""
        line = "qemu-1 [000] ..... 23.9: kvm_exit: vcpu 0 reason shutdown rip 0xffffffffa987e916 info1 0x0000000000000000 info2 0x0000000000000000 intr_info 0x80000b0e error_code 0x00000010"
        self.assertTrue(lost_guest.FETCHES.search(line))
        self.assertFalse(lost_guest.FETCHES.search(line.replace("rip 0xffffffffa987e916", "rip 0x0000000000000000")))
        self.assertFalse(lost_guest.FETCHES.search(line.replace("0x80000b0e", "0x80000306")))
        self.assertTrue(emulator_failed(f"[  5.0] {lost_guest.FETCH_MESSAGE}\n"))
        self.assertFalse(emulator_failed(f"[  5.0] {lost_guest.FETCH_MESSAGE}\n", again=True))

    def test_where_guests_were(self):
        line = "qemu-1 [001] ..... 9.0: kvm_exit: vcpu 0 reason shutdown rip 0xffffffffc0a05b5a info1 0x0 info2 0x0\n"
        self.assertEqual(lost_guest.pointers(f"# tracer: nop\n{line}"), {0xFFFFFFFFC0A05B5A})

    def test_where_a_function_ends(self):
        text = "ffffffffc0000010 t __svm_vcpu_run\t[kvm_amd]\nffffffffc0000010 t again\t[kvm_amd]\nffffffffc0000000 t a\n"
        found = lost_guest.extent(f"{text}ffffffffc0000030 t b\t[kvm_amd]\n", "__svm_vcpu_run")
        self.assertEqual(found, range(0xFFFFFFFFC0000010, 0xFFFFFFFFC0000030))
        self.assertIsNone(lost_guest.extent(text, "vmx_vcpu_run"))

    def test_other_trouble_is_not(self):
        """A fault in the module is the module's."""
        self.assertFalse(emulator_failed("BUG: kernel NULL pointer dereference\nRIP: 0010:filter+0x1/0x2 [lacuna]\n"))


class PackagerTest(unittest.TestCase):
    def test_of_the_sources_only_the_build_folder_can_be_written_to(self):
        with tempfile.TemporaryDirectory() as folder:
            root, build = Path(folder) / "root", Path(folder) / "build-here"
            for name in ("bin", "dev", "proc", "tmp", "source"):
                (root / name).mkdir(parents=True)
            build.mkdir()
            (root / "bin/sh").write_bytes(Path("/bin/busybox").read_bytes())
            (root / "bin/sh").chmod(0o755)
            (root / "bin/touch").symlink_to("sh")
            (REPOSITORY / build.name).mkdir()
            try:
                inside = f"{packager.SOURCE}/{build.name}/made"
                written = subprocess.run(packager.command(root, build, [["touch", inside]]), check=False)
                outside = f"{packager.SOURCE}/made-by-a-test"
                refused = subprocess.run(packager.command(root, build, [["touch", outside]]), stderr=subprocess.PIPE, check=False)
            finally:
                (REPOSITORY / build.name).rmdir()
            self.assertEqual(written.returncode, 0)
            self.assertTrue((build / "made").exists())
            self.assertIn(b"Read-only file system", refused.stderr)
            self.assertFalse((REPOSITORY / "made-by-a-test").exists())


if __name__ == "__main__":
    unittest.main()
