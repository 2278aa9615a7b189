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
// named.
void add_disk(Domain& domain, const pugi::xml_node& node)
{
    const std::string device = node.attribute("device").as_string("disk"),
                      type = node.attribute("type").value(),
                      format = node.child("driver").attribute("type").as_string("raw");
    if (device != "disk" && device != "lun")
        return;
    const auto source = node.child("source");
    const std::string path = type == "file"    ? source.attribute("file").value()
                             : type == "block" ? source.attribute("dev").value()
                                               : "";
    if (!path.empty())
        domain.disks.push_back(Disk{path, format});
    if (type == "volume")
        domain.volumes.push_back(
            Volume{source.attribute("pool").value(), source.attribute("volume").value(), format});
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
        add_disk(domain, node);
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
