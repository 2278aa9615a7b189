# SPDX-License-Identifier: GPL-2.0-or-later
"""Judging a profile without knowing the true offsets: by what is found at these in a guest that runs.

The lists rebuilt with them must be the guest's own, a thread must have its own number and not its process's, the bounds of code
must be those that /proc/<pid>/stat tells, a process's program must be seen through its page tables, and a module's text be as
large as its file says.
"""

import re
import struct

from .base import run
from .guest_memory import PAGE, GuestMemory, copied

# Members, and what in an observation speaks for them.
WITNESSES = {
    "task_struct.tasks": "processes",
    "task_struct.pid": "threads",
    "task_struct.comm": "processes",
    "task_struct.mm": "processes",
    "mm_struct.pgd": "program",
    "mm_struct.start_code": "start_code",
    "mm_struct.end_code": "end_code",
    "module.name": "modules",
    "module.module_core": "modules",
    "module.core_text_size": "text",
}
FIXED = ("resolved", "tied")
SAMPLE = 64  # bytes of a program
COMM_SIZE = 16  # TASK_COMM_LEN, include/linux/sched.h


def observe(guest, file, facts, profile, lists, job):
    """What a settled guest shows: {witness: True, False, or None where nothing can be said}, and what that rests on.

    `facts` and `profile` are Lacuna's; `lists` {"processes": equal, "modules": equal}; `job` names the guest's first program and
    how large the text of each module may be.
    """
    offsets = {
        f"{structure}.{name}": member["offset"]
        for structure, members in profile["members"].items()
        for name, member in members.items()
        if member["state"] in FIXED
    }
    view = guest.console.views()[-1][1]
    root = int(facts["addresses"]["page_table_gpa"], 16)
    memory = GuestMemory(copied(guest, file), facts["paging"], root)
    seen = {"processes": lists.get("processes"), "modules": lists.get("modules") if view["modules"] else None}
    seen["no_modules"] = guest.console.said("LACUNA-GUEST NO-MODULES")
    mms = memory_descriptors(memory, int(facts["addresses"]["init_task"], 16), offsets)
    seen["threads"] = lists.get("processes") and threads(memory.image, view["threads"], offsets)
    seen["code"] = code(memory, mms, offsets, view["code"])
    for number, name in enumerate(("start_code", "end_code")):
        pairs = [(entry["guest"][number], entry["outside"][number]) for entry in seen["code"]]
        told = [inside == outside for inside, outside in pairs if outside is not None]
        seen[name] = all(told) if told else None
    seen["program"] = program(memory, mms.get(1), offsets, view["code"].get(1), job["program"])
    if "module.core_text_size" in offsets and "module.name" in offsets and view["modules"]:
        seen["texts"] = texts(memory, int(facts["addresses"]["modules"], 16), offsets, job["texts"])
        known = [entry for entry in seen["texts"] if entry["expected"]]
        seen["text"] = all(entry["expected"][0] <= entry["found"] <= entry["expected"][1] for entry in known) if known else None
    return seen


def memory_descriptors(memory, init_task, offsets):
    """{pid: address of its mm_struct, 0 of a kernel's thread} of all processes, if the offsets are known that it takes."""
    if not {"task_struct.tasks", "task_struct.pid", "task_struct.mm"} <= set(offsets):
        return {}
    tasks = [node - offsets["task_struct.tasks"] for node in memory.ring(init_task + offsets["task_struct.tasks"])]
    return {
        memory.number(task + offsets["task_struct.pid"], 4): memory.number(task + offsets["task_struct.mm"]) for task in tasks
    }


def threads(image, told, offsets):
    """Whether a thread that is no leader is found by its name with its own number; None if there is none."""
    if not told or not {"task_struct.pid", "task_struct.comm"} <= set(offsets):
        return None
    tid, comm = told[0]
    name, numbers, at = comm.encode().ljust(COMM_SIZE, b"\0"), set(), -1
    while (at := image.find(name, at + 1)) >= 0:
        place = at + offsets["task_struct.pid"] - offsets["task_struct.comm"]
        numbers.add(int.from_bytes(image[max(place, 0) : place + 4], "little"))
    return tid in numbers


def code(memory, mms, offsets, told):
    """Where the code of processes is, as the guest tells it and as it is found."""
    found = []
    for pid, bounds in told.items():
        if mms.get(pid):
            places = (offsets.get(f"mm_struct.{name}") for name in ("start_code", "end_code"))
            outside = [place if place is None else memory.number(mms[pid] + place) for place in places]
            found.append({"pid": pid, "guest": bounds, "outside": outside})
    return found


def program(memory, mm, offsets, bounds, file):
    """Whether a program is seen where its code begins through the page tables of its process; None if that cannot be tried."""
    if not mm or not bounds or not file or "mm_struct.pgd" not in offsets:
        return None
    pgd = memory.number(mm + offsets["mm_struct.pgd"])
    root = pgd and memory.translate(pgd)
    if root is None:
        return False
    return memory.under(root).read(bounds[0], SAMPLE) == of_program(file, bounds[0], SAMPLE)


def of_program(file, address, size):
    """The bytes that an ELF file has for an address when it is started."""
    with open(file, "rb") as stream:
        image = stream.read()
    wide = image[4] == 2  # EI_CLASS: ELFCLASS64
    at, (step, count) = struct.unpack_from("<Q" if wide else "<I", image, 32 if wide else 28)[0], struct.unpack_from(
        "<HH", image, 54 if wide else 42
    )
    for number in range(count):
        # p_offset, p_vaddr, p_filesz
        offset, start, length = struct.unpack_from("<8xQQ8xQ" if wide else "<4xII4xI", image, at + number * step)
        is_loaded = struct.unpack_from("<I", image, at + number * step)[0] == 1  # PT_LOAD
        if is_loaded and start <= address and address + size <= start + length:
            return image[offset + address - start :][:size]
    return None


def texts(memory, modules, offsets, expected):
    """Each module's size of text, with the range that its file allows."""
    found = []
    for node in memory.ring(modules):
        name = (memory.read(node + offsets["module.name"], 56) or b"").split(b"\0")[0].decode(errors="replace")
        size = memory.number(node + offsets["module.core_text_size"], 4)
        found.append({"module": name, "found": size, "expected": expected.get(name)})
    return found


def text_range(file):
    """(least, most) bytes that a module's text may have, by the sections of its file: [] if it has none.

    Without CONFIG_MODULE_UNLOAD the code for removing it counts as code that is thrown away; kernels with read-only text round up.
    """
    table = run(["readelf", "--sections", "--wide", file])
    found = re.findall(r"\] (\S+) +PROGBITS +[0-9a-f]+ [0-9a-f]+ ([0-9a-f]+) [0-9a-f]+ +(\w+)", table)
    sizes = {name: int(size, 16) for name, size, flags in found if "A" in flags and "X" in flags}
    kept = sum(size for name, size in sizes.items() if not name.startswith((".init", ".exit")))
    most = sum(-(-size // 64) * 64 for name, size in sizes.items() if not name.startswith(".init"))
    return [kept, -(-most // PAGE) * PAGE]


def judge(profile, seen, untaught=()):
    """The verdict on a profile, or on None, by an observation: as judge.judge(), with unproven where nothing speaks for or against."""
    found = (profile or {}).get("members", {})
    members = {}
    for name, witness in WITNESSES.items():
        structure, member = name.split(".")
        entry = found.get(structure, {}).get(member)
        members[name] = {**judge_member(entry, structure, seen.get(witness), seen.get("no_modules")), "witness": witness}
        members[name]["may_be_open"] = structure in untaught
    return members


def judge_member(member, structure, witness, no_modules):
    """The verdict on one member: its entry (None if there is none), and what speaks for it."""
    state = member["state"] if member else "missing"
    if state == "absent":
        return {"verdict": "right" if structure == "module" and no_modules else "wrong", "found": "absent"}
    if state not in FIXED:
        return {"verdict": state, "found": None}
    verdict = {True: "right", False: "wrong", None: "unproven"}[witness]
    tie = {"tie": member["candidates"]} if state == "tied" else {}
    return {"verdict": verdict, "found": member["offset"], **tie}
