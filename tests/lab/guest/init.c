// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * First program of a lab guest. It gives Lacuna something to watch (processes of several programs, threads
 * that fork, exits, module loads), then settles and prints its own view of processes and modules for ever.
 *
 * Console protocol: view.h.
 *
 * Environment (from the kernel's command line): LACUNA_HYPERCALL=1 makes a worker execute VMMCALL, LACUNA_KEXEC=<n> starts
 * the kernel /next/kernel by kexec, before anything else is done (0) or after view n (with LACUNA_CRASH=<cpu> by a crash on that
 * CPU), LACUNA_REBOOT=<n> reboots after view n,
 * LACUNA_BUSY=1 lets processes come and go between the views, and has the kernel start one, LACUNA_DETAIL=1 has processes
 * open files and sockets, and prints all about them once, LACUNA_HOSTILE=1 loads the module hostile before there is any other
 * process, LACUNA_LATENCY=1 has a process measure how late it wakes up, LACUNA_TRACED=1 has the kernel trace the functions
 * that Lacuna traps, LACUNA_PROBED=<function+offset> has it probe that place for a while, LACUNA_HIBERNATE=<modules, commas
 * between> loads these, hibernates, or resumes what has hibernated, and goes on then.
 */
#define _GNU_SOURCE /* unshare() */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/kexec.h>
#include <linux/module.h>
#include <linux/reboot.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "hibernation.h"
#include "latency.h"
#include "view.h"

#define CONSOLE_LEVEL 8 /* syslog(2), SYSLOG_ACTION_CONSOLE_LEVEL */

static pid_t fork_or_die(void)
{
    pid_t pid = fork();

    if (pid < 0)
        die("fork");
    return pid;
}

/* Start a program as this user and group; its arguments are one word each. Returns its pid. */
static pid_t start_as(unsigned uid, unsigned gid, const char *program, const char *mode, const char *name)
{
    pid_t pid = fork_or_die();

    if (pid == 0) {
        if (setgid(gid) || setuid(uid))
            _exit(126);
        execl(program, program, mode, name, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static pid_t start(const char *program, const char *mode, const char *name)
{
    return start_as(0, 0, program, mode, name);
}

static void wait_for_all(pid_t *pids, int count)
{
    for (int i = 0; i < count; i++)
        waitpid(pids[i], NULL, 0);
}

/* Processes that come and go: plain forks, this program again, the other program, threads that fork. */
static void stir_processes(int rounds)
{
    while (rounds-- > 0) {
        pid_t pids[4];

        pids[0] = fork_or_die();
        if (pids[0] == 0)
            _exit(0);
        pids[1] = start("/init", "child", "short-lived");
        pids[2] = start("/worker", "family", "family");
        pids[3] = start("/worker", "threads", "threads");
        wait_for_all(pids, 4);
    }
}

/* For a family of protocols that it does not know the kernel starts modprobe, by a thread of its own (request_module()). */
static void stir_kernel(void)
{
    int fd = socket(AF_X25, SOCK_SEQPACKET, 0);

    if (fd >= 0)
        close(fd);
}

/* Processes that stay, so that the rebuilt list has more than init in it. */
static void leave_processes(void)
{
    start("/worker", "stay", "worker-one");
    start("/worker", "stay-threads", "worker-threads");
    start("/init", "stay", "init-as-service");
    /* those of other users, as servers have them */
    start_as(1001, 2001, "/worker", "stay", "user-one");
    start_as(1002, 2002, "/worker", "stay", "user-two");
    start_as(1003, 2003, "/worker", "stay", "user-three");
}

static void start_to_measure_latency(void)
{
    pid_t pid = fork_or_die();

    if (pid == 0)
        measure_latency();
}

/* Something to be seen of files, mounts and sockets. */
static void leave_open(void)
{
    static const char *const folders[] = { "/open", "/open/within" };

    if (!getenv("LACUNA_DETAIL"))
        return;
    mkdir("/sys", 0755);
    if (mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
        perror("/sys");
    for (int i = 0; i < 2; i++)
        if (mkdir(folders[i], 0755) || mount("tmpfs", folders[i], "tmpfs", 0, NULL))
            die(folders[i]);
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork_or_die();

        if (pid == 0) {
            execl("/opener", "/opener", folders[i], i ? "opener-two" : "opener-one", i ? "6000" : "5000", (char *)NULL);
            _exit(127);
        }
    }
}

/*
 * Start one that has mounts of its own; what is mounted later comes to it, or to all that share with it, or neither. It has them when this
 * returns: were another one started meanwhile, its mounts could be told by that one's instead of ours.
 */
static void start_apart(const char *name, unsigned long propagation)
{
    if (vfork())
        return;
    if (unshare(CLONE_NEWNS) || (propagation && mount("none", "/", NULL, MS_REC | propagation, NULL)))
        _exit(126);
    execl("/worker", "/worker", "stay", name, (char *)NULL);
    _exit(127);
}

/* Start one of another user's that has been given one capability, as services have. */
static void start_with(int capability, unsigned uid, const char *name)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct sets[2] = { { .effective = 1u << capability, .permitted = 1u << capability, .inheritable = 1u << capability } };

    if (fork_or_die())
        return;
    if (prctl(PR_SET_KEEPCAPS, 1) || setgid(uid) || setuid(uid) || syscall(SYS_capset, &header, sets) ||
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0))
        _exit(126);
    execl("/worker", "/worker", "stay", name, (char *)NULL);
    _exit(127);
}

/* Mounts that are passed on and such that are not, and capabilities. What a kernel does not have it goes without. */
static void leave_apart(void)
{
    if (!getenv("LACUNA_DETAIL"))
        return;
    if (mkdir("/quiet", 0755) || mount("nothing", "/quiet", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_RDONLY, NULL) ||
        mount("none", "/", NULL, MS_REC | MS_SHARED, NULL))
        die("/quiet");
    start_apart("apart-one", MS_SLAVE);
    start_apart("apart-two", MS_SLAVE);
    start_apart("apart-shared", 0);
    start_apart("apart-private", MS_PRIVATE);
    start_with(CAP_NET_BIND_SERVICE, 1004, "given-port");
    start_with(CAP_SYS_NICE, 1005, "given-nice");
}

/*
 * finit_module() came with Linux 3.8; the older call wants the file in memory. By force if the kernel lets itself be forced: it marks
 * such a module, and itself.
 */
static int load_module_file(int fd, int by_force)
{
    void *image;
    struct stat file;
    long result = by_force ? syscall(SYS_finit_module, fd, "", MODULE_INIT_IGNORE_VERMAGIC) : -1;

    if (result)
        result = syscall(SYS_finit_module, fd, "", 0);
    if (result == 0 || errno != ENOSYS)
        return result ? errno : 0;
    if (fstat(fd, &file))
        return errno;
    image = mmap(NULL, (size_t)file.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (image == MAP_FAILED)
        return errno;
    result = syscall(SYS_init_module, image, (unsigned long)file.st_size, "");
    return result ? errno : 0;
}

/* Returns the error, 0 if there was none. */
static int load_module(const char *name, int by_force)
{
    char path[128];
    int fd, error;

    snprintf(path, sizeof(path), "/modules/%s.ko", name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    error = fd < 0 ? errno : load_module_file(fd, by_force);
    if (fd >= 0)
        close(fd);
    printf("LACUNA-GUEST MODULE %s %d\n", name, error);
    return error;
}

/* What people look for in a guest, where its initramfs has it: a shell with a history, and a process with another one's credentials. */
static void leave_prey(void)
{
    static const char history[] = "HISTTIMEFORMAT=%F; set -o history; history -s whoami; history -s 'cat /etc/shadow'; history -s 'nc -l 4444'; read < /never";
    const struct timespec date = { .tv_sec = 1800000000 }; /* a guest without one comes from 1970, at which no history is from */

    if (!getenv("LACUNA_DETAIL"))
        return;
    if (clock_settime(CLOCK_REALTIME, &date))
        perror("the date");
    if (!access("/bash", X_OK) && !mkfifo("/never", 0600) && !fork_or_die()) {
        execl("/bash", "bash", "-c", history, (char *)NULL);
        _exit(127);
    }
    if (access("/modules/shared_creds.ko", R_OK) || fork_or_die())
        return;
    prctl(PR_SET_NAME, "creds-of-init");
    if (load_module("shared_creds", 0))
        _exit(126);
    for (;;)
        pause();
}

/* Does it, with the disk's drivers. */
static void hibernate_by(char *modules)
{
    for (char *name = strtok(modules, ","); name; name = strtok(NULL, ","))
        load_module(name, 0);
    hibernate();
}

/*
 * /modules/order: one module a line, or two that two processes load at the same time. The first by force where a guest is to show all
 * that there is to be seen.
 */
static void load_modules(void)
{
    int by_force = getenv("LACUNA_DETAIL") != NULL;
    FILE *order = fopen("/modules/order", "re");
    char line[256];

    while (order && fgets(line, sizeof(line), order)) {
        char first[64], second[64];
        int count = sscanf(line, "%63s %63s", first, second);
        pid_t other = 0;

        if (count == 2) {
            other = fork_or_die();
            if (other == 0) {
                load_module(second, 0);
                _exit(0);
            }
        }
        if (count >= 1)
            load_module(first, by_force);
        by_force = 0;
        if (other)
            waitpid(other, NULL, 0);
    }
    if (order)
        fclose(order);
}

#ifdef SYS_kexec_file_load /* 64-bit kernels have it */
/* The command line without what led here. */
static void next_command_line(char *line, size_t size)
{
    char *at, *end;

    if (read_file("/proc/cmdline", line, size) <= 0)
        die("reading /proc/cmdline");
    line[strcspn(line, "\n")] = 0;
    at = strstr(line, "LACUNA_KEXEC=");
    if (!at)
        return;
    end = at + strcspn(at, " ");
    memmove(at, end, strlen(end) + 1);
    /* who boots on another than the boot CPU cannot start that one */
    if (getenv("LACUNA_CRASH") && strlen(line) + sizeof(" nr_cpus=1") <= size)
        strcat(line, " nr_cpus=1");
}

/* On this CPU. */
static void crash(int cpu)
{
    unsigned long cpus = 1UL << cpu;
    int trigger = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);

    if (syscall(SYS_sched_setaffinity, 0, sizeof(cpus), &cpus) < 0 || write(trigger, "c", 1) != 1)
        die("crashing");
}

/* Ends this kernel and starts the next, if that is to happen now. */
static void kexec(int now)
{
    const char *when = getenv("LACUNA_KEXEC"), *on = getenv("LACUNA_CRASH");
    char line[2048];
    int kernel, initrd;

    if (!when || atoi(when) != now)
        return;
    next_command_line(line, sizeof(line));
    kernel = open("/next/kernel", O_RDONLY | O_CLOEXEC);
    initrd = open("/next/initrd", O_RDONLY | O_CLOEXEC);
    if (kernel < 0 || initrd < 0 || syscall(SYS_kexec_file_load, kernel, initrd, strlen(line) + 1, line, on ? (unsigned long)KEXEC_FILE_ON_CRASH : 0UL))
        die("kexec_file_load");
    if (on)
        crash(atoi(on));
    syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, NULL);
    die("starting the next kernel");
}
#else
static void kexec(int now)
{
    (void)now;
}
#endif

static void write_trace_file(const char *name, const char *text)
{
    char path[64];
    int fd;

    snprintf(path, sizeof(path), "/trace/%s", name);
    fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        die(path);
    close(fd);
}

static void mount_trace(void)
{
    mkdir("/trace", 0700);
    if (mount("tracefs", "/trace", "tracefs", 0, NULL))
        die("mounting tracefs");
}

/* The graph tracer, and probes at the beginnings and the ends. */
static void begin_tracing(void)
{
    mount_trace();
    write_trace_file("set_graph_function", "kernel_clone release_task do_one_initcall");
    write_trace_file("max_graph_depth", "1");
    write_trace_file("current_tracer", "function_graph");
    write_trace_file("kprobe_events", "p:fork kernel_clone\n");
    write_trace_file("kprobe_events", "r:forked kernel_clone\n");
    write_trace_file("kprobe_events", "p:exit release_task\n");
    write_trace_file("kprobe_events", "p:initcall do_one_initcall\n");
    write_trace_file("events/kprobes/enable", "1");
}

/* -1: there is no trace. */
static int traced_lines_with(const char *text)
{
    FILE *trace = fopen("/trace/trace", "re");
    char line[512];
    int number = 0;

    if (!trace)
        return -1;
    while (fgets(line, sizeof(line), trace))
        number += strstr(line, text) != NULL;
    fclose(trace);
    return number;
}

static void tell_traced(void)
{
    static const char *const texts[] = { "kernel_clone", "forked:", "exit:", "initcall:" };

    printf("LACUNA-TRACED");
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        printf(" %d", traced_lines_with(texts[i]));
    puts("");
}

/*
 * A probe at that place, which forks come to: at first an INT3, after a moment a jump (Documentation/trace/kprobes.rst, jump optimization),
 * and then gone again.
 */
static void probe(const char *place)
{
    char line[256];

    mount_trace();
    sleep(2); /* forks are trapped when it has been seen that this program runs */
    snprintf(line, sizeof(line), "p:probed %s\n", place);
    write_trace_file("kprobe_events", line);
    write_trace_file("events/kprobes/probed/enable", "1");
    for (int round = 0; round < 3; round++) {
        stir_processes(1);
        sleep(1);
    }
    write_trace_file("events/kprobes/probed/enable", "0");
    stir_processes(1);
    printf("LACUNA-PROBED %d\n", traced_lines_with("probed:"));
}

static void reboot_after(int now)
{
    const char *when = getenv("LACUNA_REBOOT");

    if (when && atoi(when) == now)
        syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_RESTART, NULL);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 1 && !strcmp(argv[1], "child"))
        return 0;
    if (argc > 1 && !strcmp(argv[1], "stay"))
        for (;;)
            pause();
    mount_proc();
    print_start();
    if (getenv("LACUNA_LATENCY"))
        start_to_measure_latency();
    kexec(0);
    if (getenv("LACUNA_TRACED"))
        begin_tracing();
    if (getenv("LACUNA_HOSTILE"))
        load_module("hostile", 0);
    if (getenv("LACUNA_PROBED"))
        probe(getenv("LACUNA_PROBED"));
    if (getenv("LACUNA_HIBERNATE"))
        hibernate_by(getenv("LACUNA_HIBERNATE"));
    stir_processes(5);
    if (getenv("LACUNA_HYPERCALL"))
        waitpid(start("/worker", "vmmcall", "vmmcall"), NULL, 0);
    leave_processes();
    leave_open();
    leave_apart();
    leave_prey();
    load_modules();
    stir_processes(4);
    if (getenv("LACUNA_TRACED"))
        tell_traced();
    print_text_range();
    klogctl(CONSOLE_LEVEL, NULL, 1); /* only emergencies may come between the views */
    if (getenv("LACUNA_DETAIL"))
        print_detail();
    puts("LACUNA-GUEST READY");
    for (int number = 1;; number++) {
        print_view(number);
        kexec(number);
        reboot_after(number);
        if (getenv("LACUNA_BUSY")) {
            stir_kernel();
            stir_processes(1);
        }
        sleep(2);
    }
}
