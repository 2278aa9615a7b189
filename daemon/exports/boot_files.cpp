// SPDX-License-Identifier: GPL-2.0-or-later
#include "boot_files.h"

#include <algorithm>
#include <array>
#include <cctype>

#include <spdlog/fmt/fmt.h>

#include "error.h"

namespace lacuna {

namespace {

constexpr std::uint64_t kernel_map = 0xffffffff80000000; // __START_KERNEL_map, x86-64
constexpr const char* five_levels =
    "the guest has 5-level page tables, which it misreads without a word (Volatility 2.11, LibVMI)";

// The words of LibVMI's grammar (libvmi/config/lexicon.l): a stanza of that name breaks the file for all.
constexpr std::array libvmi_keys = {
    "kpgd", "linux_tasks", "linux_mm", "linux_name", "linux_pid", "linux_pgd", "linux_addr", "linux_init_task", "linux_kaslr",
    "win_ntoskrnl", "win_ntoskrnl_va", "win_tasks", "win_pdbase", "win_pid", "win_pname", "win_kdvb", "win_kdbg", "win_kpcr",
    "win_sysproc", "freebsd_name", "freebsd_pid", "freebsd_vmspace", "freebsd_pmap", "freebsd_pgd", "sysmap", "rekall_profile",
    "volatility_ist", "ostype", "pagemode", "aarch64_ttbr0_va_width", "aarch64_ttbr0_granule_size", "aarch64_ttbr1_va_width",
    "aarch64_ttbr1_granule_size"};

bool all_of(const std::string& text, std::string_view others)
{
    return std::all_of(text.begin(), text.end(), [&](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) || others.find(c) != std::string_view::npos;
    });
}

bool is_number(const std::string& name)
{
    const auto digits = [](std::string_view text, int (*fits)(int)) {
        return !text.empty() && std::all_of(text.begin(), text.end(), [=](unsigned char c) { return fits(c); });
    };
    return digits(name, std::isdigit) || (name.starts_with("0x") && digits(std::string_view(name).substr(2), std::isxdigit));
}

bool is_libvmi_word(const std::string& name)
{
    return name.size() >= 2 && std::isalnum(static_cast<unsigned char>(name.front())) && all_of(name, "._-") &&
           !is_number(name) && std::find(libvmi_keys.begin(), libvmi_keys.end(), name) == libvmi_keys.end();
}

std::uint64_t number(const Json& json, const char* key)
{
    return json.contains(key) ? std::stoull(json.at(key).get<std::string>(), nullptr, 16) : 0;
}

std::string file_url(const std::filesystem::path& path)
{
    std::string url = "file://";
    for (const char c : path.string()) {
        if (std::isalnum(static_cast<unsigned char>(c)) || std::string_view("/._-").find(c) != std::string_view::npos)
            url += c;
        else
            url += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
    return url;
}

void refuse(const std::string& why, const BootFacts& boot, const char* what)
{
    if (!why.empty())
        throw Error(fmt::format("there is no {} of it: {}", what, why), "guest " + boot.guest);
}

} // namespace

std::optional<BootFacts> boot_facts(const Json& facts)
{
    if (!facts.contains("addresses") || facts.at("state") == "gone" || !facts.at("kernel").at("id").is_string())
        return std::nullopt;
    const Json& kernel = facts.at("kernel");
    BootFacts boot;
    boot.guest = facts.at("name").get<std::string>();
    boot.kernel_id = kernel.at("id").get<std::string>();
    boot.release = kernel.value("release", "");
    boot.architecture = kernel.value("architecture", "");
    boot.paging = facts.at("paging").get<std::string>();
    boot.slide = number(facts, "slide");
    boot.text = number(facts.at("addresses"), "text");
    boot.text_gpa = number(facts, "text_gpa");
    boot.page_table = number(facts.at("addresses"), "page_table_gpa");
    return boot;
}

std::string why_no_libvmi_stanza(const BootFacts& boot, const std::filesystem::path& isf)
{
    if (boot.paging == "5-level")
        return five_levels;
    if (boot.architecture == "i386")
        return "LibVMI does not find a 32-bit kernel that has slid";
    if (!is_libvmi_word(boot.guest))
        return "LibVMI's grammar does not take a guest of this name, and would refuse the file for all";
    if (!isf.is_absolute() || !all_of(isf.string(), "/._@-"))
        return "LibVMI's grammar does not take the path " + isf.string();
    return {};
}

std::string why_no_volatility_config(const BootFacts& boot)
{
    if (boot.paging == "5-level")
        return five_levels;
    if (!boot.page_table)
        return "its kernel's page tables have not been found (yet)";
    return {};
}

std::string why_no_vmcoreinfo(const BootFacts& boot, std::uint64_t page_table)
{
    if (boot.architecture != "x86_64")
        return "its readers know no 32-bit kernels";
    if (!boot.text || boot.release.empty())
        return "these facts are of an older version: the guest's next boot has what it takes";
    if (!page_table)
        return "its symbols do not say where its page tables are";
    return {};
}

std::string libvmi_stanza(const BootFacts& boot, const std::filesystem::path& isf)
{
    refuse(why_no_libvmi_stanza(boot, isf), boot, "stanza for LibVMI");
    // No linux_kaslr: with it LibVMI checks nothing of what it is told.
    return fmt::format("{} {{ volatility_ist = \"{}\"; }}\n", boot.guest, isf.string());
}

Json volatility_config(const BootFacts& boot, const std::filesystem::path& isf, const std::filesystem::path& memory)
{
    refuse(why_no_volatility_config(boot), boot, "configuration for Volatility");
    const std::string layers = "volatility3.framework.layers.";
    const char* paging = boot.paging == "4-level" ? "Intel32e" : boot.paging == "PAE" ? "IntelPAE" : "Intel";
    Json json;
    json["kernel.class"] = "volatility3.framework.contexts.Module";
    json["kernel.offset"] = boot.slide;
    json["kernel.layer_name.class"] = layers + "intel." + paging;
    json["kernel.layer_name.kernel_virtual_offset"] = boot.slide;
    json["kernel.layer_name.page_map_offset"] = boot.page_table;
    json["kernel.layer_name.memory_layer.class"] = layers + "physical.FileLayer";
    json["kernel.layer_name.memory_layer.location"] = file_url(memory);
    json["kernel.symbol_table_name.class"] = "volatility3.framework.symbols.linux.LinuxKernelIntermedSymbols";
    json["kernel.symbol_table_name.isf_url"] = file_url(isf);
    // The bits of an address that its layer keeps: without this it finds no symbol by its address ("socket:[1]" in lsof).
    json["kernel.symbol_table_name.symbol_mask"] = boot.paging == "4-level" ? 0xffffffffffff : 0xffffffff;
    return json;
}

std::string vmcoreinfo(const BootFacts& boot, std::uint64_t page_table)
{
    refuse(why_no_vmcoreinfo(boot, page_table), boot, "vmcoreinfo");
    // physical = virtual - __START_KERNEL_map + phys_base, for all of the image
    const auto phys_base = static_cast<std::int64_t>(boot.text_gpa - (boot.text - kernel_map));
    return fmt::format("OSRELEASE={}\nPAGESIZE=4096\nSYMBOL(swapper_pg_dir)={:x}\nKERNELOFFSET={:x}\n"
                       "NUMBER(phys_base)={}\nNUMBER(pgtable_l5_enabled)={}\n",
                       boot.release, page_table + boot.slide, boot.slide, phys_base, boot.paging == "5-level" ? 1 : 0);
}

} // namespace lacuna
