// SPDX-License-Identifier: GPL-2.0-or-later
#include <fstream>

#include <gtest/gtest.h>

#include "domain.h"
#include "expect_error.h"
#include "temporary_directory.h"

using namespace lacuna;

TEST(Domain, NameKernelAndDisks)
{
    const Domain domain = parse_domain(R"(<!-- edited with virsh -->
<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>web &amp; co</name>
  <uuid>5a1c0de0-0000-4000-8000-000000000001</uuid>
  <os><type>hvm</type><kernel>/srv/vmlinuz</kernel></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='/srv/b.qcow2'/><target dev='vda'/>
    </disk>
    <disk type='block'><source dev='/dev/vg/a'/></disk>
    <disk type='file' device='cdrom'><source file='/srv/a.iso'/></disk>
    <disk type='file' device='floppy'><source file='/srv/a.img'/></disk>
    <disk type='network' device='disk'><source protocol='rbd' name='pool/x'/></disk>
    <disk type='file' device='disk'><driver type='raw'/></disk>
    <disk type='volume'><driver type='qcow2'/><source pool='default' volume='c.qcow2'/></disk>
    <disk type='volume' device='cdrom'><source pool='default' volume='d.iso'/></disk>
  </devices>
</domain>)",
                                       "test");
    EXPECT_EQ(domain.name, "web & co");
    EXPECT_EQ(domain.uuid, "5a1c0de0-0000-4000-8000-000000000001");
    EXPECT_EQ(domain.kernel, "/srv/vmlinuz");
    EXPECT_EQ(domain.disks, (std::vector<Disk>{{"/dev/vg/a", "raw"}, {"/srv/b.qcow2", "qcow2"}}));
    EXPECT_EQ(domain.volumes, (std::vector<Volume>{{"default", "c.qcow2", "qcow2"}}));
}

TEST(Domain, WithoutKernelAndDisks)
{
    const Domain domain = parse_domain("<domain><name>a</name></domain>", "test");
    EXPECT_EQ(domain.name, "a");
    EXPECT_FALSE(domain.kernel);
    EXPECT_EQ(domain.disks, std::vector<Disk>{});
}

TEST(Domain, ErrorsNameTheSource)
{
    EXPECT_ERROR(parse_domain("<domain>", "a.xml"), "a.xml: is no domain of libvirt: ");
    EXPECT_ERROR(parse_domain("<network><name>a</name></network>", "a.xml"),
                 "a.xml: is no domain of libvirt: no <domain>");
    EXPECT_ERROR(parse_domain("", "a.xml"), "a.xml: is no domain of libvirt");
}

TEST(Domain, ThoseOfAFolder)
{
    const TemporaryDirectory folder;
    std::filesystem::create_directories(folder.path() / "autostart");
    std::ofstream(folder.path() / "a.xml") << "<domain><name>a</name></domain>";
    std::ofstream(folder.path() / "bad.xml") << "<domain>";
    std::ofstream(folder.path() / "a.xml.bak") << "<domain><name>b</name></domain>";
    std::ofstream(folder.path() / "autostart" / "c.xml") << "<domain><name>c</name></domain>";
    const auto domains = defined_domains(folder.path());
    ASSERT_EQ(domains.size(), 1u);
    EXPECT_EQ(domains[0].name, "a");
    EXPECT_EQ(defined_domains(folder.path() / "none"), std::vector<Domain>{});
}
