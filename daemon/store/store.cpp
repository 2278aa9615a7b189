// SPDX-License-Identifier: GPL-2.0-or-later
#include "store.h"

#include <cerrno>
#include <fstream>
#include <iterator>

#include <fcntl.h>
#include <grp.h>
#include <sys/stat.h>

#include "abi_names.h"
#include "error.h"
#include "fd.h"
#include "names.h"

namespace lacuna {

namespace {

void make_directory(const std::filesystem::path& directory, mode_t mode,
                    std::optional<gid_t> group = std::nullopt)
{
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (error)
        throw Error(
            "the folder cannot be made: " + error.message(), directory.string(),
            error == std::errc::read_only_file_system
                ? "its service may write there only if its unit says ReadWritePaths=, see lacunad.toml(5)"
                : "name another store, or run as root");
    if (chmod(directory.c_str(), mode) != 0)
        throw system_error("the folder's mode cannot be set", directory.string());
    if (group && chown(directory.c_str(), static_cast<uid_t>(-1), *group) != 0)
        throw system_error("the folder's group cannot be set", directory.string());
}

std::optional<gid_t> group_named(const std::string& name)
{
    if (name.empty())
        return std::nullopt;
    const group* found = getgrnam(name.c_str());
    if (!found)
        throw Error("there is no such group", name, "make it, or take \"group\" out of the configuration");
    return found->gr_gid;
}

std::optional<std::string> read_text(const std::filesystem::path& file)
{
    std::ifstream stream(file, std::ios::binary);
    std::error_code error; // of a folder that may not be looked into
    if (!stream && !std::filesystem::exists(file, error) && !error)
        return std::nullopt;
    const std::string text((std::istreambuf_iterator<char>(stream)), {});
    if (!stream)
        throw system_error("cannot be read", file.string());
    return text;
}

std::optional<Json> read_json(const std::filesystem::path& file)
{
    const auto text = read_text(file);
    if (!text)
        return std::nullopt;
    try {
        return Json::parse(*text);
    } catch (const Json::exception& error) {
        throw Error(std::string("is damaged: ") + error.what(), file.string(),
                    "move it away; the next boot of the guest writes a new one");
    }
}

std::optional<Profile> read_profile(const std::filesystem::path& file)
{
    const auto json = read_json(file);
    return json ? std::optional(profile_from_json(*json, file.string())) : std::nullopt;
}

void write_all(int fd, const std::string& text, const std::string& file)
{
    for (std::size_t done = 0; done < text.size();) {
        const ssize_t written = write(fd, text.data() + done, text.size() - done);
        if (written < 0 && errno != EINTR)
            throw system_error("cannot be written", file, "is the disk full?");
        done += written > 0 ? static_cast<std::size_t>(written) : 0;
    }
}

void replace(const std::filesystem::path& file, const std::string& text, mode_t mode,
             std::optional<gid_t> group, bool durable)
{
    std::string temporary = (file.parent_path() / ("." + file.filename().string() + ".XXXXXX")).string();
    const Fd fd(mkostemp(temporary.data(), O_CLOEXEC));
    if (!fd)
        throw system_error("cannot be written", file.string());
    try {
        write_all(fd.get(), text, file.string());
        if (group && fchown(fd.get(), static_cast<uid_t>(-1), *group) != 0)
            throw system_error("its group cannot be set", file.string());
        if (fchmod(fd.get(), mode) != 0 || (durable && fsync(fd.get()) != 0) ||
            rename(temporary.c_str(), file.c_str()) != 0)
            throw system_error("cannot be written", file.string(), "is the disk full?");
    } catch (...) {
        unlink(temporary.c_str());
        throw;
    }
}

// Makes the rename itself survive a power cut.
void sync_directory(const std::filesystem::path& directory)
{
    const Fd fd(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd || fsync(fd.get()) != 0)
        throw system_error("the folder cannot be synced", directory.string());
}

} // namespace

void write_atomically(const std::filesystem::path& file, const std::string& text, mode_t mode,
                      std::optional<gid_t> group)
{
    replace(file, text, mode, group, true);
    sync_directory(file.parent_path());
}

void write_at_once(const std::filesystem::path& file, const std::string& text, mode_t mode,
                   std::optional<gid_t> group)
{
    replace(file, text, mode, group, false);
}

Store::Store(std::filesystem::path root, const std::string& readers)
    : root_(std::move(root)),
      readers_(group_named(readers))
{
    make_directory(root_, 0755);
    make_directory(root_ / "guests", 0700);
    let_readers_read(root_ / "profiles");
    make_directory(root_ / "export", 0755);
    for (const char* folder : {"contradicting", "symbols", "export/isf"})
        if (std::filesystem::exists(root_ / folder))
            let_readers_read(root_ / folder);
}

// What is there may be of a time when others were to read it.
void Store::let_readers_read(const std::filesystem::path& folder) const
{
    make_profile_folder(folder);
    const gid_t group = readers_.value_or(getegid());
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (!entry.is_regular_file() || entry.path().filename().string().starts_with('.'))
            continue;
        if (chown(entry.path().c_str(), static_cast<uid_t>(-1), group) != 0 ||
            chmod(entry.path().c_str(), file_mode()) != 0)
            throw system_error("its mode and group cannot be set", entry.path().string());
    }
}

void Store::make_profile_folder(const std::filesystem::path& folder) const
{
    make_directory(folder, readers_ ? 0750 : 0755, readers_.value_or(getegid()));
}

void Store::write_profile(const std::filesystem::path& file, const Profile& profile) const
{
    write_atomically(file, to_text(to_json(profile), 2) + "\n", file_mode(), readers_);
}

Store Store::existing(std::filesystem::path root)
{
    return Store(std::move(root), ReadOnly{});
}

Stored Store::put_profile(const Profile& profile, bool had_news)
{
    const auto file = profile_file(profile.kernel_id);
    const auto old = this->profile(profile.kernel_id);
    if (!old) {
        write_profile(file, profile);
        return {Stored::written, file, {}};
    }
    auto objections = contradictions(*old, profile);
    if (!objections.empty())
        return put_contradicting(*old, profile, std::move(objections));
    const Profile joined = join(*old, profile, had_news);
    write_profile(file, joined); // that this boot agrees is worth knowing too
    return {has_news(*old, joined) ? Stored::improved : Stored::kept, file, {}};
}

// Which of the two is right cannot be told from one boot: those that contradict are collected as well.
Stored Store::put_contradicting(const Profile& old, const Profile& profile,
                                std::vector<std::string> objections)
{
    const auto file = profile_file(profile.kernel_id), beside = contradicting_file(profile.kernel_id);
    make_profile_folder(beside.parent_path());
    std::optional<Profile> others;
    try {
        others = contradicting(profile.kernel_id);
    } catch (const Error&) { // it is replaced
    }
    const Profile against = others && contradictions(*others, profile).empty() ? join(*others, profile) : profile;
    const bool newer = profile.provenance.engine > old.provenance.engine;
    if (newer || (against.confirmed() && !old.confirmed() &&
                  against.provenance.engine >= old.provenance.engine)) {
        write_profile(beside, old);
        write_profile(file, newer ? profile : against);
        return {Stored::replaced, file, std::move(objections)};
    }
    Profile contradicted = old;
    contradicted.provenance.contradicted += profile.provenance.boots;
    contradicted.provenance.without_news += profile.provenance.boots;
    write_profile(file, contradicted);
    write_profile(beside, against);
    return {Stored::refused, beside, std::move(objections)};
}

bool Store::forget_profile(const std::string& kernel_id)
{
    bool found = false;
    for (const auto& file : {profile_file(kernel_id), contradicting_file(kernel_id)}) {
        found |= std::filesystem::exists(file);
        remove_file(file);
    }
    return found;
}

void Store::remove_file(const std::filesystem::path& file) const
{
    std::error_code error;
    std::filesystem::remove(file, error);
    if (error)
        throw Error("cannot be removed: " + error.message(), file.string());
}

std::optional<std::string> Store::symbols(const std::string& kernel_id) const
{
    return text_of(symbols_file(kernel_id));
}

std::filesystem::path Store::symbols_file(const std::string& kernel_id) const
{
    return root_ / "symbols" / (file_name(kernel_id) + ".map");
}

void Store::put_symbols(const std::string& kernel_id, const std::string& text) const
{
    put_public(symbols_file(kernel_id), text);
    drop_symbols(most_spare_symbols);
}

void Store::forget_symbols() const
{
    drop_symbols(0);
}

// Of those that no profile belongs to, all but that many bytes, the newest. Others may do the same at the same time.
void Store::drop_symbols(std::uintmax_t kept) const
{
    std::error_code error;
    std::multimap<std::filesystem::file_time_type, std::filesystem::path, std::greater<>> spare;
    for (const auto& entry : std::filesystem::directory_iterator(root_ / "symbols", error))
        if (!std::filesystem::exists(profile_file(entry.path().stem().string())))
            spare.emplace(entry.last_write_time(error), entry.path());
    std::uintmax_t bytes = 0;
    for (const auto& [time, file] : spare)
        if (const auto size = std::filesystem::file_size(file, error); !error && (bytes += size) > kept)
            remove_file(file);
}

std::filesystem::path Store::isf_file(const std::string& kernel_id) const
{
    return export_folder() / "isf" / (file_name(kernel_id) + ".json");
}

std::filesystem::path Store::boot_folder(const std::string& guest) const
{
    return export_folder() / "guests" / file_name(guest);
}

std::optional<std::string> Store::text_of(const std::filesystem::path& file) const
{
    return read_text(file);
}

void Store::put_public(const std::filesystem::path& file, const std::string& text) const
{
    if (file.parent_path() != export_folder())
        make_profile_folder(file.parent_path());
    write_at_once(file, text, file_mode(), readers_);
}

void Store::put_private(const std::filesystem::path& file, const std::string& text) const
{
    if (file.parent_path() != export_folder()) {
        make_directory(export_folder() / "guests", 0700);
        make_directory(file.parent_path(), 0700);
    }
    write_at_once(file, text, 0600);
}

void Store::remove_boot(const std::string& guest) const
{
    std::error_code error;
    std::filesystem::remove_all(boot_folder(guest), error);
    if (error)
        throw Error("cannot be removed: " + error.message(), boot_folder(guest).string());
}

void Store::remove_boots() const
{
    std::error_code error;
    std::filesystem::remove_all(export_folder() / "guests", error);
    if (error)
        throw Error("cannot be removed: " + error.message(), (export_folder() / "guests").string());
}

Stored Store::put_deep(const std::string& kernel_id, const std::vector<ProfileMember>& members, const std::string& constraints)
{
    const auto file = profile_file(kernel_id);
    const auto old = profile(kernel_id);
    if (!old)
        throw Error("there is no profile to put deep members into", "kernel " + kernel_id);
    Profile fresh = *old;
    std::vector<std::string> objections;
    for (const ProfileMember& member : members) {
        const auto known =
            std::find_if(fresh.members.begin(), fresh.members.end(),
                         [&](const ProfileMember& other) { return other.qualified() == member.qualified(); });
        if (!member.usable() || (known != fresh.members.end() && !known->deep))
            continue;
        if (known == fresh.members.end()) {
            fresh.members.push_back(member);
            fresh.members.back().deep = true;
        } else if (auto joined = join_deep(*known, member)) {
            *known = std::move(*joined);
        } else if (known->usable()) {
            objections.push_back(known->qualified() + " is not where it was");
            known->state = LACUNA_CONTRADICTED;
            known->candidates.clear();
            known->remaining = 0;
        }
    }
    const bool news = fresh != *old;
    Provenance::Looks& looks = fresh.provenance.looks;
    looks.without_news = news || looks.constraints != constraints ? 0 : looks.without_news + 1;
    looks.constraints = constraints;
    looks.boots++;
    write_profile(file, fresh);
    return {news ? Stored::improved : Stored::kept, file, std::move(objections)};
}

std::optional<Profile> Store::profile(const std::string& kernel_id) const
{
    return read_profile(profile_file(kernel_id));
}

std::optional<Profile> Store::contradicting(const std::string& kernel_id) const
{
    return read_profile(contradicting_file(kernel_id));
}

std::vector<std::string> Store::kernels() const
{
    std::vector<std::string> ids;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(root_ / "profiles", error)) {
        if (entry.path().extension() != ".json" || entry.path().filename().string().starts_with('.'))
            continue;
        try {
            if (const auto profile = read_profile(entry.path()))
                ids.push_back(profile->kernel_id);
        } catch (const Error&) { // a damaged file of one kernel must not hide the others
        }
    }
    return ids;
}

std::filesystem::path Store::contradicting_file(const std::string& kernel_id) const
{
    return root_ / "contradicting" / (file_name(kernel_id) + ".json");
}

std::filesystem::path Store::profile_file(const std::string& kernel_id) const
{
    return root_ / "profiles" / (file_name(kernel_id) + ".json");
}

void Store::put_guest(const std::string& guest, const Json& facts)
{
    write_at_once(guest_file(guest), to_text(facts, 2) + "\n", 0600);
}

std::optional<Json> Store::guest(const std::string& guest) const
{
    return read_json(guest_file(guest));
}

std::filesystem::path Store::guest_file(const std::string& guest) const
{
    return root_ / "guests" / (file_name(guest) + ".json");
}

std::vector<Json> Store::guests() const
{
    std::vector<Json> all;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(root_ / "guests", error)) {
        if (entry.path().extension() != ".json" || entry.path().filename().string().starts_with('.'))
            continue;
        try {
            if (auto facts = read_json(entry.path()); facts && facts->is_object())
                all.push_back(std::move(*facts));
        } catch (const Error&) { // a damaged file of one guest must not hide the others
        }
    }
    return all;
}

void Store::forget_guests(std::chrono::hours after, std::size_t most) const
{
    const auto since = std::filesystem::file_time_type::clock::now() - after;
    std::error_code error;
    std::multimap<std::filesystem::file_time_type, std::filesystem::path> oldest_first;
    for (const auto& entry : std::filesystem::directory_iterator(root_ / "guests", error))
        if (entry.path().extension() == ".json")
            oldest_first.emplace(entry.last_write_time(error), entry.path());
    std::size_t left = oldest_first.size();
    for (const auto& [time, file] : oldest_first) {
        if (time > since && left <= most)
            break;
        try {
            const auto facts = read_json(file);
            if (facts && facts->is_object() && facts->value("state", "") == to_string(LACUNA_GUEST_GONE))
                left -= std::filesystem::remove(file, error) ? 1 : 0;
        } catch (const std::exception&) { // not written by us
        }
    }
}

} // namespace lacuna
