# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel's full symbol file for Volatility, made from its BTF: what those of Lacuna are compared with."""

import base64
import json
import tempfile
from pathlib import Path

from .base import run

# Of these symbols Volatility wants to know what they are; in BTF only those of a processor stand.
TYPES = {
    "init_task": "task_struct",
    "init_mm": "mm_struct",
    "init_files": "files_struct",
    "init_pid_ns": "pid_namespace",
    "net_namespace_list": "list_head",
    "modules": "list_head",
    "super_blocks": "list_head",
    "prog_idr": "idr",
    "iomem_resource": "resource",
    "mod_tree": "mod_tree_root",
    "socket_file_ops": "file_operations",
    "sockfs_dentry_operations": "dentry_operations",
    "cap_last_cap": "int",
}
QUALIFIERS = ("TYPEDEF", "CONST", "VOLATILE", "RESTRICT", "TYPE_TAG")
POINTERS = {"module_kset": "kset", "prb": "printk_ringbuffer"}


class Types:
    """What `bpftool btf dump -j` says, as ISF has it."""

    def __init__(self, types):
        self.types = {entry["id"]: entry for entry in types}

    def resolved(self, number):
        """The type itself, not what else it is called."""
        while number and self.types[number]["kind"] in QUALIFIERS:
            number = self.types[number]["type_id"]
        return self.types.get(number)

    def only_name(self, entry):
        """The structure that has no name but by this typedef (kernel_cap_t); BTF has those that look alike once."""
        inner = self.resolved(entry["type_id"]) if entry["kind"] == "TYPEDEF" else None
        return inner if inner and inner["kind"] in ("STRUCT", "UNION") and inner["name"] in ("", "(anon)") else None

    def reference(self, number):
        """How ISF refers to a type."""
        while number and self.types[number]["kind"] in QUALIFIERS:
            if inner := self.only_name(self.types[number]):
                return {"kind": inner["kind"].lower(), "name": self.types[number]["name"]}
            number = self.types[number]["type_id"]
        entry = self.resolved(number)
        if entry is None:
            return {"kind": "base", "name": "void"}
        kind = entry["kind"]
        if kind == "PTR":
            return {"kind": "pointer", "subtype": self.reference(entry["type_id"])}
        if kind == "ARRAY":
            return {"kind": "array", "count": entry["nr_elems"], "subtype": self.reference(entry["type_id"])}
        if kind in ("STRUCT", "UNION"):
            return {"kind": kind.lower(), "name": self.name_of(entry)}
        if kind == "FWD":
            return {"kind": entry["fwd_kind"], "name": entry["name"]}
        if kind in ("ENUM", "ENUM64"):
            return {"kind": "enum", "name": self.name_of(entry)}
        if kind in ("FUNC_PROTO", "FUNC"):
            return {"kind": "function"}
        return {"kind": "base", "name": entry["name"]}

    @staticmethod
    def name_of(entry):
        """Its own name, or one made up for what has none."""
        name = entry["name"]
        return name if name and name != "(anon)" else f"unnamed_{entry['id']}"

    def fields(self, entry, base=0):
        """Its members, and those of what has no name in it."""
        fields = {}
        for member in entry.get("members", []):
            bits = base + member["bits_offset"]
            inner = self.resolved(member["type_id"])
            if member["name"] in ("", "(anon)"):
                fields |= self.fields(inner, bits)
                continue
            kind = self.reference(member["type_id"])
            size = member.get("bitfield_size")
            if size:
                width = 8 * inner.get("size", 4)
                kind = {"kind": "bitfield", "bit_position": bits % width, "bit_length": size, "type": kind}
                bits -= bits % width
            fields[member["name"]] = {"offset": bits // 8, "type": kind}
        return fields

    def structures(self):
        """All structures and unions, by name."""
        found = {}
        for entry in self.types.values():
            inner = entry if entry["kind"] in ("STRUCT", "UNION") else self.only_name(entry)
            if inner:
                one = {"size": inner["size"], "kind": inner["kind"].lower(), "fields": self.fields(inner)}
                found.setdefault(entry["name"] if inner is not entry else self.name_of(entry), one)
        return found

    def enumerations(self):
        """All enumerations, by name."""
        return {
            self.name_of(entry): {
                "size": entry["size"],
                "base": {1: "unsigned char", 8: "long unsigned int"}.get(entry["size"], "unsigned int"),
                "constants": {value["name"]: value["val"] for value in entry.get("values", [])},
            }
            for entry in self.types.values()
            if entry["kind"] in ("ENUM", "ENUM64")
        }

    def base_types(self):
        """What all else is made of."""
        found = {
            "void": {"size": 0, "signed": False, "kind": "void", "endian": "little"},
            "pointer": {"size": 8, "signed": False, "kind": "int", "endian": "little"},
        }
        for entry in self.types.values():
            if entry["kind"] not in ("INT", "FLOAT"):
                continue
            kind = {"CHAR": "char", "BOOL": "bool"}.get(entry.get("encoding"), "int")
            kind = "char" if entry["name"] in ("char", "unsigned char") else "float" if entry["kind"] == "FLOAT" else kind
            signed = entry.get("encoding") == "SIGNED" or entry["name"] == "char"
            found[entry["name"]] = {"size": entry["size"], "signed": signed, "kind": kind, "endian": "little"}
        return found


def full_isf(btf_tool, vmlinuz, symbols, banner):
    """`symbols`: {name: linked address}."""
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "btf"
        run([btf_tool, vmlinuz, "--raw", raw])
        dump = run(["bpftool", "btf", "dump", "file", raw, "-j"], hint="install bpftool")
    types = Types(json.loads(dump)["types"])
    structures = types.structures()
    found = {name: {"address": address} for name, address in symbols.items()}
    for names, wrap in ((TYPES, lambda one: one), (POINTERS, lambda one: {"kind": "pointer", "subtype": one})):
        for name, structure in names.items():
            if name in found:
                kind = "struct" if structure in structures else "base"
                found[name]["type"] = wrap({"kind": kind, "name": structure})
    for symbol in found.values():
        symbol.setdefault("type", {"kind": "base", "name": "void"})  # as other makers of such files do: else they are no objects
    # An array whose length BTF does not tell; without it Volatility takes its own list.
    found.pop("taint_flags", None)
    found["linux_banner"] |= {
        "type": {"kind": "array", "count": len(banner), "subtype": {"kind": "base", "name": "char"}},
        "constant_data": base64.b64encode(banner.encode()).decode(),
    }
    return {
        "metadata": {"format": "6.2.0", "producer": {"name": "btf", "version": "1"}},
        "base_types": types.base_types(),
        "user_types": structures,
        "enums": types.enumerations(),
        "symbols": found,
    }
