// SPDX-License-Identifier: GPL-2.0-or-later
#include "table_check.h"

#include <gtest/gtest.h>

#include "expect_error.h"
#include "site_finder.h"
#include "small_image.h"
#include "synthetic_kernel.h"

namespace lacuna {
namespace {

using synthetic::append;
using synthetic::Image32;
using synthetic::Image64;

// Functions that call the first one.
struct Calling {
    Image64 image;
    std::vector<Symbol> symbols;

    Calling()
    {
        for (unsigned i = 0; i < 20; ++i) {
            const std::uint64_t at = image.next();
            Bytes code = {0xe8};
            append<std::uint32_t>(code, static_cast<std::uint32_t>(Image64::base - (at + 5)));
            code.push_back(0xc3);
            symbols.push_back({image.add(".text", code), 't', "function_" + std::to_string(i)});
        }
        symbols.insert(symbols.begin(), {Image64::base, 'T', "_text"});
    }
    std::string misfit() { return table_misfit(image.elf(), Symbols(symbols, "test")); }
};

TEST(TableCheck, CallsLeadToFunctions)
{
    EXPECT_EQ(Calling().misfit(), "");
    Calling moved; // a sibling: the same start, what follows is elsewhere
    for (Symbol& symbol : moved.symbols)
        if (symbol.name != "_text")
            symbol.address += 1;
    moved.symbols[0].type = 'A';
    EXPECT_NE(moved.misfit().find("of 19 calls"), std::string::npos) << moved.misfit();
}

TEST(TableCheck, OneLandmarkIsNotEnough)
{
    Calling kernel;
    kernel.symbols.erase(kernel.symbols.begin());
    EXPECT_NE(kernel.misfit().find("too little"), std::string::npos) << kernel.misfit();
}

TEST(TableCheck, NothingMaySpeakAgainstIt)
{
    Calling kernel;
    kernel.symbols[0].address += 16;
    EXPECT_NE(kernel.misfit().find("_text"), std::string::npos) << kernel.misfit();
    Calling other;
    other.symbols.push_back({Image64::base + 0x20, 'D', "linux_banner"});
    EXPECT_NE(other.misfit().find("linux_banner"), std::string::npos) << other.misfit();
}

// ---- the calling convention of i386, which says whether the argument is where the engine looks for it ----

std::optional<TrapSite> site(const Bytes& code)
{
    Image32 image;
    const std::uint64_t entry = image.add(".text", code);
    const Symbols symbols({{entry, 'T', "release_task"}}, "test");
    return find_site(image.elf(), symbols, "release_task", SiteKind::exit);
}

TEST(CallingConvention, IsReadFromTheCode)
{
    // push %ebp; mov %esp,%ebp; sub $8,%esp; mov %eax,%ebx; ret
    EXPECT_TRUE(site({0x55, 0x89, 0xe5, 0x83, 0xec, 0x08, 0x89, 0xc3, 0xc3}));
    // push %ebp; mov %esp,%ebp; sub $8,%esp; mov 8(%ebp),%eax; mov %eax,%ebx; ret
    EXPECT_ERROR(site({0x55, 0x89, 0xe5, 0x83, 0xec, 0x08, 0x8b, 0x45, 0x08, 0x89, 0xc3, 0xc3}),
                 "takes its arguments from the stack");
    // push %eax (to make room); xor %eax,%eax; ret
    EXPECT_ERROR(site({0x50, 0x31, 0xc0, 0xc3}), "takes its arguments from the stack");
}

} // namespace
} // namespace lacuna
