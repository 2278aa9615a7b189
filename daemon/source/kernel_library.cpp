// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel_library.h"

#include <algorithm>

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include "error.h"

namespace lacuna {

namespace {

constexpr int workers = 2; // so that a kernel file does not wait behind an image
constexpr std::chrono::milliseconds longest_back_off = std::chrono::hours(1);

} // namespace

KernelLibrary::KernelLibrary(Reader reader, std::chrono::milliseconds back_off)
    : reader_(std::move(reader)),
      back_off_(back_off),
      event_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))
{
    if (!event_)
        throw system_error("no eventfd", "the kernel library");
    for (int i = 0; i < workers; i++)
        workers_.emplace_back([this](std::stop_token stop) { work(stop); });
}

KernelLibrary::~KernelLibrary()
{
    for (std::jthread& worker : workers_)
        worker.request_stop();
}

KernelLibrary::Identity KernelLibrary::identify(const KernelSource& source)
{
    Identity identity;
    const auto add = [&](const std::filesystem::path& file, bool disk) {
        struct statx status {};
        if (statx(AT_FDCWD, file.c_str(), AT_NO_AUTOMOUNT, STATX_BASIC_STATS | STATX_BTIME, &status) != 0)
            return;
        const auto add_time = [&](const statx_timestamp& time) {
            identity.numbers.push_back(static_cast<std::uint64_t>(time.tv_sec));
            identity.numbers.push_back(time.tv_nsec);
        };
        identity.numbers.push_back(std::uint64_t{status.stx_dev_major} << 32 | status.stx_dev_minor);
        identity.numbers.push_back(status.stx_ino);
        add_time(status.stx_btime); // a file that is made anew may get the number of the one that was removed
        if (disk)
            return; // Its guest writes to it all the time, and makes it grow: it is read again by refresh().
        identity.numbers.push_back(status.stx_size);
        add_time(status.stx_mtime);
    };
    if (!source.file.empty())
        add(source.file, false);
    if (source.system_map)
        add(*source.system_map, false);
    for (const Disk& disk : source.disks)
        add(disk.file, true);
    return identity;
}

std::shared_ptr<const Prepared> KernelLibrary::find(const KernelSource& source, bool urgent)
{
    const Identity identity = identify(source);
    const std::scoped_lock lock(mutex_);
    const auto known = entries_.find(source);
    if (known != entries_.end() && known->second.identity == identity) {
        known->second.asked = ++now_;
        if (!known->second.result && urgent)
            hurry(source);
        return known->second.result;
    }
    entries_[source] = {identity, nullptr, ++now_};
    enqueue({source, identity}, urgent);
    make_room();
    return nullptr;
}

// A guest that is reset again and again, or guests that share a disk, ask more often than can be read.
void KernelLibrary::enqueue(Job job, bool first)
{
    std::erase_if(queue_, [&](const Job& queued) { return queued.source == job.source; });
    if (first)
        queue_.push_front(std::move(job));
    else
        queue_.push_back(std::move(job));
    wake_.notify_one();
}

std::deque<KernelLibrary::Job>::iterator KernelLibrary::next_job()
{
    return std::find_if(queue_.begin(), queue_.end(),
                        [this](const Job& job) { return !being_read_.contains(job.source); });
}

void KernelLibrary::hurry(const KernelSource& source)
{
    const auto job = std::find_if(queue_.begin(), queue_.end(),
                                  [&](const Job& queued) { return queued.source == source; });
    if (job != queue_.end())
        std::rotate(queue_.begin(), job, job + 1);
}

// Guests come and go for years, each with disks of its own.
void KernelLibrary::make_room()
{
    while (entries_.size() > kept) {
        const auto oldest =
            std::min_element(entries_.begin(), entries_.end(), [](const auto& a, const auto& b) {
                return std::pair(!a.second.result, a.second.asked) <
                       std::pair(!b.second.result, b.second.asked);
            });
        if (!oldest->second.result) // somebody waits for it
            return;
        entries_.erase(oldest);
    }
}

void KernelLibrary::refresh(const KernelSource& source)
{
    const Identity identity = identify(source);
    const std::scoped_lock lock(mutex_);
    Entry& entry = entries_[source];
    if (entry.failures > 0 && std::chrono::steady_clock::now() < entry.not_before) {
        spdlog::debug("{}: could not be read a moment ago, and is not read again yet", to_string(source));
        return;
    }
    entry.identity = identity;
    enqueue({source, identity}, false);
}

void KernelLibrary::acknowledge()
{
    eventfd_t ignored;
    eventfd_read(event_.get(), &ignored);
}

std::size_t KernelLibrary::in_progress() const
{
    const std::scoped_lock lock(mutex_);
    return queue_.size() + being_read_.size();
}

void KernelLibrary::work(std::stop_token stop)
{
    for (;;) {
        Job job;
        {
            std::unique_lock lock(mutex_);
            if (!wake_.wait(lock, stop, [this] { return next_job() != queue_.end(); }) ||
                stop.stop_requested())
                return;
            const auto next = next_job();
            job = std::move(*next);
            queue_.erase(next);
            being_read_.insert(job.source);
        }
        auto result = std::make_shared<Prepared>();
        try {
            result->kernels = reader_(job.source, stop);
        } catch (const std::exception& error) {
            result->error = error.what();
        }
        finish(job, std::move(result));
    }
}

void KernelLibrary::finish(const Job& job, std::shared_ptr<const Prepared> result)
{
    const std::scoped_lock lock(mutex_);
    being_read_.erase(job.source);
    wake_.notify_one(); // it may be waiting to be read again
    const auto entry = entries_.find(job.source);
    if (entry != entries_.end() && entry->second.identity == job.identity) { // not asked for anew meanwhile
        Entry& known = entry->second;
        if (result->error.empty()) {
            known.failures = 0;
        } else {
            const auto wait = back_off_ * (1 << std::min(known.failures++, 16u));
            known.not_before = std::chrono::steady_clock::now() + std::min(wait, longest_back_off);
        }
        const auto& old = known.result;
        if (result->error.empty() || !old || !old->error.empty())
            known.result = std::move(result);
        else
            spdlog::warn("{}; the kernels that were read before go on counting", result->error);
    }
    eventfd_write(event_.get(), 1);
}

} // namespace lacuna
