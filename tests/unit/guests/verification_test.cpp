// SPDX-License-Identifier: GPL-2.0-or-later
#include "expect_error.h"
#include "fake_guest.h"
#include "verification.h"

using namespace lacuna;

namespace {

constexpr std::int32_t start_code = 0x110, end_code = 0x118;
constexpr std::uint64_t text = 0xffffffff'8a00'0000, text_gpa = 0x2a00'0000;

// A guest that has come as far as to its first process.
class Verification : public testing::Test {
protected:
    FakeKernel kernel;
    Profile profile;
    std::uint64_t process = 0;

    Verification()
    {
        const auto member = [&](const char* structure, const char* name, std::int64_t offset, unsigned size) {
            ProfileMember m;
            m.structure = structure;
            m.name = name;
            m.size = size;
            m.state = LACUNA_RESOLVED;
            m.offset = static_cast<std::int32_t>(offset);
            profile.members.push_back(m);
        };
        member("task_struct", "tasks", FakeLayout::tasks, 16);
        member("task_struct", "pid", FakeLayout::pid, 4);
        member("task_struct", "comm", FakeLayout::comm, 16);
        member("task_struct", "mm", FakeLayout::mm, 8);
        member("mm_struct", "pgd", FakeLayout::pgd, 8);
        member("mm_struct", "start_code", start_code, 8);
        member("mm_struct", "end_code", end_code, 8);
        member("module", "name", FakeLayout::name, 56);
        member("module", "module_core", FakeLayout::core, 8);
        member("module", "core_text_size", FakeLayout::text_size, 4);
        kernel.memory.map(text, text_gpa, 2);
        process = kernel.add_process(1, "init", true);
        kernel.add_process(2, "kthreadd", false);
        kernel.memory.map(kernel.pgd_of(process) & ~0xfffull, kernel.memory.root);
        put(process + 0x2000 + start_code, 0x40'1000);
        put(process + 0x2000 + end_code, 0x48'0000);
    }

    void put(std::uint64_t gva, std::uint64_t value) { kernel.memory.put(gva, value); }

    void verify(std::uint64_t place_of_text = text)
    {
        AddressSpace memory = kernel.memory.space();
        lacuna::verify(memory, profile, {kernel.init_task, kernel.modules, place_of_text, text_gpa});
    }

    // With one member somewhere else.
    void verify_with(std::size_t member, std::int32_t offset)
    {
        const std::int32_t right = std::exchange(profile.members[member].offset, offset);
        try {
            verify();
        } catch (...) {
            profile.members[member].offset = right;
            throw;
        }
        profile.members[member].offset = right;
    }
};

} // namespace

TEST_F(Verification, AProfileThatLacksAMemberDoesNotHold)
{
    for (const char* name : {"comm", "tasks", "end_code"}) {
        const auto members = profile.members;
        std::erase_if(profile.members, [&](const ProfileMember& member) { return member.name == name; });
        EXPECT_ERROR(verify(), "not in the profile");
        profile.members = members;
    }
}

TEST_F(Verification, WhatIsOpenIsNotAskedAbout)
{
    kernel.memory.put(FakeLayout::modules + 0x100'0000, 0x90);
    kernel.add_module("dummy", FakeLayout::modules + 0x100'0000 - 0x40, 4096);
    for (ProfileMember& member : profile.members) {
        SCOPED_TRACE(member.qualified());
        const ProfileMember known = member;
        for (const auto state : {LACUNA_AMBIGUOUS, LACUNA_CONTRADICTED, LACUNA_ABSENT}) {
            member.state = state;
            member.offset = 1; // says nothing
            EXPECT_NO_THROW(verify());
        }
        member = known;
    }
    for (ProfileMember& member : profile.members)
        if (member.name != "comm")
            member.state = LACUNA_AMBIGUOUS;
    EXPECT_NO_THROW(verify());
    EXPECT_THROW(verify_with(2, FakeLayout::comm + 8), Error);
}

TEST_F(Verification, TheRightProfileHolds)
{
    EXPECT_NO_THROW(verify());
    kernel.memory.put(FakeLayout::modules + 0x100'0000, 0x90); // some text
    kernel.add_module("dummy", FakeLayout::modules + 0x100'0000 - 0x40, 4096);
    EXPECT_NO_THROW(verify());
}

TEST_F(Verification, EveryMemberMatters)
{
    kernel.memory.put(FakeLayout::modules + 0x100'0000, 0x90);
    kernel.add_module("dummy", FakeLayout::modules + 0x100'0000 - 0x40, 4096);
    for (std::size_t member = 0; member < profile.members.size(); member++) {
        SCOPED_TRACE(profile.members[member].qualified());
        EXPECT_THROW(verify_with(member, profile.members[member].offset + 8), Error);
    }
}

TEST_F(Verification, SaysWhatDoesNotHold)
{
    EXPECT_ERROR(verify_with(1, FakeLayout::pid + 8),
                 "task_struct.pid: task 1 of the list has another number");
    EXPECT_ERROR(verify_with(5, end_code), "mm_struct.start_code: process 1 has no code there");
    EXPECT_ERROR(verify(text + 0x20'0000), "mm_struct.pgd: process 1's page tables do not map the kernel");
}

TEST(VerificationEarly, NothingHoldsYet)
{
    const FakeKernel kernel; // only the idle task
    Profile profile;
    FakeKernel early;
    AddressSpace memory = early.memory.space();
    EXPECT_THROW(lacuna::verify(memory, profile, {early.init_task, early.modules, text, text_gpa}), Error);
}
