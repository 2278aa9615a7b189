// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel_source.h"

#include <gtest/gtest.h>

namespace lacuna {
namespace {

TEST(KernelSource, TheNewestFirstAndEachOnce)
{
    std::vector<KernelDescriptor> kernels;
    for (const char* release : {"6.1.0-9-amd64", "6.1.0-10-amd64", "5.10.0-30-amd64", "6.1.0-9-amd64", "6.12.1"}) {
        KernelDescriptor& kernel = kernels.emplace_back();
        kernel.release = release;
        kernel.id = std::string(release) + "-0123456789abcdef";
    }
    kernels.push_back(kernels.front());
    kernels.back().id = "6.1.0-9-amd64-fedcba9876543210"; // of the same release, but another build
    std::vector<std::string> ids;
    for (const KernelDescriptor& kernel : newest_first(kernels))
        ids.push_back(kernel.id);
    EXPECT_EQ(ids, (std::vector<std::string>{"6.12.1-0123456789abcdef", "6.1.0-10-amd64-0123456789abcdef",
                                             "6.1.0-9-amd64-0123456789abcdef", "6.1.0-9-amd64-fedcba9876543210",
                                             "5.10.0-30-amd64-0123456789abcdef"}));
}

} // namespace
} // namespace lacuna
