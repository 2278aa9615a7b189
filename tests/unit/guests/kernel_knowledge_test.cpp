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
    unsigned compared = 0; // of how many boots one is asked to be compared
    bool compare = false;
    KernelKnowledge knowledge{store, set, [this](unsigned one_in) {
                                  compared = one_in;
                                  return compare;
                              }};
    Trust trust;
    const std::vector<KernelDescriptor> kernels = {fake_kernel("id-0"), fake_kernel("id-1")};

    bool known(const std::string& guest = "web")
    {
        return knowledge.known_among(kernels, guest, trust) == std::set<std::string>{"id-1"};
    }

    // One in which all members have been found, the first one at `first`.
    Guest learned_from(std::int32_t first = 8, const std::string& name = "web")
    {
        Guest guest;
        guest.name = name;
        guest.engine = LACUNA_ENGINE_VERSION;
        guest.boot.kernel_id = "id-1";
        guest.boot.kernel = std::make_shared<const KernelDescriptor>(fake_kernel("id-1"));
        for (int i = 0; i < set.members_nr; i++)
            guest.boot.members.push_back(resolved_at(first + 8 * i));
        return guest;
    }
};

TEST_F(KernelKnowledgeTest, PublishesAndThenKnows)
{
    trust.confirm_boots = 1;
    EXPECT_FALSE(known());
    Guest guest = learned_from();
    const std::int32_t truth = guest.boot.members.back().candidates[0];
    guest.boot.members.back() = open_with({truth, truth + 8}, LACUNA_AMBIGUOUS);
    EXPECT_EQ(knowledge.publish(guest), Stored::written);
    EXPECT_FALSE(known()); // a member is missing
    EXPECT_EQ(knowledge.publish(learned_from()), Stored::improved);
    EXPECT_TRUE(known());
    EXPECT_EQ(knowledge.publish(guest), Stored::kept);
    EXPECT_EQ(knowledge.publish(learned_from(16)), Stored::refused);
    EXPECT_EQ(store.profile("id-1")->offset(qualified_name(set, 0)), 8);
}

TEST_F(KernelKnowledgeTest, IsConfirmedByTwoBoots)
{
    knowledge.publish(learned_from());
    EXPECT_FALSE(known());
    knowledge.publish(learned_from());
    EXPECT_TRUE(known());
}

// Two boots of one guest may have the same fault.
TEST_F(KernelKnowledgeTest, AnotherGuestIsAskedOnce)
{
    knowledge.publish(learned_from());
    knowledge.publish(learned_from());
    EXPECT_FALSE(known("db"));
    knowledge.publish(learned_from(8, "db"));
    EXPECT_TRUE(known("db"));
    EXPECT_TRUE(known("web"));
    EXPECT_TRUE(known("third"));
}

TEST_F(KernelKnowledgeTest, NowAndThenABootIsCompared)
{
    knowledge.publish(learned_from());
    EXPECT_FALSE(known());
    EXPECT_EQ(compared, 0u); // nobody is chosen where all are asked
    knowledge.publish(learned_from());
    trust.compare_one_in = 7;
    EXPECT_TRUE(known());
    EXPECT_EQ(compared, 7u);
    compare = true;
    EXPECT_FALSE(known());
}

TEST(KernelKnowledge, ChoosesByChance)
{
    EXPECT_FALSE(KernelKnowledge::by_chance(0));
    EXPECT_TRUE(KernelKnowledge::by_chance(1));
    int chosen = 0;
    for (int i = 0; i < 1000; i++)
        chosen += KernelKnowledge::by_chance(10);
    EXPECT_GT(chosen, 40); // of 100 to be expected; less than that happens once in 10^12 times
    EXPECT_LT(chosen, 180);
}

TEST_F(KernelKnowledgeTest, AnIncompleteProfileIsFinalWhenNothingIsAdded)
{
    Guest guest = learned_from();
    guest.boot.members.back() = open_with({1000, 1008}, LACUNA_TIED);
    guest.boot.members.front() = open_with({4, 8}, LACUNA_AMBIGUOUS);
    trust.final_after_boots = 2;
    for (int boots = 0; boots < 3; boots++) {
        EXPECT_FALSE(known()) << boots;
        knowledge.publish(guest);
    }
    EXPECT_TRUE(known());
    EXPECT_TRUE(known("db"));
    trust.final_after_boots = 3;
    EXPECT_FALSE(known());
}

TEST_F(KernelKnowledgeTest, ANewEngineAndOtherConstraintsAskAgain)
{
    for (int boots = 0; boots < 3; boots++)
        knowledge.publish(learned_from());
    ASSERT_TRUE(known());
    Profile profile = *store.profile("id-1");
    profile.provenance.engine = LACUNA_ENGINE_VERSION - 1;
    EXPECT_FALSE(knowledge.is_settled(profile, "web", trust));
    profile.provenance.without_news = 1000;
    EXPECT_FALSE(knowledge.is_settled(profile, "web", trust));
    profile = *store.profile("id-1");
    profile.provenance.constraints = "other";
    EXPECT_FALSE(knowledge.is_settled(profile, "web", trust));
}

TEST_F(KernelKnowledgeTest, WhatIsAbsentIsKnown)
{
    Guest guest = learned_from();
    guest.boot.members.back() = open_with({}, LACUNA_ABSENT);
    knowledge.publish(guest);
    knowledge.publish(guest);
    EXPECT_TRUE(known());
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
    trust.confirm_boots = 1;
    EXPECT_FALSE(known());
    EXPECT_EQ(knowledge.with_profile(kernels), std::set<std::string>{"id-1"});
}

TEST_F(KernelKnowledgeTest, AProfileThatCannotBeReadIsNotKnown)
{
    knowledge.publish(learned_from());
    write_at_once(store.profile_file("id-1"), "{", 0600);
    EXPECT_FALSE(known());
    EXPECT_TRUE(knowledge.with_profile(kernels).empty());
}

TEST_F(KernelKnowledgeTest, VerifiesAgainstTheStore)
{
    FakeGuest memory; // in which nothing is
    AddressSpace space = memory.space();
    EXPECT_ERROR(knowledge.verify(learned_from(), space), "id-1: the profile is not in the store any more");
    knowledge.publish(learned_from());
    EXPECT_ERROR(knowledge.verify(learned_from(), space), "nothing mapped");
}
