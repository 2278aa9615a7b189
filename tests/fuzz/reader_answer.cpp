// SPDX-License-Identifier: GPL-2.0-or-later
// What a reader of kernels that its kernel has taken over may answer, up to the order that the module gets.
#include "reader_answer.h"

#include "error.h"
#include "harness.h"
#include "netlink_codec.h"
#include "synthetic_kernel.h"

namespace lacuna::fuzz {

namespace {

KernelDescriptor a_kernel()
{
    synthetic::Kernel kernel;
    kernel.absolute_percpu = true;
    return describe_kernel(KernelImage(kernel.vmlinux(), "k"), std::nullopt);
}

void run(ByteView input)
{
    try {
        const KernelDescriptor kernel =
            understand_answer({reinterpret_cast<const char*>(input.data()), input.size()}, "fuzz");
        static_cast<void>(answer_of(kernel));
        const Message order = new_request(20, LACUNA_CMD_ARM);
        put_arm(order.get(), 1, {kernel}, {});
    } catch (const Error&) {
    }
}

std::vector<Seed> seeds()
{
    return {seed("kernel", answer_of(a_kernel())), seed("error", answer_of(Error("is broken", "/k", "mend it")))};
}

} // namespace

const Harness reader_answer = {"reader_answer", run, seeds, 1 << 16};

} // namespace lacuna::fuzz
