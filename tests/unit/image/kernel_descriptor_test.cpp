// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel_descriptor.h"

#include <fstream>
#include <regex>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <spdlog/fmt/fmt.h>

#include "expect_error.h"
#include "synthetic_kernel.h"
#include "temporary_directory.h"

namespace lacuna {
namespace {

using namespace synthetic;

class Describe : public testing::Test {
protected:
    Describe() { kernel.absolute_percpu = true; }

    KernelDescriptor describe()
    {
        const Bytes vmlinux = kernel.vmlinux();
        const Bytes image = bz_image(zstd(vmlinux), static_cast<std::uint32_t>(vmlinux.size()));
        std::ofstream file(path, std::ios::binary);
        file.write(reinterpret_cast<const char*>(image.data()), static_cast<std::streamsize>(image.size()));
        file.close();
        return describe_kernel(path);
    }

    TemporaryDirectory directory;
    std::filesystem::path path = directory.path() / "vmlinuz";
    Kernel kernel;
};

TEST_F(Describe, SaysEverythingTheModuleNeeds)
{
    const KernelDescriptor descriptor = describe();
    EXPECT_TRUE(std::regex_match(descriptor.id, std::regex(R"(6\.1\.0-test-amd64-[0-9a-f]{16})")))
        << descriptor.id;
    EXPECT_EQ(descriptor.release, "6.1.0-test-amd64");
    EXPECT_EQ(descriptor.banner, "Linux version 6.1.0-test-amd64 (someone@example.org) #1 SMP");
    EXPECT_EQ(descriptor.build_id, "0123456789abcdeffedc");
    EXPECT_EQ(descriptor.architecture, Architecture::x86_64);
    EXPECT_EQ(descriptor.text, text_address);
    EXPECT_EQ(descriptor.end, data_address + 0x4000);
    EXPECT_EQ(descriptor.banner_address, rodata_address + 0x20);
    EXPECT_EQ(descriptor.init_task, data_address + 0x1000);
    EXPECT_EQ(descriptor.modules, data_address + 0x3000);
    EXPECT_EQ(descriptor.page_table, data_address);
    EXPECT_EQ(descriptor.current_task, 0x1fb80u);
    EXPECT_EQ(descriptor.current_kind, CurrentKind::percpu_offset);
    EXPECT_EQ(descriptor.symbol_source, "kallsyms");
    ASSERT_EQ(descriptor.sites.size(), 3u);
    const SiteKind kinds[] = {SiteKind::fork, SiteKind::exit, SiteKind::initcall};
    const char* functions[] = {"kernel_clone", "release_task", "do_one_initcall"};
    for (unsigned i = 0; i < 3; ++i) {
        EXPECT_EQ(descriptor.sites[i].kind, kinds[i]);
        EXPECT_EQ(descriptor.sites[i].function, functions[i]);
        // call __fentry__ (0), push %rbx (5), mov %rdi,%rbx (6: crosses a word), sub $8,%rsp (9)
        EXPECT_EQ(descriptor.sites[i].address, kernel.address(functions[i]) + 9);
        EXPECT_TRUE(descriptor.sites[i].single);
    }
}

TEST_F(Describe, FindsTheCurrentTaskOfEveryVersion)
{
    kernel.rename("current_task", "pcpu_hot");
    EXPECT_EQ(describe().current_task, 0x1fb80u);
    EXPECT_EQ(describe().current_kind, CurrentKind::percpu_offset);

    kernel.remove("pcpu_hot");
    kernel.symbols.insert(kernel.symbols.end() - 1, {data_address + 0x3018, 'D', "current_task"});
    kernel.layout = Layout::place_relative;
    EXPECT_EQ(describe().current_task, data_address + 0x3018);
    EXPECT_EQ(describe().current_kind, CurrentKind::global); // nothing says where a CPU's variables are

    kernel.symbols.insert(kernel.symbols.end() - 1, {data_address + 0x3020, 'D', "__per_cpu_offset"});
    EXPECT_EQ(describe().current_task, data_address + 0x3018);
    EXPECT_EQ(describe().current_kind, CurrentKind::percpu_address);
}

TEST_F(Describe, KnowsOlderNames)
{
    kernel.rename("kernel_clone", "_do_fork");
    kernel.rename("init_top_pgt", "init_level4_pgt");
    EXPECT_EQ(describe().sites[0].function, "_do_fork");
    EXPECT_EQ(describe().page_table, data_address);
    kernel.rename("_do_fork", "do_fork");
    EXPECT_EQ(describe().sites[0].function, "do_fork");
}

TEST_F(Describe, NamesTheMissingSymbol)
{
    for (const char* name : {"init_task", "modules"}) {
        kernel = Kernel();
        kernel.absolute_percpu = true;
        kernel.remove(name);
        EXPECT_ERROR(describe(), "symbol " + std::string(name));
        EXPECT_ERROR(describe(), "System.map");
        EXPECT_ERROR(describe(), path.string());
    }
}

// Functions are in each table: another one would not help.
TEST_F(Describe, NamesTheMissingFunction)
{
    for (const char* name : {"kernel_clone", "release_task"}) {
        kernel = Kernel();
        kernel.absolute_percpu = true;
        kernel.remove(name);
        EXPECT_ERROR(describe(), "function " + std::string(name));
        EXPECT_ERROR(describe(), "please report it");
    }
}

TEST_F(Describe, ModulesWithoutDoOneInitcallAreLookedAt)
{
    const std::uint64_t modules = describe().modules;
    kernel.rename("do_one_initcall", "do_one_initcall.cold");
    const KernelDescriptor descriptor = describe();
    EXPECT_EQ(descriptor.modules, modules);
    ASSERT_EQ(descriptor.sites.size(), 2u);
    EXPECT_EQ(descriptor.sites[1].kind, SiteKind::exit);
    ASSERT_EQ(descriptor.notices.size(), 1u);
    EXPECT_TRUE(descriptor.notices[0].starts_with("it has no do_one_initcall"));
}

TEST_F(Describe, WhatCopiesCodeIsSeenWhereItCanBe)
{
    const auto last = [this] { return describe().sites.back(); };
    EXPECT_EQ(last().kind, SiteKind::initcall);
    for (const auto& [kind, function] : {std::pair(SiteKind::hibernate, "swsusp_save"), {SiteKind::probe, "arch_prepare_kprobe"}}) {
        kernel = Kernel();
        kernel.absolute_percpu = true;
        kernel.rename("do_one_initcall", function);
        EXPECT_EQ(last().kind, kind);
        EXPECT_EQ(last().function, function);
        EXPECT_TRUE(last().single);
    }
}

TEST_F(Describe, TheBannerMayBeInAnyLanguage)
{
    kernel.banner = "Linux version 6.1 (gcc versi\u00f3 12) #1\n";
    EXPECT_EQ(describe().banner, "Linux version 6.1 (gcc versi\u00f3 12) #1");
    kernel.banner = "Linux version 6.1 (gcc versi\xf3 12) #1\n";
    EXPECT_ERROR(describe(), "its banner is not UTF-8");
    kernel.banner = "Linux version 6.1 (gcc \x1b[2J) #1\n";
    EXPECT_ERROR(describe(), "no \"Linux version\" text");
}

TEST_F(Describe, KnowsAKernelThatHasNoModules)
{
    kernel.remove("modules");
    kernel.remove("load_module");
    kernel.remove("do_one_initcall");
    const KernelDescriptor descriptor = describe();
    EXPECT_EQ(descriptor.modules, 0u);
    EXPECT_EQ(descriptor.modules_at(0x1000), 0u);
    ASSERT_EQ(descriptor.sites.size(), 2u);
    EXPECT_EQ(descriptor.sites[0].kind, SiteKind::fork);
    EXPECT_EQ(descriptor.sites[1].kind, SiteKind::exit);
}

TEST_F(Describe, DoesWithoutWhatTheImageShowsByItself)
{
    kernel.remove("init_top_pgt");
    kernel.remove("linux_banner");
    kernel.remove("_end");
    const KernelDescriptor descriptor = describe();
    EXPECT_EQ(descriptor.text, text_address);
    EXPECT_EQ(descriptor.end, data_address + 0x4000);
    EXPECT_EQ(descriptor.page_table, 0u);
    EXPECT_EQ(descriptor.banner_address, rodata_address + 0x20);
    EXPECT_EQ(descriptor.notices,
              (std::vector<std::string>{"_end is not in kallsyms, found as the end of the last segment",
                                        "linux_banner is not in kallsyms, found by its text"}));
}

TEST_F(Describe, FindsTheStartOfTheCode)
{
    kernel.remove("_text");
    EXPECT_EQ(describe().text, text_address);
}

// One landmark alone is no proof.
TEST_F(Describe, ATableThatCannotBeComparedIsNotBelieved)
{
    for (const char* name : {"_text", "linux_banner"})
        kernel.remove(name);
    EXPECT_ERROR(describe(), "too little of it can be compared with the image");
}

// An assembler's file may have a label of that name, in the middle of the code.
TEST_F(Describe, OfSeveralSymbolsThePlaceAndTheKindDecide)
{
    kernel.symbols.insert(kernel.symbols.begin() + 8, {text_address + 0x100, 't', "_end"});
    EXPECT_EQ(describe().end, data_address + 0x4000);
    kernel.symbols.pop_back(); // the real one
    EXPECT_EQ(describe().end, data_address + 0x4000);
    kernel.symbols.insert(kernel.symbols.begin() + 8, {text_address + 0x100, 't', "init_task"});
    EXPECT_ERROR(describe(), "init_task");
}

TEST_F(Describe, SaysWhenTheCurrentTaskCannotBeFound)
{
    kernel.remove("current_task");
    EXPECT_ERROR(describe(), "how this kernel finds its current task");
    EXPECT_ERROR(describe(), "System.map");
}

TEST_F(Describe, MatchesNamesExactly)
{
    kernel.rename("release_task", "release_task.cold");
    EXPECT_ERROR(describe(), "function release_task is missing");
}

TEST_F(Describe, TheIdIsOfTheImageAndNotWhatTheImageSaysOfItself)
{
    const std::string one = describe().id;
    EXPECT_TRUE(one.starts_with("6.1.0-test-amd64-"));
    EXPECT_EQ(one.size(), std::string("6.1.0-test-amd64-0123456789abcdef").size());
    EXPECT_EQ(describe().id, one);
    kernel.text.back() = 0x90;
    EXPECT_NE(describe().id, one);
}

TEST_F(Describe, TheIdIsOfASystemMapAsWell)
{
    const std::string without = describe().id;
    const auto with = [&](const std::string& more) {
        std::ofstream map(directory.path() / "System.map");
        for (const Symbol& symbol : kernel.symbols)
            map << fmt::format("{:016x} {} {}\n", symbol.address, symbol.type, symbol.name);
        map << more;
        map.close();
        return describe_kernel(path, directory.path() / "System.map").id;
    };
    const std::string with_map = with("");
    EXPECT_NE(with_map, without);
    EXPECT_EQ(with_map.size(), without.size());
    EXPECT_EQ(with(""), with_map);
    EXPECT_NE(with("ffffffff83000000 d invented\n"), with_map);
}

TEST_F(Describe, TheIdIsSafeAsAFileName)
{
    kernel.banner = "Linux version ../../etc/x (y)\n";
    EXPECT_TRUE(std::regex_match(describe().id, std::regex(R"(\.\._\.\._etc_x-[0-9a-f]{16})")))
        << describe().id;
    EXPECT_EQ(describe().release, "../../etc/x");
}

TEST_F(Describe, ChecksThatInitTaskIsATask)
{
    kernel.first_comm = "systemd";
    EXPECT_ERROR(describe(), "no task named \"swapper\"");
}

TEST_F(Describe, SaysWhenThereIsNoSafeSite)
{
    const auto at = static_cast<std::ptrdiff_t>(kernel.address("release_task") - text_address);
    kernel.text[static_cast<std::size_t>(at) + 5] = 0xc3; // ret
    EXPECT_ERROR(describe(), "no safe place for a trap in release_task");
}

TEST_F(Describe, Json)
{
    const nlohmann::json json = to_json(describe());
    EXPECT_EQ(json.at("id"), describe().id);
    EXPECT_EQ(json.at("architecture"), "x86_64");
    EXPECT_EQ(json.at("init_task"), "0xffffffff82601000");
    EXPECT_EQ(json.at("current_kind"), "percpu_offset");
    EXPECT_EQ(json.at("sites").at(1).at("kind"), "exit");
    EXPECT_EQ(json.at("sites").at(1).at("bytes").get<std::string>().substr(0, 8), "4883ec08");
}

} // namespace
} // namespace lacuna
