# SPDX-License-Identifier: GPL-2.0-or-later
"""What Volatility's plugins print against what the guest has told of itself in detail: see detail.py, whose comparisons these are."""

from .detail import mountinfo, outcome, texts

KINDS = {"socket": "socket", "pipe": "pipe", "anon_inode": "anonymous"}


def arguments(told, rows):
    """psaux; of threads of the kernel the guest has told none."""
    inside = {int(one[0]): "_".join(texts(one[5])) for one in told["process"] if one[5] != "-"}
    outside = {row["PID"]: row["ARGS"].replace(" ", "_") for row in rows if row["PID"] in inside}
    return outcome(inside, outside)


def environments(told, rows):
    """envars."""
    inside = {int(one[0]): sorted(texts(one[6])) for one in told["process"] if texts(one[6])}
    outside = {}
    for row in rows:
        outside.setdefault(row["PID"], []).append(f"{row['KEY']}={row['VALUE']}".replace(" ", "_"))
    return outcome(inside, {pid: sorted(found) for pid, found in outside.items()})


def files(told, rows):
    """lsof: where each descriptor leads; sockets and pipes have numbers, and so are compared by their kind."""

    def plain(path):
        return KINDS.get(path.partition(":")[0], path)

    inside = {(int(pid), int(fd)): plain(" ".join(link)) for pid, fd, *link in told["file"] if fd.isdigit()}
    outside = {(row["PID"], row["FD"]): plain(row["Path"]) for row in rows if row["PID"] == row.get("TID", row["PID"])}
    mine = {key for key in inside.keys() | outside.keys() if key[0] == 1 and key[1] > 2}  # the first process reads /proc while it tells this
    return outcome(*({key: value for key, value in side.items() if key not in mine} for side in (inside, outside)))


def areas(told, rows):
    """proc.Maps; what has come since is the first process's own."""
    inside, outside = {}, {}
    for pid, start, end, rights, path in told["area"]:
        if int(pid) != 1 and int(start, 16) < 1 << 63:  # above is what no vm_area_struct of the process's tells
            inside[int(pid), int(start, 16)] = [int(end, 16), rights[:3], path if path.startswith("/") else None]
    for row in rows:
        if row["PID"] != 1:
            path = row["File Path"]
            outside[row["PID"], row["Start"]] = [row["End"], row["Flags"], path if path.startswith("/") else None]
    return outcome(inside, outside)


def mounts(told, rows):
    """mountinfo; the guest has told of the mounts that its first process sees, and not what file systems say of themselves."""
    inside = {number: [*rest] for number, *rest in mountinfo(told)}
    outside = {}
    for row in rows:
        words = row["PARENT_ID"], row["MAJOR:MINOR"], row["ROOT"], row["MOUNT_POINT"]
        fields = sorted(row["MOUNT_OPTIONS"].split(",")), row["FIELDS"].split(), row["FSTYPE"], row["MOUNT_SRC"]
        if row["MOUNT ID"] in inside:
            outside[row["MOUNT ID"]] = [*words, *fields]
    return outcome(inside, outside)


BY_DETAIL = {"psaux": arguments, "envars": environments, "lsof": files, "proc": areas, "mountinfo": mounts}
