# SPDX-License-Identifier: GPL-2.0-or-later
"""What <lacuna/abi.h> says, for those who talk to the module past lacunad: read out of it, since it changes."""

import functools
import re

from .base import REPOSITORY


@functools.cache
def text():
    """The header without its comments."""
    return re.sub(r"/\*.*?\*/", "", (REPOSITORY / "include/lacuna/abi.h").read_text(encoding="utf-8"), flags=re.S)


@functools.cache
def number(name):
    """The value of an enumerator."""
    for body in re.findall(r"enum \w+ \{(.*?)\}", text(), re.S):
        names = [word.strip() for word in body.split(",")]
        if name in names:
            return names.index(name)
    raise KeyError(name)


def version():
    """Of the interface."""
    return int(re.search(r"#define LACUNA_ABI_VERSION (\d+)", text())[1])


@functools.cache
def stats_names():
    """What each u64 of struct lacuna_stats is; of an array there is one name for each element."""
    body = re.search(r"struct lacuna_stats \{(.*?)\};", text(), re.S)[1]
    members = re.findall(r"__u64 (\w+)(?:\[(\w+)\])?;", body)
    return [f"{name}{index}" for name, length in members for index in (range(number(length)) if length else ("",))]
