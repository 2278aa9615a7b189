// SPDX-License-Identifier: GPL-2.0-or-later
#include "exports.h"

#include <spdlog/spdlog.h>

#include "elf_file.h"
#include "error.h"
#include "isf.h"
#include "names.h"
#include "symbol_file.h"

namespace lacuna {

namespace {

using Addresses = std::map<std::string, std::uint64_t>;

Addresses addresses_in(const Store& store, const std::string& kernel_id)
{
    const auto text = store.symbols(kernel_id);
    return text ? addresses_of(*text) : Addresses();
}

std::string as_text(const Json& json)
{
    return to_text(json, 1) + "\n";
}

// Linked; 0: none of its names is among the symbols.
std::uint64_t page_table_in(const Addresses& symbols)
{
    for (const char* name : {"init_top_pgt", "init_level4_pgt", "swapper_pg_dir"})
        if (const auto found = symbols.find(name); found != symbols.end())
            return found->second;
    return 0;
}

std::string need_symbols(const Store& store, const std::string& kernel_id)
{
    auto text = store.symbols(kernel_id);
    if (!text)
        throw Error("its symbols are not there: its image has not been read by this version", "kernel " + kernel_id,
                    "they are when lacunad has been started anew and a guest has this kernel on its disks");
    return std::move(*text);
}

// Where the memory of a guest is expected by the configuration that is written ahead.
std::filesystem::path expected_memory(const Store& store, const std::string& guest)
{
    return store.boot_folder(guest) / "memory";
}

} // namespace

Exports::Exports(const Store& store) : store_(store)
{
    try {
        store_.remove_boots();
        write_libvmi();
        for (const std::string& kernel_id : store_.kernels())
            make_isf_of(kernel_id);
        write_banners();
    } catch (const std::exception& error) { // guests are more than files for tools
        spdlog::error("{}", error.what());
    }
}

void Exports::update_kernel(const std::string& kernel_id)
{
    make_isf_of(kernel_id);
    write_banners();
}

void Exports::make_isf_of(const std::string& kernel_id)
{
    const auto profile = store_.profile(kernel_id);
    const auto file = store_.isf_file(kernel_id);
    missing_.erase(kernel_id);
    banners_.erase(kernel_id);
    if (!profile) {
        store_.remove_file(file);
    } else {
        const auto symbols = addresses_in(store_, kernel_id);
        if (symbols.empty())
            missing_.insert(kernel_id);
        if (!why_no_isf(*profile, symbols).empty()) {
            store_.remove_file(file);
            return;
        }
        // What says nothing new is not touched: tools keep what they have read by the time of its change.
        if (const auto text = as_text(make_isf(*profile, symbols)); store_.text_of(file) != text)
            store_.put_public(file, text);
        banners_[kernel_id] = banner_key(*profile);
    }
}

std::vector<std::string> Exports::missing() const
{
    std::vector<std::string> ready;
    for (const std::string& kernel_id : missing_)
        if (std::filesystem::exists(store_.symbols_file(kernel_id)))
            ready.push_back(kernel_id);
    return ready;
}

void Exports::write_banners() const
{
    std::map<std::string, Json> files;
    for (const auto& [kernel_id, banner] : banners_)
        files.try_emplace(banner, Json::array()).first->second.push_back("file://" + std::filesystem::absolute(store_.isf_file(kernel_id)).string());
    Json banners = nlohmann::json(std::move(files));
    store_.put_public(store_.export_folder() / "banners.json", as_text({{"version", 1}, {"linux", std::move(banners)}}));
}

void Exports::write_libvmi() const
{
    std::string text;
    for (const auto& [guest, written] : guests_)
        text += written.stanza;
    store_.put_private(store_.export_folder() / "libvmi.conf", text);
}

void Exports::update_guest(const Json& facts)
{
    const auto boot = boot_facts(facts);
    if (!boot)
        return remove_guest(facts.at("name").get<std::string>());
    const auto isf = std::filesystem::absolute(store_.isf_file(boot->kernel_id));
    const Written now = {*boot, std::filesystem::exists(isf), {}};
    Written& written = guests_[boot->guest];
    if (written.boot == now.boot && written.isf == now.isf)
        return;
    const std::string stanza = std::exchange(written, now).stanza;
    const auto symbols = store_.symbols(boot->kernel_id);
    const std::filesystem::path folder = store_.boot_folder(boot->guest);
    store_.remove_boot(boot->guest); // nothing of an earlier boot stays
    if (symbols) {
        store_.put_private(folder / "System.map", slid_symbol_text(*symbols, boot->slide));
        if (const auto page_table = page_table_in(addresses_of(*symbols)); why_no_vmcoreinfo(*boot, page_table).empty())
            store_.put_private(folder / "vmcoreinfo", vmcoreinfo(*boot, page_table));
    }
    if (now.isf && why_no_volatility_config(*boot).empty())
        store_.put_private(folder / "volatility.json",
                             as_text(volatility_config(*boot, isf, expected_memory(store_, boot->guest))));
    if (now.isf && why_no_libvmi_stanza(*boot, isf).empty())
        written.stanza = libvmi_stanza(*boot, isf);
    if (written.stanza != stanza)
        write_libvmi();
}

void Exports::remove_guest(const std::string& guest)
{
    const auto written = guests_.find(guest);
    if (written == guests_.end())
        return;
    const bool in_libvmi = !written->second.stanza.empty();
    guests_.erase(written);
    store_.remove_boot(guest);
    if (in_libvmi)
        write_libvmi();
}

std::vector<Export> exports_of(const Store& store, const std::string& kernel_id, const Json& facts)
{
    std::vector<Export> all;
    const auto profile = store.profile(kernel_id);
    const auto symbols = addresses_in(store, kernel_id);
    const auto isf = std::filesystem::absolute(store.isf_file(kernel_id));
    const std::string why_no = profile ? why_no_isf(*profile, symbols) : "there is no profile of its kernel";
    all.push_back({"isf", isf, why_no});
    const auto boot = facts.is_object() ? boot_facts(facts) : std::nullopt;
    if (!boot || boot->kernel_id != kernel_id)
        return all;
    const auto folder = store.boot_folder(boot->guest);
    const auto first = [](const std::string& a, const std::string& b) { return a.empty() ? b : a; };
    all.push_back({"libvmi", store.export_folder() / "libvmi.conf",
                   first(why_no_libvmi_stanza(*boot, isf), why_no.empty() ? "" : "there is no ISF of its kernel")});
    all.push_back({"vol-config", folder / "volatility.json",
                   first(why_no_volatility_config(*boot), why_no.empty() ? "" : "there is no ISF of its kernel")});
    const std::string no_symbols = symbols.empty() ? "the symbols of its kernel have not been read by this version" : "";
    all.push_back({"vmcoreinfo", folder / "vmcoreinfo", first(no_symbols, why_no_vmcoreinfo(*boot, page_table_in(symbols)))});
    all.push_back({"map", folder / "System.map", no_symbols});
    return all;
}

std::string make_export(const Store& store, const ExportRequest& request)
{
    std::string kernel_id = request.name;
    std::optional<BootFacts> boot;
    auto profile = store.profile(kernel_id); // first: not everybody may look into the folder of guests
    const bool of_kernel = profile || store.symbols(kernel_id);
    if (!of_kernel) {
        const auto facts = store.guest(request.name);
        if (!facts)
            throw Unknown("no guest and no kernel of this name is known", request.name, "lacunactl status lists them");
        boot = boot_facts(*facts);
        if (!boot)
            throw Error("is gone, or its kernel has not been found (yet)", request.name, "lacunactl status shows it");
        kernel_id = boot->kernel_id;
        profile = store.profile(kernel_id);
    }
    const auto isf = std::filesystem::absolute(store.isf_file(kernel_id));
    const std::uint64_t slide = boot ? boot->slide : 0;
    if (request.format == "isf" || request.format == "elf") {
        if (!profile)
            throw Error("there is no profile of it (yet)", "kernel " + kernel_id, "lacunactl watch shows how it comes about");
        const Json json = make_isf(*profile, addresses_in(store, kernel_id), request.all_symbols);
        if (request.format == "isf")
            return as_text(json);
        return make_elf_file(json, need_symbols(store, kernel_id), slide, profile->architecture == "x86_64");
    }
    if (request.format == "map")
        return slid_symbol_text(need_symbols(store, kernel_id), slide);
    if (!boot)
        throw Error("belongs to one boot of a guest", request.format, "name a guest that runs");
    if (request.format == "vmcoreinfo")
        return vmcoreinfo(*boot, page_table_in(addresses_of(need_symbols(store, kernel_id))));
    if (!std::filesystem::exists(isf))
        throw Error("there is no ISF of its kernel", "guest " + boot->guest, "lacunactl profile " + boot->guest + " says why");
    if (request.format == "libvmi")
        return libvmi_stanza(*boot, isf);
    return as_text(volatility_config(
        *boot, isf, request.memory.empty() ? expected_memory(store, boot->guest) : std::filesystem::absolute(request.memory)));
}

} // namespace lacuna
