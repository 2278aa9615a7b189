// SPDX-License-Identifier: GPL-2.0-or-later
// What somebody says to lacunad's control socket, with two guests that run and one whose kernel is being read.
#include "daemon.h"

#include <csignal>
#include <thread>

#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "error.h"
#include "fake_module.h"
#include "harness.h"
#include "temporary_directory.h"

namespace lacuna::fuzz {

namespace {

class Talk {
public:
    Talk()
    {
        config_.store = folder_.path() / "store";
        config_.socket = folder_.path() / "sock";
        config_.constraints = LACUNA_CONSTRAINTS;
        config_.libvirt.clear();
        config_.deep = Deep::off; // it would look at a guest for seconds
        module_.memory = [](std::uint64_t, std::size_t length) { return Bytes(length); };
        for (std::uint32_t number : {1u, 2u}) {
            GuestReport report;
            report.guest = number;
            report.vmm_pid = number; // processes 1 and 2 of this machine
            report.event = LACUNA_EVENT_CREATED;
            report.state = number == 1 ? LACUNA_GUEST_CREATED : LACUNA_GUEST_TRAPPING;
            module_.tell(report);
        }
    }

    void hear(ByteView input)
    {
        Daemon daemon(
            config_, [this] { return module_.connect(); },
            [](const KernelSource&, std::stop_token) { return std::vector<KernelDescriptor>{fake_kernel("id-1")}; });
        const Fd client(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, config_.socket.c_str(), sizeof(address.sun_path) - 1);
        if (connect(client.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
            throw Error("cannot be reached", config_.socket.string());
        const Fd stop(eventfd(0, EFD_CLOEXEC));
        std::jthread speaker([&] {
            send(client.get(), input.data(), input.size(), MSG_NOSIGNAL);
            shutdown(client.get(), SHUT_WR);
            char answer[4096];
            while (recv(client.get(), answer, sizeof(answer), 0) > 0)
                ;
            eventfd_write(stop.get(), 1);
        });
        daemon.run(stop.get());
    }

private:
    TemporaryDirectory folder_;
    FakeModule module_;
    Config config_;
};

void run(ByteView input)
{
    spdlog::set_level(spdlog::level::off);
    Talk().hear(input);
}

std::vector<Seed> seeds()
{
    std::vector<Seed> all;
    const char* requests[] = {R"({"command": "status"})",
                              R"({"command": "stats", "guest": "vm-1"})",
                              R"({"command": "ps", "guest": "vm-2"})",
                              R"({"command": "lsmod", "guest": "1"})",
                              R"({"command": "profile", "name": "id-1"})",
                              R"({"command": "arm", "pid": 1, "name": "a", "kernels": ["/k"], "system_map": "/m", "record": true})",
                              R"({"command": "learn", "guest": "vm-1"})",
                              R"({"command": "learn", "guest": "vm-1", "deep": true})",
                              R"({"command": "disarm", "guest": "vm-2"})",
                              R"({"command": "forget", "kernel": "id-1"})",
                              R"({"command": "record", "guest": "vm-1", "offset": 7})",
                              R"({"command": "watch", "guest": "vm-1"})",
                              R"({"command": "watch"})"};
    std::string together;
    for (const char* request : requests) {
        all.push_back(seed("request-" + std::to_string(all.size()), std::string(request) + "\n"));
        together += std::string(request) + "\n";
    }
    all.push_back(seed("all", together));
    return all;
}

} // namespace

const Harness control = {"control", run, seeds, 4096};

} // namespace lacuna::fuzz
