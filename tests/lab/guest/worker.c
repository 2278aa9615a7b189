// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The other program of a lab guest, linked as a position-independent executable so that its code lies
 * elsewhere each time. First argument: what to do; second: the name to go by.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static void fork_and_wait(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    if (pid > 0)
        waitpid(pid, NULL, 0);
}

/* A thread that is not its process's leader: its pid is not its tgid when it forks. */
static void *forking_thread(void *unused)
{
    prctl(PR_SET_NAME, "forking-thread");
    fork_and_wait();
    fork_and_wait();
    return unused;
}

static void *staying_thread(void *unused)
{
    for (;;)
        pause();
    return unused;
}

static void run_threads(void)
{
    pthread_t threads[2];

    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, forking_thread, NULL))
            exit(1);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

static void report_fault(int number)
{
    char text[] = "LACUNA-HYPERCALL user signal 00\n";

    text[sizeof(text) - 4] = (char)('0' + number / 10);
    text[sizeof(text) - 3] = (char)('0' + number % 10);
    if (write(1, text, sizeof(text) - 1) < 0)
        _exit(1);
    _exit(0);
}

/* The trap instruction from user space: whatever the answer, nothing may come to harm. */
static void try_vmmcall(void)
{
    long result = 9; /* an arbitrary hypercall number (KVM_HC_CLOCK_PAIRING) */

    signal(SIGSEGV, report_fault);
    signal(SIGILL, report_fault);
    __asm__ volatile("vmmcall" : "+a"(result) : "b"(0), "c"(0) : "memory");
    printf("LACUNA-HYPERCALL user result %ld\n", result);
}

int main(int argc, char **argv)
{
    const char *mode = argc > 1 ? argv[1] : "";

    if (argc > 2)
        prctl(PR_SET_NAME, argv[2]);
    if (!strcmp(mode, "family")) {
        fork_and_wait();
        fork_and_wait();
    } else if (!strcmp(mode, "threads")) {
        run_threads();
    } else if (!strcmp(mode, "vmmcall")) {
        try_vmmcall();
    } else if (!strcmp(mode, "stay-threads")) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, staying_thread, NULL))
            return 1;
        staying_thread(NULL);
    } else if (!strcmp(mode, "stay")) {
        staying_thread(NULL);
    } else {
        return 2;
    }
    return 0;
}
