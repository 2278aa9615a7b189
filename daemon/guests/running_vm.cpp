// SPDX-License-Identifier: GPL-2.0-or-later
#include "running_vm.h"

#include <charconv>
#include <optional>
#include <string>

#include <spdlog/fmt/fmt.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "error.h"

namespace lacuna {

namespace {

constexpr const char* vm_file = "anon_inode:kvm-vm"; // kvm_dev_ioctl_create_vm()

std::optional<int> number_of(const std::filesystem::path& path)
{
    const std::string name = path.filename().string();
    int number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    return error == std::errc() && end == name.data() + name.size() ? std::optional(number) : std::nullopt;
}

std::optional<RunningVm> vm_of(const std::filesystem::path& process, pid_t pid)
{
    std::error_code error;
    for (auto file = std::filesystem::directory_iterator(process / "fd", error);
         !error && file != std::filesystem::directory_iterator(); file.increment(error)) {
        std::error_code gone;
        const auto number = number_of(file->path());
        if (number && std::filesystem::read_symlink(file->path(), gone) == vm_file)
            return RunningVm{pid, *number};
    }
    return std::nullopt;
}

} // namespace

std::vector<RunningVm> running_vms(const std::filesystem::path& proc)
{
    std::vector<RunningVm> found;
    std::error_code error;
    for (auto process = std::filesystem::directory_iterator(proc, error);
         !error && process != std::filesystem::directory_iterator(); process.increment(error))
        if (const auto pid = number_of(process->path()))
            if (const auto vm = vm_of(process->path(), *pid))
                found.push_back(*vm);
    return found;
}

Fd open_vm(const RunningVm& vm)
{
    const std::string vmm = fmt::format("process {}", vm.vmm_pid);
    const Fd process(static_cast<int>(syscall(SYS_pidfd_open, vm.vmm_pid, 0)));
    if (!process)
        throw system_error("cannot be looked into", vmm);
    Fd file(static_cast<int>(syscall(SYS_pidfd_getfd, process.get(), vm.number, 0)));
    if (!file)
        throw system_error("does not let us at its virtual machine", vmm, "lacunad needs CAP_SYS_PTRACE");
    return file;
}

} // namespace lacuna
