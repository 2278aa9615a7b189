// SPDX-License-Identifier: GPL-2.0-or-later
//
// What Lacuna reads from a kernel image, for tests and for people at the bench.
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "disk_image.h"
#include "error.h"
#include "kallsyms.h"
#include "kernel_descriptor.h"
#include "kernel_image.h"
#include "ksymtab.h"
#include "symbol_recovery.h"

namespace {

constexpr const char* usage =
    "usage: kernel_tool describe VMLINUZ [SYSTEM_MAP]   the kernel descriptor as JSON\n"
    "       kernel_tool symbols VMLINUZ                 the recovered kallsyms\n"
    "       kernel_tool recover VMLINUZ                 what the image shows by itself of what kallsyms "
    "says\n"
    "       kernel_tool extract VMLINUZ OUT             the vmlinux inside\n"
    "       kernel_tool image DISK_IMAGE DIRECTORY      copy the kernels out of a guest's disk\n";

// What is found without the data symbols of kallsyms; null: nothing.
nlohmann::json recover(const lacuna::KernelImage& kernel)
{
    const lacuna::ElfImage& elf = kernel.elf();
    const lacuna::Symbols all = lacuna::read_kallsyms(kernel);
    std::vector<lacuna::Symbol> functions = all.all();
    std::erase_if(functions, [](const lacuna::Symbol& symbol) { return !std::strchr("tTwW", symbol.type); });
    const lacuna::Symbols code(std::move(functions), all.source());
    nlohmann::json found;
    const auto put = [&](const char* name, const std::optional<std::uint64_t>& address) {
        found[name] = address ? nlohmann::json(*address) : nlohmann::json();
    };
    const auto put_recovered = [&](const char* name, const std::optional<lacuna::Recovered>& recovered) {
        put(name, recovered ? std::optional(recovered->address) : std::nullopt);
    };
    for (const char* name : {"init_task", "current_task", "pcpu_hot"})
        put(name, lacuna::find_exported(elf, name));
    put_recovered("modules", lacuna::recover_module_list(elf, code));
    put_recovered("linux_banner", lacuna::recover_banner(elf, code));
    put_recovered("_end", lacuna::recover_end(elf, code.find("_text").value_or(0)));
    return found;
}

int run(const std::vector<std::string>& arguments)
{
    if (arguments.size() < 2) {
        std::cerr << usage;
        return 2;
    }
    const std::string& command = arguments[0];
    const std::filesystem::path vmlinuz = arguments[1];
    if (command == "describe" && arguments.size() <= 3) {
        const auto map =
            arguments.size() == 3 ? std::optional<std::filesystem::path>(arguments[2]) : std::nullopt;
        std::cout << lacuna::to_json(lacuna::describe_kernel(vmlinuz, map)).dump(2) << '\n';
    } else if (command == "symbols" && arguments.size() == 2) {
        const lacuna::KernelImage kernel(vmlinuz);
        const lacuna::Symbols symbols = lacuna::read_kallsyms(kernel);
        for (const lacuna::Symbol& symbol : symbols.all())
            std::printf("%016" PRIx64 " %c %s\n", symbol.address, symbol.type, symbol.name.c_str());
    } else if (command == "recover" && arguments.size() == 2) {
        std::cout << recover(lacuna::KernelImage(vmlinuz)).dump(2) << '\n';
    } else if (command == "extract" && arguments.size() == 3) {
        const lacuna::KernelImage kernel(vmlinuz);
        std::ofstream out(arguments[2], std::ios::binary);
        out.write(reinterpret_cast<const char*>(kernel.vmlinux().data()),
                  static_cast<std::streamsize>(kernel.vmlinux().size()));
        if (!out.flush())
            throw lacuna::Error("cannot be written", arguments[2]);
    } else if (command == "image" && arguments.size() == 3) {
        const auto tell = [](const std::string& what) { std::cerr << what << '\n'; };
        for (const lacuna::ImageKernel& kernel : lacuna::copy_kernels({{arguments[1], ""}}, arguments[2], tell))
            std::cout << kernel.guest_path << ' ' << kernel.vmlinuz.string() << '\n';
    } else {
        std::cerr << usage;
        return 2;
    }
    return 0;
}

} // namespace

int main(int argc, char** argv)
{
    try {
        return run(std::vector<std::string>(argv + 1, argv + argc));
    } catch (const std::exception& error) {
        std::cerr << "kernel_tool: " << error.what() << '\n';
        return 1;
    }
}
