// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel_descriptor.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <initializer_list>

#include <nlohmann/json.hpp>

#include "error.h"
#include "kernel_image.h"
#include "site_finder.h"
#include "symbols.h"

namespace lacuna {

namespace {

std::string hex(std::uint64_t value)
{
    char text[19];
    std::snprintf(text, sizeof(text), "0x%" PRIx64, value);
    return text;
}

std::string hex(const std::vector<std::uint8_t>& bytes)
{
    std::string text;
    for (const std::uint8_t byte : bytes) {
        char digits[3];
        std::snprintf(digits, sizeof(digits), "%02x", byte);
        text += digits;
    }
    return text;
}

// What the person can do about a symbol that is not there depends on where it was looked for.
std::string missing_hint(const Symbols& symbols)
{
    return symbols.source() == "kallsyms" ? "the kernel was built without CONFIG_KALLSYMS_ALL or is not "
                                            "supported: give the System.map of this build"
                                          : "give the complete System.map of this build";
}

struct Named {
    std::string name;
    std::uint64_t address;
};

// The first of several names a thing had over the versions.
Named first_of(const Symbols& symbols, std::initializer_list<const char*> names, const KernelImage& kernel)
{
    std::string all;
    for (const char* name : names) {
        if (const auto address = symbols.find(name))
            return {name, *address};
        all += (all.empty() ? "" : " or ") + std::string(name);
    }
    throw Error("symbol " + all + " is missing from " + symbols.source(), kernel.name(),
                missing_hint(symbols));
}

std::uint64_t address_of(const Symbols& symbols, const char* name, const KernelImage& kernel)
{
    return first_of(symbols, {name}, kernel).address;
}

std::string read_banner(const KernelImage& kernel, std::uint64_t address)
{
    constexpr std::uint64_t longest = 1024;
    constexpr std::string_view start = "Linux version ";
    const ByteView bytes = kernel.elf().read_up_to(address, longest);
    const auto end =
        std::find_if(bytes.begin(), bytes.end(), [](std::uint8_t c) { return c == 0 || c == '\n'; });
    std::string banner(bytes.begin(), end);
    if (!banner.starts_with(start) || end == bytes.end())
        throw Error("there is no \"Linux version\" text at linux_banner (" + hex(address) + ")",
                    kernel.name(),
                    "the symbols belong to another kernel: give the System.map of this build, or none");
    return banner;
}

std::string release_of(const std::string& banner)
{
    const std::size_t start = std::string_view("Linux version ").size();
    return banner.substr(start, banner.find(' ', start) - start);
}

// The id names files, and the release comes from the guest.
std::string as_file_name(std::string text)
{
    for (char& c : text)
        if (!std::isalnum(static_cast<unsigned char>(c)) &&
            std::string_view("._+~-").find(c) == std::string_view::npos)
            c = '_';
    return text;
}

// The first task's comm is "swapper" in every kernel (INIT_TASK_COMM), wherever comm lies.
void check_init_task(const KernelImage& kernel, std::uint64_t init_task)
{
    constexpr std::string_view comm("swapper\0", 8);
    constexpr std::uint64_t largest_task = 16384;
    const ByteView bytes = kernel.elf().read_up_to(init_task, largest_task);
    if (std::search(bytes.begin(), bytes.end(), comm.begin(), comm.end()) == bytes.end())
        throw Error("there is no task named \"swapper\" at init_task (" + hex(init_task) + ")", kernel.name(),
                    "the symbols belong to another kernel: give the System.map of this build, or none");
}

TrapSite site_in(const KernelImage& kernel, const Symbols& symbols, const std::string& function,
                 SiteKind kind)
{
    auto site = find_site(kernel.elf(), symbols, function, kind);
    if (!site)
        throw Error("there is no safe place for a trap in " + function, kernel.name(),
                    "this build is not supported yet: please report it with the output of "
                    "objdump -d --disassemble=" +
                        function + " on its vmlinux");
    return std::move(*site);
}

} // namespace

KernelDescriptor describe_kernel(const std::filesystem::path& vmlinuz,
                                 const std::optional<std::filesystem::path>& system_map)
{
    const KernelImage kernel(vmlinuz);
    KernelDescriptor descriptor;
    const Symbols symbols = read_symbols(kernel, system_map, descriptor.notices);
    descriptor.symbol_source = symbols.source();
    descriptor.architecture = kernel.elf().architecture();
    descriptor.build_id = kernel.build_id();
    descriptor.text = address_of(symbols, "_text", kernel);
    descriptor.end = address_of(symbols, "_end", kernel);
    descriptor.banner_address = address_of(symbols, "linux_banner", kernel);
    descriptor.banner = read_banner(kernel, descriptor.banner_address);
    descriptor.release = release_of(descriptor.banner);
    descriptor.id = as_file_name(descriptor.release) + "-" + kernel.fingerprint();
    descriptor.init_task = address_of(symbols, "init_task", kernel);
    check_init_task(kernel, descriptor.init_task);
    descriptor.modules = address_of(symbols, "modules", kernel);
    descriptor.page_table =
        first_of(symbols, {"init_top_pgt", "init_level4_pgt", "swapper_pg_dir"}, kernel).address;
    // 6.2 to 6.14 keep the current task as the first member of struct pcpu_hot.
    descriptor.current_task = first_of(symbols, {"current_task", "pcpu_hot"}, kernel).address;
    descriptor.current_kind =
        descriptor.current_task >= descriptor.text && descriptor.current_task < descriptor.end
            ? CurrentKind::percpu_address
            : CurrentKind::percpu_offset;
    const std::string fork = first_of(symbols, {"kernel_clone", "_do_fork", "do_fork"}, kernel).name;
    address_of(symbols, "release_task", kernel);
    address_of(symbols, "do_one_initcall", kernel);
    descriptor.sites = {site_in(kernel, symbols, fork, SiteKind::fork),
                        site_in(kernel, symbols, "release_task", SiteKind::exit),
                        site_in(kernel, symbols, "do_one_initcall", SiteKind::initcall)};
    return descriptor;
}

const char* to_string(SiteKind kind)
{
    switch (kind) {
    case SiteKind::fork:
        return "fork";
    case SiteKind::exit:
        return "exit";
    case SiteKind::initcall:
        return "initcall";
    }
    return "unknown";
}

const char* to_string(CurrentKind kind)
{
    switch (kind) {
    case CurrentKind::percpu_offset:
        return "percpu_offset";
    case CurrentKind::percpu_address:
        return "percpu_address";
    case CurrentKind::global:
        return "global";
    case CurrentKind::stack:
        return "stack";
    }
    return "unknown";
}

const char* to_string(Architecture architecture)
{
    return architecture == Architecture::x86_64 ? "x86_64" : "i386";
}

nlohmann::json to_json(const KernelDescriptor& descriptor)
{
    nlohmann::json sites = nlohmann::json::array();
    for (const TrapSite& site : descriptor.sites)
        sites.push_back({{"kind", to_string(site.kind)},
                         {"function", site.function},
                         {"address", hex(site.address)},
                         {"bytes", hex(site.bytes)},
                         {"lengths", site.lengths},
                         {"single", site.single}});
    return {{"id", descriptor.id},
            {"release", descriptor.release},
            {"banner", descriptor.banner},
            {"build_id", descriptor.build_id},
            {"architecture", to_string(descriptor.architecture)},
            {"text", hex(descriptor.text)},
            {"end", hex(descriptor.end)},
            {"banner_address", hex(descriptor.banner_address)},
            {"init_task", hex(descriptor.init_task)},
            {"modules", hex(descriptor.modules)},
            {"page_table", hex(descriptor.page_table)},
            {"current_task", hex(descriptor.current_task)},
            {"current_kind", to_string(descriptor.current_kind)},
            {"sites", sites},
            {"symbols", descriptor.symbol_source},
            {"notices", descriptor.notices}};
}

} // namespace lacuna
