// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include "boot_files.h"
#include "expect_error.h"
#include "symbol_file.h"

using namespace lacuna;

namespace {

const std::filesystem::path isf = "/var/lib/lacuna/export/isf/6.1-abc.json";

Json facts()
{
    return Json::parse(R"({"name": "web1", "state": "done", "kernel": {"id": "6.1-abc", "release": "6.1.0-test", "architecture": "x86_64"},
        "slide": "0x8000000", "text_gpa": "0xbc00000", "paging": "4-level",
        "addresses": {"text": "0xffffffff89000000", "init_task": "0xffffffff8aa00000", "page_table_gpa": "0xd610000"}})");
}

BootFacts boot()
{
    return *boot_facts(facts());
}

} // namespace

TEST(BootFacts, OfABootWhoseKernelHasBeenFound)
{
    const BootFacts found = boot();
    EXPECT_EQ(found.guest, "web1");
    EXPECT_EQ(found.slide, 0x8000000u);
    EXPECT_EQ(found.text, 0xffffffff89000000u);
    EXPECT_EQ(found.page_table, 0xd610000u);
    Json other = facts();
    other["state"] = "gone";
    EXPECT_FALSE(boot_facts(other));
    other = facts();
    other.erase("addresses");
    EXPECT_FALSE(boot_facts(other));
    other = facts();
    other["kernel"]["id"] = nullptr;
    EXPECT_FALSE(boot_facts(other));
}

TEST(LibvmiStanza, HasTheIsfAndNothingThatTurnsChecksOff)
{
    EXPECT_EQ(libvmi_stanza(boot(), isf), "web1 { volatility_ist = \"/var/lib/lacuna/export/isf/6.1-abc.json\"; }\n");
}

// One bad stanza breaks the file for every guest.
TEST(LibvmiStanza, OnlyOfNamesAndPathsThatItsGrammarTakes)
{
    BootFacts one = boot();
    for (const char* name : {"a", "101", "0x1f", "-web", "_web", "web+1", "sysmap", "kpgd", ""}) {
        one.guest = name;
        EXPECT_FALSE(why_no_libvmi_stanza(one, isf).empty()) << name;
    }
    for (const char* name : {"web", "1a", "10.1", "w-1_b.c", "kpgd2", "0xg"}) {
        one.guest = name;
        EXPECT_EQ(why_no_libvmi_stanza(one, isf), "") << name;
    }
    for (const char* path : {"/srv/a+b.json", "/srv/a b.json", "/srv/~a", "relative"})
        EXPECT_FALSE(why_no_libvmi_stanza(one, path).empty()) << path;
}

TEST(LibvmiStanza, NotOf32BitKernelsWhichItDoesNotFind)
{
    BootFacts one = boot();
    one.architecture = "i386";
    EXPECT_ERROR(libvmi_stanza(one, isf), "32-bit");
}

TEST(BootFiles, FiveLevelsAreNotForToolsThatMisreadThem)
{
    BootFacts one = boot();
    one.paging = "5-level";
    EXPECT_ERROR(libvmi_stanza(one, isf), "5-level page tables");
    EXPECT_ERROR(volatility_config(one, isf, "/m"), "5-level page tables");
    EXPECT_NE(vmcoreinfo(one, 0xffffffff82a10000).find("NUMBER(pgtable_l5_enabled)=1\n"), std::string::npos);
}

TEST(VolatilityConfig, SaysWhereEverythingIs)
{
    const Json json = volatility_config(boot(), isf, "/tmp/a b.raw");
    EXPECT_EQ(json.at("kernel.offset"), 0x8000000);
    EXPECT_EQ(json.at("kernel.layer_name.class"), "volatility3.framework.layers.intel.Intel32e");
    EXPECT_EQ(json.at("kernel.layer_name.page_map_offset"), 0xd610000);
    EXPECT_EQ(json.at("kernel.layer_name.memory_layer.location"), "file:///tmp/a%20b.raw");
    EXPECT_EQ(json.at("kernel.symbol_table_name.isf_url"), "file:///var/lib/lacuna/export/isf/6.1-abc.json");
    EXPECT_EQ(json.at("kernel.symbol_table_name.symbol_mask"), 0xffffffffffff);
    BootFacts other = boot();
    other.paging = "PAE";
    EXPECT_EQ(volatility_config(other, isf, "/m").at("kernel.layer_name.class"), "volatility3.framework.layers.intel.IntelPAE");
    EXPECT_EQ(volatility_config(other, isf, "/m").at("kernel.symbol_table_name.symbol_mask"), 0xffffffff);
    other.page_table = 0;
    EXPECT_ERROR(volatility_config(other, isf, "/m"), "page tables have not been found");
}

TEST(Vmcoreinfo, IsComputedFromSlideAndPhysicalAddress)
{
    EXPECT_EQ(vmcoreinfo(boot(), 0xffffffff82a10000), "OSRELEASE=6.1.0-test\nPAGESIZE=4096\n"
                                                      "SYMBOL(swapper_pg_dir)=ffffffff8aa10000\nKERNELOFFSET=8000000\n"
                                                      "NUMBER(phys_base)=46137344\nNUMBER(pgtable_l5_enabled)=0\n");
    BootFacts other = boot();
    other.text_gpa = 0x1000000; // below where it is linked to, after its slide
    EXPECT_NE(vmcoreinfo(other, 1).find("NUMBER(phys_base)=-134217728\n"), std::string::npos);
    other.architecture = "i386";
    EXPECT_ERROR(vmcoreinfo(other, 1), "32-bit");
}

TEST(SymbolFile, HoldsWhatTheTableLeavesOut)
{
    KernelDescriptor kernel;
    kernel.text = 0xffffffff81000000;
    kernel.end = 0xffffffff83000000;
    kernel.init_task = 0xffffffff82a00000;
    kernel.banner_address = 0xffffffff82000000;
    const std::string text = symbol_text(
        kernel, Symbols({{0xffffffff81000000, 'T', "_text"}, {0x1fbc0, 'A', "current_task"}, {0xffffffff82a00000, 'D', "init_task"}}, "x"));
    EXPECT_EQ(text, "000000000001fbc0 A current_task\nffffffff81000000 T _text\nffffffff82000000 D linux_banner\n"
                    "ffffffff82a00000 D init_task\nffffffff83000000 B _end\n");
    EXPECT_EQ(slid_symbol_text(text, 0x1000), "000000000001fbc0 A current_task\nffffffff81001000 T _text\n"
                                              "ffffffff82001000 D linux_banner\nffffffff82a01000 D init_task\nffffffff83001000 B _end\n");
    EXPECT_ERROR(slid_symbol_text("0000000000000001 A x\n", 1), "_text");
    EXPECT_ERROR(addresses_of("nonsense\n"), "nonsense");
}

TEST(SymbolFile, WhatStandsAtSeveralAddressesIsNotGuessed)
{
    const auto addresses = addresses_of("0000000000000001 t a\n0000000000000002 t b\n0000000000000003 t a\n0000000000000002 T b\n");
    EXPECT_EQ(addresses, (std::map<std::string, std::uint64_t>{{"b", 2}}));
}
