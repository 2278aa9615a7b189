// SPDX-License-Identifier: GPL-2.0-or-later
#include <fstream>

#include "config.h"
#include "expect_error.h"
#include "temporary_directory.h"

using namespace lacuna;

namespace {

Config parse(const char* text)
{
    return parse_config(text, "/etc/lacuna/lacuna.toml");
}

} // namespace

TEST(Config, ReadsEverything)
{
    const Config config = parse(R"(
store = "/srv/store"
socket = "run/sock"
constraints = "/srv/constraints"
deadline_seconds = 30
record = true
confirm_boots = 3
compare_one_in = 0
final_after_boots = 9
group = "vmi"
log_level = "warn"
[[guest]]
name = "web*"
kernels = ["/k/one", "two"]
system_map = "/k/map"
[[guest]]
name = "db"
image = "/images/db.raw"
image_format = "raw"
[[guest]]
name = "lvm"
uuid = "1-*"
policy = "learn-if-unknown"
images = ["/images/a", "b"]
[[guest]]
command = "*microvm*"
policy = "ignore"
)");
    EXPECT_EQ(config.store, "/srv/store");
    EXPECT_EQ(config.socket, "/etc/lacuna/run/sock"); // relative to the file's folder
    EXPECT_EQ(config.constraints, "/srv/constraints");
    EXPECT_EQ(config.deadline_seconds, 30u);
    EXPECT_TRUE(config.record);
    EXPECT_EQ(config.trust, (Trust{3, 0, 9}));
    EXPECT_EQ(parse("").trust, (Trust{2, 100, 3}));
    EXPECT_ERROR(parse("confirm_boots = 0"), "\"confirm_boots\" is out of range");
    EXPECT_EQ(config.group, "vmi");
    EXPECT_EQ(config.log_level, "warn");
    ASSERT_EQ(config.guests.size(), 4u);
    EXPECT_EQ(config.guests[0].kernels, (std::vector<std::filesystem::path>{"/k/one", "/etc/lacuna/two"}));
    EXPECT_EQ(config.guests[0].system_map, "/k/map");
    EXPECT_EQ(config.guests[1].images, (std::vector<Disk>{{"/images/db.raw", "raw"}}));
    EXPECT_EQ(config.guests[2].images, (std::vector<Disk>{{"/images/a", ""}, {"/etc/lacuna/b", ""}}));
    EXPECT_EQ(config.guests[2].uuid, "1-*");
    EXPECT_EQ(config.guests[2].policy, Policy::learn_if_unknown);
    EXPECT_EQ(config.guests[3].command, "*microvm*");
    EXPECT_EQ(config.guests[3].policy, Policy::ignore);
}

VmmProcess vmm(const std::string& name, const std::string& uuid = {}, const std::string& command = {})
{
    VmmProcess process;
    process.name = name;
    process.uuid = uuid;
    process.command = command;
    return process;
}

TEST(Config, FirstRuleThatFitsWins)
{
    const Config config =
        parse("[[guest]]\nname='web-[0-9]'\nkernel='/a'\n[[guest]]\nname='web*'\npolicy='ignore'\n");
    EXPECT_EQ(config.rule_for(vmm("web-1")), &config.guests[0]);
    EXPECT_EQ(config.rule_for(vmm("web-x")), &config.guests[1]);
    EXPECT_EQ(config.rule_for(vmm("db")), nullptr);
}

TEST(Config, RulesByUuidAndCommandLine)
{
    const Config config = parse("[[guest]]\nuuid='1-*'\n[[guest]]\nname='a'\ncommand='*/firecracker *'\n");
    EXPECT_EQ(config.rule_for(vmm("a", "1-2")), &config.guests[0]);
    EXPECT_EQ(config.rule_for(vmm("a", "2-1", "/usr/bin/firecracker --id a")), &config.guests[1]);
    EXPECT_EQ(config.rule_for(vmm("b", "2-1", "/usr/bin/firecracker --id a")),
              nullptr); // all of a rule must fit
    EXPECT_EQ(config.rule_for(vmm("a", "2-1", "/usr/bin/qemu")), nullptr);
}

TEST(Config, DefaultsOfAnEmptyFile)
{
    const Config config = parse("");
    EXPECT_EQ(config.store, "/var/lib/lacuna");
    EXPECT_EQ(config.socket, "/run/lacuna/lacunad.sock");
    EXPECT_EQ(config.deadline_seconds, 120u);
    EXPECT_EQ(config.deep, Deep::on);
    EXPECT_FALSE(config.record);
}

TEST(Config, ErrorsNameFileAndLine)
{
    EXPECT_ERROR(parse("store = 'a'\nstroe = 'b'\n"),
                 "/etc/lacuna/lacuna.toml:2: unknown key \"stroe\"; allowed here: store");
    EXPECT_ERROR(parse("[[guest]]\nname='a'\nkernal='b'\n"), "lacuna.toml:3: unknown key \"kernal\"");
    EXPECT_ERROR(parse("store = \n"), "/etc/lacuna/lacuna.toml:1: ");
    EXPECT_ERROR(parse("\nstore = 5\n"), "lacuna.toml:2: \"store\" is no text");
    EXPECT_ERROR(parse("record = 'yes'"), "\"record\" is neither true nor false");
    EXPECT_ERROR(parse("log_level = 'loud'"),
                 "lacuna.toml:1: unknown log level \"loud\"; allowed are trace, debug");
    EXPECT_EQ(parse("deep = \"off\"").deep, Deep::off);
    EXPECT_EQ(parse("deep = \"on-request\"").deep, Deep::on_request);
    EXPECT_ERROR(parse("deep = \"often\""), "\"off\", \"on-request\" or \"on\" is allowed");
    EXPECT_ERROR(parse("deadline_seconds = 0"), "a whole number from 1 to 3600 is allowed");
    for (const char* address : {"nonsense", ":9464", "127.0.0.1:", "127.0.0.1:http"})
        EXPECT_ERROR(parse((std::string("metrics = \"") + address + "\"").c_str()), "no address with a port");
    EXPECT_ERROR(parse("deadline_seconds = 1.5"), "\"deadline_seconds\" is out of range");
    EXPECT_ERROR(parse("\n[[guest]]\nkernel = '/a'\n"), "lacuna.toml:2: a [[guest]] that does not say which");
    EXPECT_ERROR(parse("[guest]\nname = 'a'\n"), "write [[guest]] with two brackets");
    EXPECT_ERROR(parse("[[guest]]\nname='a'\npolicy='learm'\n"), "lacuna.toml:3: unknown policy \"learm\"");
    EXPECT_ERROR(parse("[[guest]]\nname='a'\nkernel='b'\nimage='c'\n"), "named in more than one way");
    EXPECT_ERROR(parse("[[guest]]\nname='a'\nsystem_map='b'\nimage='c'\n"),
                 "lacuna.toml:3: \"system_map\" does not go");
    EXPECT_ERROR(parse("[[guest]]\nname='a'\nimage='c'\nimage_format='vdi'\n"),
                 "unknown image format \"vdi\"");
    EXPECT_ERROR(parse("[[guest]]\nname='a'\nkernels=[]\n"), "\"kernels\" is no list of files");
    EXPECT_ERROR(load_config("/nonexistent/lacuna.toml"),
                 "/nonexistent/lacuna.toml: the configuration cannot be read");
}

TEST(Config, DoubtsNameWhatIsNotThere)
{
    const TemporaryDirectory folder;
    std::ofstream(folder.path() / "vmlinuz") << "kernel";
    const auto doubts = [&](const std::string& rules) {
        return doubts_about(parse_config("constraints = '.'\n" + rules, folder.path() / "lacunad.toml"));
    };
    EXPECT_EQ(doubts("[[guest]]\nname='web-1'\nkernel='vmlinuz'\n[[guest]]\nname='*'\npolicy='ignore'\n"),
              std::vector<std::string>{});
    const std::string file = (folder.path() / "gone").string();
    EXPECT_EQ(doubts("[[guest]]\nname='a'\nkernel='gone'\n"),
              std::vector{"guest a: kernel " + file + " is not there"});
    EXPECT_EQ(doubts("[[guest]]\nname='a'\nimage='gone'\n"),
              std::vector{"guest a: image " + file + " is not there"});
    EXPECT_EQ(doubts("group = 'no-such-group-here'"),
              std::vector<std::string>{"there is no group no-such-group-here: lacunad will not start"});
    EXPECT_EQ(doubts("[[guest]]\nname='web*'\npolicy='ignore'\n[[guest]]\nname='web-1'\npolicy='ignore'\n"),
              std::vector<std::string>{"guest web-1: an earlier rule fits the same guests"});
}
