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

ChildDeadline::ChildDeadline(std::chrono::milliseconds after)
    : thread_([this, parent = gettid(), after](std::stop_token stop) { watch(stop, parent, after); })
{}

void ChildDeadline::watch(std::stop_token stop, pid_t parent, std::chrono::milliseconds after)
{
    std::unique_lock lock(mutex_);
    const auto never = [] { return false; };
    wake_.wait_for(lock, stop, after, never);
    while (!stop.stop_requested()) {
        passed_ = true;
        kill_children_of(parent);
        wake_.wait_for(lock, stop, look_again, never);
    }
}

} // namespace lacuna
