/* Launcher of the executable: unpacks the program once, into a private folder of the user, and becomes it (execve).
 *
 * The file consists of this launcher, a tar archive compressed by Zstandard, and a trailer (written by build.py). The archive is
 * unpacked to <cache>/<name>/, where <name> contains the archive's hash. Every later start is a few system calls and an execve.
 * The started process is the server: no parent waits for it or passes on signals, and kill -9 leaves no process behind.
 *
 * <cache> is the first usable folder of the list in main(). A folder is usable if no other user can put files into it. The last
 * part of its path is always a name of this program, so all files in it belong to this program.
 * <cache>/lock         locked while a process unpacks, so that there is only one <cache>/<SCRATCH>; the next process removes it
 * <cache>/<name>/      locked (shared) by every process that runs from it. A folder without a lock may be removed: by another
 *                      version when it is unpacked, or by systemd-tmpfiles, which respects such locks, too
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>
#include <zstd.h>

#define PROGRAM "falcon-events"
#define VARIABLE "FALCON_EVENTS_CACHE"
#define MAGIC "falcon-events-1"
#define SCRATCH PROGRAM "-scratch"
#define UNPACKED "/" PROGRAM "-unpacked"
#define HASH 32 /* digits at the end of a name */
#define BLOCK 512
#define DEPTH 16

struct trailer { /* the last bytes of the file; numbers have the byte order of this machine */
    char magic[16];
    char name[64];
    uint64_t offset, length; /* of the archive */
    uint64_t files, bytes;   /* of the archive's contents, without folders */
};

static struct trailer trailer;
static int unpacking_in = -1; /* the cache folder, while it contains our scratch folder */
static char why[4096]; /* the reasons why the folders tried so far are not usable */

__attribute__((format(printf, 1, 2))) static void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs(PROGRAM ": ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    exit(2);
}

__attribute__((format(printf, 2, 3))) static int unusable(const char *folder, const char *format, ...) {
    size_t used = strlen(why);
    used += (size_t)snprintf(why + used, sizeof why - used, "%s%s ", used ? "; " : "", folder);
    if (used < sizeof why) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(why + used, sizeof why - used, format, arguments);
        va_end(arguments);
    } else
        why[sizeof why - 1] = 0;
    return -1;
}

/* Opens this file, by /proc or by the name it was started with, and reads the trailer. */
static int open_self(void) {
    int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (self < 0)
        self = open((const char *)getauxval(AT_EXECFN), O_RDONLY | O_CLOEXEC);
    struct stat found;
    if (self < 0 || fstat(self, &found))
        fail("its own file cannot be read: %s", strerror(errno));
    off_t place = found.st_size - (off_t)sizeof trailer;
    if (place < 0 || pread(self, &trailer, sizeof trailer, place) != sizeof trailer || memcmp(trailer.magic, MAGIC, sizeof MAGIC) ||
        trailer.offset + trailer.length != (uint64_t)place)
        fail("this file is damaged or incomplete (%lld bytes). Copy it anew.", (long long)found.st_size);
    return self;
}

/* Whether only this user and root can replace a folder and the folders above it. If the folder is to hold the program itself,
 * only they may put files into it, too. Folders above it may be writable for others if they are sticky, like /tmp. */
static int is_private(const char *folder, int holds) {
    char path[PATH_MAX];
    struct stat root, found;
    if (stat("/", &root))
        return 0;
    size_t length = strlen(folder);
    for (size_t end = 1; end <= length; end++) {
        if (end > 1 && folder[end] != '/' && folder[end] != 0)
            continue;
        memcpy(path, folder, end);
        path[end] = 0;
        if (lstat(path, &found) || !S_ISDIR(found.st_mode))
            return 0;
        /* in a user namespace, root's folders seem to belong to "nobody"; so the owner of "/" counts as root */
        int trusted = found.st_uid == geteuid() || found.st_uid == 0 || found.st_uid == root.st_uid;
        if (!trusted || ((found.st_mode & 022) && ((holds && end == length) || !(found.st_mode & S_ISVTX))))
            return 0;
    }
    return 1;
}

/* Whether all parts of a path, symbolic links included, belong to this user or root: in /tmp any user can create a link to a
 * folder of this user. Checked after the folder was opened, so that a link that is removed again is noticed, too. */
static int is_own_way(const char *folder) {
    char path[PATH_MAX];
    struct stat root, found;
    if (stat("/", &root))
        return 0;
    for (size_t end = 1; folder[end - 1]; end++) {
        if (folder[end] && folder[end] != '/')
            continue;
        memcpy(path, folder, end);
        path[end] = 0;
        if (lstat(path, &found) || (found.st_uid != geteuid() && found.st_uid != 0 && found.st_uid != root.st_uid))
            return 0;
    }
    return 1;
}

/* Counts the files and bytes in a folder, or removes the folder. */
static int walk(int above, const char *name, int removing, int depth, uint64_t *files, uint64_t *bytes) {
    int folder = openat(above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *list = folder < 0 || depth > DEPTH ? NULL : fdopendir(folder);
    if (list == NULL) {
        int error = errno;
        if (folder >= 0)
            close(folder);
        return removing && error == ENOENT ? 0 : removing ? unlinkat(above, name, 0) : -1;
    }
    int failed = 0;
    for (struct dirent *entry; (entry = readdir(list)) != NULL;) {
        struct stat found;
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
            continue;
        if (fstatat(folder, entry->d_name, &found, AT_SYMLINK_NOFOLLOW))
            failed = -1;
        else if (S_ISDIR(found.st_mode))
            failed |= walk(folder, entry->d_name, removing, depth + 1, files, bytes);
        else if (removing)
            failed |= unlinkat(folder, entry->d_name, 0);
        else {
            ++*files;
            *bytes += (uint64_t)found.st_size;
        }
    }
    closedir(list);
    return removing ? failed | unlinkat(above, name, AT_REMOVEDIR) : failed;
}

static int remove_tree(int above, const char *name) {
    return walk(above, name, 1, 0, NULL, NULL);
}

/* Whether the program is complete: a cleaner of temporary folders may have removed a part of it. */
static int is_whole(int cache) {
    uint64_t files = 0, bytes = 0;
    return walk(cache, trailer.name, 0, 0, &files, &bytes) == 0 && files == trailer.files && bytes == trailer.bytes;
}

__attribute__((noreturn)) static void fail_damaged(void) {
    if (unpacking_in >= 0)
        remove_tree(unpacking_in, SCRATCH);
    fail("this file is damaged. Copy it anew.");
    abort();
}

/* Decompressed bytes of the archive, in portions of any size. */
struct source {
    int self;
    uint64_t left;
    off_t at;
    ZSTD_DStream *stream;
    ZSTD_inBuffer given;
    char buffer[1 << 17];
};

static int refill(struct source *from) {
    size_t most = from->left < sizeof from->buffer ? (size_t)from->left : sizeof from->buffer;
    ssize_t got = most ? pread(from->self, from->buffer, most, from->at) : 0;
    if (most && got <= 0)
        return -1;
    from->at += got;
    from->left -= (uint64_t)got;
    from->given = (ZSTD_inBuffer){from->buffer, (size_t)got, 0};
    return 0;
}

static int take(struct source *from, void *to, size_t size) {
    ZSTD_outBuffer taken = {to, size, 0};
    while (taken.pos < size) {
        if (from->given.pos == from->given.size && refill(from))
            return -1;
        size_t before = taken.pos;
        size_t rest = ZSTD_decompressStream(from->stream, &taken, &from->given);
        if (ZSTD_isError(rest) || (taken.pos == before && from->given.pos == from->given.size && !from->left))
            fail_damaged();
    }
    return 0;
}

static int write_all(int file, const char *bytes, size_t size) {
    while (size) {
        ssize_t written = write(file, bytes, size);
        if (written < 0)
            return -1;
        bytes += written;
        size -= (size_t)written;
    }
    return 0;
}

/* Unpacks one file of the given size, and skips the padding of its last block. */
static int unpack_file(struct source *from, int folder, const char *path, mode_t mode, uint64_t size) {
    static char buffer[1 << 17];
    int file = openat(folder, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 0700);
    if (file < 0)
        return -1;
    for (uint64_t left = size; left;) {
        size_t part = left < sizeof buffer ? (size_t)left : sizeof buffer;
        if (take(from, buffer, part) || write_all(file, buffer, part)) {
            int error = errno;
            close(file);
            errno = error;
            return -1;
        }
        left -= part;
    }
    return take(from, buffer, (BLOCK - size % BLOCK) % BLOCK) | close(file);
}

static int unpack_all(int self, int folder) {
    static struct source from;
    from = (struct source){.self = self, .left = trailer.length, .at = (off_t)trailer.offset, .stream = ZSTD_createDStream()};
    if (from.stream == NULL)
        return -1;
    for (char header[BLOCK];;) { /* ustar: tar(5) */
        char path[260], target[101] = "";
        if (take(&from, header, BLOCK))
            return -1;
        if (!header[0])
            break;
        snprintf(path, sizeof path, "%.155s%s%.100s", header + 345, header[345] ? "/" : "", header);
        memcpy(target, header + 157, 100);
        mode_t mode = (mode_t)strtoul(header + 100, NULL, 8);
        char kind = header[156];
        if (kind == '5' ? mkdirat(folder, path, 0700)
            : kind == '2' ? symlinkat(target, folder, path)
                          : unpack_file(&from, folder, path, mode, strtoull(header + 124, NULL, 8)))
            return -1;
    }
    for (size_t rest = 1; rest;) { /* the zeros at the end of the archive, and the checksum of all of it */
        static char zeros[1 << 14];
        ZSTD_outBuffer taken = {zeros, sizeof zeros, 0};
        if (from.given.pos == from.given.size && refill(&from))
            return -1;
        size_t left = from.given.size - from.given.pos;
        rest = ZSTD_decompressStream(from.stream, &taken, &from.given);
        if (ZSTD_isError(rest) || (rest && !taken.pos && left == from.given.size - from.given.pos && !from.left))
            fail_damaged();
    }
    ZSTD_freeDStream(from.stream);
    return syncfs(folder); /* before the folder gets its name: after a power failure it is complete or missing */
}

/* Whether a folder in the cache folder is an unpacked program: named <PROGRAM>-<version>-<hash>, with the program in it. */
static int is_program(int cache, const char *name) {
    char path[PATH_MAX];
    struct stat found;
    size_t length = strlen(name), before = sizeof PROGRAM; /* including the dash */
    if (length < before + 1 + 1 + HASH || strncmp(name, PROGRAM "-", before) || name[length - HASH - 1] != '-' ||
        strspn(name + length - HASH, "0123456789abcdef") != HASH)
        return 0;
    snprintf(path, sizeof path, "%s/" PROGRAM, name);
    return !fstatat(cache, path, &found, AT_SYMLINK_NOFOLLOW) && S_ISREG(found.st_mode);
}

/* Removes the versions that no process runs any more. */
static void remove_others(int cache) {
    int again = openat(cache, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = again < 0 ? NULL : fdopendir(again);
    for (struct dirent *entry; list != NULL && (entry = readdir(list)) != NULL;) {
        if (!is_program(cache, entry->d_name) || !strcmp(entry->d_name, trailer.name))
            continue;
        int other = openat(cache, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (other < 0)
            continue;
        if (!flock(other, LOCK_EX | LOCK_NB) && !renameat(cache, entry->d_name, cache, SCRATCH))
            remove_tree(cache, SCRATCH);
        close(other);
    }
    if (list != NULL)
        closedir(list);
}

/* Unpacks the program, unless another process was faster. */
static int unpack(int self, int cache) {
    mode_t mask = umask(077);
    int lock = openat(cache, "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    int failed = lock < 0 || flock(lock, LOCK_EX) ? -1 : 0;
    if (!failed && !is_whole(cache)) {
        remove_tree(cache, SCRATCH);
        renameat(cache, trailer.name, cache, SCRATCH); /* if a part of it is missing */
        remove_tree(cache, SCRATCH);
        remove_others(cache);
        unpacking_in = cache;
        int folder = mkdirat(cache, SCRATCH, 0700) ? -1 : openat(cache, SCRATCH, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        failed = folder < 0 || unpack_all(self, folder) || renameat(cache, SCRATCH, cache, trailer.name) ? -1 : 0;
        int error = errno;
        if (failed)
            remove_tree(cache, SCRATCH);
        unpacking_in = -1;
        if (folder >= 0)
            close(folder);
        errno = error;
    }
    int error = errno;
    if (lock >= 0)
        close(lock);
    umask(mask);
    errno = error;
    return failed;
}

/* Returns the program's folder in a cache folder, unpacked and locked; the program inherits the lock. */
static int lock_program(int self, int cache) {
    for (int again = 0; again < 10; again++) {
        struct stat held, named;
        int folder = openat(cache, trailer.name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
        if (folder >= 0) {
            flock(folder, LOCK_SH); /* on a file system without locks, no process considers the folder unused */
            if (!fstat(folder, &held) && !fstatat(cache, trailer.name, &named, AT_SYMLINK_NOFOLLOW) && held.st_ino == named.st_ino &&
                is_whole(cache))
                return folder;
            close(folder);
        }
        if (unpack(self, cache))
            return -1;
    }
    errno = EBUSY;
    return -1;
}

/* Whether the existing part of a path is safe to create the rest in: root may run with the HOME of another user. */
static int may_make(const char *path) {
    char part[PATH_MAX], folder[PATH_MAX];
    snprintf(part, sizeof part, "%s", path);
    while (realpath(part, folder) == NULL) {
        char *slash = strrchr(part, '/');
        if (errno != ENOENT || slash == NULL)
            return 1; /* then creating it fails, and the reason is reported */
        slash[slash == part] = 0;
    }
    return is_private(folder, 0) && is_own_way(part);
}

/* Creates the folders of a path from position `first` on; returns the first error as in errno, or 0. */
static int make_folders(char *path, size_t first) {
    int reason = 0;
    for (char *end = path + first;; end++) {
        char kept = *end;
        if (kept && kept != '/')
            continue;
        *end = 0;
        if (mkdir(path, 0700) && errno != EEXIST && !reason)
            reason = errno;
        *end = kept;
        if (!kept)
            return reason;
    }
}

/* Sets LD_LIBRARY_PATH: PyInstaller's bootloader needs zlib before it can set the path of the program's libraries itself. */
static void set_library_path(const char *program) {
    static char value[2 * PATH_MAX];
    const char *given = getenv("LD_LIBRARY_PATH");
    int folder = (int)(strrchr(program, '/') - program);
    snprintf(value, sizeof value, "%.*s/_internal%s%s", folder, program, given && *given ? ":" : "", given ? given : "");
    setenv("LD_LIBRARY_PATH", value, 1);
}

/* Becomes the program in a cache folder; returns only if that folder is not usable.
 * `base` is an existing folder, or one that may be created if it was given for this purpose (`is_given`). `below` is created if it
 * is missing. */
static void run(int self, const char *base, int is_given, const char *below, char **argv) {
    char path[PATH_MAX], folder[PATH_MAX];
    struct statvfs system;
    struct stat found;
    if (*base != '/' || strlen(base) + strlen(below) > sizeof path / 2) {
        unusable(base, "is no absolute path, or too long");
        return;
    }
    snprintf(path, sizeof path, "%s%s", base, below);
    int is_safe = may_make(path);
    int reason = is_safe ? make_folders(path, is_given ? strlen(base) : strlen(base) + 1) : 0;
    int cache = is_safe && realpath(path, folder) ? open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (is_safe && cache < 0)
        unusable(path, "cannot be made or opened (%s)", strerror(reason ? reason : errno));
    else if (!is_safe || fstat(cache, &found) || (found.st_uid != geteuid() && found.st_uid != 0) || !is_private(folder, 1) ||
             !is_own_way(path))
        unusable(path, "belongs to other users, or can be changed by them");
    else if (!fstatvfs(cache, &system) && (system.f_flag & ST_NOEXEC))
        unusable(path, "is mounted noexec");
    else if (lock_program(self, cache) < 0)
        unusable(path, "cannot hold the program, %llu MB (%s)", (unsigned long long)(trailer.bytes / 1000000 + 1), strerror(errno));
    else {
        snprintf(path, sizeof path, "%.*s/%s/" PROGRAM, PATH_MAX / 2 + 200, strcmp(folder, "/") ? folder : "", trailer.name);
        if (access("/proc/self/exe", F_OK))
            argv[0] = path; /* without /proc, the program finds its folder by this name */
        set_library_path(path);
        execv(path, argv);
        if (errno == ENOENT)
            fail("this system has no C library for it: glibc's /lib64/ld-linux-x86-64.so.2 is missing.");
        unusable(path, "cannot be run (%s)", strerror(errno));
    }
    if (cache >= 0)
        close(cache);
}

int main(int argc, char **argv) {
    (void)argc;
    char own[64];
    int self = open_self();
    const char *given = getenv(VARIABLE);
    if (given != NULL && *given)
        run(self, given, 1, UNPACKED, argv);
    else {
        snprintf(own, sizeof own, UNPACKED "-%u", (unsigned)geteuid());
        const char *cache = getenv("CACHE_DIRECTORY"); /* set by systemd; may be a list */
        const struct { const char *base; int is_given; const char *below; } places[] = {
            {cache == NULL ? NULL : strndup(cache, strcspn(cache, ":")), 1, UNPACKED},
            {getenv("XDG_CACHE_HOME"), 0, "/" PROGRAM},
            {getenv("HOME"), 0, "/.cache/" PROGRAM},
            {getenv("TMPDIR"), 0, own},
            {"/var/tmp", 0, own},
            {"/tmp", 0, own},
        };
        for (size_t place = 0; place < sizeof places / sizeof *places; place++)
            if (places[place].base != NULL && *places[place].base)
                run(self, places[place].base, places[place].is_given, places[place].below, argv);
    }
    fail("there is no folder to unpack the program into: %s. Set " VARIABLE " to one of this user's own.", why);
}
