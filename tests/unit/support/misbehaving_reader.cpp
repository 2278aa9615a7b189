// SPDX-License-Identifier: GPL-2.0-or-later
//
// misbehaving_reader MEMORY SECONDS NAME: confined as lacuna-describe is, it does what its standard input
// says, as if a kernel had got the better of it. "open" and the like answer with what came of it, if anything
// does.
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <new>
#include <string>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "confinement.h"

namespace {

void say(const std::string& text)
{
    if (write(STDOUT_FILENO, text.data(), text.size()) < 0)
        _exit(3);
}

// By the kernel itself: the C library must not do something else for it.
template <typename... Arguments> void call(long number, Arguments... arguments)
{
    const long result = syscall(number, arguments...);
    say(R"({"error": {"failed": "it got )" + std::to_string(result) + R"(", "subject": "", "hint": ""}})");
}

[[noreturn]] void allocate()
{
    for (;;) {
        constexpr std::size_t much = std::size_t{1} << 20;
        void* const more = mmap(nullptr, much, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (more == MAP_FAILED) {
            say(R"({"error": {"failed": "no more memory", "subject": "", "hint": ""}})");
            _exit(0);
        }
        std::memset(more, 1, much);
    }
}

} // namespace

int main(int argc, char** argv)
{
    if (argc < 4)
        return 2;
    char input[64] = {};
    if (read(STDIN_FILENO, input, sizeof(input) - 1) <= 0)
        return 2;
    // What the process has while it is confined; the arguments of what it tries.
    const int to_write = open("/dev/null", O_WRONLY);
    static char program[] = "/bin/true";
    static char* arguments[] = {program, nullptr};
    const std::map<std::string, std::function<void()>> deeds = {
        {"spin",
         [] {
             for (;;)
                 asm volatile("");
         }},
        {"allocate", allocate},
        {"crash", [] { *static_cast<volatile int*>(nullptr) = 1; }},
        {"chatter",
         [] {
             for (;;)
                 say(std::string(4096, '"'));
         }},
        {"silent", [] {}},
        {"lie", [] { say(R"({"kernel": {"id": "../../etc/passwd"}})"); }},
        {"colours",
         [] { say("{\"error\": {\"failed\": \"\\u001b[2Jred\", \"subject\": \"\", \"hint\": \"\"}}"); }},
        {"open", [] { call(SYS_openat, AT_FDCWD, "/etc/passwd", O_RDONLY); }},
        {"create", [] { call(SYS_openat, AT_FDCWD, "/tmp/lacuna-was-here", O_WRONLY | O_CREAT, 0600); }},
        {"read",
         [] {
             char byte;
             call(SYS_read, STDIN_FILENO, &byte, 1);
         }},
        {"write elsewhere", [=] { call(SYS_write, to_write, "x", 1); }},
        {"socket", [] { call(SYS_socket, AF_UNIX, SOCK_STREAM, 0); }},
        {"kill", [] { call(SYS_kill, getppid(), 0); }},
        {"fork", [] { call(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr); }},
        {"execute", [] { call(SYS_execve, program, arguments, arguments + 1); }},
        {"trace", [] { call(SYS_ptrace, PTRACE_TRACEME, 0, nullptr, nullptr); }},
        {"code",
         [] { call(SYS_mmap, nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }},
        {"map a file", [=] { call(SYS_mmap, nullptr, 4096, PROT_READ, MAP_PRIVATE, STDIN_FILENO, 0); }},
        {"compute", [] { say(R"({"error": {"failed": "it may compute", "subject": "", "hint": ""}})"); }},
    };
    const auto deed = deeds.find(input);
    if (deed == deeds.end())
        return 2;
    lacuna::confine({std::strtoull(argv[1], nullptr, 10), std::strtoull(argv[2], nullptr, 10)});
    deed->second();
    _exit(0);
}
