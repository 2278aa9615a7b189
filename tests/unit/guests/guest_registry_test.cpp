// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include "expect_error.h"
#include "guest_registry.h"
#include "temporary_directory.h"

using namespace lacuna;

class GuestRegistryTest : public testing::Test {
protected:
    TemporaryDirectory folder;
    Store store{folder.path()};
    GuestRegistry registry{store};

    Guest& add(std::uint32_t number, const std::string& name)
    {
        Guest& guest = registry.add(number, static_cast<pid_t>(1000 + number));
        registry.name(guest, name);
        return guest;
    }
};

TEST_F(GuestRegistryTest, FindsThoseThatAreThere)
{
    Guest& web = add(1, "web");
    Guest& old = add(2, "old");
    old.state = LACUNA_GUEST_GONE;
    EXPECT_EQ(registry.by_number(1), &web);
    EXPECT_EQ(registry.by_number(2), nullptr);
    EXPECT_EQ(registry.by_process(1001), &web);
    EXPECT_EQ(registry.by_process(1002), nullptr);
    EXPECT_EQ(registry.by_name_or_process("web"), &web);
    EXPECT_EQ(registry.by_name_or_process("1001"), &web);
    EXPECT_EQ(registry.by_name_or_process("old"), nullptr);
    EXPECT_EQ(&registry.at("old"), &old); // may still be asked for
    EXPECT_THROW(registry.at("nobody"), Unknown);
}

TEST_F(GuestRegistryTest, NamesAreFitForFilesAndUnlikeOthers)
{
    Guest& first = add(1, "a b");
    EXPECT_EQ(first.name, "a_b");
    EXPECT_EQ(add(2, "a b").name, "a_b-2");
    EXPECT_EQ(add(3, "a_b").name, "a_b-3");
    registry.name(first, "a b"); // its own is not taken
    EXPECT_EQ(first.name, "a_b");
    first.state = LACUNA_GUEST_GONE;
    Guest& next = add(4, "a b");
    EXPECT_EQ(next.name, "a_b");
    EXPECT_EQ(&registry.at("a b"), &next); // before the one that is gone
}

TEST_F(GuestRegistryTest, ThoseThatAreGoneStayForAWhileOnly)
{
    add(0, "there");
    for (std::uint32_t number = 1; number < 100; number++)
        add(number, "g" + std::to_string(number)).state = LACUNA_GUEST_GONE;
    EXPECT_EQ(registry.at("there").number, 0u);
    EXPECT_EQ(registry.at("g99").number, 99u);
    EXPECT_THROW(registry.at("g1"), Unknown);
    EXPECT_LT(registry.all().size(), 40u);
}

TEST_F(GuestRegistryTest, WhatAnEarlierDaemonWroteDown)
{
    Guest& guest = add(1, "web");
    guest.wanted = Policy::learn;
    guest.sources = {{"/k/web", "/k/System.map", {}, FileUser{1000, 1001, {1002}}}, {{}, {}, {{"/d.raw", "raw"}}}};
    guest.constraints = "digest";
    registry.remember(guest);

    GuestRegistry next(store);
    Guest& again = next.add(7, guest.vmm_pid);
    again.wanted = Policy::learn_if_unknown; // by its rule
    next.recall(again);
    EXPECT_EQ(again.name, "web");
    EXPECT_EQ(again.sources, guest.sources);
    EXPECT_EQ(again.constraints, "digest");
    EXPECT_EQ(again.wanted, Policy::learn_if_unknown);
    EXPECT_FALSE(again.by_hand);

    GuestRegistry third(store);
    Guest& by_hand = third.add(7, guest.vmm_pid); // no rule wants it: then somebody asked for it
    third.recall(by_hand);
    EXPECT_EQ(by_hand.wanted, Policy::learn);
    EXPECT_TRUE(by_hand.by_hand);

    Guest& stranger = third.add(8, 4711);
    third.recall(stranger);
    EXPECT_TRUE(stranger.sources.empty());
    EXPECT_FALSE(stranger.by_hand);
}

TEST_F(GuestRegistryTest, OfGuestsLeftAloneOnlyOldFactsAreReplaced)
{
    Guest& guest = add(1, "web");
    registry.remember(guest);
    EXPECT_FALSE(store.guest("web"));
    guest.wanted = Policy::learn;
    registry.remember(guest);
    guest.wanted = Policy::ignore;
    guest.state = LACUNA_GUEST_IGNORED;
    registry.remember(guest);
    EXPECT_EQ(store.guest("web")->at("state"), "ignored");
}

TEST_F(GuestRegistryTest, BuriesWhoeverIsNotThere)
{
    for (Guest* guest : {&add(1, "here"), &add(2, "there")}) {
        guest->wanted = Policy::learn;
        guest->state = LACUNA_GUEST_DONE;
        registry.remember(*guest);
    }
    GuestRegistry next(store);
    next.name(next.add(1, 1001), "here");
    next.bury();
    EXPECT_EQ(store.guest("here")->at("state"), "done");
    EXPECT_EQ(store.guest("there")->at("state"), "gone");
}
