// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * First program of a lab guest. It gives Lacuna something to watch (processes of several programs, threads
 * that fork, exits, module loads), then settles and prints its own view of processes and modules for ever.
 *
 * Console protocol, one line each (read by scripts/labkit/guest_console.py):
 *   LACUNA-GUEST INIT | KERNEL <release> | MODULE <file> <errno> | READY
 *   LACUNA-TEXT <first> <last>           physical addresses of the kernel's code, hexadecimal
 *   LACUNA-VIEW <n> BEGIN
 *   P <pid> <user|kernel> <comm>         one per /proc/<pid>
 *   M <name> <address>                   one per line of /proc/modules
 *   LACUNA-VIEW <n> END
 *
 * Environment (from the kernel's command line): LACUNA_HYPERCALL=1 makes a worker execute VMMCALL, LACUNA_KEXEC=<n> starts
 * the kernel /next/kernel by kexec, before anything else is done (0) or after view n, LACUNA_REBOOT=<n> reboots after view n,
 * LACUNA_BUSY=1 lets processes come and go between the views, and has the kernel start one.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/reboot.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#define PF_KTHREAD 0x00200000 /* include/linux/sched.h; the same in every kernel since 2.6.27 */
#define CONSOLE_LEVEL 8       /* syslog(2), SYSLOG_ACTION_CONSOLE_LEVEL */

static void die(const char *what)
{
    printf("LACUNA-GUEST FAILED %s: %s\n", what, strerror(errno));
    for (;;)
        pause();
}

static pid_t fork_or_die(void)
{
    pid_t pid = fork();

    if (pid < 0)
        die("fork");
    return pid;
}

/* Start a program; its arguments are one word each. Returns its pid. */
static pid_t start(const char *program, const char *mode, const char *name)
{
    pid_t pid = fork_or_die();

    if (pid == 0) {
        execl(program, program, mode, name, (char *)NULL);
        _exit(127);
    }
    return pid;
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
}

static void load_module(const char *name)
{
    char path[128];
    int fd, error = 0;

    snprintf(path, sizeof(path), "/modules/%s.ko", name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) != 0)
        error = errno;
    if (fd >= 0)
        close(fd);
    printf("LACUNA-GUEST MODULE %s %d\n", name, error);
}

/* /modules/order: one module a line, or two that two processes load at the same time. */
static void load_modules(void)
{
    FILE *order = fopen("/modules/order", "re");
    char line[256];

    while (order && fgets(line, sizeof(line), order)) {
        char first[64], second[64];
        int count = sscanf(line, "%63s %63s", first, second);
        pid_t other = 0;

        if (count == 2) {
            other = fork_or_die();
            if (other == 0) {
                load_module(second);
                _exit(0);
            }
        }
        if (count >= 1)
            load_module(first);
        if (other)
            waitpid(other, NULL, 0);
    }
    if (order)
        fclose(order);
}

static void print_text_range(void)
{
    FILE *iomem = fopen("/proc/iomem", "re");
    char line[256];
    unsigned long first, last;

    while (iomem && fgets(line, sizeof(line), iomem))
        if (strstr(line, "Kernel code") && sscanf(line, " %lx-%lx", &first, &last) == 2)
            printf("LACUNA-TEXT %lx %lx\n", first, last);
    if (iomem)
        fclose(iomem);
}

/* Read a whole small file of /proc; returns its length, or -1 when the process has gone. */
static long read_file(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    long length;

    if (fd < 0)
        return -1;
    length = read(fd, buffer, size - 1);
    close(fd);
    if (length >= 0)
        buffer[length] = 0;
    return length;
}

static void print_process(FILE *out, const char *pid)
{
    char path[64], stat[1024], *open_bracket, *close_bracket;
    unsigned long flags;

    snprintf(path, sizeof(path), "/proc/%s/stat", pid);
    if (read_file(path, stat, sizeof(stat)) <= 0)
        return;
    open_bracket = strchr(stat, '(');
    close_bracket = strrchr(stat, ')');
    if (!open_bracket || !close_bracket ||
        sscanf(close_bracket + 1, " %*c %*d %*d %*d %*d %*d %lu", &flags) != 1)
        die("parsing /proc/<pid>/stat");
    *close_bracket = 0;
    fprintf(out, "P %s %s %s\n", pid, flags & PF_KTHREAD ? "kernel" : "user", open_bracket + 1);
}

static void print_processes(FILE *out)
{
    DIR *proc = opendir("/proc");
    struct dirent *entry;

    if (!proc)
        die("opening /proc");
    while ((entry = readdir(proc)))
        if (isdigit((unsigned char)entry->d_name[0]))
            print_process(out, entry->d_name);
    closedir(proc);
}

static void print_modules(FILE *out)
{
    FILE *modules = fopen("/proc/modules", "re");
    char name[64], address[32];

    while (modules && fscanf(modules, "%63s %*s %*s %*s %*s %31s%*[^\n]", name, address) == 2)
        fprintf(out, "M %s %s\n", name, address);
    if (modules)
        fclose(modules);
}

/* One view goes out in one write, so that nothing comes between its lines. */
static void print_view(int number)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);

    fprintf(out, "LACUNA-VIEW %d BEGIN\n", number);
    print_processes(out);
    print_modules(out);
    fprintf(out, "LACUNA-VIEW %d END\n", number);
    fclose(out);
    fwrite(text, 1, size, stdout);
    free(text);
}

static void print_kernel(void)
{
    struct utsname name;

    if (uname(&name))
        die("uname");
    printf("LACUNA-GUEST KERNEL %s\n", name.release);
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
}

/* Ends this kernel and starts the next, if that is to happen now. */
static void kexec(int now)
{
    const char *when = getenv("LACUNA_KEXEC");
    char line[2048];
    int kernel, initrd;

    if (!when || atoi(when) != now)
        return;
    next_command_line(line, sizeof(line));
    kernel = open("/next/kernel", O_RDONLY | O_CLOEXEC);
    initrd = open("/next/initrd", O_RDONLY | O_CLOEXEC);
    if (kernel < 0 || initrd < 0 || syscall(SYS_kexec_file_load, kernel, initrd, strlen(line) + 1, line, 0UL))
        die("kexec_file_load");
    syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, NULL);
    die("starting the next kernel");
}
#else
static void kexec(int now)
{
    (void)now;
}
#endif

static void reboot_after(int now)
{
    const char *when = getenv("LACUNA_REBOOT");

    if (when && atoi(when) == now)
        syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_RESTART, NULL);
}

static void set_up(void)
{
    mkdir("/proc", 0755);
    mkdir("/sys", 0755);
    if (mount("proc", "/proc", "proc", 0, NULL) || mount("sysfs", "/sys", "sysfs", 0, NULL) ||
        mount("devtmpfs", "/dev", "devtmpfs", 0, NULL))
        die("mounting proc, sysfs and devtmpfs");
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 1 && !strcmp(argv[1], "child"))
        return 0;
    if (argc > 1 && !strcmp(argv[1], "stay"))
        for (;;)
            pause();
    set_up();
    puts("LACUNA-GUEST INIT");
    print_kernel();
    kexec(0);
    stir_processes(5);
    if (getenv("LACUNA_HYPERCALL"))
        waitpid(start("/worker", "vmmcall", "vmmcall"), NULL, 0);
    leave_processes();
    load_modules();
    stir_processes(4);
    print_text_range();
    klogctl(CONSOLE_LEVEL, NULL, 1); /* only emergencies may come between the views */
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
