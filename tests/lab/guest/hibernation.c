// SPDX-License-Identifier: GPL-2.0-or-later
/* Hibernation to the disk of a lab guest, and coming back from there (Documentation/power/swsusp.rst). */
#include "hibernation.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "view.h"

#define DISK "/disk"
#define PAGE 4096
#define SWAP_BYTES (1 << 29)

static int write_to(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int failed = fd < 0 || write(fd, text, strlen(text)) < 0;

    if (fd >= 0)
        close(fd);
    return failed;
}

/* The first page of a swap area: union swap_header of <linux/swap.h>. */
static void make_swap(void)
{
    static union {
        char page[PAGE];
        struct {
            char boot[1024];
            uint32_t version, last_page, bad_pages;
        } info;
    } header;
    int disk = open(DISK, O_WRONLY | O_CLOEXEC);

    header.info.version = 1;
    header.info.last_page = SWAP_BYTES / PAGE - 1;
    memcpy(header.page + PAGE - 10, "SWAPSPACE2", 10);
    if (disk < 0 || pwrite(disk, &header, PAGE, 0) != PAGE || fsync(disk))
        die("writing to the disk");
    close(disk);
}

void hibernate(void)
{
    unsigned major, minor;
    char number[32];

    mkdir("/sys", 0755);
    if (mount("sysfs", "/sys", "sysfs", 0, NULL) || read_file("/sys/block/vda/dev", number, sizeof(number)) <= 0 ||
        sscanf(number, "%u:%u", &major, &minor) != 2 || mknod(DISK, S_IFBLK | 0600, makedev(major, minor)))
        die("finding the disk");
    /* who hibernated goes on below, in "disk"; the others come back from here */
    if (write_to("/sys/power/resume", number))
        die("looking for what is to be resumed");
    make_swap();
    if (swapon(DISK, 0) || write_to("/sys/power/disk", "shutdown"))
        die("preparing to hibernate");
    puts("LACUNA-GUEST HIBERNATES");
    if (write_to("/sys/power/state", "disk"))
        die("hibernating");
    puts("LACUNA-GUEST RESUMED");
}
