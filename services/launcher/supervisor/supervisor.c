/* PID 1 of a virtual machine's container. If this process dies, the VM dies.
 *
 * usage: supervisor NAME COMMAND [ARGUMENT...] [-- NAME COMMAND [ARGUMENT...]]...
 *
 * Starts each service and restarts it when it exits: at once if it ran for 10 s, otherwise after a delay that doubles
 * from 50 ms to 5 s. Reaps every orphan at once (libvirt waits 40 s for a zombie of its capability probes). Knows
 * nothing of virtual machines.
 *
 * The first service is the main one. SIGTERM and SIGINT are forwarded to it, and again to each restart of it. It starts
 * with both signals blocked, so that none is lost before it has a handler. When it exits with status 0, the other
 * services are terminated and the container ends.
 *
 * The pod's other containers end with this one: their attendants (attendant.c) notice the end of the reader of LIFE. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef HELPERS
#define HELPERS "/var/run/kubevirt/helpers/"	/* exists if the pod has attendants */
#endif
#define LIFE HELPERS "life"		/* as in attendant.c */
#define MAX_SERVICES 4
#define US_PER_S 1000000LL
#define SETTLED_US (10 * US_PER_S)	/* a service that ran this long is healthy */
#define FIRST_PAUSE_US 50000LL
#define LONGEST_PAUSE_US (5 * US_PER_S)
#define STOP_US (5 * US_PER_S)		/* how long the other services may take to exit */

struct service {
	const char *name;
	char **argv;
	pid_t pid;		/* 0: not running */
	long long started_us;
	long long due_us;	/* when to start it, if it is not running */
	long long pause_us;
};

static struct service services[MAX_SERVICES];
static int service_count;
static int stopping;		/* the signal that requested the stop, or 0 */
static sigset_t handled;

static long long now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * US_PER_S + t.tv_nsec / 1000;
}

static void say(const char *message, const char *service, const char *key, int value)
{
	struct timespec t;
	struct tm tm;
	char stamp[32], line[256];
	int length;

	clock_gettime(CLOCK_REALTIME, &t);
	gmtime_r(&t.tv_sec, &tm);
	strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
	length = snprintf(line, sizeof line,
			  "{\"timestamp\":\"%s.%03ldZ\",\"level\":\"info\",\"component\":\"supervisor\","
			  "\"msg\":\"%s\",\"service\":\"%s\",\"%s\":%d}\n",
			  stamp, t.tv_nsec / 1000000, message, service, key, value);
	if (length > 0 && write(STDERR_FILENO, line, (size_t)length) < 0)
		return;		/* standard error is unusable */
}

static void start(struct service *s)
{
	s->started_us = now_us();
	s->pid = fork();
	if (s->pid < 0) {
		s->pid = 0;
		s->due_us = now_us() + FIRST_PAUSE_US;
		return;
	}
	if (s->pid == 0) {
		sigset_t blocked;

		sigemptyset(&blocked);
		if (s == &services[0]) {
			sigaddset(&blocked, SIGTERM);
			sigaddset(&blocked, SIGINT);
		}
		sigprocmask(SIG_SETMASK, &blocked, NULL);
		setsid();
		execv(s->argv[0], s->argv);
		perror(s->argv[0]);
		_exit(127);
	}
	say("started", s->name, "pid", s->pid);
	if (s == &services[0] && stopping)
		kill(s->pid, stopping);
}

static void end(void)
{
	struct timespec pause = { 0, 20000000 };
	long long deadline = now_us() + STOP_US;
	int i, left = 0;
	pid_t pid;

	for (i = 1; i < service_count; i++)
		if (services[i].pid && !kill(services[i].pid, SIGTERM))
			left++;
	while (left > 0 && now_us() < deadline) {
		while ((pid = waitpid(-1, NULL, WNOHANG)) > 0)
			for (i = 1; i < service_count; i++)
				if (services[i].pid == pid)
					left--;
		if (left > 0)
			sigtimedwait(&handled, NULL, &pause);
	}
	say("exiting", services[0].name, "still running", left);
	_exit(0);
}

static void ended(struct service *s, int status)
{
	s->pid = 0;
	if (WIFSIGNALED(status))
		say("ended by a signal", s->name, "signal", WTERMSIG(status));
	else
		say("exited", s->name, "status", WEXITSTATUS(status));
	if (s == &services[0] && WIFEXITED(status) && WEXITSTATUS(status) == 0)
		end();
	if (now_us() - s->started_us >= SETTLED_US)
		s->pause_us = 0;
	s->due_us = now_us() + s->pause_us;
	s->pause_us = s->pause_us ? s->pause_us * 2 : FIRST_PAUSE_US;
	if (s->pause_us > LONGEST_PAUSE_US)
		s->pause_us = LONGEST_PAUSE_US;
}

static void reap(void)
{
	int i, status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (i = 0; i < service_count; i++)
			if (services[i].pid == pid)
				ended(&services[i], status);
}

/* Starts services that are due; returns the time until the next one is due. */
static long long start_due(void)
{
	long long wait_us = 3600 * US_PER_S, left;
	int i;

	for (i = 0; i < service_count; i++) {
		if (!services[i].pid && services[i].due_us <= now_us())
			start(&services[i]);
		if (services[i].pid)
			continue;
		left = services[i].due_us - now_us();
		if (left < wait_us)
			wait_us = left > 0 ? left : 0;
	}
	return wait_us;
}

static void show_life(void)
{
	if (mkfifo(LIFE ".part", 0600) && errno == ENOENT)
		return;
	if (open(LIFE ".part", O_RDONLY | O_NONBLOCK | O_CLOEXEC) < 0 || rename(LIFE ".part", LIFE)) {
		perror(LIFE);
		exit(1);
	}
}

int main(int argc, char **argv)
{
	int i = 1, got;

	while (i + 1 < argc && service_count < MAX_SERVICES) {
		services[service_count].name = argv[i];
		services[service_count++].argv = &argv[i + 1];
		while (i < argc && strcmp(argv[i], "--"))
			i++;
		if (i < argc)
			argv[i++] = NULL;
	}
	if (!service_count || i < argc) {
		fprintf(stderr, "usage: supervisor NAME COMMAND [ARGUMENT...] [-- NAME COMMAND [ARGUMENT...]]... "
			"(%d services at most)\n", MAX_SERVICES);
		return 64;
	}
	show_life();
	/* In a pod with a shared process namespace this is not PID 1 and would not adopt orphans. */
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigemptyset(&handled);
	sigaddset(&handled, SIGCHLD);
	sigaddset(&handled, SIGTERM);
	sigaddset(&handled, SIGINT);
	sigprocmask(SIG_BLOCK, &handled, NULL);
	for (;;) {
		long long wait_us = start_due();
		struct timespec t = { wait_us / US_PER_S, wait_us % US_PER_S * 1000 };

		got = sigtimedwait(&handled, NULL, &t);
		if (got == SIGTERM || got == SIGINT) {
			stopping = got;
			say("stopping", services[0].name, "signal", got);
			if (services[0].pid)
				kill(services[0].pid, got);
		}
		reap();
	}
}
