// SPDX-License-Identifier: GPL-2.0-or-later
#include "child_deadline.h"

#include <csignal>
#include <fstream>
#include <string>

#include <unistd.h>

namespace lacuna {

namespace {

// How soon a child that is started after the deadline is killed.
constexpr std::chrono::milliseconds look_again(200);

void kill_children_of(pid_t thread)
{
    std::ifstream children("/proc/self/task/" + std::to_string(thread) + "/children");
    for (pid_t child = 0; children >> child;)
        kill(child, SIGKILL);
}

} // namespace

ChildDeadline::ChildDeadline(std::chrono::milliseconds after, std::stop_token stop)
    : thread_([this, parent = gettid(), after](std::stop_token end) { watch(end, parent, after); }),
      on_stop_(std::move(stop), [this] {
          const std::scoped_lock lock(mutex_);
          asked_ = true;
          wake_.notify_all();
      })
{}

void ChildDeadline::watch(std::stop_token stop, pid_t parent, std::chrono::milliseconds after)
{
    std::unique_lock lock(mutex_);
    const auto never = [] { return false; };
    wake_.wait_for(lock, stop, after, [this] { return asked_; });
    while (!stop.stop_requested()) {
        passed_ = true;
        kill_children_of(parent);
        wake_.wait_for(lock, stop, look_again, never);
    }
}

} // namespace lacuna
