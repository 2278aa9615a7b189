# SPDX-License-Identifier: GPL-2.0-or-later
"""Comparing what lacunactl tells of processes, files, memory, sockets and mounts with what /proc tells in the guest.

Each comparison is {"compared": n, "differences": [...]}; n: how many things both have told of. The guest's telling is described
in tests/lab/guest/view.h.
"""

import re
import socket
import struct

DETAIL = re.compile(r"^LACUNA-DETAIL BEGIN\n(.*?)^LACUNA-DETAIL END\n", re.M | re.S)
TICK = 10_000_000  # nanoseconds
TCP_STATES = {1: "established", 7: "closed", 8: "close-wait", 10: "listening"}
UNIX_TYPES = {1: "stream", 2: "datagram", 5: "packets"}


def parse(text):
    """What the guest has told, by kind; None if it has not (yet)."""
    found = DETAIL.search(text)
    if not found:
        return None
    told = {}
    for line in found.group(1).splitlines():
        word, _, rest = line.partition(" ")
        told.setdefault(word, []).append(rest.split())
    return told


def texts(field):
    """The texts of a field, each of which has ended with a bar."""
    return [] if field == "-" else field.removesuffix("|").split("|")


def outcome(inside, outside):
    """The comparison of two dictionaries."""
    both = inside.keys() & outside.keys()
    differences = [f"{key}: guest {inside[key]}, lacunactl {outside[key]}" for key in sorted(both, key=str) if inside[key] != outside[key]]
    differences += [f"only in the guest: {key}" for key in sorted(inside.keys() - both, key=str)]
    differences += [f"only outside: {key}" for key in sorted(outside.keys() - both, key=str)]
    return {"compared": len(both), "differences": differences}


def processes(told, answer):
    """Parents, users, threads, starts and arguments. What lacunactl cannot tell is not compared, but said."""
    inside, outside = {}, {}
    for pid, parent, uid, threads, start, arguments, _ in told["process"]:
        inside[int(pid)] = [int(parent), int(uid), int(threads), int(start), texts(arguments)]
    for one in answer["processes"]:
        if one["pid"] not in inside:
            continue  # one that has come since
        seen = [
            one["ppid"],
            one["uid"],
            None if one["threads"] is None else len(one["threads"]) + 1,
            None if one["start_ns"] is None else one["start_ns"] // TICK,
            [argument.replace(" ", "_") for argument in one["command"] or []],
        ]
        outside[one["pid"]] = [mine if theirs is None else theirs for mine, theirs in zip(inside[one["pid"]], seen)]
    return outcome({pid: inside[pid] for pid in outside}, outside)


def environments(told, answers):
    """{pid: answer of env}."""
    inside = {int(one[0]): texts(one[6]) for one in told["process"] if int(one[0]) in answers}
    outside = {pid: [text.replace(" ", "_") for text in answer["environment"]] for pid, answer in answers.items()}
    return outcome(inside, outside)


def files(told, answer):
    """Where each descriptor leads; sockets and pipes have numbers inside, and so are compared by their kind."""
    kinds = {"socket": "socket", "pipe": "pipe", "anon_inode": "anonymous"}
    inside, outside = {}, {}
    for pid, fd, *link in told["file"]:
        special = kinds.get(" ".join(link).partition(":")[0])
        inside[int(pid), fd] = special or " ".join(link)
    for one in answer["files"]:
        key = one["pid"], str(one["fd"])
        outside[key] = one["kind"] if one["kind"] in kinds.values() else one["path"]
    # the first process reads /proc while it tells this
    mine = {key for key in inside if key[0] == 1 and key[1].isdigit() and int(key[1]) > 2}
    return outcome({key: value for key, value in inside.items() if key not in mine}, outside)


def areas(told, answers):
    """{pid: answer of maps}; what has come since is the first process's own."""
    inside, outside = {}, {}
    for pid, start, end, rights, what in told["area"]:
        if int(pid) in answers and int(pid) != 1:
            named = what if what.startswith("/") or what in ("[heap]", "[stack]", "[vdso]") else None
            inside[int(pid), int(start, 16)] = [int(end, 16), rights, named]
    for pid, answer in answers.items():
        for one in answer["areas"] if pid != 1 else ():
            outside[pid, int(one["start"], 16)] = [int(one["end"], 16), one["rights"], one["path"]]
    # which no vm_area_struct of the process's tells
    return outcome({key: value for key, value in inside.items() if key[1] < 1 << 63}, outside)


def address4(text):
    """As /proc/net has it: a word of the processor's, and a port."""
    address, port = text.split(":")
    return socket.inet_ntop(socket.AF_INET, struct.pack("<I", int(address, 16))) + ":" + (str(int(port, 16)) if int(port, 16) else "*")


def address6(text):
    """Four such words."""
    address, port = text.split(":")
    packed = b"".join(struct.pack("<I", int(address[i : i + 8], 16)) for i in range(0, 32, 8))
    return f"[{socket.inet_ntop(socket.AF_INET6, packed)}]:" + (str(int(port, 16)) if int(port, 16) else "*")


def sockets(told, answer):
    """Those of the Internet by their two ends and their state, those of Unix that have a name by that."""
    inside, outside = [], []
    for name, *fields in told.get("socket", ()):
        if name == "unix":
            if len(fields) > 7:
                inside.append(("unix", UNIX_TYPES[int(fields[4], 16)], fields[7]))
            continue
        ends = [(address6 if name.endswith("6") else address4)(field) for field in fields[1:3]]
        state = TCP_STATES.get(int(fields[3], 16), fields[3])
        inside.append((name.removesuffix("6"), *ends, state))
    for one in answer["sockets"]:
        if one["family"] == "unix" and one["local"]:
            outside.append(("unix", one["type"], one["local"]))
        elif one["family"] in ("inet", "inet6") and one["protocol"][:3] in ("TCP", "UDP"):
            outside.append((one["protocol"][:3].lower(), one["local"], one["remote"], one["state"]))
    count = lambda entries: {entry: entries.count(entry) for entry in entries}
    return outcome(count(inside), count(outside))


def mountinfo(told):
    """The lines of /proc/1/mountinfo: (id, parent, device, root, path, options, propagation, file system, source); see proc(5)."""
    for number, parent, device, root, path, options, *more in told["mountinfo"]:
        end = more.index("-")
        yield int(number), int(parent), device, root, path, sorted(options.split(",")), more[:end], more[end + 1], more[end + 2]


def mounts(told, answer):
    """Where what is mounted, and how, as far as that can be told."""
    inside, outside = {}, {}
    for *_, path, options, _, kind, source in mountinfo(told):
        inside.setdefault((path, kind), []).append([source, options])
    for one in answer["mounts"]:
        like = inside.get((one["path"], one["file_system"]), [[None, None]])[-1]
        seen = one["source"], one["options"] and sorted(one["options"])
        outside.setdefault((one["path"], one["file_system"]), []).append([mine if theirs is None else theirs for mine, theirs in zip(like, seen)])
    return outcome(inside, outside)


def modules(told, answer):
    """Their sizes and taints, as far as they can be told. Inside an init part that has yet to go is counted in."""
    inside = {name: [int(size), sorted(taints.strip("()"))] for name, size, _, taints in told.get("module", ())}
    outside = {}
    for one in answer["modules"]:
        seen = one["size"], None if one["taints"] is None else sorted(one["taints"])
        like = inside.get(one["name"], [None, None])
        outside[one["name"]] = [mine if theirs is None else theirs for mine, theirs in zip(like, seen)]
    return outcome(inside, outside)


def compare(text, ask):
    """All of it: {what: comparison}; `ask(words...)` is lacunactl's answer, or None. None: the guest has told nothing."""
    told = parse(text)
    if told is None:
        return None
    users = sorted({int(pid) for pid, *_ in told["file"]})
    by_process = {word: {pid: ask(word, pid) for pid in users} for word in ("maps", "env")}
    compared = {
        "ps -f": (processes, ask("ps", "-f")),
        "lsof": (files, ask("lsof")),
        "ss": (sockets, ask("ss")),
        "mounts": (mounts, ask("mounts")),
        "lsmod": (modules, ask("lsmod")),
        "maps": (areas, by_process["maps"]),
        "env": (environments, by_process["env"]),
    }
    result = {}
    for what, (comparison, answer) in compared.items():
        failed = answer is None or (what in by_process and None in answer.values())
        result[what] = {"compared": 0, "differences": ["lacunactl has told nothing"]} if failed else comparison(told, answer)
        if not failed and what not in by_process:
            result[what]["lacks"] = answer.get("lacks", {})
    return result
