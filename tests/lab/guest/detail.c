// SPDX-License-Identifier: GPL-2.0-or-later
/* All that a lab guest tells of processes, files, memory, sockets and mounts, as /proc has it; the protocol is in view.h. */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "view.h"

/* A file of texts that end with zeros. */
static void print_texts(FILE *out, const char *path)
{
    static char buffer[4096];
    long length = read_file(path, buffer, sizeof(buffer));

    for (long i = 0; i < length; i++)
        buffer[i] = buffer[i] ? (buffer[i] == ' ' ? '_' : buffer[i]) : '|';
    fprintf(out, " %s", length > 0 ? buffer : "-");
}

static void print_process_detail(FILE *out, const char *pid)
{
    char path[64], stat[1024], status[4096], *end, *uid;
    unsigned long long start;
    int parent;
    long threads;

    snprintf(path, sizeof(path), "/proc/%.20s/stat", pid);
    if (read_file(path, stat, sizeof(stat)) <= 0)
        return;
    snprintf(path, sizeof(path), "/proc/%.20s/status", pid);
    if (read_file(path, status, sizeof(status)) <= 0)
        return;
    end = strrchr(stat, ')');
    uid = strstr(status, "\nUid:");
    if (!end || !uid ||
        sscanf(end + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld %*d %llu", &parent, &threads,
               &start) != 3)
        die("parsing /proc/<pid>/stat");
    fprintf(out, "process %s %d %d %ld %llu", pid, parent, atoi(uid + 5), threads, start);
    snprintf(path, sizeof(path), "/proc/%.20s/cmdline", pid);
    print_texts(out, path);
    snprintf(path, sizeof(path), "/proc/%.20s/environ", pid);
    print_texts(out, path);
    fputc('\n', out);
}

static int print_link(FILE *out, const char *pid, const char *name, const char *shown)
{
    char path[96], link[512];
    ssize_t length;

    snprintf(path, sizeof(path), "/proc/%.20s/%.40s", pid, name);
    length = readlink(path, link, sizeof(link) - 1);
    if (length < 0)
        return 0;
    link[length] = 0;
    fprintf(out, "file %s %s %s\n", pid, shown, link);
    return 1;
}

/* Of a kernel thread there are none. */
static void print_files(FILE *out, const char *pid)
{
    char path[64], name[40];
    struct dirent *entry;
    DIR *files;

    if (!print_link(out, pid, "exe", "exe"))
        return;
    print_link(out, pid, "cwd", "cwd");
    print_link(out, pid, "root", "root");
    snprintf(path, sizeof(path), "/proc/%.20s/fd", pid);
    files = opendir(path);
    while (files && (entry = readdir(files))) {
        snprintf(name, sizeof(name), "fd/%.20s", entry->d_name);
        if (isdigit((unsigned char)entry->d_name[0]))
            print_link(out, pid, name, entry->d_name);
    }
    if (files)
        closedir(files);
}

static void print_areas(FILE *out, const char *pid)
{
    char line[512], what[256], rights[8];
    unsigned long start, last;
    FILE *maps;

    snprintf(line, sizeof(line), "/proc/%.20s/maps", pid);
    maps = fopen(line, "re");
    while (maps && fgets(line, sizeof(line), maps)) {
        int count = sscanf(line, "%lx-%lx %7s %*s %*s %*s %255s", &start, &last, rights, what);

        if (count >= 3)
            fprintf(out, "area %s %lx %lx %s %s\n", pid, start, last, rights, count == 4 ? what : "-");
    }
    if (maps)
        fclose(maps);
}

static void print_lines(FILE *out, const char *path, const char *word, const char *name)
{
    char line[512];
    FILE *file = fopen(path, "re");

    if (file && !fgets(line, sizeof(line), file)) /* what the columns are called */
        line[0] = 0;
    while (file && fgets(line, sizeof(line), file))
        fprintf(out, "%s %s %s", word, name, line);
    if (file)
        fclose(file);
}

static void print_mounts_and_modules(FILE *out)
{
    char line[512], what[256], kind[64];
    FILE *file = fopen("/proc/self/mountinfo", "re");

    while (file && fgets(line, sizeof(line), file))
        fprintf(out, "mountinfo %s", line);
    if (file)
        fclose(file);
    file = fopen("/proc/modules", "re");
    while (file && fgets(line, sizeof(line), file)) {
        char taints[32] = "()"; /* nothing stands there if there is none */
        unsigned long size;

        if (sscanf(line, "%255s %lu %*s %*s %63s %*s %31s", what, &size, kind, taints) >= 3)
            fprintf(out, "module %s %lu %s %s\n", what, size, kind, taints);
    }
    if (file)
        fclose(file);
}

void print_detail(void)
{
    static const char *const nets[] = { "tcp", "tcp6", "udp", "udp6", "unix" };
    char *text = NULL;
    char path[32];
    size_t size = 0;
    struct dirent *entry;
    FILE *out = open_memstream(&text, &size);
    DIR *proc = opendir("/proc");

    sleep(2); /* until all that was started has opened what it opens */
    fputs("LACUNA-DETAIL BEGIN\n", out);
    while (proc && (entry = readdir(proc))) {
        if (!isdigit((unsigned char)entry->d_name[0]))
            continue;
        print_process_detail(out, entry->d_name);
        print_files(out, entry->d_name);
        print_areas(out, entry->d_name);
    }
    if (proc)
        closedir(proc);
    for (int i = 0; i < 5; i++) {
        snprintf(path, sizeof(path), "/proc/net/%s", nets[i]);
        print_lines(out, path, "socket", nets[i]);
    }
    print_mounts_and_modules(out);
    fputs("LACUNA-DETAIL END\n", out);
    fclose(out);
    fwrite(text, 1, size, stdout);
    free(text);
}
