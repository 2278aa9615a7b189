// SPDX-License-Identifier: GPL-2.0-or-later
#include <fcntl.h>
#include <unistd.h>

#include "expect_error.h"
#include "running_vm.h"
#include "temporary_directory.h"

using namespace lacuna;

TEST(RunningVm, ThoseThatProcNames)
{
    const TemporaryDirectory proc;
    const auto file = [&](const std::string& process, const std::string& number, const std::string& target) {
        std::filesystem::create_directories(proc.path() / process / "fd");
        std::filesystem::create_symlink(target, proc.path() / process / "fd" / number);
    };
    file("40", "9", "anon_inode:kvm-vcpu:0");
    file("40", "8", "anon_inode:kvm-vm");
    file("41", "3", "/dev/kvm");
    file("self", "8", "anon_inode:kvm-vm");
    std::filesystem::create_directories(proc.path() / "42"); // a process that is going away
    const auto found = running_vms(proc.path());
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].vmm_pid, 40);
    EXPECT_EQ(found[0].number, 8);
    EXPECT_TRUE(running_vms(proc.path() / "none").empty());
}

TEST(RunningVm, AFileOfAProcessIsOpenedAsThatFile)
{
    const TemporaryDirectory folder;
    const std::string name = (folder.path() / "file").string();
    const Fd file(open(name.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600));
    const Fd same = open_vm({getpid(), file.get()});
    EXPECT_NE(same.get(), file.get());
    ASSERT_EQ(write(same.get(), "x", 1), 1);
    EXPECT_EQ(lseek(file.get(), 0, SEEK_CUR), 1); // one open file, not two
    EXPECT_ERROR(open_vm({getpid(), 99999}), "does not let us at its virtual machine");
    EXPECT_ERROR(open_vm({1 << 30, 3}), "cannot be looked into");
}
