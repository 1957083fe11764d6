/* Copies a kernel and an initial RAM disk from a user's image, which may contain nothing else.
 *
 * usage: boot-files PATH DESTINATION [PATH DESTINATION]...
 *
 * Runs in a container of the user's image, below an attendant (attendant.c).
 *
 * The image is hostile. A PATH may follow symbolic links within the image, but not leave it, pass through /proc or
 * enter another mount; it must refer to a regular file of a bounded size. A DESTINATION is created atomically.
 * Failures are reported on standard error and in the container's termination message, with path and reason. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LARGEST_FILE (512LL << 20)	/* kernels have 15 MiB, initial RAM disks with all firmware 200 */
#define TERMINATION_LOG "/dev/termination-log"	/* Kubernetes' default terminationMessagePath */

static void fail(const char *format, ...)
{
	char message[1024] = "";
	va_list arguments;
	int log;

	va_start(arguments, format);
	vsnprintf(message, sizeof message, format, arguments);
	va_end(arguments);
	fprintf(stderr, "boot-files: %s\n", message);
	log = open(TERMINATION_LOG, O_WRONLY | O_CLOEXEC);
	if (log >= 0 && write(log, message, strlen(message)) < 0)
		perror(TERMINATION_LOG);
	exit(1);
}

static int open_in_image(const char *path)
{
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
	};
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC), fd;
	struct stat st;

	if (root < 0)
		fail("/: %s", strerror(errno));
	fd = (int)syscall(SYS_openat2, root, path, &how, sizeof how);
	if (fd < 0)
		fail("%s: %s", path, errno == EXDEV ? "leads out of the image" : strerror(errno));
	close(root);
	if (fstat(fd, &st))
		fail("%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		fail("%s: not a regular file", path);
	if (st.st_size > LARGEST_FILE)
		fail("%s: %lld bytes, at most %lld are allowed", path, (long long)st.st_size, LARGEST_FILE);
	return fd;
}

static void copy(int from, const char *path, const char *destination)
{
	static char buffer[1 << 20];
	char temporary[4096];
	long long total = 0;
	ssize_t n;
	int to;

	if (snprintf(temporary, sizeof temporary, "%s.part", destination) >= (int)sizeof temporary)
		fail("%s: name too long", destination);
	if (unlink(temporary) && errno != ENOENT)
		fail("%s: %s", temporary, strerror(errno));
	to = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0444);
	if (to < 0)
		fail("%s: %s", temporary, strerror(errno));
	while ((n = read(from, buffer, sizeof buffer)) > 0) {
		ssize_t done = 0, written;

		total += n;
		if (total > LARGEST_FILE)
			fail("%s: grew beyond %lld bytes", path, LARGEST_FILE);
		for (; done < n; done += written) {
			written = write(to, buffer + done, (size_t)(n - done));
			if (written < 0)
				fail("%s: %s", temporary, strerror(errno));
		}
	}
	if (n < 0)
		fail("%s: %s", path, strerror(errno));
	if (close(to) || rename(temporary, destination))
		fail("%s: %s", destination, strerror(errno));
	close(from);
}

int main(int argc, char **argv)
{
	int i;

	if (argc < 3 || argc % 2 == 0)
		fail("usage: boot-files PATH DESTINATION [PATH DESTINATION]...");
	for (i = 1; i < argc; i += 2)
		copy(open_in_image(argv[i]), argv[i], argv[i + 1]);
	return 0;
}
