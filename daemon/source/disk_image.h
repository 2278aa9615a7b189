// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include <sys/types.h>

namespace lacuna {

// A disk of a guest.
struct Disk {
    std::filesystem::path file; // a disk image, or a block device of the host
    // "raw", "qcow2", ...; empty: libguestfs looks at the image. Name the format of a raw image that an
    // untrusted guest writes to: it could make its disk look like a qcow2 image that refers to a file of the
    // host.
    std::string format;

    auto operator<=>(const Disk&) const = default;
};

// "/srv/a.qcow2, /srv/b.raw"
std::string names_of(const std::vector<Disk>& disks);

// A kernel found on a guest's disks, copied out.
struct ImageKernel {
    std::string guest_path;                          // where it lies on its file system in the guest
    std::filesystem::path vmlinuz;                   // the copy
    std::optional<std::filesystem::path> system_map; // the copy, if there is one beside it (on Debian a stub)
};

// What another process has open.
struct OpenFile {
    std::filesystem::path path;
    dev_t device;
    ino_t inode;
};

// Copies every kernel out of a guest's disks (vmlinuz-* in /boot or on a file system of its own, vmlinuz
// under /usr/lib/modules/VERSION, unified kernel images in /EFI/Linux, and where ostree, NixOS and the Boot Loader
// Specification have them) into the existing directory `into`. All disks at once: a logical volume may
// lie on several. Reads only: they may belong to a running guest.
//
// Uses libguestfs, so that no file system of a guest is ever mounted by the host's kernel. It starts a small
// virtual machine, which takes seconds with KVM and up to a minute without; `progress` is told what is going
// on. libguestfs needs a kernel for it: the newest in /boot, or the one that the environment variables
// SUPERMIN_KERNEL (its vmlinuz), SUPERMIN_MODULES (its /lib/modules/VERSION) and SUPERMIN_KERNEL_VERSION (its
// VERSION) point at, for example an unpacked linux-image package.
//
// `opened` is told, before anything is read, of the files that virtual machine has open of theirs: disks may refer to
// other files. What it throws is thrown.
//
// Throws Error if a disk cannot be read, if they hold no kernel, more than 1 GiB of them, or after
// `deadline`: what a guest has written may make the kernel of that virtual machine hang. Also when `stop` is
// requested meanwhile.
std::vector<ImageKernel> copy_kernels(const std::vector<Disk>& disks, const std::filesystem::path& into,
                                      const std::function<void(const std::string&)>& progress = {},
                                      std::chrono::seconds deadline = std::chrono::minutes(10),
                                      std::stop_token stop = {},
                                      const std::function<void(std::vector<OpenFile>)>& opened = {});

} // namespace lacuna
