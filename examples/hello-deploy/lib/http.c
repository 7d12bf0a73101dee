#define _POSIX_C_SOURCE 200809L

#include "http.h"

#include "greet.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static struct sockaddr_in loopback(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static void send_all(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        bytes += sent;
        length -= (size_t)sent;
    }
}

static void answer(int fd, const char *greeting, const char *release)
{
    char request[2048], path[1024] = "/", line[512], body[768], head[256];
    ssize_t length = recv(fd, request, sizeof request - 1, 0);
    if (length <= 0)
        return;
    request[length] = 0;
    int ok = sscanf(request, "GET %1023s", path) == 1 && greet(line, sizeof line, greeting, path) == 0;
    int size = ok ? snprintf(body, sizeof body, "%s\nrelease %s\n", line, release) : snprintf(body, sizeof body, "no\n");
    int head_size = snprintf(head, sizeof head, "HTTP/1.0 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n",
                             ok ? "200 OK" : "400 Bad Request", size);
    send_all(fd, head, (size_t)head_size);
    send_all(fd, body, (size_t)size);
}

int http_serve(int port, const char *greeting, const char *release, void (*ready)(void))
{
    int listener = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    struct sockaddr_in address = loopback(port);
    if (listener < 0)
        return -1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 16) < 0)
        return -1;
    ready();
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client < 0)
            continue;
        answer(client, greeting, release);
        close(client);
    }
}

int http_get(int port, const char *path)
{
    char text[4096];
    size_t length = 0;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = loopback(port);
    struct timeval limit = {.tv_sec = 5};
    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        close(fd);
        return -1;
    }
    int size = snprintf(text, sizeof text, "GET %s HTTP/1.0\r\n\r\n", path);
    send_all(fd, text, (size_t)size);
    for (ssize_t got; length < sizeof text - 1 && (got = recv(fd, text + length, sizeof text - 1 - length, 0)) > 0;)
        length += (size_t)got;
    close(fd);
    text[length] = 0;
    char *body = strstr(text, "\r\n\r\n");
    if (!body || strncmp(text, "HTTP/1.0 200", 12) != 0)
        return -1;
    fputs(body + 4, stdout);
    return 0;
}
