// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel_reader.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <spawn.h>
#include <spdlog/fmt/fmt.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child_deadline.h"
#include "error.h"
#include "names.h"
#include "reader_answer.h"

namespace lacuna {

namespace {

constexpr const char* program_name = "lacuna-describe";
constexpr int map_fd = 3; // as lacuna-describe expects it

// A process whose standard output is a pipe to us; killed and waited for when it is not needed any more.
class Child {
public:
    Child(const std::filesystem::path& program, std::vector<std::string> arguments, int input,
          int second_input)
    {
        int ends[2];
        if (pipe2(ends, O_CLOEXEC) != 0)
            throw system_error("no pipe", program_name);
        output_ = Fd(ends[0]);
        const Fd write_end(ends[1]);
        posix_spawn_file_actions_t files;
        posix_spawn_file_actions_init(&files);
        posix_spawn_file_actions_adddup2(&files, input, STDIN_FILENO);
        posix_spawn_file_actions_adddup2(&files, write_end.get(), STDOUT_FILENO);
        posix_spawn_file_actions_addopen(&files, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
        if (second_input >= 0)
            posix_spawn_file_actions_adddup2(&files, second_input, map_fd);
        posix_spawn_file_actions_addclosefrom_np(&files, second_input >= 0 ? map_fd + 1 : map_fd);
        posix_spawnattr_t attributes; // lacunad has signals blocked, which would be inherited
        sigset_t none;
        sigemptyset(&none);
        posix_spawnattr_init(&attributes);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
        posix_spawnattr_setsigmask(&attributes, &none);
        std::vector<char*> argv;
        for (std::string& argument : arguments)
            argv.push_back(argument.data());
        argv.push_back(nullptr);
        char* const environment[] = {nullptr};
        const int error = posix_spawn(&pid_, program.c_str(), &files, &attributes, argv.data(), environment);
        posix_spawnattr_destroy(&attributes);
        posix_spawn_file_actions_destroy(&files);
        if (error != 0)
            throw Error("cannot be started: " + std::generic_category().message(error), program.string(),
                        "install Lacuna's package again");
    }
    ~Child()
    {
        if (pid_ <= 0)
            return;
        kill(pid_, SIGKILL);
        end();
    }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    // All that it writes. Nothing if that is more than `most` bytes.
    std::optional<std::string> read_output(std::size_t most)
    {
        std::string text;
        std::array<char, 4096> piece;
        while (text.size() <= most) {
            const ssize_t got = read(output_.get(), piece.data(), piece.size());
            if (got < 0 && errno == EINTR)
                continue;
            if (got <= 0)
                return text;
            text.append(piece.data(), static_cast<std::size_t>(got));
        }
        return std::nullopt;
    }

    // Waits for its end; what waitpid(2) says of it.
    int end()
    {
        int status = 0;
        while (waitpid(pid_, &status, 0) < 0 && errno == EINTR)
            ;
        pid_ = -1;
        return status;
    }

private:
    Fd output_;
    pid_t pid_ = -1;
};

constexpr const char* other_file = "copy the file again, or give another one: no kernel needs so much";
constexpr const char* hostile_file =
    "the file is damaged, or was made to attack its reader: do not use it, and please report it";

[[noreturn]] void ended_by(int signal, const std::string& name, const KernelReader::Bounds& bounds)
{
    switch (signal) {
    case SIGXCPU:
        throw Error(
            fmt::format("takes more than {} s of processor time to be read", bounds.processor_time.count()),
            name, other_file);
    case SIGKILL:
        throw Error("its reader was killed; was there no memory left?", name,
                    "see what the host's kernel says of it: dmesg");
    case SIGSYS:
        throw Error("its reader tried to do what reading a kernel does not take, and was killed", name,
                    hostile_file);
    default:
        throw Error(fmt::format("its reader crashed ({})", strsignal(signal)), name, hostile_file);
    }
}

std::filesystem::path program_of_this()
{
    std::error_code error;
    const auto beside = std::filesystem::read_symlink("/proc/self/exe", error).replace_filename(program_name);
    return std::filesystem::exists(beside, error) ? beside
                                                  : std::filesystem::path(LACUNA_LIBEXEC) / program_name;
}

} // namespace

KernelReader::KernelReader() : KernelReader(program_of_this(), Bounds{}) {}

KernelReader::KernelReader(std::filesystem::path program, Bounds bounds)
    : program_(std::move(program)),
      bounds_(bounds)
{}

KernelDescriptor KernelReader::operator()(const FrozenFile& vmlinuz, const FrozenFile* system_map,
                                          std::stop_token stop) const
{
    const std::string name = printable(vmlinuz.name());
    std::vector<std::string> arguments = {program_name, std::to_string(bounds_.memory),
                                          std::to_string(bounds_.processor_time.count()), name};
    if (system_map)
        arguments.push_back(printable(system_map->name()));
    const ChildDeadline limit(bounds_.time, stop);
    Child child(program_, std::move(arguments), vmlinuz.fd(), system_map ? system_map->fd() : -1);
    const auto answer = child.read_output(bounds_.answer);
    if (!answer)
        throw Error(fmt::format("its reader answers with more than {} KiB", bounds_.answer >> 10), name,
                    hostile_file);
    const int status = child.end();
    if (stop.stop_requested())
        throw Error("is not read: nobody waits for it any more", name);
    if (limit.passed())
        throw Error(fmt::format("could not be read within {} s",
                                std::chrono::duration_cast<std::chrono::seconds>(bounds_.time).count()),
                    name, other_file);
    if (WIFSIGNALED(status))
        ended_by(WTERMSIG(status), name, bounds_);
    return understand_answer(*answer, name);
}

} // namespace lacuna
