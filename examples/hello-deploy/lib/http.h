#ifndef HTTP_H
#define HTTP_H

/* Answers GET requests on 127.0.0.1:port for ever, with "<greeting>, <name>!" and the release. Returns -1 if it
 * cannot begin; `ready` is called once it can. */
int http_serve(int port, const char *greeting, const char *release, void (*ready)(void));

/* Asks 127.0.0.1:port for `path` and writes the body to standard output. Returns 0 if the answer was 200. */
int http_get(int port, const char *path);

#endif
