// SPDX-License-Identifier: GPL-2.0-or-later
#include "confinement.h"

#include <cerrno>
#include <initializer_list>
#include <memory>

#include <linux/capability.h>
#include <linux/landlock.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "error.h"
#include "sanitized.h"

namespace lacuna {

namespace {

constexpr const char* subject = "the reader of kernels";

void check(bool done, const char* what)
{
    if (!done)
        throw system_error(std::string("cannot be confined: ") + what, subject);
}

// Without CAP_SETPCAP, which lacunad does not have either, the bounding set stays; but it counts when a
// program is executed, and none can be.
void drop_capabilities()
{
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    const __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {};
    check(syscall(SYS_capset, &header, none) == 0, "capset");
}

// No file system at all, which the filter below sees to already; this holds even where a system call has
// slipped through it. Kernels from 5.13 on have Landlock, if it has not been switched off.
void leave_file_systems()
{
    const long version = syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
    if (version < 1)
        return;
    landlock_ruleset_attr everything{};
    everything.handled_access_fs =
        (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1; // the last one that version 1 knows
    if (version >= 2)
        everything.handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
    const auto rules = static_cast<int>(
        syscall(SYS_landlock_create_ruleset, &everything, sizeof(everything.handled_access_fs), 0));
    check(rules >= 0, "landlock_create_ruleset");
    check(syscall(SYS_landlock_restrict_self, rules, 0) == 0, "landlock_restrict_self");
    close(rules);
}

void limit(__rlimit_resource resource, std::uint64_t soft, std::uint64_t hard)
{
    const rlimit value{soft, hard};
    check(setrlimit(resource, &value) == 0, "setrlimit");
}

void set_limits(const Limits& limits)
{
#ifndef LACUNA_SANITIZED // sanitizers take terabytes of addresses, most of which they never use, and pipes
    limit(RLIMIT_AS, limits.memory, limits.memory);
    limit(RLIMIT_NOFILE, 0, 0);
#endif
    limit(RLIMIT_CPU, limits.seconds, limits.seconds + 1);
    limit(RLIMIT_FSIZE, 0, 0);
    limit(RLIMIT_CORE, 0, 0);
}

void filter_system_calls()
{
    const std::unique_ptr<void, decltype(&seccomp_release)> filter(seccomp_init(SCMP_ACT_KILL_PROCESS),
                                                                   seccomp_release);
    check(filter != nullptr, "seccomp_init");
    const auto allow = [&](int call, std::initializer_list<scmp_arg_cmp> only = {}) {
        errno = -seccomp_rule_add_array(filter.get(), SCMP_ACT_ALLOW, call,
                                        static_cast<unsigned>(only.size()), only.begin());
        check(errno == 0, "seccomp_rule_add");
    };
    allow(SCMP_SYS(write), {SCMP_A0_64(SCMP_CMP_EQ, STDOUT_FILENO, 0)});
    allow(SCMP_SYS(exit_group));
    // What malloc() and the C++ runtime need.
    const scmp_arg_cmp not_executable = SCMP_A2_64(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0);
    allow(SCMP_SYS(mmap), {not_executable, SCMP_A3_64(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS)});
    allow(SCMP_SYS(mprotect), {not_executable});
    for (const int call :
         {SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex),
          SCMP_SYS(getrandom), SCMP_SYS(clock_gettime), SCMP_SYS(rt_sigreturn)})
        allow(call);
#ifdef LACUNA_SANITIZED
    // Whenever something is thrown they ask where the stack is, and by a pipe whether an object is there.
    for (const int call : {SCMP_SYS(sigaltstack), SCMP_SYS(pipe), SCMP_SYS(pipe2), SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(close)})
        allow(call);
#endif
    errno = -seccomp_load(filter.get());
    check(errno == 0, "seccomp_load");
}

} // namespace

void confine(const Limits& limits)
{
    drop_capabilities();
    check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "no_new_privs");
    leave_file_systems();
    set_limits(limits);
    filter_system_calls();
}

} // namespace lacuna
