// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel_library.h"

#include <atomic>
#include <fstream>
#include <future>

#include <gtest/gtest.h>

#include "error.h"
#include "temporary_directory.h"

using namespace lacuna;

namespace {

KernelDescriptor a_kernel()
{
    KernelDescriptor kernel;
    kernel.id = "k";
    return kernel;
}

} // namespace

TEST(KernelLibrary, AFailureDoesNotReplaceWhatWasRead)
{
    std::atomic<bool> fails = false, go_on = false;
    KernelLibrary library([&](const KernelSource&, std::stop_token) {
        if (fails) {
            while (!go_on)
                std::this_thread::yield();
            throw Error("cannot be read");
        }
        return std::vector<KernelDescriptor>{a_kernel()};
    });
    const KernelSource source{"/k/a", {}, {}};
    const auto settle = [&] {
        while (library.in_progress() > 0)
            std::this_thread::yield();
    };
    library.find(source);
    settle();
    fails = true;
    library.refresh(source);
    EXPECT_EQ(library.in_progress(), 1u); // what is read again counts as well
    go_on = true;
    settle();
    ASSERT_TRUE(library.find(source));
    EXPECT_EQ(library.find(source)->kernels.size(), 1u);
    EXPECT_EQ(library.find(source)->error, "");
}

TEST(KernelLibrary, WhoWaitsGoesFirst)
{
    std::promise<void> release, release_other;
    const std::shared_future<void> released = release.get_future().share(),
                                   other_released = release_other.get_future().share();
    std::vector<std::string> order; // of the one worker that is free
    KernelLibrary library([&](const KernelSource& source, std::stop_token) {
        if (source.file == "/other")
            other_released.wait();
        else if (source.file == "/first")
            released.wait();
        else
            order.push_back(source.file);
        return std::vector<KernelDescriptor>{a_kernel()};
    });
    library.find({"/first", {}, {}});
    library.find({"/other", {}, {}});
    for (const char* file : {"/a", "/b", "/c"})
        library.find({file, {}, {}}, false);
    library.find({"/c", {}, {}}); // now somebody waits for it
    release.set_value();
    while (library.in_progress() > 1)
        std::this_thread::yield();
    release_other.set_value();
    while (library.in_progress() > 0)
        std::this_thread::yield();
    EXPECT_EQ(order, (std::vector<std::string>{"/c", "/a", "/b"}));
}

TEST(KernelLibrary, ItsEndStopsWhatIsBeingRead)
{
    std::atomic<bool> started = false, stopped = false;
    {
        KernelLibrary library([&](const KernelSource&, std::stop_token stop) {
            started = true;
            while (!stop.stop_requested())
                std::this_thread::yield();
            stopped = true;
            return std::vector<KernelDescriptor>();
        });
        library.find({"/endless", {}, {}});
        while (!started)
            std::this_thread::yield();
    }
    EXPECT_TRUE(stopped);
}

TEST(KernelLibrary, WhatWaitsToBeReadAgainIsReadOnce)
{
    std::promise<void> release;
    const std::shared_future<void> released = release.get_future().share();
    std::atomic<int> readings = 0;
    KernelLibrary library([&](const KernelSource& source, std::stop_token) {
        if (source.file == "/k/slow-1" || source.file == "/k/slow-2")
            released.wait();
        else
            readings++;
        return std::vector<KernelDescriptor>{a_kernel()};
    });
    library.find({"/k/slow-1", {}, {}}); // each of the two workers has its own
    library.find({"/k/slow-2", {}, {}});
    for (int i = 0; i < 5; i++)
        library.refresh({"/k/a", {}, {}});
    release.set_value();
    while (library.in_progress() > 0)
        std::this_thread::yield();
    EXPECT_EQ(readings, 1);
}

TEST(KernelLibrary, OneSourceKeepsOneWorkerAtMost)
{
    std::promise<void> release;
    const std::shared_future<void> released = release.get_future().share();
    std::atomic<int> of_one = 0, most_of_one = 0, readings = 0;
    KernelLibrary library([&](const KernelSource& source, std::stop_token) {
        if (source.file == "/k/endless") {
            most_of_one = std::max(most_of_one.load(), ++of_one);
            released.wait();
            of_one--;
        }
        readings++;
        return std::vector<KernelDescriptor>{a_kernel()};
    });
    const KernelSource endless{"/k/endless", {}, {}};
    library.find(endless);
    while (of_one == 0)
        std::this_thread::yield();
    for (int i = 0; i < 5; i++) // its guest resets itself
        library.refresh(endless);
    library.find({"/k/a", {}, {}}, false);
    while (library.in_progress() > 2) // the endless one, and that it is to be read again
        std::this_thread::yield();
    EXPECT_EQ(readings, 1);
    release.set_value();
    while (library.in_progress() > 0)
        std::this_thread::yield();
    EXPECT_EQ(readings, 3);
    EXPECT_EQ(most_of_one, 1);
}

TEST(KernelLibrary, WhatCannotBeReadIsNotTriedAgainAtOnce)
{
    std::atomic<int> readings = 0;
    const KernelLibrary::Reader fails = [&](const KernelSource&,
                                            std::stop_token) -> std::vector<KernelDescriptor> {
        readings++;
        throw Error("takes too long");
    };
    const KernelSource source{"/k/hostile", {}, {}};
    const auto read_again = [&](KernelLibrary& library) {
        library.refresh(source);
        while (library.in_progress() > 0)
            std::this_thread::yield();
    };
    {
        KernelLibrary library(fails, std::chrono::hours(1));
        for (int i = 0; i < 3; i++)
            read_again(library);
        EXPECT_EQ(readings, 1);
        EXPECT_EQ(library.find(source)->error, "takes too long");
    }
    readings = 0;
    constexpr auto back_off = std::chrono::milliseconds(50);
    KernelLibrary library(fails, back_off);
    read_again(library);
    std::this_thread::sleep_for(back_off * 11 / 10);
    read_again(library);
    EXPECT_EQ(readings, 2);
    std::this_thread::sleep_for(back_off * 11 / 10);
    read_again(library); // the second failure has doubled the time
    EXPECT_EQ(readings, 2);
}

TEST(KernelLibrary, ADiskThatIsMadeAnewIsAnotherOne)
{
    const TemporaryDirectory folder;
    const auto disk = folder.path() / "disk.raw";
    std::atomic<int> readings = 0;
    KernelLibrary library([&](const KernelSource&, std::stop_token) {
        readings++;
        return std::vector<KernelDescriptor>{a_kernel()};
    });
    const auto ask = [&] {
        library.find({{}, {}, {{disk, "raw"}}});
        while (library.in_progress() > 0)
            std::this_thread::yield();
    };
    for (int made = 1; made <= 3; made++) { // most file systems give the number of a file away again
        std::ofstream(disk) << made;
        ask();
        std::ofstream(disk, std::ios::app) << "its guest writes to it";
        ask();
        EXPECT_EQ(readings, made);
        std::filesystem::remove(disk);
        std::this_thread::sleep_for(std::chrono::milliseconds(20)); // a tick of the file system's clock
    }
}
