// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include <elf.h>

#include "elf_image.h"

namespace lacuna::synthetic {

// A small image with sections: one segment, in the order given, each section at its place in it.
template <typename Header, typename Program, typename SectionHeader> class Image {
public:
    using Word = decltype(SectionHeader::sh_addr);
    static constexpr std::uint64_t base =
        sizeof(Header) == sizeof(Elf64_Ehdr) ? 0xffffffff81000000 : 0xc1000000;

    std::uint32_t flags = PF_R | PF_X; // of the segment

    // Returns the address the section's first byte has.
    std::uint64_t add(const std::string& name, const Bytes& content)
    {
        const std::uint64_t address = next();
        SectionHeader section{};
        section.sh_name = static_cast<std::uint32_t>(names_.size());
        section.sh_type = SHT_PROGBITS;
        section.sh_flags = name == ".init.text" ? SHF_ALLOC | SHF_EXECINSTR : SHF_ALLOC;
        section.sh_addr = static_cast<decltype(section.sh_addr)>(address);
        section.sh_offset = static_cast<decltype(section.sh_offset)>(start + content_.size());
        section.sh_size = static_cast<decltype(section.sh_size)>(content.size());
        sections_.push_back(section);
        names_.insert(names_.end(), name.begin(), name.end());
        names_.push_back(0);
        content_.insert(content_.end(), content.begin(), content.end());
        content_.resize((content_.size() + 15) / 16 * 16);
        return address;
    }
    std::uint64_t next() const { return base + content_.size(); }

    const ElfImage& elf()
    {
        Header header{};
        const bool wide = sizeof(Header) == sizeof(Elf64_Ehdr);
        std::memcpy(header.e_ident, ELFMAG, SELFMAG);
        header.e_ident[EI_CLASS] = wide ? ELFCLASS64 : ELFCLASS32;
        header.e_ident[EI_DATA] = ELFDATA2LSB;
        header.e_machine = wide ? EM_X86_64 : EM_386;
        header.e_phoff = sizeof(Header);
        header.e_phentsize = sizeof(Program);
        header.e_phnum = 1;
        header.e_shentsize = sizeof(SectionHeader);
        header.e_shnum = static_cast<std::uint16_t>(sections_.size() + 2);
        header.e_shstrndx = static_cast<std::uint16_t>(sections_.size() + 1);
        Program program{};
        program.p_type = PT_LOAD;
        program.p_flags = flags;
        program.p_offset = start;
        program.p_vaddr = static_cast<decltype(program.p_vaddr)>(base);
        program.p_filesz = program.p_memsz = static_cast<decltype(program.p_memsz)>(content_.size());
        SectionHeader strings{};
        strings.sh_type = SHT_STRTAB;
        strings.sh_offset = static_cast<decltype(strings.sh_offset)>(start + content_.size());
        strings.sh_size = static_cast<decltype(strings.sh_size)>(names_.size());
        header.e_shoff = static_cast<decltype(header.e_shoff)>(start + content_.size() + names_.size());

        file_.assign(start, 0);
        std::memcpy(file_.data(), &header, sizeof(header));
        std::memcpy(file_.data() + sizeof(header), &program, sizeof(program));
        file_.insert(file_.end(), content_.begin(), content_.end());
        file_.insert(file_.end(), names_.begin(), names_.end());
        put(SectionHeader{});
        for (const SectionHeader& section : sections_)
            put(section);
        put(strings);
        elf_.emplace(file_, "image");
        return *elf_;
    }

private:
    static constexpr std::size_t start = 0x100;

    void put(const SectionHeader& section)
    {
        const auto* bytes = reinterpret_cast<const std::uint8_t*>(&section);
        file_.insert(file_.end(), bytes, bytes + sizeof(section));
    }

    Bytes content_, names_{0}, file_;
    std::vector<SectionHeader> sections_;
    std::optional<ElfImage> elf_;
};
using Image64 = Image<Elf64_Ehdr, Elf64_Phdr, Elf64_Shdr>;
using Image32 = Image<Elf32_Ehdr, Elf32_Phdr, Elf32_Shdr>;

} // namespace lacuna::synthetic
