/*
 * What a server of a segment serves: a line for a line, over TCP on two ports and over UDP on the first. An answer repeats
 * the request and tells who answers and which request of this client it is, over all its connections:
 *
 *   REQUEST NAME COUNT\n
 *
 * Started as: server NAME ADDRESS PORT PORT; says {"ready":true} when it listens.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS_MAX 65536
#define LINE_MAX_BYTES  64
#define BATCH           256

/* By the low half of the client's address. */
static unsigned counts[65536];
static unsigned short clients[CONNECTIONS_MAX]; /* by descriptor */
static const char *name;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static int open_socket(int type, const char *address, int port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
  int yes = 1, fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);

  if (fd < 0 || inet_pton(AF_INET, address, &to.sin_addr) != 1)
    fail("socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  if (bind(fd, (struct sockaddr *)&to, sizeof(to)))
    fail("bind");
  if (type == SOCK_STREAM && listen(fd, 4096))
    fail("listen");
  return fd;
}

static void watch(int epoll, int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
    fail("epoll_ctl");
}

static int compose(char *to, const char *line, int length, unsigned short client) {
  return sprintf(to, "%.*s %s %u\n", length, line, name, ++counts[client]);
}

static void take_connections(int epoll, int listener) {
  struct sockaddr_in from;
  socklen_t bytes = sizeof(from);
  int fd;

  while ((fd = accept4(listener, (struct sockaddr *)&from, &bytes, SOCK_NONBLOCK)) >= 0) {
    int yes = 1;

    if (fd >= CONNECTIONS_MAX) {
      close(fd);
      continue;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
    clients[fd] = ntohl(from.sin_addr.s_addr);
    watch(epoll, fd);
  }
}

/* A request is short, and its client waits for the answer: it comes whole. */
static void answer(int fd) {
  char line[LINE_MAX_BYTES], reply[2 * LINE_MAX_BYTES];
  ssize_t bytes = recv(fd, line, sizeof(line), 0);

  if (bytes < 0 && errno == EAGAIN)
    return;
  if (bytes <= 0 || line[bytes - 1] != '\n') {
    close(fd);
    return;
  }
  if (send(fd, reply, compose(reply, line, bytes - 1, clients[fd]), MSG_NOSIGNAL) < 0)
    close(fd);
}

static void answer_datagrams(int fd) {
  char line[LINE_MAX_BYTES], reply[2 * LINE_MAX_BYTES];
  struct sockaddr_in from;
  ssize_t bytes;

  for (;;) {
    socklen_t size = sizeof(from);

    bytes = recvfrom(fd, line, sizeof(line), 0, (struct sockaddr *)&from, &size);
    if (bytes <= 0)
      return;
    int length = compose(reply, line, bytes - 1, ntohl(from.sin_addr.s_addr));
    sendto(fd, reply, length, 0, (struct sockaddr *)&from, size);
  }
}

int main(int count, char **arguments) {
  struct epoll_event events[BATCH];
  int epoll = epoll_create1(0);

  if (count != 5 || epoll < 0)
    return 2;
  name = arguments[1];
  int first = open_socket(SOCK_STREAM, arguments[2], atoi(arguments[3]));
  int second = open_socket(SOCK_STREAM, arguments[2], atoi(arguments[4]));
  int datagrams = open_socket(SOCK_DGRAM, arguments[2], atoi(arguments[3]));

  watch(epoll, first);
  watch(epoll, second);
  watch(epoll, datagrams);
  puts("{\"ready\":true}");
  fflush(stdout);
  for (;;) {
    int ready = epoll_wait(epoll, events, BATCH, -1);

    if (ready < 0 && errno != EINTR)
      fail("epoll_wait");
    for (int i = 0; i < ready; i++) {
      int fd = events[i].data.fd;

      if (fd == first || fd == second)
        take_connections(epoll, fd);
      else if (fd == datagrams)
        answer_datagrams(fd);
      else
        answer(fd);
    }
  }
}
