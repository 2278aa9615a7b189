// SPDX-License-Identifier: GPL-2.0-or-later
// What a guest calls its kernel, through all that describes it, as lacuna-describe does.
#include "kernel_image.h"

#include "error.h"
#include "harness.h"
#include "kernel_descriptor.h"
#include "reader_answer.h"
#include "synthetic_kernel.h"

namespace lacuna::fuzz {

namespace {

void run(ByteView input)
{
    try {
        const KernelDescriptor kernel = describe_kernel(KernelImage(input, "fuzz"), std::nullopt);
        static_cast<void>(answer_of(kernel));
    } catch (const Error& error) {
        static_cast<void>(answer_of(error));
    }
}

std::vector<Seed> seeds()
{
    using namespace synthetic;
    std::vector<Seed> all;
    const auto add = [&](const std::string& name, const Kernel& kernel) { all.push_back({name, kernel.vmlinux()}); };
    for (const Layout layout : {Layout::addresses, Layout::wide_markers, Layout::base_first, Layout::seqs_between,
                                Layout::base_last, Layout::place_relative}) {
        Kernel kernel;
        kernel.layout = layout;
        kernel.absolute_percpu = layout != Layout::addresses && layout != Layout::place_relative;
        if (layout == Layout::place_relative)
            kernel.remove("current_task");
        add("layout-" + std::to_string(static_cast<int>(layout)), kernel);
    }
    Kernel whole;
    whole.absolute_percpu = true;
    // each has something else to be found without its symbol
    for (const char* name : {"linux_banner", "init_task", "modules", "_end", "_text", "current_task"}) {
        Kernel kernel = whole;
        kernel.remove(name);
        add(std::string("without-") + name, kernel);
    }
    const Bytes vmlinux = whole.vmlinux();
    const auto size = static_cast<std::uint32_t>(vmlinux.size());
    all.push_back({"gzip", bz_image(gzip(vmlinux), size, false)});
    all.push_back({"xz", bz_image(xz(vmlinux), size)});
    all.push_back({"lzma", bz_image(lzma(vmlinux), size)});
    all.push_back({"zstd", bz_image(zstd(vmlinux), size)});
    all.push_back({"lz4", bz_image(lz4(vmlinux), size)});
    all.push_back({"bzip2", bz_image(bzip2(vmlinux), size)});
    all.push_back({"lzo", bz_image(lzo(vmlinux), size)});
    return all;
}

} // namespace

const Harness kernel = {"kernel", run, seeds, 1 << 17};

} // namespace lacuna::fuzz
