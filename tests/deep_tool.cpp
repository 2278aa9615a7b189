// SPDX-License-Identifier: GPL-2.0-or-later
//
// deep_tool VMLINUZ TRUTH CONSTRAINTS MEMORY... [--views FILE] [--exports FOLDER]: learns deep members from files of a guest's physical
// memory (raw, as QEMU's pmemsave writes them), each a look at it, starting from the core members that TRUTH says.
// Into FILE goes what lacunactl would tell of the last of them, into FOLDER what Volatility reads (kernel.json, guest.json).
// For people at the bench.
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <iostream>

#include "areas.h"
#include "boot_files.h"
#include "deep_learning.h"
#include "error.h"
#include "fd.h"
#include "files.h"
#include "isf.h"
#include "kernel_descriptor.h"
#include "loaded_modules.h"
#include "mounts.h"
#include "processes.h"
#include "sockets.h"
#include "symbol_file.h"

using namespace lacuna;

namespace {

std::uint64_t pages_read = 0;

PhysicalReader reader_of(const std::string& file)
{
    const auto descriptor = std::make_shared<Fd>(open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!*descriptor)
        throw system_error("cannot be read", file);
    return [descriptor](std::uint64_t gpa, std::size_t length) {
        Bytes bytes(length);
        pages_read++;
        const auto got = pread(descriptor->get(), bytes.data(), length, static_cast<off_t>(gpa));
        if (got != static_cast<ssize_t>(length))
            throw Error("no memory there");
        return bytes;
    };
}

// Where the kernel's text is: the banner says it.
std::uint64_t find_text(const PhysicalReader& memory, const KernelDescriptor& kernel)
{
    const std::uint64_t banner = kernel.banner_address - kernel.text;
    for (std::uint64_t text = 0x1000000; text < 0x80000000; text += 0x200000) {
        try {
            const Bytes bytes = memory(text + banner, kernel.banner.size());
            if (std::equal(bytes.begin(), bytes.end(), kernel.banner.begin()))
                return text;
        } catch (const Error&) {
            break;
        }
    }
    throw Error("does not hold this kernel");
}

Json view_or_error(AddressSpace& memory, const Profile& profile, const Anchors& anchors,
                   const std::function<Json(GuestView&)>& take)
{
    try {
        return settled(memory, profile, anchors, take);
    } catch (const Error& error) {
        return {{"error", error.what()}};
    }
}

Json all_views(AddressSpace& memory, Profile profile, const std::vector<ProfileMember>& learned, const Anchors& anchors)
{
    for (const ProfileMember& member : learned)
        if (member.usable())
            profile.members.push_back(member);
    const auto view = [&](const std::function<Json(GuestView&)>& take) {
        return view_or_error(memory, profile, anchors, take);
    };
    Json all = {{"ps", view(list_processes_in_full)},
                {"lsof", view([](GuestView& one) { return list_files(one, std::nullopt); })},
                {"ss", view(list_sockets)},
                {"lsmod", view(list_modules_in_full)},
                {"mounts", view([](GuestView& one) { return list_mounts(one, 1); })},
                {"maps", Json::object()},
                {"env", Json::object()}};
    for (const Json& process : all["ps"].value("processes", Json::array())) {
        const auto pid = process.at("pid").get<std::int32_t>();
        if (process.at("kind") == "user") {
            all["maps"][std::to_string(pid)] = view([&](GuestView& one) { return list_areas(one, pid); });
            all["env"][std::to_string(pid)] = view([&](GuestView& one) { return list_environment(one, pid); });
        }
    }
    return all;
}

void write_exports(const std::filesystem::path& folder, Profile profile, const std::vector<ProfileMember>& learned,
                   const std::string& symbols, const BootFacts& boot, const std::filesystem::path& memory)
{
    profile.members.insert(profile.members.end(), learned.begin(), learned.end());
    const auto isf = std::filesystem::absolute(folder / "kernel.json");
    std::ofstream(isf) << to_text(make_isf(profile, addresses_of(symbols)), 1);
    std::ofstream(folder / "guest.json") << to_text(volatility_config(boot, isf, std::filesystem::absolute(memory)), 1);
    std::ofstream(folder / "symbols") << symbols;
}

void run(std::vector<std::string> arguments)
{
    std::string views, exports;
    while (arguments.size() > 5 && arguments[arguments.size() - 2].starts_with("--")) {
        (arguments[arguments.size() - 2] == "--views" ? views : exports) = arguments.back();
        arguments.resize(arguments.size() - 2);
    }
    const KernelDescriptor kernel = describe_kernel(arguments[0]);
    const auto truth = nlohmann::json::parse(std::ifstream(arguments[1]));
    Profile profile;
    profile.kernel_id = kernel.id;
    profile.architecture = to_string(kernel.architecture);
    profile.release = kernel.release;
    profile.banner = kernel.banner;
    const std::string symbols = symbol_text(kernel, *kernel.symbols);
    for (const auto& [structure, members] : truth.at("members").items())
        for (const auto& [name, offset] : members.items()) {
            ProfileMember member;
            member.structure = structure;
            member.name = name;
            member.state = LACUNA_RESOLVED;
            member.offset = offset.get<std::int32_t>();
            member.type = name == "comm" || name == "name" ? "text" : name == "tasks" ? "list" : name == "pid" || name == "core_text_size" ? "int" : "pointer";
            member.size = name == "comm" ? 16 : 56;
            member.relative_to_list = structure == "module";
            profile.members.push_back(member);
        }
    const DeepSolver solver(read_deep_constraints(arguments[2]).structures);
    std::optional<DeepLearning> learning;
    for (std::size_t i = 3; i < arguments.size(); i++) {
        const PhysicalReader reader = reader_of(arguments[i]);
        const std::uint64_t text = find_text(reader, kernel);
        const std::uint64_t root = text + (kernel.page_table - kernel.text);
        for (int paging = 0; paging < 2; paging++) {
            AddressSpace memory(reader, root, static_cast<lacuna_paging>(paging));
            std::uint64_t slide = 0;
            while (slide < 0x40000000 && memory.translate(kernel.text + slide) != text)
                slide += 0x200000;
            if (slide >= 0x40000000)
                continue;
            Anchors anchors{kernel.init_task + slide, kernel.modules + slide, kernel.release, {}};
            for (const auto& [name, address] : addresses_of(symbols, solver.symbols()))
                anchors.symbols.emplace(name, address + slide);
            if (!learning)
                learning.emplace(solver, profile, anchors);
            const auto start = std::chrono::steady_clock::now();
            const std::uint64_t before = pages_read;
            learning->look(memory);
            std::cerr << pages_read - before << " pages, look " << i - 2 << ": "
                      << std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()
                      << " s\n";
            if (!views.empty() && i + 1 == arguments.size())
                std::ofstream(views) << to_text(all_views(memory, profile, learning->members(), anchors), 1);
            if (!exports.empty() && i + 1 == arguments.size())
                write_exports(exports, profile, learning->members(), symbols,
                              {"guest", kernel.id, kernel.release, profile.architecture, paging ? "5-level" : "4-level", slide,
                               kernel.text + slide, text, root},
                              arguments[i]);
            break;
        }
    }
    nlohmann::ordered_json out;
    if (learning)
        for (const ProfileMember& member : learning->members())
            out[member.qualified()] = {
                {"state", member.usable() ? member.tied() ? "tied" : "resolved" : "open"},
                {"offset", member.offset},
                {"candidates", member.candidates},
                {"instances", member.evidence.instances},
                {"remaining", member.remaining},
                {"eliminated", member.evidence.eliminated}};
    std::cout << out.dump(1) << '\n';
}

} // namespace

int main(int argc, char** argv)
{
    if (argc < 5) {
        std::cerr << "usage: deep_tool VMLINUZ TRUTH CONSTRAINTS MEMORY...\n";
        return 2;
    }
    try {
        run(std::vector<std::string>(argv + 1, argv + argc));
        return 0;
    } catch (const std::exception& error) {
        std::cerr << "deep_tool: " << error.what() << '\n';
        return 1;
    }
}
