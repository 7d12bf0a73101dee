#ifndef GREET_H
#define GREET_H

#include <stddef.h>

/* Writes "<greeting>, <name>!" into `into` (always ended by a 0 byte); the name is what follows the last '/' of
 * `path`, "world" without one. Returns 0, or -1 if it did not fit. */
int greet(char *into, size_t size, const char *greeting, const char *path);

#endif
