#include "../lib/greet.h"

#include <stdio.h>
#include <string.h>

static int failed;

static void check(const char *path, const char *expected)
{
    char line[64];
    if (greet(line, sizeof line, "Hello", path) != 0 || strcmp(line, expected) != 0) {
        fprintf(stderr, "greet(\"%s\") gave \"%s\", not \"%s\"\n", path, line, expected);
        failed = 1;
    }
}

int main(void)
{
    char small[8];
    check("/", "Hello, world!");
    check("/ada", "Hello, ada!");
    check("/people/grace", "Hello, grace!");
    if (greet(small, sizeof small, "Hello", "/somebody") != -1) {
        fprintf(stderr, "greet wrote past its buffer's end without saying so\n");
        failed = 1;
    }
    if (!failed)
        puts("4 checks passed");
    return failed;
}
