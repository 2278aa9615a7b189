// SPDX-License-Identifier: GPL-2.0-or-later
#include "disk_image.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <string_view>
#include <system_error>

#include <fcntl.h>
#include <guestfs.h>
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>

#include "child_deadline.h"
#include "error.h"
#include "payload.h"

namespace lacuna {

namespace {

// A libguestfs string, or a NULL-terminated list of them, as C++ values.
std::string take_string(char* text)
{
    const std::unique_ptr<char, decltype(&std::free)> owner(text, std::free);
    return text ? text : "";
}

std::vector<std::string> take_list(char** list)
{
    std::vector<std::string> result;
    for (char** entry = list; entry && *entry; ++entry)
        result.push_back(take_string(*entry));
    std::free(list);
    return result;
}

// What is copied to the host in all: a guest can make files of any size, which cost it nothing.
constexpr std::uint64_t most_copied = std::uint64_t{1} << 30;

// Where distributions have their kernels. /boot, and the partition that UEFI reads, may be file systems of their own.
constexpr std::array places = {
    "/boot/vmlinuz*", "/vmlinuz*", "/usr/lib/modules/*/vmlinuz", "/lib/modules/*/vmlinuz", "/boot/bzImage*",
    "/boot/kernel-*", "/kernel-*",
    // The Boot Loader Specification: MACHINE-ID/VERSION/linux, a machine's number being 32 digits (two texts: ??/ is
    // a trigraph).
    "/????????????????????????????????" "/*/linux", "/boot/????????????????????????????????" "/*/linux",
    "/efi/????????????????????????????????" "/*/linux",
    // Unified kernel images; on FAT there are names in either case.
    "/[Ee][Ff][Ii]/[Ll][Ii][Nn][Uu][Xx]/*.[Ee][Ff][Ii]", "/boot/[Ee][Ff][Ii]/[Ll][Ii][Nn][Uu][Xx]/*.[Ee][Ff][Ii]",
    "/boot/efi/[Ee][Ff][Ii]/[Ll][Ii][Nn][Uu][Xx]/*.[Ee][Ff][Ii]",
    "/efi/[Ee][Ff][Ii]/[Ll][Ii][Nn][Uu][Xx]/*.[Ee][Ff][Ii]",
    // ostree
    "/boot/ostree/*/vmlinuz*", "/ostree/*/vmlinuz*", "/ostree/deploy/*/deploy/*/usr/lib/modules/*/vmlinuz",
    // NixOS, with GRUB and with systemd-boot
    "/boot/kernels/*-bzImage", "/kernels/*-bzImage", "/[Ee][Ff][Ii]/nixos/*bzImage.efi",
    "/boot/[Ee][Ff][Ii]/nixos/*bzImage.efi"};

// What boot loaders read, which name kernels that lie elsewhere: the Boot Loader Specification's entries (systemd-boot, Fedora's
// GRUB), GRUB, and SYSLINUX with its kin.
constexpr std::array loader_files = {
    "/loader/entries/*.conf", "/boot/loader/entries/*.conf", "/efi/loader/entries/*.conf", "/boot/efi/loader/entries/*.conf",
    "/boot/grub/grub.cfg", "/grub/grub.cfg", "/boot/grub2/grub.cfg", "/grub2/grub.cfg",
    "/boot/extlinux/extlinux.conf", "/extlinux/extlinux.conf", "/boot/syslinux/syslinux.cfg", "/syslinux/syslinux.cfg",
    "/extlinux.conf", "/syslinux.cfg"};
constexpr std::int64_t longest_loader_file = 256 << 10;
constexpr std::size_t most_loader_files = 64;

// Nor do more kernels than anybody keeps; each takes a second to read.
constexpr std::size_t most_kernels = 64;

// Kernels have no other names, and what has will be shown to people.
bool is_decent(const std::string& path)
{
    return !path.empty() &&
           std::all_of(path.begin(), path.end(), [](char c) { return c > 0x20 && c < 0x7f; });
}

// The kernels that a loader's file names: "linux /vmlinuz-6.1 root=...", "uki /EFI/Linux/a.efi", and from its own folder on
// "LINUX ../vmlinuz-lts".
std::vector<std::string> kernels_named_in(const std::string& text, const std::string& loader)
{
    const std::string folder = loader.substr(0, loader.rfind('/') + 1);
    constexpr std::array<std::string_view, 6> keys = {"linux", "linuxefi", "linux16", "kernel", "uki", "efi"};
    std::vector<std::string> found;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
        std::string key, path;
        std::istringstream(line) >> key >> path;
        std::transform(key.begin(), key.end(), key.begin(), [](unsigned char c) { return std::tolower(c); });
        if (std::find(keys.begin(), keys.end(), key) != keys.end() && is_decent(path))
            found.push_back(path.starts_with('/') ? path : folder + path);
    }
    return found;
}

// What the appliance writes to its own disk QEMU keeps in a file without a name (snapshot=on). It is open for writing, as no guest's disk is.
bool is_scratch(int process, const std::filesystem::path& descriptor, const struct stat& status)
{
    std::ifstream info(fmt::format("/proc/{}/fdinfo/{}", process, descriptor.filename().string()));
    unsigned flags = 0;
    for (std::string word; status.st_nlink == 0 && info >> word;)
        if (word == "flags:" && info >> std::oct >> flags)
            return (flags & O_ACCMODE) == O_RDWR;
    return false;
}

class Appliance {
public:
    // with_kvm: let libguestfs use KVM if it thinks it can.
    Appliance(const std::vector<Disk>& disks, bool with_kvm)
        : disks_(names_of(disks)),
          handle_(guestfs_create())
    {
        if (!handle_)
            throw Error("libguestfs cannot be started", disks_);
        guestfs_set_error_handler(handle_.get(), nullptr, nullptr); // errors become exceptions, not output
        if (!with_kvm)
            guestfs_set_backend_setting(handle_.get(), "force_tcg", "1");
        for (const Disk& disk : disks)
            add(disk);
    }

    bool launch() { return guestfs_launch(handle_.get()) == 0; }

    [[noreturn]] void launch_failed()
    {
        throw Error(fmt::format("libguestfs cannot start its appliance to read it ({})", reason()), disks_,
                    "run libguestfs-test-tool to see why; if it finds no kernel, set SUPERMIN_KERNEL, "
                    "SUPERMIN_MODULES and SUPERMIN_KERNEL_VERSION to one");
    }

    // Files and block devices that its virtual machine has open, but for those of libguestfs and QEMU themselves.
    std::vector<OpenFile> open_files()
    {
        const int pid = guestfs_get_pid(handle_.get());
        check(pid, "it cannot be told what is read of it", "use libguestfs' backend \"direct\"");
        const auto own = {take_string(guestfs_get_tmpdir(handle_.get())) + "/libguestfs",
                          take_string(guestfs_get_cachedir(handle_.get())) + "/.guestfs-"};
        std::vector<OpenFile> files;
        for (const auto& entry : std::filesystem::directory_iterator(fmt::format("/proc/{}/fd", pid))) {
            struct stat status {};
            std::error_code error;
            const std::string path = std::filesystem::read_symlink(entry.path(), error).string();
            if (error || stat(entry.path().c_str(), &status) != 0)
                continue; // closed meanwhile
            if ((S_ISREG(status.st_mode) || S_ISBLK(status.st_mode)) && path.starts_with('/') && !is_scratch(pid, entry.path(), status) &&
                std::none_of(own.begin(), own.end(), [&](const auto& start) { return path.starts_with(start); }))
                files.push_back({path, status.st_dev, status.st_ino});
        }
        return files;
    }

    // Devices with something that looks like a file system.
    std::vector<std::string> file_systems()
    {
        char** list = guestfs_list_filesystems(handle_.get());
        check(list ? 0 : -1, "its file systems cannot be listed", "check that it is a disk image");
        const auto pairs = take_list(list); // device, type, device, type, …
        std::vector<std::string> devices;
        for (std::size_t i = 0; i + 1 < pairs.size(); i += 2)
            if (pairs[i + 1] != "swap" && pairs[i + 1] != "unknown")
                devices.push_back(pairs[i]);
        return devices;
    }

    bool mount(const std::string& device)
    {
        guestfs_umount_all(handle_.get());
        return guestfs_mount_ro(handle_.get(), device.c_str(), "/") == 0;
    }

    // What lies where kernels do, and what boot loaders are told of: each file once.
    std::vector<std::string> kernels()
    {
        std::set<std::string> found = files(places);
        std::size_t read = 0;
        for (const std::string& loader : files(loader_files)) {
            const std::int64_t size = guestfs_filesize(handle_.get(), loader.c_str());
            if (size <= 0 || size > longest_loader_file || ++read > most_loader_files)
                continue;
            for (const std::string& path : 
                 kernels_named_in(take_string(guestfs_cat(handle_.get(), loader.c_str())), loader))
                if (is_file(path))
                    found.insert(take_string(guestfs_realpath(handle_.get(), path.c_str())));
        }
        std::erase_if(found, [](const std::string& path) { return !is_decent(path); });
        return {found.begin(), found.end()};
    }

    bool is_file(const std::string& path) { return guestfs_is_file(handle_.get(), path.c_str()) == 1; }

    // Whether it was copied: not if it is larger than kernels are, or all that was copied is too much.
    bool copy(const std::string& path, const std::filesystem::path& to)
    {
        const std::int64_t size = guestfs_filesize(handle_.get(), path.c_str());
        check(size < 0 ? -1 : 0, "its " + path + " cannot be read", "check the image's file system");
        if (static_cast<std::uint64_t>(size) > std::min<std::uint64_t>(max_kernel_size, left_))
            return false;
        left_ -= static_cast<std::uint64_t>(size);
        check(guestfs_download(handle_.get(), path.c_str(), to.c_str()),
              "its " + path + " cannot be copied to " + to.string(), "check the free space there");
        return true;
    }

private:
    // Regular files that match, each once: /lib may be a link to /usr/lib.
    template <typename Patterns> std::set<std::string> files(const Patterns& patterns)
    {
        std::set<std::string> found;
        for (const char* pattern : patterns)
            for (const std::string& path : take_list(guestfs_glob_expand(handle_.get(), pattern)))
                if (is_file(path))
                    found.insert(take_string(guestfs_realpath(handle_.get(), path.c_str())));
        std::erase_if(found, [](const std::string& path) { return !is_decent(path); });
        return found;
    }

    void check(int result, const std::string& failed, const std::string& hint)
    {
        if (result == -1) {
            throw Error(fmt::format("{} ({})", failed, reason()), disks_, hint);
        }
    }

    // Of the last failure, the first line.
    std::string reason() const
    {
        const char* why = guestfs_last_error(handle_.get());
        const std::string text = why ? why : "no reason given";
        return text.substr(0, text.find('\n'));
    }

    void add(const Disk& disk)
    {
        struct guestfs_add_drive_opts_argv options {}; // the function has the same name
        options.bitmask = GUESTFS_ADD_DRIVE_OPTS_READONLY_BITMASK;
        options.readonly = 1;
        if (!disk.format.empty()) {
            options.bitmask |= GUESTFS_ADD_DRIVE_OPTS_FORMAT_BITMASK;
            options.format = disk.format.c_str();
        }
        check(guestfs_add_drive_opts_argv(handle_.get(), disk.file.c_str(), &options),
              "cannot be opened as a disk image", "check that it is a disk image and may be read");
    }

    struct Close {
        void operator()(guestfs_h* handle) const { guestfs_close(handle); }
    };
    std::string disks_;
    std::unique_ptr<guestfs_h, Close> handle_;
    std::uint64_t left_ = most_copied;
};

// Names in the image were chosen by the guest.
std::string local_name(std::size_t number, const std::string& guest_path)
{
    std::string name = guest_path.substr(guest_path.rfind('/') + 1);
    for (char& c : name)
        if (!std::isalnum(static_cast<unsigned char>(c)) &&
            std::string_view("._+~-").find(c) == std::string_view::npos)
            c = '_';
    return std::to_string(number) + "-" + name.substr(0, 128);
}

// Beside /boot/vmlinuz-VERSION lies System.map-VERSION, beside a plain vmlinuz a plain System.map; so with the other names
// that kernels have. Beside another nothing that has to do with it.
std::string system_map_beside(const std::string& kernel)
{
    const std::size_t name = kernel.rfind('/') + 1;
    for (const std::string_view start : {"vmlinuz", "bzImage", "kernel", "linux"})
        if (kernel.compare(name, start.size(), start) == 0)
            return kernel.substr(0, name) + "System.map" + kernel.substr(name + start.size());
    return "";
}

// What copy_kernels() does, but for the deadline.
std::vector<ImageKernel> copy_in_time(const std::vector<Disk>& disks, const std::filesystem::path& into,
                                      const std::function<void(const std::string&)>& tell,
                                      const ChildDeadline& limit,
                                      const std::function<void(std::vector<OpenFile>)>& opened)
{
    std::optional<Appliance> started;
    started.emplace(disks, true);
    if (!started->launch() && !limit.passed()) { // there are hosts with a /dev/kvm that does not work
        tell("libguestfs could not start; trying again without KVM");
        started.emplace(disks, false);
        if (!started->launch())
            started->launch_failed();
    }
    Appliance& appliance = *started;
    if (opened)
        opened(appliance.open_files());
    std::vector<ImageKernel> kernels;
    std::string too_large;
    bool mounted = false;
    for (const std::string& device : appliance.file_systems()) {
        if (!appliance.mount(device))
            continue; // damaged or of a kind the appliance does not know: another one may hold the kernel
        mounted = true;
        for (const std::string& path : appliance.kernels()) {
            if (kernels.size() == most_kernels) {
                tell(fmt::format("it holds more kernels than {}; the others are not read", most_kernels));
                return kernels;
            }
            tell("copying " + path + " from " + device);
            ImageKernel kernel{path, into / local_name(kernels.size(), path), std::nullopt};
            if (!appliance.copy(path, kernel.vmlinuz)) {
                // A unified kernel image may hold an initrd of any size; beside it there are others.
                tell(fmt::format("{} is not read: it has more than {} MiB, or all kernels more than {} MiB", path,
                                 max_kernel_size >> 20, most_copied >> 20));
                too_large += (too_large.empty() ? "" : ", ") + path;
                continue;
            }
            const std::string map = system_map_beside(path);
            const auto map_copy = into / local_name(kernels.size(), map);
            if (!map.empty() && appliance.is_file(map) && appliance.copy(map, map_copy))
                kernel.system_map = map_copy;
            kernels.push_back(std::move(kernel));
        }
    }
    if (kernels.empty() && !too_large.empty())
        throw Error("its " + too_large + " is too large: it is no kernel, or there are too many", names_of(disks),
                    "name the guest's kernel file in the configuration instead");
    if (kernels.empty())
        throw Error(mounted
                        ? "holds no kernel where Linux systems have them (such as /boot/vmlinuz-*, "
                          "/usr/lib/modules/*/vmlinuz, /EFI/Linux/*.efi)"
                        : "holds no file system that can be read",
                    names_of(disks), "name the guest's kernel file in the configuration instead");
    return kernels;
}

} // namespace

std::string names_of(const std::vector<Disk>& disks)
{
    std::string names;
    for (const Disk& disk : disks)
        names += (names.empty() ? "" : ", ") + disk.file.string();
    return names;
}

std::vector<ImageKernel> copy_kernels(const std::vector<Disk>& disks, const std::filesystem::path& into,
                                      const std::function<void(const std::string&)>& progress,
                                      std::chrono::seconds deadline, std::stop_token stop,
                                      const std::function<void(std::vector<OpenFile>)>& opened)
{
    const auto tell = [&](const std::string& what) {
        if (progress)
            progress(what);
    };
    for (const Disk& disk : disks)
        if (std::error_code error; !std::filesystem::exists(disk.file, error))
            throw Error("cannot be opened: no such file", disk.file.string(),
                        "check the path and the permissions");
    tell("starting libguestfs to read " + names_of(disks));
    const ChildDeadline limit(deadline, stop);
    std::vector<ImageKernel> kernels;
    try {
        kernels = copy_in_time(disks, into, tell, limit, opened);
    } catch (const Error&) {
        if (!limit.passed())
            throw;
    }
    if (stop.stop_requested())
        throw Error("is not read: nobody waits for it any more", names_of(disks));
    if (limit.passed())
        throw Error(fmt::format("could not be read within {} s", deadline.count()), names_of(disks),
                    "name the guest's kernel file in the configuration instead");
    return kernels;
}

} // namespace lacuna
