/* Copies the output of a guest's serial console to standard output, for `kubectl logs`.
 *
 * usage: console-log FILE
 *
 * QEMU appends to FILE (O_APPEND) as long as the guest runs; the file may not exist yet. Copied data is removed from
 * the file at once, by punching a hole: file size and QEMU's offset stay, so QEMU is not involved, and the remaining
 * data shows a successor of this process where to continue. If standard output is blocked or slower than the guest, the
 * oldest data is dropped, and a line reports how much.
 *
 * Ends at SIGTERM, which its attendant (attendant.c) sends when the guest is gone, after copying the remaining data.
 * The guest's side controls everything except the path: FILE is opened without following links and must be a regular
 * file. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/falloc.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define LONGEST_LAG (16LL << 20)	/* bytes in the file that are not copied yet; above it, data is dropped */
#define KEPT (8LL << 20)		/* bytes that remain after dropping: much is dropped at once, so that few lines report it */
#define LARGEST_BLOCK (64LL << 10)	/* largest block size of Linux' file systems */
#define PAUSE_MS 50			/* QEMU writes single characters: collect them */
#define LAST_PATIENCE_MS 2000		/* for standard output after SIGTERM */

static int file = -1, events, signals;
static int no_holes;		/* the file system does not support holes */
static long long position;	/* all data before it is copied or dropped */
static long long freed;		/* all data before it is removed from the file */
static long long dropped;	/* bytes dropped since the last line about it */
static int within_line;		/* the last copied byte was not a newline */

static void fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	fprintf(stderr, "console-log: ");
	vfprintf(stderr, format, arguments);
	fprintf(stderr, "\n");
	exit(1);
}

/* Whether the file exists. Anything except a regular file is an attack. */
static int open_file(const char *path)
{
	struct stat st;

	file = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (file < 0 && errno == ENOENT)
		return 0;
	if (file < 0 || fstat(file, &st))
		fail("%s: %s", path, errno == ELOOP ? "a symbolic link" : strerror(errno));
	if (!S_ISREG(st.st_mode))
		fail("%s: not a regular file", path);
	return 1;
}

static long long file_size(void)
{
	struct stat st;

	if (fstat(file, &st))
		fail("fstat: %s", strerror(errno));
	return st.st_size;
}

/* Where a predecessor stopped. Holes are whole blocks; in a partly copied block it left zeros. */
static void find_position(void)
{
	long long end = file_size(), data = lseek(file, 0, SEEK_DATA);
	char byte;

	if (data < 0 && errno != ENXIO && errno != EINVAL)
		fail("lseek: %s", strerror(errno));
	position = data >= 0 ? data : errno == ENXIO ? end : 0;
	for (end = position + LARGEST_BLOCK; position < end && pread(file, &byte, 1, position) == 1 && !byte; position++)
		;
	freed = position;
}

static void free_copied(void)
{
	long long from = freed - freed % LARGEST_BLOCK;	/* holes are whole blocks */

	if (!no_holes && !fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, position - from)) {
		freed = position;
	} else if (!no_holes && (errno == EOPNOTSUPP || errno == ENOSYS)) {
		no_holes = 1;
		fprintf(stderr, "console-log: no holes in this file system: characters may be lost every %lld MiB\n",
			LONGEST_LAG >> 20);
	}
	/* Data that QEMU writes between the two calls is lost. */
	if (no_holes && position >= LONGEST_LAG && position == file_size() && !ftruncate(file, 0))
		position = 0;
}

/* Whether the line was written: short writes to a pipe are atomic. */
static int say_dropped(void)
{
	char line[128];
	int length = snprintf(line, sizeof line, "%sconsole-log: %lld bytes of the console were dropped here\n",
			      within_line ? "\n" : "", dropped);

	if (write(STDOUT_FILENO, line, (size_t)length) < 0)
		return 0;
	within_line = 0;
	dropped = 0;
	return 1;
}

/* Copies until no data is left (returns 0) or standard output is full (returns 1). */
static int copy(void)
{
	static char buffer[64 << 10];
	ssize_t length, taken;

	for (;;) {
		long long end = file_size();

		if (end < position)	/* the file was truncated */
			position = freed = 0;
		if (end - position > LONGEST_LAG) {
			long long next = no_holes ? end : end - KEPT;

			dropped += next - position;
			position = next;
			free_copied();
		}
		length = pread(file, buffer, sizeof buffer, position);
		if (length < 0)
			fail("read: %s", strerror(errno));
		if (length == 0)
			return 0;
		taken = dropped && !say_dropped() ? -1 : write(STDOUT_FILENO, buffer, (size_t)length);
		if (taken < 0 && errno != EAGAIN)
			fail("standard output: %s", strerror(errno));
		if (taken < 0)
			return 1;
		position += taken;
		within_line = buffer[taken - 1] != '\n';
		free_copied();
	}
}

/* Waits for standard output if it is `full`, otherwise for the file; at most `patience` ms. Returns 1 after SIGTERM. */
static int wait_for(int full, int patience)
{
	char ignored[4096];
	struct pollfd all[] = {
		{ .fd = signals, .events = POLLIN },
		{ .fd = events, .events = POLLIN },
		{ .fd = full ? STDOUT_FILENO : -1, .events = POLLOUT },
	};

	while (poll(all, 3, patience) < 0)
		if (errno != EINTR)
			fail("poll: %s", strerror(errno));
	if (all[1].revents && read(events, ignored, sizeof ignored) < 0 && errno != EAGAIN)
		fail("inotify: %s", strerror(errno));
	return !!all[0].revents;
}

static void copy_rest(void)
{
	struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };

	while (copy() && poll(&out, 1, LAST_PATIENCE_MS) > 0)
		;
}

static int paused_until_signal(void)
{
	struct pollfd signal = { .fd = signals, .events = POLLIN };

	return poll(&signal, 1, PAUSE_MS) > 0;
}

int main(int argc, char **argv)
{
	char folder[4096], name[64];
	int watch, ending = 0, full;
	sigset_t handled;

	if (argc != 2 || strlen(argv[1]) >= sizeof folder)
		fail("usage: console-log FILE");
	sigemptyset(&handled);
	sigaddset(&handled, SIGTERM);
	sigaddset(&handled, SIGINT);
	sigprocmask(SIG_BLOCK, &handled, NULL);
	signals = signalfd(-1, &handled, SFD_CLOEXEC);
	events = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	watch = inotify_add_watch(events, dirname(strcpy(folder, argv[1])), IN_CREATE | IN_MOVED_TO);
	if (signals < 0 || watch < 0 || fcntl(STDOUT_FILENO, F_SETFL, fcntl(STDOUT_FILENO, F_GETFL) | O_NONBLOCK))
		fail("%s: %s", folder, strerror(errno));
	while (!open_file(argv[1]))
		if (wait_for(0, -1))
			return 0;
	inotify_rm_watch(events, watch);
	snprintf(name, sizeof name, "/proc/self/fd/%d", file);
	if (inotify_add_watch(events, name, IN_MODIFY) < 0)
		fail("%s: %s", argv[1], strerror(errno));
	find_position();
	while (!ending) {
		full = copy();
		ending = (!full && paused_until_signal()) || wait_for(full, -1);
	}
	copy_rest();
	return 0;
}
