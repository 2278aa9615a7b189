// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "disk_image.h"

namespace lacuna {

// A disk that is named by its place in one of libvirt's storage pools. Only libvirt knows its path.
struct Volume {
    std::string pool, name;
    std::string format;

    bool operator==(const Volume&) const = default;
};

// A guest as libvirt has defined it, whether it runs or not.
struct Domain {
    std::string name, uuid;
    std::optional<std::filesystem::path> kernel; // of direct kernel boot
    std::vector<Disk> disks;                     // as of qemu_disks()
    std::vector<Volume> volumes;                 // disks whose path is still to be asked for

    bool operator==(const Domain&) const = default;
};

// libvirt's domain XML. Throws Error if that is not what `xml` is; `source`: where it comes from.
Domain parse_domain(const std::string& xml, const std::string& source);

// The domains whose definitions lie in a folder (libvirt keeps them in /etc/libvirt/qemu): they can be read
// before libvirt runs and starts those that are to be started with the host. A folder that cannot be read has
// none.
std::vector<Domain> defined_domains(const std::filesystem::path& folder);

} // namespace lacuna
