/* Stands before the C library's fdatasync and fsync and does as the file $SYNC_CONTROL says, read anew at each call:
 *   ok    as usual (also if there is no such file)
 *   hang  does not return until the file says something else; $SYNC_CONTROL.hangs exists meanwhile
 *   slow  as usual, 20 ms later
 *   fail  EIO, and nothing is synced
 *   lie   success, and nothing is synced
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef int (*sync_call)(int);

static char order(const char *control) {
    char first = 'o';
    int file = open(control, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        if (read(file, &first, 1) != 1) first = 'o';
        close(file);
    }
    return first;
}

static void note(const char *control) {
    char name[4096];
    snprintf(name, sizeof name, "%s.hangs", control);
    int file = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (file >= 0) close(file);
}

static int gate(const char *name, int file) {
    const char *control = getenv("SYNC_CONTROL");
    char now = control ? order(control) : 'o';
    while (now == 'h') {
        /* Again and again: who orders it anew, between two looks, has removed the mark. */
        note(control);
        usleep(1000);
        now = order(control);
    }
    if (now == 'f') {
        errno = EIO;
        return -1;
    }
    if (now == 'l') return 0;
    if (now == 's') usleep(20000);
    return ((sync_call)dlsym(RTLD_NEXT, name))(file);
}

int fdatasync(int file) { return gate("fdatasync", file); }
int fsync(int file) { return gate("fsync", file); }
