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
#include "task_survey.h"

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

    // A symbol, or what is exported under its name, or what `recover` finds instead.
    template <typename Recover> std::uint64_t need(const char* name, const Recover& recover) const
    {
        if (const auto address = find({name}))
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
        // A table leaves data out, and never functions.
        throw Error(fmt::format("function {} is missing from {}", fmt::join(names, " or "), symbols_.source()), kernel_.name(),
                    "this build is not supported yet: please report it");
    }

    void tell(const std::string& what, const std::string& how) const
    {
        notices_.push_back(fmt::format("{} is not in {}, found {}", what, symbols_.source(), how));
    }

    [[noreturn]] void fail(const std::string& what) const
    {
        throw Error("symbol " + what + " is missing from " + symbols_.source(), kernel_.name(), hint());
    }
    // What the person can do depends on where it was looked for.
    std::string hint() const
    {
        return symbols_.source() == "kallsyms"
                   ? "it cannot be found in the image either: give the System.map of this build"
                   : "it cannot be found in the image either: this build is not supported yet, please report it";
    }

private:
    const KernelImage& kernel_;
    const Symbols& symbols_;
    std::vector<std::string>& notices_;
};

// Whether JSON holds it as it is.
bool is_utf8(const std::string& text)
{
    using Json = nlohmann::json;
    return Json::parse(Json(text).dump(-1, ' ', false, Json::error_handler_t::ignore)) == text;
}

std::string read_banner(const KernelImage& kernel, std::uint64_t address)
{
    constexpr std::uint64_t longest = 1024;
    constexpr std::string_view start = "Linux version ";
    const ByteView bytes = kernel.elf().read_up_to(address, longest);
    const auto end =
        std::find_if(bytes.begin(), bytes.end(), [](std::uint8_t c) { return c == 0 || c == '\n'; });
    std::string banner(bytes.begin(), end);
    if (!banner.starts_with(start) || end == bytes.end() || printable(banner) != banner)
        throw Error("there is no \"Linux version\" text at linux_banner (" + hex(address) + ")",
                    kernel.name(),
                    "the symbols belong to another kernel: give the System.map of this build, or none");
    // What the compiler said of itself, in the language of who built it. All that is told of a kernel is JSON.
    if (!is_utf8(banner))
        throw Error("its banner is not UTF-8", kernel.name(), "this build is not supported yet: please report it");
    return banner;
}

std::string release_of(const std::string& banner)
{
    const std::size_t start = std::string_view("Linux version ").size();
    return banner.substr(start, banner.find(' ', start) - start);
}

void check_init_task(const KernelImage& kernel, std::uint64_t init_task)
{
    if (!is_first_task(kernel.elf(), init_task))
        throw Error("there is no task named \"swapper\" at init_task (" + hex(init_task) + ")", kernel.name(),
                    "the symbols belong to another kernel: give the System.map of this build, or none");
}

void check_module_list(const KernelImage& kernel, std::uint64_t modules)
{
    if (!is_empty_list(kernel.elf(), modules))
        throw Error("there is no empty list at modules (" + hex(modules) + ")", kernel.name(),
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

// Where a kernel is about to copy what traps may stand in, by preference. They are called from other files than their own, so that they
// are inlined nowhere, and nobody is inside of them for long. Hibernating and coming back from there begin with the first (2.6.22 to 7.3);
// the second makes room for the copy of memory (since 2.6.31), the third copies. Probes copy what they cover, to execute it elsewhere
// (2.6.9 to 7.3), and get the place for that from the second (since 2.6.39); but not where ftrace calls from.
struct Copier {
    SiteKind kind;
    std::vector<const char*> functions;
};

std::vector<Copier> copiers()
{
    return {{SiteKind::hibernate, {"create_basic_memory_bitmaps", "hibernate_preallocate_memory", "swsusp_save"}},
            {SiteKind::probe, {"arch_prepare_kprobe", "__get_insn_slot"}}};
}

// A site of several instructions would keep a guest that runs from being learned from.
std::optional<TrapSite> site_of(const Copier& copier, const KernelImage& kernel, const Symbols& symbols)
{
    for (const char* function : copier.functions) {
        if (!symbols.find(function))
            continue;
        auto site = find_site(kernel.elf(), symbols, function, copier.kind);
        if (site && site->single)
            return site;
    }
    return std::nullopt;
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

std::uint64_t find_end(const ElfImage& elf, const Symbols& symbols, const Locator& locator, std::uint64_t text)
{
    std::optional<std::uint64_t> end;
    for (const Symbol& symbol : symbols.all())
        if (symbol.name == "_end" && is_end(elf, symbol.address))
            end = symbol.address; // the highest
    if (end)
        return *end;
    const auto recovered = recover_end(elf, text);
    if (!recovered)
        locator.fail("_end");
    locator.tell("_end", recovered->how);
    return recovered->address;
}

// `survey`: gives the TaskSurvey, which takes a while.
template <typename Survey>
void find_current(KernelDescriptor& descriptor, const KernelImage& kernel, const Symbols& symbols,
                  const Locator& locator, const Survey& survey)
{
    const auto in_image = [&](std::uint64_t address) {
        return address >= descriptor.text && address < descriptor.end;
    };
    // A kernel for one CPU has no copies of its per-CPU variables.
    const auto set = [&](std::uint64_t address, bool per_cpu) {
        descriptor.current_task = address;
        descriptor.current_kind = !in_image(address) ? CurrentKind::percpu_offset
                                  : per_cpu          ? CurrentKind::percpu_address
                                                     : CurrentKind::global;
    };
    // Up to 2.6.33 with a prefix; 6.2 to 6.14 keep the current task as the first member of struct pcpu_hot.
    if (const auto found = locator.find({"current_task", "per_cpu__current_task", "pcpu_hot"})) {
        const bool copies = locator.find({"__per_cpu_offset"}).has_value();
        return set(*found, copies || (in_image(*found) && survey().is_per_cpu(*found)));
    }
    // Other variables hold init_task as well, such as child_reaper up to 2.6.18.
    if (const auto found = survey().current(); found && users_load(kernel.elf(), symbols, found->address, found->per_cpu)) {
        set(found->address, found->per_cpu);
        locator.tell("current_task", "in what the code loads");
        return;
    }
    // The kernels for x86-64 up to 2.6.29 fill it in when they run.
    const auto used = recover_current_by_users(kernel.elf(), symbols);
    if (used && used == survey().most_loaded()) {
        set(*used, true);
        locator.tell("current_task", "in what the code loads");
        return;
    }
    auto size = recover_stack_size(kernel.elf(), symbols);
    if (!size)
        size = survey().stack_size();
    if (!size || !survey().is_stack_size(*size))
        throw Error("it cannot be told how this kernel finds its current task: it has neither current_task nor "
                    "pcpu_hot, and neither a variable that holds it nor a mask of the stack pointer is seen in its code",
                    kernel.name(), locator.hint());
    descriptor.current_task = *size;
    descriptor.current_kind = CurrentKind::stack;
}

} // namespace

// It names files, and the release comes from the guest.
std::string id_of_kernel(std::string release, const std::string& fingerprint)
{
    for (char& c : release)
        if (!std::isalnum(static_cast<unsigned char>(c)) &&
            std::string_view("._+~-").find(c) == std::string_view::npos)
            c = '_';
    return release + "-" + fingerprint;
}

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
    std::optional<TaskSurvey> surveyed;
    const auto survey = [&]() -> const TaskSurvey& { return surveyed ? *surveyed : surveyed.emplace(elf); };
    descriptor.text =
        locator.need("_text", [&] { return Recovered{elf.code_start(), "as the start of its code"}; });
    descriptor.end = find_end(elf, symbols, locator, descriptor.text);
    descriptor.banner_address = locator.need("linux_banner", [&] { return recover_banner(elf, symbols); });
    // Otherwise read_banner() says so.
    descriptor.banner_address = banner_at(elf, descriptor.banner_address).value_or(descriptor.banner_address);
    descriptor.banner = read_banner(kernel, descriptor.banner_address);
    descriptor.release = release_of(descriptor.banner);
    const bool by_map = system_map && symbols.source() == system_map->name;
    // What a System.map says besides is not said of other guests with this image.
    descriptor.id = id_of_kernel(descriptor.release, by_map ? kernel.fingerprint_with(system_map->text) : kernel.fingerprint());
    descriptor.init_task = locator.need("init_task", [&]() -> std::optional<Recovered> {
        if (const auto found = survey().init_task())
            return Recovered{*found, "by its name, its pointers to itself and the code that uses it"};
        return std::nullopt;
    });
    check_init_task(kernel, descriptor.init_task);
    if (has_modules(symbols)) {
        descriptor.modules = locator.need("modules", [&] { return recover_module_list(elf, symbols); });
        check_module_list(kernel, descriptor.modules);
    }
    descriptor.page_table = locator.find({"init_top_pgt", "init_level4_pgt", "swapper_pg_dir"}).value_or(0);
    find_current(descriptor, kernel, symbols, locator, survey);
    const std::string fork = locator.need_function({"kernel_clone", "_do_fork", "do_fork"});
    descriptor.sites = {
        site_in(kernel, symbols, fork, SiteKind::fork),
        site_in(kernel, symbols, locator.need_function({"release_task"}), SiteKind::exit)};
    // Without modules it is only for the kernel's own parts, and its memory is given back (__init_or_module).
    const bool has_initcall = symbols.find("do_one_initcall").has_value();
    if (descriptor.modules && has_initcall)
        descriptor.sites.push_back(site_in(kernel, symbols, "do_one_initcall", SiteKind::initcall));
    if (descriptor.modules && !has_initcall)
        descriptor.notices.emplace_back("it has no do_one_initcall, so modules are not learned from while they are loaded, "
                                        "but when they are there");
    for (const Copier& copier : copiers())
        if (auto site = site_of(copier, kernel, symbols))
            descriptor.sites.push_back(std::move(*site));
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
    case SiteKind::hibernate:
        return "hibernate";
    case SiteKind::probe:
        return "probe";
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
