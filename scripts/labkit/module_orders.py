# SPDX-License-Identifier: GPL-2.0-or-later
"""Orders to the module past lacunad, and what the module says of its guests."""

import socket
import struct

from .abi import number, stats_names
from .netlink_noise import NETLINK_GENERIC, NLA_F_NESTED, NLM_F_ACK, attribute, error, family_id, message, version

NLM_F_DUMP, NLMSG_DONE = 0x300, 3

def u8(name, value):
    """An attribute of one byte."""
    return attribute(number(name), struct.pack("B", value))


def u32(name, value):
    """An attribute of four bytes."""
    return attribute(number(name), struct.pack("I", value))


def u64(name, value):
    """An attribute of eight bytes."""
    return attribute(number(name), struct.pack("Q", value))


def nested(name, content):
    """An attribute made of others."""
    return attribute(number(name) | NLA_F_NESTED, content)


class Module:
    """A socket to the module."""

    def __init__(self):
        self.link = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_GENERIC)
        self.link.settimeout(60)
        self.family = family_id(self.link, "lacuna")

    def order(self, command, content):
        """Give an order and return its errno, 0 if it was taken."""
        self.link.send(message(self.family, NLM_F_ACK, number(command), version() + content))
        return error(self.link)

    def arm(self, guest, kernel):
        """Have a guest hunted, with a kernel descriptor made of attributes."""
        content = u32("LACUNA_A_GUEST", guest) + u32("LACUNA_A_DEADLINE_MS", 600000) + nested("LACUNA_A_KERNEL", kernel)
        return self.order("LACUNA_CMD_ARM", content)

    def disarm(self, guest):
        """Have a guest let go."""
        return self.order("LACUNA_CMD_DISARM", u32("LACUNA_A_GUEST", guest))

    def guests(self):
        """{process of the VMM: (number, state, stats)} of all guests."""
        self.link.send(message(self.family, NLM_F_DUMP, number("LACUNA_CMD_STATUS"), version()))
        found = {}
        while True:
            answer, at = self.link.recv(1 << 20), 0
            while at < len(answer):
                length, kind = struct.unpack_from("IH", answer, at)
                if kind == NLMSG_DONE:
                    return found
                words = attributes(answer[at + 20 : at + length])
                counts = struct.iter_unpack("Q", words[number("LACUNA_A_STATS")])
                stats = dict(zip(stats_names(), (count for (count,) in counts), strict=True))
                (one,) = struct.unpack("I", words[number("LACUNA_A_GUEST")])
                (pid,) = struct.unpack("I", words[number("LACUNA_A_VMM_PID")])
                found[pid] = (one, words[number("LACUNA_A_STATE")][0], stats)
                at += length + 3 & ~3


def attributes(content):
    """{kind: content} of a row of attributes."""
    found, at = {}, 0
    while at + 4 <= len(content):
        length, kind = struct.unpack_from("HH", content, at)
        found[kind & 0x3FFF] = content[at + 4 : at + length]
        at += max(length + 3 & ~3, 4)
    return found
