/* Stands before the C library's clock_gettime: the time since boot, which the core's ticks are counted by, runs
 * $CLOCK_RATE thousandths as fast, and the time of day is $CLOCK_OFFSET seconds off. The file $CLOCK_MARK exists once the
 * first was asked for. The time that waits are reckoned in stays, since the system wouldn't know of another one.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static long setting(const char *name, long otherwise) {
    const char *text = getenv(name);
    return text ? atol(text) : otherwise;
}

static void mark(void) {
    static int done;
    const char *name = getenv("CLOCK_MARK");
    if (done || !name) return;
    done = 1;
    int file = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (file >= 0) close(file);
}

int clock_gettime(clockid_t id, struct timespec *time) {
    if (syscall(SYS_clock_gettime, id, time) != 0) return -1;
    if (id == CLOCK_BOOTTIME) {
        mark();
        long micros = time->tv_sec * 1000000 + time->tv_nsec / 1000;
        long nanos = micros * setting("CLOCK_RATE", 1000);
        time->tv_sec = nanos / 1000000000;
        time->tv_nsec = nanos % 1000000000;
    }
    if (id == CLOCK_REALTIME) time->tv_sec += setting("CLOCK_OFFSET", 0);
    return 0;
}
