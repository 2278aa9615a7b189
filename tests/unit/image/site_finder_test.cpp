// SPDX-License-Identifier: GPL-2.0-or-later
#include "site_finder.h"

#include <gtest/gtest.h>

#include "expect_error.h"
#include "small_image.h"
#include "synthetic_kernel.h"

namespace lacuna {
namespace {

using namespace synthetic;

// Where the function under test stands: a multiple of 8, so an offset in it says how it lies in its 8-byte
// word.
constexpr std::uint64_t entry = text_address + 0x80;
constexpr std::uint64_t cold = text_address + 0xf0;

Bytes call(std::uint64_t from, std::uint64_t to)
{
    Bytes code = {0xe8};
    append<std::uint32_t>(code, static_cast<std::uint32_t>(to - (from + 5)));
    return code;
}

const Bytes call_fentry = call(entry, text_address + 0x10);

Bytes operator+(Bytes a, const Bytes& b)
{
    a.insert(a.end(), b.begin(), b.end());
    return a;
}

std::optional<TrapSite> find(const Bytes& code, SiteKind kind, const Bytes& cold_code = {})
{
    Kernel kernel;
    std::fill(kernel.text.begin() + 0x80, kernel.text.begin() + 0x100, std::uint8_t{0xcc});
    std::copy(code.begin(), code.end(), kernel.text.begin() + 0x80);
    std::copy(cold_code.begin(), cold_code.end(), kernel.text.begin() + 0xf0);
    const Bytes vmlinux = kernel.vmlinux();
    const Symbols symbols({{text_address, 'T', "_text"},
                           {text_address + 0x10, 'T', "__fentry__"},
                           {text_address + 0x18, 'T', "mcount"},
                           {entry, 'T', "function"},
                           {cold, 't', "function.cold"},
                           {text_address + 0x100, 't', "next"}},
                          "test");
    return find_site(ElfImage(vmlinux, "vmlinux"), symbols, "function", kind);
}

#define EXPECT_SITE(found, offset, expected_lengths)                                                         \
    do {                                                                                                     \
        const auto& found_site = (found);                                                                    \
        ASSERT_TRUE(found_site);                                                                             \
        EXPECT_EQ(found_site->address - entry, std::uint64_t{offset});                                       \
        EXPECT_EQ(found_site->lengths, (std::vector<std::uint8_t> expected_lengths));                        \
        EXPECT_EQ(found_site->single, found_site->lengths.size() == 1);                                      \
    } while (false)

#define LIST(...)                                                                                            \
    {                                                                                                        \
        __VA_ARGS__                                                                                          \
    }

TEST(SiteFinder, TakesTwoPushesWhereThereIsNothingBetter)
{
    // push %r15 (5) push %r14 (7) push %r13 (9) push %r12 (11) push %rbp push %rbx sub $0x30,%rsp (15:
    // crosses a word)
    const Bytes code = call_fentry + Bytes{0x41, 0x57, 0x41, 0x56, 0x41, 0x55, 0x41,
                                           0x54, 0x55, 0x53, 0x48, 0x83, 0xec, 0x30};
    const auto site = find(code, SiteKind::fork);
    EXPECT_SITE(site, 5, LIST(2, 2));
    EXPECT_EQ(site->kind, SiteKind::fork);
    EXPECT_EQ(site->function, "function");
    EXPECT_EQ(Bytes(site->bytes.begin(), site->bytes.begin() + 6),
              (Bytes{0x41, 0x57, 0x41, 0x56, 0x41, 0x55}));
    EXPECT_EQ(site->bytes.size(), code.size() - 5); // as far as nothing can change at run time
}

TEST(SiteFinder, PrefersOneInstruction)
{
    // endbr64; call __fentry__ (4); push %r15 (9) push %r14 (11) mov %rdi,%rbx (13)
    const Bytes code = Bytes{0xf3, 0x0f, 0x1e, 0xfa} + call(entry + 4, text_address + 0x10) +
                       Bytes{0x41, 0x57, 0x41, 0x56, 0x48, 0x89, 0xfb, 0xc3};
    EXPECT_SITE(find(code, SiteKind::exit), 13, LIST(3));
}

TEST(SiteFinder, PrefersTheEarliestOfEquals)
{
    // mov %rdi,%rbx (5); sub $8,%rsp (8)
    EXPECT_SITE(find(call_fentry + Bytes{0x48, 0x89, 0xfb, 0x48, 0x83, 0xec, 0x08, 0xc3}, SiteKind::exit), 5,
                LIST(3));
}

TEST(SiteFinder, SkipsAnFtraceCallThatIsANopAlready)
{
    EXPECT_SITE(find(Bytes{0x0f, 0x1f, 0x44, 0x00, 0x00, 0x48, 0x89, 0xfb, 0xc3}, SiteKind::exit), 5,
                LIST(3));
}

TEST(SiteFinder, KnowsMcountBehindTheFrame)
{
    // push %rbp; mov %rsp,%rbp (1); call mcount (4)
    EXPECT_SITE(find(Bytes{0x55, 0x48, 0x89, 0xe5} + call(entry + 4, text_address + 0x18) + Bytes{0xc3},
                     SiteKind::exit),
                1, LIST(3));
    // the two pushes around the call are no neighbours
    EXPECT_FALSE(find(Bytes{0x41, 0x57} + call(entry + 2, text_address + 0x18) + Bytes{0x41, 0x56, 0xc3},
                      SiteKind::exit));
}

TEST(SiteFinder, DoesNotDisplaceTheStackCanaryLoad)
{
    // mov %gs:0x28,%rax (5, nine bytes); sub $8,%rsp (14: crosses a word); mov %rdi,%rbx (18)
    const Bytes code = call_fentry + Bytes{0x65, 0x48, 0x8b, 0x04, 0x25, 0x28, 0,    0,   0,
                                           0x48, 0x83, 0xec, 0x08, 0x48, 0x89, 0xfb, 0xc3};
    EXPECT_SITE(find(code, SiteKind::fork), 18, LIST(3));
}

TEST(SiteFinder, DoesNotDisplaceRipRelativeInstructions)
{
    // lea 0(%rip),%rdx (5, seven bytes); mov %rdi,%rbx (12)
    const Bytes code = call_fentry + Bytes{0x48, 0x8d, 0x15, 0, 0, 0, 0, 0x48, 0x89, 0xfb, 0xc3};
    EXPECT_SITE(find(code, SiteKind::exit), 12, LIST(3));
}

TEST(SiteFinder, DisplacesNoAccessToMemory)
{
    const std::vector<std::pair<Bytes, const char*>> accesses = {
        {{0x48, 0x89, 0x3e}, "mov %rdi,(%rsi)"},
        {{0x48, 0x89, 0x7d, 0xf8}, "mov %rdi,-8(%rbp)"},
        {{0x48, 0x8b, 0x44, 0x24, 0x08}, "mov 8(%rsp),%rax"},
        {{0x48, 0x89, 0x5c, 0x24, 0x38}, "mov %rbx,0x38(%rsp)"},
        {{0x48, 0xc7, 0x44, 0x24, 0x08, 0, 0, 0, 0}, "movq $0,8(%rsp)"},
    };
    for (const auto& [access, text] : accesses) {
        EXPECT_FALSE(find(call_fentry + access + Bytes{0xc3}, SiteKind::fork)) << text;
        // sub $8,%rsp, at the next multiple of 8, is taken instead: registers alone
        const std::size_t filled = (call_fentry.size() + access.size()) % 8;
        const Bytes pushes((8 - filled) % 8, 0x53);
        const auto site =
            find(call_fentry + access + pushes + Bytes{0x48, 0x83, 0xec, 0x08, 0xc3}, SiteKind::fork);
        ASSERT_TRUE(site) << text;
        EXPECT_EQ(site->address - entry, call_fentry.size() + access.size() + pushes.size()) << text;
    }
    // push %rbp (5); mov %rsp,%rbp (6: crosses a word); mov %rdi,-8(%rbp) (9): rather two than that one
    EXPECT_SITE(
        find(call_fentry + Bytes{0x55, 0x48, 0x89, 0xe5, 0x48, 0x89, 0x7d, 0xf8, 0xc3}, SiteKind::fork), 5,
        LIST(1, 3));
}

TEST(SiteFinder, WantsTheArgumentIntactForExitAndInitcall)
{
    // mov (%rdi),%edi (5); sub $8,%rsp (7); mov %rdi,%rbx (11)
    const Bytes code = call_fentry + Bytes{0x8b, 0x3f, 0x48, 0x83, 0xec, 0x08, 0x48, 0x89, 0xfb, 0xc3};
    EXPECT_SITE(find(code, SiteKind::fork), 11, LIST(3));
    EXPECT_FALSE(find(code, SiteKind::exit));
    EXPECT_FALSE(find(code, SiteKind::initcall));
    // xor %edi,%edi may itself be displaced: the argument is read before it runs
    const Bytes late = call_fentry + Bytes{0x31, 0xff, 0x48, 0x83, 0xec, 0x08, 0xc3};
    EXPECT_SITE(find(late, SiteKind::exit), 5, LIST(2, 4));
}

TEST(SiteFinder, AvoidsJumpTargets)
{
    // push %r15 (5) push %r14 (7) push %r13 (9) push %r12 (11) jne (13)
    const Bytes pushes = call_fentry + Bytes{0x41, 0x57, 0x41, 0x56, 0x41, 0x55, 0x41, 0x54};
    EXPECT_SITE(find(pushes + Bytes{0x75, 20, 0xc3}, SiteKind::fork), 5, LIST(2, 2));
    EXPECT_SITE(find(pushes + Bytes{0x75, 0xf8, 0xc3}, SiteKind::fork), 9,
                LIST(2, 2)); // into the middle of 5
    EXPECT_SITE(find(pushes + Bytes{0x75, 0xf6, 0xc3}, SiteKind::fork), 9, LIST(2, 2)); // to 5 itself: a loop
    EXPECT_SITE(find(pushes + Bytes{0x75, 0xfa, 0xc3}, SiteKind::fork), 5, LIST(2, 2)); // just behind 5
    Bytes jump = {0xe9};
    append<std::uint32_t>(jump, static_cast<std::uint32_t>(entry + 7 - (cold + 5)));
    EXPECT_SITE(find(pushes + Bytes{0xc3}, SiteKind::fork, jump), 9, LIST(2, 2)); // from function.cold
}

TEST(SiteFinder, StopsAtControlTransfers)
{
    EXPECT_FALSE(find(call_fentry + Bytes{0xc3, 0x48, 0x89, 0xfb}, SiteKind::fork)) << "ret";
    EXPECT_FALSE(find(call_fentry + Bytes{0x85, 0xff, 0x74, 10, 0x48, 0x89, 0xfb}, SiteKind::fork)) << "je";
    EXPECT_FALSE(
        find(call_fentry + call(entry + 5, text_address + 0x40) + Bytes{0x48, 0x89, 0xfb}, SiteKind::fork))
        << "call";
    EXPECT_FALSE(find(call_fentry + Bytes{0x0f, 0x0b, 0x48, 0x89, 0xfb}, SiteKind::fork)) << "ud2";
    EXPECT_FALSE(find(call_fentry + Bytes{0x66, 0x90, 0x90, 0x48, 0x89, 0xfb}, SiteKind::fork))
        << "static branch";
    EXPECT_FALSE(find(call_fentry + Bytes{0x41, 0x57, 0xc3}, SiteKind::fork)) << "too short";
}

TEST(SiteFinder, StaysInsideOneWord)
{
    for (unsigned pushes = 0; pushes < 8; ++pushes) {
        // push %rbx, so many times; sub $8,%rsp
        const auto site =
            find(call_fentry + Bytes(pushes, 0x53) + Bytes{0x48, 0x83, 0xec, 0x08, 0xc3}, SiteKind::exit);
        ASSERT_TRUE(site || pushes == 1 || pushes == 2) << pushes;
        if (site) {
            EXPECT_EQ(site->address / 8, (site->address + 2) / 8) << pushes;
        }
    }
}

TEST(SiteFinder, FunctionThatIsNotInTheImage)
{
    const Bytes vmlinux = Kernel().vmlinux();
    const ElfImage elf(vmlinux, "vmlinux");
    EXPECT_ERROR(find_site(elf, Symbols({{0x1000, 'T', "f"}}, "map"), "f", SiteKind::fork),
                 "code of f is not in the image");
    EXPECT_ERROR(find_site(elf, Symbols({}, "map"), "f", SiteKind::fork), "code of f is not in the image");
}

// The kernel writes other instructions over these when it boots.
TEST(SiteFinder, LeavesAlternativesAlone)
{
    for (const bool patched : {false, true}) {
        synthetic::Image64 image;
        // push %rbx; sub $8,%rsp; ret
        const auto code = image.add(".text", {0x53, 0x48, 0x83, 0xec, 0x08, 0xc3});
        Bytes table;
        synthetic::append<std::uint32_t>(
            table, static_cast<std::uint32_t>(code + (patched ? 1 : 0x100) - image.next()));
        synthetic::append<std::uint64_t>(table, 0);
        image.add(".altinstructions", table);
        const Symbols symbols({{code, 'T', "release_task"}}, "kallsyms");
        const auto site = find_site(image.elf(), symbols, "release_task", SiteKind::exit);
        EXPECT_EQ(site.has_value(), !patched);
        if (site) {
            EXPECT_EQ(site->address, code + 1);
        }
    }
}

} // namespace
} // namespace lacuna
