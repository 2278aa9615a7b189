// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A program of a lab guest that has things open: files in several mounts, pipes, sockets of all kinds, some connected with
 * each other; and code where no program has any. First argument: the directory to be in; second: the name to go by; third: the
 * first of its ports. What a kernel does not have it goes without.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static void start_loopback(void)
{
    struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    if (fd < 0)
        return;
    ioctl(fd, SIOCSIFFLAGS, &request);
    close(fd);
}

static int bound4(int type, const char *address, int port)
{
    struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };
    int fd = socket(AF_INET, type, 0);

    inet_pton(AF_INET, address, &name.sin_addr);
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name)))
        return -1;
    return fd;
}

static int bound6(int type, const char *address, int port)
{
    struct sockaddr_in6 name = { .sin6_family = AF_INET6, .sin6_port = htons((unsigned short)port) };
    int fd = socket(AF_INET6, type, 0);

    inet_pton(AF_INET6, address, &name.sin6_addr);
    if (fd < 0 || bind(fd, (struct sockaddr *)&name, sizeof(name)))
        return -1;
    return fd;
}

/* From one address to another, and taken there by whoever listens. */
static void connect4(int listener, const char *from, const char *to, int own, int port)
{
    struct sockaddr_in name = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };
    int fd = bound4(SOCK_STREAM, from, own);

    inet_pton(AF_INET, to, &name.sin_addr);
    if (listener < 0 || fd < 0 || connect(fd, (struct sockaddr *)&name, sizeof(name)) || accept(listener, NULL, NULL) < 0)
        perror("connecting");
}

static void connect_unix(const char *path)
{
    struct sockaddr_un name = { .sun_family = AF_UNIX };
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), client = socket(AF_UNIX, SOCK_STREAM, 0), pair[2];
    int datagrams = socket(AF_UNIX, SOCK_DGRAM, 0), sender = socket(AF_UNIX, SOCK_DGRAM, 0);

    snprintf(name.sun_path, sizeof(name.sun_path), "%s.stream", path);
    if (bind(listener, (struct sockaddr *)&name, sizeof(name)) || listen(listener, 5) ||
        connect(client, (struct sockaddr *)&name, sizeof(name)) || accept(listener, NULL, NULL) < 0)
        perror("Unix streams");
    snprintf(name.sun_path, sizeof(name.sun_path), "%s.datagrams", path);
    if (bind(datagrams, (struct sockaddr *)&name, sizeof(name)) || connect(sender, (struct sockaddr *)&name, sizeof(name)))
        perror("Unix datagrams");
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
        perror("a pair of sockets");
}

static void open_sockets(const char *name, int port)
{
    char path[64];
    int listener = bound4(SOCK_STREAM, "127.0.0.3", port), both = bound6(SOCK_STREAM, "::", port + 1), alone;

    if (listener < 0 || listen(listener, 5))
        perror("listening");
    connect4(listener, "127.0.0.2", "127.0.0.3", port + 10, port);
    connect4(listener, "127.0.0.4", "127.0.0.3", port + 11, port);
    if (both >= 0 && !listen(both, 5)) {
        connect4(both, "127.0.0.5", "127.0.0.6", port + 12, port + 1);
        connect4(both, "127.0.0.7", "127.0.0.8", port + 13, port + 1);
    }
    alone = bound6(SOCK_STREAM, "::1", port + 2);
    if (alone >= 0)
        listen(alone, 5);
    bound4(SOCK_DGRAM, "127.0.0.9", port + 3);
    bound4(SOCK_DGRAM, "0.0.0.0", port + 4);
    bound6(SOCK_DGRAM, "::1", port + 5);
    socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    snprintf(path, sizeof(path), "/open/%s", name);
    connect_unix(path);
}

static void open_files(const char *name)
{
    static const char *const places[] = { "/init", "/worker", "/open", "/open/within", "/proc", "/proc/version", "/proc/cmdline", "/proc/stat",
                                          "/proc/uptime", "/proc/meminfo", "/sys", "/sys/kernel", "/sys/module", "/sys/devices", "/sys/fs" };
    char path[64];
    int pipes[2];

    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        if (open(places[i], O_RDONLY) < 0)
            perror(places[i]);
    snprintf(path, sizeof(path), "/open/within/%s", name);
    if (open(path, O_CREAT | O_RDWR, 0644) < 0 || pipe(pipes))
        perror(path);
}

/* More areas than a node of the kernel's trees holds: neighbours with other rights are not joined. */
static void map_areas(void)
{
    for (int i = 0; i < 24; i++)
        mmap(NULL, 8192, i % 2 ? PROT_READ : PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

/* As something that was injected has it: in memory that is written and executed, and of no file. */
static void write_code(void)
{
    static const unsigned char code[] = { 0x90, 0x90, 0xc3 }; /* nop; nop; ret */
    void *area = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (area == MAP_FAILED) {
        perror("memory for code");
        return;
    }
    memcpy(area, code, sizeof(code));
    ((void (*)(void))area)();
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    prctl(PR_SET_NAME, argv[2]);
    if (chdir(argv[1]))
        perror(argv[1]);
    start_loopback();
    map_areas();
    write_code();
    open_files(argv[2]);
    open_sockets(argv[2], atoi(argv[3]));
    puts("LACUNA-GUEST OPEN");
    for (;;)
        pause();
}
