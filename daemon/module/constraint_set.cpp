// SPDX-License-Identifier: GPL-2.0-or-later
#include "constraint_set.h"

#include <algorithm>
#include <fstream>
#include <iterator>

#include "constraint_links.h"
#include "error.h"

namespace lacuna {

lacuna_constraints compile_constraints(const std::vector<ConstraintFile>& files)
{
    std::vector<ConstraintStructure> structures;
    for (const ConstraintFile& file : files)
        structures.push_back(read_constraint_file(file));
    return link_constraints(std::move(structures));
}

lacuna_constraints load_constraints(const std::filesystem::path& directory)
{
    std::vector<std::filesystem::path> paths;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(directory, error))
        if (entry.path().extension() == ".json" && entry.path().filename() != "schema.json")
            paths.push_back(entry.path());
    if (error)
        throw Error("the constraints cannot be listed: " + error.message(), directory.string(),
                    "name the folder that holds task_struct.json with --constraints or in the configuration");
    if (paths.empty())
        throw Error("there is no constraint file here", directory.string(),
                    "it should hold task_struct.json and others");
    std::sort(paths.begin(), paths.end());

    std::vector<ConstraintFile> files;
    for (const auto& path : paths) {
        std::ifstream stream(path, std::ios::binary);
        const std::string text((std::istreambuf_iterator<char>(stream)), {});
        if (!stream)
            throw system_error("cannot be read", path.string());
        files.push_back({path.string(), text});
    }
    return compile_constraints(files);
}

} // namespace lacuna
