// SPDX-License-Identifier: GPL-2.0-or-later
#include "elf_image.h"

#include <elf.h>
#include <gtest/gtest.h>

#include "expect_error.h"
#include "synthetic_kernel.h"

namespace lacuna {
namespace {

using namespace synthetic;

void put(Bytes& bytes, std::size_t at, std::uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; ++i)
        bytes.at(at + i) = static_cast<std::uint8_t>(value >> (8 * i));
}

TEST(ElfImage, ReadsByAddress)
{
    const Kernel kernel;
    const Bytes file = kernel.vmlinux();
    const ElfImage elf(file, "vmlinux");
    EXPECT_EQ(elf.architecture(), Architecture::x86_64);
    EXPECT_EQ(elf.segments().size(), 3u);
    EXPECT_TRUE(elf.segments()[0].executable);
    EXPECT_FALSE(elf.segments()[1].executable);
    const auto bytes = elf.read(text_address + 0x40, 6);
    ASSERT_TRUE(bytes);
    EXPECT_EQ(Bytes(bytes->begin(), bytes->end()),
              Bytes(kernel.text.begin() + 0x40, kernel.text.begin() + 0x46));
    EXPECT_FALSE(elf.read(text_address + kernel.text.size() - 2, 3)) << "must not run over the segment's end";
    EXPECT_EQ(elf.read_up_to(text_address + kernel.text.size() - 2, 3).size(), 2u);
    EXPECT_FALSE(elf.read(text_address - 1, 1));
    EXPECT_FALSE(elf.read(~std::uint64_t{0}, 2));
    EXPECT_FALSE(elf.read(text_address, ~std::uint64_t{0}));
    EXPECT_EQ(elf.section(".text"), nullptr) << "it has no sections";
}

TEST(ElfImage, FindsTheBuildIdAmongOtherNotes)
{
    Kernel kernel;
    const Bytes with = kernel.vmlinux();
    EXPECT_EQ(ElfImage(with, "vmlinux").build_id(), kernel.build_id);
    kernel.build_id.clear();
    const Bytes without = kernel.vmlinux();
    EXPECT_FALSE(ElfImage(without, "vmlinux").build_id());
}

TEST(ElfImage, RefusesOtherFiles)
{
    EXPECT_ERROR(ElfImage(Bytes(1000, 'x'), "letter"), "letter: is not an ELF file");
    EXPECT_ERROR(ElfImage(Bytes{0x7f, 'E', 'L', 'F'}, "short"), "short: is not an ELF file");
    Bytes arm = Kernel().vmlinux();
    put(arm, offsetof(Elf64_Ehdr, e_machine), EM_AARCH64, 2);
    EXPECT_ERROR(ElfImage(arm, "arm"), "another machine than x86");
    Bytes object = Kernel().vmlinux();
    put(object, offsetof(Elf64_Ehdr, e_phnum), 0, 2);
    EXPECT_ERROR(ElfImage(object, "object"), "without loadable segments");
}

TEST(ElfImage, RefusesHeadersThatPointOutside)
{
    constexpr std::size_t program = sizeof(Elf64_Ehdr);
    const auto broken = [](std::size_t at, std::uint64_t value, unsigned size) {
        Bytes file = Kernel().vmlinux();
        put(file, at, value, size);
        return file;
    };
    EXPECT_ERROR(ElfImage(broken(offsetof(Elf64_Ehdr, e_phoff), ~std::uint64_t{7}, 8), "x"),
                 "program header");
    EXPECT_ERROR(ElfImage(broken(offsetof(Elf64_Ehdr, e_phentsize), 1, 2), "x"), "program header size");
    EXPECT_ERROR(ElfImage(broken(offsetof(Elf64_Ehdr, e_phnum), 0xffff, 2), "x"), "damaged");
    EXPECT_ERROR(ElfImage(broken(program + offsetof(Elf64_Phdr, p_offset), ~std::uint64_t{0}, 8), "x"),
                 "segment");
    EXPECT_ERROR(ElfImage(broken(program + offsetof(Elf64_Phdr, p_filesz), ~std::uint64_t{0}, 8), "x"),
                 "segment");
    EXPECT_ERROR(ElfImage(broken(program + offsetof(Elf64_Phdr, p_memsz), 1, 8), "x"), "impossible size");
    EXPECT_ERROR(ElfImage(broken(program + offsetof(Elf64_Phdr, p_memsz), ~std::uint64_t{0}, 8), "x"),
                 "impossible size");
    EXPECT_ERROR(ElfImage(broken(offsetof(Elf64_Ehdr, e_shnum), 3, 2), "x"), "damaged");
}

// Each part of the file would be looked at as often as a header names it.
TEST(ElfImage, RefusesMoreThanAnyKernelHas)
{
    const Bytes kernel = Kernel().vmlinux();
    const auto with_segments = [&](std::uint16_t count) { // all of them the whole file
        Bytes file = kernel;
        put(file, offsetof(Elf64_Ehdr, e_phoff), file.size(), 8);
        put(file, offsetof(Elf64_Ehdr, e_phnum), count, 2);
        Elf64_Phdr program{};
        program.p_type = PT_LOAD;
        program.p_filesz = program.p_memsz = kernel.size();
        for (unsigned i = 0; i < count; ++i) {
            const auto* bytes = reinterpret_cast<const std::uint8_t*>(&program);
            file.insert(file.end(), bytes, bytes + sizeof(program));
        }
        return file;
    };
    const Bytes one = with_segments(1);
    EXPECT_EQ(ElfImage(one, "one").segments().size(), 1u);
    EXPECT_ERROR(ElfImage(with_segments(60), "twice"), "its segments have more bytes than the file");
    EXPECT_ERROR(ElfImage(with_segments(65), "many"), "it has 65 segments");
    Bytes sections = kernel;
    put(sections, offsetof(Elf64_Ehdr, e_shnum), 4097, 2);
    put(sections, offsetof(Elf64_Ehdr, e_shentsize), sizeof(Elf64_Shdr), 2);
    EXPECT_ERROR(ElfImage(sections, "sections"), "it has 4097 sections");
}

TEST(ElfImage, NoCutCrashes)
{
    const Bytes file = Kernel().vmlinux();
    for (std::size_t size = 0; size < file.size() - 1; size += 61)
        EXPECT_ERROR(ElfImage(ByteView(file).first(size), "cut"), "cut");
}

} // namespace
} // namespace lacuna
