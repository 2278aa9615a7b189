// SPDX-License-Identifier: GPL-2.0-or-later
#include "file_access.h"

#include <cerrno>
#include <fstream>

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "expect_error.h"
#include "frozen_file.h"
#include "kernel_source.h"
#include "temporary_directory.h"

using namespace lacuna;

namespace {

const FileUser somebody{4711, 4712, {4713}};

class FileAccess : public testing::Test {
protected:
    FileAccess() { chmod(folder.path().c_str(), 0755); }

    std::filesystem::path file(const std::string& name, mode_t mode, gid_t group = 0)
    {
        const auto path = folder.path() / name;
        std::filesystem::create_directories(path.parent_path());
        std::ofstream(path) << "no kernel";
        EXPECT_TRUE(geteuid() != 0 || chown(path.c_str(), 0, group) == 0);
        EXPECT_EQ(chmod(path.c_str(), mode), 0);
        return path;
    }
    static bool readable(const std::filesystem::path& path)
    {
        try {
            const FrozenFile read(path, 4096, somebody);
            return true;
        } catch (const Error& error) {
            EXPECT_NE(std::string(error.what()).find("may not be read by user 4711"), std::string::npos) << error.what();
            return false;
        }
    }
    // A process that looks like this in /proc.
    std::filesystem::path process(const std::string& status, mode_t program = 0755)
    {
        file("proc/exe", program);
        std::ofstream(folder.path() / "proc/status") << status;
        return folder.path() / "proc";
    }

    TemporaryDirectory folder;
};

} // namespace

TEST_F(FileAccess, WhatTheUserMayNotReadIsNotReadForThem)
{
    if (geteuid() != 0) { // whoever may not become another must not read for another
        EXPECT_ERROR(FrozenFile(file("open", 0644), 4096, somebody), "may not open files as user 4711");
        return;
    }
    EXPECT_FALSE(readable(file("secret", 0600)));
    EXPECT_FALSE(readable(file("of-roots-group", 0640)));
    EXPECT_TRUE(readable(file("open", 0644)));
    EXPECT_TRUE(readable(file("of-the-group", 0640, 4712)));
    EXPECT_TRUE(readable(file("of-another-group", 0640, 4713)));
    const auto hidden = file("closed/open", 0644);
    chmod(hidden.parent_path().c_str(), 0700);
    EXPECT_FALSE(readable(hidden));
    std::filesystem::create_symlink(hidden, folder.path() / "link");
    EXPECT_FALSE(readable(folder.path() / "link"));
    EXPECT_ERROR(SourceReader()({hidden, {}, {}, somebody}), "open: may not be read by user 4711");
    EXPECT_ERROR(SourceReader()({{}, {}, {{hidden, "raw"}}, somebody}), "open: may not be read by user 4711");
    EXPECT_NO_THROW(FrozenFile(hidden, 4096)); // this thread is itself again
    EXPECT_NO_THROW(FrozenFile(hidden, 4096, FileUser{0, 0, {}}));
}

TEST_F(FileAccess, AFileIsWhatItIsNotHowItIsCalled)
{
    const auto one = file("one", 0644), other = file("other", 0644);
    struct stat status {};
    ASSERT_EQ(stat(one.c_str(), &status), 0);
    const FileUser self{geteuid(), getegid(), {}};
    EXPECT_TRUE(may_read(self, one, status.st_dev, status.st_ino));
    EXPECT_FALSE(may_read(self, other, status.st_dev, status.st_ino));
    EXPECT_FALSE(may_read(self, folder.path() / "gone", status.st_dev, status.st_ino));
}

TEST_F(FileAccess, WhoseProcessItIs)
{
    const FileUser nobody;
    EXPECT_EQ(file_user_of("/proc/self").user, geteuid());
    EXPECT_EQ(file_user_of("/proc/self").group, getegid());
    const std::string ids = "Uid:\t7\t7\t7\t7\nGid:\t8\t8\t8\t8\nGroups:\t9 10 \n";
    EXPECT_EQ(file_user_of(process(ids)), (FileUser{7, 8, {9, 10}}));
    EXPECT_EQ(file_user_of(process(ids, 04755)), nobody);
    EXPECT_EQ(file_user_of(process("Uid:\t7\t0\t0\t0\nGid:\t8\t8\t8\t8\nGroups:\t\n")), nobody);
    EXPECT_EQ(file_user_of(process("Uid:\t7\t7\t7\t7\nGid:\t8\t0\t0\t0\nGroups:\t\n")), nobody);
    EXPECT_EQ(file_user_of(process("")), nobody);
    EXPECT_EQ(file_user_of(folder.path() / "gone"), nobody);
}

// In a process of its own, which may not get anything anew by executing a program, as the service may not.
TEST_F(FileAccess, WhatLibguestfsStartsHasCapabilitiesForFilesAlone)
{
    const pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        keep_file_capabilities();
        // CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
        execl("/bin/sh", "sh", "-c", "grep -Eq '^CapPrm:\\s0{15}[0f]$' /proc/self/status", nullptr);
        _exit(127);
    }
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}
