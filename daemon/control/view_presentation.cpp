// SPDX-License-Identifier: GPL-2.0-or-later
#include "view_presentation.h"

#include <algorithm>
#include <map>

#include <spdlog/fmt/fmt.h>

#include "presentation.h"
#include "table.h"

namespace lacuna {

namespace {

std::string shown(const Json& value)
{
    if (value.is_null())
        return "-";
    return value.is_string() ? harmless(value.get<std::string>()) : value.dump();
}

std::string command_text(const Json& process)
{
    const Json& command = process.at("command");
    if (command.is_null() && process.at("kind") == "user")
        return shown(process.at("comm"));
    if (command.is_null() || command.empty())
        return "[" + shown(process.at("comm")) + "]";
    std::string text;
    for (const Json& word : command)
        text += (text.empty() ? "" : " ") + word.get<std::string>();
    return harmless(text);
}

std::string seconds_text(const Json& nanoseconds)
{
    return nanoseconds.is_null() ? "-" : fmt::format("{:.2f}", static_cast<double>(nanoseconds.get<std::uint64_t>()) / 1e9);
}

std::string number_of_threads(const Json& process)
{
    return process.at("threads").is_null() ? "-" : std::to_string(process.at("threads").size() + 1);
}

void print_end(std::ostream& out, const Json& answer)
{
    if (!answer.value("stable", true))
        out << "(the guest kept changing it: this is how it looked last)\n";
    for (const Json& what : answer.value("left_out", Json::array()))
        out << fmt::format("(not all is here: {})\n", what.get<std::string>());
    for (const auto& [what, members] : answer.at("lacks").items()) {
        std::string names;
        for (const Json& member : members)
            names += (names.empty() ? "" : ", ") + member.get<std::string>();
        out << fmt::format("({} cannot be told: {} not known)\n", what, names);
    }
}

void add_process(Table& table, const Json& process, unsigned depth)
{
    table.add({shown(process.at("uid")), shown(process.at("pid")), shown(process.at("ppid")), number_of_threads(process),
               seconds_text(process.at("start_ns")), shown(process.at("exe")),
               std::string(2 * std::size_t{depth}, ' ') + command_text(process)});
}

// Children below their parents, each once whatever the guest says.
void print_tree(Table& table, const Json& processes)
{
    std::map<std::int32_t, std::vector<const Json*>> children;
    std::map<std::int32_t, const Json*> all;
    for (const Json& process : processes)
        all.emplace(process.at("pid").get<std::int32_t>(), &process);
    for (const Json& process : processes) {
        const Json& parent = process.at("ppid");
        const bool known = !parent.is_null() && all.contains(parent.get<std::int32_t>());
        children[known ? parent.get<std::int32_t>() : 0].push_back(&process);
    }
    struct Step {
        const Json* process;
        unsigned depth;
    };
    std::vector<Step> next;
    const auto push = [&](std::int32_t parent, unsigned depth) {
        const auto found = children.find(parent);
        if (found == children.end())
            return;
        const auto below = std::move(found->second);
        children.erase(found);
        for (auto one = below.rbegin(); one != below.rend(); ++one)
            next.push_back({*one, depth});
    };
    push(0, 0);
    while (!next.empty()) {
        const Step step = next.back();
        next.pop_back();
        add_process(table, *step.process, step.depth);
        push(step.process->at("pid").get<std::int32_t>(), step.depth + 1);
    }
    while (!children.empty()) // in a circle
        for (push(children.begin()->first, 0); !next.empty(); next.pop_back())
            add_process(table, *next.back().process, 0);
}

} // namespace

void print_processes_in_full(std::ostream& out, const Json& answer, ProcessForm form)
{
    const Json& processes = answer.at("processes");
    if (form == ProcessForm::threads) {
        Table table({"PID", "TID", "COMM"});
        for (const Json& process : processes) {
            table.add({shown(process.at("pid")), shown(process.at("pid")), shown(process.at("comm"))});
            for (const Json& thread : process.at("threads"))
                table.add({shown(process.at("pid")), shown(thread.at("tid")), shown(thread.at("comm"))});
        }
        table.print(out);
    } else {
        Table table({"UID", "PID", "PPID", "THREADS", "START (s)", "PROGRAM", "COMMAND"});
        if (form == ProcessForm::tree)
            print_tree(table, processes);
        else
            for (const Json& process : processes)
                add_process(table, process, 0);
        table.print(out);
    }
    print_end(out, answer);
}

void print_files(std::ostream& out, const Json& answer)
{
    Table table({"PID", "COMM", "FD", "KIND", "NAME"});
    for (const Json& file : answer.at("files"))
        table.add({shown(file.at("pid")), shown(file.at("comm")), shown(file.at("fd")), shown(file.at("kind")),
                   shown(file.at("path"))});
    table.print(out);
    print_end(out, answer);
}

void print_sockets(std::ostream& out, const Json& answer)
{
    Table table({"PROTOCOL", "TYPE", "STATE", "LOCAL", "REMOTE", "PROCESSES"});
    for (const Json& socket : answer.at("sockets")) {
        std::string holders;
        for (const Json& holder : socket.at("holders"))
            holders += fmt::format("{}{}[{}]:{}", holders.empty() ? "" : " ", shown(holder.at("comm")),
                                   shown(holder.at("pid")), shown(holder.at("fd")));
        table.add({shown(socket.at(socket.at("protocol").is_null() ? "family" : "protocol")), shown(socket.at("type")),
                   shown(socket.at("state")), shown(socket.at("local")), shown(socket.at("remote")), holders});
    }
    table.print(out);
    print_end(out, answer);
}

void print_areas(std::ostream& out, const Json& answer)
{
    Table table({"START", "END", "RIGHTS", "WHAT"});
    for (const Json& area : answer.at("areas"))
        table.add({shown(area.at("start")), shown(area.at("end")), shown(area.at("rights")), shown(area.at("path"))});
    table.print(out);
    print_end(out, answer);
}

void print_environment(std::ostream& out, const Json& answer)
{
    if (answer.at("environment").is_null())
        out << "(the guest does not have it in its memory now)\n";
    for (const Json& variable : answer.at("environment"))
        out << shown(variable) << '\n';
    print_end(out, answer);
}

void print_mounts(std::ostream& out, const Json& answer)
{
    Table table({"MOUNTED ON", "FILE SYSTEM", "SOURCE", "OPTIONS"});
    for (const Json& mount : answer.at("mounts")) {
        std::string options;
        for (const Json& option : mount.value("options", Json()))
            options += (options.empty() ? "" : ",") + option.get<std::string>();
        table.add({shown(mount.at("path")), shown(mount.at("file_system")), shown(mount.value("source", Json())),
                   options.empty() ? shown(Json()) : options});
    }
    table.print(out);
    print_end(out, answer);
}

void print_modules_in_full(std::ostream& out, const Json& answer)
{
    Table table({"MODULE", "CODE", "TEXT", "SIZE", "STATE", "TAINTS"});
    for (const Json& module : answer.at("modules"))
        table.add({shown(module.at("name")), shown(module.at("address")), shown(module.at("text_size")),
                   shown(module.value("size", Json())), shown(module.value("state", Json())), shown(module.value("taints", Json()))});
    table.print(out);
    print_end(out, answer);
}

} // namespace lacuna
