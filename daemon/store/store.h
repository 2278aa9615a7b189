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
void write_at_once(const std::filesystem::path& file, const std::string& text, mode_t mode,
                   std::optional<gid_t> group = std::nullopt);

// What became of a profile that was given to the store.
struct Stored {
    enum Outcome {
        written,  // it is the first of its kernel
        improved, // it settled what the old one had not
        kept,     // it says nothing new
        refused,  // it contradicts the old one, which stays; written to contradicting/ instead
        replaced, // it contradicts the old one, but has more behind it; the old one lies in contradicting/ now
    } outcome;
    std::filesystem::path file;          // where the fresh profile lies, or the old one that was kept
    std::vector<std::string> objections; // if refused or replaced: one sentence per member
};

// <root>/profiles/<kernel id>.json       0755/0644: VMI tools read them; 0750/0640 where a group is named for
// that <root>/contradicting/<kernel id>.json  the same; of two that contradict each other the one that does not count
// <root>/symbols/<kernel id>.map              the same; what its image says, at link-time addresses
// <root>/export/                              0755; isf/ and banners.json the same as profiles, the rest 0700/0600
// <root>/guests/<guest>.json             0700/0600: addresses of one boot defeat KASLR
class Store {
public:
    // Creates the folders. `readers`: the group that may read profiles; empty: everybody. Throws Error.
    explicit Store(std::filesystem::path root, const std::string& readers = {});

    // For reading only: creates nothing.
    static Store existing(std::filesystem::path root);

    // What contradicts a stored profile takes its place if a newer engine has found it, or once several boots have
    // agreed on it of which that one had a single one.
    // `had_news`: see join().
    Stored put_profile(const Profile& profile, bool had_news = false);
    // Removes all that is kept of the kernel. Returns whether there was anything.
    bool forget_profile(const std::string& kernel_id);
    // The one that contradicts the kernel's profile, if there is one.
    std::optional<Profile> contradicting(const std::string& kernel_id) const;
    // The ids of all kernels that have a profile.
    std::vector<std::string> kernels() const;
    // Puts deep members beside what the profile says already. Where two looks do not agree on one, it is
    // contradicted from then on: which of them is right cannot be known. Throws Error if there is no profile
    // of this kernel. `constraints`: their digest.
    Stored put_deep(const std::string& kernel_id, const std::vector<ProfileMember>& members, const std::string& constraints);
    std::optional<Profile> profile(const std::string& kernel_id) const;
    std::filesystem::path profile_file(const std::string& kernel_id) const;

    // The kernel's symbols as a text like System.map's; nothing: its image has not been read since such are kept.
    std::optional<std::string> symbols(const std::string& kernel_id) const;
    // May be called from any thread, also of a copy. Of kernels that have no profile, as not all of a disk will ever run, only the newest
    // symbols stay, up to this many bytes.
    static constexpr std::uintmax_t most_spare_symbols = 256 << 20;
    void put_symbols(const std::string& kernel_id, const std::string& text) const;
    // Those of kernels that have no profile go: whoever has such a kernel reads it again.
    void forget_symbols() const;

    void put_guest(const std::string& guest, const Json& facts);
    std::optional<Json> guest(const std::string& guest) const;
    std::filesystem::path guest_file(const std::string& guest) const;
    // The facts of all guests; files that cannot be read are left out.
    std::vector<Json> guests() const;
    // Removes the facts of guests that have been gone for so long, and those gone longest where there are more guests than that.
    void forget_guests(std::chrono::hours after, std::size_t most) const;

    // ---- the forms that other tools read: what is in them is for exports.h to say ----

    std::filesystem::path export_folder() const { return root_ / "export"; }
    std::filesystem::path symbols_file(const std::string& kernel_id) const;
    std::filesystem::path isf_file(const std::string& kernel_id) const;
    std::filesystem::path boot_folder(const std::string& guest) const;
    std::optional<std::string> text_of(const std::filesystem::path& file) const;
    // For those who may read profiles, and for root alone. Not durable: they can be made again.
    void put_public(const std::filesystem::path& file, const std::string& text) const;
    void put_private(const std::filesystem::path& file, const std::string& text) const;
    void remove_file(const std::filesystem::path& file) const;
    void remove_boot(const std::string& guest) const;
    void remove_boots() const;

private:
    struct ReadOnly {};
    Store(std::filesystem::path root, ReadOnly) : root_(std::move(root)) {}

    std::filesystem::path contradicting_file(const std::string& kernel_id) const;
    Stored put_contradicting(const Profile& old, const Profile& profile, std::vector<std::string> objections);
    void drop_symbols(std::uintmax_t kept) const;
    void write_profile(const std::filesystem::path& file, const Profile& profile) const;
    void make_profile_folder(const std::filesystem::path& folder) const;
    void let_readers_read(const std::filesystem::path& folder) const;
    mode_t file_mode() const { return readers_ ? 0640 : 0644; }

    std::filesystem::path root_;
    std::optional<gid_t> readers_; // none: everybody
};

} // namespace lacuna
