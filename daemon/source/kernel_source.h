// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <deque>
#include <filesystem>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "disk_image.h"
#include "file_access.h"
#include "kernel_descriptor.h"
#include "kernel_reader.h"

namespace lacuna {

// A file that holds one kernel, or a guest's disks, which hold any number of them.
struct KernelSource {
    std::filesystem::path file; // empty: the disks
    std::optional<std::filesystem::path> system_map;
    std::vector<Disk> disks;
    // Whose VMM has named it: what they may not read is not read for them. Nothing: the configuration or libvirt has.
    std::optional<FileUser> named_by = std::nullopt;

    auto operator<=>(const KernelSource&) const = default;
};

// "/boot/vmlinuz", "/srv/a.qcow2, /srv/b.raw"
std::string to_string(const KernelSource& source);

// The same kernel once, and the one with the highest release first: a guest with more than can be looked for
// boots the newest.
std::vector<KernelDescriptor> newest_first(std::vector<KernelDescriptor> kernels);

// Reads sources. What a kernel's file holds is worked out once: guests made from one image, or an image that
// is read again, have the same files. Copies share what they know; safe to use from several threads.
class SourceReader {
public:
    static constexpr std::size_t kept = 256; // descriptors, a few KiB each

    // Told of each kernel that is read, and of its symbols; from several threads.
    using OnKernel = std::function<void(const KernelDescriptor&, const Symbols&)>;

    explicit SourceReader(OnKernel on_kernel = {}, KernelReader reader = KernelReader());

    // Of disks every kernel that can be read, the newest first. Throws Error if there is none, or when `stop`
    // is requested. Takes seconds.
    std::vector<KernelDescriptor> operator()(const KernelSource& source, std::stop_token stop = {}) const;

private:
    KernelDescriptor describe(const std::filesystem::path& vmlinuz,
                              const std::optional<std::filesystem::path>& system_map,
                              const std::optional<FileUser>& as, const std::stop_token& stop) const;
    KernelDescriptor describe(const ImageKernel& kernel, const std::stop_token& stop) const;
    std::vector<KernelDescriptor> read_disks(const KernelSource& source, std::stop_token stop) const;

    struct Known {
        std::mutex mutex;
        using Content = std::pair<std::string, std::string>; // SHA-256 of the kernel and of its System.map
        std::deque<std::pair<Content, KernelDescriptor>> descriptors; // oldest first
    };
    KernelReader reader_;
    std::shared_ptr<Known> known_;
    OnKernel on_kernel_;
};

} // namespace lacuna
