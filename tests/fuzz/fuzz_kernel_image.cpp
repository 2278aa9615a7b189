// SPDX-License-Identifier: GPL-2.0-or-later
//
// Whatever bytes a guest calls its kernel: the answer is a result or an Error.
#include <cstddef>
#include <cstdint>

#include "error.h"
#include "kallsyms.h"
#include "kernel_image.h"
#include "site_finder.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    using namespace lacuna;
    try {
        const KernelImage kernel(ByteView(data, size), "fuzz");
        static_cast<void>(kernel.fingerprint());
        const Symbols symbols = read_kallsyms(kernel);
        for (const char* function : {"kernel_clone", "release_task", "do_one_initcall"})
            static_cast<void>(find_site(kernel.elf(), symbols, function, SiteKind::exit));
    } catch (const Error&) {
    }
    return 0;
}
