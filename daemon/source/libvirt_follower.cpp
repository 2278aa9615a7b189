// SPDX-License-Identifier: GPL-2.0-or-later
#include "libvirt_follower.h"

#include <algorithm>
#include <cstdlib>

#include <libvirt/virterror.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>

#include "error.h"

namespace lacuna {

namespace {

constexpr int retry_ms = 2000; // while libvirt cannot be reached
// Without an answer for so many times so many seconds a connection is taken for dead.
constexpr int keepalive_seconds = 5;
constexpr unsigned keepalive_count = 3;

struct FreeDomain {
    void operator()(virDomain* domain) const { virDomainFree(domain); }
};
using DomainHandle = std::unique_ptr<virDomain, FreeDomain>;

struct FreePool {
    void operator()(virStoragePool* pool) const { virStoragePoolFree(pool); }
};
struct FreeVolume {
    void operator()(virStorageVol* volume) const { virStorageVolFree(volume); }
};

std::string last_error()
{
    const virErrorPtr error = virGetLastError();
    return error && error->message ? error->message : "unknown error";
}

std::string uuid_of(virDomain* domain)
{
    char text[VIR_UUID_STRING_BUFLEN] = "";
    virDomainGetUUIDString(domain, text);
    return text;
}

// Where a volume lies; nothing as long as its pool is not active. QEMU's command line has it then once the
// guest is started.
std::optional<std::string> path_of(virConnect* connection, const Volume& volume)
{
    const std::unique_ptr<virStoragePool, FreePool> pool(
        virStoragePoolLookupByName(connection, volume.pool.c_str()));
    const std::unique_ptr<virStorageVol, FreeVolume> found(
        pool ? virStorageVolLookupByName(pool.get(), volume.name.c_str()) : nullptr);
    const std::unique_ptr<char, decltype(&std::free)> path(
        found ? virStorageVolGetPath(found.get()) : nullptr, std::free);
    return path ? std::optional<std::string>(path.get()) : std::nullopt;
}

// What a defined domain will be at its next start, or what a transient one is.
std::optional<Domain> describe(virDomain* domain)
{
    const std::unique_ptr<char, decltype(&std::free)> xml(
        virDomainGetXMLDesc(domain, VIR_DOMAIN_XML_INACTIVE), std::free);
    if (!xml)
        return std::nullopt; // it has gone meanwhile
    Domain described = parse_domain(xml.get(), "libvirt");
    for (const Volume& volume : described.volumes)
        if (auto path = path_of(virDomainGetConnect(domain), volume))
            described.disks.push_back(Disk{std::move(*path), volume.format});
        else
            spdlog::info("{}: the volume {} of the pool {} cannot be found yet ({})", described.name,
                         volume.name, volume.pool, last_error());
    std::sort(described.disks.begin(), described.disks.end());
    return described;
}

// A domain that is forgotten here may still run: undefined, it lives on as a transient one.
bool is_gone(virDomain* domain)
{
    return virDomainIsPersistent(domain) <= 0 && virDomainIsActive(domain) <= 0;
}

} // namespace

void LibvirtFollower::Close::operator()(virConnect* connection) const
{
    virConnectClose(connection);
}

LibvirtFollower::LibvirtFollower(std::string uri)
    : uri_(std::move(uri)),
      event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))
{
    if (!event_ || !wake_)
        throw system_error("no eventfd", "the connection to libvirt");
    // libvirt has one event loop per process: whoever comes second uses it too.
    virSetErrorFunc(nullptr, [](void*, virError*) {}); // errors are logged by us, not printed
    if (virInitialize() < 0 || virEventRegisterDefaultImpl() < 0)
        throw Error("its library cannot be started", "libvirt");
    thread_ = std::jthread([this](std::stop_token stop) { follow(stop); });
}

LibvirtFollower::~LibvirtFollower()
{
    thread_.request_stop();
    eventfd_write(wake_.get(), 1);
}

std::vector<Domain> LibvirtFollower::domains()
{
    eventfd_t ignored;
    eventfd_read(event_.get(), &ignored);
    const std::scoped_lock lock(mutex_);
    return domains_;
}

bool LibvirtFollower::connected() const
{
    const std::scoped_lock lock(mutex_);
    return connected_;
}

void LibvirtFollower::on_wake(int, int fd, int, void*)
{
    eventfd_t ignored;
    eventfd_read(fd, &ignored);
}

int LibvirtFollower::on_lifecycle(virConnect*, virDomain* domain, int, int, void* self)
{
    static_cast<LibvirtFollower*>(self)->pending_.insert(uuid_of(domain));
    return 0;
}

// A pool that is started now has the volumes that could not be found before.
void LibvirtFollower::on_pool(virConnect*, virStoragePool*, int event, int, void* self)
{
    auto& follower = *static_cast<LibvirtFollower*>(self);
    if (event != VIR_STORAGE_POOL_EVENT_STARTED)
        return;
    for (const auto& [uuid, domain] : follower.known_)
        if (!domain.volumes.empty())
            follower.pending_.insert(uuid);
}

void LibvirtFollower::on_close(virConnect*, int, void* self)
{
    static_cast<LibvirtFollower*>(self)->lost_ = true;
}

void LibvirtFollower::connect()
{
    lost_ = false;
    connection_.reset(virConnectOpenReadOnly(uri_.c_str()));
    if (!connection_) {
        if (const auto complaint = last_error(); complaint != last_complaint_)
            spdlog::warn("libvirt ({}) cannot be reached: {}; trying again, guests it starts meanwhile are "
                         "seen all the same",
                         uri_, complaint);
        last_complaint_ = last_error();
        return;
    }
    last_complaint_.clear();
    virConnectSetKeepAlive(connection_.get(), keepalive_seconds, keepalive_count);
    virConnectRegisterCloseCallback(connection_.get(), on_close, this, nullptr);
    domain_events_ =
        virConnectDomainEventRegisterAny(connection_.get(), nullptr, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                         VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), this, nullptr);
    if (domain_events_ < 0)
        spdlog::warn("libvirt ({}) does not tell what becomes of its guests: {}", uri_, last_error());
    // A libvirt without storage pools is none the worse.
    pool_events_ =
        virConnectStoragePoolEventRegisterAny(connection_.get(), nullptr, VIR_STORAGE_POOL_EVENT_ID_LIFECYCLE,
                                              VIR_STORAGE_POOL_EVENT_CALLBACK(on_pool), this, nullptr);
    virDomainPtr* all = nullptr;
    const int number = virConnectListAllDomains(connection_.get(), &all, 0);
    known_.clear();
    for (int i = 0; i < number; i++)
        pending_.insert(uuid_of(DomainHandle(all[i]).get()));
    std::free(all);
    spdlog::info("libvirt ({}): {} domain(s)", uri_, number);
}

void LibvirtFollower::forget_connection()
{
    if (!connection_)
        return;
    spdlog::warn("libvirt ({}) has gone; waiting until it is back", uri_);
    close_connection();
}

// Each registration holds the connection.
void LibvirtFollower::close_connection()
{
    if (domain_events_ >= 0)
        virConnectDomainEventDeregisterAny(connection_.get(), domain_events_);
    if (pool_events_ >= 0)
        virConnectStoragePoolEventDeregisterAny(connection_.get(), pool_events_);
    virConnectUnregisterCloseCallback(connection_.get(), on_close);
    connection_.reset();
}

void LibvirtFollower::read_pending()
{
    for (const std::string& uuid : pending_) {
        const DomainHandle domain(virDomainLookupByUUIDString(connection_.get(), uuid.c_str()));
        known_.erase(uuid);
        try {
            auto described = domain && !is_gone(domain.get()) ? describe(domain.get()) : std::nullopt;
            if (described)
                known_[uuid] = std::move(*described);
        } catch (const Error& error) {
            spdlog::warn("{}", error.what());
        }
    }
    pending_.clear();
}

// What was known while libvirt is away stays.
void LibvirtFollower::publish()
{
    const std::scoped_lock lock(mutex_);
    connected_ = connection_ != nullptr;
    if (!connection_)
        return;
    domains_.clear();
    for (const auto& [uuid, domain] : known_)
        domains_.push_back(domain);
    eventfd_write(event_.get(), 1);
}

void LibvirtFollower::follow(std::stop_token stop)
{
    const int watch = virEventAddHandle(wake_.get(), VIR_EVENT_HANDLE_READABLE, on_wake, this, nullptr);
    // The loop wakes up now and then, to try again, or to be ended.
    const int timer = virEventAddTimeout(
        retry_ms, [](int, void*) {}, nullptr, nullptr);
    while (!stop.stop_requested()) {
        if (lost_)
            forget_connection();
        const bool fresh = !connection_;
        if (fresh)
            connect();
        if (connection_ && (fresh || !pending_.empty())) {
            read_pending();
            publish();
        } else if (fresh) {
            publish();
        }
        virEventRunDefaultImpl();
    }
    if (connection_)
        close_connection();
    virEventRemoveTimeout(timer);
    virEventRemoveHandle(watch);
}

} // namespace lacuna
