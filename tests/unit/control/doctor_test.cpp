// SPDX-License-Identifier: GPL-2.0-or-later
#include <fstream>

#include <gtest/gtest.h>

#include "doctor.h"
#include "temporary_directory.h"

using namespace lacuna;

namespace {

// A host in a folder, on which everything but the daemon is as it should be.
class Doctor : public testing::Test {
protected:
    TemporaryDirectory folder;
    Examination examination;

    Doctor()
    {
        examination.root = folder.path();
        examination.config = "/etc/lacuna/lacunad.toml";
        examination.store = "/var/lib/lacuna";
        examination.kernel = "6.1";
        examination.socket = "/run/lacuna/lacunad.sock";
        for (const char* path :
             {"sys/module/kvm_amd", "sys/module/lacuna", "dev/kvm", "proc/sys/kernel", "run/libvirt", "boot",
              "etc/lacuna/constraints", "var/lib/lacuna/profiles", "var/lib/lacuna/guests"})
            std::filesystem::create_directories(folder.path() / path);
        std::filesystem::permissions(folder.path() / "var/lib/lacuna/guests",
                                     std::filesystem::perms::owner_all);
        put("proc/sys/kernel/ftrace_enabled", "1\n");
        put("run/libvirt/libvirt-sock-ro", "");
        put("boot/vmlinuz-6.1", "");
        put("var/lib/lacuna/profiles/6.1-1.json", "{}");
        put("etc/lacuna/lacunad.toml", "constraints = 'constraints'\n[[guest]]\nname = '*'\n");
    }

    void put(const std::string& path, const std::string& text)
    {
        std::ofstream(folder.path() / path) << text;
    }
    void remove(const std::string& path) { std::filesystem::remove_all(folder.path() / path); }

    // What is found about a subject, the last if there is more than one.
    Finding about(const std::string& subject)
    {
        Finding found;
        for (const Finding& finding : examine(examination))
            if (finding.subject == subject)
                found = finding;
        EXPECT_FALSE(found.subject.empty()) << subject;
        EXPECT_EQ(found.verdict == Finding::good, found.advice.empty()) << found.found;
        return found;
    }
};

} // namespace

TEST_F(Doctor, FindsNothingButTheDaemonMissing)
{
    for (const Finding& finding : examine(examination))
        EXPECT_EQ(finding.verdict, finding.subject == "daemon" ? Finding::bad : Finding::good)
            << finding.subject << ": " << finding.found;
    EXPECT_NE(about("daemon").advice.find("systemctl start lacunad"), std::string::npos);
    EXPECT_EQ(about("store").found, "/var/lib/lacuna: 1 profile(s)");
}

TEST_F(Doctor, OfAHostWithoutKvm)
{
    remove("dev/kvm");
    EXPECT_EQ(about("KVM").found, "is loaded, but there is no /dev/kvm");
    remove("sys/module/kvm_amd");
    EXPECT_NE(about("KVM").advice.find("modprobe kvm_intel"), std::string::npos);
}

TEST_F(Doctor, OfFtrace)
{
    put("proc/sys/kernel/ftrace_enabled", "0\n");
    EXPECT_EQ(about("ftrace").advice, "sysctl kernel.ftrace_enabled=1");
    remove("proc/sys/kernel/ftrace_enabled");
    EXPECT_EQ(about("ftrace").verdict, Finding::bad);
}

TEST_F(Doctor, OfTheModule)
{
    remove("sys/module/lacuna");
    std::filesystem::create_directories(folder.path() / "sys/kernel/security");
    put("sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
    EXPECT_NE(about("module").advice.find("lacuna-dkms"),
              std::string::npos); // no key helps what is not there
    std::filesystem::create_directories(folder.path() / "lib/modules/6.1/updates/dkms");
    put("lib/modules/6.1/updates/dkms/lacuna.ko", "");
    EXPECT_NE(about("module").advice.find("mokutil"), std::string::npos);
    remove("sys/kernel/security/lockdown");
    EXPECT_NE(about("module").advice.find("modprobe lacuna"), std::string::npos);
}

TEST_F(Doctor, OfTheConfiguration)
{
    put("etc/lacuna/lacunad.toml", "constraints = 'constraints'\n");
    EXPECT_EQ(about("configuration").verdict, Finding::doubtful);
    put("etc/lacuna/lacunad.toml", "stroe = 'x'\n");
    EXPECT_EQ(about("configuration").verdict, Finding::bad);
    EXPECT_NE(about("configuration").found.find("lacunad.toml:1: unknown key"), std::string::npos);
    remove("etc/lacuna/lacunad.toml");
    EXPECT_EQ(about("configuration").verdict, Finding::doubtful);
}

TEST_F(Doctor, OfLibvirtAndLibguestfs)
{
    remove("run/libvirt");
    remove("boot/vmlinuz-6.1");
    EXPECT_EQ(about("libvirt").verdict, Finding::doubtful);
    EXPECT_EQ(about("libguestfs").verdict, Finding::doubtful);
    put("etc/lacuna/lacunad.toml", "libvirt = ''\nconstraints = 'constraints'\n[[guest]]\nname = '*'\n");
    EXPECT_EQ(about("libvirt").verdict, Finding::good);
}

TEST_F(Doctor, OfTheStore)
{
    std::filesystem::create_directories(folder.path() / "var/lib/lacuna/contradicting");
    put("var/lib/lacuna/contradicting/6.1-1.json", "{}");
    bool told = false;
    for (const Finding& finding : examine(examination))
        told |= finding.subject == "store" && finding.verdict == Finding::doubtful;
    EXPECT_TRUE(told);
    std::filesystem::permissions(folder.path() / "var/lib/lacuna/guests", std::filesystem::perms::all);
    EXPECT_EQ(about("store").advice, "chmod 700 /var/lib/lacuna/guests");
    remove("var/lib/lacuna/guests");
    remove("var/lib/lacuna/profiles");
    EXPECT_NE(about("store").advice.find("is this the store?"), std::string::npos);
    remove("var/lib/lacuna");
    EXPECT_EQ(about("store").verdict, Finding::doubtful);
}
