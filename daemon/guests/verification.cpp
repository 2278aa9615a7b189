// SPDX-License-Identifier: GPL-2.0-or-later
#include "verification.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <string>

#include <spdlog/fmt/fmt.h>

#include "error.h"

namespace lacuna {

namespace {

constexpr std::uint64_t page_size = 4096;
constexpr std::uint64_t largest_text = 1 << 30; // bytes of a program or a module

[[noreturn]] void fails(const std::string& member, const std::string& what)
{
    throw Error(what, member);
}

class Verification {
public:
    Verification(AddressSpace& memory, const Profile& profile, const KernelPlace& place)
        : memory_(memory),
          profile_(profile),
          place_(place)
    {}

    void tasks()
    {
        if (const auto comm = at("task_struct.comm"))
            if (!name(place_.init_task, *comm, "task_struct.comm").starts_with("swapper"))
                fails("task_struct.comm", "the idle task is not called swapper");
        const auto tasks = at("task_struct.tasks"), pid = at("task_struct.pid"),
                   comm = at("task_struct.comm"), mm = at("task_struct.mm");
        if (!tasks)
            return;
        std::uint64_t task = place_.init_task;
        for (const std::int32_t number : {0, 1, 2}) {
            if (pid && memory_.value<std::int32_t>(task + *pid) != number)
                fails("task_struct.pid", fmt::format("task {} of the list has another number", number));
            if (comm)
                name(task, *comm, "task_struct.comm");
            if (mm)
                address_space(memory_.word(task + *mm), number);
            const std::uint64_t node = task + *tasks, next = memory_.word(node);
            if (memory_.word(next + memory_.word_size()) != node)
                fails("task_struct.tasks", "the list does not lead back");
            task = next - *tasks;
        }
    }

    void first_module()
    {
        if (!place_.modules)
            return;
        // new ones are put first: the one that was loaded first is the last
        const std::uint64_t node = memory_.word(place_.modules + memory_.word_size());
        if (node == place_.modules)
            return;
        if (const auto place = at("module.name"))
            name(node, *place, "module.name");
        const auto core = at("module.module_core"), size = at("module.core_text_size");
        if (!core)
            return;
        const std::uint64_t text = memory_.word(node + *core);
        if (text % page_size || !memory_.translate(text))
            fails("module.module_core", "the first module has no text");
        if (!size)
            return;
        const auto bytes = memory_.value<std::uint32_t>(node + *size);
        if (!bytes || bytes % page_size || bytes > largest_text ||
            !memory_.translate(text + bytes - page_size))
            fails("module.core_text_size", "the first module's text has no end");
    }

private:
    // Nothing: it is open where the member is, or there is none. Throws Error if the profile does not know of it.
    std::optional<std::uint64_t> at(const char* member) const
    {
        const ProfileMember* found = profile_.find(member);
        if (found && !found->usable())
            return std::nullopt;
        return static_cast<std::uint64_t>(profile_.offset(member));
    }

    std::string name(std::uint64_t instance, std::uint64_t offset, const char* member)
    {
        const Bytes bytes = memory_.read(instance + offset, profile_.find(member)->size);
        const std::string text(bytes.begin(), std::find(bytes.begin(), bytes.end(), 0));
        if (text.empty() || text.size() == bytes.size() ||
            !std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isprint(c); }))
            fails(member, "is no name");
        return text;
    }

    // Of the first three tasks two are of the kernel.
    void address_space(std::uint64_t mm, std::int32_t pid)
    {
        if ((mm != 0) != (pid == 1))
            fails("task_struct.mm", fmt::format("process {} {} an address space", pid, mm ? "has" : "lacks"));
        if (!mm)
            return;
        if (const auto pgd = at("mm_struct.pgd")) {
            const auto root = memory_.translate(memory_.word(mm + *pgd));
            if (!root || memory_.under(*root).translate(place_.text) != place_.text_gpa)
                fails("mm_struct.pgd", "process 1's page tables do not map the kernel");
        }
        const auto start_code = at("mm_struct.start_code"), end_code = at("mm_struct.end_code");
        if (!start_code || !end_code)
            return;
        const std::uint64_t start = memory_.word(mm + *start_code), end = memory_.word(mm + *end_code);
        if (start >= end || end - start > largest_text || end > place_.text)
            fails("mm_struct.start_code", "process 1 has no code there");
    }

    AddressSpace& memory_;
    const Profile& profile_;
    const KernelPlace& place_;
};

} // namespace

void verify(AddressSpace& memory, const Profile& profile, const KernelPlace& place)
{
    memory.forget();
    Verification verification(memory, profile, place);
    verification.tasks();
    verification.first_module();
}

} // namespace lacuna
