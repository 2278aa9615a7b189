// SPDX-License-Identifier: GPL-2.0-or-later
#include <cstring>
#include <fstream>

#include "abi_names.h"
#include "constraint_set.h"
#include "expect_error.h"
#include "profile.h"
#include "temporary_directory.h"

using namespace lacuna;

namespace {

Json task()
{
    return Json::parse(R"({"structure": "task_struct", "source": "task", "window": [0, 16384], "members": [
        {"name": "comm", "type": "text", "size": 16, "witnesses": 8, "instances": 3, "why": "free text", "constraints": [
            {"predicate": "anchor-text", "text": "swapper"}, {"predicate": "text", "on": ["fork", "exit"], "witness": true}]},
        {"name": "tasks", "type": "list", "strikes": 5, "witnesses": 8, "instances": 3, "constraints": [
            {"predicate": "ring", "member": "task_struct.comm", "on": ["fork"], "witness": true}]},
        {"name": "pid", "type": "int", "witnesses": 8, "instances": 3, "constraints": [
            {"predicate": "range", "min": -1, "max": 4194304, "witness": true}]},
        {"name": "mm", "type": "pointer", "witnesses": 8, "instances": 3, "constraints": [
            {"predicate": "leads-to-root", "window": 2048, "witness": true}]}]})");
}

Json mm()
{
    return Json::parse(
        R"({"structure": "mm_struct", "source": "pointer", "pointer": "task_struct.mm", "window": [0, 2048],
        "members": [{"name": "pgd", "type": "pointer", "witnesses": 4, "instances": 2, "constraints": [
            {"predicate": "is-root", "witness": true}]}]})");
}

lacuna_constraints compile(const Json& one, const Json& two = {})
{
    std::vector<ConstraintFile> files = {{"one.json", one.dump()}};
    if (!two.is_null())
        files.push_back({"two.json", two.dump()});
    return compile_constraints(files);
}

} // namespace

TEST(ConstraintSet, CompilesToTheBinaryForm)
{
    // mm_struct hangs on task_struct.mm, so it comes second although its file comes first.
    const auto set = compile(mm(), task());
    ASSERT_EQ(set.magic, LACUNA_MAGIC);
    ASSERT_EQ(set.version, LACUNA_ABI_VERSION);
    ASSERT_EQ(set.structures_nr, 2);
    ASSERT_EQ(set.members_nr, 5);
    EXPECT_STREQ(set.structures[0].name, "task_struct");
    EXPECT_EQ(set.structures[0].high, 16384);
    EXPECT_EQ(set.structures[1].source, LACUNA_SOURCE_POINTER);
    EXPECT_EQ(set.structures[1].member, 3);
    EXPECT_EQ(qualified_name(set, 4), "mm_struct.pgd");

    const lacuna_member& comm = set.members[0];
    EXPECT_EQ(comm.type, LACUNA_TYPE_TEXT);
    EXPECT_EQ(comm.size, 16);
    EXPECT_EQ(comm.align, 0);
    EXPECT_EQ(member_size(comm, LACUNA_I386), 16u);
    EXPECT_EQ(comm.strikes, 2);
    EXPECT_EQ(comm.predicates_nr, 2);
    EXPECT_STREQ(comm.predicates[0].text, "swapper");
    EXPECT_EQ(comm.predicates[0].on, LACUNA_ON_ALL);
    EXPECT_EQ(comm.predicates[0].witness, 0);
    EXPECT_EQ(comm.predicates[1].on, LACUNA_ON_FORK | LACUNA_ON_EXIT);
    EXPECT_EQ(comm.predicates[1].witness, 1);

    const lacuna_member& tasks = set.members[1];
    EXPECT_EQ(tasks.size, 0); // the guest's word decides
    EXPECT_EQ(tasks.align, 0);
    EXPECT_EQ(member_size(tasks, LACUNA_X86_64), 16u);
    EXPECT_EQ(member_size(tasks, LACUNA_I386), 8u);
    EXPECT_EQ(tasks.strikes, 5);
    EXPECT_EQ(tasks.predicates[0].kind, LACUNA_RING);
    EXPECT_EQ(tasks.predicates[0].member, 0);
    EXPECT_EQ(set.members[2].predicates[0].arg[0], -1);
    EXPECT_EQ(set.members[2].predicates[0].arg[1], 4194304);
    EXPECT_EQ(set.members[2].predicates[0].member, LACUNA_NO_MEMBER);
    EXPECT_EQ(set.members[3].predicates[0].arg[0], 2048);
}

TEST(ConstraintSet, OrderOfFilesDoesNotMatter)
{
    const auto one = compile(mm(), task()), two = compile(task(), mm());
    EXPECT_EQ(std::memcmp(&one, &two, sizeof(one)), 0);
}

TEST(ConstraintSet, UnknownPredicateIsNamedWithThoseThatExist)
{
    Json json = task();
    json["members"][2]["constraints"][0]["predicate"] = "rnage";
    EXPECT_ERROR(compile(json), "one.json: member task_struct.pid: unknown predicate \"rnage\"");
    EXPECT_ERROR(compile(json), "anchor-text, anchor-value, range, text,");
}

TEST(ConstraintSet, UnknownKeysTypesSourcesEvents)
{
    Json json = task();
    json["members"][0]["sice"] = 16;
    EXPECT_ERROR(compile(json),
                 "member task_struct.comm: unknown key \"sice\"; allowed here: name, type, size");
    json = task();
    json["members"][2]["constraints"][0]["value"] = 16;
    EXPECT_ERROR(compile(json), "member task_struct.pid, predicate range: unknown key \"value\"");
    json = task();
    json["colour"] = "red";
    EXPECT_ERROR(compile(json), "structure task_struct: unknown key \"colour\"");
    json = task();
    json["pointer"] = "task_struct.mm"; // for another source only
    EXPECT_ERROR(compile(json), "unknown key \"pointer\"");
    json = task();
    json["members"][0]["type"] = "string";
    EXPECT_ERROR(compile(json), "unknown type \"string\"; allowed are int, long, pointer, list or text");
    json = task();
    json["source"] = "thread";
    EXPECT_ERROR(compile(json), "unknown source \"thread\"; allowed are task, pointer or module");
    json = task();
    json["members"][1]["constraints"][0]["on"] = {"clone"};
    EXPECT_ERROR(compile(json), "unknown event \"clone\" in \"on\"; allowed are fork, exit, initcall or look");
}

TEST(ConstraintSet, MissingKeys)
{
    for (const char* key : {"structure", "source", "window", "members"}) {
        Json json = task();
        json.erase(key);
        EXPECT_ERROR(compile(json), std::string("the key \"") + key + "\" is missing");
    }
    for (const char* key : {"name", "type", "size", "witnesses", "instances", "constraints"}) {
        Json json = task();
        json["members"][0].erase(key);
        EXPECT_ERROR(compile(json), std::string("the key \"") + key + "\" is missing");
    }
    for (const char* key : {"min", "max", "predicate"}) {
        Json json = task();
        json["members"][2]["constraints"][0].erase(key);
        EXPECT_ERROR(compile(json), std::string("the key \"") + key + "\" is missing");
    }
    Json json = mm();
    json.erase("pointer");
    EXPECT_ERROR(compile(json, task()), "the key \"pointer\" is missing");
}

TEST(ConstraintSet, WindowsOutOfBounds)
{
    for (const char* window : {"[0, 16392]", "[0, 100]", "[4, 128]", "[-16384, 8]", "[8, 1024]", "[0]",
                               "[0, \"a\"]", "[0, 1e9]", "[-8192, 8200]"}) {
        Json json = task();
        json["window"] = Json::parse(window);
        EXPECT_ERROR(compile(json), "\"window\"");
    }
}

TEST(ConstraintSet, ReferencesMustExistAndFit)
{
    Json json = task();
    json["members"][1]["constraints"][0]["member"] = "task_struct.name";
    EXPECT_ERROR(compile(json),
                 "member task_struct.tasks, predicate ring: there is no member \"task_struct.name\"");
    EXPECT_ERROR(compile(json), "task_struct.comm, task_struct.tasks");
    json["members"][1]["constraints"][0]["member"] = "task_struct.pid";
    EXPECT_ERROR(compile(json), "task_struct.pid is of type int; refer to a member of type text");
    json = mm();
    json["pointer"] = "task_struct.pid";
    EXPECT_ERROR(compile(json, task()), "task_struct.pid is of type int");
    EXPECT_ERROR(compile(mm()), "structure mm_struct: there is no member \"task_struct.mm\"");
}

TEST(ConstraintSet, CircularDependenciesAreShown)
{
    Json self = mm();
    self["pointer"] = "mm_struct.pgd";
    EXPECT_ERROR(compile(self), "in a circle: mm_struct.pgd needs mm_struct.pgd");

    Json one = mm(), two = mm();
    one["pointer"] = "vm_area.pgd";
    two["structure"] = "vm_area";
    two["pointer"] = "mm_struct.pgd";
    EXPECT_ERROR(compile(one, two), "needs vm_area.pgd needs mm_struct.pgd");
}

TEST(ConstraintSet, NamesStandOnce)
{
    EXPECT_ERROR(compile(task(), task()),
                 "two.json: the structure task_struct is described by one.json already");
    Json json = task();
    json["members"][1] = json["members"][0];
    EXPECT_ERROR(compile(json), "the member task_struct.comm is described twice");
    Json other = task();
    other["structure"] = "thread";
    EXPECT_ERROR(compile(task(), other), "has the source task, and so has task_struct");
    EXPECT_ERROR(compile_constraints({{"x.json", R"({"structure": "a", "structure": "b"})"}}),
                 "x.json: the key \"structure\" stands twice");
}

TEST(ConstraintSet, LimitsOfTheBinaryForm)
{
    Json json = task();
    for (int i = 0; i < LACUNA_MAX_MEMBERS - 4; i++) {
        json["members"].push_back(json["members"][2]);
        json["members"].back()["name"] = "m" + std::to_string(i);
    }
    EXPECT_EQ(compile(json).members_nr, LACUNA_MAX_MEMBERS);
    EXPECT_ERROR(compile(json, mm()), "33 members are too many; 32 are allowed");

    json = task();
    for (int i = 0; i < 8; i++)
        json["members"][2]["constraints"].push_back(json["members"][2]["constraints"][0]);
    EXPECT_ERROR(compile(json), "\"constraints\" is not a list of 1 to 8 entries");
    json = task();
    json["members"][0]["constraints"][0]["text"] = "a text of 16 char";
    EXPECT_ERROR(compile(json), "1 to 15 characters");
    json["members"][0]["name"] = std::string(32, 'x');
    EXPECT_ERROR(compile(json), "at most 31");
}

TEST(ConstraintSet, ValuesOutOfRange)
{
    const std::pair<const char*, Json> wrong[] = {
        {"size", 65},     {"size", 1},      {"align", 3},      {"align", 16},      {"strikes", 0},
        {"strikes", 256}, {"witnesses", 0}, {"instances", 33}, {"instances", 1.5}, {"size", "16"}};
    for (const auto& [key, value] : wrong) {
        Json json = task();
        json["members"][0][key] = value;
        EXPECT_ERROR(compile(json), std::string("\"") + key + "\" is " + value.dump());
    }
    Json json = task();
    json["members"][2]["constraints"][0]["min"] = 5000000;
    EXPECT_ERROR(compile(json), "\"min\" is greater than \"max\"");
    json["members"][2]["constraints"][0]["min"] = 0xffffffffffffffffull;
    EXPECT_ERROR(compile(json), "\"min\" is 18446744073709551615");
}

TEST(ConstraintSet, PredicatesFitTypesAndSources)
{
    Json json = task();
    json["members"][2]["constraints"][0] = {{"predicate", "text"}, {"witness", true}};
    EXPECT_ERROR(compile(json),
                 "member task_struct.pid, predicate text: cannot be asked of the type int; it is for text");
    json["members"][2]["constraints"][0] = {
        {"predicate", "extent"}, {"member", "task_struct.mm"}, {"witness", true}};
    EXPECT_ERROR(compile(json), "cannot be asked of a structure with source task; it is for module");
}

TEST(ConstraintSet, WithoutAWitnessNothingCanBeConfirmed)
{
    Json json = task();
    json["members"][2]["constraints"][0].erase("witness");
    EXPECT_ERROR(compile(json), "member task_struct.pid: no constraint has \"witness\": true");
}

TEST(ConstraintSet, FoldersAndBrokenFiles)
{
    const TemporaryDirectory folder;
    EXPECT_ERROR(load_constraints(folder.path()), "there is no constraint file here");
    EXPECT_ERROR(load_constraints(folder.path() / "none"), "none: the constraints cannot be listed");
    std::ofstream(folder.path() / "task_struct.json") << task().dump();
    std::ofstream(folder.path() / "schema.json") << "{}";
    std::ofstream(folder.path() / "README.md") << "no JSON";
    EXPECT_EQ(load_constraints(folder.path()).members_nr, 4);
    std::ofstream(folder.path() / "module.json") << "{\"structure\": ";
    EXPECT_ERROR(load_constraints(folder.path()), "module.json: is not JSON");
    std::ofstream(folder.path() / "module.json") << "[]";
    EXPECT_ERROR(load_constraints(folder.path()), "module.json: is not an object");
}

// The files of this repository, and what the module itself says of them.
extern "C" int lac_constraints_check(const lacuna_constraints* set);

TEST(ConstraintSet, TheTenMembersOfTheRepository)
{
    const auto set = load_constraints(LACUNA_CONSTRAINTS);
    std::vector<std::string> names;
    for (std::size_t i = 0; i < set.members_nr; i++)
        names.push_back(qualified_name(set, i));
    std::sort(names.begin(), names.end());
    EXPECT_EQ(names, (std::vector<std::string>{"mm_struct.end_code", "mm_struct.pgd", "mm_struct.start_code",
                                               "module.core_text_size", "module.module_core", "module.name",
                                               "task_struct.comm", "task_struct.mm", "task_struct.pid",
                                               "task_struct.tasks"}));
    EXPECT_EQ(lac_constraints_check(&set), 0);
    const auto small = compile(task(), mm());
    EXPECT_EQ(lac_constraints_check(&small), 0);
}
