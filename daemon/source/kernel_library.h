// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "fd.h"
#include "kernel_descriptor.h"
#include "kernel_source.h"

namespace lacuna {

// What came of reading a source.
struct Prepared {
    std::vector<KernelDescriptor> kernels;
    std::string error; // if there is no kernel: why
};

// The descriptors of the kernels that guests may run. Reading one takes seconds (of disks: half a minute), so
// it is done ahead and in the background; what has been read is kept until the file changes.
class KernelLibrary {
public:
    // Shall end early when a stop is requested.
    using Reader = std::function<std::vector<KernelDescriptor>(const KernelSource&, std::stop_token)>;

    // A source that could not be read is not read again at once; see refresh().
    explicit KernelLibrary(Reader reader, std::chrono::milliseconds back_off = std::chrono::seconds(10));
    // Stops readings in progress, and waits for their end.
    ~KernelLibrary();
    KernelLibrary(const KernelLibrary&) = delete;
    KernelLibrary& operator=(const KernelLibrary&) = delete;

    // What is known of the source as it is now; null while it is being read, which this starts.
    // `urgent`: somebody waits for it.
    std::shared_ptr<const Prepared> find(const KernelSource& source, bool urgent = true);

    // Reads the source again in the background; until then, and if that fails, what was read before stays.
    // Not if it could not be read a moment ago: then only after `back_off`, and after twice that time at each
    // further failure, an hour at most.
    void refresh(const KernelSource& source);

    // Readable when a reading has ended since the last call of acknowledge().
    int event_fd() const { return event_.get(); }
    void acknowledge();
    // How many readings go on or wait.
    std::size_t in_progress() const;

    static constexpr std::size_t kept = 1024; // sources, some ten KiB each; those asked for last

private:
    // What makes a file the same file with the same content: device, inode, when it was made and, but for
    // disks, size and time of change.
    struct Identity {
        std::vector<std::uint64_t> numbers;
        auto operator<=>(const Identity&) const = default;
    };
    struct Job {
        KernelSource source;
        Identity identity;
    };
    struct Entry {
        Identity identity;
        std::shared_ptr<const Prepared> result;             // null while it is being read
        std::uint64_t asked = 0;                            // when it was last asked for: a number that grows
        unsigned failures = 0;                              // how often in a row it could not be read
        std::chrono::steady_clock::time_point not_before{}; // it is read again
    };

    static Identity identify(const KernelSource& source);
    // The first job whose source is not being read: whoever has a source read again and again keeps one
    // worker busy.
    std::deque<Job>::iterator next_job();
    void enqueue(Job job, bool first);
    void hurry(const KernelSource& source);
    void make_room();
    void work(std::stop_token stop);
    void finish(const Job& job, std::shared_ptr<const Prepared> result);

    Reader reader_;
    std::chrono::milliseconds back_off_;
    Fd event_;
    mutable std::mutex mutex_;
    std::condition_variable_any wake_;
    std::map<KernelSource, Entry> entries_;
    std::deque<Job> queue_;
    std::set<KernelSource> being_read_;
    std::uint64_t now_ = 0;
    std::vector<std::jthread> workers_; // last: they end before the rest goes
};

} // namespace lacuna
