// SPDX-License-Identifier: GPL-2.0-or-later
#include "deep_constraints.h"
#include "expect_error.h"
#include "solver.h"

using namespace lacuna;

namespace {

std::string with(const std::string& member,
                 const std::string& top = R"("source": "tasks", "window": [0, 128])")
{
    return R"({"structure": "task_struct", )" + top + R"(, "members": [)" + member + "]}";
}

const std::string good = R"({"name": "stack", "type": "pointer", "instances": 2, "values": 2,
    "constraints": [{"predicate": "leads-to-value", "value": 1, "align": 8, "witness": true}]})";

} // namespace

TEST(DeepConstraints, AreRead)
{
    const DeepStructure structure = read_deep_structure(with(good), "a.json");
    ASSERT_EQ(structure.members.size(), 1u);
    EXPECT_EQ(structure.members[0].qualified(), "task_struct.stack");
    EXPECT_EQ(structure.members[0].size, 8u);
    EXPECT_EQ(structure.members[0].align, 8u);
    EXPECT_NO_THROW(DeepSolver({structure}));
}

TEST(DeepConstraints, ThoseThatAreShippedAreFine)
{
    const DeepStructures structures = read_deep_constraints(LACUNA_CONSTRAINTS "/deep").structures;
    EXPECT_GE(structures.size(), 7u);
    EXPECT_NO_THROW(DeepSolver{structures});
}

TEST(DeepConstraints, MistakesAreNamed)
{
    const auto read = [](const std::string& text) { return read_deep_structure(text, "a.json"); };
    EXPECT_ERROR(read("{"), "a.json: is no constraint file");
    EXPECT_ERROR(read(with(good, R"("source": "stars", "window": [0, 128])")), "\"source\" is none");
    EXPECT_ERROR(read(with(good, R"("source": "pointer", "window": [0, 128])")), "without its \"pointers\"");
    EXPECT_ERROR(read(with(good, R"("source": "tasks", "window": [0, 1048576])")),
                 "\"window\" is out of range");
    std::string text = good;
    EXPECT_ERROR(read(with(text.replace(text.find("pointer"), 7, "number"))), "unknown type \"number\"");
    text = good;
    EXPECT_ERROR(read(with(text.replace(text.find(", \"witness\": true"), 17, ""))),
                 "no constraint has \"witness\"");
    text = good;
    EXPECT_ERROR(DeepSolver({read(with(text.replace(text.find("leads-to-value"), 14, "leads-nowhere")))}),
                 "unknown predicate \"leads-nowhere\"");
    EXPECT_ERROR(read_deep_constraints("/nowhere"), "holds no constraint files of deep members");
}

// Of two groups that have one the first would win, with no word of the other.
TEST(DeepConstraints, APredicateIsInOneGroup)
{
    std::set<std::string> names;
    for (const auto group : predicate_groups)
        for (const auto& [name, unused] : group())
            EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_TRUE(names.contains("leads-to-function"));
}
