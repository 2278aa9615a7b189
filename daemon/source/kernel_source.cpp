// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel_source.h"

#include <algorithm>
#include <cstring>
#include <future>
#include <set>

#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include "error.h"
#include "frozen_file.h"
#include "payload.h"

namespace lacuna {

namespace {

constexpr auto longest_reading = std::chrono::minutes(10);

// A folder that goes with its content.
class TemporaryFolder {
public:
    TemporaryFolder()
    {
        std::string path = (std::filesystem::temp_directory_path() / "lacuna-XXXXXX").string();
        if (!mkdtemp(path.data()))
            throw system_error("no temporary folder can be made", path);
        path_ = path;
    }
    ~TemporaryFolder()
    {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

// What libguestfs starts handles what a guest has written, and needs no capability but those for files.
std::future<std::vector<ImageKernel>> copy_in_a_thread(const KernelSource& source, const std::filesystem::path& into,
                                                       const std::function<void(const std::string&)>& progress,
                                                       const std::stop_token& stop,
                                                       const std::function<void(std::vector<OpenFile>)>& opened = {})
{
    return std::async(std::launch::async, [=] {
        keep_file_capabilities();
        return copy_kernels(source.disks, into, progress, longest_reading, stop, opened);
    });
}

// Whether the user may read what libguestfs has opened is seen to by this thread, which keeps its capabilities.
std::vector<ImageKernel> copy_for(const FileUser& user, const KernelSource& source, const std::filesystem::path& into,
                                  const std::function<void(const std::string&)>& progress, const std::stop_token& stop)
{
    for (const Disk& disk : source.disks)
        if (!open_as(user, disk.file))
            throw not_for(user, disk.file.string());
    std::promise<std::vector<OpenFile>> opened;
    std::promise<void> checked;
    auto copying = copy_in_a_thread(source, into, progress, stop, [&](std::vector<OpenFile> files) {
        opened.set_value(std::move(files));
        checked.get_future().get();
    });
    auto files = opened.get_future();
    while (files.wait_for(std::chrono::milliseconds(100)) == std::future_status::timeout)
        if (copying.wait_for(std::chrono::seconds(0)) == std::future_status::ready) // it has failed before
            return copying.get();
    try {
        for (const OpenFile& file : files.get())
            if (!may_read(user, file.path, file.device, file.inode))
                throw not_for(user, file.path.string());
        checked.set_value();
    } catch (...) {
        checked.set_exception(std::current_exception());
    }
    return copying.get();
}

std::vector<ImageKernel> copy(const KernelSource& source, const std::filesystem::path& into,
                              const std::function<void(const std::string&)>& progress, const std::stop_token& stop)
{
    return source.named_by ? copy_for(*source.named_by, source, into, progress, stop)
                           : copy_in_a_thread(source, into, progress, stop).get();
}

} // namespace

SourceReader::SourceReader(OnKernel on_kernel, KernelReader reader)
    : reader_(std::move(reader)),
      known_(std::make_shared<Known>()),
      on_kernel_(std::move(on_kernel))
{}

KernelDescriptor SourceReader::describe(const std::filesystem::path& vmlinuz,
                                        const std::optional<std::filesystem::path>& system_map,
                                        const std::optional<FileUser>& as, const std::stop_token& stop) const
{
    const FrozenFile image(vmlinuz, max_kernel_size, as);
    std::optional<FrozenFile> map;
    if (system_map)
        map.emplace(*system_map, max_system_map_size);
    const std::pair content(image.digest(), map ? map->digest() : "");
    {
        const std::scoped_lock lock(known_->mutex);
        const auto found = std::find_if(known_->descriptors.begin(), known_->descriptors.end(),
                                        [&](const auto& entry) { return entry.first == content; });
        if (found != known_->descriptors.end())
            return found->second;
    }
    KernelDescriptor descriptor = reader_(image, map ? &*map : nullptr, stop);
    if (on_kernel_)
        on_kernel_(descriptor, *descriptor.symbols);
    descriptor.symbols.reset(); // some 20 MiB
    const std::scoped_lock lock(known_->mutex);
    known_->descriptors.emplace_back(content, descriptor);
    if (known_->descriptors.size() > kept)
        known_->descriptors.pop_front();
    return descriptor;
}

// The System.map on a guest's disk may be of another build, or say what the guest likes: it is for kernels that have no table themselves.
KernelDescriptor SourceReader::describe(const ImageKernel& kernel, const std::stop_token& stop) const
{
    try {
        return describe(kernel.vmlinuz, {}, {}, stop);
    } catch (const Error& without) {
        if (!kernel.system_map || stop.stop_requested())
            throw;
        try {
            return describe(kernel.vmlinuz, kernel.system_map, {}, stop);
        } catch (const Error& with) {
            throw Error(fmt::format("{}; and with the System.map beside it: {}", without.failed(), with.failed()), kernel.guest_path);
        }
    }
}

std::vector<KernelDescriptor> SourceReader::read_disks(const KernelSource& source, std::stop_token stop) const
{
    const TemporaryFolder folder;
    const auto progress = [&](const std::string& what) { spdlog::info("{}: {}", to_string(source), what); };
    std::vector<KernelDescriptor> kernels;
    std::string problems;
    for (const ImageKernel& kernel : copy(source, folder.path(), progress, stop)) {
        try {
            kernels.push_back(describe(kernel, stop));
        } catch (const Error& error) {
            spdlog::warn("{}: {} in it cannot be used: {}", to_string(source), kernel.guest_path,
                         error.what());
            problems += (problems.empty() ? "" : "; ") + kernel.guest_path + ": " + error.failed();
        }
    }
    if (kernels.empty())
        throw Error("none of its kernels can be used: " + problems, to_string(source));
    return newest_first(std::move(kernels));
}

std::vector<KernelDescriptor> newest_first(std::vector<KernelDescriptor> kernels)
{
    std::set<std::string> seen;
    std::erase_if(kernels, [&](const KernelDescriptor& kernel) { return !seen.insert(kernel.id).second; });
    std::stable_sort(
        kernels.begin(), kernels.end(), [](const KernelDescriptor& a, const KernelDescriptor& b) {
            return strverscmp(a.release.c_str(), b.release.c_str()) > 0; // 6.1.0-10 is newer than 6.1.0-9
        });
    return kernels;
}

std::string to_string(const KernelSource& source)
{
    return source.file.empty() ? names_of(source.disks) : source.file.string();
}

std::vector<KernelDescriptor> SourceReader::operator()(const KernelSource& source, std::stop_token stop) const
{
    auto kernels = source.file.empty()
                       ? read_disks(source, stop)
                       : std::vector<KernelDescriptor>{describe(source.file, source.system_map, source.named_by, stop)};
    for (const KernelDescriptor& kernel : kernels) {
        for (const std::string& notice : kernel.notices)
            spdlog::info("{}: {}", to_string(source), notice);
        spdlog::info("{}: kernel {} is ready", to_string(source), kernel.id);
    }
    return kernels;
}

} // namespace lacuna
