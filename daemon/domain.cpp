// SPDX-License-Identifier: GPL-2.0-or-later
#include "domain.h"

#include <algorithm>
#include <cstring>
#include <fstream>
#include <iterator>

#include <pugixml.hpp>
#include <spdlog/spdlog.h>

#include "error.h"

namespace lacuna {

namespace {

// https://libvirt.org/formatdomain.html#hard-drives-floppy-disks-cdroms: the type says where the image is
// named. Images in a storage pool (type volume) have no path there; QEMU's command line has it once the guest
// is started.
std::optional<Disk> hard_disk(const pugi::xml_node& node)
{
    const std::string device = node.attribute("device").as_string("disk"),
                      type = node.attribute("type").value();
    const char* named_by = type == "file" ? "file" : type == "block" ? "dev" : nullptr;
    if (!named_by || (device != "disk" && device != "lun"))
        return std::nullopt;
    const std::string file = node.child("source").attribute(named_by).value();
    if (file.empty())
        return std::nullopt;
    return Disk{file, node.child("driver").attribute("type").as_string("raw")};
}

} // namespace

Domain parse_domain(const std::string& xml, const std::string& source)
{
    pugi::xml_document document;
    const auto parsed = document.load_buffer(xml.data(), xml.size());
    const auto root = document.child("domain");
    if (!parsed || !root)
        throw Error(std::string("is no domain of libvirt: ") +
                        (parsed ? "no <domain>" : parsed.description()),
                    source);
    Domain domain;
    domain.name = root.child_value("name");
    domain.uuid = root.child_value("uuid");
    if (const std::string kernel = root.child("os").child_value("kernel"); !kernel.empty())
        domain.kernel = kernel;
    for (const auto& node : root.child("devices").children("disk"))
        if (auto disk = hard_disk(node))
            domain.disks.push_back(std::move(*disk));
    std::sort(domain.disks.begin(), domain.disks.end());
    return domain;
}

std::vector<Domain> defined_domains(const std::filesystem::path& folder)
{
    std::vector<Domain> domains;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
        if (entry.path().extension() != ".xml" || !entry.is_regular_file(error))
            continue;
        std::ifstream stream(entry.path(), std::ios::binary);
        try {
            domains.push_back(
                parse_domain({std::istreambuf_iterator<char>(stream), {}}, entry.path().string()));
        } catch (const Error& problem) {
            spdlog::warn("{}", problem.what());
        }
    }
    return domains;
}

} // namespace lacuna
