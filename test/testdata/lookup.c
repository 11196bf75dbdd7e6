/*
 * A program that knows nothing of pools: it looks its server up by name, connects, and stays until the server is gone; then it looks again.
 * Usage: lookup HOST PORT
 */
#define _DEFAULT_SOURCE

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* dial connects to the first address of the name that answers; at is what it is. -1: there is none. */
static int dial(const char *host, const char *port, char *at, size_t size)
{
	struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *all, *a;
	int fd = -1, problem = getaddrinfo(host, port, &hints, &all);

	if (problem != 0) {
		printf("getaddrinfo %s: %s\n", host, gai_strerror(problem));
		return -1;
	}
	for (a = all; a != NULL && fd < 0; a = a->ai_next) {
		if (getnameinfo(a->ai_addr, a->ai_addrlen, at, size, NULL, 0, NI_NUMERICHOST) != 0)
			continue;
		fd = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
		if (fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) != 0) {
			printf("connect %s: %s\n", at, strerror(errno));
			close(fd);
			fd = -1;
		}
	}
	freeaddrinfo(all);
	return fd;
}

/* talk says something, and reads until the server is gone. */
static void talk(int fd, const char *at)
{
	char reply[256];
	ssize_t n;

	if (write(fd, "hello\n", 6) != 6)
		return;
	while ((n = read(fd, reply, sizeof reply)) > 0)
		printf("served by %s: %.*s", at, (int)n, reply);
	printf("gone: %s\n", at);
}

int main(int argc, char **argv)
{
	const struct timespec pause = {.tv_nsec = 20 * 1000 * 1000};
	char at[NI_MAXHOST];

	if (argc != 3)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (;;) {
		int fd = dial(argv[1], argv[2], at, sizeof at);
		if (fd >= 0) {
			talk(fd, at);
			close(fd);
		} else {
			nanosleep(&pause, NULL);
		}
	}
}
