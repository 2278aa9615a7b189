// SPDX-License-Identifier: GPL-2.0-or-later
#include <atomic>
#include <cstring>
#include <future>

#include <poll.h>

#include "abi_names.h"
#include "constraint_set.h"
#include "expect_error.h"
#include "fake_module.h"
#include "supervisor.h"
#include "temporary_directory.h"

using namespace lacuna;

namespace {

GuestReport report(std::uint32_t guest, lacuna_event event, lacuna_guest_state state)
{
    GuestReport r;
    r.guest = guest;
    r.vmm_pid = 1000 + guest;
    r.event = event;
    r.state = state;
    return r;
}

} // namespace

// Processes 1001, 1002, ... are called web, other, big, same, same; reading "/k/slow" takes until
// `release_slow`.
class SupervisorTest : public testing::Test {
protected:
    TemporaryDirectory folder;
    FakeModule module;
    lacuna_constraints set = load_constraints(LACUNA_CONSTRAINTS);
    std::promise<void> release_slow;
    std::shared_future<void> slow = release_slow.get_future().share();
    std::atomic<int> readings = 0;
    std::mutex named_mutex;
    std::map<std::string, std::optional<FileUser>> named_by; // what has been read, and for whom
    std::optional<KernelLibrary> library;
    std::optional<Supervisor> supervisor;
    std::vector<std::string> changes;
    std::vector<RunningVm> running;
    pid_t parent = 1;
    std::vector<Disk> disks;       // of process 1006
    Policy policy = Policy::learn; // for "web*" and "same"
    unsigned deadline_seconds = 30;
    bool released = false;

    SupervisorTest()
    {
        library.emplace([this](const KernelSource& source, std::stop_token) -> std::vector<KernelDescriptor> {
            readings++;
            {
                const std::scoped_lock lock(named_mutex);
                named_by[to_string(source)] = source.named_by;
            }
            if (source.file == "/k/slow")
                slow.wait();
            if (source.file == "/k/bad")
                throw Error("is truncated", "/k/bad", "copy it again");
            if (!source.disks.empty())
                return {fake_kernel("image-1"), fake_kernel("image-2")};
            return {fake_kernel("id-" + source.file.filename().string())};
        });
        start();
    }
    ~SupervisorTest() override { let_slow_go(); }

    void let_slow_go()
    {
        if (!released)
            release_slow.set_value();
        released = true;
    }

    static GuestRule rule(const std::string& name, Policy policy,
                          std::vector<std::filesystem::path> kernels = {}, std::vector<Disk> images = {})
    {
        GuestRule rule;
        rule.name = name;
        rule.policy = policy;
        rule.kernels = std::move(kernels);
        rule.images = std::move(images);
        return rule;
    }

    void start()
    {
        Config config;
        config.store = folder.path();
        config.deadline_seconds = deadline_seconds;
        config.guests = {rule("web*", policy, {"/k/web"}),
                         rule("slow", Policy::learn, {"/k/slow"}),
                         rule("bad", Policy::learn, {"/k/bad"}),
                         rule("disk", Policy::learn, {}, {{"/disk.raw", "raw"}}),
                         rule("same", policy),
                         rule("*-quiet", Policy::ignore)};
        Host host;
        host.choose = [](unsigned) { return false; };
        host.running_vms = [this] { return running; };
        host.open_vm = [](const RunningVm& vm) { return vm.number == 7 ? Fd(dup(0)) : Fd(); };
        host.find_vmm = [this](pid_t pid) {
            const char* names[] = {"web1", "unknown", "slow", "bad", "same", "same", "disk", "a-quiet"};
            VmmProcess vmm;
            vmm.pid = pid;
            vmm.parent = parent;
            vmm.name = names[(pid - 1001) % 8];
            if (vmm.name == "same" && pid == 1005)
                vmm.kernel = "/k/from-command-line";
            if (pid == 1006)
                vmm.disks = disks;
            vmm.user = {1000, 1001, {1002}};
            return vmm;
        };
        supervisor.emplace(config, set, *library, host);
        supervisor->on_change(
            [this](const Guest& guest) { changes.push_back(guest.name + " " + to_string(guest.state)); });
        supervisor->connected(module.connect());
    }

    void tell(GuestReport r)
    {
        module.tell(std::move(r));
        supervisor->read_events();
    }

    // Until all that can be read has been read.
    void settle(std::size_t still_in_progress = 0)
    {
        while (library->in_progress() > still_in_progress) {
            pollfd event{library->event_fd(), POLLIN, 0};
            ASSERT_EQ(poll(&event, 1, 10'000), 1);
            supervisor->kernels_ready();
        }
        supervisor->kernels_ready();
    }

    const Guest& create(std::uint32_t number)
    {
        tell(report(number, LACUNA_EVENT_CREATED, LACUNA_GUEST_CREATED));
        settle(released ? 0 : slow_in_progress);
        return supervisor->guests().back();
    }

    GuestReport finished(std::uint32_t guest, const std::string& kernel, std::int32_t first_offset = 8)
    {
        GuestReport r = report(guest, LACUNA_EVENT_FINISHED, LACUNA_GUEST_DONE);
        r.kernel_id = kernel;
        r.engine = LACUNA_ENGINE_VERSION;
        r.slide = 0x1000'0000;
        r.text_gpa = 0x2'0000'0000;
        r.members.emplace();
        for (int i = 0; i < set.members_nr; i++)
            r.members->push_back(resolved_at(first_offset + 8 * i));
        return r;
    }

    std::size_t slow_in_progress = 0;
};

TEST_F(SupervisorTest, GivesTheModuleItsConstraints)
{
    EXPECT_EQ(std::memcmp(&module.constraints, &set, sizeof(set)), 0);
}

TEST_F(SupervisorTest, ArmsWhatTheConfigurationNames)
{
    const Guest& guest = create(1);
    EXPECT_EQ(guest.name, "web1");
    EXPECT_EQ(guest.state, LACUNA_GUEST_WAITING);
    ASSERT_TRUE(module.armed.contains(1));
    EXPECT_EQ(module.armed[1].kernels, std::vector<std::string>{"id-web"});
    EXPECT_EQ(module.armed[1].options.deadline_ms, 30'000u);
    EXPECT_FALSE(module.armed[1].options.record);
    EXPECT_EQ(supervisor->store().guest("web1")->at("state"), "waiting");
}

TEST_F(SupervisorTest, LeavesTheOthersAlone)
{
    create(2); // fits no rule
    create(8); // policy "ignore"
    EXPECT_EQ(module.ignored, (std::vector<std::uint32_t>{2, 8}));
    EXPECT_TRUE(module.armed.empty());
    EXPECT_FALSE(supervisor->store().guest("unknown"));
}

TEST_F(SupervisorTest, ImageGivesAllItsKernels)
{
    create(7);
    EXPECT_EQ(module.armed[7].kernels, (std::vector<std::string>{"image-1", "image-2"}));
}

TEST_F(SupervisorTest, KernelOfTheCommandLine)
{
    create(5);
    EXPECT_EQ(module.armed[5].kernels, std::vector<std::string>{"id-from-command-line"});
    create(6); // has none
    EXPECT_EQ(module.ignored, std::vector<std::uint32_t>{6});
    EXPECT_NE(supervisor->guests().back().reason.find("its command line has neither -kernel nor"),
              std::string::npos);
}

TEST_F(SupervisorTest, SameNameGetsASuffix)
{
    EXPECT_EQ(create(5).name, "same");
    EXPECT_EQ(create(6).name, "same-2");
    tell(report(5, LACUNA_EVENT_GONE, LACUNA_GUEST_GONE));
    tell(report(13, LACUNA_EVENT_CREATED,
                LACUNA_GUEST_CREATED)); // process 1013: "same" again, and that name is free
    EXPECT_EQ(supervisor->guests().back().name, "same");
    EXPECT_EQ(supervisor->guest("same").number, 13u);
}

TEST_F(SupervisorTest, NobodyWaitsForASlowKernel)
{
    slow_in_progress = 1;
    create(3);
    EXPECT_FALSE(module.armed.contains(3));
    create(1);
    EXPECT_TRUE(module.armed.contains(1)); // overtakes
    let_slow_go();
    settle();
    EXPECT_EQ(module.armed[3].kernels, std::vector<std::string>{"id-slow"});
}

TEST_F(SupervisorTest, BadKernelLetsTheGuestGo)
{
    const Guest& guest = create(4);
    EXPECT_EQ(module.ignored, std::vector<std::uint32_t>{4});
    EXPECT_EQ(guest.state, LACUNA_GUEST_IGNORED);
    EXPECT_EQ(guest.reason, "/k/bad: is truncated; copy it again");
}

TEST_F(SupervisorTest, RefusalOfTheModuleLetsTheGuestGo)
{
    module.refusal = "arming the guest was refused: private memory";
    const Guest& guest = create(1);
    EXPECT_EQ(module.ignored, std::vector<std::uint32_t>{1});
    EXPECT_NE(guest.reason.find("private memory"), std::string::npos);
}

TEST_F(SupervisorTest, LateEventOfCreationDoesNotArmTwice)
{
    const Guest& guest = create(1);
    module.refusal = "the guest is being hunted already";
    supervisor->handle(report(1, LACUNA_EVENT_CREATED, LACUNA_GUEST_CREATED));
    EXPECT_EQ(guest.state, LACUNA_GUEST_WAITING);
    EXPECT_TRUE(module.ignored.empty());
}

TEST_F(SupervisorTest, PublishesWhatWasFound)
{
    create(1);
    tell(finished(1, "id-web"));
    const auto profile = supervisor->store().profile("id-web");
    ASSERT_TRUE(profile);
    EXPECT_TRUE(profile->complete());
    EXPECT_EQ(profile->offset(qualified_name(set, 2)), 24);
    const auto facts = supervisor->store().guest("web1");
    EXPECT_EQ(facts->at("schema"), "lacuna-guest/1");
    EXPECT_EQ(facts->at("state"), "done");
    EXPECT_EQ(facts->at("vmm_pid"), 1001);
    EXPECT_EQ(facts->at("kernel").at("id"), "id-web");
    EXPECT_EQ(facts->at("slide"), "0x10000000");
    EXPECT_EQ(facts->at("text_gpa"), "0x200000000");
    EXPECT_EQ(facts->at("paging"), "4-level");
    EXPECT_EQ(facts->at("addresses").at("init_task"), "0xffffffff92a00000");
    EXPECT_EQ(facts->at("addresses").at("modules"), "0xffffffff92b00040");
    EXPECT_EQ(facts->at("addresses").at("page_table_gpa"), "0x201810000");
    tell(report(1, LACUNA_EVENT_GONE, LACUNA_GUEST_GONE));
    EXPECT_EQ(supervisor->store().guest("web1")->at("state"), "gone");
}

TEST_F(SupervisorTest, AHuntThatSawNothingPublishesNothing)
{
    create(1);
    GuestReport report = finished(1, "id-web");
    for (lacuna_member_report& member : *report.members)
        member = open_with({}, LACUNA_AMBIGUOUS);
    tell(report);
    EXPECT_EQ(supervisor->guest("web1").state, LACUNA_GUEST_DONE);
    EXPECT_FALSE(supervisor->store().profile("id-web"));
}

TEST_F(SupervisorTest, ThePageTablesThatRanGoBeforeThoseOfTheImage)
{
    create(1);
    GuestReport r = finished(1, "id-web");
    r.root = 0x7'0000;
    r.paging = LACUNA_PAGING_5LEVEL;
    tell(r);
    const auto facts = supervisor->store().guest("web1");
    EXPECT_EQ(facts->at("paging"), "5-level");
    EXPECT_EQ(facts->at("addresses").at("page_table_gpa"), "0x70000");
}

TEST_F(SupervisorTest, ContradictingProfileDoesNotReplace)
{
    create(1);
    tell(finished(1, "id-web", 8));
    tell(report(1, LACUNA_EVENT_RESET, LACUNA_GUEST_WAITING));
    tell(finished(1, "id-web", 12));
    EXPECT_EQ(supervisor->store().profile("id-web")->offset(qualified_name(set, 0)), 8);
    EXPECT_TRUE(std::filesystem::exists(folder.path() / "contradicting/id-web.json"));
}

TEST_F(SupervisorTest, ResetForgetsTheBoot)
{
    const Guest& guest = create(1);
    tell(finished(1, "id-web"));
    tell(report(1, LACUNA_EVENT_RESET, LACUNA_GUEST_WAITING));
    EXPECT_EQ(guest.boot.kernel_id, "");
    EXPECT_EQ(guest.boot.kernel, nullptr);
    EXPECT_TRUE(guest.boot.members.empty());
    EXPECT_FALSE(supervisor->store().guest("web1")->contains("slide"));
    tell(finished(1, "id-web"));
    EXPECT_EQ(guest.boot.outcome, Outcome::published);
}

TEST_F(SupervisorTest, ResetAfterTheEndOfTheHuntIsANewBoot)
{
    const Guest& guest = create(1);
    tell(finished(1, "id-web"));
    module.armed.clear();
    tell(report(1, LACUNA_EVENT_RESET, LACUNA_GUEST_CREATED));
    EXPECT_EQ(module.armed.count(1), 1u);
    EXPECT_EQ(guest.state, LACUNA_GUEST_WAITING);
    EXPECT_EQ(guest.boot.kernel, nullptr);
    EXPECT_FALSE(supervisor->store().guest("web1")->contains("slide"));
    tell(finished(1, "id-web"));
    EXPECT_EQ(guest.state, LACUNA_GUEST_DONE);
    EXPECT_EQ(guest.boot.outcome, Outcome::published);
}

TEST_F(SupervisorTest, FailureIsKeptWithItsReason)
{
    const Guest& guest = create(1);
    GuestReport r = report(1, LACUNA_EVENT_FAILED, LACUNA_GUEST_FAILED);
    r.reason = "the bytes at a site are not the expected ones";
    tell(r);
    EXPECT_EQ(guest.state, LACUNA_GUEST_FAILED);
    EXPECT_EQ(supervisor->store().guest("web1")->at("reason"), *r.reason);
    EXPECT_FALSE(supervisor->store().profile("id-web"));
}

TEST_F(SupervisorTest, RestartInTheMiddleOfABoot)
{
    create(2); // ignored by the configuration, then armed by hand
    Supervisor::ArmRequest request;
    request.vmm_pid = 1002;
    request.name = "byhand";
    request.kernels = {"/k/hand"};
    EXPECT_EQ(supervisor->arm(request), nullptr); // is being read
    settle();
    ASSERT_NE(supervisor->arm(request), nullptr);
    EXPECT_EQ(module.armed[2].kernels, std::vector<std::string>{"id-hand"});
    supervisor.reset(); // kill -9
    module.guests[2] = finished(2, "id-hand");
    module.pending.clear();
    start();
    settle();
    EXPECT_EQ(supervisor->guest("byhand").state, LACUNA_GUEST_DONE);
    EXPECT_TRUE(supervisor->store().profile("id-hand"));
    EXPECT_EQ(module.armed.size(), 1u);
}

// Members are told by their numbers: those of a hunt with other constraints are of other members.
TEST_F(SupervisorTest, WhatWasHuntedWithOtherConstraintsIsNotPublished)
{
    create(1);
    ASSERT_TRUE(module.armed.contains(1));
    Json facts = *supervisor->store().guest("web1");
    supervisor.reset();
    facts["constraints"] = "of an earlier version";
    Store(folder.path()).put_guest("web1", facts);
    module.guests[1] = finished(1, "id-web");
    start();
    settle();
    EXPECT_EQ(supervisor->guest("web1").state, LACUNA_GUEST_DONE);
    EXPECT_FALSE(supervisor->store().profile("id-web"));

    tell(report(1, LACUNA_EVENT_RESET, LACUNA_GUEST_CREATED)); // armed anew, with these
    tell(finished(1, "id-web"));
    EXPECT_TRUE(supervisor->store().profile("id-web"));
}

// Neither a path nor what a guest's disk says of itself need be UTF-8.
TEST_F(SupervisorTest, NamesOfAnyBytesAreWritten)
{
    Config config = supervisor->config();
    config.guests.front().kernels = {"/k/Gr\xf6\xdf"
                                     "e"};
    supervisor->reconfigure(config);
    slow_in_progress = 1;
    create(1);
    EXPECT_EQ(supervisor->guest("web1").state, LACUNA_GUEST_WAITING);
    EXPECT_TRUE(supervisor->store().guest("web1"));
}

TEST_F(SupervisorTest, GuestsThatWentMeanwhileAreGone)
{
    create(1);
    supervisor.reset();
    module.guests.clear();
    start();
    EXPECT_EQ(supervisor->store().guest("web1")->at("state"), "gone");
    EXPECT_ERROR(supervisor->guest("web1"), "web1: no guest of this name is known");
}

TEST_F(SupervisorTest, LostEventsAreMadeUpFor)
{
    const Guest& guest = create(1);
    module.guests[1] = finished(1, "id-web");
    module.lost = true;
    supervisor->read_events();
    EXPECT_EQ(guest.state, LACUNA_GUEST_DONE);
    EXPECT_TRUE(supervisor->store().profile("id-web"));
}

TEST_F(SupervisorTest, ModuleGoesAndComesBack)
{
    create(1);
    module.unload();
    EXPECT_THROW(supervisor->read_events(), ModuleGone);
    supervisor->disconnected();
    EXPECT_EQ(supervisor->guest("web1").state, LACUNA_GUEST_GONE);
    EXPECT_EQ(supervisor->guest("web1").reason, "the lacuna module has been removed");
    EXPECT_EQ(changes.back(), "web1 gone");
    EXPECT_ERROR(supervisor->disarm("web1"), "is gone");
    module.loaded = true;
    supervisor->connected(module.connect());
    create(1); // numbers start anew
    EXPECT_EQ(supervisor->guest("web1").state, LACUNA_GUEST_WAITING);
}

TEST_F(SupervisorTest, ArmOnRequestNamesWhatIsWrong)
{
    Supervisor::ArmRequest request;
    request.vmm_pid = 99;
    request.kernels = {"/k/hand"};
    EXPECT_THROW(supervisor->arm(request), Unknown);
    EXPECT_ERROR(supervisor->arm(request), "process 99: has no virtual machine");
    create(2);
    request.vmm_pid = 1002;
    request.kernels = {"/k/bad"};
    supervisor->arm(request);
    settle();
    EXPECT_ERROR(supervisor->arm(request), "/k/bad: is truncated");
}

TEST_F(SupervisorTest, KernelsAreReadOnceUntilTheyChange)
{
    create(1);
    tell(report(1, LACUNA_EVENT_GONE, LACUNA_GUEST_GONE));
    tell(report(9, LACUNA_EVENT_CREATED, LACUNA_GUEST_CREATED)); // process 1009: web1 again
    EXPECT_EQ(module.armed[9].kernels, std::vector<std::string>{"id-web"});
    EXPECT_EQ(readings, 1);
}

TEST_F(SupervisorTest, DomainsOfLibvirtArePreparedAhead)
{
    slow_in_progress = 1;
    supervisor->prepare();
    settle(slow_in_progress);
    const auto before = readings.load();
    supervisor->domains_are({{"web1", "1-2", "/k/other", {}, {}},     // its rule names a kernel, read already
                             {"same", "1-3", "/k/of-domain", {}, {}}, // its rule names none
                             {"a-quiet", "1-4", "/k/ignored", {}, {}},
                             {"stranger", "1-5", "/k/stranger", {}, {}}});
    settle(slow_in_progress);
    EXPECT_EQ(readings - before, 1);
    supervisor->domains_are({{"same", "1-3", "/k/of-domain", {}, {}}});
    settle(slow_in_progress);
    EXPECT_EQ(readings - before, 1); // once
}

TEST_F(SupervisorTest, WhatReadsItsDisksIsNoGuest)
{
    parent = getpid();
    create(1);
    EXPECT_EQ(module.ignored, std::vector<std::uint32_t>{1});
}

TEST_F(SupervisorTest, DisksOfTheCommandLine)
{
    disks = {{"/srv/a.qcow2", "qcow2"}};
    create(6);
    EXPECT_EQ(module.armed[6].kernels, (std::vector<std::string>{"image-1", "image-2"}));
    EXPECT_EQ(named_by.at("/srv/a.qcow2"), (FileUser{1000, 1001, {1002}}));
}

TEST_F(SupervisorTest, WhatACommandLineNamesIsReadForItsUserAlone)
{
    create(1); // its rule names the kernel
    create(5);
    EXPECT_EQ(named_by.at("/k/web"), std::nullopt);
    EXPECT_EQ(named_by.at("/k/from-command-line"), (FileUser{1000, 1001, {1002}}));
    named_by.clear();
    disks = {{"/srv/of-domain.qcow2", "qcow2"}};
    slow_in_progress = 1; // which is prepared as well
    supervisor->domains_are({{"same", "1-3", {}, disks, {}}});
    settle(slow_in_progress);
    create(6); // whose command line is libvirt's
    EXPECT_EQ(named_by.at("/srv/of-domain.qcow2"), std::nullopt);
    EXPECT_EQ(module.armed[6].kernels, (std::vector<std::string>{"image-1", "image-2"}));
}

// The profile of kernel "id-web" is complete from the start.
class KnownKernelTest : public SupervisorTest {
protected:
    KnownKernelTest()
    {
        create(1);
        tell(finished(1, "id-web"));
        tell(report(1, LACUNA_EVENT_GONE, LACUNA_GUEST_GONE));
        create(1);
        tell(finished(1, "id-web"));
        tell(report(1, LACUNA_EVENT_GONE, LACUNA_GUEST_GONE));
        policy = Policy::learn_if_unknown;
        start();
        settle(slow_in_progress);
    }

    // What the module says of a guest whose kernel was found and is known.
    GuestReport recognised(std::uint32_t guest)
    {
        GuestReport r = report(guest, LACUNA_EVENT_FINISHED, LACUNA_GUEST_DONE);
        r.kernel_id = "id-web";
        r.slide = 0;
        r.text_gpa = 0x2'0000'0000;
        r.stats.emplace();
        return r;
    }
};

TEST_F(KnownKernelTest, IsNotTrappedAndVerified)
{
    create(9); // web1 again
    EXPECT_EQ(module.armed[9].options.known, std::set<std::string>{"id-web"});
    module.memory = [](std::uint64_t, std::size_t length) { return Bytes(length); }; // nothing holds yet
    tell(recognised(9));
    EXPECT_TRUE(supervisor->is_verifying());
    supervisor->verify();
    EXPECT_TRUE(supervisor->is_verifying());
    EXPECT_EQ(supervisor->guest("web1").state, LACUNA_GUEST_DONE);
    EXPECT_EQ(supervisor->store().guest("web1")->at("verified"), false);
}

TEST_F(KnownKernelTest, IsLearnedAnewWhereItsProfileDoesNotHold)
{
    deadline_seconds = 0;
    start();
    settle(slow_in_progress);
    create(9);
    module.memory = [](std::uint64_t, std::size_t length) { return Bytes(length); };
    tell(recognised(9));
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    supervisor->verify();
    EXPECT_FALSE(supervisor->is_verifying());
    EXPECT_EQ(supervisor->guest("web1").state, LACUNA_GUEST_WAITING);
    EXPECT_EQ(module.armed[9].options.known, std::set<std::string>{});
}

TEST_F(KnownKernelTest, WhatIsForgottenIsLearnedAnew)
{
    create(9);
    tell(recognised(9));
    ASSERT_TRUE(supervisor->is_verifying());
    supervisor->forget("id-web");
    EXPECT_FALSE(supervisor->is_verifying());
    EXPECT_FALSE(supervisor->store().profile("id-web"));
    EXPECT_ERROR(supervisor->forget("id-web"), "id-web: there is no profile of a kernel with this id");
    tell(report(9, LACUNA_EVENT_GONE, LACUNA_GUEST_GONE));
    create(17); // web1 once more
    EXPECT_EQ(module.armed[17].options.known, std::set<std::string>{});
}

TEST_F(KnownKernelTest, WithoutThatPolicyItIsTrapped)
{
    policy = Policy::learn;
    start();
    settle(slow_in_progress);
    create(9);
    EXPECT_EQ(module.armed[9].options.known, std::set<std::string>{});
}

TEST_F(KnownKernelTest, WhatRanBeforeIsOnlyLookedAt)
{
    running = {
        {1009, 7}, {1005, 7}, {1002, 7}, {1017, 0}}; // web1, same, unknown, and one that cannot be opened
    supervisor->connected(module.connect());
    settle(slow_in_progress);
    EXPECT_EQ(module.adopted, (std::vector<pid_t>{1009, 1005, 1002}));
    ASSERT_TRUE(module.armed.contains(100));
    EXPECT_EQ(module.armed[100].options.known, std::set<std::string>{"id-web"});
    EXPECT_FALSE(module.armed.contains(101)); // its kernel is not known
    EXPECT_FALSE(module.armed.contains(102)); // nobody wants to know
    EXPECT_NE(supervisor->guest("same").reason.find("lacunactl learn same"), std::string::npos);
    supervisor->connected(module.connect());
    EXPECT_EQ(module.adopted.size(), 3u); // those it has are not taken in again
}

TEST_F(SupervisorTest, LearnsFromARunningGuestOnRequest)
{
    running = {{1005, 7}};
    const Guest* guest = nullptr;
    for (int tries = 0; !guest && tries < 2; tries++) { // at first its kernel may still be being read
        guest = supervisor->learn("1005");
        settle();
    }
    ASSERT_NE(guest, nullptr);
    EXPECT_EQ(guest->name, "same");
    EXPECT_EQ(module.armed[100].kernels, std::vector<std::string>{"id-from-command-line"});
    EXPECT_ERROR(supervisor->learn("same"), "same: is being learned from already");
    EXPECT_ERROR(supervisor->learn("nobody"), "nobody: no running guest of this name");
    create(2);
    EXPECT_ERROR(supervisor->learn("unknown"), "its kernel is not known");
}

// What the second hunt of one boot has found counts too, even if nothing was heard of its beginning.
TEST_F(SupervisorTest, ASecondHuntOfABootIsPublished)
{
    const Guest& guest = create(1);
    GuestReport first = finished(1, "id-web");
    first.members->front() = open_with({8, 16}, LACUNA_AMBIGUOUS);
    tell(first);
    ASSERT_FALSE(supervisor->store().profile("id-web")->complete());
    ASSERT_EQ(supervisor->learn("web1"), &guest);
    EXPECT_EQ(guest.boot.outcome, Outcome::none);
    tell(finished(1, "id-web"));
    EXPECT_TRUE(supervisor->store().profile("id-web")->complete());
}

TEST_F(SupervisorTest, ABootIsCountedOnceHoweverOftenItIsPublished)
{
    create(1);
    GuestReport so_far = finished(1, "id-web");
    so_far.event = LACUNA_EVENT_PROGRESS;
    so_far.state = LACUNA_GUEST_TRAPPING;
    so_far.members->front() = open_with({8, 16});
    so_far.stats.emplace();
    so_far.stats->process_done_ns = 1;
    tell(so_far);
    const auto provenance = [&] { return supervisor->store().profile("id-web")->provenance; };
    EXPECT_EQ(provenance().boots, 0u);
    tell(finished(1, "id-web"));
    EXPECT_EQ(provenance().boots, 1u);
    EXPECT_EQ(provenance().without_news, 0u);
    supervisor->learn("web1");
    tell(finished(1, "id-web"));
    EXPECT_EQ(provenance().boots, 1u);
    EXPECT_FALSE(supervisor->store().profile("id-web")->confirmed());
    tell(report(1, LACUNA_EVENT_RESET, LACUNA_GUEST_CREATED));
    tell(finished(1, "id-web"));
    EXPECT_EQ(provenance().boots, 2u);
    EXPECT_TRUE(supervisor->store().profile("id-web")->confirmed());
}

TEST_F(SupervisorTest, AResetAsksAgainWhatIsToBeDone)
{
    create(8);
    EXPECT_EQ(module.ignored, std::vector<std::uint32_t>{8});
    Config config = supervisor->config();
    config.guests.back().policy = Policy::learn;
    config.guests.back().kernels = {"/k/quiet"};
    slow_in_progress = 1;
    supervisor->reconfigure(config);
    settle(slow_in_progress);
    tell(report(8, LACUNA_EVENT_RESET, LACUNA_GUEST_CREATED));
    EXPECT_EQ(module.armed[8].kernels, std::vector<std::string>{"id-quiet"});
}

TEST_F(SupervisorTest, AResetAsksTheRulesOfALearnedGuestToo)
{
    create(1);
    tell(finished(1, "id-web"));
    EXPECT_EQ(supervisor->guest("web1").state, LACUNA_GUEST_DONE);
    Config config = supervisor->config();
    config.guests.front().kernels = {"/k/other"};
    slow_in_progress = 1;
    supervisor->reconfigure(config);
    settle(slow_in_progress);
    tell(report(1, LACUNA_EVENT_RESET, LACUNA_GUEST_CREATED));
    EXPECT_EQ(module.armed[1].kernels, std::vector<std::string>{"id-other"});

    config.guests.front().policy = Policy::ignore;
    supervisor->reconfigure(config);
    tell(finished(1, "id-other"));
    tell(report(1, LACUNA_EVENT_RESET, LACUNA_GUEST_CREATED));
    EXPECT_EQ(module.ignored, std::vector<std::uint32_t>{1});
    const auto facts = supervisor->store().guest("web1");
    ASSERT_TRUE(facts);
    EXPECT_EQ(facts->at("state"), "ignored"); // and nothing of the boot before
    EXPECT_EQ(facts->at("kernel").at("id"), Json());
}

TEST_F(SupervisorTest, AResetLeavesWhatWasArmedByHand)
{
    create(2); // no rule fits
    ASSERT_EQ(supervisor->arm({1002, "", {"/k/hand"}, {}, false}), nullptr);
    settle();
    ASSERT_NE(supervisor->arm({1002, "", {"/k/hand"}, {}, false}), nullptr);
    tell(finished(2, "id-hand"));
    module.armed.clear();
    tell(report(2, LACUNA_EVENT_RESET, LACUNA_GUEST_CREATED));
    EXPECT_EQ(module.armed[2].kernels, std::vector<std::string>{"id-hand"});
}

TEST_F(SupervisorTest, AResetThatNobodyHeardOfIsMadeUpFor)
{
    create(2);
    EXPECT_EQ(module.ignored.size(), 1u);
    module.lost = true;
    module.guests[2].state = LACUNA_GUEST_CREATED;
    supervisor->read_events();
    EXPECT_EQ(module.ignored.size(), 2u);
}
