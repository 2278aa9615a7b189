// SPDX-License-Identifier: GPL-2.0-or-later
// Which of the kernels that a guest may start is the one that runs: by its banner, and by the code at its trap sites.
#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <map>
#include <string>
#include <vector>

extern "C" {
#include "kernel.h"
#include "space.h"
}

namespace {

constexpr std::uint64_t linked_at = 0xffffffff81000000, slide_of_guest = 0x6400000, image_gpa = 0x2000000;
constexpr std::string_view banner_text = "Linux version 6.1.0 (lab@lacuna) #1 SMP PREEMPT_DYNAMIC";

// A guest that has mapped 16 MiB of a kernel, as early page tables do, by large pages.
class Guest {
public:
    Guest()
    {
        put<std::uint64_t>(root + 8 * 511, (root + page) | present);
        put<std::uint64_t>(root + page + 8 * 510, (root + 2 * page) | present);
        for (std::uint64_t i = 0; i < 8; i++)
            put<std::uint64_t>(root + 2 * page + 8 * ((linked_at + slide_of_guest) % (1 << 30) / large + i),
                               (image_gpa + i * large) | present | 0x80);
    }

    // At a link-time address.
    void write(std::uint64_t va, const void* data, std::size_t size)
    {
        for (std::size_t i = 0; i < size; i++)
            bytes_[va - linked_at + image_gpa + i] = static_cast<const std::uint8_t*>(data)[i];
    }

    void page_out(std::uint64_t va) { missing_ = (va - linked_at + image_gpa) / page; }

    // What is found, and where.
    int find(const std::vector<lac_kernel>& kernels)
    {
        const lac_memory memory{.read = read, .context = this};
        lac_space space;
        lac_space_init(&space, &memory, root, LACUNA_PAGING_4LEVEL);
        found = nullptr;
        return lac_kernel_find(kernels.data(), static_cast<u32>(kernels.size()), &space, &found, &slide);
    }

    const lac_kernel* found = nullptr;
    u64 slide = 0;

private:
    static constexpr std::uint64_t root = 0x100000, page = 4096, large = 2 << 20, present = 3;

    template <typename T> void put(std::uint64_t gpa, T value)
    {
        for (std::size_t i = 0; i < sizeof(value); i++)
            bytes_[gpa + i] = static_cast<std::uint8_t>(value >> 8 * i);
    }

    static int read(void* context, u64 gpa, void* buffer, u32 len)
    {
        const auto& self = *static_cast<Guest*>(context);
        if (gpa / page == self.missing_)
            return -EAGAIN;
        for (u32 i = 0; i < len; i++) {
            const auto byte = self.bytes_.find(gpa + i);
            static_cast<std::uint8_t*>(buffer)[i] = byte == self.bytes_.end() ? std::uint8_t{0} : byte->second;
        }
        return 0;
    }

    std::map<std::uint64_t, std::uint8_t> bytes_;
    std::uint64_t missing_ = ~0ull;
};

// A build of the kernel: its code lies `shift` bytes further on than that of the first one.
lac_kernel build(const std::string& id, std::uint64_t shift = 0)
{
    lac_kernel kernel{};
    std::memcpy(kernel.id, id.c_str(), id.size() + 1);
    kernel.architecture = LACUNA_X86_64;
    kernel.text = linked_at;
    kernel.end = linked_at + 0x1000000;
    kernel.banner = linked_at + 0x800040;
    kernel.banner_nr = banner_text.size();
    std::memcpy(kernel.banner_text, banner_text.data(), banner_text.size());
    for (u32 i = 0; i < LACUNA_SITE_KINDS; i++) {
        const std::array<std::uint8_t, 6> code{0x41, 0x57, 0x41, 0x56, 0x53, static_cast<std::uint8_t>(i)};
        lac_site_descriptor& site = kernel.sites[i];
        site.address = linked_at + 0x20000 * (i + 1) + shift;
        site.bytes_nr = code.size();
        std::memcpy(site.bytes, code.data(), code.size());
    }
    return kernel;
}

void start(Guest& guest, const lac_kernel& kernel)
{
    guest.write(kernel.banner, kernel.banner_text, kernel.banner_nr);
    for (const lac_site_descriptor& site : kernel.sites)
        guest.write(site.address, site.bytes, site.bytes_nr);
}

TEST(Kernel, IsFoundWithItsSlide)
{
    Guest guest;
    const std::vector kernels{build("one")};
    EXPECT_EQ(guest.find(kernels), -ENOENT);
    start(guest, kernels[0]);
    ASSERT_EQ(guest.find(kernels), 0);
    EXPECT_EQ(guest.found, &kernels[0]);
    EXPECT_EQ(guest.slide, slide_of_guest);
}

// As with another seed of CONFIG_RANDSTRUCT, or a vendor's rebuild with the time fixed.
TEST(Kernel, OfThoseWithOneBannerTheOneWhoseCodeIsThereIsFound)
{
    for (const std::size_t running : {0u, 1u, 2u}) {
        Guest guest;
        const std::vector kernels{build("one"), build("two", 0x40), build("three", 0x80)};
        start(guest, kernels[running]);
        ASSERT_EQ(guest.find(kernels), 0) << running;
        EXPECT_EQ(guest.found, &kernels[running]) << running;
        EXPECT_EQ(guest.slide, slide_of_guest);
    }
}

// It lies where that of another would, were it loaded 2 MiB further on.
TEST(Kernel, ABannerInThePlaceOfAnothersIsNotTakenForItsSlide)
{
    Guest guest;
    std::vector kernels{build("one"), build("two", 0x40)};
    kernels[0].banner -= 2 << 20;
    start(guest, kernels[1]);
    EXPECT_EQ(guest.find({kernels[0]}), -EILSEQ);
    ASSERT_EQ(guest.find(kernels), 0);
    EXPECT_EQ(guest.found, &kernels[1]);
    EXPECT_EQ(guest.slide, slide_of_guest);
}

// From the disk and from the command line.
TEST(Kernel, OneThatIsGivenTwiceIsOne)
{
    Guest guest;
    const std::vector kernels{build("one"), build("one")};
    start(guest, kernels[0]);
    EXPECT_EQ(guest.find(kernels), 0);
}

TEST(Kernel, OfWhichNoneHasTheCodeIsNotGuessed)
{
    Guest guest;
    start(guest, build("running", 0x200));
    EXPECT_EQ(guest.find({build("one"), build("two", 0x40)}), -EILSEQ);
}

// The offsets of one would be filed under the name of the other.
TEST(Kernel, TwoThatCannotBeToldApartAreNotChosenFrom)
{
    Guest guest;
    const std::vector kernels{build("one"), build("two", 0x40), build("the same but for its data", 0x40)};
    start(guest, kernels[1]);
    EXPECT_EQ(guest.find(kernels), -ENOTUNIQ);
    start(guest, kernels[0]);
    EXPECT_EQ(guest.find({kernels[0], build("other", 0x80)}), 0);
}

TEST(Kernel, WhoseCodeIsNotThereNowIsAskedAgain)
{
    Guest guest;
    const std::vector kernels{build("one"), build("two", 0x40)};
    start(guest, kernels[1]);
    guest.page_out(kernels[0].sites[1].address);
    EXPECT_EQ(guest.find({kernels[1]}), -EAGAIN);
    EXPECT_EQ(guest.find(kernels), -EAGAIN);
}

// One without modules has no site for their initialisation.
TEST(Kernel, WithoutASiteIsFoundByTheOthers)
{
    Guest guest;
    std::vector kernels{build("one", 0x40), build("two")};
    kernels[1].sites[LACUNA_SITE_INITCALL] = {};
    start(guest, build("two"));
    ASSERT_EQ(guest.find(kernels), 0);
    EXPECT_EQ(guest.found, &kernels[1]);
}

} // namespace
