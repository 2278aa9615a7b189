// SPDX-License-Identifier: GPL-2.0-or-later
// The engine with the shipped constraints over recordings of real boots, judged by the kernels' own BTF.
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "error.h"
#include "replay.h"

namespace lacuna::test {
namespace {

namespace fs = std::filesystem;

std::vector<fs::path> recordings()
{
    std::vector<fs::path> found;
    for (const auto& entry : fs::directory_iterator(LACUNA_RECORDINGS))
        if (entry.path().extension() == ".xz")
            found.push_back(entry.path());
    std::sort(found.begin(), found.end());
    return found;
}

struct Truth {
    std::map<std::string, int> offsets;
    // A recording holds what the engine of its time read: what today's reads beside that is not there, and a member
    // that rests on it stays open. Never wrong, though.
    std::set<std::string> may_be_open;
};

// "6.1.0-56-amd64.xz" -> "6.1.0-56-amd64.truth.json"
Truth truth_of(fs::path recording)
{
    std::ifstream file(recording.replace_extension(".truth.json"));
    const auto json = nlohmann::json::parse(file);
    Truth truth;
    for (const auto& [structure, members] : json.at("members").items())
        for (const auto& [member, offset] : members.items())
            truth.offsets[structure + "." + member] = offset.get<int>();
    truth.may_be_open = json.value("may_be_open", std::set<std::string>());
    return truth;
}

TEST(Recordings, AreThere)
{
    EXPECT_FALSE(recordings().empty());
}

class Recording : public testing::TestWithParam<fs::path> {};

TEST_P(Recording, YieldsTheTruth)
{
    const auto played = replay(GetParam(), LACUNA_CONSTRAINTS);
    EXPECT_GT(played.events, 20u);
    const auto truth = truth_of(GetParam());
    for (const auto& [member, report] : played.reports) {
        ASSERT_TRUE(truth.offsets.contains(member)) << member << " has no truth beside the recording";
        const int offset = truth.offsets.at(member);
        if (truth.may_be_open.contains(member)) {
            const auto* end = report.candidates + std::min<std::uint32_t>(report.remaining, LACUNA_LISTED_CANDIDATES);
            EXPECT_TRUE(report.remaining > LACUNA_LISTED_CANDIDATES || std::find(report.candidates, end, offset) != end) << member;
            continue;
        }
        EXPECT_EQ(report.state, LACUNA_RESOLVED) << member << ": " << report.remaining << " candidates left";
        EXPECT_EQ(report.candidates[0], offset) << member;
    }
}

std::string name_of(const testing::TestParamInfo<fs::path>& recording)
{
    std::string name = recording.param.stem().string();
    std::replace_if(
        name.begin(), name.end(), [](char c) { return !std::isalnum(static_cast<unsigned char>(c)); }, '_');
    return name;
}

INSTANTIATE_TEST_SUITE_P(All, Recording, testing::ValuesIn(recordings()), name_of);

TEST(Replay, RefusesWhatIsNoRecording)
{
    EXPECT_THROW(replay(__FILE__, LACUNA_CONSTRAINTS), Error);
    EXPECT_THROW(replay("/nonexistent", LACUNA_CONSTRAINTS), Error);
}

} // namespace
} // namespace lacuna::test
