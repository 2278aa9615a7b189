// SPDX-License-Identifier: GPL-2.0-or-later
//
// make_seeds DIRECTORY: writes small synthetic kernels of every layout and packing for the fuzzers to start
// from.
#include <filesystem>
#include <fstream>
#include <iostream>

#include "synthetic_kernel.h"

int main(int argc, char** argv)
{
    using namespace lacuna;
    using namespace lacuna::synthetic;
    if (argc != 2) {
        std::cerr << "usage: make_seeds DIRECTORY\n";
        return 2;
    }
    const std::filesystem::path directory = argv[1];
    std::filesystem::create_directories(directory);
    const auto write = [&](const std::string& name, const Bytes& bytes) {
        std::ofstream file(directory / name, std::ios::binary);
        file.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
        return static_cast<bool>(file.flush());
    };
    bool good = true;
    for (const Layout layout : {Layout::addresses, Layout::wide_markers, Layout::base_first,
                                Layout::seqs_between, Layout::base_last, Layout::place_relative}) {
        Kernel kernel;
        kernel.layout = layout;
        kernel.absolute_percpu = layout != Layout::addresses && layout != Layout::place_relative;
        if (layout == Layout::place_relative)
            kernel.remove("current_task");
        good = write("vmlinux-" + std::to_string(static_cast<int>(layout)), kernel.vmlinux()) && good;
    }
    const Bytes vmlinux = Kernel().vmlinux();
    const auto size = static_cast<std::uint32_t>(vmlinux.size());
    good = write("xz", bz_image(xz(vmlinux), size)) && write("lzma", bz_image(lzma(vmlinux), size)) &&
           write("gzip", bz_image(gzip(vmlinux), size, false)) &&
           write("zstd", bz_image(zstd(vmlinux), size)) && write("lz4", bz_image(lz4(vmlinux), size)) &&
           write("bzip2", bz_image(bzip2(vmlinux), size)) && write("lzo", bz_image(lzo(vmlinux), size)) && good;
    if (!good)
        std::cerr << "make_seeds: cannot write to " << directory << '\n';
    return good ? 0 : 1;
}
