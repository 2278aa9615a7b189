// SPDX-License-Identifier: GPL-2.0-or-later
#include "decompress.h"

#include <algorithm>
#include <array>
#include <memory>

#include <bzlib.h>
#include <lz4.h>
#include <lzma.h>
#include <lzo/lzo1x.h>
#include <zlib.h>
#include <zstd.h>

#include "error.h"

namespace lacuna {

namespace {

constexpr const char* copy_again = "copy the file again, it is truncated or damaged";

bool starts_with(ByteView bytes, std::initializer_list<std::uint8_t> magic)
{
    return bytes.size() >= magic.size() && std::equal(magic.begin(), magic.end(), bytes.begin());
}

// Output that grows with what really comes out, up to the size the image promised.
class Output {
public:
    Output(std::size_t limit, const char* format, const std::string& name)
        : limit_(limit),
          format_(format),
          name_(name)
    {}

    // Room for at least one more byte, as much as is allocated.
    std::span<std::uint8_t> room()
    {
        if (used_ == bytes_.size()) {
            if (used_ >= limit_)
                damaged("it unpacks to more than the " + std::to_string(limit_) + " bytes it announces");
            bytes_.resize(std::min(limit_, std::max<std::size_t>(std::size_t{4} << 20, used_ * 2)));
        }
        return std::span(bytes_).subspan(used_);
    }
    void advance(std::size_t count) { used_ += count; }
    void append(ByteView more)
    {
        while (!more.empty()) {
            const auto to = room();
            const auto part = more.first(std::min(to.size(), more.size()));
            std::copy(part.begin(), part.end(), to.begin());
            advance(part.size());
            more = more.subspan(part.size());
        }
    }
    bool full() const { return used_ == limit_; }
    Bytes take()
    {
        bytes_.resize(used_);
        return std::move(bytes_);
    }

    [[noreturn]] void damaged(const std::string& why) const
    {
        throw Error(std::string("the ") + format_ + " payload cannot be unpacked (" + why + ")", name_,
                    copy_again);
    }

private:
    std::size_t limit_;
    const char* format_;
    std::string name_;
    Bytes bytes_;
    std::size_t used_ = 0;
};

// What a decoder has done in one step.
struct Step {
    std::size_t produced;
    bool moved; // anything read or written
    bool ended; // the stream is complete
    std::string failure;
};

// Calls `step` with room for its output until the stream ends.
template <typename Decoder> void run(Output& output, const Decoder& step)
{
    std::array<std::uint8_t, 1> spill; // lets a decoder see the end of the stream once the output is complete
    for (;;) {
        const bool full = output.full();
        const Step done = step(full ? std::span<std::uint8_t>(spill) : output.room());
        if (full && done.produced != 0)
            output.damaged("it unpacks to more than it announces");
        output.advance(done.produced);
        if (!done.failure.empty())
            output.damaged(done.failure);
        if (done.ended)
            return;
        if (!done.moved)
            output.damaged("the data end early");
    }
}

template <typename Stream> bool moves(const Stream& stream, std::size_t in, std::size_t out)
{
    return stream.avail_in != in || stream.avail_out != out;
}

void unpack_xz_or_lzma(ByteView input, Output& output, bool xz)
{
    lzma_stream stream = LZMA_STREAM_INIT;
    const std::unique_ptr<lzma_stream, decltype(&lzma_end)> guard(&stream, lzma_end);
    // Kernels use a dictionary of 64 MiB (lzma) or 32 MiB (xz) at most.
    constexpr std::uint64_t memory_limit = std::uint64_t{256} << 20;
    if ((xz ? lzma_stream_decoder(&stream, memory_limit, 0) : lzma_alone_decoder(&stream, memory_limit)) !=
        LZMA_OK)
        output.damaged("no memory for the decoder");
    stream.next_in = input.data();
    stream.avail_in = input.size();
    run(output, [&](std::span<std::uint8_t> room) -> Step {
        stream.next_out = room.data();
        stream.avail_out = room.size();
        const std::size_t in = stream.avail_in;
        const lzma_ret result = lzma_code(&stream, LZMA_FINISH);
        const bool good = result == LZMA_OK || result == LZMA_STREAM_END || result == LZMA_BUF_ERROR;
        return {room.size() - stream.avail_out, moves(stream, in, room.size()), result == LZMA_STREAM_END,
                good ? "" : "error " + std::to_string(result)};
    });
}

void unpack_gzip(ByteView input, Output& output)
{
    z_stream stream{};
    constexpr int gzip_only = 16 + MAX_WBITS;
    if (inflateInit2(&stream, gzip_only) != Z_OK)
        output.damaged("no memory for the decoder");
    const std::unique_ptr<z_stream, decltype(&inflateEnd)> guard(&stream, inflateEnd);
    stream.next_in = const_cast<std::uint8_t*>(input.data()); // zlib does not write to it
    stream.avail_in = static_cast<uInt>(input.size());        // at most max_kernel_size
    run(output, [&](std::span<std::uint8_t> room) -> Step {
        stream.next_out = room.data();
        stream.avail_out = static_cast<uInt>(room.size());
        const uInt in = stream.avail_in;
        const int result = inflate(&stream, Z_NO_FLUSH);
        const bool good = result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR;
        return {room.size() - stream.avail_out, moves(stream, in, room.size()), result == Z_STREAM_END,
                good ? "" : stream.msg ? stream.msg : "error " + std::to_string(result)};
    });
}

void unpack_bzip2(ByteView input, Output& output)
{
    bz_stream stream{};
    if (BZ2_bzDecompressInit(&stream, 0, 0) != BZ_OK)
        output.damaged("no memory for the decoder");
    const std::unique_ptr<bz_stream, decltype(&BZ2_bzDecompressEnd)> guard(&stream, BZ2_bzDecompressEnd);
    // libbz2 does not write to it, and it is at most max_kernel_size.
    stream.next_in = reinterpret_cast<char*>(const_cast<std::uint8_t*>(input.data()));
    stream.avail_in = static_cast<unsigned>(input.size());
    run(output, [&](std::span<std::uint8_t> room) -> Step {
        stream.next_out = reinterpret_cast<char*>(room.data());
        stream.avail_out = static_cast<unsigned>(room.size());
        const unsigned in = stream.avail_in;
        const int result = BZ2_bzDecompress(&stream);
        return {room.size() - stream.avail_out, moves(stream, in, room.size()), result == BZ_STREAM_END,
                result == BZ_OK || result == BZ_STREAM_END ? "" : "error " + std::to_string(result)};
    });
}

void unpack_zstd(ByteView input, Output& output)
{
    const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(), ZSTD_freeDCtx);
    if (!context)
        output.damaged("no memory for the decoder");
    ZSTD_inBuffer in{input.data(), input.size(), 0};
    run(output, [&](std::span<std::uint8_t> room) -> Step {
        ZSTD_outBuffer out{room.data(), room.size(), 0};
        const std::size_t before = in.pos;
        const std::size_t result = ZSTD_decompressStream(context.get(), &out, &in);
        return {out.pos, out.pos != 0 || in.pos != before, result == 0,
                ZSTD_isError(result) ? ZSTD_getErrorName(result) : ""};
    });
}

// The legacy frame of `lz4 -l`: a magic, then blocks of at most 8 MiB of output, each with its packed size in
// front.
void unpack_lz4(ByteView input, Output& output)
{
    constexpr std::size_t block_size = std::size_t{8} << 20;
    Bytes block(block_size);
    std::uint64_t at = 4;
    while (at < input.size()) {
        const auto packed_size = load<std::uint32_t>(input, at);
        const auto packed = packed_size ? slice(input, at + 4, *packed_size) : std::nullopt;
        if (!packed || packed->size() > std::size_t{LZ4_COMPRESSBOUND(block_size)})
            output.damaged("the data end early");
        const int count = LZ4_decompress_safe(
            reinterpret_cast<const char*>(packed->data()), reinterpret_cast<char*>(block.data()),
            static_cast<int>(packed->size()), static_cast<int>(block.size()));
        if (count < 0)
            output.damaged("error " + std::to_string(count));
        output.append(ByteView(block).first(static_cast<std::size_t>(count)));
        at += 4 + packed->size();
    }
}

// What lzop(1) writes: numbers of the highest byte first, a header, and blocks of at most 64 MiB of output (the
// build's has 256 KiB), each with its two sizes and perhaps checksums in front; a size of 0 ends it. The kernel's own
// decoder is lib/decompress_unlzo.c.
class LzopReader {
public:
    LzopReader(ByteView input, Output& output) : input_(input), output_(output) {}

    void unpack()
    {
        read_header();
        if (lzo_init() != LZO_E_OK)
            output_.damaged("the library does not fit this program");
        while (const std::uint32_t size = number<std::uint32_t>()) {
            const auto packed_size = number<std::uint32_t>();
            if (size > largest_block || packed_size > size)
                output_.damaged("a block has an impossible size");
            skip(4 * (has(adler_of_data) + has(crc_of_data)));
            if (packed_size < size)
                skip(4 * (has(adler_of_packed) + has(crc_of_packed)));
            unpack_block(part(packed_size), size);
        }
    }

private:
    static constexpr std::uint32_t largest_block = std::uint32_t{64} << 20;
    enum : std::uint32_t {
        adler_of_data = 0x1,
        adler_of_packed = 0x2,
        extra_field = 0x40,
        crc_of_data = 0x100,
        crc_of_packed = 0x200,
        filter = 0x800,
    };

    unsigned has(std::uint32_t flag) const { return (flags_ & flag) != 0; }
    ByteView part(std::uint64_t size)
    {
        const auto found = slice(input_, at_, size);
        if (!found)
            output_.damaged("the data end early");
        at_ += size;
        return *found;
    }
    void skip(std::uint64_t size) { part(size); }
    template <typename T> T number()
    {
        T value = 0;
        for (const std::uint8_t byte : part(sizeof(T)))
            value = static_cast<T>(value << 8 | byte);
        return value;
    }

    void read_header()
    {
        constexpr std::uint16_t with_level = 0x940; // the version that brought it, and what it says is needed
        skip(9);                                    // the magic
        const auto version = number<std::uint16_t>();
        skip(2 + (version >= with_level ? 2 : 0)); // of the library; needed to unpack
        skip(1 + (version >= with_level ? 1 : 0)); // method, level
        flags_ = number<std::uint32_t>();
        skip(has(filter) * 4);
        skip(4 + 4 + (version >= with_level ? 4 : 0)); // mode, time
        skip(number<std::uint8_t>());                  // name
        skip(4);                                       // checksum of the header
        if (has(extra_field))
            skip(number<std::uint32_t>() + std::uint64_t{4});
    }

    void unpack_block(ByteView packed, std::uint32_t size)
    {
        if (packed.size() == size) // not worth packing
            return output_.append(packed);
        block_.resize(size);
        lzo_uint count = size;
        if (lzo1x_decompress_safe(packed.data(), packed.size(), block_.data(), &count, nullptr) !=
                LZO_E_OK ||
            count != size)
            output_.damaged("a block is damaged");
        output_.append(block_);
    }

    ByteView input_;
    Output& output_;
    std::uint64_t at_ = 0;
    std::uint32_t flags_ = 0;
    Bytes block_;
};

const char* name_of(Packing packing)
{
    switch (packing) {
    case Packing::gzip:
        return "gzip";
    case Packing::bzip2:
        return "bzip2";
    case Packing::lzma:
        return "lzma";
    case Packing::xz:
        return "xz";
    case Packing::lzo:
        return "lzo";
    case Packing::lz4:
        return "lz4";
    case Packing::zstd:
        return "zstd";
    }
    return "unknown";
}

} // namespace

std::optional<Packing> packing_of(ByteView packed)
{
    if (starts_with(packed, {0x1f, 0x8b}))
        return Packing::gzip;
    if (starts_with(packed, {'B', 'Z', 'h'}))
        return Packing::bzip2;
    if (starts_with(packed, {0x5d, 0, 0}))
        return Packing::lzma;
    if (starts_with(packed, {0xfd, '7', 'z', 'X', 'Z', 0}))
        return Packing::xz;
    if (starts_with(packed, {0x89, 'L', 'Z', 'O', 0, '\r', '\n', 0x1a, '\n'}))
        return Packing::lzo;
    if (starts_with(packed, {0x02, 0x21, 0x4c, 0x18}))
        return Packing::lz4;
    if (starts_with(packed, {0x28, 0xb5, 0x2f, 0xfd}))
        return Packing::zstd;
    return std::nullopt;
}

Bytes decompress(Packing packing, ByteView packed, std::size_t size, const std::string& name)
{
    Output output(size, name_of(packing), name);
    switch (packing) {
    case Packing::gzip:
        unpack_gzip(packed, output);
        break;
    case Packing::bzip2:
        unpack_bzip2(packed, output);
        break;
    case Packing::lzma:
    case Packing::xz:
        unpack_xz_or_lzma(packed, output, packing == Packing::xz);
        break;
    case Packing::lzo:
        LzopReader(packed, output).unpack();
        break;
    case Packing::lz4:
        unpack_lz4(packed, output);
        break;
    case Packing::zstd:
        unpack_zstd(packed, output);
        break;
    }
    Bytes bytes = output.take();
    if (bytes.size() != size)
        output.damaged("it unpacks to " + std::to_string(bytes.size()) + " bytes instead of the " +
                       std::to_string(size) + " it announces");
    return bytes;
}

Bytes decompress_gzip_up_to(ByteView packed, std::size_t most, const std::string& name)
{
    Output output(most, "gzip", name);
    try {
        unpack_gzip(packed, output);
    } catch (const Error&) {
        return {};
    }
    return output.take();
}

} // namespace lacuna
