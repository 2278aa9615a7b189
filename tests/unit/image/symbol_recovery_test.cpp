// SPDX-License-Identifier: GPL-2.0-or-later
#include "symbol_recovery.h"

#include <gtest/gtest.h>

#include "ksymtab.h"
#include "small_image.h"
#include "synthetic_kernel.h"

namespace lacuna {
namespace {

using synthetic::append;
using synthetic::Image32;
using synthetic::Image64;

Bytes text(const std::string& characters)
{
    return {characters.begin(), characters.end()};
}

// "tail" is a name by itself, and the end of "the_tail".
const Bytes names = text(std::string("init_task\0the_tail\0", 19));
constexpr std::uint64_t init_task_at = 0, tail_at = 14;

// Entries of numbers that count from their own place, with the namespace field of 5.4 and later.
template <typename Any>
void add_relative(Any& image, std::uint64_t strings, std::uint64_t first, std::uint64_t second)
{
    Bytes table;
    const auto field = [&](std::uint64_t target) {
        append<std::uint32_t>(table, static_cast<std::uint32_t>(target - (image.next() + table.size())));
    };
    field(first), field(strings + init_task_at), append<std::uint32_t>(table, 0);
    field(second), field(strings + tail_at), append<std::uint32_t>(table, 0);
    image.add("__ksymtab", table);
}

TEST(Ksymtab, NumbersThatCountFromTheirPlace)
{
    Image64 image;
    add_relative(image, image.add("__ksymtab_strings", names), Image64::base + 0x1000, 0x1fb80);
    EXPECT_EQ(find_exported(image.elf(), "init_task"), Image64::base + 0x1000);
    EXPECT_EQ(find_exported(image.elf(), "tail"), 0x1fb80u) << "a per-CPU symbol lies far away, modulo 2^64";
    EXPECT_FALSE(find_exported(image.elf(), "the_tail"));

    Image32 small;
    add_relative(small, small.add("__ksymtab_strings", names), Image32::base + 0x1000, 0xc1e5e6e8);
    EXPECT_EQ(find_exported(small.elf(), "init_task"), Image32::base + 0x1000);
    EXPECT_EQ(find_exported(small.elf(), "tail"), 0xc1e5e6e8u);
}

// Up to 4.18, and without namespaces up to 5.3.
TEST(Ksymtab, Pointers)
{
    Image64 image;
    const auto strings = image.add("__ksymtab_strings", names);
    Bytes table;
    append<std::uint64_t>(table, Image64::base + 0x1000), append(table, strings + init_task_at);
    append<std::uint64_t>(table, 0xb880), append(table, strings + tail_at);
    image.add("__ksymtab_gpl", table);
    EXPECT_EQ(find_exported(image.elf(), "init_task"), Image64::base + 0x1000);
    EXPECT_EQ(find_exported(image.elf(), "tail"), 0xb880u);

    Image32 small;
    const auto at = static_cast<std::uint32_t>(small.add("__ksymtab_strings", names));
    Bytes pairs;
    append<std::uint32_t>(pairs, 0xc1801000), append<std::uint32_t>(pairs, at);
    small.add("__ksymtab", pairs);
    EXPECT_EQ(find_exported(small.elf(), "init_task"), 0xc1801000u);
}

TEST(Ksymtab, SaysNothingOfAnUnknownForm)
{
    Image64 image;
    image.add("__ksymtab_strings", names);
    image.add("__ksymtab", Bytes(24, 0x55));
    EXPECT_FALSE(find_exported(image.elf(), "init_task"));
    Image64 empty;
    empty.add(".text", Bytes(16, 0x90));
    EXPECT_FALSE(find_exported(empty.elf(), "init_task"));
}

// i386 code: each function loads the addresses given (mov $address,%eax), and returns.
struct WithFunctions {
    Image32 image;
    std::vector<Symbol> symbols;
    std::uint64_t lists = 0;

    // Two empty lists and a list that is not: 8 bytes each.
    WithFunctions()
    {
        Bytes data;
        lists = image.next();
        for (const std::uint64_t target : {lists, lists + 8, lists})
            append<std::uint32_t>(data, static_cast<std::uint32_t>(target)),
                append<std::uint32_t>(data, static_cast<std::uint32_t>(target));
        image.add(".data", data);
    }
    void function(const std::string& name, const std::vector<std::uint64_t>& addresses)
    {
        Bytes code;
        for (const std::uint64_t address : addresses)
            code.push_back(0xb8), append<std::uint32_t>(code, static_cast<std::uint32_t>(address));
        code.push_back(0xc3);
        symbols.push_back({image.add(".text." + name, code), 'T', name});
    }
    std::optional<Recovered> module_list()
    {
        return recover_module_list(image.elf(), Symbols(symbols, "kallsyms"));
    }
};

TEST(SymbolRecovery, TheModuleListIsWhatItsWalkersShare)
{
    WithFunctions kernel;
    kernel.function("find_module_all", {kernel.lists + 8});
    kernel.function("print_modules", {kernel.lists + 8, kernel.lists + 16});
    EXPECT_FALSE(kernel.module_list()) << "two are not enough";
    kernel.function("load_module", {kernel.lists, kernel.lists + 8}); // and a list of its own
    ASSERT_TRUE(kernel.module_list());
    EXPECT_EQ(kernel.module_list()->address, kernel.lists + 8);
    kernel.function("module_get_kallsym", {kernel.lists});
    EXPECT_FALSE(kernel.module_list()) << "two functions share another list";
}

TEST(SymbolRecovery, AFunctionThatIsThereTwiceIsNoWitness)
{
    WithFunctions kernel;
    kernel.function("find_module_all", {kernel.lists});
    kernel.function("print_modules", {kernel.lists});
    kernel.function("find_symbol", {kernel.lists});
    kernel.function("find_symbol", {kernel.lists});
    EXPECT_FALSE(kernel.module_list());
}

TEST(SymbolRecovery, OfTwoBannersTheOneThatIsPrinted)
{
    WithFunctions kernel;
    const auto weak = kernel.image.add(".rodata", text(std::string("\0Linux version 6.1 # SMP\n\0", 25))) + 1;
    const auto real =
        kernel.image.add(".rodata.2", text(std::string("\0Linux version 6.1 #1 SMP\n\0", 26))) + 1;
    kernel.image.add(".rodata.3", text(std::string("\0Linux version %s\n\0", 19)));
    EXPECT_FALSE(recover_banner(kernel.image.elf(), Symbols(kernel.symbols, "kallsyms")));
    kernel.function("start_kernel", {real});
    const auto found = recover_banner(kernel.image.elf(), Symbols(kernel.symbols, "kallsyms"));
    ASSERT_TRUE(found);
    EXPECT_EQ(found->address, real);
    EXPECT_NE(found->address, weak);
}

TEST(SymbolRecovery, OfTwoBannersThatAreTheSameEither)
{
    WithFunctions kernel;
    const std::string banner("\0Linux version 6.1 #1 SMP\n\0", 26);
    const auto first = kernel.image.add(".rodata", text(banner)) + 1;
    kernel.image.add(".rodata.2", text(banner));
    const auto found = recover_banner(kernel.image.elf(), Symbols(kernel.symbols, "kallsyms"));
    ASSERT_TRUE(found);
    EXPECT_EQ(found->address, first);
}

TEST(SymbolRecovery, TheCurrentTaskIsWhatItsUsersLoad)
{
    Image32 image;
    // mov variable,%eax; ret
    const auto load = [&](std::uint64_t variable) {
        Bytes code{0xa1};
        append<std::uint32_t>(code, static_cast<std::uint32_t>(variable));
        code.push_back(0xc3);
        return image.add(".text", code);
    };
    std::vector<Symbol> symbols{{load(0xc1002000), 'T', "sys_getpid"}, {load(0xc1002000), 'T', "do_exit"}};
    const auto users = [&](std::uint64_t variable, bool per_cpu) {
        return users_load(image.elf(), Symbols(symbols, "kallsyms"), variable, per_cpu);
    };
    EXPECT_FALSE(users(0xc1002000, false)) << "one is not enough";
    symbols.push_back({symbols[0].address, 'T', "__do_sys_getpid"});
    EXPECT_FALSE(users(0xc1002000, false)) << "it is the same one";
    symbols.push_back({load(0xc1002000), 'T', "__ia32_sys_gettid"});
    EXPECT_TRUE(users(0xc1002000, false));
    EXPECT_FALSE(users(0xc1002000, true)) << "not by FS";
    EXPECT_FALSE(users(0xc1002004, false));
}

TEST(SymbolRecovery, TheStackSizeIsWhatTheStackPointerIsMaskedWith)
{
    Image32 image;
    // mov $0xffffe000,%eax; and %esp,%eax; and $0xffffc000,%ecx (of something else); ret
    const Bytes code = {0xb8, 0x00, 0xe0, 0xff, 0xff, 0x21, 0xe0, 0x81, 0xe1, 0x00, 0xc0, 0xff, 0xff, 0xc3};
    const Symbols symbols({{image.add(".text", code), 'T', "do_exit"}}, "kallsyms");
    EXPECT_EQ(recover_stack_size(image.elf(), symbols), 8192u);
    EXPECT_FALSE(recover_stack_size(image.elf(), Symbols({}, "kallsyms")));
}

TEST(SymbolRecovery, TheEndIsThatOfTheLastSection)
{
    Image32 image;
    image.add(".text", Bytes(32, 0x90));
    const auto data = image.add(".data", Bytes(20, 1));
    ASSERT_TRUE(recover_end(image.elf(), Image32::base));
    EXPECT_EQ(recover_end(image.elf(), Image32::base)->address, data + 20);
}

} // namespace
} // namespace lacuna
