// SPDX-License-Identifier: GPL-2.0-or-later
//
// What gdb and readelf, who know nothing of us, make of the file.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "elf_file.h"
#include "isf.h"
#include "isf_types.h"
#include "symbol_file.h"
#include "temporary_directory.h"

using namespace lacuna;

namespace {

constexpr const char* symbols = "0000000000000020 D per_cpu_one\n"
                                "ffffffff81000000 T _text\n"
                                "ffffffff81000000 T startup_64\n"
                                "ffffffff81001000 t some_function\n"
                                "ffffffff82000100 D linux_banner\n"
                                "ffffffff82a1aa40 D init_task\n"
                                "ffffffff83000000 B _end\n";
constexpr const char* symbols_32 = "c1000000 T _text\nc1001000 t some_function\nc1200100 D linux_banner\nc1300000 D init_task\nc1400000 B _end\n";
constexpr std::uint64_t slide = 0x5000000;

class ElfFileTest : public testing::Test {
protected:
    Profile profile;
    TemporaryDirectory folder;
    std::filesystem::path file = folder.path() / "kernel.elf";

    ElfFileTest()
    {
        profile.kernel_id = "k";
        profile.banner = "Linux version 6.1.0-test";
        profile.architecture = "x86_64";
        add("task_struct", "tasks", "list", 16, 2192);
        add("task_struct", "pid", "int", 4, 2416);
        add("task_struct", "comm", "text", 16, 2976);
        add("task_struct", "mm", "pointer", 8, 2272);
        add("mm_struct", "pgd", "pointer", 8, 72);
    }

    void add(const char* structure, const char* name, const char* type, unsigned size, std::int32_t offset)
    {
        ProfileMember member;
        member.structure = structure;
        member.name = name;
        member.type = type;
        member.size = size;
        member.state = LACUNA_RESOLVED;
        member.offset = offset;
        profile.members.push_back(member);
    }

    void write(const char* text, std::uint64_t by, bool is_64_bit)
    {
        std::ofstream(file, std::ios::binary) << make_elf_file(make_isf(profile, addresses_of(text)), text, by, is_64_bit);
    }

    // Of a command of the shell's: what it prints, errors included.
    static std::string output_of(const std::string& command)
    {
        std::string text;
        FILE* pipe = popen((command + " 2>&1").c_str(), "r");
        for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe))
            text += static_cast<char>(c);
        EXPECT_EQ(pclose(pipe), 0) << text;
        return text;
    }

    std::string gdb(const std::string& expression) const
    {
        return output_of("gdb -batch -nx -ex 'output " + expression + "' " + file.string());
    }

    std::string readelf() const { return output_of("readelf --wide --all --debug-dump=info,abbrev " + file.string()); }
};

TEST_F(ElfFileTest, MembersAreWhereTheyAre)
{
    write(symbols, slide, true);
    EXPECT_EQ(gdb("(long)&((struct task_struct *)0)->pid"), "2416");
    EXPECT_EQ(gdb("(long)&((struct mm_struct *)0)->pgd"), "72");
    EXPECT_EQ(gdb("sizeof(((struct task_struct *)0)->mm)"), "8");
    EXPECT_EQ(gdb("sizeof(((struct task_struct *)0)->comm)"), "16");
    EXPECT_EQ(gdb("sizeof(struct task_struct)"), "2992"); // to the end of comm
    EXPECT_EQ(gdb("(long)&((struct list_head *)0)->prev"), "8");
}

TEST_F(ElfFileTest, SymbolsAreWhereTheyHaveSlid)
{
    write(symbols, slide, true);
    EXPECT_EQ(gdb("/x (long)&init_task"), "0xffffffff87a1aa40");
    EXPECT_EQ(gdb("/x (long)&init_task.pid"), "0xffffffff87a1b3b0");
    EXPECT_NE(output_of("gdb -batch -nx -ex 'info symbol 0xffffffff86001010' " + file.string()).find("some_function + 16"), std::string::npos);
    EXPECT_EQ(gdb("/x (long)&per_cpu_one"), "0x20");
}

TEST_F(ElfFileTest, NothingIsWrongWithIt)
{
    write(symbols, 0, true);
    const std::string told = readelf();
    EXPECT_NE(told.find("task_struct"), std::string::npos);
    for (const char* trouble : {"Warning", "Error", "corrupt", "<unknown"})
        EXPECT_EQ(told.find(trouble), std::string::npos) << told;
}

// As before the first look, when nothing is known of most structures that symbols are.
TEST_F(ElfFileTest, SymbolsOfUnknownStructuresStopNothing)
{
    std::string all = symbols;
    for (const TypedName& symbol : exported_symbols())
        if (all.find(" " + std::string(symbol.name) + "\n") == std::string::npos)
            all += "ffffffff82b00000 D " + std::string(symbol.name) + "\n";
    write(all.c_str(), 0, true);
    EXPECT_EQ(gdb("(long)&((struct task_struct *)0)->pid"), "2416");
    const std::string told = readelf();
    for (const char* trouble : {"Warning", "Error", "corrupt", "<unknown"})
        EXPECT_EQ(told.find(trouble), std::string::npos) << told.substr(0, 2000);
}

TEST_F(ElfFileTest, Of32Bits)
{
    profile.architecture = "i386";
    for (ProfileMember& member : profile.members)
        if (member.type == "pointer")
            member.size = 4;
    write(symbols_32, 0, false);
    EXPECT_EQ(gdb("(int)&((struct list_head *)0)->prev"), "4");
    EXPECT_EQ(gdb("/x (int)&init_task.pid"), "0xc1300970");
    EXPECT_EQ(readelf().find("Warning"), std::string::npos);
}

} // namespace
