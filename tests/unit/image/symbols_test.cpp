// SPDX-License-Identifier: GPL-2.0-or-later
#include "symbols.h"

#include <fstream>
#include <iomanip>
#include <ostream>
#include <sstream>

#include <gtest/gtest.h>

#include "expect_error.h"
#include "kallsyms.h"
#include "synthetic_kernel.h"
#include "temporary_directory.h"

namespace lacuna {

bool operator==(const Symbol& a, const Symbol& b)
{
    return a.address == b.address && a.type == b.type && a.name == b.name;
}

void PrintTo(const Symbol& symbol, std::ostream* out) // for googletest
{
    *out << std::hex << symbol.address << ' ' << symbol.type << ' ' << symbol.name;
}

namespace {

using namespace synthetic;

Symbols recover(const Kernel& kernel)
{
    return read_kallsyms(KernelImage(kernel.vmlinux(), "test-kernel"));
}

struct Case {
    const char* name;
    Layout layout;
    bool absolute_percpu;
};

class EveryLayout : public testing::TestWithParam<Case> {};

TEST_P(EveryLayout, RecoversEverySymbol)
{
    Kernel kernel;
    kernel.layout = GetParam().layout;
    kernel.absolute_percpu = GetParam().absolute_percpu;
    if (!kernel.absolute_percpu && kernel.layout != Layout::addresses) {
        kernel.remove("current_task"); // offsets reach 4 GiB: a small value needs the absolute form
        kernel.symbols.insert(kernel.symbols.end() - 1, {data_address + 0x3800, 'D', "current_task"});
    }
    EXPECT_EQ(recover(kernel).all(), kernel.symbols);
}

// The tables' alignment, and the number of markers, depend on the sizes.
TEST_P(EveryLayout, RecoversTablesOfAnySize)
{
    for (unsigned drop = 0; drop < 40; ++drop) {
        Kernel kernel;
        kernel.layout = GetParam().layout;
        kernel.absolute_percpu = GetParam().absolute_percpu;
        if (!kernel.absolute_percpu)
            kernel.remove("current_task");
        for (unsigned i = 0; i < drop; ++i)
            kernel.remove("filler_" + std::to_string(i * 37));
        EXPECT_EQ(recover(kernel).all(), kernel.symbols) << drop;
    }
}

INSTANTIATE_TEST_SUITE_P(Kallsyms, EveryLayout,
                         testing::Values(Case{"addresses", Layout::addresses, false},
                                         Case{"wide_markers", Layout::wide_markers, true},
                                         Case{"base_first", Layout::base_first, true},
                                         Case{"base_first_relative", Layout::base_first, false},
                                         Case{"seqs_between", Layout::seqs_between, true},
                                         Case{"base_last", Layout::base_last, true},
                                         Case{"base_last_relative", Layout::base_last, false},
                                         Case{"place_relative", Layout::place_relative, false}),
                         [](const auto& test) { return test.param.name; });

TEST(Kallsyms, NoneInTheImage)
{
    Kernel kernel;
    kernel.kallsyms = false;
    EXPECT_ERROR(recover(kernel), "test-kernel: holds no symbol table");
}

TEST(Kallsyms, DamagedTablesAreAnErrorNotALie)
{
    const Kernel kernel;
    const Bytes good = kernel.vmlinux();
    const std::string_view text(reinterpret_cast<const char*>(good.data()), good.size());
    // Inside the names, somewhere in the middle: what follows no longer matches the markers.
    const std::size_t names = text.find("filler"); // the token table
    ASSERT_NE(names, std::string_view::npos);
    Bytes bad = good;
    bad[names - 20000] ^= 0x55;
    bad[names - 19999] ^= 0x55;
    bool refused_or_right = false;
    try {
        refused_or_right = read_kallsyms(KernelImage(bad, "bad")).all().size() == kernel.symbols.size();
    } catch (const Error&) {
        refused_or_right = true;
    }
    EXPECT_TRUE(refused_or_right);
}

TEST(Kallsyms, AddressesMustAgreeWithTheImage)
{
    Kernel kernel;
    for (Symbol& symbol : kernel.symbols)
        if (symbol.name == "linux_banner")
            symbol.address -= 8; // no banner there
    EXPECT_ERROR(recover(kernel), "addresses cannot be understood");
}

TEST(Symbols, NamesAreMatchedWholeAndOfAnyType)
{
    const Symbols symbols(
        {{0x30, 't', "do_one_initcall.cold"}, {0x10, 'd', "do_one_initcall"}, {0x20, 'T', "x"}}, "test");
    EXPECT_EQ(symbols.find("do_one_initcall"), 0x10u);
    EXPECT_FALSE(symbols.find("do_one"));
    EXPECT_EQ(symbols.end_of(0x10), 0x20u);
    EXPECT_EQ(symbols.end_of(0x30), 0x10030u);
}

TEST(Symbols, TwoOfOneNameAreAnError)
{
    const Symbols symbols(
        {{0x10, 't', "modules"}, {0x20, 't', "modules"}, {0x30, 't', "a"}, {0x30, 'T', "a"}}, "test");
    EXPECT_ERROR(symbols.find("modules"), "two symbols modules");
    EXPECT_EQ(symbols.find("a"), 0x30u) << "the same address twice is no doubt";
}

class SystemMap : public testing::Test {
protected:
    std::filesystem::path write(const std::string& text)
    {
        const auto path = directory.path() / "System.map";
        std::ofstream(path) << text;
        return path;
    }
    std::filesystem::path write(const std::vector<Symbol>& symbols)
    {
        std::ostringstream text;
        for (const Symbol& symbol : symbols)
            text << std::hex << std::setw(16) << std::setfill('0') << symbol.address << ' ' << symbol.type
                 << ' ' << symbol.name << '\n';
        return write(text.str());
    }
    Symbols read(const Kernel& of, const std::filesystem::path& path)
    {
        return read_symbols(KernelImage(of.vmlinux(), "test-kernel"), read_system_map(path), notices);
    }

    TemporaryDirectory directory;
    std::vector<std::string> notices;
    Kernel kernel;

    void SetUp() override { kernel.absolute_percpu = true; }
};

TEST_F(SystemMap, IsPreferred)
{
    std::vector<Symbol> more = kernel.symbols;
    more.insert(more.end() - 1, {data_address + 0x3900, 'b', "only_in_the_map"});
    EXPECT_EQ(read(kernel, write(more)).find("only_in_the_map"), data_address + 0x3900);
    EXPECT_TRUE(notices.empty());
}

TEST_F(SystemMap, WorksForAKernelWithoutKallsyms)
{
    const auto path = write(kernel.symbols);
    kernel.kallsyms = false;
    EXPECT_EQ(read(kernel, path).all(), kernel.symbols);
    ASSERT_EQ(notices.size(), 1u) << "it is said that the map could not be compared";
}

TEST_F(SystemMap, DebianStubIsIgnoredWithANotice)
{
    const auto path =
        write("ffffffffffffffff B The real System.map is in the linux-image-6.1.0-50-amd64-dbg package\n");
    const Symbols symbols = read(kernel, path);
    EXPECT_EQ(symbols.source(), "kallsyms");
    EXPECT_EQ(symbols.all(), kernel.symbols);
    ASSERT_EQ(notices.size(), 1u);
    EXPECT_NE(notices[0].find("stub"), std::string::npos);
}

TEST_F(SystemMap, OfAnotherKernelIsRefused)
{
    std::vector<Symbol> moved_text = kernel.symbols;
    for (Symbol& symbol : moved_text)
        if (symbol.address >= text_address)
            symbol.address += 0x200000;
    EXPECT_ERROR(read(kernel, write(moved_text)), "another kernel");

    std::vector<Symbol> moved_banner = kernel.symbols;
    for (Symbol& symbol : moved_banner)
        if (symbol.name == "linux_banner")
            symbol.address += 0x40;
    EXPECT_ERROR(read(kernel, write(moved_banner)), "linux_banner");

    // A sibling build: the same start, the same banner's place, something in between moved.
    std::vector<Symbol> sibling = kernel.symbols;
    for (Symbol& symbol : sibling)
        if (symbol.name == "release_task")
            symbol.address += 0x10;
    EXPECT_ERROR(read(kernel, write(sibling)), "release_task");
}

TEST_F(SystemMap, NonsenseIsRefused)
{
    EXPECT_ERROR(read(kernel, write(std::string())), "is empty");
    EXPECT_ERROR(read(kernel, write(std::string("hello\n"))), "line 1 is not");
    EXPECT_ERROR(read(kernel, write(std::string("ffffffff81000000 T _text\n<html>\n"))), "line 2 is not");
    EXPECT_ERROR(read(kernel, write(std::string("ffffffff81000000 T startup_64\n"))), "no symbol _text");
    EXPECT_ERROR(read(kernel, directory.path() / "missing"), "cannot be opened");
}

} // namespace
} // namespace lacuna
