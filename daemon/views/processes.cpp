// SPDX-License-Identifier: GPL-2.0-or-later
#include "processes.h"

#include <algorithm>
#include <map>
#include <utility>

#include "error.h"
#include "files.h"

namespace lacuna {

namespace {

constexpr std::size_t comm_size = 16;
constexpr std::uint64_t most_text = 128 << 10; // of arguments, and of an environment

std::optional<std::vector<std::string>> texts_between(GuestView& view, const Instance& memory, const char* first, const char* last)
{
    const auto start = view.look().member(memory, first), end = view.look().member(memory, last);
    std::vector<std::string> texts;
    if (!start || !end || *end <= *start)
        return texts;
    const Bytes bytes = view.look().user_bytes(memory, *start, std::min(*end - *start, most_text));
    if (bytes.size() < *end - *start)
        view.look().leave_out("texts of processes that are long, or not in memory");
    if (bytes.empty())
        return std::nullopt;
    for (auto at = bytes.begin(); at != bytes.end();) {
        const auto stop = std::find(at, bytes.end(), 0);
        view.tell(static_cast<std::size_t>(stop - at));
        texts.emplace_back(at, stop);
        at = stop == bytes.end() ? stop : stop + 1;
    }
    return texts;
}

template <typename T> Json or_null(const std::optional<T>& value)
{
    return value ? Json(*value) : Json();
}

// By the process's address, besides its first one.
std::map<std::uint64_t, Json> threads_by_process(GuestView& view)
{
    std::map<std::uint64_t, Json> threads;
    for (const Instance& task : view.tasks()) {
        Json& own = threads.try_emplace(task.owner->address, Json::array()).first->second;
        if (task.leads())
            continue;
        view.tell(0);
        own.push_back({{"tid", number_of(view, task)}, {"comm", name_of(view, task)}});
    }
    return threads;
}

Json process_json(GuestView& view, const Instance& task, Json threads)
{
    Look& look = view.look();
    const auto memory = view.memory_of(task);
    const auto cred = look.member(task, "task_struct.cred");
    const bool has_cred = cred && look.leads_somewhere(*cred);
    const auto parent = look.member(task, "task_struct.real_parent");
    const Instance* made_by = parent ? look.task_at(*parent) : nullptr;
    const auto start = look.member(task, "task_struct.start_boottime");
    const auto number = number_of(view, task);
    const bool has_threads = view.knows("task_struct.thread_node") || view.knows("task_struct.thread_group");
    Json json = {{"pid", number},
                 {"comm", name_of(view, task)},
                 {"kind", memory ? "user" : "kernel"},
                 {"address", hex(task.address)},
                 {"uid", has_cred ? or_null(view.value<std::uint32_t>(*cred, "cred.uid")) : Json()},
                 {"gid", has_cred ? or_null(view.value<std::uint32_t>(*cred, "cred.gid")) : Json()},
                 {"ppid", made_by ? Json(number_of(view, *made_by->owner)) : Json()},
                 {"threads", has_threads ? std::move(threads) : Json()},
                 {"start_ns", or_null(start)}};
    const bool has_arguments = memory && view.knows("mm_struct.arg_start") && view.knows("mm_struct.arg_end");
    json["command"] = has_arguments ? or_null(arguments_of(view, *memory)) : Json();
    json["exe"] = Json();
    if (memory)
        if (const auto exe = look.member(*memory, "mm_struct.exe_file"); exe && look.leads_somewhere(*exe))
            json["exe"] = or_null(path_of_file(view, *exe));
    view.tell(json["exe"].is_string() ? json["exe"].get_ref<const std::string&>().size() : 0);
    return json;
}

} // namespace

std::int32_t number_of(GuestView& view, const Instance& task)
{
    return task.value<std::int32_t>(*view.look().known("task_struct.pid")).value_or(-1);
}

std::string name_of(GuestView& view, const Instance& task)
{
    const auto offset = static_cast<std::uint64_t>(*view.look().known("task_struct.comm"));
    const auto text = slice(task.bytes, offset, comm_size);
    return text ? std::string(text->begin(), std::find(text->begin(), text->end(), 0)) : std::string();
}

std::optional<std::vector<std::string>> arguments_of(GuestView& view, const Instance& memory)
{
    return texts_between(view, memory, "mm_struct.arg_start", "mm_struct.arg_end");
}

std::optional<std::vector<std::string>> environment_of(GuestView& view, const Instance& memory)
{
    return texts_between(view, memory, "mm_struct.env_start", "mm_struct.env_end");
}

Json list_processes_in_full(GuestView& view)
{
    view.need({"task_struct.tasks", "task_struct.pid", "task_struct.comm", "task_struct.mm", "mm_struct.pgd"});
    view.want("user", {"task_struct.cred", "cred.uid"});
    view.want("group", {"task_struct.cred", "cred.gid"});
    view.want("parent", {"task_struct.real_parent"});
    view.want("start", {"task_struct.start_boottime"});
    view.want("command", {"mm_struct.arg_start", "mm_struct.arg_end"});
    view.want("program", {"mm_struct.exe_file", "file.f_path.dentry", "dentry.d_name.name", "dentry.d_parent"});
    if (!view.knows("task_struct.thread_group"))
        view.want("threads", {"task_struct.thread_node"});
    Json processes = Json::array();
    auto threads = threads_by_process(view);
    for (const Instance& task : view.tasks())
        if (task.leads() && number_of(view, task) != 0) // the idle task is no process
            processes.push_back(process_json(view, task, std::move(threads[task.address])));
    return {{"processes", std::move(processes)}};
}

Json list_environment(GuestView& view, std::int32_t pid)
{
    view.need({"mm_struct.env_start", "mm_struct.env_end"});
    const Instance& task = view.process(pid);
    const auto memory = view.memory_of(task);
    if (!memory)
        throw Error("has no memory of its own: it is the kernel's, or has ended", "process " + std::to_string(pid));
    return {{"pid", pid}, {"comm", name_of(view, task)}, {"environment", or_null(environment_of(view, *memory))}};
}

} // namespace lacuna
