// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest.h"

#include <numeric>

#include "abi_names.h"
#include "names.h"

namespace lacuna {

namespace {

Json member_status(const lacuna_member_report& report)
{
    const auto state = static_cast<lacuna_member_state>(report.state);
    Json json = {{"state", to_string(state)}, {"remaining", report.remaining}};
    if (state == LACUNA_RESOLVED || state == LACUNA_TIED)
        json["offset"] = report.candidates[0];
    if (state == LACUNA_TIED)
        json["candidates"] =
            std::vector<std::int32_t>(report.candidates, report.candidates + report.remaining);
    json["evidence"] = {{"events", report.events},
                        {"instances", report.instances},
                        {"witnesses", report.witnesses},
                        {"eliminated", report.eliminated}};
    return json;
}

Json kernel_facts(const Guest& guest)
{
    Json json = {{"id", guest.boot.kernel_id.empty() ? Json() : Json(guest.boot.kernel_id)}};
    if (guest.boot.kernel) {
        json["release"] = guest.boot.kernel->release;
        json["architecture"] = to_string(guest.boot.kernel->architecture);
    }
    json["sources"] = Json::array();
    for (const KernelSource& source : guest.sources) {
        Json entry = Json::object();
        if (!source.file.empty())
            entry["file"] = source.file.string();
        if (source.system_map)
            entry["system_map"] = source.system_map->string();
        for (const Disk& disk : source.disks)
            entry["disks"].push_back({{"file", disk.file.string()}, {"format", disk.format}});
        if (source.named_by)
            entry["named_by"] = {{"user", source.named_by->user},
                                 {"group", source.named_by->group},
                                 {"groups", source.named_by->groups}};
        json["sources"].push_back(entry);
    }
    return json;
}

Json addresses(const Boot& boot)
{
    Json json = {{"text", hex(boot.kernel->text + boot.slide)}, {"init_task", hex(boot.kernel->init_task_at(boot.slide))}};
    json["modules"] = hex(boot.kernel->modules_at(boot.slide));
    json["page_table_gpa"] = hex(boot.page_table_gpa());
    return json;
}

Json by_site(const __u64 (&counts)[LACUNA_SITE_KINDS])
{
    return {{"fork", counts[LACUNA_SITE_FORK]},
            {"exit", counts[LACUNA_SITE_EXIT]},
            {"initcall", counts[LACUNA_SITE_INITCALL]},
            {"hibernate", counts[LACUNA_SITE_HIBERNATE]},
            {"probe", counts[LACUNA_SITE_PROBE]}};
}

} // namespace

// The kernel's image has page tables only on 64 bit; those of i386 are found by what runs on them.
std::uint64_t Boot::page_table_gpa() const
{
    if (root || !kernel || !kernel->page_table)
        return root;
    return text_gpa + (kernel->page_table - kernel->text);
}

bool Guest::update(const GuestReport& report)
{
    const bool over = state == LACUNA_GUEST_DONE || state == LACUNA_GUEST_FAILED;
    // Created once more, by a reset; otherwise told again by an older event, after it has been armed or
    // ignored.
    const bool reborn = report.state == LACUNA_GUEST_CREATED &&
                        (over || (state == LACUNA_GUEST_IGNORED &&
                                  // which may have been lost: then the state that was asked for tells
                                  (report.event == LACUNA_EVENT_RESET || report.event == LACUNA_EVENT_NONE)));
    const bool stale = report.state == LACUNA_GUEST_CREATED && !reborn;
    const auto new_state = stale ? state : report.state.value_or(state);
    // The same kernel elsewhere is another boot: events may be lost.
    const bool changed = new_state != state || (report.kernel_id && *report.kernel_id != boot.kernel_id) ||
                         (report.slide && *report.slide != boot.slide);
    // The event itself may have been lost.
    const bool reset = report.event == LACUNA_EVENT_RESET || reborn ||
                       (report.state == LACUNA_GUEST_WAITING && !report.kernel_id && !boot.kernel_id.empty());
    if (reset) {
        boot = {};
        reason.clear();
    }
    state = new_state;
    reason = report.reason.value_or(reason);
    if (report.vmm_pid)
        vmm_pid = static_cast<pid_t>(*report.vmm_pid);
    if (report.kernel_id && *report.kernel_id != boot.kernel_id) {
        boot.kernel_id = *report.kernel_id;
        boot.kernel.reset();
        boot.outcome = Outcome::none;
        boot.tasks_published = boot.counted = boot.had_news = false;
    }
    engine = report.engine.value_or(engine);
    boot.slide = report.slide.value_or(boot.slide);
    boot.text_gpa = report.text_gpa.value_or(boot.text_gpa);
    boot.paging = report.paging.value_or(boot.paging);
    boot.root = report.root.value_or(boot.root);
    boot.members = report.members.value_or(boot.members);
    stats = report.stats.value_or(stats);
    return changed || reset;
}

Json status_json(const Guest& guest, const lacuna_constraints& set)
{
    Json json;
    json["name"] = guest.name;
    json["pid"] = guest.vmm_pid;
    json["state"] = to_string(guest.state);
    json["reason"] = guest.reason;
    json["kernel"] = guest.boot.kernel_id.empty() ? Json() : Json(guest.boot.kernel_id);
    if (guest.boot.has_known_profile())
        json["verified"] = guest.boot.outcome == Outcome::verified;
    json["members"] = Json::object();
    for (std::size_t i = 0; i < guest.boot.members.size() && i < set.members_nr; i++)
        json["members"][qualified_name(set, i)] = member_status(guest.boot.members[i]);
    return json;
}

Json stats_json(const Guest& guest, const lacuna_constraints& set)
{
    const lacuna_stats& stats = guest.stats;
    Json json;
    json["guest"] = guest.name;
    json["state"] = to_string(guest.state);
    json["traps"] = by_site(stats.traps);
    json["wasted"] = by_site(stats.wasted);
    json["traps_total"] = std::accumulate(std::begin(stats.traps), std::end(stats.traps), std::uint64_t{0});
    json["emulated"] = stats.emulated;
    json["events"] = {{"used", stats.events_used},
                      {"looks", stats.looks},
                      {"skipped",
                       {{"busy", stats.events_skipped[LACUNA_SKIP_BUSY]},
                        {"no_instance", stats.events_skipped[LACUNA_SKIP_NO_INSTANCE]},
                        {"builtin", stats.events_skipped[LACUNA_SKIP_BUILTIN]},
                        {"late", stats.events_skipped[LACUNA_SKIP_LATE]}}}};
    json["hook_ns_total"] = stats.hook_ns_total;
    json["hook_ns_max"] = stats.hook_ns_max;
    json["bytes_read"] = stats.bytes_read;
    json["early_exits"] = stats.early_exits;
    json["members"] = Json::object();
    for (std::size_t i = 0; i < guest.boot.members.size() && i < set.members_nr; i++)
        if (guest.boot.members[i].state == LACUNA_RESOLVED)
            json["members"][qualified_name(set, i)] = {{"resolved_ns", guest.boot.members[i].resolved_ns}};
    json["times_ns"] = {{"armed", stats.armed_ns},
                        {"found", stats.found_ns},
                        {"first_trap", stats.first_trap_ns},
                        {"process_done", stats.process_done_ns},
                        {"finished", stats.finished_ns}};
    const auto so_far = std::chrono::steady_clock::now() - guest.seen;
    const std::uint64_t boot = stats.finished_ns
                                   ? stats.finished_ns
                                   : static_cast<std::uint64_t>(std::chrono::nanoseconds(so_far).count());
    json["boot_ns"] = boot;
    json["hook_share"] = boot ? static_cast<double>(stats.hook_ns_total) / static_cast<double>(boot) : 0.0;
    return json;
}

Json facts_json(const Guest& guest)
{
    Json json;
    json["schema"] = guest_schema;
    json["name"] = guest.name;
    json["vmm_pid"] = guest.vmm_pid;
    json["kernel"] = kernel_facts(guest);
    json["state"] = to_string(guest.state);
    if (!guest.constraints.empty())
        json["constraints"] = guest.constraints;
    if (!guest.reason.empty())
        json["reason"] = guest.reason;
    if (!guest.boot.kernel_id.empty()) {
        json["slide"] = hex(guest.boot.slide);
        json["text_gpa"] = hex(guest.boot.text_gpa);
        json["paging"] = to_string(guest.boot.paging);
    }
    if (guest.boot.has_known_profile())
        json["verified"] = guest.boot.outcome == Outcome::verified;
    if (guest.boot.kernel)
        json["addresses"] = addresses(guest.boot);
    json["updated"] = iso_now();
    return json;
}

std::vector<KernelSource> sources_from_facts(const Json& facts)
{
    std::vector<KernelSource> sources;
    for (const Json& entry : facts.at("kernel").at("sources")) {
        KernelSource source{entry.value("file", ""), {}, {}};
        if (entry.contains("system_map"))
            source.system_map = entry["system_map"].get<std::string>();
        for (const Json& disk : entry.value("disks", Json::array()))
            source.disks.push_back(
                {disk.at("file").get<std::string>(), disk.at("format").get<std::string>()});
        if (entry.contains("named_by"))
            source.named_by = FileUser{entry["named_by"].at("user").get<uid_t>(),
                                       entry["named_by"].at("group").get<gid_t>(),
                                       entry["named_by"].at("groups").get<std::vector<gid_t>>()};
        sources.push_back(std::move(source));
    }
    return sources;
}

} // namespace lacuna
