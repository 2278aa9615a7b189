// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel_source.h"

#include <algorithm>
#include <array>
#include <fstream>

#include <openssl/evp.h>
#include <spdlog/fmt/fmt.h>
#include <spdlog/spdlog.h>

#include "error.h"

namespace lacuna {

namespace {

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

// Of a file's content, added to what is being hashed.
void add_file(EVP_MD_CTX* context, const std::filesystem::path& file)
{
    std::ifstream stream(file, std::ios::binary);
    std::array<char, 1 << 16> buffer;
    std::uint64_t size = 0;
    while (stream.read(buffer.data(), buffer.size()) || stream.gcount() > 0) {
        EVP_DigestUpdate(context, buffer.data(), static_cast<std::size_t>(stream.gcount()));
        size += static_cast<std::uint64_t>(stream.gcount());
    }
    EVP_DigestUpdate(context, &size, sizeof(size)); // so that two files are not one
}

// SHA-256, in hex: whoever makes an image must not be able to pass one kernel off as another.
std::string content_of(const std::filesystem::path& vmlinuz,
                       const std::optional<std::filesystem::path>& system_map)
{
    const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
    unsigned length = 0;
    if (!context || EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) != 1)
        throw Error("cannot be hashed: OpenSSL has no SHA-256", vmlinuz.string());
    add_file(context.get(), vmlinuz);
    if (system_map)
        add_file(context.get(), *system_map);
    EVP_DigestFinal_ex(context.get(), digest.data(), &length);
    return fmt::format("{:02x}", fmt::join(digest.begin(), digest.begin() + length, ""));
}

} // namespace

SourceReader::SourceReader() : known_(std::make_shared<Known>()) {}

KernelDescriptor SourceReader::describe(const std::filesystem::path& vmlinuz,
                                        const std::optional<std::filesystem::path>& system_map) const
{
    const std::string content = content_of(vmlinuz, system_map);
    {
        const std::scoped_lock lock(known_->mutex);
        const auto found = std::find_if(known_->descriptors.begin(), known_->descriptors.end(),
                                        [&](const auto& entry) { return entry.first == content; });
        if (found != known_->descriptors.end())
            return found->second;
    }
    KernelDescriptor descriptor = describe_kernel(vmlinuz, system_map);
    const std::scoped_lock lock(known_->mutex);
    known_->descriptors.emplace_back(content, descriptor);
    if (known_->descriptors.size() > kept)
        known_->descriptors.pop_front();
    return descriptor;
}

std::vector<KernelDescriptor> SourceReader::read_disks(const KernelSource& source) const
{
    const TemporaryFolder folder;
    const auto progress = [&](const std::string& what) { spdlog::info("{}: {}", to_string(source), what); };
    std::vector<KernelDescriptor> kernels;
    std::string problems;
    for (const ImageKernel& kernel : copy_kernels(source.disks, folder.path(), progress)) {
        try {
            kernels.push_back(describe(kernel.vmlinuz, kernel.system_map));
        } catch (const Error& error) {
            spdlog::warn("{}: {} in it cannot be used: {}", to_string(source), kernel.guest_path,
                         error.what());
            problems += (problems.empty() ? "" : "; ") + kernel.guest_path + ": " + error.failed();
        }
    }
    if (kernels.empty())
        throw Error("none of its kernels can be used: " + problems, to_string(source));
    return kernels;
}

std::string to_string(const KernelSource& source)
{
    return source.file.empty() ? names_of(source.disks) : source.file.string();
}

std::vector<KernelDescriptor> SourceReader::operator()(const KernelSource& source) const
{
    auto kernels = source.file.empty()
                       ? read_disks(source)
                       : std::vector<KernelDescriptor>{describe(source.file, source.system_map)};
    for (const KernelDescriptor& kernel : kernels) {
        for (const std::string& notice : kernel.notices)
            spdlog::info("{}: {}", to_string(source), notice);
        spdlog::info("{}: kernel {} is ready", to_string(source), kernel.id);
    }
    return kernels;
}

} // namespace lacuna
