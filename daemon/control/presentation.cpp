// SPDX-License-Identifier: GPL-2.0-or-later
#include "presentation.h"

#include <algorithm>
#include <sstream>

#include <spdlog/fmt/fmt.h>

#include "abi_names.h"
#include "table.h"
#include "view_presentation.h"

namespace lacuna {

namespace {

std::string or_dash(const Json& value)
{
    return value.is_string() && !value.empty() ? value.get<std::string>() : "-";
}

std::string milliseconds(const Json& nanoseconds)
{
    return fmt::format("{:.1f} ms", static_cast<double>(nanoseconds.get<std::uint64_t>()) / 1e6);
}

std::string evidence_text(const Json& evidence)
{
    return fmt::format("{} events, {} instances, {} witnesses, {} eliminated", evidence.at("events").dump(),
                       evidence.at("instances").dump(), evidence.at("witnesses").dump(),
                       evidence.at("eliminated").dump());
}

std::string member_text(const Json& member)
{
    if (member.at("state") == "resolved")
        return fmt::format("resolved at {}", member.at("offset").dump());
    if (member.at("state") == "tied")
        return fmt::format("tied at {}", member.at("candidates").dump());
    if (member.at("state") == "contradicted" || member.at("state") == "absent")
        return member.at("state").get<std::string>();
    return fmt::format("{}{} candidates", member.at("state") == "ambiguous" ? "ambiguous, " : "",
                       member.at("remaining").dump());
}

std::size_t members_in(const Json& guest, std::string_view state)
{
    const Json& members = guest.at("members");
    return static_cast<std::size_t>(
        std::count_if(members.begin(), members.end(), [&](const Json& m) { return m.at("state") == state; }));
}

// "7/7": of those that the kernel has.
std::string resolved_text(const Json& guest)
{
    return fmt::format("{}/{}", members_in(guest, "resolved"),
                       guest.at("members").size() - members_in(guest, "absent"));
}

std::string state_text(const Json& guest)
{
    std::string text = guest.at("state").get<std::string>();
    if (!guest.at("reason").get<std::string>().empty())
        text += ": " + harmless(guest.at("reason").get<std::string>());
    if (guest.contains("verified"))
        text += guest.at("verified") ? ": its kernel's profile holds"
                                     : ": its kernel's profile is being verified";
    return text;
}

void warn_if_unstable(std::ostream& out, const Json& answer)
{
    if (!answer.value("stable", true))
        out << "(the guest kept changing the list: this is how it looked last)\n";
}

} // namespace

std::string harmless(const std::string& text)
{
    std::string safe = text;
    bool lead =
        false; // of the two bytes of U+0080 to U+009F in UTF-8, which some terminals take for sequences too
    for (char& c : safe) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f || (lead && byte >= 0x80 && byte < 0xa0))
            c = '?';
        lead = byte == 0xc2;
    }
    return safe;
}

void print_status(std::ostream& out, const Json& answer)
{
    if (!answer.at("module").get<bool>())
        out << "the lacuna module is not loaded; load it with: modprobe lacuna\n";
    if (answer.at("preparing").get<unsigned>() > 0)
        out << answer.at("preparing").dump() << " kernel file(s) or images are still being read\n";
    if (answer.at("guests").empty()) {
        out << "no guests\n";
        return;
    }
    Table table({"GUEST", "PID", "KERNEL", "RESOLVED", "STATE"});
    for (const Json& guest : answer.at("guests"))
        table.add({guest.at("name").get<std::string>(), guest.at("pid").dump(), or_dash(guest.at("kernel")),
                   resolved_text(guest), state_text(guest)});
    table.print(out);
}

void print_stats(std::ostream& out, const Json& answer)
{
    const Json& traps = answer.at("traps");
    Table table({"GUEST", answer.at("guest").get<std::string>()});
    table.add({"state", answer.at("state").get<std::string>()});
    table.add({"traps",
               fmt::format("{} (fork {}, exit {}, initcall {})", answer.at("traps_total").dump(),
                           traps.at("fork").dump(), traps.at("exit").dump(), traps.at("initcall").dump())});
    const Json& wasted = answer.at("wasted");
    table.add({"of these taught nothing", fmt::format("fork {}, exit {}, initcall {}", wasted.at("fork").dump(),
                                                      wasted.at("exit").dump(), wasted.at("initcall").dump())});
    table.add({"emulated instructions", answer.at("emulated").dump()});
    table.add({"events used", answer.at("events").at("used").dump()});
    table.add({"looks without a trap", answer.at("events").at("looks").dump()});
    for (const auto& [reason, number] : answer.at("events").at("skipped").items())
        table.add({"events skipped, " + reason, number.dump()});
    table.add({"time in the hook", milliseconds(answer.at("hook_ns_total"))});
    table.add({"longest time in the hook", milliseconds(answer.at("hook_ns_max"))});
    table.add({"guest memory read", fmt::format("{} bytes", answer.at("bytes_read").dump())});
    table.add({"boot", milliseconds(answer.at("boot_ns"))});
    table.add({"share of the boot", fmt::format("{:.3f} %", 100 * answer.at("hook_share").get<double>())});
    for (const auto& [member, times] : answer.at("members").items())
        table.add({member + " resolved after", milliseconds(times.at("resolved_ns"))});
    table.print(out);
}

void print_findings(std::ostream& out, const Json& answer)
{
    for (const Json& finding : answer.at("findings")) {
        const std::string verdict = finding.at("verdict").get<std::string>();
        out << fmt::format("{:<9} {}: {}\n", verdict == "good" ? "ok" : verdict,
                           finding.at("subject").get<std::string>(),
                           harmless(finding.at("found").get<std::string>()));
        if (verdict != "good")
            out << fmt::format("{:<9} -> {}\n", "", finding.at("advice").get<std::string>());
    }
}

void print_processes(std::ostream& out, const Json& answer)
{
    Table table({"PID", "KIND", "PGD", "TASK", "COMM"});
    for (const Json& process : answer.at("processes"))
        table.add({process.at("pid").dump(), process.at("kind").get<std::string>(),
                   or_dash(process.at("pgd")), process.at("address").get<std::string>(),
                   harmless(process.at("comm").get<std::string>())});
    table.print(out);
    warn_if_unstable(out, answer);
}

void print_modules(std::ostream& out, const Json& answer)
{
    if (answer.contains("lacks"))
        return print_modules_in_full(out, answer);
    Table table({"MODULE", "CODE", "SIZE"});
    for (const Json& module : answer.at("modules"))
        table.add({harmless(module.at("name").get<std::string>()), module.at("address").get<std::string>(),
                   module.at("text_size").dump()});
    table.print(out);
    warn_if_unstable(out, answer);
}

namespace {

std::string teachers_text(const Provenance& provenance)
{
    std::string text;
    std::uint32_t named = 0;
    for (const Teacher& teacher : provenance.teachers) {
        text += fmt::format("{}{} ({}, last {})", text.empty() ? "" : ", ", teacher.guest, teacher.boots,
                            teacher.last);
        named += teacher.boots;
    }
    if (named < provenance.boots)
        text += fmt::format(", others ({})", provenance.boots - named);
    return text;
}

std::string confirmation_text(const Profile& profile)
{
    if (profile.confirmed())
        return "yes: two boots at least have found each of its members at the same place";
    std::string once;
    for (const ProfileMember& member : profile.members)
        if (member.answered() && member.evidence.boots < Profile::confirming_boots)
            once += (once.empty() ? "" : ", ") + member.qualified();
    return "not yet: a second boot has still to agree on " + once;
}

void print_provenance(std::ostream& out, const Profile& profile)
{
    const Provenance& provenance = profile.provenance;
    if (!provenance.boots) {
        out << (provenance.engine ? "learned   from a boot that is still being learned from\n"
                                  : "learned   by an older version, which did not say from whom\n");
        return;
    }
    out << "learned   from " << provenance.boots << " boots: " << harmless(teachers_text(provenance)) << '\n'
        << "by        engine " << provenance.engine << ", constraints " << provenance.constraints.substr(0, 16)
        << '\n'
        << "confirmed " << confirmation_text(profile) << '\n';
    if (provenance.without_news)
        out << "no news   in the last " << provenance.without_news << " of these boots\n";
    if (provenance.contradicted)
        out << "DOUBTFUL  contradicted by " << provenance.contradicted
            << " boots: what they say lies in contradicting/\n";
}

} // namespace

void print_profile(std::ostream& out, const Profile& profile, const std::string& file)
{
    out << "kernel    " << profile.kernel_id << '\n'
        << "banner    " << harmless(profile.banner) << '\n'
        << "file      " << file << '\n'
        << "complete  " << (profile.complete() ? "yes" : "no") << '\n';
    print_provenance(out, profile);
    out << '\n';
    Table table({"MEMBER", "TYPE", "OFFSET", "EVIDENCE"});
    for (const ProfileMember& member : profile.members) {
        std::string offset = to_string(member.state);
        if (member.resolved())
            offset = std::to_string(member.offset) + (member.relative_to_list ? " from its list" : "");
        else if (member.tied())
            offset = fmt::format("{}, tied with {}", member.offset,
                                 fmt::join(member.candidates.begin() + 1, member.candidates.end(), " "));
        else if (member.state == LACUNA_AMBIGUOUS)
            offset =
                fmt::format("ambiguous, {} left: {}{}", member.remaining, fmt::join(member.candidates, " "),
                            member.candidates.size() < member.remaining ? " ..." : "");
        table.add(
            {member.qualified(), fmt::format("{}, {} bytes", member.type, member.size), offset,
             fmt::format("{} events, {} instances, {} witnesses, {} eliminated, {} boots", member.evidence.events,
                         member.evidence.instances, member.evidence.witnesses, member.evidence.eliminated,
                         member.evidence.boots)});
    }
    table.print(out);
}

void print_exports(std::ostream& out, const Json& exports)
{
    out << '\n';
    Table table({"FOR TOOLS", "FILE"});
    for (const Json& one : exports) {
        const auto why_not = one.at("why_not").get<std::string>();
        table.add({one.at("what").get<std::string>(),
                   why_not.empty() ? one.at("file").get<std::string>() : "none: " + harmless(why_not)});
    }
    table.print(out);
}

void print_deep(std::ostream& out, const Json& answer)
{
    Table table({"MEMBER", "OFFSET", "INSTANCES"});
    for (const auto& [name, member] : answer.at("members").items()) {
        std::string offset = "open";
        if (!member.at("offset").is_null())
            offset = member.at("offset").dump();
        if (const Json& tied = member.at("candidates"); !tied.empty())
            offset += ", tied with";
        for (const Json& place : member.at("candidates"))
            if (place != member.at("offset"))
                offset += " " + place.dump();
        table.add({name, offset, member.at("instances").dump()});
    }
    table.print(out);
}

void print_kernel(std::ostream& out, const KernelDescriptor& kernel)
{
    const Json json = nlohmann::json(to_json(kernel));
    Table table({"KERNEL", kernel.id});
    for (const auto& [key, value] : json.items())
        if (key != "id" && !value.is_structured())
            table.add({key, harmless(value.is_string() ? value.get<std::string>() : value.dump())});
    for (const TrapSite& site : kernel.sites)
        table.add({std::string("site ") + to_string(site.kind),
                   fmt::format("{} at {:#x}, original bytes {:02x}", site.function, site.address,
                               fmt::join(site.bytes, " "))});
    for (const std::string& notice : kernel.notices)
        table.add({"notice", harmless(notice)});
    table.print(out);
}

void WatchView::update(const Json& guest)
{
    Json& known = guests_[guest.at("name").get<std::string>()];
    if (!in_place_)
        print_changes(known, guest);
    known = guest;
    if (in_place_)
        draw();
}

void WatchView::print_changes(const Json& old, const Json& guest)
{
    const std::string name = "[" + guest.at("name").get<std::string>() + "] ";
    if (old.is_null() || old.at("state") != guest.at("state") || old.at("kernel") != guest.at("kernel"))
        out_ << name << state_text(guest)
             << (guest.at("kernel").is_string() ? ", kernel " + guest.at("kernel").get<std::string>() : "")
             << '\n';
    for (const auto& [member, now] : guest.at("members").items()) {
        const bool known = !old.is_null() && old.at("members").contains(member);
        const std::string before = known ? member_text(old["members"][member]) : "";
        if (before == member_text(now))
            continue;
        out_ << name << member << ": " << member_text(now);
        if (now.at("state") != "open")
            out_ << " (" << evidence_text(now.at("evidence")) << ")";
        out_ << '\n';
    }
    out_.flush();
}

void WatchView::draw()
{
    std::ostringstream text;
    for (const auto& [name, guest] : guests_) {
        text << name << ": " << state_text(guest) << ", kernel " << or_dash(guest.at("kernel")) << ", "
             << guest.at("traps_total").dump() << " traps\n";
        Table table({"  MEMBER", "FOUND", "EVIDENCE"});
        for (const auto& [member, now] : guest.at("members").items())
            table.add({"  " + member, member_text(now), evidence_text(now.at("evidence"))});
        table.print(text);
    }
    if (drawn_ > 0)
        out_ << "\033[" << drawn_ << "A\033[J"; // up to where the last drawing began, and clear from there
    const std::string drawing = text.str();
    drawn_ = static_cast<std::size_t>(std::count(drawing.begin(), drawing.end(), '\n'));
    out_ << drawing << std::flush;
}

} // namespace lacuna
