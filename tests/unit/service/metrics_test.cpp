// SPDX-License-Identifier: GPL-2.0-or-later
#include <string>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "constraint_set.h"
#include "expect_error.h"
#include "fake_module.h"
#include "metrics.h"
#include "temporary_directory.h"

using namespace lacuna;

namespace {

// A port of this host that nobody listens at.
std::uint16_t free_port()
{
    const Fd fd(socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address));
    socklen_t size = sizeof(address);
    getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size);
    return ntohs(address.sin_port);
}

std::string fetch(std::uint16_t port)
{
    const Fd fd(socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    const std::string request = "GET /metrics HTTP/1.0\r\n\r\n";
    EXPECT_EQ(write(fd.get(), request.data(), request.size()), static_cast<ssize_t>(request.size()));
    std::string answer;
    char buffer[4096];
    for (ssize_t n; (n = read(fd.get(), buffer, sizeof(buffer))) > 0;)
        answer.append(buffer, static_cast<std::size_t>(n));
    return answer;
}

} // namespace

TEST(Metrics, TellHowThingsStand)
{
    const TemporaryDirectory folder;
    FakeModule module;
    KernelLibrary library(
        [](const KernelSource&, std::stop_token) { return std::vector<KernelDescriptor>{fake_kernel("k")}; });
    Config config;
    config.store = folder.path();
    Host host;
    host.find_vmm = [](pid_t pid) { return describe_vmm(pid, {"qemu", "-name", "web"}, "/"); };
    host.running_vms = [] { return std::vector<RunningVm>(); };
    Supervisor supervisor(config, load_constraints(LACUNA_CONSTRAINTS), library, host);
    supervisor.connected(module.connect());
    const auto port = free_port();
    Metrics metrics("127.0.0.1:" + std::to_string(port));

    GuestReport report;
    report.guest = 1;
    report.vmm_pid = 77;
    report.state = LACUNA_GUEST_TRAPPING;
    report.stats.emplace();
    report.stats->traps[LACUNA_SITE_FORK] = 20;
    report.stats->hook_ns_total = 5000;
    report.members.emplace(2);
    (*report.members)[0].state = LACUNA_RESOLVED;
    supervisor.handle(report);
    metrics.update(supervisor);
    std::string text = fetch(port);
    EXPECT_NE(text.find("lacuna_guests{state=\"trapping\"} 1"), std::string::npos) << text;
    EXPECT_NE(text.find("lacuna_guests{state=\"done\"} 0"), std::string::npos);
    EXPECT_NE(text.find("lacuna_traps_total{site=\"fork\"} 20"), std::string::npos);
    EXPECT_NE(text.find("lacuna_hook_nanoseconds_total 5000"), std::string::npos);
    EXPECT_NE(text.find("lacuna_members{verdict=\"resolved\"} 1"), std::string::npos);
    EXPECT_NE(text.find("lacuna_members{verdict=\"open\"} 1"), std::string::npos);
    EXPECT_NE(text.find("lacuna_module_loaded 1"), std::string::npos);

    report.stats->traps[LACUNA_SITE_FORK] = 3; // a new hunt
    report.state = LACUNA_GUEST_FAILED;
    supervisor.handle(report);
    metrics.update(supervisor);
    supervisor.disconnected();
    metrics.update(supervisor);
    text = fetch(port);
    EXPECT_NE(text.find("lacuna_traps_total{site=\"fork\"} 23"), std::string::npos) << text;
    EXPECT_NE(text.find("lacuna_errors_total{kind=\"let-go\"} 1"), std::string::npos);
    EXPECT_NE(text.find("lacuna_errors_total{kind=\"module\"} 1"), std::string::npos);
    EXPECT_NE(text.find("lacuna_guests{state=\"trapping\"} 0"), std::string::npos);
    EXPECT_NE(text.find("lacuna_module_loaded 0"), std::string::npos);
}

TEST(Metrics, AnAddressThatCannotBeHadIsNamed)
{
    EXPECT_ERROR(Metrics("192.0.2.1:1"), "192.0.2.1:1: metrics cannot be served there");
}
