// SPDX-License-Identifier: GPL-2.0-or-later
#include "payload.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <unistd.h>

#include "decompress.h"
#include "error.h"
#include "fd.h"
#include "raw_image.h"

namespace lacuna {

namespace {

constexpr const char* copy_again = "copy the file again, it is truncated or damaged";

// Where the boot protocol keeps what we need: Documentation/arch/x86/boot.rst.
constexpr std::uint64_t setup_sects_at = 0x1f1;
constexpr std::uint64_t boot_flag_at = 0x1fe;
constexpr std::uint64_t magic_at = 0x202;
constexpr std::uint64_t version_at = 0x206;
constexpr std::uint64_t payload_offset_at = 0x248;
constexpr std::uint64_t payload_length_at = 0x24c;

// The build appends the unpacked size to every payload (scripts/Makefile.lib, size_append; gzip has it by
// itself), and payload_length counts those four bytes.
Bytes unpack(ByteView payload, const std::string& name)
{
    if (is_elf(payload)) // as it is (CONFIG_KERNEL_UNCOMPRESSED)
        return Bytes(payload.begin(), payload.end());
    const auto announced =
        payload.size() < 8 ? std::nullopt : load<std::uint32_t>(payload, payload.size() - 4);
    if (!announced)
        throw Error("the payload is only " + std::to_string(payload.size()) + " bytes long", name,
                    copy_again);
    if (*announced > max_kernel_size)
        throw Error("the payload announces an unpacked size of " + std::to_string(*announced) + " bytes",
                    name, copy_again);
    const auto packing = packing_of(payload);
    if (!packing)
        throw Error("the payload is packed in a way Lacuna does not know (it knows gzip, bzip2, lzma, xz, "
                    "lzo, lz4 and zstd)",
                    name, "unpack the kernel and give the vmlinux instead");
    const ByteView packed = payload.first(payload.size() - (*packing == Packing::gzip ? 0 : 4));
    return decompress(*packing, packed, *announced, name);
}

// Before boot protocol 2.08 (2.6.26) nothing says where the payload is. It is a gzip file then, and holds the kernel's
// memory from its first byte on, without an ELF header.
Bytes search_payload(ByteView code, const std::string& name)
{
    constexpr std::array<std::uint8_t, 3> gzip = {0x1f, 0x8b, 8};
    constexpr std::size_t smallest = std::size_t{64} << 10;
    constexpr unsigned most_tries = 16; // the magic may stand in code
    auto from = code.begin();
    for (unsigned i = 0; i < most_tries; ++i) {
        from = std::search(from, code.end(), gzip.begin(), gzip.end());
        if (from == code.end())
            break;
        Bytes found = decompress_gzip_up_to(code.subspan(static_cast<std::size_t>(from - code.begin())),
                                            largest_raw_image, name);
        if (found.size() >= smallest)
            return found;
        ++from;
    }
    throw Error("is a kernel with a boot protocol older than 2.08, and holds no gzip payload that can be unpacked",
                name, copy_again);
}

// The section .linux of a unified kernel image: a PE program for UEFI with the kernel, its initrd and its command line as
// sections (UAPI group's specification). A bzImage is a PE program as well, without such a section.
std::optional<ByteView> linux_section(ByteView image)
{
    constexpr std::uint64_t pe_offset_at = 0x3c, header_size = 24, section_size = 40;
    constexpr std::string_view name(".linux\0\0", 8);
    if (load<std::uint16_t>(image, 0) != 0x5a4d) // "MZ"
        return std::nullopt;
    const auto pe = load<std::uint32_t>(image, pe_offset_at);
    if (!pe || load<std::uint32_t>(image, *pe) != 0x4550u) // "PE"
        return std::nullopt;
    const auto sections = load<std::uint16_t>(image, std::uint64_t{*pe} + 6);
    const auto optional_size = load<std::uint16_t>(image, std::uint64_t{*pe} + 20);
    for (std::uint64_t i = 0; sections && optional_size && i < *sections; ++i) {
        const std::uint64_t at = *pe + header_size + *optional_size + i * section_size;
        const auto bytes = slice(image, at, section_size);
        if (!bytes)
            return std::nullopt;
        if (!std::equal(name.begin(), name.end(), bytes->begin()))
            continue;
        // The file has it rounded up; its size in memory is what it is.
        const auto size = std::min(*load<std::uint32_t>(*bytes, 8), *load<std::uint32_t>(*bytes, 16));
        return slice(image, *load<std::uint32_t>(*bytes, 20), size);
    }
    return std::nullopt;
}

} // namespace

bool is_elf(ByteView bytes)
{
    constexpr std::array<std::uint8_t, 4> magic = {0x7f, 'E', 'L', 'F'};
    return bytes.size() >= magic.size() && std::equal(magic.begin(), magic.end(), bytes.begin());
}

Bytes read_file(const std::filesystem::path& path, std::size_t most)
{
    // A FIFO must not make us wait, and what is looked at must be what is read.
    const Fd file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat status {};
    if (!file || fstat(file.get(), &status) != 0)
        throw system_error("cannot be opened", path.string(), "check the path and the permissions");
    if (!S_ISREG(status.st_mode))
        throw Error("is not a regular file", path.string(), "give the path of a kernel image file");
    if (static_cast<std::uint64_t>(status.st_size) > most)
        throw Error(fmt::format("is too large for a kernel's file (limit {} MiB)", most >> 20), path.string(),
                    "give the path of a kernel image file");
    Bytes bytes(static_cast<std::size_t>(status.st_size));
    for (std::size_t done = 0; done < bytes.size();) {
        const ssize_t got = read(file.get(), bytes.data() + done, bytes.size() - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            throw Error("cannot be read to its end", path.string(), "try again; the file may be changing");
        done += static_cast<std::size_t>(got);
    }
    return bytes;
}

Bytes read_whole(int fd, const std::string& name)
{
    Bytes bytes;
    for (std::size_t done = 0;;) {
        bytes.resize(done + (std::size_t{1} << 20));
        const ssize_t got = read(fd, bytes.data() + done, bytes.size() - done);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            throw system_error("cannot be read to its end", name);
        done += static_cast<std::size_t>(got);
        if (got == 0) {
            bytes.resize(done);
            return bytes;
        }
    }
}

Bytes extract_vmlinux(ByteView image, const std::string& name)
{
    if (image.empty())
        throw Error("is empty", name, "give a kernel image (vmlinuz, bzImage or vmlinux)");
    if (is_elf(image))
        return Bytes(image.begin(), image.end());

    if (const auto inner = linux_section(image); inner && !linux_section(*inner))
        return extract_vmlinux(*inner, name);

    constexpr std::uint32_t header_magic = 0x53726448; // "HdrS"
    if (load<std::uint16_t>(image, boot_flag_at) != 0xaa55 ||
        load<std::uint32_t>(image, magic_at) != header_magic)
        throw Error("is not an x86 Linux kernel: neither a bzImage nor an ELF vmlinux", name,
                    "give the file the guest boots, for example its /boot/vmlinuz-VERSION");
    const auto version = load<std::uint16_t>(image, version_at);
    const std::uint64_t sectors = image[setup_sects_at] == 0 ? 4 : image[setup_sects_at];
    const std::uint64_t code = (sectors + 1) * 512;
    if (version && *version < 0x208 && image.size() > code)
        return search_payload(image.subspan(static_cast<std::size_t>(code)), name);
    const auto offset = load<std::uint32_t>(image, payload_offset_at);
    const auto length = load<std::uint32_t>(image, payload_length_at);
    if (!version || !offset || !length)
        throw Error("ends inside its boot header", name, copy_again);
    const std::uint64_t start = code + *offset;
    const auto payload = slice(image, start, *length);
    if (!payload)
        throw Error("is truncated: the payload should end at byte " + std::to_string(start + *length) +
                        ", the file has " + std::to_string(image.size()),
                    name, copy_again);
    return unpack(*payload, name);
}

} // namespace lacuna
