/* Runs a program without the lines of its standard error that contain one of some texts.
 *
 * usage: without-lines TEXT... -- COMMAND [ARGUMENT...]
 *
 * libvirtd has no setting that hides a message of level error. The process that was started becomes COMMAND, so that
 * whoever supervises it supervises COMMAND; a child of it copies the lines and ends with it. Everything but those lines
 * is passed on as it is. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LONGEST_LINE 8192	/* a longer line is passed on without a look */

static void pass_on(const char *text, size_t length)
{
	while (length) {
		ssize_t written = write(STDERR_FILENO, text, length);

		if (written < 0 && errno == EINTR)
			continue;
		if (written < 0 && errno == EAGAIN) {	/* somebody who shares it made it non-blocking */
			struct pollfd room = { .fd = STDERR_FILENO, .events = POLLOUT };

			poll(&room, 1, -1);
			continue;
		}
		if (written < 0)
			_exit(1);
		text += written;
		length -= (size_t)written;
	}
}

static int hidden(const char *line, size_t length, char **texts)
{
	for (; strcmp(*texts, "--"); texts++)
		if (memmem(line, length, *texts, strlen(*texts)))
			return 1;
	return 0;
}

static void copy(int from, char **texts)
{
	static char buffer[LONGEST_LINE];
	size_t used = 0;
	int in_long_line = 0;
	ssize_t got;

	while ((got = read(from, buffer + used, sizeof buffer - used)) != 0) {
		char *line = buffer, *end;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			break;
		used += (size_t)got;
		while ((end = memchr(line, '\n', used - (size_t)(line - buffer)))) {
			size_t length = (size_t)(end - line) + 1;

			if (in_long_line || !hidden(line, length, texts))
				pass_on(line, length);
			in_long_line = 0;
			line += length;
		}
		used -= (size_t)(line - buffer);
		memmove(buffer, line, used);
		if (used == sizeof buffer) {
			pass_on(buffer, used);
			in_long_line = 1;
			used = 0;
		}
	}
	pass_on(buffer, used);
}

int main(int argc, char **argv)
{
	char **texts = argv + 1, **command = texts;
	int ends[2];

	while (*command && strcmp(*command, "--"))
		command++;
	if (argc < 2 || !*command || !command[1]) {
		fprintf(stderr, "usage: without-lines TEXT... -- COMMAND [ARGUMENT...]\n");
		return 64;
	}
	if (pipe2(ends, O_CLOEXEC) < 0) {
		perror("without-lines: pipe");
		return 1;
	}
	switch (fork()) {
	case -1:
		perror("without-lines: fork");
		return 1;
	case 0:
		close(ends[1]);
		copy(ends[0], texts);
		return 0;
	}
	dup2(ends[1], STDERR_FILENO);
	execv(command[1], command + 1);
	fprintf(stderr, "without-lines: %s: %s\n", command[1], strerror(errno));
	return 127;
}
