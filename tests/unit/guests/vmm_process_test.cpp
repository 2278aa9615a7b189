// SPDX-License-Identifier: GPL-2.0-or-later
#include <fstream>

#include <gtest/gtest.h>

#include "temporary_directory.h"
#include "vmm_process.h"

using namespace lacuna;

TEST(VmmProcess, NamesAsQemuTakesThem)
{
    const auto name = [](const std::vector<std::string>& options) {
        std::vector<std::string> arguments{"qemu-system-x86_64"};
        arguments.insert(arguments.end(), options.begin(), options.end());
        return describe_vmm(7, arguments, "/").name;
    };
    EXPECT_EQ(name({"-name", "web1"}), "web1");
    EXPECT_EQ(name({"-name", "web1,process=qemu:web1"}), "web1");
    EXPECT_EQ(name({"-name", "guest=web1,debug-threads=on"}), "web1");
    EXPECT_EQ(name({"-name", "debug-threads=on,guest=web1"}), "web1");
    EXPECT_EQ(name({"--name", "web1"}), "web1");
    EXPECT_EQ(name({"-name", "guest=a,,b"}), "a,b");
    EXPECT_EQ(name({"-uuid", "-name", "x"}), "vm-7"); // that is the value of -uuid
    EXPECT_EQ(name({"-m", "1G"}), "vm-7");
    EXPECT_EQ(name({"-name"}), "vm-7");
    EXPECT_EQ(name({}), "vm-7");
}

TEST(VmmProcess, UuidAndKernel)
{
    const auto vmm =
        describe_vmm(7, {"qemu", "-uuid", "1-2", "-kernel", "boot/vmlinuz", "-append", "quiet"}, "/home/me");
    EXPECT_EQ(vmm.uuid, "1-2");
    EXPECT_EQ(vmm.kernel, "/home/me/boot/vmlinuz");
    EXPECT_EQ(describe_vmm(7, {"qemu", "-kernel", "/boot/vmlinuz"}, "/home/me").kernel, "/boot/vmlinuz");
    EXPECT_FALSE(describe_vmm(7, {"qemu"}, "/").kernel);
    EXPECT_FALSE(describe_vmm(7, {}, "/").kernel);
}

TEST(VmmProcess, ReadsProc)
{
    const TemporaryDirectory proc;
    std::filesystem::create_directories(proc.path() / "42");
    std::filesystem::create_directory_symlink("/srv/vm", proc.path() / "42" / "cwd");
    const char cmdline[] = "qemu\0-name\0guest=db,x=y\0-kernel\0vmlinuz";
    std::ofstream(proc.path() / "42" / "cmdline", std::ios::binary).write(cmdline, sizeof(cmdline));
    std::ofstream(proc.path() / "42" / "status") << "Name:\tqemu\nPid:\t42\nPPid:\t41\n";
    const auto vmm = find_vmm(42, proc.path());
    EXPECT_EQ(vmm.parent, 41);
    EXPECT_EQ(vmm.pid, 42);
    EXPECT_EQ(vmm.name, "db");
    EXPECT_EQ(vmm.kernel, "/srv/vm/vmlinuz");
    EXPECT_EQ(find_vmm(43, proc.path()).name, "vm-43"); // gone
}

TEST(VmmProcess, ArgumentsWithoutEndAreNotRead)
{
    const TemporaryDirectory proc;
    std::filesystem::create_directories(proc.path() / "42");
    const auto file = proc.path() / "42" / "cmdline";
    const char cmdline[] = "qemu\0-name\0guest=db";
    std::ofstream(file, std::ios::binary).write(cmdline, sizeof(cmdline));
    for (const std::uintmax_t size : {std::uintmax_t{1} << 40, std::uintmax_t{1} << 20}) { // all of it empty arguments
        std::filesystem::resize_file(file, size);
        const auto vmm = find_vmm(42, proc.path());
        EXPECT_EQ(vmm.name, "vm-42");
        EXPECT_TRUE(vmm.command.empty());
    }
    std::filesystem::resize_file(file, sizeof(cmdline));
    EXPECT_EQ(find_vmm(42, proc.path()).name, "db");
}
