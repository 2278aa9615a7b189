// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "expect_error.h"
#include "exports.h"
#include "isf.h"
#include "temporary_directory.h"

using namespace lacuna;

namespace {

const char* const symbols = "ffffffff81000000 T _text\nffffffff81000000 T startup_64\nffffffff82000000 D linux_banner\n"
                            "ffffffff82a00000 D init_task\nffffffff82a10000 D init_top_pgt\nffffffff83000000 B _end\n";

Profile profile_of(const std::string& kernel_id, std::int32_t pid)
{
    Profile profile;
    profile.kernel_id = kernel_id;
    profile.banner = "Linux version " + kernel_id;
    profile.architecture = "x86_64";
    for (const auto& [structure, name, offset] :
         {std::tuple("task_struct", "tasks", 8), std::tuple("task_struct", "pid", pid), std::tuple("task_struct", "comm", 40),
          std::tuple("task_struct", "mm", 64), std::tuple("mm_struct", "pgd", 72)}) {
        ProfileMember member;
        member.structure = structure;
        member.name = name;
        member.type = "pointer";
        member.size = 8;
        member.state = LACUNA_RESOLVED;
        member.offset = offset;
        member.evidence.boots = 1;
        profile.members.push_back(member);
    }
    profile.provenance = {1, "", {{"web", 1, ""}}, 1, 0, 0, {}};
    return profile;
}

Json facts(const std::string& guest, const std::string& state = "done", const std::string& slide = "0x8000000")
{
    return {{"name", guest},
            {"state", state},
            {"kernel", {{"id", "k1"}, {"release", "6.1.0-test"}, {"architecture", "x86_64"}}},
            {"slide", slide},
            {"text_gpa", "0xbc00000"},
            {"paging", "4-level"},
            {"addresses", {{"text", "0xffffffff89000000"}, {"page_table_gpa", "0xd610000"}}}};
}

unsigned mode_of(const std::filesystem::path& file)
{
    struct stat status {};
    EXPECT_EQ(stat(file.c_str(), &status), 0) << file;
    return status.st_mode & 07777;
}

} // namespace

class ExportsTest : public testing::Test {
protected:
    TemporaryDirectory folder;
    Store store{folder.path()};
    std::optional<Exports> exports;
    const std::filesystem::path out = folder.path() / "export";

    void learn(std::int32_t pid = 16)
    {
        store.put_symbols("k1", symbols);
        store.put_profile(profile_of("k1", pid));
        exports->update_kernel("k1");
    }
    Json json_of(const std::filesystem::path& file) { return Json::parse(store.text_of(out / file).value()); }
    bool there(const std::filesystem::path& file) { return std::filesystem::exists(out / file); }
    std::string libvmi() { return store.text_of(out / "libvmi.conf").value(); }

    void SetUp() override { exports.emplace(store); }
};

TEST_F(ExportsTest, AKernelHasAnIsfAndABanner)
{
    learn();
    EXPECT_EQ(json_of("isf/k1.json").at("user_types").at("task_struct").at("fields").at("pid").at("offset"), 16);
    EXPECT_EQ(json_of("banners.json"),
              Json({{"version", 1},
                    {"linux", {{"TGludXggdmVyc2lvbiBrMQ==", {"file://" + (out / "isf/k1.json").string()}}}}}));
    EXPECT_EQ(mode_of(out / "isf/k1.json"), 0644u);
    EXPECT_EQ(mode_of(out / "libvmi.conf"), 0600u);
    // It follows the profile, and goes with it.
    store.forget_profile("k1");
    learn(24);
    EXPECT_EQ(json_of("isf/k1.json").at("user_types").at("task_struct").at("fields").at("pid").at("offset"), 24);
    store.forget_profile("k1");
    exports->update_kernel("k1");
    EXPECT_FALSE(there("isf/k1.json"));
    EXPECT_EQ(json_of("banners.json").at("linux"), Json::object());
}

// Tools keep what they have read by the time of the file's change.
TEST_F(ExportsTest, WhatSaysNothingNewIsNotWrittenAnew)
{
    learn();
    const auto old = std::filesystem::file_time_type::clock::now() - std::chrono::hours(1);
    std::filesystem::last_write_time(out / "isf/k1.json", old);
    learn();
    EXPECT_EQ(std::filesystem::last_write_time(out / "isf/k1.json"), old);
}

TEST_F(ExportsTest, ABootHasItsFilesAsLongAsItRuns)
{
    learn();
    exports->update_guest(facts("web"));
    exports->update_guest(facts("db"));
    exports->update_guest(facts("a")); // a name that LibVMI's grammar does not take
    const std::string ist = " { volatility_ist = \"" + (out / "isf/k1.json").string() + "\"; }\n";
    EXPECT_EQ(libvmi(), "db" + ist + "web" + ist);
    EXPECT_TRUE(there("guests/a/volatility.json"));
    EXPECT_EQ(json_of("guests/web/volatility.json").at("kernel.offset"), 0x8000000);
    EXPECT_EQ(store.text_of(out / "guests/web/System.map")->substr(0, 25), "ffffffff89000000 T _text\n");
    EXPECT_NE(store.text_of(out / "guests/web/vmcoreinfo")->find("SYMBOL(swapper_pg_dir)=ffffffff8aa10000\n"), std::string::npos);
    EXPECT_EQ(mode_of(out / "guests"), 0700u);
    EXPECT_EQ(mode_of(out / "guests/web"), 0700u);
    EXPECT_EQ(mode_of(out / "guests/web/System.map"), 0600u);

    exports->update_guest(facts("web", "done", "0x9000000")); // after a reset it has slid elsewhere
    EXPECT_EQ(json_of("guests/web/volatility.json").at("kernel.offset"), 0x9000000);
    Json found_no_kernel = facts("web", "waiting");
    found_no_kernel.erase("addresses");
    exports->update_guest(found_no_kernel);
    exports->update_guest(facts("db", "gone"));
    EXPECT_FALSE(there("guests/web"));
    EXPECT_FALSE(there("guests/db"));
    EXPECT_TRUE(there("guests/a"));
    EXPECT_EQ(libvmi(), "");
}

TEST_F(ExportsTest, WhatIsLearnedLaterIsAddedToBootsThatRun)
{
    store.put_symbols("k1", symbols);
    exports->update_guest(facts("web"));
    EXPECT_TRUE(there("guests/web/vmcoreinfo"));
    EXPECT_FALSE(there("guests/web/volatility.json"));
    EXPECT_EQ(libvmi(), "");
    learn();
    exports->update_guest(facts("web"));
    EXPECT_TRUE(there("guests/web/volatility.json"));
    EXPECT_NE(libvmi().find("web {"), std::string::npos);
}

TEST_F(ExportsTest, AnEarlierDaemonsBootsGoAndItsKernelsStay)
{
    learn();
    exports->update_guest(facts("web"));
    exports.emplace(store);
    EXPECT_FALSE(there("guests"));
    EXPECT_EQ(libvmi(), "");
    EXPECT_TRUE(there("isf/k1.json"));
}

TEST_F(ExportsTest, SymbolsThatComeLaterCompleteAKernel)
{
    store.put_profile(profile_of("k1", 16));
    exports.emplace(store);
    EXPECT_TRUE(exports->missing().empty()); // nothing to be done yet
    store.put_symbols("k1", symbols);
    EXPECT_EQ(exports->missing(), std::vector<std::string>{"k1"});
    exports->update_kernel("k1");
    EXPECT_TRUE(exports->missing().empty());
    EXPECT_TRUE(there("isf/k1.json"));
    store.put_symbols("k2", symbols);
    store.forget_symbols();
    EXPECT_TRUE(store.symbols("k1"));
    EXPECT_FALSE(store.symbols("k2"));
}

TEST_F(ExportsTest, WhatCannotBeWrittenStopsNothing)
{
    learn();
    std::filesystem::remove_all(out / "banners.json");
    std::filesystem::create_directories(out / "banners.json/full");
    EXPECT_NO_THROW(exports.emplace(store));
    EXPECT_THROW(exports->update_kernel("k1"), Error);
}

TEST_F(ExportsTest, OnRequest)
{
    learn();
    store.put_guest("web", facts("web"));
    exports->update_guest(facts("web"));
    const auto ask = [&](const char* format, const char* name) { return make_export(store, {format, name, "/m.raw", false}); };
    EXPECT_EQ(ask("isf", "web"), store.text_of(out / "isf/k1.json"));
    EXPECT_EQ(ask("isf", "k1"), ask("isf", "web"));
    EXPECT_EQ(ask("map", "k1"), symbols);
    EXPECT_EQ(ask("map", "web"), store.text_of(out / "guests/web/System.map"));
    EXPECT_EQ(ask("vmcoreinfo", "web"), store.text_of(out / "guests/web/vmcoreinfo"));
    EXPECT_EQ(ask("libvmi", "web"), libvmi());
    EXPECT_EQ(Json::parse(ask("vol-config", "web")).at("kernel.layer_name.memory_layer.location"), "file:///m.raw");
    EXPECT_TRUE(ask("elf", "web").starts_with("\177ELF"));
    EXPECT_NE(ask("elf", "web"), ask("elf", "k1")); // which has not slid
    EXPECT_ERROR(ask("vmcoreinfo", "k1"), "vmcoreinfo: belongs to one boot of a guest");
    EXPECT_THROW(ask("isf", "nobody"), Unknown);
    store.put_guest("web", facts("web", "gone"));
    EXPECT_ERROR(ask("map", "web"), "web: is gone");
}

TEST_F(ExportsTest, WithoutPageTablesThereIsNoVmcoreinfo)
{
    learn();
    std::string without = symbols;
    without.erase(without.find("ffffffff82a10000"), std::string("ffffffff82a10000 D init_top_pgt\n").size());
    store.put_symbols("k1", without);
    store.put_guest("web", facts("web"));
    exports->update_guest(facts("web"));
    EXPECT_FALSE(there("guests/web/vmcoreinfo"));
    EXPECT_ERROR(make_export(store, {"vmcoreinfo", "web", {}, false}), "do not say where its page tables are");
    EXPECT_NE(exports_of(store, "k1", facts("web"))[3].why_not, "");
}

TEST_F(ExportsTest, ListsWhatThereIsOrWhyNot)
{
    learn();
    Json five = facts("web");
    five["paging"] = "5-level";
    const auto all = exports_of(store, "k1", five);
    ASSERT_EQ(all.size(), 5u);
    EXPECT_EQ(all[0].why_not, "");
    EXPECT_EQ(all[0].file, out / "isf/k1.json");
    EXPECT_NE(all[1].why_not.find("5-level"), std::string::npos);
    EXPECT_NE(all[2].why_not.find("5-level"), std::string::npos);
    EXPECT_EQ(all[3].why_not, "");
    EXPECT_EQ(all[3].file, out / "guests/web/vmcoreinfo");
    EXPECT_EQ(exports_of(store, "k1", {}).size(), 1u);
}
