// SPDX-License-Identifier: GPL-2.0-or-later
#include <cstring>
#include <vector>

#include <gtest/gtest.h>

#include "page_walk_cases.h"

extern "C" {
#include "space.h"
#include "window.h"
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

// Whatever is asked for: behind its bytes others begin.
TEST(Window, HoldsWhatItHasRoomFor)
{
    const lac_memory memory{
        .read = [](void*, u64 gpa, void* buffer, u32 len) {
            const u64 table = 0x1000 | 0x80 | 1; // each entry of it, and so each table, maps the same
            std::memset(buffer, 0, len);
            if (gpa >= 0x1000 && gpa < 0x2000)
                for (u32 i = 0; i + 8 <= len; i += 8)
                    std::memcpy(static_cast<char*>(buffer) + i, &table, 8);
            return 0;
        },
        .context = nullptr};
    lac_space space;
    lac_space_init(&space, &memory, 0x1000, LACUNA_PAGING_4LEVEL);
    std::vector<u8> bytes(4096);
    lac_window window{};
    window.bytes = bytes.data();
    window.capacity = static_cast<u32>(bytes.size());
    lac_window_set(&window, &space, 0xffff888000010000, 0, 3 * 4096);
    EXPECT_NE(lac_bytes(&window, 4088, 8), nullptr);
    EXPECT_EQ(lac_bytes(&window, 4092, 8), nullptr);
    EXPECT_EQ(lac_bytes(&window, 8192, 8), nullptr);
    EXPECT_FALSE(lac_absent(&window, 8192, 8));
    EXPECT_FALSE(lac_absent(&window, -8, 8));
}

} // namespace
} // namespace lacuna::test
