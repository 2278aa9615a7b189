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

void write_at_once(const std::filesystem::path& file, const std::string& text, mode_t mode)
{
    replace(file, text, mode, std::nullopt, false);
}

Store::Store(std::filesystem::path root, const std::string& readers)
    : root_(std::move(root)),
      readers_(group_named(readers))
{
    make_directory(root_, 0755);
    make_directory(root_ / "guests", 0700);
    let_readers_read(root_ / "profiles");
    if (std::filesystem::exists(root_ / "contradicting"))
        let_readers_read(root_ / "contradicting");
}

// What is there may be of a time when others were to read it.
void Store::let_readers_read(const std::filesystem::path& folder) const
{
    make_profile_folder(folder);
    const gid_t group = readers_.value_or(getegid());
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
        if (!entry.is_regular_file() || entry.path().extension() != ".json")
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

Stored Store::put_profile(const Profile& profile)
{
    const auto file = profile_file(profile.kernel_id);
    const auto old = this->profile(profile.kernel_id);
    if (!old) {
        write_profile(file, profile);
        return {Stored::written, file, {}};
    }
    auto objections = contradictions(*old, profile);
    if (!objections.empty()) {
        const auto beside = root_ / "contradicting" / file.filename();
        make_profile_folder(beside.parent_path());
        write_profile(beside, profile);
        return {Stored::refused, beside, std::move(objections)};
    }
    const Profile joined = join(*old, profile);
    if (joined == *old)
        return {Stored::kept, file, {}};
    write_profile(file, joined);
    return {Stored::improved, file, {}};
}

Stored Store::put_deep(const std::string& kernel_id, const std::vector<ProfileMember>& members)
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
    if (fresh == *old)
        return {Stored::kept, file, {}};
    write_profile(file, fresh);
    return {Stored::improved, file, std::move(objections)};
}

std::optional<Profile> Store::profile(const std::string& kernel_id) const
{
    const auto file = profile_file(kernel_id);
    const auto json = read_json(file);
    return json ? std::optional(profile_from_json(*json, file.string())) : std::nullopt;
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

void Store::forget_guests(std::chrono::hours after) const
{
    const auto since = std::filesystem::file_time_type::clock::now() - after;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(root_ / "guests", error)) {
        if (entry.path().extension() != ".json" || entry.last_write_time(error) > since)
            continue;
        try {
            const auto facts = read_json(entry.path());
            if (facts && facts->is_object() && facts->value("state", "") == to_string(LACUNA_GUEST_GONE))
                std::filesystem::remove(entry.path(), error);
        } catch (const std::exception&) { // not written by us
        }
    }
}

} // namespace lacuna
