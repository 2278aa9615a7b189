// SPDX-License-Identifier: GPL-2.0-or-later
// The whole daemon with a module that is not one, and lacunactl talking to it over a real socket.
#include <atomic>
#include <chrono>
#include <fstream>
#include <iterator>
#include <sstream>
#include <thread>

#include <sys/socket.h>

#include "abi_names.h"
#include "constraint_set.h"
#include "control_tool.h"
#include "daemon.h"
#include "expect_error.h"
#include "fake_guest.h"
#include "fake_module.h"
#include "temporary_directory.h"

using namespace lacuna;

namespace {

struct Result {
    int code;
    std::string out, err;
};

Result lacunactl(std::vector<std::string> arguments, const std::filesystem::path& socket)
{
    std::ostringstream out, err;
    arguments.insert(arguments.begin(), {"--socket", socket.string()});
    const int code = run_lacunactl(arguments, {out, err, false});
    return {code, out.str(), err.str()};
}

const std::map<std::string, std::int32_t> offsets = {{"task_struct.tasks", FakeLayout::tasks},
                                                     {"task_struct.pid", FakeLayout::pid},
                                                     {"task_struct.comm", FakeLayout::comm},
                                                     {"task_struct.mm", FakeLayout::mm},
                                                     {"mm_struct.pgd", FakeLayout::pgd},
                                                     {"mm_struct.start_code", 0x100},
                                                     {"mm_struct.end_code", 0x108},
                                                     {"module.name", FakeLayout::name},
                                                     {"module.module_core", FakeLayout::core},
                                                     {"module.core_text_size", FakeLayout::text_size}};

} // namespace

class DaemonTest : public testing::Test {
protected:
    TemporaryDirectory folder;
    FakeModule module;
    FakeKernel guest;
    Config config;
    Fd stop{eventfd(0, EFD_CLOEXEC)};
    Fd reload{eventfd(0, EFD_CLOEXEC)};
    std::function<Config()> reloaded = [this] { return config; };
    std::unique_ptr<Daemon> daemon;
    std::thread thread;

    DaemonTest()
    {
        config.store = folder.path() / "store";
        config.socket = folder.path() / "sock";
        config.constraints = LACUNA_CONSTRAINTS;
        config.libvirt.clear();
        module.memory = [this](std::uint64_t gpa, std::size_t length) {
            return guest.memory.read(gpa, length);
        };
        guest.add_process(1, "init", true);
        guest.add_process(2, "kthr\x1b[2Jd", false);
        guest.add_module("dummy", 0xffffffff'c020'0000, 4096);
    }
    ~DaemonTest() override { end(); }

    void start()
    {
        daemon = std::make_unique<Daemon>(
            config, [this] { return module.connect(); },
            [this](const KernelSource& source, std::stop_token) -> std::vector<KernelDescriptor> {
                if (source.file.filename() == "bad")
                    throw Error("is truncated", source.file.string());
                KernelDescriptor kernel = fake_kernel("id-1");
                // The page-table root lies at text_gpa + (page_table - text).
                kernel.page_table = kernel.text + guest.memory.root;
                kernel.init_task = FakeLayout::init_task - slide;
                kernel.modules = FakeLayout::modules - slide;
                return {kernel};
            });
        daemon->reload_on(reload.get(), [this] {
            eventfd_t ignored;
            eventfd_read(reload.get(), &ignored);
            return reloaded();
        });
        thread = std::thread([this] { daemon->run(stop.get()); });
    }

    void end()
    {
        if (!thread.joinable())
            return;
        eventfd_write(stop.get(), 1);
        thread.join();
        daemon.reset();
    }

    Result ctl(std::vector<std::string> arguments) { return lacunactl(std::move(arguments), config.socket); }
    Json ctl_json(std::vector<std::string> arguments)
    {
        arguments.insert(arguments.begin() + 1, "--json");
        const Result result = ctl(arguments);
        EXPECT_EQ(result.code, 0) << result.err;
        return Json::parse(result.out);
    }

    GuestReport created()
    {
        GuestReport r;
        r.guest = 1;
        r.vmm_pid = 1; // process 1 of this machine: a real one, without -name
        r.event = LACUNA_EVENT_CREATED;
        r.state = LACUNA_GUEST_CREATED;
        return r;
    }

    GuestReport progress(lacuna_event event, lacuna_guest_state state, bool resolved)
    {
        const auto set = load_constraints(LACUNA_CONSTRAINTS);
        GuestReport r = created();
        r.event = event;
        r.state = state;
        r.kernel_id = "id-1";
        r.engine = LACUNA_ENGINE_VERSION;
        r.slide = slide;
        r.text_gpa = 0;
        r.members.emplace();
        for (std::size_t i = 0; i < set.members_nr; i++)
            r.members->push_back(resolved ? resolved_at(offsets.at(qualified_name(set, i)))
                                          : open_with({4, 8, 12}));
        r.stats.emplace();
        r.stats->traps[LACUNA_SITE_FORK] = 94;
        r.stats->traps[LACUNA_SITE_EXIT] = 41;
        r.stats->hook_ns_total = 30'000'000;
        r.stats->finished_ns = resolved ? 30'000'000'000 : 0;
        return r;
    }

    bool wait_for(const std::function<bool()>& condition)
    {
        for (int i = 0; i < 500; i++, std::this_thread::sleep_for(std::chrono::milliseconds(20)))
            if (condition())
                return true;
        return false;
    }
    bool wait_for_state(const std::string& state)
    {
        return wait_for([&] {
            const Json guests = ctl_json({"status"}).at("guests");
            return !guests.empty() && guests.back().at("state") == state;
        });
    }

    // Symbols of kernels that have no profile do not outlive the daemon that read them.
    Profile profile_with_symbols_kept()
    {
        Profile profile;
        const KernelDescriptor kernel = fake_kernel("id-1");
        profile.kernel_id = kernel.id;
        profile.release = kernel.release;
        profile.banner = kernel.banner;
        profile.architecture = "x86_64";
        return profile;
    }

    void boot()
    {
        start();
        module.tell(created());
        ASSERT_TRUE(wait_for_state("ignored"));
        const Result armed = ctl({"arm", "--pid", "1", "--name", "web1", "--kernel", "/k/good", "--record"});
        ASSERT_EQ(armed.code, 0) << armed.err;
        EXPECT_EQ(armed.out, "armed: web1\n");
    }
    void boot_to_the_end()
    {
        boot();
        module.tell(progress(LACUNA_EVENT_FINISHED, LACUNA_GUEST_DONE, true));
        ASSERT_TRUE(wait_for_state("done"));
    }

    static constexpr std::uint64_t slide = 0x800'0000;
};

TEST_F(DaemonTest, ArmedOnRequest)
{
    boot();
    EXPECT_EQ(module.armed[1].kernels, std::vector<std::string>{"id-1"});
    EXPECT_TRUE(module.armed[1].options.record);
    EXPECT_EQ(module.armed[1].options.deadline_ms, 120'000u);
    const Json status = ctl_json({"status"});
    EXPECT_EQ(status.at("module"), true);
    EXPECT_EQ(status.at("guests").at(0).at("name"), "web1");
    EXPECT_EQ(status.at("guests").at(0).at("pid"), 1);
    EXPECT_EQ(status.at("guests").at(0).at("state"), "waiting");
    EXPECT_EQ(ctl({"disarm", "web1"}).code, 0);
    EXPECT_EQ(module.disarmed, std::vector<std::uint32_t>{1});
}

TEST_F(DaemonTest, ReloadedRulesCountForTheNextGuest)
{
    start();
    reloaded = []() -> Config { throw Error("is damaged", "lacunad.toml"); };
    eventfd_write(reload.get(), 1);
    module.tell(created());
    ASSERT_TRUE(wait_for_state("ignored"));
    std::atomic<bool> read_again = false;
    reloaded = [&] {
        Config other = config;
        other.store = "/elsewhere"; // counts from the next start only
        other.deadline_seconds = 7;
        other.guests.emplace_back().name = "vm-*";
        other.guests.back().kernels = {"/k/good"};
        read_again = true;
        return other;
    };
    eventfd_write(reload.get(), 1);
    ASSERT_TRUE(wait_for([&] { return read_again.load(); }));
    GuestReport next = created();
    next.guest = 2;
    module.tell(next);
    ASSERT_TRUE(wait_for_state("waiting"));
    EXPECT_EQ(module.armed[2].options.deadline_ms, 7'000u);
    EXPECT_FALSE(module.armed.contains(1));
    EXPECT_FALSE(std::filesystem::exists("/elsewhere"));
}

TEST_F(DaemonTest, CheckConfigNeedsNoDaemon)
{
    const auto file = (folder.path() / "lacunad.toml").string();
    std::ofstream(file) << "constraints = '.'\n[[guest]]\nname = '*'\npolicy = 'ignore'\n";
    Result result = ctl({"check-config", file});
    EXPECT_EQ(result.code, 0) << result.err;
    EXPECT_EQ(result.out, file + ": valid, 1 rules for guests\n");
    std::ofstream(file) << "constraints = '.'\n[[guest]]\nname = 'a'\nkernel = 'gone'\n";
    result = ctl({"check-config", file});
    EXPECT_EQ(result.code, 1);
    EXPECT_NE(result.out.find("gone is not there"), std::string::npos) << result.out;
    std::ofstream(file) << "nonsense = 1\n";
    result = ctl({"check-config", file});
    EXPECT_EQ(result.code, 1);
    EXPECT_NE(result.err.find(":1: unknown key \"nonsense\""), std::string::npos) << result.err;
}

TEST_F(DaemonTest, ArmRefusesABadKernel)
{
    start();
    module.tell(created());
    ASSERT_TRUE(wait_for_state("ignored"));
    const Result result = ctl({"arm", "--pid", "1", "--name", "web1", "--kernel", "/k/bad"});
    EXPECT_EQ(result.code, exit_failed);
    EXPECT_NE(result.err.find("/k/bad: is truncated"), std::string::npos);
    EXPECT_EQ(ctl({"arm", "--pid", "2", "--name", "web1", "--kernel", "/k/good"}).code, exit_unknown);
}

TEST_F(DaemonTest, WhatIsNestedWithoutEndIsNoRequest)
{
    start();
    ControlClient client(config.socket);
    Json nested = Json::array();
    for (int i = 0; i < 30; i++)
        nested = Json::array({nested});
    EXPECT_EQ(client.request({{"command", "status"}, {"of", nested}}).at("error"), "the request is nested too deep");
    EXPECT_EQ(client.request({{"command", "status"}}).at("ok"), true);
}

TEST_F(DaemonTest, ProcessesAndModulesFromOutside)
{
    boot_to_the_end();
    const Json processes = ctl_json({"ps", "web1"}).at("processes");
    ASSERT_EQ(processes.size(), 2u);
    EXPECT_EQ(processes[0].at("pid"), 1);
    EXPECT_EQ(processes[0].at("comm"), "init");
    EXPECT_EQ(processes[0].at("kind"), "user");
    EXPECT_EQ(processes[0].at("pgd"), "0xffff889000100000");
    EXPECT_EQ(processes[0].at("address"), "0xffff888000100000");
    EXPECT_EQ(processes[1].at("kind"), "kernel");
    EXPECT_EQ(processes[1].at("pgd"), Json());
    EXPECT_EQ(ctl_json({"lsmod", "web1"}), Json::parse(R"({"guest": "web1", "modules":
        [{"name": "dummy", "address": "0xffffffffc0200000", "text_size": 4096, "size": null, "state": null, "taints": null}],
        "lacks": {"size": ["module.core_size"], "state": ["module.state"], "taints": ["module.taints"]}, "stable": true})"));

    const Result table = ctl({"ps", "web1"});
    EXPECT_NE(table.out.find("kthr?[2Jd"),
              std::string::npos); // no control characters of a guest on a terminal
    EXPECT_EQ(table.out.find('\x1b'), std::string::npos);
    const std::string modules = ctl({"lsmod", "web1"}).out;
    EXPECT_NE(modules.find("dummy   0xffffffffc0200000  4096  -     -      -\n"), std::string::npos) << modules;
    EXPECT_NE(modules.find("(size cannot be told: module.core_size not known)\n"), std::string::npos) << modules;
}

TEST_F(DaemonTest, WhileAGuestIsLookedAtOthersAreServed)
{
    boot_to_the_end();
    ControlClient looking(config.socket), other(config.socket);
    looking.send({{"command", "learn"}, {"guest", "web1"}, {"deep", true}});
    for (int i = 0; i < 3; i++) // three looks take more than a second
        EXPECT_EQ(other.request({{"command", "status"}}).at("ok"), true);
    const Json answer = looking.receive().value();
    EXPECT_EQ(answer.value("looks", 0u), 3u) << answer;
    EXPECT_EQ(Store::existing(config.store).profile("id-1")->provenance.looks.boots, 1u);
    EXPECT_EQ(ctl({"learn", "--deep", "nobody"}).code, exit_unknown);
}

TEST_F(DaemonTest, OfAGuestThatGoesWhileItIsLookedAtNothingIsKept)
{
    boot_to_the_end();
    ControlClient looking(config.socket);
    looking.send({{"command", "learn"}, {"guest", "web1"}, {"deep", true}});
    module.tell(progress(LACUNA_EVENT_GONE, LACUNA_GUEST_GONE, true));
    EXPECT_EQ(looking.receive().value().at("ok"), false);
    EXPECT_EQ(Store::existing(config.store).profile("id-1")->provenance.looks.boots, 0u);
}

TEST_F(DaemonTest, ProfileOfGuestAndOfKernel)
{
    boot_to_the_end();
    const Json profile = ctl_json({"profile", "web1"});
    EXPECT_EQ(profile, ctl_json({"profile", "id-1"}));
    EXPECT_EQ(profile.at("complete"), true);
    EXPECT_EQ(profile.at("members").at("task_struct").at("pid").at("offset"), FakeLayout::pid);
    const std::string shown = ctl({"profile", "web1"}).out;
    EXPECT_NE(shown.find("task_struct.pid"), std::string::npos);
    EXPECT_NE(shown.find("learned   from 1 boots: web1 (1, last 20"), std::string::npos) << shown;
    EXPECT_NE(shown.find("confirmed not yet: a second boot has still to agree on module.name, "), std::string::npos) << shown;
    EXPECT_EQ(ctl({"profile", "nobody"}).code, exit_unknown);

    EXPECT_NE(shown.find("none: the symbols of its image have not been read"), std::string::npos) << shown;

    // Without the daemon the store is read.
    end();
    EXPECT_EQ(ctl_json({"profile", "--store", config.store.string(), "web1"}), profile);
    EXPECT_EQ(ctl_json({"profile", "--store", config.store.string(), "id-1"}), profile);
    EXPECT_EQ(ctl({"profile", "--store", config.store.string(), "nobody"}).code, exit_unknown);
    EXPECT_EQ(ctl({"profile", "--store", "/nonexistent", "nobody"}).code, exit_unreachable);
}

TEST_F(DaemonTest, ExportsWhatToolsRead)
{
    Store(config.store).put_symbols("id-1", "ffffffff81000000 T _text\nffffffff82000000 D linux_banner\n"
                                            "ffffffff82a00000 D init_task\n");
    Store(config.store).put_profile(profile_with_symbols_kept());
    boot_to_the_end();
    const std::string store = config.store.string();
    const Json isf = Json::parse(ctl({"export", "--store", store, "--format", "isf", "web1"}).out);
    EXPECT_EQ(isf.at("user_types").at("task_struct").at("fields").at("pid").at("offset"), FakeLayout::pid);
    EXPECT_EQ(ctl({"export", "--store", store, "--format", "map", "web1"}).out.substr(0, 25), "ffffffff89000000 T _text\n");
    const auto file = folder.path() / "out";
    EXPECT_EQ(ctl({"export", "--store", store, "--format", "isf", "id-1", "--out", file.string()}).code, exit_ok);
    EXPECT_EQ(Json::parse(std::ifstream(file)), isf);
    EXPECT_EQ(ctl({"export", "--store", store, "--format", "isf", "nobody"}).code, exit_unknown);
    EXPECT_EQ(ctl({"export", "--store", store, "--format", "nonsense", "web1"}).code, exit_usage);
    EXPECT_TRUE(std::filesystem::exists(config.store / "export/guests/web1/System.map"));
    module.tell(progress(LACUNA_EVENT_GONE, LACUNA_GUEST_GONE, true));
    EXPECT_TRUE(wait_for([&] { return !std::filesystem::exists(config.store / "export/guests/web1"); }));
}

TEST_F(DaemonTest, ForgetsAKernelWithAndWithoutTheDaemon)
{
    boot_to_the_end();
    EXPECT_EQ(ctl({"forget", "id-2"}).code, exit_unknown);
    EXPECT_EQ(ctl({"forget", "id-1"}).out, "forgotten: id-1\n");
    EXPECT_EQ(ctl({"profile", "id-1"}).code, exit_unknown);
    module.tell(progress(LACUNA_EVENT_RESET, LACUNA_GUEST_WAITING, false));
    module.tell(progress(LACUNA_EVENT_FINISHED, LACUNA_GUEST_DONE, true));
    ASSERT_TRUE(wait_for([&] { return ctl({"profile", "id-1"}).code == exit_ok; }));
    end();
    const std::string store = config.store.string();
    EXPECT_EQ(ctl({"forget", "--store", store, "id-1"}).code, exit_ok);
    EXPECT_EQ(ctl({"forget", "--store", store, "id-1"}).code, exit_unknown);
    EXPECT_EQ(ctl({"forget", "--store", "/nonexistent", "id-1"}).code, exit_unreachable);
}

TEST_F(DaemonTest, Stats)
{
    boot_to_the_end();
    const Json stats = ctl_json({"stats", "web1"});
    EXPECT_EQ(stats.at("traps").at("fork"), 94);
    EXPECT_EQ(stats.at("traps_total"), 135);
    EXPECT_EQ(stats.at("boot_ns"), 30'000'000'000);
    EXPECT_DOUBLE_EQ(stats.at("hook_share").get<double>(), 0.001);
    EXPECT_EQ(stats.at("members").at("task_struct.pid").at("resolved_ns"), 1'000'000);
    EXPECT_NE(ctl({"stats", "web1"}).out.find("135 (fork 94, exit 41, initcall 0)"), std::string::npos);
}

TEST_F(DaemonTest, WatchFollowsUntilDone)
{
    boot();
    Result watched;
    std::thread watcher([&] { watched = ctl({"watch", "web1", "--until-done"}); });
    module.tell(progress(LACUNA_EVENT_FOUND, LACUNA_GUEST_TRAPPING, false));
    EXPECT_TRUE(wait_for_state("trapping"));
    module.tell(progress(LACUNA_EVENT_FINISHED, LACUNA_GUEST_DONE, true));
    watcher.join();
    EXPECT_EQ(watched.code, exit_ok);
    EXPECT_NE(watched.out.find("[web1] task_struct.pid: resolved at 2444 (57 events, 12 instances, 40 "
                               "witnesses, 4095 eliminated)"),
              std::string::npos)
        << watched.out;
}

TEST_F(DaemonTest, WatchShowsOneLinePerChange)
{
    boot();
    ControlClient client(config.socket);
    client.send({{"command", "watch"}, {"guest", "web1"}});
    ASSERT_EQ(client.receive()->at("guest").at("state"), "waiting");
    module.tell(progress(LACUNA_EVENT_PROGRESS, LACUNA_GUEST_TRAPPING, false));
    const Json line = client.receive()->at("guest");
    EXPECT_EQ(line.at("members").at("task_struct.pid").at("remaining"), 3);
    EXPECT_EQ(line.at("members").at("task_struct.pid").at("state"), "open");
    EXPECT_EQ(line.at("traps_total"), 135);
}

TEST_F(DaemonTest, WatchEndsWithFailureAndWaitsForTheUnborn)
{
    start();
    EXPECT_EQ(ctl({"watch", "vm-1"}).code, exit_unknown);
    EXPECT_EQ(ctl({"watch", "--until-done"}).code, exit_usage);
    Result watched;
    std::thread watcher([&] { watched = ctl({"watch", "vm-1", "--wait", "--until-done"}); });
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    module.tell(created());
    watcher.join(); // no rule: ignored
    EXPECT_EQ(watched.code, exit_failed);
    EXPECT_NE(watched.out.find("[vm-1] ignored"), std::string::npos);
}

TEST_F(DaemonTest, WatchIsAboutTheGuestThatIsThere)
{
    boot();
    GuestReport gone = created();
    gone.event = LACUNA_EVENT_GONE;
    gone.state = LACUNA_GUEST_GONE;
    module.tell(gone);
    ASSERT_TRUE(wait_for_state("gone"));
    EXPECT_EQ(ctl({"watch", "web1", "--until-done"}).code, exit_failed); // there is no other
    Result waiting;
    std::thread waiter([&] { waiting = ctl({"watch", "web1", "--wait", "--until-done"}); });
    GuestReport again = created();
    again.guest = 2;
    module.tell(again);
    ASSERT_TRUE(wait_for_state("ignored"));
    ASSERT_EQ(ctl({"arm", "--pid", "1", "--name", "web1", "--kernel", "/k/good"}).code, 0);
    ControlClient client(config.socket);
    client.send({{"command", "watch"}, {"guest", "web1"}});
    EXPECT_EQ(client.receive()->at("guest").at("state"), "waiting");
    GuestReport done = progress(LACUNA_EVENT_FINISHED, LACUNA_GUEST_DONE, true);
    done.guest = 2;
    module.tell(done);
    waiter.join();
    EXPECT_EQ(waiting.code, exit_ok) << waiting.out;
    EXPECT_EQ(client.receive()->at("guest").at("state"), "done");
}

TEST_F(DaemonTest, GoesOnWithoutMetricsWhoseAddressItCannotHave)
{
    config.metrics = "192.0.2.1:1"; // of no host (RFC 5737)
    start();
    EXPECT_EQ(ctl({"status"}).code, exit_ok);
}

TEST_F(DaemonTest, Recording)
{
    boot();
    const auto file = folder.path() / "boot.rec";
    EXPECT_EQ(ctl({"record", "web1", "--out", file.string()}).code, exit_failed); // there is none
    module.recording = {0x00, 0xff, 0x0a, 0x7f, 0x80, 0x10, 0x01};
    ASSERT_EQ(ctl({"record", "web1", "--out", file.string()}).code, exit_ok);
    std::ifstream stream(file, std::ios::binary);
    EXPECT_EQ(Bytes(std::istreambuf_iterator<char>(stream), {}), module.recording);
}

TEST_F(DaemonTest, SurvivesTheModule)
{
    boot();
    module.unload();
    ASSERT_TRUE(wait_for([&] { return ctl_json({"status"}).at("module") == false; }));
    EXPECT_NE(ctl({"status"}).out.find("the lacuna module is not loaded; load it with: modprobe lacuna"),
              std::string::npos);
    EXPECT_EQ(ctl_json({"status"}).at("guests").at(0).at("state"), "gone");
    EXPECT_EQ(ctl({"ps", "web1"}).code, exit_unknown); // no profile
    module.loaded = true;
    EXPECT_TRUE(wait_for([&] { return ctl_json({"status"}).at("module") == true; }));
}

TEST_F(DaemonTest, UnknownGuestsAndBadCommandLines)
{
    start();
    for (const char* command : {"ps", "lsmod", "stats", "disarm", "profile"}) {
        const Result result = ctl({command, "nobody"});
        EXPECT_EQ(result.code, exit_unknown) << command;
        EXPECT_NE(result.err.find("nobody: no guest of this name is known"), std::string::npos) << result.err;
    }
    EXPECT_EQ(ctl({}).code, exit_usage);
    EXPECT_EQ(ctl({"fly"}).code, exit_usage);
    EXPECT_EQ(ctl({"ps"}).code, exit_usage);
    EXPECT_EQ(ctl({"ps", "a", "b"}).code, exit_usage);
    EXPECT_EQ(ctl({"arm", "--pid", "x", "--kernel", "k"}).code, exit_usage);
    EXPECT_EQ(ctl({"--help"}).code, exit_ok);
    EXPECT_EQ(ctl({"status"}).out, "no guests\n");
}

TEST_F(DaemonTest, RequestsOfAnyShape)
{
    start();
    ControlClient client(config.socket);
    const std::pair<const char*, const char*> requests[] = {
        {"[]", "usage"},
        {"{}", "usage"},
        {R"({"command": 5})", "usage"},
        {R"({"command": "fly"})", "usage"},
        {R"({"command": "ps"})", "usage"},
        {R"({"command": "arm"})", "usage"},
        {R"({"command": "arm", "pid": 1, "kernels": [5]})", "usage"},
        {R"({"command": "arm", "pid": 1, "kernels": []})", "usage"},
        {R"({"command": "watch", "guest": []})", "usage"},
        {R"({"command": "record", "guest": "x", "offset": "y"})", "usage"}};
    for (const auto& [request, code] : requests) {
        const Json answer = client.request(Json::parse(request));
        EXPECT_EQ(answer.at("ok"), false) << request;
        EXPECT_EQ(answer.at("code"), code) << request << " " << answer;
    }
    EXPECT_EQ(client.request(Json("no object")).at("code"), "usage");
    EXPECT_EQ(client.request({{"command", "status"}}).at("ok"), true); // the connection lives on
}

TEST_F(DaemonTest, ClientThatNeverEndsItsLineIsDropped)
{
    start();
    ControlClient client(config.socket);
    client.send(Json(std::string(ControlServer::max_request / 2, 'x'))); // a line, but no request
    EXPECT_EQ(client.receive()->at("code"), "usage");
    int pair[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    ControlServer server(folder.path() / "other");
    server.adopt(Fd(pair[0]));
    const Fd mine(pair[1]);
    const std::string flood(ControlServer::max_request / 2, 'y');
    bool closed = false;
    for (int i = 0; i < 8 && !closed; i++) {
        EXPECT_GE(write(mine.get(), flood.data(), flood.size()), 0);
        server.run([](auto, const auto&) { ADD_FAILURE(); }, [&](auto) { closed = true; });
    }
    EXPECT_TRUE(closed);
}

TEST_F(DaemonTest, AnAnswerThatIsTooLargeBecomesAnError)
{
    int pair[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    ControlServer server(folder.path() / "other");
    const auto id = server.adopt(Fd(pair[0]));
    ControlClient client{Fd(pair[1])};
    const auto run = [&] { server.run([](auto, const auto&) {}, [](auto) { ADD_FAILURE(); }); };
    server.send(id, {{"names", std::string(ControlServer::max_unread / 4, '\1')}}); // each becomes six characters
    run();
    EXPECT_NE(client.receive()->at("error").get<std::string>().find("larger than is told at once"), std::string::npos);
    server.send(id, {{"ok", true}});
    run();
    EXPECT_TRUE(client.receive()->at("ok"));
}

TEST_F(DaemonTest, OnlyOneDaemonPerSocket)
{
    start();
    EXPECT_ERROR(ControlServer(config.socket), "another lacunad listens here");
    EXPECT_EQ(ctl({"status"}).code, exit_ok);
    end();
    EXPECT_FALSE(std::filesystem::exists(config.socket));
    const Result result = ctl({"status"});
    EXPECT_EQ(result.code, exit_unreachable);
    EXPECT_NE(result.err.find("sock: lacunad is not reachable: No such file"), std::string::npos);
}

TEST_F(DaemonTest, SocketOfAKilledDaemonIsTakenOver)
{
    {
        ControlServer server(config.socket); // takes its socket along when it goes, unless it cannot find it
        std::filesystem::rename(config.socket, folder.path() / "left");
    }
    std::filesystem::rename(folder.path() / "left", config.socket);
    EXPECT_EQ(ctl({"status"}).code, exit_unreachable);
    EXPECT_NE(ctl({"status"}).err.find("Connection refused"), std::string::npos);
    start();
    EXPECT_EQ(ctl({"status"}).code, exit_ok);
}

TEST_F(DaemonTest, WaitsForAModuleThatIsLoadedLater)
{
    module.loaded = false;
    start();
    EXPECT_EQ(ctl_json({"status"}).at("module"), false);
    module.loaded = true;
    EXPECT_TRUE(wait_for([&] { return ctl_json({"status"}).at("module") == true; }));
}

TEST_F(DaemonTest, WaitsForAModuleOfItsOwnVersion)
{
    module.other_version = true;
    start();
    EXPECT_EQ(ctl_json({"status"}).at("module"), false);
    module.other_version = false;
    EXPECT_TRUE(wait_for([&] { return ctl_json({"status"}).at("module") == true; }));
}

TEST_F(DaemonTest, NeedsGoodConstraints)
{
    config.constraints = folder.path();
    std::ofstream(folder.path() / "x.json") << "{}";
    EXPECT_ERROR(start(), "x.json: the key \"structure\" is missing");
}

TEST(KernelCommand, NamesWhatCannotBeRead)
{
    const Result result = lacunactl({"kernel", "/nonexistent/vmlinuz"}, "/nonexistent/sock");
    EXPECT_EQ(result.code, exit_failed);
    EXPECT_NE(result.err.find("/nonexistent/vmlinuz"), std::string::npos);
}
