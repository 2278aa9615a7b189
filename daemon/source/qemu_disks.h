// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "disk_image.h"

namespace lacuna {

// The hard disks that QEMU is given on its command line and that are files or block devices of the host, in
// the order of their paths, each once: -drive, -hda to -hdd, and -blockdev (both its forms) with a -device
// that uses it. CD-ROMs, floppy disks, firmware (pflash) and disks on the network are left out. Relative
// paths start at `directory`. What is not understood is left out as well.
std::vector<Disk> qemu_disks(const std::vector<std::string>& arguments,
                             const std::filesystem::path& directory);

} // namespace lacuna
