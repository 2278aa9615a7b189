// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest_dump.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <future>
#include <memory>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include <elf.h>
#include <fcntl.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <spdlog/fmt/fmt.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "control.h"
#include "error.h"
#include "fd.h"

namespace lacuna {

namespace {

constexpr auto look_every = std::chrono::milliseconds(250);

Fd create(const std::filesystem::path& file)
{
    Fd fd(open(file.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!fd)
        throw system_error("cannot be made", file.string(), "name a file that is not there yet");
    return fd;
}

// A file that is not there yet. What has been made of it goes again, unless it is kept.
class NewFile {
public:
    explicit NewFile(std::filesystem::path path) : path_(std::move(path)) {}
    ~NewFile()
    {
        if (made_ && !kept_)
            unlink(path_.c_str());
    }
    NewFile(const NewFile&) = delete;
    NewFile& operator=(const NewFile&) = delete;

    const std::filesystem::path& path() const { return path_; }
    const Fd& make()
    {
        made_.emplace(create(path_));
        return *made_;
    }
    void keep() { kept_ = true; }

private:
    std::filesystem::path path_;
    std::optional<Fd> made_;
    bool kept_ = false;
};

// QEMU's monitor: one JSON object a line in both directions.
class Qmp {
public:
    explicit Qmp(const std::filesystem::path& path) : path_(path.string()), fd_(connect_to(path)), lines_(Fd(dup(fd_.get())))
    {
        lines_.receive(); // its greeting
        execute("qmp_capabilities", Json::object());
    }

    Json execute(const std::string& command, const Json& arguments)
    {
        lines_.send({{"execute", command}, {"arguments", arguments}});
        return answer(command);
    }

    // Gives QEMU a file of ours under a name.
    void pass(const Fd& file, const std::string& name)
    {
        const std::string text = to_text(Json{{"execute", "getfd"}, {"arguments", {{"fdname", name}}}}) + "\n";
        iovec data{const_cast<char*>(text.data()), text.size()};
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
        msghdr message{};
        message.msg_iov = &data;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        const int number = file.get();
        std::memcpy(CMSG_DATA(header), &number, sizeof(number));
        if (sendmsg(fd_.get(), &message, MSG_NOSIGNAL) != static_cast<ssize_t>(text.size()))
            throw system_error("cannot be given a file", path_);
        answer("getfd");
    }

private:
    static Fd connect_to(const std::filesystem::path& path)
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        if (path.native().size() >= sizeof(address.sun_path))
            throw Error("the path is too long for a socket", path.string());
        std::memcpy(address.sun_path, path.c_str(), path.native().size());
        Fd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
        if (!fd || connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0)
            throw system_error("QEMU cannot be reached", path.string(), "give the path that stands behind its -qmp unix:");
        return fd;
    }

    Json answer(const std::string& command)
    {
        while (auto line = lines_.receive()) {
            if (line->contains("return"))
                return line->at("return");
            if (line->contains("error"))
                throw Error("QEMU refused " + command + ": " + line->at("error").value("desc", "without a reason"), path_);
        }
        throw Error("QEMU has hung up", path_);
    }

    std::string path_;
    Fd fd_;
    ControlClient lines_;
};

void dump_by_qmp(const DumpRequest& request, NewFile& core, const OnProgress& progress)
{
    Qmp qmp(request.qmp);
    qmp.pass(core.make(), "lacuna-dump");
    qmp.execute("dump-guest-memory", {{"paging", false}, {"protocol", "fd:lacuna-dump"}, {"detach", true}});
    for (;; std::this_thread::sleep_for(look_every)) {
        const Json state = qmp.execute("query-dump", Json::object());
        const auto total = state.value("total", std::uint64_t{0}), done = state.value("completed", std::uint64_t{0});
        progress(total ? static_cast<unsigned>(100 * done / total) : 0);
        const std::string status = state.value("status", "");
        if (status == "completed")
            return;
        if (status == "failed")
            throw Error("QEMU could not write it", request.guest, "is the disk full?");
    }
}

[[noreturn]] void libvirt_failed(const std::string& what, const DumpRequest& request)
{
    throw Error(what + ": " + virGetLastErrorMessage(), request.guest,
                "a guest that is no domain of libvirt is asked for by --qmp SOCKET");
}

void dump_by_libvirt(const DumpRequest& request, NewFile& core, const OnProgress& progress)
{
    virSetErrorFunc(nullptr, [](void*, virErrorPtr) {}); // it would print what is thrown
    const std::unique_ptr<virConnect, decltype(&virConnectClose)> connection(virConnectOpen(request.libvirt.c_str()),
                                                                             virConnectClose);
    if (!connection)
        libvirt_failed("libvirt cannot be reached at " + request.libvirt, request);
    const std::unique_ptr<virDomain, decltype(&virDomainFree)> domain(
        virDomainLookupByName(connection.get(), request.guest.c_str()), virDomainFree);
    if (!domain)
        libvirt_failed("is no domain of libvirt", request);
    core.make(); // libvirt would write over what is there
    auto writing = std::async(std::launch::async, [&] {
        if (virDomainCoreDumpWithFormat(domain.get(), core.path().c_str(), VIR_DOMAIN_CORE_DUMP_FORMAT_RAW, VIR_DUMP_MEMORY_ONLY) != 0)
            libvirt_failed("libvirt could not write its memory", request);
    });
    while (writing.wait_for(look_every) != std::future_status::ready) {
        virDomainJobInfo job{};
        if (virDomainGetJobInfo(domain.get(), &job) == 0 && job.memTotal)
            progress(static_cast<unsigned>(100 * job.memProcessed / job.memTotal));
    }
    writing.get();
}

template <typename T> T read_at(const Fd& fd, std::uint64_t offset, const std::string& name)
{
    T value;
    if (pread(fd.get(), &value, sizeof(value), static_cast<off_t>(offset)) != static_cast<ssize_t>(sizeof(value)))
        throw Error("is a damaged core file", name);
    return value;
}

void copy(const Fd& from, std::uint64_t offset, const Fd& to, std::uint64_t place, std::uint64_t length, const std::string& name)
{
    std::vector<char> piece(1 << 20);
    while (length > 0) {
        const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(length, piece.size()));
        const ssize_t got = pread(from.get(), piece.data(), wanted, static_cast<off_t>(offset));
        if (got <= 0)
            throw Error("is a damaged core file", name);
        // pages that hold nothing become holes
        const bool empty = std::all_of(piece.begin(), piece.begin() + got, [](char c) { return c == 0; });
        if (!empty && pwrite(to.get(), piece.data(), static_cast<std::size_t>(got), static_cast<off_t>(place)) != got)
            throw system_error("cannot be written", name, "is the disk full?");
        offset += static_cast<std::uint64_t>(got);
        place += static_cast<std::uint64_t>(got);
        length -= static_cast<std::uint64_t>(got);
    }
}

// One core file's segments, of 32 and 64 bit.
template <typename Header, typename Program> void copy_segments(const Fd& core, const Fd& raw, const std::string& name)
{
    const auto header = read_at<Header>(core, 0, name);
    std::uint64_t count = header.e_phnum;
    if (count == PN_XNUM) // more than fit: the first section header says how many
        throw Error("has more segments than are read", name, "ask for --format elf");
    std::uint64_t end = 0;
    for (std::uint64_t i = 0; i < count; i++) {
        const auto program = read_at<Program>(core, header.e_phoff + i * sizeof(Program), name);
        // What lies right below 4 GiB on a PC is its firmware, not its memory: the file would end there, and tools look at all of it.
        constexpr std::uint64_t firmware = 0xfe000000, firmware_end = std::uint64_t{1} << 32;
        if (program.p_type != PT_LOAD ||
            (program.p_paddr >= firmware && std::uint64_t{program.p_paddr} + program.p_memsz <= firmware_end))
            continue;
        copy(core, program.p_offset, raw, program.p_paddr, program.p_filesz, name);
        end = std::max<std::uint64_t>(end, std::uint64_t{program.p_paddr} + program.p_memsz);
    }
    if (!end)
        throw Error("holds no memory", name);
    if (ftruncate(raw.get(), static_cast<off_t>(end)) != 0)
        throw system_error("cannot be written", name, "is the disk full?");
}

} // namespace

void core_to_raw(const std::filesystem::path& core, const std::filesystem::path& raw)
{
    const Fd from(open(core.c_str(), O_RDONLY | O_CLOEXEC));
    if (!from)
        throw system_error("cannot be read", core.string());
    NewFile file(raw);
    const Fd& to = file.make();
    const auto ident = read_at<std::array<unsigned char, EI_NIDENT>>(from, 0, core.string());
    if (std::memcmp(ident.data(), ELFMAG, SELFMAG) != 0 || ident[EI_DATA] != ELFDATA2LSB)
        throw Error("is no core file", core.string());
    if (ident[EI_CLASS] == ELFCLASS64)
        copy_segments<Elf64_Ehdr, Elf64_Phdr>(from, to, core.string());
    else
        copy_segments<Elf32_Ehdr, Elf32_Phdr>(from, to, core.string());
    file.keep();
}

void dump_guest(const DumpRequest& request, const OnProgress& progress)
{
    std::error_code error;
    if (std::filesystem::exists(request.file, error))
        throw Error("is there already", request.file.string(), "name a file that is not there yet");
    const bool raw = request.format == DumpFormat::raw;
    NewFile core(raw ? request.file.string() + ".core" : request.file.string());
    request.qmp.empty() ? dump_by_libvirt(request, core, progress) : dump_by_qmp(request, core, progress);
    if (raw)
        core_to_raw(core.path(), request.file);
    else
        core.keep();
}

} // namespace lacuna
