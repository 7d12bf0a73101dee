#ifndef DAEMON_H
#define DAEMON_H

/* Goes on in the background, in a session of its own, with its number in `pid_file`. The foreground process ends with
 * status 0 when `daemon_ready` is called, with 1 if the background process ends before that. */
int daemon_begin(const char *pid_file, const char *log_file);
void daemon_ready(void);

/* Ends the process whose number stands in `pid_file` and waits until it is gone. No such process is fine. */
int daemon_stop(const char *pid_file);

#endif
