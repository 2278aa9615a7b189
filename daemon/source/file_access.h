// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <compare>
#include <filesystem>
#include <vector>

#include <sys/types.h>

#include "error.h"
#include "fd.h"

namespace lacuna {

// What decides which files a process may open, besides capabilities.
struct FileUser {
    uid_t user = 65534; // nobody, in groups of nobody's
    gid_t group = 65534;
    std::vector<gid_t> groups;

    auto operator<=>(const FileUser&) const = default;
};

// That of the process behind a folder of /proc. Nobody if that cannot be told, or if the process acts for one user with the
// rights of another (set-user-ID): its arguments are the former's, and need not be what the latter would open.
FileUser file_user_of(const std::filesystem::path& process);

// As long as it lives, files are opened by this thread as by that user: root's rights do not count, unless it is root.
class ActingAs {
public:
    // Throws Error if this process may not do so.
    explicit ActingAs(const FileUser& user);
    ~ActingAs();
    ActingAs(const ActingAs&) = delete;
    ActingAs& operator=(const ActingAs&) = delete;

private:
    void back() const;

    bool changed_ = false;
    std::vector<gid_t> groups_; // this thread's own
};

// Opens a file for reading as that user would; nothing, and errno, if they may not. Throws as ActingAs does.
Fd open_as(const FileUser& user, const std::filesystem::path& path);
// Whether the user may open this path, and finds that very file there.
bool may_read(const FileUser& user, const std::filesystem::path& path, dev_t device, ino_t inode);

// The error that says that they may not.
Error not_for(const FileUser& user, const std::string& path);

// Gives up, for this thread and what it executes (unless that may get them anew, see PR_SET_NO_NEW_PRIVS), all capabilities
// but those for files: it starts programs that handle what a guest has written.
void keep_file_capabilities();

} // namespace lacuna
