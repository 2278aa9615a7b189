// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The service of a guest system that tells about it as the lab's own init does: on the serial port that is its argument,
 * since the console is the system's. Started when the system is up; it never starts a process.
 */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "view.h"

int main(int argc, char **argv)
{
    int port = argc == 2 ? open(argv[1], O_WRONLY | O_NOCTTY | O_CLOEXEC) : -1;

    if (port < 0 || dup2(port, STDOUT_FILENO) < 0)
        return 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    print_start();
    print_text_range();
    puts("LACUNA-GUEST READY");
    print_views();
}
