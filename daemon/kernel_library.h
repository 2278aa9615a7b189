// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
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
    using Reader = std::function<std::vector<KernelDescriptor>(const KernelSource&)>;

    explicit KernelLibrary(Reader reader);
    // Waits for readings in progress.
    ~KernelLibrary();
    KernelLibrary(const KernelLibrary&) = delete;
    KernelLibrary& operator=(const KernelLibrary&) = delete;

    // What is known of the source as it is now; null while it is being read, which this starts.
    // `urgent`: somebody waits for it.
    std::shared_ptr<const Prepared> find(const KernelSource& source, bool urgent = true);

    // Reads the source again in the background; until then what was read before stays.
    void refresh(const KernelSource& source);

    // Readable when a reading has ended since the last call of acknowledge().
    int event_fd() const { return event_.get(); }
    void acknowledge();
    std::size_t in_progress() const;

private:
    // What makes a file the same file with the same content: device, inode, size and, but for disks, time of
    // change.
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
        std::shared_ptr<const Prepared> result; // null while it is being read
    };

    static Identity identify(const KernelSource& source);
    void work(std::stop_token stop);
    void finish(const Job& job, std::shared_ptr<const Prepared> result);

    Reader reader_;
    Fd event_;
    mutable std::mutex mutex_;
    std::condition_variable_any wake_;
    std::map<KernelSource, Entry> entries_;
    std::deque<Job> queue_;
    std::vector<std::jthread> workers_; // last: they end before the rest goes
};

} // namespace lacuna
