/* Gives the launcher access to a container of a user's image, from which the launcher reads the disk image itself.
 *
 * usage: container-disk SOCKET
 *
 * Runs in a container of the user's image, below an attendant (attendant.c). It reads and writes nothing there: a
 * client gets this process's PID from the socket (SO_PEERCRED) and finds the container's files below
 * /proc/<pid>/root. */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 8

static void fail(const char *path)
{
	fprintf(stderr, "container-disk: %s: %s\n", path, strerror(errno));
	exit(1);
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), peer, length;

	if (argc != 2) {
		fprintf(stderr, "usage: container-disk SOCKET\n");
		return 64;
	}
	/* Renamed when it listens: a restarted process finds its predecessor's socket. */
	length = snprintf(address.sun_path, sizeof address.sun_path, "%s.part", argv[1]);
	if (length >= (int)sizeof address.sun_path)
		errno = ENAMETOOLONG;
	if (length >= (int)sizeof address.sun_path || (unlink(address.sun_path) && errno != ENOENT))
		fail(argv[1]);
	umask(0);	/* the launcher usually has the same user; the socket reveals only a PID */
	if (listener < 0 || bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, BACKLOG)
	    || rename(address.sun_path, argv[1]))
		fail(argv[1]);
	for (;;) {
		peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (peer >= 0)
			close(peer);
		else if (errno != EINTR && errno != ECONNABORTED)
			fail(argv[1]);
	}
}
