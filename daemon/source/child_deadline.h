// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>

#include <sys/types.h>

namespace lacuna {

// A bound on what a library does in processes that it starts by itself. When the time has passed, or somebody
// asks for a stop, each child that the thread which made this object has, or gets until the object ends, is
// killed; the library's call then fails. Children of other threads are left alone: /proc tells them apart
// (proc(5), "children").
class ChildDeadline {
public:
    explicit ChildDeadline(std::chrono::milliseconds after, std::stop_token stop = {});

    // Whether the time has passed, or a stop was asked for.
    bool passed() const { return passed_; }

private:
    void watch(std::stop_token stop, pid_t parent, std::chrono::milliseconds after);

    std::atomic<bool> passed_ = false;
    std::mutex mutex_;
    std::condition_variable_any wake_;
    bool asked_ = false;
    std::jthread thread_; // ends before what stands above goes
    std::stop_callback<std::function<void()>> on_stop_;
};

} // namespace lacuna
