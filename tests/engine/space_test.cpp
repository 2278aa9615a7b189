// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include "page_walk_cases.h"

extern "C" {
#include "space.h"
}

namespace lacuna::test {
namespace {

class SharedPageWalk : public testing::TestWithParam<PageWalkCase> {};
INSTANTIATE_TEST_SUITE_P(Cases, SharedPageWalk, testing::ValuesIn(page_walk_cases()),
    [](const auto& chosen) { return chosen.param.name; });

TEST_P(SharedPageWalk, AsTheDaemonWalks)
{
    const PageWalkCase& c = GetParam();
    PageWalkMemory content(c);
    const lac_memory memory{
        .read = [](void* context, u64 gpa, void* buffer, u32 len) {
            return static_cast<PageWalkMemory*>(context)->read(gpa, buffer, len) ? 0 : -EFAULT;
        },
        .context = &content};
    lac_space space;
    lac_space_init(&space, &memory, c.cr3, c.paging);
    for (int times = 0; times < 2; times++) { // the second time from what is remembered
        lac_page page{};
        const int err = lac_translate(&space, c.gva, &page);
        if (c.outcome == PageWalkCase::unreadable) {
            EXPECT_EQ(err, -EFAULT);
        } else if (c.outcome == PageWalkCase::nothing) {
            EXPECT_EQ(err, -ENOENT);
        } else {
            EXPECT_EQ(err, 0);
            EXPECT_EQ(page.gpa, c.gpa);
        }
    }
}

} // namespace
} // namespace lacuna::test
