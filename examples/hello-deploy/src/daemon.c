#define _POSIX_C_SOURCE 200809L

#include "daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

static int tell = -1;

/* The background process holds a lock on its pid file for as long as it lives: the kernel frees it at its end, so a file
 * left by a crash, or a number that now is somebody else's, is never mistaken for it. */
static struct flock whole_file(short type)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};
    return lock;
}

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
    struct flock lock = whole_file(F_WRLCK);
    int null = open("/dev/null", O_RDONLY), log = open(log_file, O_WRONLY | O_CREAT | O_APPEND, 0644);
    int pid = open(pid_file, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (null < 0 || log < 0 || pid < 0 || fcntl(pid, F_SETLK, &lock) < 0)
        return -1;
    dup2(null, 0);
    dup2(log, 1);
    dup2(log, 2);
    return ftruncate(pid, 0) < 0 || dprintf(pid, "%ld\n", (long)getpid()) < 0 ? -1 : 0;
}

void daemon_ready(void)
{
    if (tell >= 0 && write(tell, "r", 1) == 1)
        close(tell);
}

int daemon_stop(const char *pid_file)
{
    struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
    int file = open(pid_file, O_RDWR | O_CLOEXEC);
    if (file < 0)
        return 0;
    for (int tries = 0;; tries++) {
        struct flock lock = whole_file(F_WRLCK);
        if (fcntl(file, F_GETLK, &lock) < 0)
            return -1;
        if (lock.l_type == F_UNLCK)
            return unlink(pid_file);
        if (tries == 0 || tries == 300)
            kill(lock.l_pid, tries == 0 ? SIGTERM : SIGKILL);
        nanosleep(&pause, NULL);
    }
}
