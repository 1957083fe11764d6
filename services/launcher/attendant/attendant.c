/* Runs a program in a container beside the launcher's, for as long as the launcher's container lives.
 *
 * usage: attendant install PROGRAM...
 *            waits for the supervisor and copies this program and each PROGRAM to the folder of LIFE (the launcher's
 *            container does this in its postStart hook), so that
 *        attendant always|once COMMAND [ARGUMENT...]
 *            can run them in other containers of the pod, which start after that.
 *
 * The kubelet never restarts these containers, and a pod waits for the last of its containers. So this program restarts
 * a COMMAND that has ended (always), or stays when the COMMAND has succeeded and fails with it (once). It ends with
 * status 0 when the supervisor has ended. It survives SIGTERM, which the kubelet sends to all containers when the pod
 * is deleted: the guest still has its grace period.
 *
 * The supervisor reads LIFE, a FIFO, as long as it lives. The kernel reports its end to writers, however it ended. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/sendfile.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef HELPERS
#define HELPERS "/var/run/kubevirt/helpers/"
#endif
#define LIFE HELPERS "life"		/* as in supervisor.c */
#define PAUSE_S 1			/* before the restart of a command that ran for less */
#ifndef LAST_S
#define LAST_S 5			/* for a command to end in */
#endif

static sigset_t unblocked;

static void fail(const char *subject)
{
	fprintf(stderr, "attendant: %s: %s\n", subject, strerror(errno));
	exit(1);
}

/* Waits for LIFE if it is not there yet. Fails with ENXIO if the supervisor has ended. */
static int open_life(void)
{
	int watch = inotify_init1(IN_CLOEXEC), life;
	char ignored[4096];

	if (watch >= 0 && inotify_add_watch(watch, HELPERS, IN_MOVED_TO) < 0) {
		close(watch);
		watch = -1;
	}
	while ((life = open(LIFE, O_WRONLY | O_NONBLOCK | O_CLOEXEC)) < 0 && errno == ENOENT)
		if (read(watch, ignored, sizeof ignored) < 0)
			sleep(1);	/* the node has no inotify instance left */
	if (watch >= 0)
		close(watch);	/* else errno would be close's */
	return life;
}

/* Atomically: a hook may run twice. */
static void copy(const char *program)
{
	char destination[256], temporary[256];
	const char *slash = strrchr(program, '/');
	int from = open(program, O_RDONLY | O_CLOEXEC), to;
	ssize_t n;

	snprintf(destination, sizeof destination, HELPERS "%s", slash ? slash + 1 : program);
	snprintf(temporary, sizeof temporary, HELPERS "part-%d", getpid());
	to = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0555);
	if (from < 0 || to < 0)
		fail(program);
	while ((n = sendfile(to, from, NULL, 1 << 20)) > 0)
		;
	if (n < 0 || close(to) || close(from) || rename(temporary, destination))
		fail(destination);
}

static void install(char **programs)
{
	char own[256] = "";

	if (open_life() < 0)
		fail(LIFE);
	if (readlink("/proc/self/exe", own, sizeof own - 1) < 0)
		fail("/proc/self/exe");
	while (*programs)
		copy(*programs++);
	copy(own);	/* last: without it a container cannot start, and the controller replaces the pod */
}

static time_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec;
}

static pid_t start(char **command)
{
	pid_t child = fork();

	if (child < 0)
		fail("fork");
	if (child == 0) {
		/* Now what was sent since fork arrives: our handler would swallow it before the program is there. */
		signal(SIGTERM, SIG_DFL);
		signal(SIGINT, SIG_DFL);
		sigprocmask(SIG_SETMASK, &unblocked, NULL);
		execv(command[0], command);
		perror(command[0]);
		_exit(127);
	}
	return child;
}

static void leave(int number)
{
	(void)number;
	_exit(0);
}

static void survive(int number)
{
	(void)number;
}

/* Waits for at most `pause` seconds, or without end. Whether the supervisor has ended. */
static int supervisor_ended(int life, time_t pause)
{
	struct pollfd all = { .fd = life };
	struct timespec t = { pause, 0 };

	return ppoll(&all, 1, pause ? &t : NULL, &unblocked) > 0;
}

static int attend(char **command, int always)
{
	struct sigaction action = { .sa_handler = survive, .sa_flags = SA_RESTART };
	const struct timespec second = { 1, 0 };
	int life, status = 0;
	time_t started = 0, pause = 0;
	sigset_t blocked;
	pid_t child = 0;

	signal(SIGTERM, leave);
	life = open_life();
	if (life < 0 && errno == ENXIO)
		return 0;
	if (life < 0)
		fail(LIFE);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGCHLD);
	sigaddset(&blocked, SIGTERM);
	sigaddset(&blocked, SIGINT);
	sigprocmask(SIG_BLOCK, &blocked, &unblocked);
	sigaction(SIGCHLD, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	for (;;) {
		if (!child && (always || !started) && now() >= started + pause) {
			started = now();
			child = start(command);
		}
		if (supervisor_ended(life, child || !always ? 0 : pause))
			break;
		if (!child || waitpid(child, &status, WNOHANG) != child)
			continue;
		child = 0;
		pause = now() - started < PAUSE_S ? PAUSE_S : 0;
		if (!always && status)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
	if (child && !kill(child, SIGTERM))
		for (int i = 0; i < LAST_S && !waitpid(child, NULL, WNOHANG); i++)
			ppoll(NULL, 0, &second, &unblocked);	/* until SIGCHLD */
	return 0;	/* and the runtime kills what is left */
}

int main(int argc, char **argv)
{
	if (argc >= 2 && !strcmp(argv[1], "install")) {
		install(argv + 2);
		return 0;
	}
	if (argc >= 3 && (!strcmp(argv[1], "always") || !strcmp(argv[1], "once")))
		return attend(argv + 2, !strcmp(argv[1], "always"));
	fprintf(stderr, "usage: attendant install PROGRAM... | attendant always|once COMMAND [ARGUMENT...]\n");
	return 64;
}
