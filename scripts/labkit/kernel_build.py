# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest kernels that no package holds: Debian's kernel source, built with another configuration or a patch."""

import json
import os
import re
import shutil
from pathlib import Path

from . import cache, truth
from .base import REPOSITORY, LabError, plain_environment, run, say
from .kernel_headers import GCC
from .kernel_source import KernelSource

KERNELS = REPOSITORY / "tests/lab/kernels"
BASE = KERNELS / "base.config"
# What marks a kernel's name as one of these.
BUILT = "built:"
SOURCE = ("bookworm", "linux-source-6.1")
# A kernel says by whom, where and when it was built: the same for everybody, so that builds can be compared.
SIGNATURE = {
    "KBUILD_BUILD_USER": "lab",
    "KBUILD_BUILD_HOST": "lacuna",
    "KBUILD_BUILD_TIMESTAMP": "2026-01-01",
    "KBUILD_BUILD_VERSION": "1",
}


class BuiltKernel:
    """A kernel of kernels.json. After build(): `vmlinuz`, `modules` (/lib/modules/RELEASE), `release`, `truth`, and `headers` to compile against.

    And `system_map` of one that has no symbol table of its own, else None.
    """

    def __init__(self, name):
        variants = known()
        if name not in variants:
            raise LabError(f"no kernel {name} in {KERNELS / 'kernels.json'}: one of {', '.join(variants)}")
        self.name, self.variant = name, variants[name]
        self.source = KernelSource(*self.variant.get("source", SOURCE))
        self.more = [KERNELS / self.variant["host"]] if "host" in self.variant else []
        files = [BASE, truth.SOURCE, *self.more, *self._patch()]
        self.tools = tools(self.variant.get("compiler"))
        inputs = [self.variant, self.source.version, cache.hash_files(files), compiler_version(self.variant.get("compiler", "gcc"))]
        self._cached = (f"kernel-{name}", inputs, self._build)

    def is_built(self):
        """Whether it is in the cache."""
        return cache.place(*self._cached).is_dir()

    def build(self):
        """Build it if it is not in the cache; returns itself."""
        self.folder = cache.folder(*self._cached)
        self.vmlinuz = self.folder / "vmlinuz"
        self.release = (self.folder / "release").read_text()
        self.modules = self.folder / "lib/modules" / self.release
        self.headers = self.folder / "source/objects"
        self.truth = json.loads((self.folder / "truth.json").read_text())
        has_table = options((self.folder / "config").read_text()).get("CONFIG_KALLSYMS") == "y"
        self.system_map = None if has_table else self.folder / "System.map"
        return self

    def _patch(self):
        return [KERNELS / self.variant["patch"]] if "patch" in self.variant else []

    def _build(self, folder):
        # Hard links: what is changed here is written anew, and the other builds keep what they have.
        # The objects lie inside, where the kernel's build calls its source "..", whatever the folder is called.
        tree, objects = folder / "source", folder / "source/objects"
        run(["cp", "-al", self.source.folder(), tree])
        objects.mkdir()
        self._change(tree)
        self._configure(tree, objects)
        say(f"building the kernel {self.name}: some minutes")
        with_modules = options((objects / ".config").read_text()).get("CONFIG_MODULES") == "y"
        self._make(objects, "bzImage", *(["modules"] if with_modules else []), f"-j{os.cpu_count()}")
        if with_modules:
            self._make(objects, "modules_install", f"INSTALL_MOD_PATH={folder}", "INSTALL_MOD_STRIP=1", "DEPMOD=true")
        release = self._make(objects, "-s", "kernelrelease").strip()
        shutil.copyfile(objects / "arch/x86/boot/bzImage", folder / "vmlinuz")
        shutil.copyfile(objects / "System.map", folder / "System.map")
        shutil.copyfile(objects / ".config", folder / "config")
        (folder / "release").write_text(release)
        (folder / "truth.json").write_text(json.dumps(truth.compiled(objects, folder / "truth", self.tools), indent=1))
        for name in ("source", "build"):
            (folder / "lib/modules" / release / name).unlink(missing_ok=True)
        shutil.rmtree(folder / "truth")
        forget_objects(objects)

    def _change(self, tree):
        for patch in self._patch():
            run(["patch", "--directory", tree, "--strip=1", "--fuzz=0", "--input", patch])
        if "seed" in self.variant:
            pin_seed(tree / "scripts/gen-randstruct-seed.sh", self.variant["seed"])

    def _configure(self, tree, objects):
        own = [f'LOCALVERSION="-{self.name}"', *self.variant.get("config", [])]
        asked = "".join(file.read_text() for file in (BASE, *self.more)) + "".join(f"CONFIG_{line}\n" for line in own)
        self._make(tree, "tinyconfig", f"O={objects}")
        with open(objects / ".config", "a", encoding="ascii") as config:
            config.write(asked)  # of an option set twice the later counts
        self._make(objects, "olddefconfig")
        got = options((objects / ".config").read_text())
        lost = [name for name, value in options(asked).items() if got.get(name, "n") != value]
        if lost:
            raise LabError(
                f"the kernel {self.name} does not get what its configuration asks for: {', '.join(lost)}: "
                "see what they depend on"
            )


    def _make(self, folder, *words):
        return run(["make", "-C", folder, *self.tools, *words], env=plain_environment(**SIGNATURE))


def known():
    """What can be built: {name: how}, see README.md."""
    return json.loads((KERNELS / "kernels.json").read_text())


def tools(compiler):
    """What make is told of the compiler, gcc if it is None; with "clang-16" assembler and linker are LLVM's as well."""
    return [f"LLVM=-{compiler.removeprefix('clang-')}"] if compiler else [*GCC]


def compiler_version(compiler):
    """What the compiler says of itself."""
    if not shutil.which(compiler):
        version = compiler.removeprefix("clang-")
        raise LabError(f"there is no {compiler}: apt install {compiler} lld-{version} llvm-{version}")
    return run([compiler, "--version"])


def forget_objects(folder):
    """Leave of a build what compiling against it needs: its configuration, headers it has made, and tools."""
    for file in folder.rglob("*"):
        if file.is_file() and (file.suffix in (".a", ".cmd", ".o") or file.name.startswith(("vmlinux", ".tmp_"))):
            file.unlink()


def options(text):
    """The options set in a configuration: {name: value}; those not set are left out or n."""
    return dict(re.findall(r"^(CONFIG_\w+)=(.*)$", text, re.M))


def pin_seed(script, seed):
    """Make the kernel's script that invents the seed of CONFIG_RANDSTRUCT use this one."""
    text, count = re.subn(r"^SEED=.*$", f"SEED={seed}", script.read_text(), flags=re.M)
    if count != 1:
        raise LabError(f"{script} does not set SEED in one place: extend kernel_build.py for this source")
    mode = script.stat().st_mode
    script.unlink()  # it is a hard link
    script.write_text(text)
    script.chmod(mode)
