// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is asked of tasks, and of what belongs to them.
#include <algorithm>
#include <bit>

#include "error.h"
#include "predicate.h"

namespace lacuna {

namespace {

constexpr unsigned word = 8;
constexpr unsigned most_generations = 1024;

std::optional<std::uint64_t> read_as(const Instance& instance, std::int32_t offset, unsigned size)
{
    if (size == 8)
        return instance.word(offset);
    const auto value = instance.value<std::uint32_t>(offset);
    return value ? std::optional<std::uint64_t>(*value) : std::nullopt;
}

// The value is that of another member, in the same task or in its group's leader.
Predicate equals(const DeepConstraint& constraint, const DeepMember& member)
{
    const auto other = constraint.arguments.at("member").get<std::string>();
    const bool of_leader = constraint.arguments.value("of", "self") == "leader";
    return [other, of_leader, size = member.size](Look& look, const Instance& task, std::int32_t offset) {
        const auto known = look.known(other);
        const Instance* from = of_leader ? task.owner : &task;
        const auto wanted = known && from ? read_as(*from, *known, size) : std::nullopt;
        const auto value = read_as(task, offset, size);
        if (!wanted)
            return Answer();
        if (*known == offset && !of_leader) // itself is no other
            return Answer::refusal();
        return value == wanted ? Answer::show(*value) : Answer::refusal();
    };
}

Answer leads_to_leader(Look&, const Instance& task, std::int32_t offset)
{
    return task.owner && task.word(offset) == task.owner->address ? Answer::show(task.owner->address)
                                                                  : Answer::refusal();
}

// It leads to a task, and on from that one, until the first task, which leads to itself; processes 1 and 2
// lead to it at once.
Answer leads_to_first_task(Look& look, const Instance& task, std::int32_t offset)
{
    const std::uint64_t root = look.anchors().init_task;
    const auto pid = look.known("task_struct.pid");
    const auto parent = task.word(offset);
    if (!pid)
        return {};
    const auto number = task.value<std::int32_t>(*pid);
    if (number == 0 || number == 1 || number == 2)
        return parent == root ? Answer::pass() : Answer::refusal();
    const Instance* at = parent ? look.task_at(*parent) : nullptr;
    for (unsigned i = 0; at && at->address != root; i++) {
        const auto up = at->word(offset);
        at = up && i < most_generations ? look.task_at(*up) : nullptr;
    }
    return at ? Answer::show(*parent) : Answer::refusal();
}

// A list through all threads of a process, and through nothing else but its head, if it has one.
Predicate thread_list(const DeepConstraint& constraint, const DeepMember&)
{
    return [has_head = constraint.arguments.at("head").get<bool>()](Look& look, const Instance& task,
                                                                    std::int32_t offset) {
        const std::uint64_t place = moved(task.address, offset);
        unsigned heads = 0, threads = 0;
        std::uint64_t from = place;
        auto next = task.word(offset);
        for (std::size_t i = 0; next && *next != place; i++) {
            if (i > look.limits().list || !look.leads_somewhere(*next) || look.word(*next + word) != from)
                return Answer::refusal();
            const std::uint64_t other = moved(*next, -std::int64_t{offset});
            if (look.is_thread_of(task, other)) {
                const Instance* known = look.task_at(other);
                if (known && known->leads())
                    return Answer::refusal();
                threads++;
            } else if (++heads > 1) {
                return Answer::refusal();
            }
            from = *next;
            next = look.word(*next);
        }
        if (!next || task.word(offset + static_cast<std::int32_t>(word)) != from ||
            heads != (has_head ? 1u : 0u))
            return Answer::refusal();
        return threads ? Answer::show(place) : Answer::pass();
    };
}

// It leads to a structure in which the head of the list of threads lies, always in the same distance.
Answer leads_to_thread_head(Look& look, const Instance& task, std::int32_t offset)
{
    constexpr std::uint64_t largest = 2048;
    const auto list = look.known("task_struct.thread_node");
    if (!list || !task.owner)
        return {};
    const std::uint64_t place = moved(task.owner->address, *list);
    std::optional<std::uint64_t> head;
    std::uint64_t at = place;
    for (std::size_t i = 0; i < look.limits().list; i++) {
        const auto next = look.word(at);
        if (!next || *next == place)
            break;
        if (!look.is_thread_of(*task.owner, moved(*next, -std::int64_t{*list})))
            head = *next;
        at = *next;
    }
    if (!head)
        return {};
    const auto value = task.word(offset);
    if (!value || *value > *head || *head - *value >= largest || *value % word)
        return Answer::refusal();
    return Answer::show(*value, {static_cast<std::int32_t>(*head - *value)});
}

// It leads to a value that all of its kind have there.
Predicate leads_to_value(const DeepConstraint& constraint, const DeepMember&)
{
    const auto wanted = constraint.arguments.at("value").get<std::uint32_t>();
    const auto align = constraint.arguments.at("align").get<std::uint64_t>();
    return [wanted, align](Look& look, const Instance& task, std::int32_t offset) {
        const auto value = task.word(offset);
        if (has_exited(look, task))
            return Answer();
        if (!value || *value % align || !look.leads_somewhere(*value) ||
            look.value<std::uint32_t>(*value) != wanted)
            return Answer::refusal();
        return Answer::show(*value);
    };
}

// The bit is set in kernel threads, and only in them.
Predicate bit_of_kernel_threads(const DeepConstraint& constraint, const DeepMember&)
{
    return [bit = constraint.arguments.at("bit").get<unsigned>()](Look& look, const Instance& task,
                                                                  std::int32_t offset) {
        const auto value = task.value<std::uint32_t>(offset);
        if (!value || !look.known("task_struct.real_parent") || has_exited(look, task))
            return Answer();
        const bool set = *value >> bit & 1;
        // the upper half of a kernel's address has all its bits set, too
        return set == look.is_kernel_thread(task) && !(*value >> 31) ? Answer::show(*value)
                                                                     : Answer::refusal();
    };
}

// Processes stand on the ring in the order in which they were made, and the kernel takes the time twice: with
// and without what the machine has slept (start_time first, since 3.17). Constant: the second of the two.
Answer time_of_start(Look& look, const Instance& task, std::int32_t offset)
{
    constexpr std::uint64_t smallest = 1'000'000; // nanoseconds: what is counted one by one is not a time
    constexpr std::uint64_t largest = std::uint64_t{1} << 58; // nine years
    constexpr std::uint64_t between = 10'000'000;             // nanoseconds
    constexpr std::uint64_t whole_ring = 100'000'000;
    constexpr std::size_t enough = 16;
    const auto& tasks = look.tasks();
    if (tasks.empty() || !task.leads())
        return {};
    const auto index = static_cast<std::size_t>(&task - tasks.data());
    const auto value = task.word(offset);
    if (index == 0)
        return {};
    if (!value || *value < smallest || *value > largest || index >= tasks.size())
        return Answer::refusal();
    // from the first process to the last one more has passed than what is counted by ticks can tell
    const Instance* newest = &task;
    for (const Instance& other : tasks)
        newest = other.leads() ? &other : newest;
    const auto first = tasks[1].word(offset), last = newest->word(offset);
    if (!first || !last || *last < *first || *last - *first < whole_ring)
        return Answer::refusal();
    // early in a boot many are made within one tick
    const auto before = tasks[index - 1].word(offset), earlier = tasks[index / 2].word(offset);
    Answer answer = Answer::searching(*value);
    if (before && *before <= *value && earlier && (index < enough || *earlier < *value))
        for (std::int32_t other = 0; const auto second = task.word(other);
             other += static_cast<std::int32_t>(word))
            if (other != offset && *second >= *value && *second - *value < between)
                answer.add({other});
    return answer;
}

constexpr std::size_t cred_window = 192;

// Sets of all capabilities up to one, and where they are.
std::map<std::uint64_t, std::vector<std::int32_t>> full_sets(const Bytes& cred)
{
    constexpr int fewest = 36, most = 63; // CAP_LAST_CAP + 1, of 2.6.30 and later
    std::map<std::uint64_t, std::vector<std::int32_t>> places;
    for (std::size_t at = 0; at + word <= cred.size(); at += 4) { // up to 6.2 a set is two words of 4 bytes
        const auto mask = *load<std::uint64_t>(cred, at);
        if ((mask & (mask + 1)) == 0 && std::popcount(mask) >= fewest && std::popcount(mask) <= most)
            places[mask].push_back(static_cast<std::int32_t>(at));
    }
    return places;
}

// What a kernel thread may do is all there is: what it leads to holds that at three places (permitted,
// effective and bounding set). Constants: these.
Answer leads_to_capabilities(Look& look, const Instance& task, std::int32_t offset)
{
    const auto value = task.word(offset);
    if (!look.is_kernel_thread(task))
        return {};
    if (!value || !look.leads_somewhere(*value))
        return Answer::refusal();
    Answer answer = Answer::searching(*value);
    for (const auto& [unused, found] : full_sets(look.block(*value, cred_window)))
        if (found.size() == 3)
            answer.add({found[0], found[1], found[2]});
    return answer;
}

// The set of all capabilities there are, and where rights that may do everything, as the first task's do, say so: permitted,
// effective and bounding set.
struct AllCapabilities {
    std::uint64_t set = 0;
    std::vector<std::int32_t> places; // three
};

std::optional<AllCapabilities> all_capabilities(Look& look)
{
    const Instance* first = look.task_at(look.anchors().init_task);
    const auto cred = first ? look.member(*first, "task_struct.cred") : std::nullopt;
    if (!cred || !look.leads_somewhere(*cred))
        return std::nullopt;
    std::optional<AllCapabilities> found;
    for (auto& [set, places] : full_sets(look.block(*cred, cred_window))) {
        if (places.size() != 3)
            continue;
        if (found)
            return std::nullopt;
        found = AllCapabilities{set, std::move(places)};
    }
    return found;
}

bool contains(std::uint64_t set, std::uint64_t part)
{
    return (part & ~set) == 0;
}

// One of the three sets that are full where all is allowed. The bounding set contains the others, which are smaller where a program
// may do less; of these the permitted set contains the effective one (cap_capset(), and what happens when a program is executed).
Predicate set_of_capabilities(const DeepConstraint& constraint, const DeepMember&)
{
    return [which = constraint.arguments.at("set").get<std::string>()](Look& look, const Instance& cred, std::int32_t offset) {
        const auto all = all_capabilities(look);
        const auto bounding = look.known("cred.cap_bset");
        const auto value = cred.word(offset);
        if (!all || (which != "bounding" && !bounding))
            return Answer();
        if (!value || std::find(all->places.begin(), all->places.end(), offset) == all->places.end() ||
            (which != "bounding" && offset == *bounding))
            return Answer::refusal();
        bool larger = true; // than both others
        for (const std::int32_t other : all->places) {
            const auto theirs = cred.word(other);
            if (other == offset || (which != "bounding" && other == *bounding))
                continue;
            if (!theirs || !(which == "effective" ? contains(*theirs, *value) : contains(*value, *theirs)))
                return Answer::refusal();
            larger = larger && *theirs != *value;
        }
        return (which == "bounding" ? larger : *value != all->set) ? Answer::show(*value) : Answer::pass();
    };
}

// The ambient set, which is empty but where a service has been given something: it is part of the inheritable set and of the
// permitted one. The inheritable set is found with it where the two are the same.
Answer given_capabilities(Look& look, const Instance& cred, std::int32_t offset)
{
    const auto all = all_capabilities(look);
    const auto permitted = look.known("cred.cap_permitted");
    const auto value = cred.word(offset);
    if (!all || !permitted || !cred.owner)
        return {};
    const auto allowed = cred.word(*permitted);
    if (!value || !allowed || !contains(all->set & *allowed, *value) || (*value && look.is_kernel_thread(*cred.owner)))
        return Answer::refusal();
    return *value ? Answer::show(*value) : Answer::pass();
}

// What it leads to holds a number of the auxiliary vector, where the kernel has put whose the process is.
Predicate leads_to_auxiliary(const DeepConstraint& constraint, const DeepMember&)
{
    constexpr std::size_t window = 128;
    return [type = constraint.arguments.at("type").get<std::uint64_t>()](Look& look, const Instance& task,
                                                                         std::int32_t offset) {
        const auto mm = look.member(task, "task_struct.mm");
        const auto vector = look.known("mm_struct.saved_auxv");
        if (!mm || !*mm || !vector)
            return Answer();
        Instance memory;
        memory.address = *mm;
        memory.bytes = look.block(*mm, 4096);
        const auto wanted = look.auxiliary(memory, type);
        const auto value = task.word(offset);
        if (!wanted || !*wanted) // root's zero is found everywhere
            return Answer();
        if (!value || !look.leads_somewhere(*value))
            return Answer::refusal();
        Answer answer = Answer::searching(*wanted);
        const Bytes& bytes = look.block(*value, window);
        for (std::size_t at = 0; at + 4 <= bytes.size(); at += 4)
            if (load<std::uint32_t>(bytes, at) == *wanted)
                answer.add({static_cast<std::int32_t>(at)});
        return answer;
    };
}

// It is a number of the auxiliary vector of the process that it belongs to.
Predicate auxiliary_id(const DeepConstraint& constraint, const DeepMember&)
{
    return [type = constraint.arguments.at("type").get<std::uint64_t>()](Look& look, const Instance& cred,
                                                                         std::int32_t offset) {
        const auto mm = cred.owner ? look.member(*cred.owner, "task_struct.mm") : std::nullopt;
        const auto value = cred.value<std::uint32_t>(offset);
        if (!mm || !*mm || !value)
            return Answer();
        Instance memory;
        memory.address = *mm;
        memory.bytes = look.block(*mm, 4096);
        const auto wanted = look.auxiliary(memory, type);
        if (!wanted || !*wanted) // root's zero is found everywhere
            return Answer();
        // real, saved, effective and that for files: who has several tells nothing
        unsigned places = 0;
        for (std::int32_t at = 0; const auto other = cred.value<std::uint32_t>(at); at += 4)
            places += *other == *wanted;
        if (places != 4)
            return Answer();
        return *value == *wanted ? Answer::show(*value) : Answer::refusal();
    };
}

// Over one pointer more it leads to the text of the kernel's release.
Answer leads_to_release(Look& look, const Instance& task, std::int32_t offset)
{
    constexpr std::size_t first = 128, second = 512;
    const auto value = task.word(offset);
    if (has_exited(look, task))
        return {};
    if (!value || !look.leads_somewhere(*value))
        return Answer::refusal();
    const std::string text = look.anchors().release + '\0';
    Answer answer = Answer::searching(*value);
    const Bytes names = look.block(*value, first);
    for (std::size_t at = 0; at + word <= names.size(); at += word) {
        const auto next = *load<std::uint64_t>(names, at);
        if (!look.leads_somewhere(next))
            continue;
        const Bytes& bytes = look.block(next, second);
        const auto found = std::search(bytes.begin(), bytes.end(), text.begin(), text.end());
        if (found != bytes.end())
            answer.add({static_cast<std::int32_t>(at), static_cast<std::int32_t>(found - bytes.begin())});
    }
    return answer;
}

constexpr std::size_t comm_size = 16; // TASK_COMM_LEN

// Of a kernel thread whose name is longer than a task's may be, it leads to all of it.
Answer leads_to_whole_name(Look& look, const Instance& kthread, std::int32_t offset)
{
    constexpr std::size_t longest = 256;
    const auto comm = look.known("task_struct.comm");
    const std::string name = comm && kthread.owner ? look.text_at(moved(kthread.owner->address, *comm), comm_size) : std::string();
    if (name.size() + 1 != comm_size)
        return {};
    const std::string whole = look.text_at(kthread.word(offset).value_or(0), longest);
    return whole.size() > name.size() && whole.starts_with(name) ? Answer::show(kthread.address) : Answer::refusal();
}

// A kernel thread that is called so runs this function of the kernel's, to which what it leads to leads. Constant: from where.
Predicate runs_function(const DeepConstraint& constraint, const DeepMember&)
{
    constexpr std::size_t window = 128; // of struct kthread
    const auto names = constraint.arguments.at("names").get<std::vector<std::string>>();
    const auto symbols = constraint.arguments.at("symbols").get<std::vector<std::string>>();
    if (names.size() != symbols.size())
        throw Error("has not as many \"names\" as \"symbols\"", "predicate runs-function");
    return [names, symbols](Look& look, const Instance& task, std::int32_t offset) {
        const auto comm = look.known("task_struct.comm");
        const auto name = comm ? look.text_at(moved(task.address, *comm), comm_size) : std::string();
        const auto called = std::find_if(names.begin(), names.end(), [&](const std::string& start) { return name.starts_with(start); });
        if (called == names.end())
            return Answer();
        const std::uint64_t function = look.symbol(symbols[static_cast<std::size_t>(called - names.begin())]).value_or(0);
        const auto value = task.word(offset);
        if (!function)
            return Answer();
        if (!value || !look.leads_somewhere(*value))
            return Answer::refusal();
        Answer answer = Answer::searching(function);
        const Bytes& bytes = look.block(*value, window);
        for (std::size_t at = 0; at + word <= bytes.size(); at += word)
            if (load<std::uint64_t>(bytes, at) == function)
                answer.add({static_cast<std::int32_t>(at)});
        return answer;
    };
}

} // namespace

const PredicateMakers& task_predicates()
{
    static const PredicateMakers makers{
        {"equals", equals},
        {"leads-to-leader", plain(leads_to_leader)},
        {"leads-to-first-task", plain(leads_to_first_task)},
        {"thread-list", thread_list},
        {"leads-to-thread-head", plain(leads_to_thread_head)},
        {"leads-to-value", leads_to_value},
        {"bit-of-kernel-threads", bit_of_kernel_threads},
        {"time-of-start", plain(time_of_start)},
        {"leads-to-capabilities", plain(leads_to_capabilities)},
        {"set-of-capabilities", set_of_capabilities},
        {"given-capabilities", plain(given_capabilities)},
        {"leads-to-auxiliary", leads_to_auxiliary},
        {"auxiliary-id", auxiliary_id},
        {"leads-to-release", plain(leads_to_release)},
        {"runs-function", runs_function},
        {"leads-to-whole-name", plain(leads_to_whole_name)},
    };
    return makers;
}

} // namespace lacuna
