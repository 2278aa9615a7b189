// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include "base64.h"
#include "expect_error.h"
#include "isf.h"
#include "isf_types.h"

using namespace lacuna;

namespace {

const std::map<std::string, std::uint64_t> symbols = {{"init_task", 0xffffffff82a1aa40},
                                                      {"linux_banner", 0xffffffff82000100},
                                                      {"startup_64", 0xffffffff81000000},
                                                      {"modules", 0xffffffff82b292a0},
                                                      {"some_function", 0xffffffff81001000}};

class Isf : public testing::Test {
protected:
    Profile profile;

    Isf()
    {
        profile.kernel_id = "6.1-abc";
        profile.banner = "Linux version 6.1.0-test";
        profile.architecture = "x86_64";
        add("task_struct.tasks", "list", 16, 2192);
        add("task_struct.pid", "int", 4, 2416);
        add("task_struct.comm", "text", 16, 2976);
        add("task_struct.mm", "pointer", 8, 2272);
        add("mm_struct.pgd", "pointer", 8, 72);
        add("mm_struct.start_code", "long", 8, 256);
        add("module.name", "text", 56, 16, true);
    }

    ProfileMember& add(const std::string& qualified, const std::string& type, unsigned size, std::int32_t offset,
                       bool relative_to_list = false)
    {
        ProfileMember member;
        const auto dot = qualified.find('.');
        member.structure = qualified.substr(0, dot);
        member.name = qualified.substr(dot + 1);
        member.type = type;
        member.size = size;
        member.state = LACUNA_RESOLVED;
        member.offset = offset;
        member.relative_to_list = relative_to_list;
        return profile.members.emplace_back(member);
    }

    ProfileMember& member(const std::string& qualified)
    {
        return const_cast<ProfileMember&>(*profile.find(qualified));
    }

    Json fields(const std::string& structure) { return make_isf(profile, symbols).at("user_types").at(structure).at("fields"); }
};

} // namespace

TEST_F(Isf, MembersHaveTheTypesThatCGivesThem)
{
    EXPECT_EQ(fields("task_struct"), Json::parse(R"({
        "tasks": {"offset": 2192, "type": {"kind": "struct", "name": "list_head"}},
        "pid": {"offset": 2416, "type": {"kind": "base", "name": "int"}},
        "comm": {"offset": 2976, "type": {"kind": "array", "count": 16, "subtype": {"kind": "base", "name": "char"}}},
        "mm": {"offset": 2272, "type": {"kind": "pointer", "subtype": {"kind": "struct", "name": "mm_struct"}}}})"));
    EXPECT_EQ(fields("list_head").at("prev"), Json::parse(R"({"offset": 8, "type": {"kind": "pointer",
        "subtype": {"kind": "struct", "name": "list_head"}}})"));
}

TEST_F(Isf, WhateverElseIsLearnedAppearsByItself)
{
    add("task_struct.files", "pointer", 8, 3048);
    add("maple_range_64.slot", "array", 8, 128);
    EXPECT_EQ(fields("maple_range_64").at("slot").at("type").at("count"), 16);
    EXPECT_EQ(fields("maple_node").at("mr64").at("type").at("name"), "maple_range_64");
    EXPECT_FALSE(fields("maple_node").contains("ma64"));
    add("fdtable.fd", "pointer", 8, 8);
    add("new_struct.new_pointer", "pointer", 8, 24);
    add("new_struct.new_text", "text", 5, 32);
    EXPECT_EQ(fields("task_struct").at("files").at("type"),
              Json::parse(R"({"kind": "pointer", "subtype": {"kind": "struct", "name": "files_struct"}})"));
    EXPECT_EQ(fields("fdtable").at("fd").at("type"), Json::parse(R"({"kind": "pointer", "subtype":
        {"kind": "pointer", "subtype": {"kind": "struct", "name": "file"}}})"));
    EXPECT_EQ(fields("new_struct"), Json::parse(R"({
        "new_pointer": {"offset": 24, "type": {"kind": "pointer", "subtype": {"kind": "base", "name": "void"}}},
        "new_text": {"offset": 32, "type": {"kind": "array", "count": 5, "subtype": {"kind": "base", "name": "char"}}}})"));
}

// A reader adds the place of the inner structure and that in it: the sum counts, in each structure that has one of it.
TEST_F(Isf, StructuresWithinStructures)
{
    add("file.f_path.dentry", "pointer", 8, 72);
    add("file.f_path.mnt", "pointer", 8, 64);
    add("fs_struct.root.dentry", "pointer", 8, 32);
    add("fs_struct.pwd.mnt", "pointer", 8, 40);
    add("dentry.d_name.name", "pointer", 8, 40);
    add("sock.__sk_common.skc_family", "short", 2, 16);
    const auto place = [&](const char* structure, const char* outer, const char* inner_structure, const char* inner) {
        return fields(structure).at(outer).at("offset").get<int>() + fields(inner_structure).at(inner).at("offset").get<int>();
    };
    EXPECT_EQ(place("file", "f_path", "path", "dentry"), 72);
    EXPECT_EQ(place("file", "f_path", "path", "mnt"), 64);
    EXPECT_EQ(place("fs_struct", "root", "path", "dentry"), 32);
    EXPECT_EQ(place("fs_struct", "root", "path", "mnt"), 24); // as in a file
    EXPECT_EQ(place("fs_struct", "pwd", "path", "mnt"), 40);
    EXPECT_EQ(place("dentry", "d_name", "qstr", "name"), 40);
    EXPECT_EQ(place("sock", "__sk_common", "sock_common", "skc_family"), 16);
    EXPECT_EQ(fields("sock_common").at("skc_family").at("type").at("name"), "unsigned short");
    EXPECT_EQ(fields("file").at("f_path").at("type").at("name"), "path");
    // one that does not fit the others says that something is wrong with them
    add("fs_struct.pwd.dentry", "pointer", 8, 32);
    EXPECT_FALSE(fields("file").contains("f_path"));
}

TEST_F(Isf, PartsOfModules)
{
    add("module.module_core", "pointer", 8, 312, true);
    add("module.core_text_size", "int", 4, 320, true);
    add("module.mem[1].base", "pointer", 8, 384, true);
    EXPECT_FALSE(make_isf(profile, symbols).at("enums").contains("mod_mem_type"));
    add("module.list", "list", 16, 8);
    EXPECT_EQ(fields("module").at("mem"), Json::parse(R"({"offset": 320, "type": {"kind": "array", "count": 7,
        "subtype": {"kind": "struct", "name": "module_memory"}}})"));
    EXPECT_EQ(fields("module_memory").at("size").at("offset"), 8);
    const Json isf = make_isf(profile, symbols);
    EXPECT_EQ(isf.at("user_types").at("module_memory").at("size"), 72);
    EXPECT_EQ(isf.at("enums").at("mod_mem_type").at("constants").at("MOD_INIT_RODATA"), 6);
}

// What tools read and nobody knows is a number without bytes, which reads as 0.
TEST_F(Isf, WhatIsNotKnownHasNoBytes)
{
    add("inode.i_mode", "short", 2, 0);
    EXPECT_EQ(fields("inode").at("i_mtime").at("type").at("name"), "timespec64");
    const Json isf = make_isf(profile, symbols);
    const std::string nothing = isf.at("user_types").at("timespec64").at("fields").at("tv_sec").at("type").at("name").get<std::string>();
    EXPECT_EQ(isf.at("base_types").at(nothing).at("size"), 0);
    EXPECT_FALSE(isf.at("user_types").contains("module"));
    add("super_block.s_flags", "long", 8, 80);
    EXPECT_EQ(fields("super_block").at("s_subtype").at("type").at("name"), nothing);
    add("module.list", "list", 16, 8);
    add("module.core_size", "int", 4, 312, true);
    EXPECT_EQ(fields("module").at("init_size").at("type").at("name"), nothing);
}

TEST_F(Isf, NodesOfMountsAreWhereToolsLookForThem)
{
    add("mnt_namespace.list", "list", 16, 32);
    add("mount.mnt_list", "list", 16, 144);
    EXPECT_EQ(fields("mount").at("mnt_list").at("offset"), 144);
    profile.members.erase(profile.members.end() - 2, profile.members.end());
    add("mnt_namespace.mounts", "pointer", 8, 112);
    add("mount.mnt_node", "structure", 8, 64);
    EXPECT_EQ(fields("mount").at("mnt_list").at("offset"), 64);
    EXPECT_EQ(fields("mount").at("mnt_node").at("offset"), 64);
}

TEST_F(Isf, SocketsAsTheirProtocolsSeeThem)
{
    add("sock.sk_socket", "pointer", 8, 600);
    EXPECT_EQ(fields("unix_sock").at("sk").at("offset"), 0);
    EXPECT_EQ(fields("sockaddr_un").at("sun_path").at("offset"), 2);
    EXPECT_FALSE(fields("inet_sock").contains("pinet6"));
    add("sock.__sk_common.skc_v6_rcv_saddr", "address", 16, 72);
    EXPECT_EQ(fields("inet_sock").at("pinet6").at("offset"), 72);
    EXPECT_FALSE(make_isf(profile, symbols).at("user_types").contains("socket_alloc"));
    add("socket_alloc.vfs_inode", "structure", 8, 128);
    EXPECT_EQ(fields("socket_alloc").at("socket").at("offset"), 0);
    EXPECT_EQ(fields("socket_alloc").at("vfs_inode").at("offset"), 128);
}

// Every type that is named must be there, else Volatility does not load the file.
TEST_F(Isf, NamesNothingThatItDoesNotHave)
{
    for (const TypedName& one : member_types())
        add(std::string(one.name), "pointer", 8, 8);
    const Json isf = make_isf(profile, symbols);
    const std::function<void(const Json&)> check = [&](const Json& json) {
        if (json.is_object() && json.contains("kind") && json.contains("name")) {
            EXPECT_TRUE(isf.at(json.at("kind") == "base" ? "base_types" : "user_types").contains(json.at("name"))) << json;
        }
        if (json.is_structured())
            for (const Json& inner : json)
                check(inner);
    };
    check(isf.at("user_types"));
    auto all = symbols;
    for (const TypedName& one : exported_symbols())
        all.emplace(one.name, 0xffffffff81000000);
    const Json typed = make_isf(profile, all).at("symbols");
    check(typed);
    for (const TypedName& one : exported_symbols()) // Volatility makes no object of one without a type
        EXPECT_TRUE(typed.at(std::string(one.name)).contains("type")) << one.name;
    for (const std::string_view name : expected_structures())
        EXPECT_TRUE(isf.at("user_types").contains(std::string(name))) << name;
}

// Of the kernel's own, whatever file system has one.
TEST_F(Isf, HasTheFunctionsThatNameWhatHasNoPath)
{
    auto more = symbols;
    more["pidfs_dname"] = 0xffffffff81400000;
    more["__pfx_pidfs_dname"] = 0xffffffff813ffff0;
    more["d_path"] = 0xffffffff81410000;
    const Json exported = make_isf(profile, more).at("symbols");
    EXPECT_EQ(exported.at("pidfs_dname"), Json({{"address", 0xffffffff81400000}, {"type", {{"kind", "base"}, {"name", "void"}}}}));
    EXPECT_FALSE(exported.contains("__pfx_pidfs_dname"));
    EXPECT_FALSE(exported.contains("d_path"));
}

// With this symbol Volatility wants its structure, without it knows the letters by itself.
TEST_F(Isf, AllSymbolsButThoseThatNeedAStructure)
{
    auto more = symbols;
    more["worker_thread"] = 0xffffffff81400000;
    more["taint_flags"] = 0xffffffff81800000;
    const Json exported = make_isf(profile, more, true).at("symbols");
    EXPECT_EQ(exported.at("worker_thread").at("address"), 0xffffffff81400000);
    EXPECT_FALSE(exported.contains("taint_flags"));
}

// struct module_kobject begins with the kobject; where that is has been learned, and where its members are in it.
TEST_F(Isf, KobjectsOfModules)
{
    add("module.list", "list", 16, 8);
    add("module.mkobj.kobj", "structure", 8, 72, true);
    add("module.mkobj.mod", "pointer", 8, 136, true);
    add("kobject.entry", "list", 16, 8);
    add("kobject.kref", "int", 4, 56);
    add("kset.list", "list", 16, 0);
    EXPECT_EQ(fields("module").at("mkobj").at("offset"), 80);
    EXPECT_EQ(fields("module_kobject").at("kobj").at("offset"), 0);
    EXPECT_EQ(fields("module_kobject").at("mod").at("offset"), 64);
    EXPECT_EQ(fields("kobject").at("name").at("offset"), 0);
    EXPECT_EQ(fields("kobject").at("kref").at("offset"), 56);
    EXPECT_EQ(fields("kref").at("refcount").at("type").at("name"), "atomic_t");
}

TEST_F(Isf, OnlyWhatIsKnown)
{
    add("task_struct.files", "pointer", 8, 0).state = LACUNA_AMBIGUOUS;
    add("task_struct.tgid", "int", 4, 0).state = LACUNA_ABSENT;
    member("task_struct.pid").state = LACUNA_TIED;
    member("task_struct.pid").candidates = {2416, 2420};
    EXPECT_FALSE(fields("task_struct").contains("files"));
    EXPECT_FALSE(fields("task_struct").contains("tgid"));
    EXPECT_EQ(fields("task_struct").at("pid").at("offset"), 2416); // either serves
    EXPECT_FALSE(make_isf(profile, symbols).at("user_types").contains("module")); // where its list lies is not known
    add("module.list", "list", 16, 8);
    EXPECT_EQ(fields("module").at("name").at("offset"), 24);
    EXPECT_EQ(fields("module").at("list").at("offset"), 8);
}

TEST_F(Isf, NoneWithoutWhatProcessesAreFoundBy)
{
    for (const char* name : {"task_struct.tasks", "task_struct.pid", "task_struct.comm", "task_struct.mm", "mm_struct.pgd"}) {
        member(name).state = LACUNA_AMBIGUOUS;
        EXPECT_EQ(why_no_isf(profile, symbols), std::string(name) + " is not known (yet)");
        EXPECT_ERROR(make_isf(profile, symbols), "kernel 6.1-abc: there is no ISF of it");
        member(name).state = LACUNA_RESOLVED;
    }
    EXPECT_EQ(why_no_isf(profile, symbols), "");
    EXPECT_EQ(why_no_isf(profile, {}), "the symbols of its image have not been read by this version");
    EXPECT_EQ(why_no_isf(profile, {{"init_task", 1}}), "its image has no symbol linux_banner");
}

TEST_F(Isf, SymbolsOfTheImage)
{
    const Json isf = make_isf(profile, symbols).at("symbols");
    EXPECT_EQ(isf.at("init_task"),
              Json::parse(R"({"address": 18446744071606217280, "type": {"kind": "struct", "name": "task_struct"}})"));
    EXPECT_EQ(isf.at("linux_banner").at("constant_data"), "TGludXggdmVyc2lvbiA2LjEuMC10ZXN0");
    EXPECT_EQ(isf.at("phys_startup_64").at("address"), 0x1000000);
    EXPECT_FALSE(isf.contains("some_function"));
    EXPECT_FALSE(isf.contains("init_files")); // the image does not say where it is
    const Json all = make_isf(profile, symbols, true).at("symbols");
    EXPECT_EQ(all.at("some_function").at("address"), 0xffffffff81001000);
    EXPECT_EQ(all.at("init_task"), isf.at("init_task"));
}

TEST_F(Isf, ThirtyTwoBits)
{
    profile.architecture = "i386";
    const Json isf = make_isf(profile, symbols);
    EXPECT_EQ(isf.at("base_types").at("pointer").at("size"), 4);
    EXPECT_EQ(isf.at("base_types").at("unsigned long").at("size"), 4);
    EXPECT_EQ(isf.at("user_types").at("list_head").at("fields").at("prev").at("offset"), 4);
    EXPECT_FALSE(isf.at("symbols").contains("phys_startup_64"));
}

TEST(Base64, AsInTheStandard)
{
    EXPECT_EQ(base64(""), "");
    EXPECT_EQ(base64("f"), "Zg==");
    EXPECT_EQ(base64("fo"), "Zm8=");
    EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
    EXPECT_EQ(base64(std::string("\0\xff", 2)), "AP8=");
}

TEST_F(Isf, HasSoManyNamesOfKindsOfFilesAndNoMore)
{
    std::map<std::string, std::uint64_t> many = symbols;
    for (unsigned i = 0; i < 100'000; i++)
        many.emplace(std::to_string(i) + "_dname", 0xffffffff81000000 + i);
    const Json isf = make_isf(profile, many);
    EXPECT_LT(isf.at("symbols").size(), 512u);
    EXPECT_TRUE(isf.at("symbols").contains("init_task"));
}
