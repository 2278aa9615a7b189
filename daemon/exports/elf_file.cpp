// SPDX-License-Identifier: GPL-2.0-or-later
#include "elf_file.h"

#include <elf.h>

#include <vector>

#include "dwarf.h"
#include "error.h"
#include "symbol_file.h"

namespace lacuna {

namespace {

struct Elf64 {
    using Header = Elf64_Ehdr;
    using Section = Elf64_Shdr;
    using Symbol = Elf64_Sym;
    static constexpr unsigned char elf_class = ELFCLASS64;
    static constexpr Elf64_Half machine = EM_X86_64;
};

struct Elf32 {
    using Header = Elf32_Ehdr;
    using Section = Elf32_Shdr;
    using Symbol = Elf32_Sym;
    static constexpr unsigned char elf_class = ELFCLASS32;
    static constexpr Elf32_Half machine = EM_386;
};

// ELF's texts: each once, one after the other, the empty one first.
class Strings {
public:
    template <typename Index> Index add(std::string_view text)
    {
        const auto at = static_cast<Index>(all_.size());
        all_ += text;
        all_ += '\0';
        return at;
    }

    const std::string& all() const { return all_; }

private:
    std::string all_ = std::string(1, '\0');
};

template <typename T> void append(std::string& text, const T& what)
{
    text.append(reinterpret_cast<const char*>(&what), sizeof(what));
}

template <typename Elf> class ElfFile {
    using Address = decltype(Elf::Symbol::st_value);

public:
    std::string write(const Dwarf& dwarf, std::string_view symbols)
    {
        image(symbols);
        symbol_table(symbols);
        section(".debug_info", SHT_PROGBITS, dwarf.info);
        section(".debug_abbrev", SHT_PROGBITS, dwarf.abbreviation);
        const auto name = names_.template add<Elf64_Word>(".shstrtab"); // before its content is taken
        section_named(name, SHT_STRTAB, names_.all());
        typename Elf::Header header{};
        header.e_ident[EI_MAG0] = ELFMAG0;
        header.e_ident[EI_MAG1] = ELFMAG1;
        header.e_ident[EI_MAG2] = ELFMAG2;
        header.e_ident[EI_MAG3] = ELFMAG3;
        header.e_ident[EI_CLASS] = Elf::elf_class;
        header.e_ident[EI_DATA] = ELFDATA2LSB;
        header.e_ident[EI_VERSION] = EV_CURRENT;
        header.e_type = ET_EXEC;
        header.e_machine = Elf::machine;
        header.e_version = EV_CURRENT;
        header.e_shoff = static_cast<Address>(sizeof(header) + content_.size());
        header.e_ehsize = sizeof(header);
        header.e_shentsize = sizeof(typename Elf::Section);
        header.e_shnum = static_cast<Elf64_Half>(sections_.size());
        header.e_shstrndx = static_cast<Elf64_Half>(sections_.size() - 1);
        std::string file;
        append(file, header);
        file += content_;
        for (const auto& one : sections_)
            append(file, one);
        return file;
    }

private:
    // Where the kernel's image lies, without what is in it: symbols must belong to a section for a debugger to name addresses by them.
    void image(std::string_view symbols)
    {
        for_each_symbol(symbols, [&](std::uint64_t address, char, std::string_view name) {
            if (name == "_text")
                first_ = static_cast<Address>(address);
            if (name == "_end")
                end_ = static_cast<Address>(address);
        });
        if (!first_ || end_ <= first_)
            throw Error("have no _text and _end", "the kernel's symbols");
        typename Elf::Section one{};
        one.sh_name = names_.template add<Elf64_Word>(".text");
        one.sh_type = SHT_NOBITS;
        one.sh_flags = SHF_ALLOC | SHF_EXECINSTR | SHF_WRITE;
        one.sh_addr = first_;
        one.sh_offset = sizeof(typename Elf::Header);
        one.sh_size = end_ - first_;
        one.sh_addralign = 1;
        sections_.push_back(one);
    }

    void symbol_table(std::string_view symbols)
    {
        std::string local(sizeof(typename Elf::Symbol), '\0'), global; // those of the unit come first
        Strings names;
        for_each_symbol(symbols, [&](std::uint64_t address, char type, std::string_view name) {
            const bool in_image = address >= first_ && address < end_, is_local = std::islower(static_cast<unsigned char>(type));
            const bool is_code = std::string_view("tTwW").find(type) != std::string_view::npos;
            typename Elf::Symbol symbol{};
            symbol.st_name = names.template add<Elf64_Word>(name);
            symbol.st_info = static_cast<unsigned char>(ELF64_ST_INFO(is_local ? STB_LOCAL : STB_GLOBAL, is_code ? STT_FUNC : STT_OBJECT));
            symbol.st_shndx = in_image ? Elf64_Section{1} : Elf64_Section{SHN_ABS}; // per-CPU offsets, for instance
            symbol.st_value = static_cast<Address>(address);
            append(is_local ? local : global, symbol);
        });
        section(".symtab", SHT_SYMTAB, local + global);
        auto& table = sections_.back();
        table.sh_link = static_cast<Elf64_Word>(sections_.size());
        table.sh_info = static_cast<Elf64_Word>(local.size() / sizeof(typename Elf::Symbol));
        table.sh_entsize = sizeof(typename Elf::Symbol);
        table.sh_addralign = alignof(typename Elf::Symbol);
        section(".strtab", SHT_STRTAB, names.all());
    }

    void section(std::string_view name, Elf64_Word type, const std::string& content)
    {
        section_named(names_.template add<Elf64_Word>(name), type, content);
    }

    void section_named(Elf64_Word name, Elf64_Word type, const std::string& content)
    {
        typename Elf::Section one{};
        one.sh_name = name;
        one.sh_type = type;
        one.sh_offset = static_cast<Address>(sizeof(typename Elf::Header) + content_.size());
        one.sh_size = static_cast<Address>(content.size());
        one.sh_addralign = 1;
        sections_.push_back(one);
        content_ += content;
        content_.resize((content_.size() + alignof(typename Elf::Symbol) - 1) / alignof(typename Elf::Symbol) * alignof(typename Elf::Symbol));
    }

    Address first_ = 0, end_ = 0;
    Strings names_; // of sections
    std::string content_; // of all sections, behind the header
    std::vector<typename Elf::Section> sections_{1}; // the first is none
};

} // namespace

std::string make_elf_file(const Json& isf, std::string_view symbols, std::uint64_t slide, bool is_64_bit)
{
    const std::string slid = slid_symbol_text(symbols, slide);
    const auto addresses = addresses_of(slid);
    const Dwarf dwarf = make_dwarf(isf, [&](const std::string& name) {
        const auto found = addresses.find(name);
        return found == addresses.end() ? std::nullopt : std::optional(found->second);
    });
    return is_64_bit ? ElfFile<Elf64>().write(dwarf, slid) : ElfFile<Elf32>().write(dwarf, slid);
}

} // namespace lacuna
