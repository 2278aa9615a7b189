// SPDX-License-Identifier: GPL-2.0-or-later
#include "frozen_file.h"

#include <array>
#include <cerrno>

#include <fcntl.h>
#include <spdlog/fmt/fmt.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "digest.h"
#include "error.h"
#include "names.h"

namespace lacuna {

namespace {

Fd open_regular(const std::string& name, std::size_t most, const std::optional<FileUser>& as)
{
    // A FIFO must not make us wait, and what is looked at must be what is read.
    Fd file = as ? open_as(*as, name) : Fd(open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    if (!file && errno == EACCES && as)
        throw not_for(*as, name);
    struct stat status {};
    if (!file || fstat(file.get(), &status) != 0)
        throw system_error("cannot be opened", printable(name), "check the path and the permissions");
    if (!S_ISREG(status.st_mode))
        throw Error("is not a regular file", printable(name), "give the path of a kernel image file");
    if (static_cast<std::uint64_t>(status.st_size) > most)
        throw Error(fmt::format("is too large for a kernel's file (limit {} MiB)", most >> 20),
                    printable(name), "give the path of a kernel image file");
    return file;
}

} // namespace

FrozenFile::FrozenFile(const std::filesystem::path& path, std::size_t most, const std::optional<FileUser>& as)
    : name_(path.string()),
      copy_(memfd_create("lacuna-kernel", MFD_CLOEXEC | MFD_ALLOW_SEALING))
{
    const Fd file = open_regular(name_, most, as);
    Digest digest;
    std::array<std::uint8_t, 65536> piece;
    for (std::size_t size = 0;;) {
        const ssize_t got = read(file.get(), piece.data(), piece.size());
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            throw system_error("cannot be read to its end", printable(name_),
                               "try again; the file may be changing");
        if (got == 0)
            break;
        size += static_cast<std::size_t>(got);
        if (size > most) // it has grown
            throw Error("is too large for a kernel's file", printable(name_),
                        "try again; the file may be changing");
        if (write(copy_.get(), piece.data(), static_cast<std::size_t>(got)) != got)
            throw system_error("cannot be copied into memory", printable(name_));
        digest.add(ByteView(piece).first(static_cast<std::size_t>(got)));
    }
    digest_ = digest.end();
    if (fcntl(copy_.get(), F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) != 0 ||
        lseek(copy_.get(), 0, SEEK_SET) != 0)
        throw system_error("cannot be copied into memory", printable(name_));
}

} // namespace lacuna
