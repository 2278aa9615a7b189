// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <stop_token>

#include "frozen_file.h"
#include "kernel_descriptor.h"

namespace lacuna {

inline constexpr std::size_t max_system_map_size = std::size_t{16} << 20; // some 5 MiB are usual

// Has kernels read by a process that can do nothing else (lacuna-describe, see confinement.h): whoever runs a
// guest has written them. One process for each kernel, so that none sees or changes what is made of another.
class KernelReader {
public:
    // What reading one kernel may take. An honest one takes about a second, and some 300 MiB.
    struct Bounds {
        std::uint64_t memory = std::uint64_t{768} << 20;
        std::chrono::seconds processor_time{120}; // an emulated host is slow
        std::chrono::milliseconds time{std::chrono::minutes(5)};
        std::size_t answer = std::size_t{48} << 20; // of symbols, which Debian's have some 10 MiB of
    };

    // The program that lies beside the running one, as in the build folder, or else the installed one.
    KernelReader();
    KernelReader(std::filesystem::path program, Bounds bounds);

    // Throws Error that names the file, what is wrong or missing, or what it took too much of; also when
    // `stop` is requested.
    KernelDescriptor operator()(const FrozenFile& vmlinuz, const FrozenFile* system_map,
                                std::stop_token stop = {}) const;

private:
    std::filesystem::path program_;
    Bounds bounds_;
};

} // namespace lacuna
