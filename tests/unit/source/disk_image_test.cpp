// SPDX-License-Identifier: GPL-2.0-or-later
//
// Slow: starts libguestfs' appliance for each test. Needs mke2fs, sfdisk and qemu-img.
#include "disk_image.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <set>

#include <gtest/gtest.h>

#include "expect_error.h"
#include "payload.h"
#include "temporary_directory.h"

namespace lacuna {
namespace {

class DiskImage : public testing::Test {
protected:
    void write(const std::string& path, const std::string& text)
    {
        const auto file = directory.path() / path;
        std::filesystem::create_directories(file.parent_path());
        std::ofstream(file) << text;
    }
    void run(const std::string& command)
    {
        const std::string in_directory =
            "cd '" + directory.path().string() + "' && PATH=$PATH:/sbin:/usr/sbin && " + command;
        ASSERT_EQ(std::system(in_directory.c_str()), 0) << command;
    }
    std::string text(const std::filesystem::path& path)
    {
        const Bytes bytes = read_file(path);
        return {bytes.begin(), bytes.end()};
    }

    TemporaryDirectory directory;
    std::filesystem::path out = directory.path() / "out";

    void SetUp() override { std::filesystem::create_directory(out); }
};

TEST_F(DiskImage, FindsEveryKernelAlsoOnASeparateBoot)
{
    write("boot/vmlinuz-6.1.0-1-amd64", "kernel one");
    write("boot/System.map-6.1.0-1-amd64", "map one");
    write("boot/vmlinuz-6.1.0-2-amd64", "kernel two");
    write("boot/initrd.img-6.1.0-2-amd64", "no kernel");
    write("root/boot/vmlinuz-left-over", "kernel three");
    write("root/usr/lib/modules/7.3.4/vmlinuz", "kernel four");
    run("ln -s usr/lib root/lib && ln -s boot/vmlinuz-left-over root/vmlinuz-link");
    run("truncate -s 48M disk.raw && printf 'label: gpt\\nstart=2048,size=32768\\nstart=34816,size=32768\\n' "
        "| "
        "sfdisk -q disk.raw && mke2fs -q -t ext4 -d boot -E offset=1048576 disk.raw 16M && "
        "mke2fs -q -t ext4 -d root -E offset=17825792 disk.raw 16M && qemu-img convert -O qcow2 disk.raw "
        "disk.qcow2");
    std::vector<std::string> told;
    const auto kernels = copy_kernels({{directory.path() / "disk.qcow2", "qcow2"}}, out,
                                      [&](const std::string& what) { told.push_back(what); });
    std::vector<std::string> found;
    for (const ImageKernel& kernel : kernels)
        found.push_back(kernel.guest_path + "=" + text(kernel.vmlinuz) + "=" +
                        (kernel.system_map ? text(*kernel.system_map) : "none"));
    std::sort(found.begin(), found.end());
    EXPECT_EQ(found, (std::vector<std::string>{"/boot/vmlinuz-left-over=kernel three=none",
                                               "/usr/lib/modules/7.3.4/vmlinuz=kernel four=none",
                                               "/vmlinuz-6.1.0-1-amd64=kernel one=map one",
                                               "/vmlinuz-6.1.0-2-amd64=kernel two=none"}));
    EXPECT_GE(told.size(), 2u) << "it takes long: the person must see why";
}

TEST_F(DiskImage, FindsKernelsWhereOtherSystemsHaveThem)
{
    const std::string machine = "0123456789abcdef0123456789abcdef";
    write("root/EFI/Linux/arch-linux.efi", "unified");
    write("root/EFI/Linux/readme.txt", "no kernel");
    write("root/EFI/nixos/abc-linux-6.12-bzImage.efi", "nixos");
    write("root/EFI/nixos/abc-initrd-linux-6.12-initrd.efi", "no kernel");
    write("root/" + machine + "/6.12.1/linux", "by the specification");
    write("root/" + machine + "/6.12.1/initrd", "no kernel");
    write("root/ostree/fedora-0123/vmlinuz-6.11", "ostree");
    write("root/opensuse/6.17/linux-0123", "by an entry");
    write("root/opensuse/6.17/System.map-0123", "its map");
    write("root/loader/entries/opensuse.conf", "title openSUSE\nlinux /opensuse/6.17/linux-0123\noptions root=/dev/vda2\n");
    write("root/isolinux/kernel.bin", "by GRUB");
    write("root/grub/grub.cfg", "menuentry 'A' {\n\tlinux   /isolinux/kernel.bin quiet\n\tlinux /is/not/there\n\tlinux ($root)/x\n}\n");
    write("root/extlinux/extlinux.conf", "LABEL lts\n  LINUX ../lts.img\n");
    write("root/lts.img", "by EXTLINUX");
    run("truncate -s 129M root/EFI/Linux/arch-linux-fallback.efi && mke2fs -q -t ext4 -d root disk.raw 16M");
    std::vector<std::string> found;
    for (const ImageKernel& kernel : copy_kernels({{directory.path() / "disk.raw", "raw"}}, out))
        found.push_back(kernel.guest_path + "=" + text(kernel.vmlinuz) + (kernel.system_map ? "=" + text(*kernel.system_map) : ""));
    EXPECT_EQ(found, (std::vector<std::string>{"/" + machine + "/6.12.1/linux=by the specification",
                                               "/EFI/Linux/arch-linux.efi=unified",
                                               "/EFI/nixos/abc-linux-6.12-bzImage.efi=nixos",
                                               "/isolinux/kernel.bin=by GRUB", "/lts.img=by EXTLINUX",
                                               "/opensuse/6.17/linux-0123=by an entry=its map",
                                               "/ostree/fedora-0123/vmlinuz-6.11=ostree"}));
}

TEST_F(DiskImage, WithoutAKernelSaysSo)
{
    write("root/etc/hostname", "guest");
    run("mke2fs -q -t ext4 -d root disk.raw 16M");
    EXPECT_ERROR(copy_kernels({{directory.path() / "disk.raw", "raw"}}, out), "disk.raw: holds no kernel");
}

TEST_F(DiskImage, OfGarbageSaysSo)
{
    run("yes garbage | head -c 1M > disk.raw");
    EXPECT_ERROR(copy_kernels({{directory.path() / "disk.raw", ""}}, out), "disk.raw: holds no file system");
    EXPECT_ERROR(copy_kernels({{directory.path() / "disk.raw", "qcow2"}}, out), "disk.raw:");
    EXPECT_ERROR(copy_kernels({{directory.path() / "missing.raw", ""}}, out), "no such file");
}

TEST_F(DiskImage, SaysWhatIsReadOfBeforeItIsRead)
{
    write("root/boot/vmlinuz", "kernel");
    run("mke2fs -q -t ext4 -d root base.raw 16M && qemu-img create -q -f qcow2 -b base.raw -F raw top.qcow2");
    std::set<std::string> files;
    const auto refuse = [&](const std::vector<OpenFile>& opened) {
        for (const OpenFile& file : opened)
            files.insert(file.path.filename());
        throw Error("may not be read", "base.raw");
    };
    EXPECT_ERROR(copy_kernels({{directory.path() / "top.qcow2", "qcow2"}}, out, {}, std::chrono::minutes(10), {}, refuse),
                 "base.raw: may not be read");
    EXPECT_EQ(files, (std::set<std::string>{"base.raw", "top.qcow2"}));
    EXPECT_TRUE(std::filesystem::is_empty(out));
}

TEST_F(DiskImage, TakesNoLongerThanItMay)
{
    run("truncate -s 8M disk.raw");
    EXPECT_ERROR(copy_kernels({{directory.path() / "disk.raw", "raw"}}, out, {}, std::chrono::seconds(1)),
                 "disk.raw: could not be read within 1 s");
}

} // namespace
} // namespace lacuna
