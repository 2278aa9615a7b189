// SPDX-License-Identifier: GPL-2.0-or-later
#include <filesystem>

#include "expect_error.h"
#include "module_link.h"

using namespace lacuna;

// On a machine without the module, which is where unit tests run; the lab tests meet the real one.
TEST(NetlinkSocket, WithoutTheModule)
{
    if (std::filesystem::exists("/sys/module/lacuna"))
        GTEST_SKIP() << "the module is loaded here";
    EXPECT_ERROR(connect_to_module(), "the lacuna module: is not loaded; load it with: modprobe lacuna");
}
