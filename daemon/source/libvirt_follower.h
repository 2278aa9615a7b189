// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <libvirt/libvirt.h>

#include "domain.h"
#include "fd.h"

namespace lacuna {

// Knows which guests libvirt has, and learns of it when one is defined, changed or undefined; reconnects when
// libvirt goes and comes back. Everything that calls libvirt happens in a thread of its own: while libvirt
// starts a guest it may answer nobody who asks for that guest, and a guest that is being started may be
// waiting for the daemon.
class LibvirtFollower {
public:
    // `uri`: as "qemu:///system". Throws Error if no event loop or thread can be made; that libvirt cannot be
    // reached is logged.
    explicit LibvirtFollower(std::string uri);
    ~LibvirtFollower();
    LibvirtFollower(const LibvirtFollower&) = delete;
    LibvirtFollower& operator=(const LibvirtFollower&) = delete;

    // Readable when there is news; domains() takes note of it.
    int event_fd() const { return event_.get(); }
    std::vector<Domain> domains();
    bool connected() const;

private:
    struct Close {
        void operator()(virConnect* connection) const;
    };

    void follow(std::stop_token stop);
    void connect();
    void forget_connection();
    void close_connection();
    void read_pending();
    void publish();

    static int on_lifecycle(virConnect* connection, virDomain* domain, int event, int detail, void* self);
    static void on_pool(virConnect* connection, virStoragePool* pool, int event, int detail, void* self);
    static void on_close(virConnect* connection, int reason, void* self);
    static void on_wake(int watch, int fd, int events, void* self);

    std::string uri_;
    Fd event_, wake_;
    // Of the thread:
    std::unique_ptr<virConnect, Close> connection_;
    bool lost_ = false;      // the connection has ended
    int domain_events_ = -1; // libvirt's numbers of what it is to tell; -1: it does not
    int pool_events_ = -1;
    std::set<std::string> pending_;       // UUIDs of domains to be looked at
    std::string last_complaint_;          // so that it is not repeated
    std::map<std::string, Domain> known_; // by UUID
    // Shared:
    mutable std::mutex mutex_;
    std::vector<Domain> domains_;
    bool connected_ = false;
    std::jthread thread_; // last: it ends before the rest goes
};

} // namespace lacuna
