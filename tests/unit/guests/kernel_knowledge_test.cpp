// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include "abi_names.h"
#include "constraint_set.h"
#include "expect_error.h"
#include "fake_guest.h"
#include "fake_module.h"
#include "kernel_knowledge.h"
#include "temporary_directory.h"

using namespace lacuna;

class KernelKnowledgeTest : public testing::Test {
protected:
    TemporaryDirectory folder;
    Store store{folder.path()};
    lacuna_constraints set = load_constraints(LACUNA_CONSTRAINTS);
    KernelKnowledge knowledge{store, set};

    // One in which all members have been found, the first one at `first`.
    Guest learned_from(std::int32_t first = 8)
    {
        Guest guest;
        guest.name = "web";
        guest.boot.kernel_id = "id-1";
        guest.boot.kernel = std::make_shared<const KernelDescriptor>(fake_kernel("id-1"));
        for (int i = 0; i < set.members_nr; i++)
            guest.boot.members.push_back(resolved_at(first + 8 * i));
        return guest;
    }
};

TEST_F(KernelKnowledgeTest, PublishesAndThenKnows)
{
    const std::vector kernels = {fake_kernel("id-0"), fake_kernel("id-1")};
    EXPECT_TRUE(knowledge.known_among(kernels).empty());
    Guest guest = learned_from();
    const std::int32_t truth = guest.boot.members.back().candidates[0];
    guest.boot.members.back() = open_with({truth, truth + 8}, LACUNA_AMBIGUOUS);
    EXPECT_EQ(knowledge.publish(guest), Stored::written);
    EXPECT_TRUE(knowledge.known_among(kernels).empty()); // a member is missing
    EXPECT_EQ(knowledge.publish(learned_from()), Stored::improved);
    EXPECT_EQ(knowledge.known_among(kernels), std::set<std::string>{"id-1"});
    EXPECT_EQ(knowledge.publish(guest), Stored::kept);
    EXPECT_EQ(knowledge.publish(learned_from(16)), Stored::refused);
    EXPECT_EQ(store.profile("id-1")->offset(qualified_name(set, 0)), 8);
}

TEST_F(KernelKnowledgeTest, WhatSawNothingSaysNothing)
{
    Guest guest = learned_from();
    for (lacuna_member_report& member : guest.boot.members)
        member = open_with({}, LACUNA_AMBIGUOUS);
    EXPECT_EQ(knowledge.publish(guest), std::nullopt);
    EXPECT_FALSE(store.profile("id-1"));
}

TEST_F(KernelKnowledgeTest, AMemberThatIsNewIsNotKnown)
{
    Guest guest = learned_from();
    lacuna_constraints fewer = set;
    fewer.members_nr--;
    guest.boot.members.pop_back();
    KernelKnowledge(store, fewer).publish(guest);
    ASSERT_TRUE(store.profile("id-1")->complete());
    EXPECT_TRUE(knowledge.known_among({fake_kernel("id-1")}).empty());
}

TEST_F(KernelKnowledgeTest, AProfileThatCannotBeReadIsNotKnown)
{
    knowledge.publish(learned_from());
    write_at_once(store.profile_file("id-1"), "{", 0600);
    EXPECT_TRUE(knowledge.known_among({fake_kernel("id-1")}).empty());
}

TEST_F(KernelKnowledgeTest, VerifiesAgainstTheStore)
{
    FakeGuest memory; // in which nothing is
    AddressSpace space = memory.space();
    EXPECT_ERROR(knowledge.verify(learned_from(), space), "id-1: the profile is not in the store any more");
    knowledge.publish(learned_from());
    EXPECT_ERROR(knowledge.verify(learned_from(), space), "nothing mapped");
}
