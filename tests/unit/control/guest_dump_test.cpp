// SPDX-License-Identifier: GPL-2.0-or-later
#include <cstring>
#include <fstream>
#include <iterator>
#include <thread>

#include <elf.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "expect_error.h"
#include "fd.h"
#include "guest_dump.h"
#include "profile.h"
#include "temporary_directory.h"

using namespace lacuna;

namespace {

// A core file as QEMU writes it: memory at 0 and, behind a hole, at 0x10000; firmware below 4 GiB.
std::string core_file()
{
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_phoff = sizeof(header);
    header.e_phnum = 4;
    Elf64_Phdr programs[4] = {};
    programs[0].p_type = PT_NOTE;
    for (int i : {1, 2}) {
        programs[i].p_type = PT_LOAD;
        programs[i].p_offset = 0x1000 * static_cast<unsigned>(i);
        programs[i].p_paddr = i == 1 ? 0 : 0x10000;
        programs[i].p_filesz = programs[i].p_memsz = 0x1000;
    }
    programs[3] = programs[2];
    programs[3].p_paddr = 0xfffff000;
    std::string text(0x3000, '\0');
    std::memcpy(text.data(), &header, sizeof(header));
    std::memcpy(text.data() + sizeof(header), programs, sizeof(programs));
    text[0x1010] = 'a';
    text[0x2fff] = 'z';
    return text;
}

std::string text_of(const std::filesystem::path& file)
{
    std::ifstream stream(file, std::ios::binary);
    return std::string((std::istreambuf_iterator<char>(stream)), {});
}

// Speaks QMP as QEMU does, to one who connects; writes `core` where it is told to.
class FakeQemu {
public:
    FakeQemu(const std::filesystem::path& path, std::string core, std::string fails = {})
        : core_(std::move(core)),
          fails_(std::move(fails)),
          listener_(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0))
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
        EXPECT_EQ(bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
        EXPECT_EQ(listen(listener_.get(), 1), 0);
        thread_ = std::thread([this] { serve(); });
    }
    ~FakeQemu() { thread_.join(); }

    std::vector<std::string> commands;

private:
    void say(const Json& json)
    {
        const std::string text = to_text(json) + "\r\n";
        EXPECT_EQ(write(client_.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
    }

    void serve()
    {
        client_ = Fd(accept(listener_.get(), nullptr, nullptr));
        say({{"QMP", {{"version", 7}}}});
        for (;;) {
            char buffer[4096], control[64];
            iovec data{buffer, sizeof(buffer)};
            msghdr message{};
            message.msg_iov = &data;
            message.msg_iovlen = 1;
            message.msg_control = control;
            message.msg_controllen = sizeof(control);
            const ssize_t got = recvmsg(client_.get(), &message, 0);
            if (got <= 0)
                return;
            if (const cmsghdr* header = CMSG_FIRSTHDR(&message)) {
                int number = -1;
                std::memcpy(&number, CMSG_DATA(header), sizeof(number));
                file_ = Fd(number);
            }
            answer(Json::parse(std::string(buffer, static_cast<std::size_t>(got))));
        }
    }

    void answer(const Json& request)
    {
        const auto command = request.at("execute").get<std::string>();
        commands.push_back(command);
        if (command == fails_)
            return say({{"error", {{"desc", "not today"}}}});
        if (command == "dump-guest-memory") {
            say({{"event", "STOP"}});
            EXPECT_EQ(request.at("arguments"), Json::parse(R"({"paging": false, "protocol": "fd:lacuna-dump", "detach": true})"));
            EXPECT_EQ(write(file_.get(), core_.data(), core_.size()), static_cast<ssize_t>(core_.size()));
        }
        if (command != "query-dump")
            return say({{"return", Json::object()}});
        const bool done = ++looks_ > 1;
        say({{"return", {{"status", done ? "completed" : "active"}, {"completed", done ? 200 : 100}, {"total", 200}}}});
    }

    std::string core_, fails_;
    Fd listener_, client_, file_;
    std::thread thread_;
    int looks_ = 0;
};

} // namespace

TEST(GuestDump, ARawFileHasMemoryWhereItsAddressIs)
{
    const TemporaryDirectory folder;
    const auto core = folder.path() / "core", raw = folder.path() / "raw";
    std::ofstream(core, std::ios::binary) << core_file();
    core_to_raw(core, raw);
    const std::string text = text_of(raw);
    ASSERT_EQ(text.size(), 0x11000u);
    EXPECT_EQ(text[0x10], 'a');
    EXPECT_EQ(text[0x10fff], 'z');
    EXPECT_EQ(std::count(text.begin(), text.end(), '\0'), static_cast<std::ptrdiff_t>(text.size()) - 2);
    EXPECT_ERROR(core_to_raw(core, raw), "raw: cannot be made");
}

TEST(GuestDump, DamagedCoreFilesLeaveNothing)
{
    const TemporaryDirectory folder;
    const auto core = folder.path() / "core", raw = folder.path() / "raw";
    for (const std::string& text : {std::string("x"), std::string(100, 'x'), core_file().substr(0, 100), core_file().substr(0, 0x2800)}) {
        std::ofstream(core, std::ios::binary | std::ios::trunc) << text;
        EXPECT_THROW(core_to_raw(core, raw), Error);
        EXPECT_FALSE(std::filesystem::exists(raw));
    }
}

TEST(GuestDump, AsksQemu)
{
    const TemporaryDirectory folder;
    std::vector<unsigned> progress;
    {
        FakeQemu qemu(folder.path() / "qmp", core_file());
        dump_guest({"web", folder.path() / "raw", DumpFormat::raw, folder.path() / "qmp", {}},
                   [&](unsigned percent) { progress.push_back(percent); });
    }
    EXPECT_EQ(progress, (std::vector<unsigned>{50, 100}));
    EXPECT_EQ(std::filesystem::file_size(folder.path() / "raw"), 0x11000u);
    EXPECT_FALSE(std::filesystem::exists(folder.path() / "raw.core"));
    std::filesystem::remove(folder.path() / "qmp");
    {
        FakeQemu qemu(folder.path() / "qmp", core_file());
        dump_guest({"web", folder.path() / "elf", DumpFormat::elf, folder.path() / "qmp", {}}, [](unsigned) {});
    }
    EXPECT_EQ(text_of(folder.path() / "elf"), core_file());
}

TEST(GuestDump, WhatFailsLeavesNothing)
{
    const TemporaryDirectory folder;
    const auto file = folder.path() / "raw";
    {
        FakeQemu qemu(folder.path() / "qmp", core_file(), "dump-guest-memory");
        EXPECT_ERROR(dump_guest({"web", file, DumpFormat::raw, folder.path() / "qmp", {}}, [](unsigned) {}),
                     "QEMU refused dump-guest-memory: not today");
    }
    EXPECT_ERROR(dump_guest({"web", file, DumpFormat::raw, folder.path() / "nobody", {}}, [](unsigned) {}), "QEMU cannot be reached");
    EXPECT_FALSE(std::filesystem::exists(file));
    EXPECT_FALSE(std::filesystem::exists(folder.path() / "raw.core"));
    std::ofstream(file.string() + ".core") << "mine"; // what is not made here does not go either
    EXPECT_ERROR(dump_guest({"web", file, DumpFormat::raw, folder.path() / "nobody", {}}, [](unsigned) {}), "QEMU cannot be reached");
    std::filesystem::remove(folder.path() / "qmp");
    {
        FakeQemu qemu(folder.path() / "qmp", core_file());
        EXPECT_ERROR(dump_guest({"web", file, DumpFormat::raw, folder.path() / "qmp", {}}, [](unsigned) {}), "raw.core: cannot be made");
    }
    EXPECT_EQ(text_of(file.string() + ".core"), "mine");
    EXPECT_FALSE(std::filesystem::exists(file));
    std::ofstream(file) << "mine";
    EXPECT_ERROR(dump_guest({"web", file, DumpFormat::raw, folder.path() / "nobody", {}}, [](unsigned) {}), "is there already");
    EXPECT_EQ(text_of(file), "mine");
}
