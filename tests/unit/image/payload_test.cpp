// SPDX-License-Identifier: GPL-2.0-or-later
#include "payload.h"

#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "expect_error.h"
#include "kernel_image.h"
#include "synthetic_kernel.h"
#include "temporary_directory.h"

namespace lacuna {
namespace {

using namespace synthetic;

// Larger than one lz4 block (8 MiB), with some structure.
Bytes large_vmlinux()
{
    Bytes data = Kernel().vmlinux();
    const std::size_t start = data.size();
    data.resize(std::size_t{9} << 20);
    for (std::size_t i = start; i < data.size(); ++i)
        data[i] = static_cast<std::uint8_t>(i * i >> 9);
    return data;
}

struct Format {
    const char* name;
    Bytes (*pack)(const Bytes&);
    bool append_size;
};

class EveryFormat : public testing::TestWithParam<Format> {};

TEST_P(EveryFormat, UnpacksToTheSameBytes)
{
    const Bytes vmlinux = large_vmlinux();
    const auto& format = GetParam();
    const Bytes image =
        bz_image(format.pack(vmlinux), static_cast<std::uint32_t>(vmlinux.size()), format.append_size);
    EXPECT_TRUE(extract_vmlinux(image, "image") == vmlinux);
}

TEST_P(EveryFormat, DamagedPayloadIsAnError)
{
    const Bytes vmlinux = Kernel().vmlinux();
    const auto& format = GetParam();
    const Bytes packed = format.pack(vmlinux);
    for (const std::size_t keep : {std::size_t{20}, packed.size() / 2, packed.size() - 5}) {
        const Bytes cut(packed.begin(), packed.begin() + static_cast<std::ptrdiff_t>(keep));
        const Bytes image = bz_image(cut, static_cast<std::uint32_t>(vmlinux.size()), true);
        EXPECT_ERROR(extract_vmlinux(image, "cut.img"), "cut.img");
    }
}

TEST_P(EveryFormat, NeverUnpacksMoreThanAnnounced)
{
    const Bytes vmlinux = Kernel().vmlinux();
    const auto& format = GetParam();
    for (const std::size_t announced :
         {vmlinux.size() - 1, vmlinux.size() / 2, vmlinux.size() + 1, std::size_t{0}}) {
        Bytes packed = format.pack(vmlinux);
        if (!format.append_size)
            packed.resize(packed.size() - 4); // gzip carries the size itself: replace it
        const Bytes image = bz_image(packed, static_cast<std::uint32_t>(announced), true);
        EXPECT_ERROR(extract_vmlinux(image, "liar.img"), "liar.img");
    }
}

INSTANTIATE_TEST_SUITE_P(Payload, EveryFormat,
                         testing::Values(Format{"xz", xz, true}, Format{"lzma", lzma, true},
                                         Format{"gzip", gzip, false}, Format{"zstd", zstd, true},
                                         Format{"lz4", lz4, true}, Format{"bzip2", bzip2, true},
                                         Format{"lzo", lzo, true}),
                         [](const auto& test) { return test.param.name; });

TEST(Payload, ElfIsTakenAsItIs)
{
    const Bytes vmlinux = Kernel().vmlinux();
    EXPECT_TRUE(extract_vmlinux(vmlinux, "vmlinux") == vmlinux);
}

TEST(Payload, EmptyFile)
{
    EXPECT_ERROR(extract_vmlinux({}, "nothing"), "nothing: is empty");
}

TEST(Payload, UnknownFile)
{
    EXPECT_ERROR(extract_vmlinux(Bytes(100000, 'x'), "letter.txt"), "letter.txt: is not an x86 Linux kernel");
    EXPECT_ERROR(extract_vmlinux(Bytes(10, 'x'), "letter.txt"), "letter.txt: is not an x86 Linux kernel");
}

TEST(Payload, TruncatedFileSaysSo)
{
    const Bytes vmlinux = Kernel().vmlinux();
    const Bytes image = bz_image(xz(vmlinux), static_cast<std::uint32_t>(vmlinux.size()));
    const Bytes half(image.begin(), image.begin() + static_cast<std::ptrdiff_t>(image.size() / 2));
    EXPECT_ERROR(extract_vmlinux(half, "half.img"), "half.img: is truncated");
    const Bytes header(image.begin(), image.begin() + 0x240);
    EXPECT_ERROR(extract_vmlinux(header, "header.img"), "header.img: ends inside its boot header");
}

TEST(Payload, NoCutCrashes)
{
    const Bytes vmlinux = Kernel().vmlinux();
    const Bytes image = bz_image(zstd(vmlinux), static_cast<std::uint32_t>(vmlinux.size()));
    const std::size_t needed = image.size() - 1000;
    for (std::size_t size = 0; size < needed; size += 97)
        EXPECT_ERROR(extract_vmlinux(ByteView(image).first(size), "cut.img"), "cut.img");
}

TEST(Payload, UnknownPacking)
{
    EXPECT_ERROR(extract_vmlinux(bz_image(Bytes{'B', 'Z', 'i', 'p', 1, 2, 3, 4}, 1000), "odd.img"),
                 "packed in a way Lacuna does not know");
}

TEST(Payload, OneThatIsNotPacked)
{
    const Bytes vmlinux = Kernel().vmlinux();
    EXPECT_TRUE(extract_vmlinux(bz_image(vmlinux, 0, false), "plain.img") == vmlinux);
}

// A PE program with two sections, the second of which is the kernel's image, as ukify makes it.
TEST(Payload, AUnifiedKernelImage)
{
    const Bytes vmlinux = Kernel().vmlinux();
    const Bytes kernel = bz_image(zstd(vmlinux), static_cast<std::uint32_t>(vmlinux.size()));
    Bytes uki(0x400, 0);
    const auto put = [&](std::size_t at, const Bytes& bytes) {
        std::copy(bytes.begin(), bytes.end(), uki.begin() + static_cast<std::ptrdiff_t>(at));
    };
    Bytes section = {'.', 'l', 'i', 'n', 'u', 'x', 0, 0};
    append<std::uint32_t>(section, static_cast<std::uint32_t>(kernel.size()));
    append<std::uint32_t>(section, 0x20000);
    append<std::uint32_t>(section, static_cast<std::uint32_t>((kernel.size() + 511) / 512 * 512));
    append<std::uint32_t>(section, 0x400);
    put(0, {'M', 'Z'}), put(0x3c, {0x80}), put(0x80, {'P', 'E', 0, 0, 0x64, 0x86, 2, 0}), put(0x94, {0xf0});
    put(0x80 + 24 + 0xf0, {'.', 'o', 's', 'r', 'e', 'l', 0, 0});
    put(0x80 + 24 + 0xf0 + 40, section);
    uki.insert(uki.end(), kernel.begin(), kernel.end());
    uki.resize((uki.size() + 511) / 512 * 512);
    EXPECT_TRUE(extract_vmlinux(uki, "uki.efi") == vmlinux);
    EXPECT_ERROR(extract_vmlinux(ByteView(uki).first(uki.size() / 2), "uki.efi"), "uki.efi");
}

// A block of lzo says how much it unpacks to, before anything of it has been seen.
TEST(Payload, ABlockThatLies)
{
    const Bytes vmlinux = Kernel().vmlinux();
    const Bytes packed = lzo(vmlinux);
    constexpr std::size_t first_block = 38;
    for (const std::uint8_t highest : Bytes{0x03, 0x7f, 0xff}) {
        Bytes liar = packed;
        liar[first_block] = highest;
        EXPECT_ERROR(extract_vmlinux(bz_image(liar, static_cast<std::uint32_t>(vmlinux.size())), "liar.img"),
                     "the lzo payload cannot be unpacked");
    }
}

// Before 2.08 the header does not say where the payload is.
TEST(Payload, OldBootProtocol)
{
    Bytes memory = large_vmlinux();
    memory[0] = 0xfc; // no ELF file
    Bytes image = bz_image(gzip(memory), 0, false);
    image[0x206] = 0x07;
    EXPECT_TRUE(extract_vmlinux(image, "old.img") == memory);

    const Bytes magic = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
    std::copy(magic.begin(), magic.end(), image.begin() + 3 * 512 + 8); // in the code
    EXPECT_TRUE(extract_vmlinux(image, "old.img") == memory);

    image.resize(image.size() - 2000);
    EXPECT_ERROR(extract_vmlinux(image, "old.img"), "old.img: is a kernel with a boot protocol older than 2.08");
    image.resize(700);
    EXPECT_ERROR(extract_vmlinux(image, "old.img"), "old.img");
}

TEST(Payload, AnnouncedSizeIsBounded)
{
    EXPECT_ERROR(extract_vmlinux(bz_image(xz(Kernel().vmlinux()), 0xfffffff0), "bomb.img"),
                 "announces an unpacked size");
}

TEST(Payload, PayloadThatIsNoKernel)
{
    const Bytes letter(5000, 'x');
    EXPECT_ERROR(KernelImage(bz_image(xz(letter), 5000), "letter.img"),
                 "neither an ELF vmlinux nor a kernel whose address can be found");
}

TEST(ReadFile, NamesWhatIsMissing)
{
    EXPECT_ERROR(read_file("/nonexistent/vmlinuz"), "/nonexistent/vmlinuz: cannot be opened");
    EXPECT_ERROR(read_file("/"), "is not a regular file");
}

// What a VMM is given as its kernel need not be one, and must not keep us.
TEST(ReadFile, NeitherWaitsNorReadsWithoutEnd)
{
    const TemporaryDirectory folder;
    const auto fifo = folder.path() / "fifo", large = folder.path() / "large";
    ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
    EXPECT_ERROR(read_file(fifo), "is not a regular file");
    EXPECT_ERROR(read_file("/dev/zero"), "is not a regular file");
    std::ofstream(large) << "four";
    EXPECT_EQ(read_file(large, 4).size(), 4u);
    EXPECT_ERROR(read_file(large, 3), "is too large");
}

} // namespace
} // namespace lacuna
