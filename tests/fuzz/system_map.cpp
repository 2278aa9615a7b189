// SPDX-License-Identifier: GPL-2.0-or-later
// A System.map that is to be believed of a kernel without a symbol table, which is made up.
#include <spdlog/fmt/fmt.h>

#include "error.h"
#include "harness.h"
#include "kernel_descriptor.h"
#include "synthetic_kernel.h"

namespace lacuna::fuzz {

namespace {

const KernelImage& image()
{
    static const Bytes vmlinux = [] {
        synthetic::Kernel kernel;
        kernel.kallsyms = false;
        return kernel.vmlinux();
    }();
    static const KernelImage one(vmlinux, "vmlinux");
    return one;
}

void run(ByteView input)
{
    try {
        describe_kernel(image(), SystemMap{"System.map", Bytes(input.begin(), input.end())});
    } catch (const Error&) {
    }
}

std::vector<Seed> seeds()
{
    std::string text, stub = "ffffffffffffffff B The real System.map is in the linux-image-<version>-dbg package\n";
    for (const Symbol& symbol : synthetic::Kernel().symbols)
        text += fmt::format("{:016x} {} {}\n", symbol.address, symbol.type, symbol.name);
    return {seed("whole", text), seed("stub", stub), seed("crlf", "ffffffff81000000 T _text\r\n")};
}

} // namespace

const Harness system_map = {"system_map", run, seeds, 1 << 16};

} // namespace lacuna::fuzz
