// SPDX-License-Identifier: GPL-2.0-or-later
#include "elf_image.h"

#include <algorithm>

#include <elf.h>

#include "error.h"

namespace lacuna {

namespace {

struct Elf64 {
    using Header = Elf64_Ehdr;
    using Program = Elf64_Phdr;
    using SectionHeader = Elf64_Shdr;
};

struct Elf32 {
    using Header = Elf32_Ehdr;
    using Program = Elf32_Phdr;
    using SectionHeader = Elf32_Shdr;
};

// A linked kernel has some five segments and a hundred sections. What reads them looks at each, so that many which overlap
// would keep it busy for hours.
constexpr std::size_t most_segments = 64;
constexpr std::size_t most_sections = 4096;
constexpr std::size_t longest_name = 128;

[[noreturn]] void damaged(const std::string& what, const std::string& name)
{
    throw Error("is a damaged ELF file: " + what, name, "copy the file again, it is truncated or damaged");
}

std::string text_at(ByteView strings, std::uint64_t offset)
{
    if (offset >= strings.size())
        return {};
    const auto rest = strings.subspan(static_cast<std::size_t>(offset));
    const auto tail = rest.first(std::min(rest.size(), longest_name));
    return std::string(tail.begin(), std::find(tail.begin(), tail.end(), std::uint8_t{0}));
}

template <typename Elf>
std::vector<ElfImage::Segment> read_segments(ByteView file, std::vector<ByteView>& notes,
                                             const std::string& name)
{
    const auto header = load<typename Elf::Header>(file, 0);
    if (!header)
        damaged("it ends inside its header", name);
    if (header->e_phnum != 0 && header->e_phentsize != sizeof(typename Elf::Program))
        damaged("unknown program header size", name);
    if (header->e_phnum > most_segments)
        damaged("it has " + std::to_string(header->e_phnum) + " segments, no kernel has so many", name);
    std::vector<ElfImage::Segment> segments;
    std::size_t bytes = 0;
    for (unsigned i = 0; i < header->e_phnum; ++i) {
        const auto program = load<typename Elf::Program>(
            file, header->e_phoff + std::uint64_t{i} * sizeof(typename Elf::Program));
        if (!program)
            damaged("a program header lies outside the file", name);
        if (program->p_type != PT_LOAD && program->p_type != PT_NOTE)
            continue;
        const auto data = slice(file, program->p_offset, program->p_filesz);
        if (!data)
            damaged("a segment ends outside the file", name);
        bytes += data->size();
        if (bytes > file.size())
            damaged("its segments have more bytes than the file", name);
        if (program->p_type == PT_NOTE) {
            notes.push_back(*data);
            continue;
        }
        if (program->p_memsz < program->p_filesz ||
            std::uint64_t{program->p_vaddr} + program->p_memsz < program->p_vaddr)
            damaged("a segment has an impossible size", name);
        segments.push_back({program->p_vaddr, program->p_memsz, *data, (program->p_flags & PF_X) != 0});
    }
    return segments;
}

template <typename Elf>
std::vector<ElfImage::Section> read_sections(ByteView file, std::vector<ByteView>& notes,
                                             const std::string& name)
{
    const auto header = load<typename Elf::Header>(file, 0);
    if (!header || header->e_shnum == 0)
        return {}; // sections are a convenience: the kernel boots without them
    if (header->e_shentsize != sizeof(typename Elf::SectionHeader))
        damaged("unknown section header size", name);
    if (header->e_shnum > most_sections)
        damaged("it has " + std::to_string(header->e_shnum) + " sections, no kernel has so many", name);
    const auto at = [&](std::uint64_t index) {
        const auto section = load<typename Elf::SectionHeader>(
            file, header->e_shoff + index * sizeof(typename Elf::SectionHeader));
        if (!section)
            damaged("a section header lies outside the file", name);
        return *section;
    };
    const auto names = at(header->e_shstrndx);
    const auto strings = slice(file, names.sh_offset, names.sh_size);
    if (!strings)
        damaged("its section names lie outside the file", name);
    std::vector<ElfImage::Section> sections;
    for (unsigned i = 1; i < header->e_shnum; ++i) {
        const auto section = at(i);
        ByteView data;
        if (section.sh_type != SHT_NOBITS && section.sh_type != SHT_NULL) {
            const auto content = slice(file, section.sh_offset, section.sh_size);
            if (!content)
                damaged("a section ends outside the file", name);
            data = *content;
        }
        if (section.sh_type == SHT_NOTE)
            notes.push_back(data);
        sections.push_back({text_at(*strings, section.sh_name), section.sh_addr, section.sh_size, data,
                            (section.sh_flags & SHF_EXECINSTR) != 0});
    }
    return sections;
}

std::optional<Bytes> find_build_id(ByteView notes)
{
    std::uint64_t at = 0;
    while (const auto header = load<Elf64_Nhdr>(notes, at)) { // the same layout in ELF32
        const auto aligned = [](std::uint64_t size) { return (size + 3) & ~std::uint64_t{3}; };
        const auto owner = slice(notes, at + sizeof(Elf64_Nhdr), header->n_namesz);
        const auto content =
            slice(notes, at + sizeof(Elf64_Nhdr) + aligned(header->n_namesz), header->n_descsz);
        if (!owner || !content)
            return std::nullopt;
        constexpr std::string_view gnu("GNU", 4);
        if (header->n_type == NT_GNU_BUILD_ID && !content->empty() &&
            std::equal(owner->begin(), owner->end(), gnu.begin(), gnu.end()))
            return Bytes(content->begin(), content->end());
        at += sizeof(Elf64_Nhdr) + aligned(header->n_namesz) + aligned(header->n_descsz);
    }
    return std::nullopt;
}

} // namespace

ElfImage::ElfImage(ByteView file, const std::string& name)
{
    if (file.size() < sizeof(Elf32_Ehdr) || !std::equal(file.begin(), file.begin() + SELFMAG, ELFMAG))
        throw Error("is not an ELF file", name, "give a kernel image (vmlinuz, bzImage or vmlinux)");
    const auto machine =
        load<std::uint16_t>(file, offsetof(Elf64_Ehdr, e_machine)); // the same place in ELF32
    if (file[EI_CLASS] == ELFCLASS64 && file[EI_DATA] == ELFDATA2LSB && machine == EM_X86_64) {
        architecture_ = Architecture::x86_64;
        segments_ = read_segments<Elf64>(file, notes_, name);
        sections_ = read_sections<Elf64>(file, notes_, name);
    } else if (file[EI_CLASS] == ELFCLASS32 && file[EI_DATA] == ELFDATA2LSB && machine == EM_386) {
        architecture_ = Architecture::i386;
        segments_ = read_segments<Elf32>(file, notes_, name);
        sections_ = read_sections<Elf32>(file, notes_, name);
    } else {
        throw Error("is an ELF file for another machine than x86", name, "give the kernel of an x86 guest");
    }
    if (segments_.empty())
        throw Error("is an ELF file without loadable segments", name,
                    "give a linked kernel image, not an object file");
}

ElfImage::ElfImage(Architecture architecture, std::uint64_t address, ByteView memory)
    : architecture_(architecture),
      segments_{{address, memory.size(), memory, true}}
{}

const ElfImage::Section* ElfImage::section(std::string_view section_name) const
{
    const auto found = std::find_if(sections_.begin(), sections_.end(),
                                    [&](const Section& section) { return section.name == section_name; });
    return found == sections_.end() ? nullptr : &*found;
}

bool ElfImage::is_kernel(std::uint64_t address) const
{
    return architecture_ == Architecture::x86_64
               ? address >= 0xffff'ffff'8000'0000 && address < 0xffff'ffff'ff00'0000
               : address >= 0x4000'0000 && address < 0xff00'0000;
}

std::uint64_t ElfImage::code_start() const
{
    std::uint64_t start = ~std::uint64_t{0};
    for (const Segment& segment : segments_)
        if (segment.executable && is_kernel(segment.address))
            start = std::min(start, segment.address);
    return start;
}

bool ElfImage::is_code(std::uint64_t address) const
{
    const auto holds = [&](const auto& place, std::uint64_t size) {
        return place.executable && address >= place.address && address - place.address < size;
    };
    return std::any_of(segments_.begin(), segments_.end(),
                       [&](const Segment& segment) { return holds(segment, segment.memory_size); }) ||
           std::any_of(sections_.begin(), sections_.end(),
                       [&](const Section& section) { return holds(section, section.data.size()); });
}

std::vector<std::pair<std::uint64_t, ByteView>> ElfImage::code() const
{
    std::vector<std::pair<std::uint64_t, ByteView>> found;
    for (const Segment& segment : segments_)
        if (segment.executable && is_kernel(segment.address))
            found.emplace_back(segment.address, segment.data);
    const auto in_segments = found;
    for (const Section& section : sections_) {
        const bool again = std::any_of(in_segments.begin(), in_segments.end(), [&](const auto& segment) {
            return section.address >= segment.first && section.address - segment.first < segment.second.size();
        });
        if (section.executable && is_kernel(section.address) && !again)
            found.emplace_back(section.address, section.data);
    }
    return found;
}

ByteView ElfImage::read_up_to(std::uint64_t address, std::uint64_t size) const
{
    for (const Segment& segment : segments_) {
        if (address < segment.address || address - segment.address >= segment.data.size())
            continue;
        const auto tail = segment.data.subspan(static_cast<std::size_t>(address - segment.address));
        return tail.first(static_cast<std::size_t>(std::min<std::uint64_t>(size, tail.size())));
    }
    return {};
}

std::optional<ByteView> ElfImage::read(std::uint64_t address, std::uint64_t size) const
{
    const ByteView found = read_up_to(address, size);
    return found.size() == size ? std::optional(found) : std::nullopt;
}

std::optional<Bytes> ElfImage::build_id() const
{
    for (const ByteView notes : notes_)
        if (auto id = find_build_id(notes))
            return id;
    return std::nullopt;
}

} // namespace lacuna
