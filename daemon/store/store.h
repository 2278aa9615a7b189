// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "profile.h"

namespace lacuna {

// Writes the file whole or not at all: a temporary file beside it, fsync, rename. `group`: the file's; none:
// as the system gives it. Throws Error.
void write_atomically(const std::filesystem::path& file, const std::string& text, mode_t mode,
                      std::optional<gid_t> group = std::nullopt);
// The same without fsync, which may take a busy disk seconds: for what is worth nothing after a power cut.
void write_at_once(const std::filesystem::path& file, const std::string& text, mode_t mode);

// What became of a profile that was given to the store.
struct Stored {
    enum Outcome {
        written,  // it is the first of its kernel
        improved, // it resolved what the old one had not
        kept,     // it says nothing new
        refused,  // it contradicts the old one, which stays; written to contradicting/ instead
    } outcome;
    std::filesystem::path file;          // where the fresh profile lies, or the old one that was kept
    std::vector<std::string> objections; // if refused: one sentence per member
};

// <root>/profiles/<kernel id>.json       0755/0644: VMI tools read them; 0750/0640 where a group is named for
// that <root>/contradicting/<kernel id>.json  the same; a profile that was refused, for a person to look at
// <root>/guests/<guest>.json             0700/0600: addresses of one boot defeat KASLR
class Store {
public:
    // Creates the folders. `readers`: the group that may read profiles; empty: everybody. Throws Error.
    explicit Store(std::filesystem::path root, const std::string& readers = {});

    // For reading only: creates nothing.
    static Store existing(std::filesystem::path root);

    Stored put_profile(const Profile& profile);
    // Puts deep members beside what the profile says already. Where two looks do not agree on one, it is
    // contradicted from then on: which of them is right cannot be known. Throws Error if there is no profile
    // of this kernel.
    Stored put_deep(const std::string& kernel_id, const std::vector<ProfileMember>& members);
    std::optional<Profile> profile(const std::string& kernel_id) const;
    std::filesystem::path profile_file(const std::string& kernel_id) const;

    void put_guest(const std::string& guest, const Json& facts);
    std::optional<Json> guest(const std::string& guest) const;
    std::filesystem::path guest_file(const std::string& guest) const;
    // The facts of all guests; files that cannot be read are left out.
    std::vector<Json> guests() const;
    // Removes the facts of guests that have been gone for so long.
    void forget_guests(std::chrono::hours after) const;

private:
    struct ReadOnly {};
    Store(std::filesystem::path root, ReadOnly) : root_(std::move(root)) {}

    void write_profile(const std::filesystem::path& file, const Profile& profile) const;
    void make_profile_folder(const std::filesystem::path& folder) const;
    void let_readers_read(const std::filesystem::path& folder) const;
    mode_t file_mode() const { return readers_ ? 0640 : 0644; }

    std::filesystem::path root_;
    std::optional<gid_t> readers_; // none: everybody
};

} // namespace lacuna
