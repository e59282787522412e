/* Stands before the C library's calls on files. What succeeds below the directory $RAFT_KIT_RECORDED is put down in the
 * file $RAFT_KIT_TRACE, in the order in which it happened: one call at a time. What the kit can't follow is put down as
 * that. A record is six numbers of 8 bytes, then two paths, then data:
 *   kind, file, at, length of the first path, of the second path, of the data
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CREATE = 1, OPEN, MAKE_DIRECTORY, WRITE, SET_LENGTH, SYNC, RENAME, DELETE, UNKNOWN };

static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define ALONE pthread_mutex_lock(&one_at_a_time)
#define DONE pthread_mutex_unlock(&one_at_a_time)

/* The path below the recorded directory; NULL if it is elsewhere. */
static const char *below(const char *path) {
    const char *root = getenv("RAFT_KIT_RECORDED");
    if (!root || !path) return NULL;
    size_t length = strlen(root);
    if (strncmp(path, root, length) != 0) return NULL;
    if (path[length] == '/') return path + length + 1;
    return path[length] == 0 ? "" : NULL;
}

/* .. of what is open there, wherever the name went since. */
static const char *opened(int file, char name[PATH_MAX]) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, name, PATH_MAX - 1);
    if (length < 0) return NULL;
    name[length] = 0;
    return below(name);
}

static int recorded(int file) {
    char name[PATH_MAX];
    return opened(file, name) != NULL;
}

static uint64_t number(int file) {
    struct stat about;
    return fstat(file, &about) == 0 ? about.st_ino : 0;
}

static void put(uint64_t kind, uint64_t file, uint64_t at, const char *path, const char *other, const void *data,
                size_t length) {
    static int trace = -1;
    if (trace < 0) {
        const char *name = getenv("RAFT_KIT_TRACE");
        trace = syscall(SYS_openat, AT_FDCWD, name ? name : "", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    }
    uint64_t head[6] = {kind, file, at, strlen(path), strlen(other), length};
    struct iovec parts[4] = {
        {head, sizeof head}, {(void *)path, head[3]}, {(void *)other, head[4]}, {(void *)data, length}};
    ssize_t whole = sizeof head + head[3] + head[4] + length;
    /* Half a record would be a false one. */
    if (syscall(SYS_writev, trace, parts, 4) != whole) abort();
}

static void unknown(const char *what) { put(UNKNOWN, 0, 0, what, "", "", 0); }

static void note_open(int result, int flags, const char *path, int was_there) {
    if (result < 0) return;
    if ((flags & O_TMPFILE) == O_TMPFILE) return unknown("a file without a name");
    if (flags & (O_SYNC | O_DSYNC)) return unknown("a file that syncs by itself");
    put(was_there ? OPEN : CREATE, number(result), 0, path, "", "", 0);
    if (was_there && (flags & O_TRUNC)) put(SET_LENGTH, number(result), 0, "", "", "", 0);
}

#define OPENING(name, real)                                                                                            \
    int name(const char *path, int flags, ...) {                                                                       \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, int) : 0;                                              \
        va_end(more);                                                                                                  \
        const char *ours = below(path);                                                                                \
        if (!ours) return NEXT(real)(path, flags, mode);                                                               \
        ALONE;                                                                                                         \
        int was_there = access(path, F_OK) == 0;                                                                       \
        int result = NEXT(real)(path, flags, mode);                                                                    \
        note_open(result, flags, ours, was_there);                                                                     \
        DONE;                                                                                                          \
        return result;                                                                                                 \
    }
OPENING(open, open)
OPENING(open64, open64)

#define OPENING_AT(name, real)                                                                                         \
    int name(int at, const char *path, int flags, ...) {                                                               \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, int) : 0;                                              \
        va_end(more);                                                                                                  \
        const char *ours = below(path);                                                                                \
        ALONE;                                                                                                         \
        int was_there = ours && access(path, F_OK) == 0;                                                               \
        int result = NEXT(real)(at, path, flags, mode);                                                                \
        if (ours) note_open(result, flags, ours, was_there);                                                           \
        else if (at != AT_FDCWD && recorded(at)) unknown("openat");                                                    \
        DONE;                                                                                                          \
        return result;                                                                                                 \
    }
OPENING_AT(openat, openat)
OPENING_AT(openat64, openat64)

static void note_write(int file, off_t at, const struct iovec *parts, int count, ssize_t written) {
    for (int part = 0; part < count && written > 0; part++) {
        size_t length = parts[part].iov_len < (size_t)written ? parts[part].iov_len : (size_t)written;
        if (length) put(WRITE, number(file), at, "", "", parts[part].iov_base, length);
        at += length;
        written -= length;
    }
}

/* At the file's own place, which moves. */
#define WRITING(call, parts, count)                                                                                    \
    if (!recorded(file)) return call;                                                                                  \
    ALONE;                                                                                                             \
    ssize_t result = call;                                                                                             \
    if (result > 0) note_write(file, lseek(file, 0, SEEK_CUR) - result, parts, count, result);                         \
    DONE;                                                                                                              \
    return result;

ssize_t write(int file, const void *data, size_t length) {
    struct iovec one = {(void *)data, length};
    WRITING(syscall(SYS_write, file, data, length), &one, 1)
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    WRITING(syscall(SYS_writev, file, parts, count), parts, count)
}

#define WRITING_AT(name, real)                                                                                         \
    ssize_t name(int file, const void *data, size_t length, off_t at) {                                                \
        if (!recorded(file)) return NEXT(real)(file, data, length, at);                                                \
        ALONE;                                                                                                         \
        ssize_t result = NEXT(real)(file, data, length, at);                                                           \
        struct iovec one = {(void *)data, length};                                                                     \
        note_write(file, at, &one, 1, result);                                                                         \
        DONE;                                                                                                          \
        return result;                                                                                                 \
    }
WRITING_AT(pwrite, pwrite)
WRITING_AT(pwrite64, pwrite64)

/* Of a call on an open file that takes no more than a few numbers. */
#define ON_FILE(name, parameters, arguments, note)                                                                     \
    int name parameters {                                                                                              \
        if (!recorded(file)) return NEXT(name) arguments;                                                              \
        ALONE;                                                                                                         \
        int result = NEXT(name) arguments;                                                                             \
        if (result == 0) note;                                                                                         \
        DONE;                                                                                                          \
        return result;                                                                                                 \
    }
ON_FILE(fsync, (int file), (file), put(SYNC, number(file), 0, "", "", "", 0))
ON_FILE(fdatasync, (int file), (file), put(SYNC, number(file), 0, "", "", "", 0))
ON_FILE(ftruncate, (int file, off_t length), (file, length), put(SET_LENGTH, number(file), length, "", "", "", 0))
ON_FILE(ftruncate64, (int file, off64_t length), (file, length), put(SET_LENGTH, number(file), length, "", "", "", 0))
ON_FILE(fallocate, (int file, int mode, off_t at, off_t length), (file, mode, at, length), unknown("fallocate"))
ON_FILE(fallocate64, (int file, int mode, off64_t at, off64_t length), (file, mode, at, length), unknown("fallocate"))
ON_FILE(posix_fallocate, (int file, off_t at, off_t length), (file, at, length), unknown("posix_fallocate"))
ON_FILE(posix_fallocate64, (int file, off64_t at, off64_t length), (file, at, length), unknown("posix_fallocate"))

/* .. and on paths. */
#define ON_PATH(name, parameters, arguments, path, note)                                                               \
    int name parameters {                                                                                              \
        const char *ours = below(path);                                                                                \
        if (!ours) return NEXT(name) arguments;                                                                        \
        ALONE;                                                                                                         \
        int result = NEXT(name) arguments;                                                                             \
        if (result == 0) note;                                                                                         \
        DONE;                                                                                                          \
        return result;                                                                                                 \
    }
ON_PATH(unlink, (const char *path), (path), path, put(DELETE, 0, 0, ours, "", "", 0))
ON_PATH(mkdir, (const char *path, mode_t mode), (path, mode), path, put(MAKE_DIRECTORY, 0, 0, ours, "", "", 0))
ON_PATH(rename, (const char *path, const char *to), (path, to), path,
        put(RENAME, 0, 0, ours, below(to) ? below(to) : "../", "", 0))
ON_PATH(rmdir, (const char *path), (path), path, unknown("rmdir"))
ON_PATH(truncate, (const char *path, off_t length), (path, length), path, unknown("truncate"))
ON_PATH(truncate64, (const char *path, off64_t length), (path, length), path, unknown("truncate"))
ON_PATH(link, (const char *path, const char *to), (path, to), path, unknown("link"))
ON_PATH(symlink, (const char *from, const char *path), (from, path), path, unknown("symlink"))
ON_PATH(renameat, (int at, const char *path, int other, const char *to), (at, path, other, to), path,
        unknown("renameat"))
ON_PATH(renameat2, (int at, const char *path, int other, const char *to, unsigned flags), (at, path, other, to, flags),
        path, unknown("renameat2"))
ON_PATH(unlinkat, (int at, const char *path, int flags), (at, path, flags), path, unknown("unlinkat"))
ON_PATH(mkdirat, (int at, const char *path, mode_t mode), (at, path, mode), path, unknown("mkdirat"))

static void note_map(int protection, int flags, int file) {
    if ((flags & MAP_SHARED) && (protection & PROT_WRITE) && file >= 0 && recorded(file)) unknown("a shared mapping");
}

void *mmap(void *at, size_t length, int protection, int flags, int file, off_t offset) {
    note_map(protection, flags, file);
    return (void *)syscall(SYS_mmap, at, length, protection, flags, file, offset);
}
void *mmap64(void *at, size_t length, int protection, int flags, int file, off64_t offset) {
    note_map(protection, flags, file);
    return (void *)syscall(SYS_mmap, at, length, protection, flags, file, offset);
}
