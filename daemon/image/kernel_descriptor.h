// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "kernel_image.h"
#include "symbols.h"

namespace lacuna {

enum class SiteKind { fork, exit, initcall, hibernate, probe };

// Is a function's first argument what its site is for?
constexpr bool asks_argument(SiteKind kind)
{
    return kind == SiteKind::exit || kind == SiteKind::initcall;
}

// Where to trap: inside the straight-line code at a function's entry, behind ENDBR and the ftrace call.
struct TrapSite {
    SiteKind kind;
    std::string function;            // the symbol it was found in: kernel_clone, release_task, …
    std::uint64_t address;           // link-time address; address..address+2 lie in one aligned 8-byte word
    std::vector<std::uint8_t> bytes; // up to 16 original bytes from address on that are the same at run time;
                                     // covers all displaced instructions
    std::vector<std::uint8_t>
        lengths; // byte lengths of the displaced instructions, in order; their sum is >= 3
    bool single; // one instruction only: no vCPU can stand between the overwritten bytes

    // The first argument is still in its register (RDI) when the site is reached.
    bool argument_intact() const { return asks_argument(kind); }
};

// How to find the current task_struct* of a vCPU; `gs` is the base of GS, on i386 of FS. Sums are modulo
// 2^64, on i386 2^32.
enum class CurrentKind {
    percpu_offset,  // word at gs + current_task             (up to 6.15: a small per-CPU offset, does not
                    // slide)
    percpu_address, // word at gs + current_task + slide     (from 6.16 and on i386: a kernel address, slides
                    // with KASLR)
    global,         // word at current_task + slide          (a kernel for one CPU: no CONFIG_SMP)
    stack,          // first word of the stack, which current_task says the size of (before 4.9: thread_info)
};

// What the kernel module needs to know of one kernel build. Addresses are link-time addresses: KASLR's slide
// is added to them at run time (except to current_task, see CurrentKind).
struct KernelDescriptor {
    // Where something of the kernel lies in a guest in which it runs `slide` bytes further up; 0 if there is none.
    std::uint64_t init_task_at(std::uint64_t slide) const { return init_task + slide; }
    std::uint64_t modules_at(std::uint64_t slide) const { return modules ? modules + slide : 0; }

    std::string id;       // "<release>-<16 hex digits>", the first of the SHA-256 of the decompressed image, and of the
                          // System.map if its symbols are taken from one
    std::string release;  // "6.1.0-50-amd64"
    std::string banner;   // the text at linux_banner, without the newline
    std::string build_id; // hex, may be empty
    Architecture architecture = Architecture::x86_64;
    std::uint64_t text = 0;           // _text
    std::uint64_t end = 0;            // _end
    std::uint64_t banner_address = 0; // linux_banner
    std::uint64_t init_task = 0;
    std::uint64_t modules = 0;    // the list head of all modules; 0: it has none (CONFIG_MODULES=n)
    std::uint64_t page_table = 0; // init_top_pgt; 0: not known, the symbol table leaves it out
    std::uint64_t current_task = 0;
    CurrentKind current_kind = CurrentKind::percpu_offset;
    std::vector<TrapSite> sites; // one per kind: fork, exit, initcall if there are modules, hibernate and probe if it can
    std::string symbol_source;        // "kallsyms" or the path of the System.map
    std::vector<std::string> notices; // for the log: "System.map is Debian's stub, ignored", …
    std::shared_ptr<const Symbols> symbols; // all of them; whoever keeps many descriptors lets go of it
};

// Of KernelDescriptor.
std::string id_of_kernel(std::string release, const std::string& fingerprint);

// Describes a kernel. Uses no debug information.
// Throws Error that names the file, what is wrong or missing, and what to do.
KernelDescriptor describe_kernel(const KernelImage& kernel, const std::optional<SystemMap>& system_map);

// Reads the kernel from a bzImage or ELF vmlinux.
// Throws Error that names the file, what is wrong or missing, and what to do.
KernelDescriptor describe_kernel(const std::filesystem::path& vmlinuz,
                                 const std::optional<std::filesystem::path>& system_map = std::nullopt);

const char* to_string(SiteKind kind);
const char* to_string(CurrentKind kind);
const char* to_string(Architecture architecture);

// Addresses and bytes as hex strings, for `lacunactl kernel`.
nlohmann::json to_json(const KernelDescriptor& descriptor);

} // namespace lacuna
