// SPDX-License-Identifier: GPL-2.0-or-later
#include "view.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#define PF_KTHREAD 0x00200000 /* include/linux/sched.h; the same in every kernel since 2.6.27 */

void die(const char *what)
{
    printf("LACUNA-GUEST FAILED %s: %s\n", what, strerror(errno));
    for (;;)
        pause();
}

long read_file(const char *path, char *buffer, size_t size)
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

void mount_proc(void)
{
    mkdir("/proc", 0755);
    if (mount("proc", "/proc", "proc", 0, NULL))
        die("mounting proc");
}

void print_start(void)
{
    struct utsname name;

    if (uname(&name))
        die("uname");
    puts("LACUNA-GUEST INIT");
    printf("LACUNA-GUEST KERNEL %s\n", name.release);
    if (access("/proc/modules", F_OK) && !access("/proc/stat", F_OK))
        puts("LACUNA-GUEST NO-MODULES");
}

void print_text_range(void)
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

/* The process's threads but for its leader. */
static void print_threads(FILE *out, const char *pid)
{
    char path[64], comm[64];
    struct dirent *entry;
    DIR *tasks;

    snprintf(path, sizeof(path), "/proc/%.20s/task", pid);
    tasks = opendir(path);
    while (tasks && (entry = readdir(tasks))) {
        snprintf(path, sizeof(path), "/proc/%.20s/task/%.20s/stat", pid, entry->d_name);
        if (!isdigit((unsigned char)entry->d_name[0]) || !strcmp(entry->d_name, pid) || read_file(path, comm, sizeof(comm)) <= 0)
            continue;
        comm[strcspn(comm, ")")] = 0;
        fprintf(out, "T %s %s\n", entry->d_name, comm + strcspn(comm, "(") + 1);
    }
    if (tasks)
        closedir(tasks);
}

/*
 * A process is the kernel's where it has no memory of its own: older kernels do not flag their threads, and a zombie has none
 * either.
 */
static void print_process(FILE *out, const char *pid)
{
    char path[64], stat[1024], *open_bracket, *close_bracket;
    unsigned long flags, size, start_code, end_code;
    int is_kernel;

    snprintf(path, sizeof(path), "/proc/%s/stat", pid);
    if (read_file(path, stat, sizeof(stat)) <= 0)
        return;
    open_bracket = strchr(stat, '(');
    close_bracket = strrchr(stat, ')');
    if (!open_bracket || !close_bracket ||
        sscanf(close_bracket + 1,
               " %*c %*d %*d %*d %*d %*d %lu %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %*u %lu %*d %*u %lu %lu",
               &flags, &size, &start_code, &end_code) != 4)
        die("parsing /proc/<pid>/stat");
    *close_bracket = 0;
    is_kernel = (flags & PF_KTHREAD) || size == 0;
    fprintf(out, "P %s %s %s\n", pid, is_kernel ? "kernel" : "user", open_bracket + 1);
    if (!is_kernel && getenv("LACUNA_CODE")) {
        fprintf(out, "C %s %lx %lx\n", pid, start_code, end_code);
        print_threads(out, pid);
    }
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
void print_view(int number)
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

void print_views(void)
{
    for (int number = 1;; number++) {
        print_view(number);
        sleep(2);
    }
}
