// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "boot_files.h"
#include "store.h"

namespace lacuna {

// Keeps the forms that tools read up to date with the store. Below <store>/export:
//   isf/<kernel id>.json    for Volatility 3 and LibVMI; to be read by whoever may read profiles, and so is
//   banners.json            for Volatility's remote_isf_url: which of them belongs to which kernel
//   libvmi.conf             for root: a stanza for each guest that runs and whose kernel has an ISF
//   guests/<guest>/         for root, while that boot runs: vmcoreinfo, System.map, volatility.json
class Exports {
public:
    // `store` must outlive it. Removes what an earlier daemon left of boots.
    explicit Exports(const Store& store);

    // The kernel's profile or symbols are new, or its profile is gone.
    void update_kernel(const std::string& kernel_id);
    // The kernels that have a profile and now symbols, but had none when they were last updated.
    std::vector<std::string> missing() const;
    // The guest's facts are new.
    void update_guest(const Json& facts);
    // The guest is not called so any more.
    void remove_guest(const std::string& guest);

private:
    struct Written {
        BootFacts boot;
        bool isf = false;
        std::string stanza;
    };

    void make_isf_of(const std::string& kernel_id);
    void write_banners() const;
    void write_libvmi() const;

    const Store& store_;
    std::set<std::string> missing_; // kernels with a profile, but without symbols
    std::map<std::string, std::string> banners_; // banner_key() of the kernels that have an ISF
    std::map<std::string, Written> guests_;
};

// One file, or why there is none.
struct Export {
    std::string what; // "isf", "libvmi", "vol-config", "vmcoreinfo", "map"
    std::filesystem::path file;
    std::string why_not;
};

// What there is of a kernel, and of the boot that these facts are of, if any.
std::vector<Export> exports_of(const Store& store, const std::string& kernel_id, const Json& facts);

struct ExportRequest {
    std::string format; // as Export::what, or "elf": for debuggers
    std::string name;   // of a guest, or kernel id
    std::filesystem::path memory; // vol-config: where the guest's memory is
    bool all_symbols = false;     // isf
};
// The text that was asked for. Throws Error that says why there is none.
std::string make_export(const Store& store, const ExportRequest& request);

} // namespace lacuna
