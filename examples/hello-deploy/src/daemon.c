#define _POSIX_C_SOURCE 200809L

#include "daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static int tell = -1;

int daemon_begin(const char *pid_file, const char *log_file)
{
    int ends[2];
    char word;
    if (pipe(ends) < 0)
        return -1;
    pid_t child = fork();
    if (child < 0)
        return -1;
    if (child > 0) {
        close(ends[1]);
        _exit(read(ends[0], &word, 1) == 1 ? 0 : 1);
    }
    close(ends[0]);
    tell = ends[1];
    setsid();
    int null = open("/dev/null", O_RDONLY), log = open(log_file, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (null < 0 || log < 0)
        return -1;
    dup2(null, 0);
    dup2(log, 1);
    dup2(log, 2);
    FILE *file = fopen(pid_file, "w");
    if (!file)
        return -1;
    fprintf(file, "%ld\n", (long)getpid());
    return fclose(file);
}

void daemon_ready(void)
{
    if (tell >= 0 && write(tell, "r", 1) == 1)
        close(tell);
}

int daemon_stop(const char *pid_file)
{
    long pid = 0;
    FILE *file = fopen(pid_file, "r");
    if (!file)
        return 0;
    int found = fscanf(file, "%ld", &pid);
    fclose(file);
    if (found == 1 && pid > 1 && kill((pid_t)pid, SIGTERM) == 0) {
        struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
        for (int tries = 0; kill((pid_t)pid, 0) == 0 || errno != ESRCH; tries++) {
            if (tries == 300)
                kill((pid_t)pid, SIGKILL);
            nanosleep(&pause, NULL);
        }
    }
    return unlink(pid_file);
}
