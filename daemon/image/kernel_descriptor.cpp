// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel_descriptor.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <initializer_list>

#include <nlohmann/json.hpp>
#include <spdlog/fmt/fmt.h>

#include "error.h"
#include "kernel_image.h"
#include "ksymtab.h"
#include "names.h"
#include "site_finder.h"
#include "symbol_recovery.h"
#include "symbols.h"

namespace lacuna {

namespace {

// Where things are in a kernel: as its symbol table says, or else as the image itself shows.
class Locator {
public:
    Locator(const KernelImage& kernel, const Symbols& symbols, std::vector<std::string>& notices)
        : kernel_(kernel),
          symbols_(symbols),
          notices_(notices)
    {}

    // What is linked into the image under the first of several names it had over the versions.
    std::uint64_t need(std::initializer_list<const char*> names) const
    {
        if (const auto found = find(names))
            return *found;
        fail(fmt::format("{}", fmt::join(names, " or ")));
    }

    std::optional<std::uint64_t> find(std::initializer_list<const char*> names) const
    {
        for (const char* name : names)
            if (const auto address = symbols_.find(name))
                return address;
        for (const char* name : names)
            if (const auto address = find_exported(kernel_.elf(), name)) {
                tell(name, "among what is exported to modules");
                return address;
            }
        return std::nullopt;
    }

    // A symbol, or what `recover` finds instead.
    template <typename Recover> std::uint64_t need(const char* name, const Recover& recover) const
    {
        if (const auto address = symbols_.find(name))
            return *address;
        const std::optional<Recovered> recovered = recover();
        if (!recovered)
            fail(name);
        tell(name, recovered->how);
        return recovered->address;
    }

    std::string need_function(std::initializer_list<const char*> names) const
    {
        for (const char* name : names)
            if (symbols_.find(name))
                return name;
        fail(fmt::format("{}", fmt::join(names, " or ")));
    }

private:
    [[noreturn]] void fail(const std::string& what) const
    {
        // What the person can do depends on where it was looked for.
        throw Error("symbol " + what + " is missing from " + symbols_.source(), kernel_.name(),
                    symbols_.source() == "kallsyms"
                        ? "it cannot be found in the image either: give the System.map of this build"
                        : "give the complete System.map of this build");
    }

    void tell(const std::string& what, const std::string& how) const
    {
        notices_.push_back(fmt::format("{} is not in {}, found {}", what, symbols_.source(), how));
    }

    const KernelImage& kernel_;
    const Symbols& symbols_;
    std::vector<std::string>& notices_;
};

std::string read_banner(const KernelImage& kernel, std::uint64_t address)
{
    constexpr std::uint64_t longest = 1024;
    constexpr std::string_view start = "Linux version ";
    const ByteView bytes = kernel.elf().read_up_to(address, longest);
    const auto end =
        std::find_if(bytes.begin(), bytes.end(), [](std::uint8_t c) { return c == 0 || c == '\n'; });
    std::string banner(bytes.begin(), end);
    const auto printable = [](char c) { return c >= 0x20 && c < 0x7f; };
    if (!banner.starts_with(start) || end == bytes.end() ||
        !std::all_of(banner.begin(), banner.end(), printable))
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

// What loads modules and looks one up by its name has been in each kernel that can since 2.6.12. Functions are never left
// out of a symbol table; the system calls, for their part, have their names in it where they do nothing (sys_ni).
bool has_modules(const Symbols& symbols)
{
    constexpr std::array<std::string_view, 6> names = {"modules",         "load_module", "find_module",
                                                       "find_module_all", "module_put",  "print_modules"};
    return std::any_of(symbols.all().begin(), symbols.all().end(), [&](const Symbol& symbol) {
        return std::find(names.begin(), names.end(), symbol.name) != names.end();
    });
}

void find_current(KernelDescriptor& descriptor, const KernelImage& kernel, const Symbols& symbols,
                  const Locator& locator)
{
    // 6.2 to 6.14 keep the current task as the first member of struct pcpu_hot.
    if (const auto found = locator.find({"current_task", "pcpu_hot"})) {
        descriptor.current_task = *found;
        const bool in_image = *found >= descriptor.text && *found < descriptor.end;
        // A kernel for one CPU has no copies of its per-CPU variables, so nothing that says where they are.
        const bool one_cpu = in_image && !locator.find({"__per_cpu_offset"});
        descriptor.current_kind = one_cpu    ? CurrentKind::global
                                  : in_image ? CurrentKind::percpu_address
                                             : CurrentKind::percpu_offset;
        return;
    }
    const auto size = recover_stack_size(kernel.elf(), symbols);
    if (!size)
        throw Error(
            "it cannot be told how this kernel finds its current task: it has neither current_task nor "
            "pcpu_hot, nor code that masks the stack pointer",
            kernel.name(), "give the System.map of this build");
    descriptor.current_task = *size;
    descriptor.current_kind = CurrentKind::stack;
}

} // namespace

KernelDescriptor describe_kernel(const std::filesystem::path& vmlinuz,
                                 const std::optional<std::filesystem::path>& system_map)
{
    return describe_kernel(KernelImage(vmlinuz),
                           system_map ? std::optional(read_system_map(*system_map)) : std::nullopt);
}

KernelDescriptor describe_kernel(const KernelImage& kernel, const std::optional<SystemMap>& system_map)
{
    KernelDescriptor descriptor;
    const Symbols symbols = read_symbols(kernel, system_map, descriptor.notices);
    descriptor.symbol_source = symbols.source();
    descriptor.architecture = kernel.elf().architecture();
    descriptor.build_id = kernel.build_id();
    const ElfImage& elf = kernel.elf();
    const Locator locator(kernel, symbols, descriptor.notices);
    descriptor.text = locator.need({"_text"});
    descriptor.end = locator.need("_end", [&] { return recover_end(elf, descriptor.text); });
    descriptor.banner_address = locator.need("linux_banner", [&] { return recover_banner(elf, symbols); });
    descriptor.banner = read_banner(kernel, descriptor.banner_address);
    descriptor.release = release_of(descriptor.banner);
    descriptor.id = as_file_name(descriptor.release) + "-" + kernel.fingerprint();
    descriptor.init_task = locator.need({"init_task"});
    check_init_task(kernel, descriptor.init_task);
    if (has_modules(symbols))
        descriptor.modules = locator.need("modules", [&] { return recover_module_list(elf, symbols); });
    descriptor.page_table = locator.find({"init_top_pgt", "init_level4_pgt", "swapper_pg_dir"}).value_or(0);
    find_current(descriptor, kernel, symbols, locator);
    const std::string fork = locator.need_function({"kernel_clone", "_do_fork", "do_fork"});
    descriptor.sites = {
        site_in(kernel, symbols, fork, SiteKind::fork),
        site_in(kernel, symbols, locator.need_function({"release_task"}), SiteKind::exit)};
    // Without modules it is only for the kernel's own parts, and its memory is given back (__init_or_module).
    if (descriptor.modules)
        descriptor.sites.push_back(
            site_in(kernel, symbols, locator.need_function({"do_one_initcall"}), SiteKind::initcall));
    descriptor.symbols = std::make_shared<const Symbols>(symbols);
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
