// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel_reader.h"

#include <fstream>
#include <thread>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <spdlog/fmt/fmt.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "expect_error.h"
#include "kernel_source.h"
#include "payload.h"
#include "sanitized.h"
#include "synthetic_kernel.h"
#include "temporary_directory.h"

using namespace lacuna;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t plenty = std::uint64_t{1} << 30;

class Reading : public testing::Test {
protected:
    std::filesystem::path file(const std::string& name, const auto& content)
    {
        const auto path = folder.path() / name;
        std::ofstream(path, std::ios::binary)
            .write(reinterpret_cast<const char*>(content.data()),
                   static_cast<std::streamsize>(content.size()));
        return path;
    }

    // What comes of a kernel that makes its reader do this.
    KernelDescriptor misled(const std::string& deed, KernelReader::Bounds bounds = {plenty, 60s, 60s, 65536},
                            std::stop_token stop = {})
    {
        return KernelReader(MISBEHAVING_READER, bounds)(FrozenFile(file("hostile", deed), 4096), nullptr,
                                                        stop);
    }

    TemporaryDirectory folder;
};

} // namespace

TEST_F(Reading, TheDescriptorIsTheOneThatTheImageHas)
{
    synthetic::Kernel kernel;
    kernel.absolute_percpu = true;
    kernel.remove("linux_banner"); // so that there is a notice
    const auto path = file("vmlinux", kernel.vmlinux());
    EXPECT_EQ(to_json(SourceReader({}, KernelReader(LACUNA_DESCRIBE, {}))({path, {}, {}}).front()),
              to_json(describe_kernel(path)));
}

TEST_F(Reading, ASystemMapIsReadAsWell)
{
    const synthetic::Kernel kernel;
    std::string text;
    for (const Symbol& symbol : kernel.symbols)
        text += fmt::format("{:016x} {} {}\n", symbol.address, symbol.type, symbol.name);
    const auto image = file("vmlinux", kernel.vmlinux()), map = file("System.map", text);
    const KernelReader reader(LACUNA_DESCRIBE, {});
    const FrozenFile frozen_map(map, max_system_map_size);
    EXPECT_EQ(to_json(reader(FrozenFile(image, max_kernel_size), &frozen_map)),
              to_json(describe_kernel(image, map)));
}

TEST_F(Reading, AnErrorIsTheImagesOwn)
{
    const KernelReader reader(LACUNA_DESCRIBE, {});
    EXPECT_ERROR(reader(FrozenFile(file("noise", std::string("no kernel")), 4096), nullptr),
                 "noise: is not an x86 Linux kernel");
    EXPECT_ERROR(reader(FrozenFile(file("empty", std::string()), 4096), nullptr), "empty: is empty");
    EXPECT_ERROR(FrozenFile(folder.path() / "gone", 4096), "gone: cannot be opened");
    EXPECT_ERROR(FrozenFile("/dev/zero", 4096), "is not a regular file");
    EXPECT_ERROR(FrozenFile(file("large", std::string(4097, 'x')), 4096), "is too large");
}

TEST_F(Reading, WhatTakesTooMuchIsNamed)
{
    EXPECT_ERROR(misled("spin", {plenty, 1s, 60s, 65536}), "hostile: takes more than 1 s of processor time");
    EXPECT_ERROR(misled("spin", {plenty, 60s, 1s, 65536}), "hostile: could not be read within 1 s");
    EXPECT_ERROR(misled("allocate", {std::uint64_t{64} << 20, 60s, 60s, 65536}), "no more memory");
    EXPECT_ERROR(misled("chatter"), "hostile: its reader answers with more than 64 KiB");
    EXPECT_ERROR(misled("crash"), "hostile: its reader crashed (Segmentation fault)");
#ifndef LACUNA_SANITIZED // which has no bound on addresses, see confinement.cpp
    const KernelReader reader(LACUNA_DESCRIBE, {std::uint64_t{64} << 20, 60s, 60s, 65536});
    Bytes vmlinux = synthetic::Kernel().vmlinux();
    vmlinux.resize(std::size_t{60} << 20);
    EXPECT_ERROR(reader(FrozenFile(file("vmlinux", vmlinux), plenty), nullptr),
                 "vmlinux: takes more than 64 MiB of memory");
#endif
}

TEST_F(Reading, NobodyWaitsForWhatNobodyWantsAnyMore)
{
    std::stop_source source;
    std::jthread stopper([&] {
        std::this_thread::sleep_for(100ms);
        source.request_stop();
    });
    EXPECT_ERROR(misled("spin", {plenty, 60s, 60s, 65536}, source.get_token()), "nobody waits for it");
    EXPECT_EQ(waitpid(-1, nullptr, WNOHANG), -1); // and nothing is left of it
}

TEST_F(Reading, AnAnswerThatIsNoneIsNotBelieved)
{
    EXPECT_ERROR(misled("silent"), "hostile: what its reader answers makes no sense");
    EXPECT_ERROR(misled("lie"), "hostile: what its reader answers makes no sense");
    EXPECT_ERROR(misled("colours"), R"(\x1b[2Jred)");
    EXPECT_ERROR(
        KernelReader("/nonexistent/reader", {})(FrozenFile(file("k", std::string("k")), 4096), nullptr),
        "/nonexistent/reader: cannot be started: No such file");
}

TEST_F(Reading, TheReaderCanDoNothingElse)
{
    EXPECT_ERROR(misled("compute"), "it may compute");
    for (const char* deed : {"open", "create", "read", "write elsewhere", "socket", "kill", "fork", "execute",
                             "trace", "code", "map a file"}) {
        SCOPED_TRACE(deed);
        EXPECT_ERROR(misled(deed), "hostile: its reader tried to do what reading a kernel does not take");
    }
    EXPECT_FALSE(std::filesystem::exists("/tmp/lacuna-was-here"));
}

TEST_F(Reading, WhatWasHashedIsWhatIsRead)
{
    const auto path = file("vmlinuz", std::string("before"));
    const FrozenFile frozen(path, 4096);
    EXPECT_NE(frozen.digest(), FrozenFile(file("other", std::string("after!")), 4096).digest());
    file("vmlinuz", std::string("after!"));
    EXPECT_EQ(pwrite(frozen.fd(), "after!", 6, 0), -1);
    const Bytes bytes = read_whole(frozen.fd(), "frozen");
    EXPECT_EQ(std::string(bytes.begin(), bytes.end()), "before");
}
