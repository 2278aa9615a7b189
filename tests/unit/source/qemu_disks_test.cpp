// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include "qemu_disks.h"
#include "qemu_options.h"

using namespace lacuna;

namespace {

std::vector<Disk> disks(std::vector<std::string> arguments)
{
    arguments.insert(arguments.begin(), "qemu-system-x86_64");
    return qemu_disks(arguments, "/vm");
}

const Disk a_qcow2{"/srv/a.qcow2", "qcow2"};

} // namespace

TEST(QemuOptions, Lists)
{
    EXPECT_EQ(qemu_list("web,process=x", "guest").value("guest"), "web");
    EXPECT_EQ(qemu_list("process=x,guest=a,,b", "guest").value("guest"), "a,b");
    EXPECT_EQ(qemu_list("if=none,if=virtio", "file").value("if"), "virtio"); // the last one counts
    EXPECT_EQ(qemu_list("file=/a=b", "file").value("file"), "/a=b");
    EXPECT_EQ(qemu_list("", "file").value("if"), "");
    EXPECT_EQ(qemu_option("--name"), "name");
    EXPECT_EQ(qemu_option("-name"), "name");
    EXPECT_EQ(qemu_option("name"), "");
}

TEST(QemuDisks, OfOldOptions)
{
    EXPECT_EQ(disks({"-drive", "file=/srv/a.qcow2,if=virtio,format=qcow2"}), std::vector{a_qcow2});
    EXPECT_EQ(disks({"-drive", "file=a,,b.raw,format=raw"}), (std::vector<Disk>{{"/vm/a,b.raw", "raw"}}));
    EXPECT_EQ(disks({"-hda", "old.img"}), (std::vector<Disk>{{"/vm/old.img", ""}}));
    EXPECT_EQ(disks({"-drive", "if=pflash,format=raw,file=/code.fd"}), std::vector<Disk>{});
    EXPECT_EQ(disks({"-drive", "file=/a.iso,media=cdrom"}), std::vector<Disk>{});
    EXPECT_EQ(disks({"-drive", "if=none,id=empty"}), std::vector<Disk>{});
    EXPECT_EQ(disks({"-drive", "file=nbd://host/x,format=raw"}), std::vector<Disk>{});
    EXPECT_EQ(disks({"-drive"}), std::vector<Disk>{});
    EXPECT_EQ(disks({"-name", "-hda", "x"}), std::vector<Disk>{}); // "-hda" is the name
}

// As libvirt 9.0 (Debian 12) writes it.
TEST(QemuDisks, OfBlockNodes)
{
    const std::vector<std::string> nodes = {
        "-blockdev",
        R"({"driver":"file","filename":"/srv/base.raw","node-name":"libvirt-2-storage","read-only":true})",
        "-blockdev",
        R"({"node-name":"libvirt-2-format","read-only":true,"driver":"raw","file":"libvirt-2-storage"})",
        "-blockdev",
        R"({"driver":"file","filename":"/srv/a.qcow2","node-name":"libvirt-1-storage"})",
        "-blockdev",
        R"({"node-name":"libvirt-1-format","driver":"qcow2","file":"libvirt-1-storage","backing":"libvirt-2-format"})"};
    const auto with = [&](std::vector<std::string> device) {
        device.insert(device.begin(), nodes.begin(), nodes.end());
        return disks(device);
    };
    EXPECT_EQ(
        with({"-device", R"({"driver":"virtio-blk-pci","drive":"libvirt-1-format","id":"virtio-disk0"})"}),
        std::vector{a_qcow2});
    EXPECT_EQ(with({"-device", "virtio-blk-pci,drive=libvirt-1-format,id=virtio-disk0"}),
              std::vector{a_qcow2});
    EXPECT_EQ(with({"-device", "scsi-cd,drive=libvirt-1-format"}), std::vector<Disk>{});
    EXPECT_EQ(with({"-device", "virtio-blk-pci,drive=other"}), std::vector<Disk>{});
    EXPECT_EQ(with({}), std::vector<Disk>{}); // nobody uses them
}

// From libvirt 10.8 on a raw image has no format node of its own.
TEST(QemuDisks, OfBlockNodesWithoutFormat)
{
    EXPECT_EQ(disks({"-blockdev", R"({"driver":"host_device","filename":"/dev/vg/a","node-name":"s"})",
                     "-device", "virtio-blk-pci,drive=s"}),
              (std::vector<Disk>{{"/dev/vg/a", "raw"}}));
}

TEST(QemuDisks, OfBlockNodesInOneAnother)
{
    EXPECT_EQ(disks({"-blockdev", "driver=qcow2,node-name=d,file.driver=file,file.filename=/srv/a.qcow2",
                     "-device", "ide-hd,drive=d"}),
              std::vector{a_qcow2});
    EXPECT_EQ(disks({"-blockdev", "file,node-name=f,filename=/srv/a.qcow2", "-blockdev",
                     "throttle,node-name=t,file=q", "-blockdev", "qcow2,node-name=q,file=f", "-device",
                     "virtio-blk,drive=t"}),
              std::vector{a_qcow2});
}

// As deep as one argument of a process can be.
TEST(QemuDisks, DepthIsBounded)
{
    const std::size_t deep = 65000;
    std::string dots = "driver=file,node-name=a";
    for (std::size_t i = 0; i < deep; i++)
        dots += i ? ".a" : ",a";
    EXPECT_EQ(disks({"-blockdev", std::string(deep, '['), "-device",
                     std::string(deep, '[') + std::string(deep, ']')}),
              std::vector<Disk>{});
    std::string nested = "{\"node-name\":\"a\",\"x\":";
    for (std::size_t i = 0; i < deep / 8; i++)
        nested += "{\"x\":[";
    nested += "1";
    for (std::size_t i = 0; i < deep / 8; i++)
        nested += "]}";
    EXPECT_EQ(disks({"-blockdev", nested + "}", "-blockdev", dots + "=1", "-device", "x,drive=a"}),
              std::vector<Disk>{});
}

TEST(QemuDisks, NonsenseIsLeftOut)
{
    EXPECT_EQ(disks({"-blockdev", "{not json", "-device", "x,drive=a"}), std::vector<Disk>{});
    EXPECT_EQ(disks({"-blockdev", R"(["list"])", "-device", R"({"driver":5,"drive":{}})"}),
              std::vector<Disk>{});
    EXPECT_EQ(disks({"-blockdev", "driver=qcow2,node-name=a,file=a", "-device", "x,drive=a"}),
              std::vector<Disk>{});
    EXPECT_EQ(
        disks({"-blockdev", "driver=qcow2,node-name=a,file=b,file.driver=file", "-device", "x,drive=a"}),
        std::vector<Disk>{});
    EXPECT_EQ(disks({"-blockdev", "driver=rbd,node-name=a,pool=x", "-device", "x,drive=a"}),
              std::vector<Disk>{});
}
