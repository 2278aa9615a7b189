// SPDX-License-Identifier: GPL-2.0-or-later
//
// lacuna-describe MEMORY SECONDS NAME [MAP-NAME]: reads a guest's kernel on behalf of lacunad and lacunactl,
// as a process that can do nothing else. The kernel is what standard input gives, the System.map what file
// descriptor 3 gives; their names are for errors only. The answer goes to standard output.
#include <cerrno>
#include <cstdlib>
#include <new>

#include <csignal>
#include <spdlog/fmt/fmt.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "confinement.h"
#include "digest.h"
#include "payload.h"
#include "reader_answer.h"

namespace {

using namespace lacuna;

constexpr int map_fd = 3;

KernelDescriptor describe(const Bytes& image, const std::string& name, const std::optional<SystemMap>& map,
                          std::uint64_t memory)
{
    try {
        return describe_kernel(KernelImage(image, name), map);
    } catch (const std::bad_alloc&) {
        throw Error(fmt::format("takes more than {} MiB of memory to be read", memory >> 20), name,
                    "it is no kernel that Lacuna can read: copy the file again, or give another one");
    }
}

std::string answer(int argc, char** argv)
{
    try {
        if (argc != 4 && argc != 5)
            throw Error("is started by lacunad and lacunactl", "lacuna-describe",
                        "try: lacunactl kernel FILE");
        const Limits limits{std::strtoull(argv[1], nullptr, 10), std::strtoull(argv[2], nullptr, 10)};
        const Bytes image = read_whole(STDIN_FILENO, argv[3]);
        std::optional<SystemMap> map;
        if (argc == 5)
            map = SystemMap{argv[4], read_whole(map_fd, argv[4])};
        static_cast<void>(digest_of({})); // OpenSSL reads its configuration when it is first used
        confine(limits);
        return answer_of(describe(image, argv[3], map, limits.memory));
    } catch (const Error& error) {
        return answer_of(error);
    } catch (const std::exception& error) {
        return answer_of(Error(error.what(), argv[3]));
    }
}

} // namespace

int main(int argc, char** argv)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); // nobody waits for the answer then
    const std::string text = answer(argc, argv);
    for (std::size_t done = 0; done < text.size();) {
        const ssize_t written = write(STDOUT_FILENO, text.data() + done, text.size() - done);
        if (written <= 0)
            _exit(1);
        done += static_cast<std::size_t>(written);
    }
    _exit(0); // what libraries do at an orderly exit is not allowed any more
}
