/* Gives the launcher access to a container of a user's image, from which the launcher reads the disk image itself.
 *
 * usage: container-disk install DESTINATION
 *            copies this program to DESTINATION (an init container of the launcher's image does this), so that
 *        container-disk serve SOCKET
 *            can run as the only program in a container of the user's image.
 *
 * It reads and writes nothing there: a client gets this process's PID from the socket (SO_PEERCRED) and finds the
 * container's files below /proc/<pid>/root. It exits with status 0 at SIGTERM, at once, because a pod waits for the
 * last of its containers. Failures are reported on standard error and in the container's termination message. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 8
#define TERMINATION_LOG "/dev/termination-log"	/* Kubernetes' default terminationMessagePath */

static void fail(const char *format, ...)
{
	char message[1024] = "";
	va_list arguments;
	int log;

	va_start(arguments, format);
	vsnprintf(message, sizeof message, format, arguments);
	va_end(arguments);
	fprintf(stderr, "container-disk: %s\n", message);
	log = open(TERMINATION_LOG, O_WRONLY | O_CLOEXEC);
	if (log >= 0 && write(log, message, strlen(message)) < 0)
		perror(TERMINATION_LOG);
	exit(1);
}

/* Files and sockets are created under a temporary name and renamed: an init container may run twice, and a restarted
 * sidecar finds its predecessor's socket. */
static void temporary_name(char *temporary, size_t size, const char *path)
{
	if (snprintf(temporary, size, "%s.part", path) >= (int)size)
		fail("%s: name too long", path);
	if (unlink(temporary) && errno != ENOENT)
		fail("%s: %s", temporary, strerror(errno));
}

static void install(const char *destination)
{
	char temporary[4096];
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to;
	ssize_t n;

	if (from < 0)
		fail("/proc/self/exe: %s", strerror(errno));
	temporary_name(temporary, sizeof temporary, destination);
	to = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0555);
	if (to < 0)
		fail("%s: %s", temporary, strerror(errno));
	while ((n = sendfile(to, from, NULL, 1 << 20)) > 0)
		;
	if (n < 0 || close(to) || rename(temporary, destination))
		fail("%s: %s", destination, strerror(errno));
}

static void leave(int number)
{
	(void)number;
	_exit(0);
}

static void serve(const char *path)
{
	struct sigaction action = { .sa_handler = leave };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), peer;

	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	temporary_name(address.sun_path, sizeof address.sun_path, path);
	umask(0);	/* the launcher usually has the same user; the socket reveals only a PID */
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, BACKLOG)
	    || rename(address.sun_path, path))
		fail("%s: %s", path, strerror(errno));
	for (;;) {
		peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (peer >= 0)
			close(peer);
		else if (errno != EINTR && errno != ECONNABORTED)
			fail("%s: %s", path, strerror(errno));
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "install"))
		install(argv[2]);
	else if (argc == 3 && !strcmp(argv[1], "serve"))
		serve(argv[2]);
	else
		fail("usage: container-disk install DESTINATION | container-disk serve SOCKET");
	return 0;
}
