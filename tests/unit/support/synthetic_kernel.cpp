// SPDX-License-Identifier: GPL-2.0-or-later
#include "synthetic_kernel.h"

#include <algorithm>
#include <array>
#include <stdexcept>

#include <bzlib.h>
#include <elf.h>
#include <lz4.h>
#include <lzma.h>
#include <lzo/lzo1x.h>
#include <zlib.h>
#include <zstd.h>

namespace lacuna::synthetic {

namespace {

void align(Bytes& bytes, std::size_t to)
{
    while (bytes.size() % to != 0)
        bytes.push_back(0);
}

void append_bytes(Bytes& bytes, ByteView more)
{
    bytes.insert(bytes.end(), more.begin(), more.end());
}

// Every character is its own token; the codes left over stand for longer strings.
std::array<std::string, 256> make_tokens()
{
    std::array<std::string, 256> tokens;
    for (unsigned i = 0; i < 256; ++i)
        tokens[i] = i > 0x20 && i < 0x7f ? std::string(1, static_cast<char>(i)) : "token" + std::to_string(i);
    tokens[0x80] = "filler_";
    tokens[0x81] = "_task";
    return tokens;
}

Bytes compress_name(const std::string& text)
{
    Bytes codes;
    for (std::size_t at = 0; at < text.size();) {
        if (text.compare(at, 7, "filler_") == 0) {
            codes.push_back(0x80);
            at += 7;
        } else if (text.compare(at, 5, "_task") == 0) {
            codes.push_back(0x81);
            at += 5;
        } else {
            codes.push_back(static_cast<std::uint8_t>(text[at++]));
        }
    }
    return codes;
}

void append_addresses(Bytes& out, const Kernel& kernel, std::uint64_t table_address)
{
    std::uint64_t base = ~std::uint64_t{0};
    for (const Symbol& symbol : kernel.symbols)
        if (!kernel.absolute_percpu || symbol.address >= text_address)
            base = std::min(base, symbol.address);
    if (kernel.layout == Layout::addresses) {
        for (const Symbol& symbol : kernel.symbols)
            append<std::uint64_t>(out, symbol.address);
        return;
    }
    std::uint64_t place = table_address;
    for (const Symbol& symbol : kernel.symbols) {
        if (kernel.layout == Layout::place_relative)
            append<std::uint32_t>(out, static_cast<std::uint32_t>(symbol.address - place));
        else if (!kernel.absolute_percpu)
            append<std::uint32_t>(out, static_cast<std::uint32_t>(symbol.address - base));
        else if (symbol.address < text_address)
            append<std::uint32_t>(out, static_cast<std::uint32_t>(symbol.address));
        else
            append<std::uint32_t>(out, static_cast<std::uint32_t>(base - 1 - symbol.address));
        place += 4;
    }
    if (kernel.layout != Layout::place_relative) {
        align(out, 8);
        append<std::uint64_t>(out, base);
    }
}

// `out` is the section so far, which starts at rodata_address.
void append_kallsyms(Bytes& out, const Kernel& kernel)
{
    const std::size_t alignment = kernel.layout == Layout::place_relative ? 4 : 8;
    const bool last = kernel.layout == Layout::base_last || kernel.layout == Layout::place_relative;
    align(out, alignment);
    if (!last) {
        append_addresses(out, kernel, rodata_address + out.size());
        align(out, alignment);
    }
    append<std::uint32_t>(out, static_cast<std::uint32_t>(kernel.symbols.size()));
    align(out, alignment);
    const std::size_t names = out.size();
    std::vector<std::size_t> markers;
    for (std::size_t i = 0; i < kernel.symbols.size(); ++i) {
        if (i % 256 == 0)
            markers.push_back(out.size() - names);
        const Bytes codes = compress_name(kernel.symbols[i].type + kernel.symbols[i].name);
        if (codes.size() < 128) {
            out.push_back(static_cast<std::uint8_t>(codes.size()));
        } else {
            out.push_back(static_cast<std::uint8_t>((codes.size() & 0x7f) | 0x80));
            out.push_back(static_cast<std::uint8_t>(codes.size() >> 7));
        }
        append_bytes(out, codes);
    }
    align(out, alignment);
    for (const std::size_t marker : markers) {
        if (kernel.layout == Layout::addresses || kernel.layout == Layout::wide_markers)
            append<std::uint64_t>(out, marker);
        else
            append<std::uint32_t>(out, static_cast<std::uint32_t>(marker));
    }
    align(out, alignment);
    if (kernel.layout == Layout::seqs_between) {
        for (std::size_t i = 0; i < kernel.symbols.size(); ++i)
            for (const unsigned shift : {16U, 8U, 0U})
                out.push_back(static_cast<std::uint8_t>((i * 7919 % kernel.symbols.size()) >> shift));
        align(out, alignment);
    }
    std::vector<std::uint16_t> index;
    const std::size_t table = out.size();
    for (const std::string& token : make_tokens()) {
        index.push_back(static_cast<std::uint16_t>(out.size() - table));
        out.insert(out.end(), token.begin(), token.end());
        out.push_back(0);
    }
    align(out, alignment);
    for (const std::uint16_t start : index)
        append(out, start);
    align(out, alignment);
    if (last)
        append_addresses(out, kernel, rodata_address + out.size());
}

} // namespace

Kernel::Kernel()
{
    // Each function: call __fentry__; push %rbx; mov %rdi,%rbx; sub $8,%rsp; add $8,%rsp; pop %rbx; ret.
    const auto function = [&](const std::string& name, std::size_t at) {
        text.resize(at, 0xcc);
        symbols.push_back({text_address + at, 'T', name});
        append<std::uint8_t>(text, 0xe8);
        append<std::uint32_t>(text, static_cast<std::uint32_t>(0x10 - (at + 5)));
        append_bytes(
            text, Bytes{0x53, 0x48, 0x89, 0xfb, 0x48, 0x83, 0xec, 0x08, 0x48, 0x83, 0xc4, 0x08, 0x5b, 0xc3});
    };
    symbols.push_back({text_address, 'T', "_text"});
    symbols.push_back({text_address, 'T', "_stext"});
    text.resize(0x10, 0xcc);
    symbols.push_back({text_address + 0x10, 'T', "__fentry__"});
    text.push_back(0xc3);
    function("do_one_initcall", 0x40);
    function("kernel_clone", 0x80);
    function("release_task", 0xc0);
    function("load_module", 0xe0);
    text.resize(0x100, 0xcc);
    for (unsigned i = 0; i < 2000; ++i) {
        symbols.push_back(
            {text_address + text.size(), i % 2 == 0 ? 't' : 'T', "filler_" + std::to_string(i)});
        text.push_back(0xc3);
    }
    symbols.push_back({text_address + text.size(), 't', std::string(300, 'x')}); // needs a two-byte length
    text.push_back(0xc3);
    symbols.push_back({text_address + text.size(), 'T', "_etext"});
    symbols.push_back({rodata_address + 0x20, 'D', "linux_banner"});
    symbols.push_back({data_address, 'D', "init_top_pgt"});
    symbols.push_back({data_address + 0x1000, 'T', "init_task"});
    symbols.push_back({data_address + 0x3000, 'd', "modules"});
    symbols.push_back({data_address + 0x4000, 'B', "_end"});
    symbols.insert(symbols.begin(), {0x1fb80, 'A', "current_task"});
}

void Kernel::remove(const std::string& name)
{
    std::erase_if(symbols, [&](const Symbol& symbol) { return symbol.name == name; });
}

void Kernel::rename(const std::string& from, const std::string& to)
{
    for (Symbol& symbol : symbols)
        if (symbol.name == from)
            symbol.name = to;
}

std::uint64_t Kernel::address(const std::string& name) const
{
    for (const Symbol& symbol : symbols)
        if (symbol.name == name)
            return symbol.address;
    throw std::out_of_range("no symbol " + name);
}

Bytes Kernel::vmlinux() const
{
    Bytes rodata(0x20, 0);
    rodata.insert(rodata.end(), banner.begin(), banner.end());
    rodata.push_back(0);
    if (kallsyms)
        append_kallsyms(rodata, *this);

    Bytes data(0x4000, 0);
    std::copy(first_comm.begin(), first_comm.end(), data.begin() + 0x1000 + 0xb90);
    Bytes empty_list; // modules
    append<std::uint64_t>(empty_list, data_address + 0x3000), append<std::uint64_t>(empty_list, data_address + 0x3000);
    std::copy(empty_list.begin(), empty_list.end(), data.begin() + 0x3000);

    Bytes notes;
    if (!build_id.empty()) {
        append<std::uint32_t>(notes, 6); // some other note first
        append<std::uint32_t>(notes, 1);
        append<std::uint32_t>(notes, 0x101);
        append_bytes(notes, Bytes{'L', 'i', 'n', 'u', 'x', 0, 0, 0, 0xff, 0, 0, 0});
        append<std::uint32_t>(notes, 4);
        append<std::uint32_t>(notes, static_cast<std::uint32_t>(build_id.size()));
        append<std::uint32_t>(notes, NT_GNU_BUILD_ID);
        append_bytes(notes, Bytes{'G', 'N', 'U', 0});
        append_bytes(notes, build_id);
        align(notes, 4);
    }

    struct Part {
        std::uint32_t type;
        std::uint32_t flags;
        std::uint64_t address;
        const Bytes* bytes;
    };
    const Part parts[] = {{PT_LOAD, PF_R | PF_X, text_address, &text},
                          {PT_LOAD, PF_R, rodata_address, &rodata},
                          {PT_LOAD, PF_R | PF_W, data_address, &data},
                          {PT_NOTE, PF_R, 0, &notes}};
    Bytes file = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    append<std::uint16_t>(file, ET_EXEC);
    append<std::uint16_t>(file, EM_X86_64);
    append<std::uint32_t>(file, EV_CURRENT);
    append<std::uint64_t>(file, 0x1000000);          // entry
    append<std::uint64_t>(file, sizeof(Elf64_Ehdr)); // program headers
    append<std::uint64_t>(file, 0);                  // section headers: none, as after a hard strip
    append<std::uint32_t>(file, 0);
    append<std::uint16_t>(file, sizeof(Elf64_Ehdr));
    append<std::uint16_t>(file, sizeof(Elf64_Phdr));
    append<std::uint16_t>(file, std::size(parts));
    append<std::uint16_t>(file, sizeof(Elf64_Shdr));
    append<std::uint16_t>(file, 0);
    append<std::uint16_t>(file, 0);
    std::uint64_t offset = 0x1000;
    for (const Part& part : parts) {
        append<std::uint32_t>(file, part.type);
        append<std::uint32_t>(file, part.flags);
        append<std::uint64_t>(file, offset);
        append<std::uint64_t>(file, part.address);
        append<std::uint64_t>(file, 0);
        append<std::uint64_t>(file, part.bytes->size());
        append<std::uint64_t>(file, part.bytes->size());
        append<std::uint64_t>(file, 0x1000);
        offset = (offset + part.bytes->size() + 0xfff) / 0x1000 * 0x1000;
    }
    for (const Part& part : parts) {
        align(file, 0x1000);
        append_bytes(file, *part.bytes);
    }
    return file;
}

Bytes xz(const Bytes& data)
{
    Bytes out(lzma_stream_buffer_bound(data.size()));
    std::size_t size = 0;
    if (lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, nullptr, data.data(), data.size(), out.data(), &size,
                                out.size()) != LZMA_OK)
        throw std::runtime_error("xz");
    out.resize(size);
    return out;
}

Bytes lzma(const Bytes& data)
{
    lzma_options_lzma options;
    lzma_stream stream = LZMA_STREAM_INIT;
    if (lzma_lzma_preset(&options, 1) || lzma_alone_encoder(&stream, &options) != LZMA_OK)
        throw std::runtime_error("lzma");
    Bytes out(data.size() + 65536);
    stream.next_in = data.data();
    stream.avail_in = data.size();
    stream.next_out = out.data();
    stream.avail_out = out.size();
    if (lzma_code(&stream, LZMA_FINISH) != LZMA_STREAM_END)
        throw std::runtime_error("lzma");
    out.resize(stream.total_out);
    lzma_end(&stream);
    return out;
}

Bytes gzip(const Bytes& data)
{
    z_stream stream{};
    if (deflateInit2(&stream, 1, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        throw std::runtime_error("gzip");
    Bytes out(deflateBound(&stream, data.size()));
    stream.next_in = const_cast<std::uint8_t*>(data.data());
    stream.avail_in = static_cast<uInt>(data.size());
    stream.next_out = out.data();
    stream.avail_out = static_cast<uInt>(out.size());
    if (deflate(&stream, Z_FINISH) != Z_STREAM_END)
        throw std::runtime_error("gzip");
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
}

Bytes zstd(const Bytes& data)
{
    Bytes out(ZSTD_compressBound(data.size()));
    const std::size_t size = ZSTD_compress(out.data(), out.size(), data.data(), data.size(), 3);
    if (ZSTD_isError(size))
        throw std::runtime_error("zstd");
    out.resize(size);
    return out;
}

Bytes lz4(const Bytes& data)
{
    constexpr std::size_t block = std::size_t{8} << 20;
    Bytes out = {0x02, 0x21, 0x4c, 0x18};
    for (std::size_t at = 0; at < data.size(); at += block) {
        const int size = static_cast<int>(std::min(block, data.size() - at));
        Bytes packed(static_cast<std::size_t>(LZ4_compressBound(size)));
        const int count = LZ4_compress_default(reinterpret_cast<const char*>(data.data() + at),
                                               reinterpret_cast<char*>(packed.data()), size,
                                               static_cast<int>(packed.size()));
        if (count <= 0)
            throw std::runtime_error("lz4");
        append<std::uint32_t>(out, static_cast<std::uint32_t>(count));
        packed.resize(static_cast<std::size_t>(count));
        append_bytes(out, packed);
    }
    return out;
}

Bytes bzip2(const Bytes& data)
{
    Bytes out(data.size() + data.size() / 100 + 600);
    auto size = static_cast<unsigned>(out.size());
    if (BZ2_bzBuffToBuffCompress(reinterpret_cast<char*>(out.data()), &size,
                                 reinterpret_cast<char*>(const_cast<std::uint8_t*>(data.data())),
                                 static_cast<unsigned>(data.size()), 9, 0, 0) != BZ_OK)
        throw std::runtime_error("bzip2");
    out.resize(size);
    return out;
}

Bytes lzo(const Bytes& data)
{
    constexpr std::size_t block = std::size_t{256} << 10;
    Bytes out = {0x89, 'L', 'Z', 'O', 0, '\r', '\n', 0x1a, '\n', 0x10, 0x40, 0x20, 0xa0, 0x09, 0x40, 1, 9};
    const auto put = [&](std::uint32_t value) {
        for (const unsigned shift : {24U, 16U, 8U, 0U})
            out.push_back(static_cast<std::uint8_t>(value >> shift));
    };
    put(0x1);                      // flags: a checksum of what is packed
    put(0), put(0), put(0);        // mode and time
    out.push_back(0);              // no name
    put(lzo_adler32(1, nullptr, 0)); // nobody looks at it
    Bytes work(LZO1X_1_MEM_COMPRESS), packed(block + block / 16 + 64 + 3);
    for (std::size_t at = 0; at < data.size(); at += block) {
        const std::size_t size = std::min(block, data.size() - at);
        lzo_uint count = packed.size();
        if (lzo1x_1_compress(data.data() + at, size, packed.data(), &count, work.data()) != LZO_E_OK)
            throw std::runtime_error("lzo");
        const bool smaller = count < size;
        put(static_cast<std::uint32_t>(size)), put(static_cast<std::uint32_t>(smaller ? count : size));
        put(lzo_adler32(1, data.data() + at, size));
        append_bytes(out, smaller ? ByteView(packed).first(count) : ByteView(data).subspan(at, size));
    }
    put(0);
    return out;
}

Bytes bz_image(Bytes packed, std::uint32_t unpacked_size, bool append_size)
{
    if (append_size)
        append<std::uint32_t>(packed, unpacked_size);
    constexpr std::uint8_t setup_sectors = 2;
    constexpr std::uint32_t payload_offset = 0x40; // into the protected-mode code
    Bytes image((setup_sectors + 1) * 512 + payload_offset, 0x90);
    const auto put = [&](std::size_t at, ByteView value) {
        std::copy(value.begin(), value.end(), image.begin() + static_cast<std::ptrdiff_t>(at));
    };
    Bytes lengths;
    append<std::uint32_t>(lengths, payload_offset);
    append<std::uint32_t>(lengths, static_cast<std::uint32_t>(packed.size()));
    put(0x1f1, Bytes{setup_sectors});
    put(0x1fe, Bytes{0x55, 0xaa});
    put(0x202, Bytes{'H', 'd', 'r', 'S', 0x0f, 0x02});
    put(0x248, lengths);
    append_bytes(image, packed);
    image.insert(image.end(), 1000, 0); // what follows the payload in a real one
    return image;
}

} // namespace lacuna::synthetic
