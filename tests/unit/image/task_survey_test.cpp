// SPDX-License-Identifier: GPL-2.0-or-later
#include "task_survey.h"

#include <cstring>

#include <gtest/gtest.h>

#include "small_image.h"
#include "synthetic_kernel.h"

namespace lacuna {
namespace {

using synthetic::append;
using synthetic::Image32;
using synthetic::Image64;

// A first task: its own parent twice over, and named.
template <typename Any> std::uint64_t add_task(Any& image, const char* name = "swapper")
{
    constexpr bool wide = sizeof(typename Any::Word) == 8;
    const std::uint64_t task = image.next();
    Bytes bytes(0x400, 0);
    for (const std::size_t at : {std::size_t{0x100}, std::size_t{0x110}}) {
        Bytes pointer;
        append<typename Any::Word>(pointer, static_cast<typename Any::Word>(task));
        std::copy(pointer.begin(), pointer.end(), bytes.begin() + static_cast<std::ptrdiff_t>(at));
    }
    std::memcpy(bytes.data() + 0x200, name, std::strlen(name));
    EXPECT_EQ(image.add(wide ? ".data.64" : ".data.32", bytes), task);
    return task;
}

// mov $value,%rdi, as often as that.
Bytes uses(std::uint64_t value, unsigned times)
{
    Bytes code;
    for (unsigned i = 0; i < times; ++i)
        code.insert(code.end(), {0x48, 0xc7, 0xc7}), append<std::uint32_t>(code, static_cast<std::uint32_t>(value));
    return code;
}

// mov %gs:variable,%rax
Bytes loads(std::uint64_t variable, unsigned times, bool by_gs = true)
{
    Bytes code;
    for (unsigned i = 0; i < times; ++i) {
        if (by_gs)
            code.push_back(0x65);
        code.insert(code.end(), {0x48, 0x8b, 0x04, 0x25});
        append<std::uint32_t>(code, static_cast<std::uint32_t>(variable));
    }
    return code;
}

struct Made {
    Image64 image;
    std::uint64_t task = add_task(image);
    std::uint64_t holder = word(task);

    std::uint64_t word(std::uint64_t value)
    {
        Bytes bytes;
        append<std::uint64_t>(bytes, value);
        return image.add(".data.word", bytes);
    }
    TaskSurvey survey(const std::vector<Bytes>& codes)
    {
        for (const Bytes& code : codes)
            image.add(".text", code);
        return TaskSurvey(image.elf());
    }
};

TEST(TaskSurvey, TheFirstTaskPointsToItselfAndIsUsed)
{
    Made made;
    EXPECT_EQ(made.survey({uses(made.task, 2)}).init_task(), made.task);
    Made unused;
    EXPECT_FALSE(unused.survey({uses(unused.task, 1)}).init_task()) << "one landmark is not enough";
}

TEST(TaskSurvey, OfTwoFirstTasksNeitherIsSure)
{
    Made made;
    const std::uint64_t other = add_task(made.image);
    made.word(other); // as another one holds the first
    EXPECT_FALSE(made.survey({uses(made.task, 4), uses(other, 4)}).init_task()); // data before code may swallow an instruction
}

// An empty list that is not by itself: its only entry holds its address twice.
TEST(TaskSurvey, WhatHasThreePointersToItselfIsMoreThanWhatHasTwo)
{
    Image64 image;
    const std::uint64_t task = image.next(), list = task + 0x80;
    Bytes bytes;
    const std::uint64_t words[] = {task, task, task, list, list};
    bytes.resize(0x100);
    for (const std::uint64_t word : words)
        append<std::uint64_t>(bytes, word);
    const std::string name("swapper\0", 8);
    bytes.insert(bytes.end(), name.begin(), name.end());
    ASSERT_EQ(image.add(".data", bytes), task);
    image.add(".text", uses(list, 2));
    EXPECT_FALSE(TaskSurvey(image.elf()).init_task()) << "the list is used, and the task is not";
    image.add(".text.2", uses(task, 2));
    EXPECT_EQ(TaskSurvey(image.elf()).init_task(), task);
}

TEST(TaskSurvey, CodeMayStandInASegmentOfData)
{
    Made made;
    made.image.flags = PF_R | PF_W;
    made.image.add(".text", uses(made.task, 2));
    EXPECT_FALSE(TaskSurvey(made.image.elf()).init_task());
    made.image.add(".init.text", uses(made.task, 2));
    EXPECT_EQ(TaskSurvey(made.image.elf()).init_task(), made.task);
}

TEST(TaskSurvey, ATaskOfAnotherNameIsNotTheFirst)
{
    Image64 image;
    const std::uint64_t task = add_task(image, "kthreadd");
    image.add(".text", uses(task, 5));
    EXPECT_FALSE(TaskSurvey(image.elf()).init_task());
}

TEST(TaskSurvey, TheCurrentTaskIsWhatHoldsTheFirstAndIsLoadedMost)
{
    Made made;
    const std::uint64_t other = made.word(made.task);
    const TaskSurvey survey =
        made.survey({uses(made.task, 2), loads(made.holder, 6), loads(other, 2, false), loads(made.task, 9)});
    ASSERT_TRUE(survey.current());
    EXPECT_EQ(survey.current()->address, made.holder);
    EXPECT_TRUE(survey.current()->per_cpu);
    EXPECT_TRUE(survey.is_per_cpu(made.holder));
    EXPECT_FALSE(survey.is_per_cpu(other));
}

TEST(TaskSurvey, AKernelForOneCpuLoadsItLikeAnyVariable)
{
    Made made;
    const TaskSurvey survey = made.survey({uses(made.task, 2), loads(made.holder, 3, false)});
    ASSERT_TRUE(survey.current());
    EXPECT_EQ(survey.current()->address, made.holder);
    EXPECT_FALSE(survey.current()->per_cpu);
}

TEST(TaskSurvey, WhatIsLoadedAboutAsOftenDecidesNothing)
{
    Made made;
    const std::uint64_t other = made.word(made.task);
    EXPECT_FALSE(made.survey({uses(made.task, 2), loads(made.holder, 6), loads(other, 4)}).current());
    Made seldom;
    EXPECT_FALSE(seldom.survey({uses(seldom.task, 2), loads(seldom.holder, 2)}).current());
}

} // namespace
} // namespace lacuna
