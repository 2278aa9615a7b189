// SPDX-License-Identifier: GPL-2.0-or-later
#include <fstream>
#include <iterator>

#include <grp.h>
#include <sys/stat.h>
#include <unistd.h>

#include "constraint_set.h"
#include "expect_error.h"
#include "fake_module.h"
#include "store.h"
#include "temporary_directory.h"

using namespace lacuna;

namespace {

// Two members of one structure and one of another, relative to its list.
lacuna_constraints small_set()
{
    return compile_constraints(
        {{"t", R"({"structure": "task_struct", "source": "task", "window": [0, 4096], "members": [
            {"name": "pid", "type": "int", "witnesses": 1, "instances": 1, "constraints": [{"predicate": "unique", "witness": true}]},
            {"name": "mm", "type": "pointer", "witnesses": 1, "instances": 1, "constraints": [{"predicate": "is-root", "witness": true}]}]})"},
         {"m", R"({"structure": "module", "source": "module", "window": [-512, 512], "members": [
            {"name": "name", "type": "text", "size": 56, "witnesses": 1, "instances": 1, "constraints": [{"predicate": "text", "witness": true}]}]})"}});
}

const Lesson web1 = {"web1", 3, "digest", "2026-11-27T10:00:00Z"};
const Lesson web2 = {"web2", 3, "digest", "2026-11-27T11:00:00Z"};
const Lesson newer = {"web1", 4, "digest", "2026-11-28T10:00:00Z"};

Profile profile_with(const lacuna_member_report& pid, const lacuna_member_report& mm,
                     const lacuna_member_report& name, const Lesson& lesson = web1)
{
    return make_profile(fake_kernel("6.1-abc"), small_set(), {pid, mm, name}, lesson);
}

// All is resolved, the first one at `pid`.
Profile all_at(std::int32_t pid, const Lesson& lesson = web1)
{
    return profile_with(resolved_at(pid), resolved_at(8), resolved_at(16), lesson);
}

std::string text_of(const std::filesystem::path& file)
{
    std::ifstream stream(file);
    return std::string((std::istreambuf_iterator<char>(stream)), {});
}

unsigned mode_of(const std::filesystem::path& file)
{
    struct stat status {};
    EXPECT_EQ(stat(file.c_str(), &status), 0);
    return status.st_mode & 07777;
}

std::size_t files_in(const std::filesystem::path& folder)
{
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

} // namespace

TEST(Profile, JsonAsDocumented)
{
    const Profile profile =
        profile_with(resolved_at(1234), open_with({8, 16}, LACUNA_AMBIGUOUS), resolved_at(-16));
    EXPECT_EQ(to_json(profile), Json::parse(R"({"schema": "lacuna-profile/2",
        "kernel": {"id": "6.1-abc", "release": "6.1.0-test", "banner": "Linux version 6.1.0-test", "architecture": "x86_64"},
        "complete": false,
        "provenance": {"engine": 3, "constraints": "digest", "confirmed": false, "boots": 1, "without_news": 0, "contradicted": 0,
                       "guests": {"web1": {"boots": 1, "last": "2026-11-27T10:00:00Z"}}},
        "members": {
            "task_struct": {
                "pid": {"state": "resolved", "offset": 1234, "type": "int", "size": 4,
                        "evidence": {"events": 57, "instances": 12, "witnesses": 40, "eliminated": 4095, "boots": 1}},
                "mm": {"state": "ambiguous", "candidates": [8, 16], "remaining": 2, "type": "pointer", "size": 8,
                       "evidence": {"events": 0, "instances": 0, "witnesses": 0, "eliminated": 0, "boots": 0}}},
            "module": {
                "name": {"state": "resolved", "offset": -16, "relative_to": "list", "type": "text", "size": 56,
                         "evidence": {"events": 57, "instances": 12, "witnesses": 40, "eliminated": 4095, "boots": 1}}}}})"));
    EXPECT_EQ(profile_from_json(to_json(profile), "x"), profile);
}

TEST(Profile, WhatIsOpenAtTheEndIsAmbiguous)
{
    const Profile profile =
        profile_with(open_with({4, 8}), open_with({}, LACUNA_CONTRADICTED), resolved_at(0));
    EXPECT_EQ(profile.members[0].state, LACUNA_AMBIGUOUS);
    EXPECT_EQ(profile.members[1].state, LACUNA_CONTRADICTED);
    EXPECT_EQ(profile.members[2].offset, 0);
    EXPECT_EQ(profile_from_json(to_json(profile), "x"), profile);
    EXPECT_ERROR(profile.offset("task_struct.pid"),
                 "kernel 6.1-abc: the offset of task_struct.pid is ambiguous");
    EXPECT_ERROR(profile.offset("task_struct.uid"), "the offset of task_struct.uid is not in the profile");
    EXPECT_EQ(profile.offset("module.name"), 0);
}

TEST(Profile, ATieListsItsPlacesAndOffersTheFirst)
{
    const Profile profile = profile_with(open_with({4, 8}, LACUNA_TIED), resolved_at(8), resolved_at(16));
    EXPECT_EQ(to_json(profile).at("members").at("task_struct").at("pid"),
              Json::parse(R"({"state": "tied", "offset": 4, "candidates": [4, 8], "remaining": 2, "type": "int",
                  "size": 4, "evidence": {"events": 0, "instances": 0, "witnesses": 0, "eliminated": 0, "boots": 1}})"));
    EXPECT_EQ(profile_from_json(to_json(profile), "x"), profile);
    EXPECT_EQ(profile.offset("task_struct.pid"), 4);
}

TEST(Profile, WhatTheKernelLacksIsAbsentAndMissesNowhere)
{
    const Profile profile = profile_with(resolved_at(4), resolved_at(8), open_with({}, LACUNA_ABSENT));
    EXPECT_EQ(to_json(profile).at("members").at("module").at("name").at("state"), "absent");
    EXPECT_FALSE(to_json(profile).at("members").at("module").at("name").contains("offset"));
    EXPECT_EQ(profile_from_json(to_json(profile), "x"), profile);
    EXPECT_TRUE(profile.complete());
    EXPECT_EQ(profile.present(), 2u);
    EXPECT_ERROR(profile.offset("module.name"), "module.name does not exist");
}

TEST(Profile, CompleteMeansAll)
{
    EXPECT_TRUE(profile_with(resolved_at(4), resolved_at(8), resolved_at(16)).complete());
    EXPECT_FALSE(profile_with(resolved_at(4), resolved_at(8), open_with({16})).complete());
    EXPECT_FALSE(Profile{}.complete());
}

TEST(Profile, ReportsOfAnotherSetAreRefused)
{
    EXPECT_ERROR(make_profile(fake_kernel("k"), small_set(), {resolved_at(1)}, web1),
                 "1 members are reported, but the constraint set has 3");
}

TEST(Profile, WhatIsAbsentIsSettled)
{
    const Profile profile = profile_with(resolved_at(4), resolved_at(8), open_with({}, LACUNA_ABSENT));
    EXPECT_TRUE(profile.complete());
    EXPECT_EQ(to_json(profile).at("members").at("module").at("name"),
              Json::parse(R"({"state": "absent", "relative_to": "list", "type": "text", "size": 56,
                  "evidence": {"events": 0, "instances": 0, "witnesses": 0, "eliminated": 0, "boots": 1}})"));
    EXPECT_EQ(profile_from_json(to_json(profile), "x"), profile);
    EXPECT_ERROR(profile.offset("module.name"), "module.name does not exist");
    EXPECT_EQ(contradictions(profile, all_at(4)),
              std::vector<std::string>{"module.name is absent in the store, but is at 16 now"});
    EXPECT_TRUE(contradictions(profile, profile_with(resolved_at(4), resolved_at(8), open_with({}))).empty());
}

TEST(Profile, TheFirstSchemaIsRead)
{
    Json json = to_json(all_at(4));
    json["schema"] = "lacuna-profile/1";
    json.erase("provenance");
    for (Json& structure : json["members"])
        for (Json& member : structure)
            member["evidence"].erase("boots");
    const Profile profile = profile_from_json(json, "x");
    EXPECT_EQ(profile.offset("task_struct.pid"), 4);
    EXPECT_EQ(profile.provenance, Provenance{});
    EXPECT_FALSE(profile.confirmed());
    EXPECT_EQ(to_json(profile).at("schema"), "lacuna-profile/2");
}

TEST(Profile, RemembersThoseWhoTaughtItLast)
{
    Profile profile = all_at(4, {"g0", 3, "digest", "t0"});
    for (int i = 1; i < 100; i++)
        profile = join(profile, all_at(4, {"g" + std::to_string(i % 50), 3, "digest", "t" + std::to_string(i)}));
    EXPECT_EQ(profile.provenance.boots, 100u);
    ASSERT_EQ(profile.provenance.teachers.size(), Provenance::kept);
    EXPECT_EQ(profile.provenance.find("g17"), nullptr);
    ASSERT_NE(profile.provenance.find("g49"), nullptr);
    EXPECT_EQ(profile.provenance.find("g49")->last, "t99");
    EXPECT_EQ(profile.find("task_struct.pid")->evidence.boots, 100u);
}

TEST(Profile, DamagedFiles)
{
    EXPECT_ERROR(profile_from_json(Json::parse(R"({"schema": "lacuna-profile/3"})"), "p.json"),
                 "p.json: is no profile of schema");
    EXPECT_ERROR(profile_from_json(Json::parse("[]"), "p.json"), "p.json: is no profile");
    Json json = to_json(profile_with(resolved_at(4), resolved_at(8), resolved_at(16)));
    json["members"]["task_struct"]["pid"].erase("offset");
    EXPECT_ERROR(profile_from_json(json, "p.json"), "offset");
}

// Root may give files to any group; others only to their own.
TEST(Store, ProfilesAreForTheGroupThatIsNamed)
{
    const TemporaryDirectory root;
    const group* own = getgrgid(getegid());
    ASSERT_NE(own, nullptr);
    Store store(root.path() / "store", own->gr_name);
    const Stored stored = store.put_profile(profile_with(resolved_at(4), resolved_at(8), resolved_at(16)));
    EXPECT_EQ(mode_of(root.path() / "store/profiles"), 0750u);
    EXPECT_EQ(mode_of(stored.file), 0640u);
    struct stat status {};
    ASSERT_EQ(stat(stored.file.c_str(), &status), 0);
    EXPECT_EQ(status.st_gid, own->gr_gid);
    EXPECT_ERROR(Store(root.path() / "store", "no-such-group-here"),
                 "no-such-group-here: there is no such group");
}

TEST(Store, AnotherGroupReachesWhatIsThere)
{
    const TemporaryDirectory root;
    const auto folder = root.path() / "store";
    const Profile profile = profile_with(resolved_at(4), resolved_at(8), resolved_at(16));
    const Stored first = Store(folder).put_profile(profile);
    const Stored second =
        Store(folder).put_profile(profile_with(resolved_at(12), resolved_at(8), resolved_at(16)));
    ASSERT_EQ(second.outcome, Stored::refused);
    const Store closed(folder, getgrgid(getegid())->gr_name);
    for (const auto& file : {first.file, second.file}) {
        EXPECT_EQ(mode_of(file), 0640u);
        EXPECT_EQ(mode_of(file.parent_path()), 0750u);
    }
    const Store open(folder);
    EXPECT_EQ(mode_of(first.file), 0644u);
    EXPECT_EQ(mode_of(second.file.parent_path()), 0755u);
}

// As somebody who is not root, to whom the folder of guests is closed.
TEST(Store, WhatMayNotBeReadIsNotTakenForMissing)
{
    const TemporaryDirectory root;
    std::filesystem::permissions(root.path(), std::filesystem::perms(0755));
    Store store(root.path() / "store");
    store.put_guest("web1", {{"name", "web1"}});
    std::filesystem::permissions(root.path() / "store/guests", std::filesystem::perms::none);
    const uid_t self = geteuid();
    if (self == 0) {
        ASSERT_EQ(seteuid(65534), 0);
    }
    EXPECT_ERROR(store.guest("web1"), "Permission denied");
    EXPECT_FALSE(store.profile("6.1-abc"));
    if (self == 0) {
        ASSERT_EQ(seteuid(self), 0);
    }
    std::filesystem::permissions(root.path() / "store/guests", std::filesystem::perms::owner_all);
}

TEST(Store, ModesOfFoldersAndFiles)
{
    const TemporaryDirectory root;
    Store store(root.path() / "store");
    const Stored stored = store.put_profile(profile_with(resolved_at(4), resolved_at(8), resolved_at(16)));
    store.put_guest("web1", {{"name", "web1"}});
    EXPECT_EQ(mode_of(root.path() / "store/profiles"), 0755u);
    EXPECT_EQ(mode_of(root.path() / "store/guests"), 0700u);
    EXPECT_EQ(mode_of(stored.file), 0644u);
    EXPECT_EQ(mode_of(store.guest_file("web1")), 0600u);
    EXPECT_EQ(stored.file, root.path() / "store/profiles/6.1-abc.json");
    EXPECT_EQ(stored.outcome, Stored::written);
    EXPECT_EQ(store.guest("web1")->at("name"), "web1");
    EXPECT_FALSE(store.guest("web2"));
    EXPECT_FALSE(store.profile("other"));
}

TEST(Store, ContradictingProfileIsKeptApart)
{
    const TemporaryDirectory root;
    Store store(root.path());
    const Profile old = profile_with(resolved_at(4), open_with({8, 16}, LACUNA_AMBIGUOUS), resolved_at(16));
    store.put_profile(old);
    const Profile other = profile_with(resolved_at(12), resolved_at(8), resolved_at(16));
    const Stored stored = store.put_profile(other);
    EXPECT_EQ(stored.outcome, Stored::refused);
    ASSERT_EQ(stored.objections.size(), 1u);
    EXPECT_EQ(stored.objections[0], "task_struct.pid is at 4 in the store, but is at 12 now");
    EXPECT_EQ(stored.file, root.path() / "contradicting/6.1-abc.json");
    EXPECT_EQ(store.profile("6.1-abc")->members, old.members);
    EXPECT_EQ(store.profile("6.1-abc")->provenance.contradicted, 1u);
    EXPECT_EQ(store.contradicting("6.1-abc"), other);
}

TEST(Store, TwoBootsThatAgreeConfirm)
{
    const TemporaryDirectory root;
    Store store(root.path());
    store.put_profile(all_at(4));
    EXPECT_FALSE(store.profile("6.1-abc")->confirmed());
    EXPECT_EQ(store.put_profile(profile_with(resolved_at(4), resolved_at(8), open_with({16, 20}), web2)).outcome,
              Stored::kept);
    const auto half = store.profile("6.1-abc");
    EXPECT_FALSE(half->confirmed()); // of module.name there is one boot's word
    EXPECT_EQ(half->find("task_struct.pid")->evidence.boots, 2u);
    EXPECT_EQ(half->provenance.without_news, 1u);
    store.put_profile(all_at(4, web2));
    const auto all = store.profile("6.1-abc");
    EXPECT_TRUE(all->confirmed());
    EXPECT_TRUE(all->confirmed_by(2));
    EXPECT_FALSE(all->confirmed_by(3));
    EXPECT_EQ(all->provenance.teachers,
              (std::vector<Teacher>{{"web1", 1, "2026-11-27T10:00:00Z"}, {"web2", 2, "2026-11-27T11:00:00Z"}}));
    EXPECT_EQ(all->provenance.without_news, 2u);
}

TEST(Store, NewsBeginTheCountOfBootsWithoutAnew)
{
    const TemporaryDirectory root;
    Store store(root.path());
    const auto without = [&] { return store.profile("6.1-abc")->provenance.without_news; };
    const Profile open = profile_with(open_with({4, 8}), resolved_at(8), resolved_at(16));
    for (const unsigned expected : {0u, 1u, 2u}) {
        store.put_profile(open);
        EXPECT_EQ(without(), expected);
    }
    EXPECT_EQ(store.put_profile(profile_with(open_with({4, 8}, LACUNA_TIED), resolved_at(8), resolved_at(16))).outcome,
              Stored::improved);
    EXPECT_EQ(without(), 0u);
}

TEST(Store, ANewerEngineReplacesWhatAnOlderOneHasFound)
{
    const TemporaryDirectory root;
    Store store(root.path());
    store.put_profile(all_at(4));
    store.put_profile(all_at(4, web2));
    ASSERT_TRUE(store.profile("6.1-abc")->confirmed());
    const Stored stored = store.put_profile(all_at(12, newer));
    EXPECT_EQ(stored.outcome, Stored::replaced);
    EXPECT_EQ(stored.objections.size(), 1u);
    EXPECT_EQ(store.profile("6.1-abc"), all_at(12, newer));
    EXPECT_EQ(store.contradicting("6.1-abc")->offset("task_struct.pid"), 4);
    // and not the other way round
    EXPECT_EQ(store.put_profile(all_at(4)).outcome, Stored::refused);
    EXPECT_EQ(store.put_profile(all_at(4, web2)).outcome, Stored::refused);
    EXPECT_EQ(store.profile("6.1-abc")->offset("task_struct.pid"), 12);
}

TEST(Store, WhatANewerEngineFindsTooIsCountedAnew)
{
    const TemporaryDirectory root;
    Store store(root.path());
    store.put_profile(all_at(4));
    store.put_profile(all_at(4, web2));
    EXPECT_EQ(store.put_profile(all_at(4, newer)).outcome, Stored::kept);
    const auto profile = store.profile("6.1-abc");
    EXPECT_EQ(profile->provenance.engine, 4u);
    EXPECT_EQ(profile->provenance.boots, 1u);
    EXPECT_FALSE(profile->confirmed());
    Lesson other = newer;
    other.constraints = "other";
    store.put_profile(all_at(4, other));
    EXPECT_EQ(store.profile("6.1-abc")->provenance.constraints, "other");
    EXPECT_EQ(store.profile("6.1-abc")->provenance.boots, 1u);
}

// A first boot that was odd must not have the last word.
TEST(Store, TwoBootsThatAgreeReplaceOneThatNobodyConfirmed)
{
    const TemporaryDirectory root;
    Store store(root.path());
    store.put_profile(all_at(12));
    EXPECT_EQ(store.put_profile(all_at(4)).outcome, Stored::refused);
    EXPECT_EQ(store.put_profile(all_at(20)).outcome, Stored::refused); // agrees with neither
    EXPECT_EQ(store.put_profile(all_at(4)).outcome, Stored::refused);
    EXPECT_EQ(store.put_profile(all_at(4, web2)).outcome, Stored::replaced);
    EXPECT_EQ(store.profile("6.1-abc")->offset("task_struct.pid"), 4);
    EXPECT_EQ(store.contradicting("6.1-abc")->offset("task_struct.pid"), 12);
    // what is confirmed is not outvoted: somebody has to look
    for (int i = 0; i < 5; i++)
        EXPECT_EQ(store.put_profile(all_at(12)).outcome, Stored::refused);
    EXPECT_EQ(store.profile("6.1-abc")->provenance.contradicted, 5u);
}

TEST(Store, ABootIsCountedOnce)
{
    const TemporaryDirectory root;
    Store store(root.path());
    Lesson so_far = web1, again = web1;
    so_far.weight = Lesson::Weight::preliminary;
    again.weight = Lesson::Weight::repeated;
    const auto boots = [&](const char* member) { return store.profile("6.1-abc")->find(member)->evidence.boots; };
    for (std::uint32_t boot = 1; boot <= 2; boot++) {
        SCOPED_TRACE(boot);
        const auto outcome =
            store.put_profile(profile_with(resolved_at(4), resolved_at(8), open_with({16, 20}), so_far)).outcome;
        EXPECT_EQ(boots("task_struct.pid"), boot - 1);
        EXPECT_EQ(store.profile("6.1-abc")->provenance.boots, boot - 1);
        EXPECT_FALSE(store.profile("6.1-abc")->confirmed());
        store.put_profile(all_at(4), outcome != Stored::kept);
        store.put_profile(all_at(4, again), true);
        EXPECT_EQ(boots("task_struct.pid"), boot);
        EXPECT_EQ(boots("module.name"), boot);
        EXPECT_EQ(store.profile("6.1-abc")->provenance.boots, boot);
    }
    EXPECT_TRUE(store.profile("6.1-abc")->confirmed());
    for (const Lesson& lesson : {so_far, web2, again})
        EXPECT_EQ(store.put_profile(all_at(12, lesson)).outcome, Stored::refused);
    EXPECT_EQ(store.profile("6.1-abc")->provenance.contradicted, 1u);
}

// What a second hunt of a boot finds first is that boot's word all the same.
TEST(Store, ASecondHuntOfABootAddsWhatItFinds)
{
    const TemporaryDirectory root;
    Store store(root.path());
    Lesson again = web1;
    again.weight = Lesson::Weight::repeated;
    store.put_profile(profile_with(resolved_at(4), resolved_at(8), open_with({16, 20})));
    EXPECT_EQ(store.put_profile(all_at(4, again), true).outcome, Stored::improved);
    EXPECT_EQ(store.profile("6.1-abc")->find("module.name")->evidence.boots, 1u);
    EXPECT_EQ(store.profile("6.1-abc")->find("task_struct.pid")->evidence.boots, 1u);
    EXPECT_EQ(store.profile("6.1-abc")->provenance.without_news, 0u);
}

TEST(Store, ForgetsAKernel)
{
    const TemporaryDirectory root;
    Store store(root.path());
    EXPECT_FALSE(store.forget_profile("6.1-abc"));
    store.put_profile(all_at(4));
    store.put_profile(all_at(12));
    EXPECT_EQ(store.kernels(), std::vector<std::string>{"6.1-abc"});
    EXPECT_TRUE(store.forget_profile("6.1-abc"));
    EXPECT_FALSE(store.profile("6.1-abc"));
    EXPECT_FALSE(store.contradicting("6.1-abc"));
    EXPECT_TRUE(store.kernels().empty());
}

TEST(Store, WhatABootLeftOpenSaysNothingAgainstWhatAnotherResolved)
{
    const TemporaryDirectory root;
    Store store(root.path());
    const Profile known = profile_with(resolved_at(4), resolved_at(8), resolved_at(16));
    store.put_profile(known);
    for (const auto& odd : {open_with({12, 20}), open_with({}, LACUNA_CONTRADICTED), open_with({})})
        EXPECT_EQ(store.put_profile(profile_with(odd, resolved_at(8), resolved_at(16))).outcome, Stored::kept);
    EXPECT_EQ(*store.profile("6.1-abc")->find("task_struct.pid"), *known.find("task_struct.pid"));
    EXPECT_EQ(store.profile("6.1-abc")->find("task_struct.mm")->evidence.boots, 4u);
}

TEST(Store, WhatIsResolvedReplacesWhatAnEarlierBootLeftOpen)
{
    const TemporaryDirectory root;
    Store store(root.path());
    store.put_profile(profile_with(open_with({12, 20}), open_with({}, LACUNA_CONTRADICTED), resolved_at(16)));
    EXPECT_EQ(store.put_profile(profile_with(resolved_at(4), resolved_at(8), resolved_at(16))).outcome,
              Stored::improved);
    EXPECT_EQ(store.profile("6.1-abc")->offset("task_struct.pid"), 4);
    EXPECT_EQ(store.profile("6.1-abc")->offset("task_struct.mm"), 8);
}

TEST(Store, ATieIsSettledByABootThatTellsItsPlacesApart)
{
    const TemporaryDirectory root;
    Store store(root.path());
    const auto tied = open_with({4, 8}, LACUNA_TIED);
    store.put_profile(profile_with(tied, resolved_at(16), resolved_at(24)));
    EXPECT_EQ(store.profile("6.1-abc")->offset("task_struct.pid"), 4);
    EXPECT_TRUE(store.profile("6.1-abc")->complete());
    EXPECT_EQ(store.put_profile(profile_with(open_with({4, 8}), resolved_at(16), resolved_at(24))).outcome,
              Stored::kept);
    EXPECT_EQ(store.put_profile(profile_with(resolved_at(12), resolved_at(16), resolved_at(24))).outcome,
              Stored::refused);
    EXPECT_EQ(store.put_profile(profile_with(resolved_at(8), resolved_at(16), resolved_at(24))).outcome,
              Stored::improved);
    EXPECT_EQ(store.profile("6.1-abc")->offset("task_struct.pid"), 8);
}

TEST(Store, WhatIsKnownReplacesWhatIsNot)
{
    const TemporaryDirectory root;
    Store store(root.path());
    store.put_profile(profile_with(resolved_at(4), open_with({}), open_with({})));
    EXPECT_EQ(store.put_profile(profile_with(resolved_at(4), open_with({8, 16}), open_with({}))).outcome,
              Stored::improved);
    const auto member = *store.profile("6.1-abc")->find("task_struct.mm");
    EXPECT_EQ(member.candidates, (std::vector<std::int32_t>{8, 16}));
}

TEST(Store, AnotherKernelOfTheSameIdIsRefused)
{
    const TemporaryDirectory root;
    Store store(root.path());
    Profile profile = profile_with(resolved_at(4), resolved_at(8), resolved_at(16));
    store.put_profile(profile);
    profile.banner += " of somebody else";
    EXPECT_EQ(store.put_profile(profile).outcome, Stored::refused);
}

namespace {

// Facts of a guest that were written so long ago.
void put_guest(Store& store, const std::string& name, const char* state, std::chrono::minutes ago)
{
    store.put_guest(name, {{"name", name}, {"state", state}});
    std::filesystem::last_write_time(store.guest_file(name), std::filesystem::file_time_type::clock::now() - ago);
}

} // namespace

TEST(Store, FactsOfGuestsThatHaveLongBeenGoneAreForgotten)
{
    const TemporaryDirectory root;
    Store store(root.path());
    put_guest(store, "gone", "gone", std::chrono::hours(48));
    put_guest(store, "there", "done", std::chrono::hours(48));
    put_guest(store, "lately", "gone", std::chrono::minutes(0));
    store.forget_guests(std::chrono::hours(24), 100);
    EXPECT_FALSE(store.guest("gone"));
    EXPECT_TRUE(store.guest("there"));
    EXPECT_TRUE(store.guest("lately"));
}

TEST(Store, FactsOfManyGuestsThatHaveGoneAreForgottenTheOldestFirst)
{
    const TemporaryDirectory root;
    Store store(root.path());
    put_guest(store, "there", "done", std::chrono::hours(20));
    for (int i = 0; i < 9; i++)
        put_guest(store, "gone-" + std::to_string(i), "gone", std::chrono::minutes(10 * (9 - i)));
    store.forget_guests(std::chrono::hours(24), 4);
    EXPECT_EQ(store.guests().size(), 4u);
    EXPECT_TRUE(store.guest("there"));
    EXPECT_FALSE(store.guest("gone-5"));
    EXPECT_TRUE(store.guest("gone-6"));
}

TEST(Store, SymbolsOfKernelsThatNeverRanAreNotKeptWithoutEnd)
{
    const TemporaryDirectory root;
    Store store(root.path());
    Profile profile = profile_with(resolved_at(4), resolved_at(8), resolved_at(16));
    store.put_profile(profile);
    store.put_symbols(profile.kernel_id, std::string(1000, 'x'));
    const auto old = std::filesystem::file_time_type::clock::now() - std::chrono::hours(1);
    std::filesystem::last_write_time(store.symbols_file(profile.kernel_id), old);
    for (const char* id : {"6.1-0", "6.1-1"}) {
        store.put_symbols(id, "short");
        std::filesystem::last_write_time(store.symbols_file(id), old);
        std::filesystem::resize_file(store.symbols_file(id), Store::most_spare_symbols / 2); // holes: it takes no room here
        std::filesystem::last_write_time(store.symbols_file(id), old + std::chrono::minutes(id[4] - '0'));
    }
    store.put_symbols("6.1-2", "short");
    EXPECT_TRUE(store.symbols("6.1-2"));
    EXPECT_FALSE(std::filesystem::exists(store.symbols_file("6.1-0")));
    EXPECT_TRUE(std::filesystem::exists(store.symbols_file("6.1-1")));
    EXPECT_TRUE(store.symbols(profile.kernel_id));
}

TEST(Store, AgreeingProfilesAreJoined)
{
    const TemporaryDirectory root;
    Store store(root.path());
    store.put_profile(profile_with(resolved_at(4), open_with({8, 16}), open_with({16})));
    EXPECT_EQ(store.put_profile(profile_with(open_with({4, 8}), resolved_at(8), open_with({16}))).outcome,
              Stored::improved);
    const auto joined = store.profile("6.1-abc");
    EXPECT_EQ(joined->offset("task_struct.pid"), 4);
    EXPECT_EQ(joined->offset("task_struct.mm"), 8);
    EXPECT_FALSE(joined->complete());
    EXPECT_EQ(store.put_profile(profile_with(resolved_at(4), resolved_at(8), open_with({16}))).outcome,
              Stored::kept);
}

TEST(Store, WritesWholeOrNotAtAll)
{
    const TemporaryDirectory root;
    const auto file = root.path() / "f";
    write_atomically(file, "old", 0644);
    write_atomically(file, "new", 0600);
    EXPECT_EQ(text_of(file), "new");
    EXPECT_EQ(mode_of(file), 0600u);
    EXPECT_EQ(files_in(root.path()), 1u); // no temporary file is left

    // The rename fails: what was there stays, and nothing is left behind.
    std::filesystem::create_directories(root.path() / "d/full");
    EXPECT_ERROR(write_atomically(root.path() / "d", "x", 0644), "d: cannot be written");
    EXPECT_EQ(files_in(root.path()), 2u);
    EXPECT_ERROR(write_atomically(root.path() / "none/f", "x", 0644), "cannot be written");
}

TEST(Store, DamagedFilesAreNamed)
{
    const TemporaryDirectory root;
    Store store(root.path());
    std::ofstream(store.profile_file("k")) << "{\"schema\":";
    EXPECT_ERROR(store.profile("k"), "k.json: is damaged");
    store.put_guest("good", {{"name", "good"}});
    std::ofstream(store.guest_file("bad")) << "?";
    ASSERT_EQ(store.guests().size(), 1u);
    EXPECT_EQ(store.guests()[0].at("name"), "good");
}

TEST(Store, NamesCannotLeaveTheFolder)
{
    const TemporaryDirectory root;
    const Store store = Store::existing(root.path());
    EXPECT_EQ(store.profile_file("../../x").parent_path(), root.path() / "profiles");
    EXPECT_EQ(store.guest_file("/etc/x").parent_path(), root.path() / "guests");
    EXPECT_EQ(files_in(root.path()), 0u);
}

namespace {

ProfileMember deep_member(const std::string& name, std::vector<std::int32_t> places)
{
    ProfileMember member;
    member.structure = "task_struct";
    member.name = name;
    member.type = "pointer";
    member.size = 8;
    member.state = places.empty() ? LACUNA_AMBIGUOUS : places.size() == 1 ? LACUNA_RESOLVED : LACUNA_TIED;
    member.offset = places.empty() ? 0 : places.front();
    member.remaining = static_cast<std::uint32_t>(places.size() > 1 ? places.size() : 0);
    if (places.size() > 1)
        member.candidates = std::move(places);
    return member;
}

const std::string digest(64, 'a'); // of what was looked for

} // namespace

TEST(DeepMembers, StandBesideTheOthersAndDoNotCountAsTheirs)
{
    TemporaryDirectory directory;
    Store store(directory.path());
    const Profile core = profile_with(resolved_at(100), resolved_at(200), resolved_at(-16));
    EXPECT_ERROR(store.put_deep(core.kernel_id, {deep_member("stack", {32})}, digest), "there is no profile");
    store.put_profile(core);
    EXPECT_EQ(store.put_deep(core.kernel_id, {deep_member("stack", {32}), deep_member("cred", {}), deep_member("pid", {4})}, digest).outcome,
              Stored::improved);
    const Profile profile = store.profile(core.kernel_id).value();
    ASSERT_TRUE(profile.find("task_struct.stack"));
    EXPECT_TRUE(profile.find("task_struct.stack")->deep);
    EXPECT_FALSE(profile.find("task_struct.cred")); // what is open is not listed
    EXPECT_EQ(profile.offset("task_struct.pid"), 100); // what the traps have taught stays
    EXPECT_TRUE(profile.complete());
    EXPECT_EQ(profile.resolved(), 3u);
    EXPECT_EQ(profile_from_json(to_json(profile), "file"), profile);
    EXPECT_EQ(store.put_profile(core).outcome, Stored::kept); // another boot takes nothing away
    EXPECT_TRUE(store.profile(core.kernel_id)->find("task_struct.stack"));
}

TEST(DeepMembers, TiesAreToldApartAndContradictionsStay)
{
    TemporaryDirectory directory;
    Store store(directory.path());
    const Profile core = profile_with(resolved_at(100), resolved_at(200), resolved_at(-16));
    store.put_profile(core);
    const auto state = [&] { return store.profile(core.kernel_id)->find("task_struct.parent")->state; };
    store.put_deep(core.kernel_id, {deep_member("parent", {40, 48, 56})}, digest);
    EXPECT_EQ(store.put_deep(core.kernel_id, {deep_member("parent", {40, 48, 56})}, digest).outcome, Stored::kept);
    store.put_deep(core.kernel_id, {deep_member("parent", {48, 56, 64})}, digest);
    EXPECT_EQ(store.profile(core.kernel_id)->find("task_struct.parent")->candidates, (std::vector<std::int32_t>{48, 56}));
    store.put_deep(core.kernel_id, {deep_member("parent", {48})}, digest);
    EXPECT_EQ(state(), LACUNA_RESOLVED);
    const Stored stored = store.put_deep(core.kernel_id, {deep_member("parent", {56})}, digest);
    EXPECT_EQ(stored.objections, std::vector<std::string>{"task_struct.parent is not where it was"});
    EXPECT_EQ(state(), LACUNA_CONTRADICTED);
    store.put_deep(core.kernel_id, {deep_member("parent", {48})}, digest);
    EXPECT_EQ(state(), LACUNA_CONTRADICTED); // for good
}

// Whoever looks again and again without learning anything knows when to stop; what is looked for may change, though.
TEST(DeepMembers, LooksThatTellNothingNewAreCounted)
{
    TemporaryDirectory directory;
    Store store(directory.path());
    const Profile core = profile_with(resolved_at(100), resolved_at(200), resolved_at(-16));
    store.put_profile(core);
    const auto looks = [&] { return store.profile(core.kernel_id)->provenance.looks; };
    EXPECT_EQ(looks(), Provenance::Looks());
    store.put_deep(core.kernel_id, {deep_member("stack", {32})}, digest);
    EXPECT_EQ(looks(), (Provenance::Looks{1, 0, digest}));
    store.put_deep(core.kernel_id, {deep_member("stack", {32})}, digest);
    store.put_deep(core.kernel_id, {deep_member("stack", {})}, digest);
    EXPECT_EQ(looks(), (Provenance::Looks{3, 2, digest}));
    store.put_deep(core.kernel_id, {deep_member("cred", {40})}, digest);
    EXPECT_EQ(looks(), (Provenance::Looks{4, 0, digest}));
    store.put_deep(core.kernel_id, {}, digest);
    EXPECT_EQ(looks().without_news, 1u);
    store.put_deep(core.kernel_id, {}, std::string(64, 'b'));
    EXPECT_EQ(looks(), (Provenance::Looks{6, 0, std::string(64, 'b')}));
    EXPECT_EQ(profile_from_json(to_json(*store.profile(core.kernel_id)), "file"), store.profile(core.kernel_id));
}
