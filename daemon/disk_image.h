// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace lacuna {

// A kernel found in a guest's disk image, copied out.
struct ImageKernel {
    std::string guest_path;                          // where it lies on its file system in the guest
    std::filesystem::path vmlinuz;                   // the copy
    std::optional<std::filesystem::path> system_map; // the copy, if there is one beside it (on Debian a stub)
};

// Copies every kernel out of a disk image (vmlinuz-* in /boot or on a file system of its own, vmlinuz under
// /usr/lib/modules/VERSION) into the existing directory `into`. Reads only: the image may belong to a running
// guest.
//
// Uses libguestfs, so that no file system of a guest is ever mounted by the host's kernel. It starts a small
// virtual machine, which takes seconds with KVM and up to a minute without; `progress` is told what is going
// on. libguestfs needs a kernel for it: the newest in /boot, or the one that the environment variables
// SUPERMIN_KERNEL (its vmlinuz), SUPERMIN_MODULES (its /lib/modules/VERSION) and SUPERMIN_KERNEL_VERSION (its
// VERSION) point at, for example an unpacked linux-image package.
//
// `format` is "raw" or "qcow2"; if it is empty libguestfs looks at the image. Name the format of a raw image
// that an untrusted guest writes to: it could make its disk look like a qcow2 image that refers to a file of
// the host.
//
// Throws Error if the image cannot be read or holds no kernel.
std::vector<ImageKernel> copy_kernels(const std::filesystem::path& image, const std::filesystem::path& into,
                                      const std::string& format = {},
                                      const std::function<void(const std::string&)>& progress = {});

} // namespace lacuna
