// SPDX-License-Identifier: GPL-2.0-or-later
#include "payload.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <memory>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <lz4.h>
#include <lzma.h>
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "error.h"
#include "fd.h"

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

// Output that grows with what really comes out, up to the size the image promised.
class Output {
public:
    Output(std::size_t limit, const std::string& name) : limit_(limit), name_(name) {}

    // Room for at least one more byte, as much as is allocated.
    std::span<std::uint8_t> room()
    {
        if (used_ == bytes_.size()) {
            if (used_ >= limit_)
                throw Error("the payload unpacks to more than the " + std::to_string(limit_) +
                                " bytes it announces",
                            name_, copy_again);
            bytes_.resize(std::min(limit_, std::max<std::size_t>(std::size_t{4} << 20, used_ * 2)));
        }
        return std::span(bytes_).subspan(used_);
    }
    void advance(std::size_t count) { used_ += count; }
    bool full() const { return used_ == limit_; }

    Bytes take()
    {
        if (used_ != limit_)
            throw Error("the payload unpacks to " + std::to_string(used_) + " bytes instead of the " +
                            std::to_string(limit_) + " it announces",
                        name_, copy_again);
        bytes_.resize(used_);
        return std::move(bytes_);
    }

private:
    std::size_t limit_;
    std::string name_;
    Bytes bytes_;
    std::size_t used_ = 0;
};

[[noreturn]] void damaged(const char* format, const std::string& name, const std::string& why)
{
    throw Error(std::string("the ") + format + " payload cannot be unpacked (" + why + ")", name, copy_again);
}

void unpack_lzma(ByteView input, Output& output, const std::string& name)
{
    lzma_stream stream = LZMA_STREAM_INIT;
    const std::unique_ptr<lzma_stream, decltype(&lzma_end)> guard(&stream, lzma_end);
    constexpr std::uint64_t memory_limit = std::uint64_t{256}
                                           << 20; // kernels use a 32 MiB (xz) dictionary at most
    if (lzma_auto_decoder(&stream, memory_limit, 0) != LZMA_OK)
        throw Error("no memory for the xz decoder", name);
    stream.next_in = input.data();
    stream.avail_in = input.size();
    std::array<std::uint8_t, 1>
        spill; // lets the decoder see the end of the stream once the output is complete
    for (;;) {
        const auto room = output.full() ? std::span<std::uint8_t>(spill) : output.room();
        stream.next_out = room.data();
        stream.avail_out = room.size();
        const lzma_ret result = lzma_code(&stream, LZMA_FINISH);
        const std::size_t produced = room.size() - stream.avail_out;
        if (room.data() == spill.data() && produced != 0)
            damaged("xz", name, "it unpacks to more than it announces");
        output.advance(produced);
        if (result == LZMA_STREAM_END)
            return;
        if (result != LZMA_OK)
            damaged("xz", name, "xz error " + std::to_string(result));
    }
}

void unpack_gzip(ByteView input, Output& output, const std::string& name)
{
    z_stream stream{};
    constexpr int gzip_only = 16 + MAX_WBITS;
    if (inflateInit2(&stream, gzip_only) != Z_OK)
        throw Error("no memory for the gzip decoder", name);
    const std::unique_ptr<z_stream, decltype(&inflateEnd)> guard(&stream, inflateEnd);
    stream.next_in = const_cast<std::uint8_t*>(input.data()); // zlib does not write to it
    stream.avail_in = static_cast<uInt>(input.size());        // at most max_kernel_size
    std::array<std::uint8_t, 1> spill;
    for (;;) {
        const auto room = output.full() ? std::span<std::uint8_t>(spill) : output.room();
        stream.next_out = room.data();
        stream.avail_out = static_cast<uInt>(room.size());
        const int result = inflate(&stream, Z_NO_FLUSH);
        const std::size_t produced = room.size() - stream.avail_out;
        if (room.data() == spill.data() && produced != 0)
            damaged("gzip", name, "it unpacks to more than it announces");
        output.advance(produced);
        if (result == Z_STREAM_END)
            return;
        if (result != Z_OK)
            damaged("gzip", name, stream.msg ? stream.msg : "the data end early");
    }
}

void unpack_zstd(ByteView input, Output& output, const std::string& name)
{
    const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
    if (!context)
        throw Error("no memory for the zstd decoder", name);
    ZSTD_inBuffer in{input.data(), input.size(), 0};
    std::array<std::uint8_t, 1> spill;
    for (;;) {
        const auto room = output.full() ? std::span<std::uint8_t>(spill) : output.room();
        ZSTD_outBuffer out{room.data(), room.size(), 0};
        const std::size_t before = in.pos;
        const std::size_t result = ZSTD_decompressStream(context.get(), &out, &in);
        if (ZSTD_isError(result))
            damaged("zstd", name, ZSTD_getErrorName(result));
        if (room.data() == spill.data() && out.pos != 0)
            damaged("zstd", name, "it unpacks to more than it announces");
        output.advance(out.pos);
        if (result == 0)
            return;
        if (out.pos == 0 && in.pos == before)
            damaged("zstd", name, "the data end early");
    }
}

// The legacy frame of `lz4 -l`: a magic, then blocks of at most 8 MiB of output, each with its packed size in
// front.
void unpack_lz4(ByteView input, Output& output, const std::string& name)
{
    constexpr std::size_t block_size = std::size_t{8} << 20;
    Bytes block(block_size);
    std::uint64_t at = 4;
    while (at < input.size()) {
        const auto packed_size = load<std::uint32_t>(input, at);
        const auto packed = packed_size ? slice(input, at + 4, *packed_size) : std::nullopt;
        if (!packed || packed->size() > std::size_t{LZ4_COMPRESSBOUND(block_size)})
            damaged("lz4", name, "the data end early");
        const int count = LZ4_decompress_safe(
            reinterpret_cast<const char*>(packed->data()), reinterpret_cast<char*>(block.data()),
            static_cast<int>(packed->size()), static_cast<int>(block.size()));
        if (count < 0)
            damaged("lz4", name, "lz4 error " + std::to_string(count));
        for (std::size_t done = 0; done < static_cast<std::size_t>(count);) {
            const auto room = output.room();
            const std::size_t step = std::min(room.size(), static_cast<std::size_t>(count) - done);
            std::copy_n(block.data() + done, step, room.data());
            output.advance(step);
            done += step;
        }
        at += 4 + packed->size();
    }
}

bool starts_with(ByteView bytes, std::initializer_list<std::uint8_t> magic)
{
    return bytes.size() >= magic.size() && std::equal(magic.begin(), magic.end(), bytes.begin());
}

bool is_elf(ByteView bytes)
{
    return starts_with(bytes, {0x7f, 'E', 'L', 'F'});
}

// The build appends the unpacked size to every payload (scripts/Makefile.lib, size_append; gzip has it by
// itself), and payload_length counts those four bytes.
Bytes unpack(ByteView payload, const std::string& name)
{
    const auto announced =
        payload.size() < 8 ? std::nullopt : load<std::uint32_t>(payload, payload.size() - 4);
    if (!announced)
        throw Error("the payload is only " + std::to_string(payload.size()) + " bytes long", name,
                    copy_again);
    if (*announced > max_kernel_size)
        throw Error("the payload announces an unpacked size of " + std::to_string(*announced) + " bytes",
                    name, copy_again);
    Output output(*announced, name);
    const ByteView packed = payload.first(payload.size() - 4);
    if (starts_with(payload, {0xfd, '7', 'z', 'X', 'Z', 0}) || starts_with(payload, {0x5d, 0, 0}))
        unpack_lzma(packed, output, name);
    else if (starts_with(payload, {0x1f, 0x8b}))
        unpack_gzip(payload, output, name);
    else if (starts_with(payload, {0x28, 0xb5, 0x2f, 0xfd}))
        unpack_zstd(packed, output, name);
    else if (starts_with(payload, {0x02, 0x21, 0x4c, 0x18}))
        unpack_lz4(packed, output, name);
    else
        throw Error(
            "the payload is packed in a way Lacuna does not know (it knows xz, lzma, gzip, zstd and lz4)",
            name, "unpack the kernel with the kernel's scripts/extract-vmlinux and give the vmlinux instead");
    return output.take();
}

} // namespace

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

Bytes extract_vmlinux(ByteView image, const std::string& name)
{
    if (image.empty())
        throw Error("is empty", name, "give a kernel image (vmlinuz, bzImage or vmlinux)");
    if (is_elf(image))
        return Bytes(image.begin(), image.end());

    constexpr std::uint32_t header_magic = 0x53726448; // "HdrS"
    if (load<std::uint16_t>(image, boot_flag_at) != 0xaa55 ||
        load<std::uint32_t>(image, magic_at) != header_magic)
        throw Error("is not an x86 Linux kernel: neither a bzImage nor an ELF vmlinux", name,
                    "give the file the guest boots, for example its /boot/vmlinuz-VERSION");
    const auto version = load<std::uint16_t>(image, version_at);
    const auto offset = load<std::uint32_t>(image, payload_offset_at);
    const auto length = load<std::uint32_t>(image, payload_length_at);
    if (!version || !offset || !length)
        throw Error("ends inside its boot header", name, copy_again);
    if (*version < 0x208)
        throw Error(
            "is a kernel with a boot protocol older than 2.08, which does not say where its payload is", name,
            "unpack the kernel with the kernel's scripts/extract-vmlinux and give the vmlinux instead");
    const std::uint64_t sectors = image[setup_sects_at] == 0 ? 4 : image[setup_sects_at];
    const std::uint64_t start = (sectors + 1) * 512 + *offset;
    const auto payload = slice(image, start, *length);
    if (!payload)
        throw Error("is truncated: the payload should end at byte " + std::to_string(start + *length) +
                        ", the file has " + std::to_string(image.size()),
                    name, copy_again);
    Bytes vmlinux = unpack(*payload, name);
    if (!is_elf(vmlinux))
        throw Error("holds a payload that is not an ELF vmlinux", name, copy_again);
    return vmlinux;
}

} // namespace lacuna
