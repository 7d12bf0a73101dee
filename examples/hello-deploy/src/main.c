/* hello: a small server that greets, and its own client.
 *
 *   hello serve PORT GREETING RELEASE PID-FILE LOG-FILE   in the background; returns when it answers
 *   hello stop PID-FILE                                   ends it and waits until it is gone
 *   hello get PORT PATH                                   asks it
 */
#include "daemon.h"

#include "../lib/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
    if (argc == 7 && strcmp(argv[1], "serve") == 0) {
        if (daemon_begin(argv[5], argv[6]) == 0)
            http_serve(atoi(argv[2]), argv[3], argv[4], daemon_ready);
        perror("hello: serve");
        return 1;
    }
    if (argc == 3 && strcmp(argv[1], "stop") == 0)
        return daemon_stop(argv[2]) == 0 ? 0 : 1;
    if (argc == 4 && strcmp(argv[1], "get") == 0) {
        if (http_get(atoi(argv[2]), argv[3]) == 0)
            return 0;
        fprintf(stderr, "hello: nothing good answers on port %s\n", argv[2]);
        return 1;
    }
    fprintf(stderr, "usage: hello serve PORT GREETING RELEASE PID-FILE LOG-FILE | stop PID-FILE | get PORT PATH\n");
    return 2;
}
