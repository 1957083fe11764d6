/* What the demonstration guest does besides its shell:
 *   - "tick <n> uptime=<s> boot=<boot_id>" every second on the console, unless called with "off";
 *   - the same lines every 200 ms to each client of TCP port 7777;
 *   - an echo on TCP port 7;
 *   - a clean power-off when the power button is pressed.
 * One thread, one poll loop; nothing in it may block, or a gap would show that is not the host's. */
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/input.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS 200
#define TICKS_PER_CONSOLE_LINE 5
#define FDS 64

enum role { TICK_LISTENER, ECHO_LISTENER, BUTTON, TICK_CLIENT, ECHO_CLIENT };
static struct pollfd fds[FDS];
static enum role roles[FDS];
static int used;

static int add(int fd, enum role role)
{
	if (fd < 0 || used == FDS)
		return -1;
	fds[used].fd = fd;
	fds[used].events = POLLIN;
	roles[used++] = role;
	return 0;
}

static void drop(int i)
{
	close(fds[i].fd);
	fds[i] = fds[--used];
	roles[i] = roles[used];
}

static int listener(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
	if (bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 16)) {
		perror("guest-services: listen");
		return -1;
	}
	return fd;
}

static void add_buttons(void)
{
	struct dirent *e;
	char path[300];
	DIR *d = opendir("/dev/input");

	while (d && (e = readdir(d)))
		if (!strncmp(e->d_name, "event", 5)) {
			snprintf(path, sizeof path, "/dev/input/%s", e->d_name);
			add(open(path, O_RDONLY | O_NONBLOCK), BUTTON);
		}
	if (d)
		closedir(d);
}

static long long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* Without blocking a write fails while another process writes, and a power-off discards what the port has not sent yet.
 * Half a second for each is enough for a console that somebody reads, and delays the end where nobody does. */
static void last_words(int console, const char *text, size_t length)
{
	const struct timespec pause = { .tv_nsec = 5000000 };
	int tries, unsent = 0;

	for (tries = 0; tries < 100 && write(console, text, length) < 0; tries++)
		nanosleep(&pause, NULL);
	for (tries = 0; tries < 100 && !ioctl(console, TIOCOUTQ, &unsent) && unsent; tries++)
		nanosleep(&pause, NULL);
}

/* 0: keep the descriptor, -1: drop it */
static int serve(int i, int console)
{
	char buffer[2048];
	struct input_event press;
	ssize_t n;

	switch (roles[i]) {
	case TICK_LISTENER:
	case ECHO_LISTENER:
		n = accept4(fds[i].fd, NULL, NULL, SOCK_NONBLOCK);
		if (n >= 0 && add(n, roles[i] == TICK_LISTENER ? TICK_CLIENT : ECHO_CLIENT))
			close(n);
		return 0;
	case BUTTON:
		while (read(fds[i].fd, &press, sizeof press) == sizeof press)
			if (press.type == EV_KEY && press.code == KEY_POWER && press.value == 1) {
				last_words(console, "guest-demo: power button\n", 25);
				sync();
				reboot(RB_POWER_OFF);
			}
		return fds[i].revents & (POLLERR | POLLHUP) ? -1 : 0;
	case TICK_CLIENT:
		return recv(fds[i].fd, buffer, sizeof buffer, 0) > 0 ? 0 : -1;
	case ECHO_CLIENT:
		n = recv(fds[i].fd, buffer, sizeof buffer, 0);
		return n > 0 && send(fds[i].fd, buffer, n, MSG_NOSIGNAL) == n ? 0 : -1;
	}
	return -1;
}

int main(int argc, char **argv)
{
	char boot[64] = "", line[160];
	int on_console = argc < 2 || strcmp(argv[1], "off");
	int console = open("/dev/console", O_WRONLY | O_NOCTTY | O_NONBLOCK);
	FILE *f = fopen("/proc/sys/kernel/random/boot_id", "r");
	long long due = now_ms(), ms;
	unsigned long n = 0;
	int i, length;

	signal(SIGPIPE, SIG_IGN);
	if (!f || !fgets(boot, sizeof boot, f))
		return 1;
	fclose(f);
	boot[strcspn(boot, "\n")] = 0;
	add(listener(7777), TICK_LISTENER);
	add(listener(7), ECHO_LISTENER);
	add_buttons();
	for (;;) {
		ms = due - now_ms();
		if (poll(fds, used, ms > 0 ? (int)ms : 0) > 0)
			for (i = used - 1; i >= 0; i--)
				if (fds[i].revents && serve(i, console))
					drop(i);
		ms = now_ms();
		if (ms < due)
			continue;
		due = ms + TICK_MS;
		length = snprintf(line, sizeof line, "tick %lu uptime=%lld.%03lld boot=%s\n", n, ms / 1000, ms % 1000, boot);
		for (i = used - 1; i >= 0; i--)
			if (roles[i] == TICK_CLIENT && send(fds[i].fd, line, length, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
				drop(i);
		if (on_console && n % TICKS_PER_CONSOLE_LINE == 0 && write(console, line, length) < 0)
			usleep(0);	/* a console that nobody drains loses lines, never time */
		n++;
	}
}
