// SPDX-License-Identifier: GPL-2.0-or-later
#include "child_deadline.h"

#include <csignal>
#include <cstdlib>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace lacuna;
using namespace std::chrono_literals;

namespace {

pid_t start_child(const char* seconds)
{
    const pid_t child = fork();
    if (child == 0) {
        execlp("sleep", "sleep", seconds, nullptr);
        _exit(127);
    }
    return child;
}

// What waitpid(2) says of the child once it has ended.
int end_of(pid_t child)
{
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    return status;
}

} // namespace

TEST(ChildDeadline, KillsChildrenAlsoThoseStartedLater)
{
    const pid_t early = start_child("60");
    const ChildDeadline deadline(50ms);
    int status = end_of(early);
    ASSERT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(WTERMSIG(status), SIGKILL);
    EXPECT_TRUE(deadline.passed());

    status = end_of(start_child("60"));
    ASSERT_TRUE(WIFSIGNALED(status));
    EXPECT_EQ(WTERMSIG(status), SIGKILL);
}

TEST(ChildDeadline, KillsWhenNobodyWaitsAnyMore)
{
    std::stop_source source;
    const pid_t child = start_child("60");
    const ChildDeadline deadline(60s, source.get_token());
    EXPECT_FALSE(deadline.passed());
    source.request_stop();
    EXPECT_TRUE(WIFSIGNALED(end_of(child)));
    EXPECT_TRUE(deadline.passed());
    const ChildDeadline late(60s, source.get_token());
    EXPECT_TRUE(WIFSIGNALED(end_of(start_child("60"))));
}

TEST(ChildDeadline, LeavesAloneWhatIsInTimeAndWhatOtherThreadsHaveStarted)
{
    const pid_t in_time = start_child("0.3");
    pid_t of_another = 0;
    // A child belongs to a thread as long as that lives.
    std::mutex end;
    end.lock();
    std::atomic<bool> started = false;
    std::jthread another([&] {
        of_another = start_child("1");
        started = true;
        const std::scoped_lock wait(end);
    });
    while (!started)
        std::this_thread::yield();
    {
        const ChildDeadline deadline(60s);
        const int status = end_of(in_time);
        EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
        EXPECT_FALSE(deadline.passed());
    }
    const pid_t killed = start_child("60");
    const ChildDeadline deadline(1ms);
    EXPECT_TRUE(WIFSIGNALED(end_of(killed)));
    const int status = end_of(of_another);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    end.unlock();
}
