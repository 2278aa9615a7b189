// SPDX-License-Identifier: GPL-2.0-or-later
// Which state of a guest may come after which: its lives, told again here, against the module's table.
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

extern "C" {
#include "state.h"
}

namespace {

const std::map<std::string, unsigned> states = {
    {"created", LACUNA_GUEST_CREATED},     {"ignored", LACUNA_GUEST_IGNORED},
    {"waiting", LACUNA_GUEST_WAITING},     {"trapping", LACUNA_GUEST_TRAPPING},
    {"restoring", LACUNA_GUEST_RESTORING}, {"done", LACUNA_GUEST_DONE},
    {"failed", LACUNA_GUEST_FAILED},       {"gone", LACUNA_GUEST_GONE},
};

// As the kinds of lives have it: all steps of all of them, and no other, are allowed.
const std::vector<std::vector<std::string>> lives = {
    {"created", "waiting", "trapping", "restoring", "done", "gone"}, // learned from
    {"created", "waiting", "restoring", "failed", "gone"},           // no kernel comes
    {"created", "waiting", "restoring", "done", "gone"},             // its kernel is known
    {"done", "created", "ignored", "gone"},                          // reset, and left alone
    {"trapping", "waiting", "trapping", "restoring", "failed"},      // reset in the middle of a hunt
    {"trapping", "restoring", "ignored", "gone"},                    // disarmed
    {"done", "waiting"},                                             // learned from again
    {"failed", "waiting"},                                           // armed by hand after a failure
    {"ignored", "waiting"},                                          // armed by hand after it was left alone
    {"failed", "created"},                                           // reset after a failure
    {"ignored", "created"},                                          // reset after it was left alone
    {"created", "gone"},   // destroyed before anybody has said anything
    {"waiting", "gone"},   // … before its kernel ran
    {"trapping", "gone"},  // … in the middle of a hunt
    {"restoring", "gone"}, // … while its bytes are put back
};

bool is_lived(const std::string& from, const std::string& to)
{
    for (const auto& life : lives)
        for (std::size_t i = 0; i + 1 < life.size(); i++)
            if (life[i] == from && life[i + 1] == to)
                return true;
    return false;
}

TEST(State, FollowsAsLivesHaveItAndInNoOtherWay)
{
    for (const auto& [from, from_state] : states)
        for (const auto& [to, to_state] : states)
            EXPECT_EQ(lac_state_may_follow(from_state, to_state), is_lived(from, to))
                << to << " after " << from;
}

TEST(State, DoesNotFollowItself)
{
    for (const auto& [name, state] : states)
        EXPECT_FALSE(lac_state_may_follow(state, state)) << name;
}

TEST(State, NothingFollowsGone)
{
    for (const auto& [name, state] : states)
        EXPECT_FALSE(lac_state_may_follow(LACUNA_GUEST_GONE, state)) << name;
}

TEST(State, WhatIsNoStateFollowsNothingAndIsFollowedByNothing)
{
    for (unsigned other : {LACUNA_GUEST_GONE + 1u, 32u, 255u, ~0u})
        for (const auto& [name, state] : states) {
            EXPECT_FALSE(lac_state_may_follow(other, state)) << name << " after " << other;
            EXPECT_FALSE(lac_state_may_follow(state, other)) << other << " after " << name;
        }
}

} // namespace
