# SPDX-License-Identifier: GPL-2.0-or-later
"""Messages of any shape for the module's generic netlink family: none may do more than be refused."""

import random
import socket
import struct

from . import abi

NETLINK_GENERIC, GENL_ID_CTRL, CTRL_CMD_GETFAMILY = 16, 16, 3
CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME = 1, 2
NLM_F_REQUEST, NLM_F_ACK, NLMSG_ERROR = 1, 4, 2
NLA_F_NESTED = 0x8000


def attribute(kind, content):
    """One netlink attribute, padded."""
    return struct.pack("HH", len(content) + 4, kind) + content + bytes(-len(content) % 4)


def message(family, flags, command, content):
    """One generic netlink message."""
    return struct.pack("IHHII", len(content) + 20, family, NLM_F_REQUEST | flags, 1, 0) + struct.pack(
        "BBH", command, 1, 0
    ) + content


def version():
    """The attribute without which the module reads no further."""
    return attribute(abi.number("LACUNA_A_VERSION"), struct.pack("I", abi.version()))


def family_id(link, name):
    """The number of a generic netlink family; None if there is none."""
    name = attribute(CTRL_ATTR_FAMILY_NAME, name.encode() + b"\0")
    link.send(message(GENL_ID_CTRL, 0, CTRL_CMD_GETFAMILY, name))
    answer, at = link.recv(65536), 20
    while at + 4 <= len(answer):
        length, kind = struct.unpack_from("HH", answer, at)
        if kind == CTRL_ATTR_FAMILY_ID:
            return struct.unpack_from("H", answer, at + 4)[0]
        at += max(length + 3 & ~3, 4)
    return None


def random_attributes(dice, depth=0):
    """Some attributes: right and wrong kinds, lengths and nestings."""
    content = b""
    for _ in range(dice.randrange(8)):
        kind = dice.randrange(26) | (NLA_F_NESTED if dice.random() < 0.3 else 0)
        size = dice.choice([0, 1, 2, 3, 4, 7, 8, 16, 17, 64, 512, dice.randrange(9000)])
        value = random_attributes(dice, depth + 1) if dice.random() < 0.3 and depth < 3 else dice.randbytes(size)
        # with the version they get further into the module than noise does
        content += attribute(kind, value) if dice.random() < 0.7 else version()
    return content


def error(link):
    """Read up to the acknowledgement of the last message: its errno, 0 if it was not refused."""
    while True:
        answer = link.recv(65536)
        if struct.unpack_from("H", answer, 4)[0] == NLMSG_ERROR:
            return -struct.unpack_from("i", answer, 16)[0]


def send(number, seed=1):
    """Send so many messages; returns how many the kernel refused."""
    dice, refused = random.Random(seed), 0
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC) as link:
        link.settimeout(5)
        family = family_id(link, "lacuna")
        for _ in range(number):
            content = random_attributes(dice)
            if dice.random() < 0.1:
                content = content[: dice.randrange(len(content) + 1)]
            link.send(message(family, NLM_F_ACK, dice.randrange(12), content))
            refused += error(link) != 0
    return refused
