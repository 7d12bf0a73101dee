#include "greet.h"

#include <stdio.h>
#include <string.h>

int greet(char *into, size_t size, const char *greeting, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash && slash[1] ? slash + 1 : "world";
    int length = snprintf(into, size, "%s, %s!", greeting, name);
    return length < 0 || (size_t)length >= size ? -1 : 0;
}
