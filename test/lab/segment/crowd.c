/*
 * Many clients of a segment in one process, each with an address of its own and one request at a time: over a new connection
 * to one port or the other, as a datagram, or, one client in ten, over a connection that it keeps. Each request is answered
 * with who answers and which request of this client that is (server.c), so that a client knows whether it is with one server,
 * and whether that has taken each of its requests once.
 *
 * Started as: crowd ADDRESS PORT PORT FIRST-CLIENT CLIENTS RATE. Lines on standard input: `stop`. On standard output, a line
 * of JSON each: {"ready":true}; every half second what has become of requests so far; of every request that went wrong, and
 * of every client that found another server, what and when; at the end {"done":true}.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX    16384
#define BATCH          256
#define KEPT_EACH      10
#define TIMEOUT_MS     4000 /* a SYN is sent again after one second, and after two more */
#define TELL_MS        500
#define NAME_MAX_BYTES 16
#define TOLD_MAX       100000

enum kind { FIRST_PORT, SECOND_PORT, DATAGRAM, KEPT };
static const char *kinds[] = {"first", "second", "datagram", "kept"};

struct client {
  int fd; /* -1: none */
  bool is_busy, is_connected;
  enum kind kind;
  unsigned number; /* of its request */
  unsigned count; /* as the server said last */
  char server[NAME_MAX_BYTES];
  double began_ms, connected_ms;
};

static struct client clients[CLIENTS_MAX];
static struct sockaddr_in service[2], first_client;
static int epoll, client_count;
static unsigned long sent, answered, failed, moved, missed, told;
static double slowest_ms;
static unsigned long slow_count;

static double now_ms(void) {
  struct timespec now;

  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static void drop(struct client *it) {
  if (it->fd >= 0)
    close(it->fd);
  it->fd = -1;
  it->is_connected = false;
}

static void fails(struct client *it, const char *what) {
  failed++;
  if (told++ < TOLD_MAX)
    printf("{\"failed\":\"%s\",\"client\":%ld,\"kind\":\"%s\",\"connected\":%s,\"server\":\"%s\",\"beganMs\":"
           "%.0f,"
           "\"atMs\":%.0f}\n",
           what, it - clients, kinds[it->kind], it->is_connected ? "true" : "false", it->server, it->began_ms,
           now_ms());
  drop(it);
  it->is_busy = false;
  /* Whether the server counted this one is not known. */
  it->count = 0;
}

static void take_answer(struct client *it, char *line) {
  unsigned number, count;
  char server[NAME_MAX_BYTES];

  if (sscanf(line, "%u %15s %u", &number, server, &count) != 3 || number != it->number) {
    fails(it, "another answer");
    return;
  }
  bool has_moved = it->server[0] && strcmp(it->server, server);
  bool has_missed = !has_moved && it->count && count != it->count + 1;

  if ((has_moved || has_missed) && told++ < TOLD_MAX)
    printf(
        "{\"%s\":\"%s\",\"client\":%ld,\"kind\":\"%s\",\"server\":\"%s\",\"beganMs\":%.0f,\"atMs\":%.0f}\n",
        has_moved ? "moved" : "missed", it->server, it - clients, kinds[it->kind], server, it->began_ms,
        now_ms());
  moved += has_moved;
  missed += has_missed;
  double took_ms = now_ms() - it->began_ms;

  slowest_ms = took_ms > slowest_ms ? took_ms : slowest_ms;
  slow_count += took_ms > 500;
  answered++;
  strcpy(it->server, server);
  it->count = count;
  if (it->kind != KEPT)
    drop(it);
  it->is_busy = false;
}

static void ask(struct client *it) {
  char line[24];
  int bytes = sprintf(line, "%08u\n", it->number);

  if (send(it->fd, line, bytes, MSG_NOSIGNAL) != bytes)
    fails(it, strerror(errno));
}

static void begin(struct client *it) {
  long index = it - clients;
  int yes = 1;

  it->kind = index % KEPT_EACH == 0 ? KEPT : (enum kind)((index + it->number) % 3);
  it->number++;
  it->is_busy = true;
  it->began_ms = now_ms();
  sent++;
  if (it->kind == KEPT && it->fd >= 0) {
    ask(it);
    return;
  }
  struct sockaddr_in own = first_client, *to = &service[it->kind == SECOND_PORT];
  int type = it->kind == DATAGRAM ? SOCK_DGRAM : SOCK_STREAM;

  own.sin_addr.s_addr = htonl(ntohl(own.sin_addr.s_addr) + index);
  it->is_connected = false;
  it->fd = socket(AF_INET, type | SOCK_NONBLOCK, 0);
  setsockopt(it->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof(yes));
  if (type == SOCK_STREAM)
    setsockopt(it->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes));
  if (it->fd < 0 || bind(it->fd, (struct sockaddr *)&own, sizeof(own)) ||
      (connect(it->fd, (struct sockaddr *)to, sizeof(*to)) && errno != EINPROGRESS)) {
    fails(it, strerror(errno));
    return;
  }
  struct epoll_event event = {.events = EPOLLIN | (type == SOCK_STREAM ? EPOLLOUT : 0), .data.u32 = index};

  if (epoll_ctl(epoll, EPOLL_CTL_ADD, it->fd, &event)) {
    fails(it, strerror(errno));
    return;
  }
  if (type == SOCK_DGRAM)
    ask(it);
}

static void connected(struct client *it, long index) {
  int error = 0;
  socklen_t size = sizeof(error);
  struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};

  if (getsockopt(it->fd, SOL_SOCKET, SO_ERROR, &error, &size) || error) {
    fails(it, strerror(error));
    return;
  }
  it->is_connected = true;
  epoll_ctl(epoll, EPOLL_CTL_MOD, it->fd, &event);
  ask(it);
}

static void take_event(const struct epoll_event *event) {
  struct client *it = &clients[event->data.u32];
  char line[128];

  if (it->fd < 0)
    return;
  if (it->kind != DATAGRAM && !it->is_connected) {
    connected(it, event->data.u32);
    return;
  }
  ssize_t bytes = recv(it->fd, line, sizeof(line) - 1, 0);

  if (bytes < 0 && errno == EAGAIN)
    return;
  if (bytes <= 0 || !it->is_busy) {
    fails(it, bytes < 0 ? strerror(errno) : bytes ? "an answer too many" : "closed");
    return;
  }
  line[bytes] = 0;
  take_answer(it, line);
}

static void tell(void) {
  printf("{\"sent\":%lu,\"answered\":%lu,\"failed\":%lu,\"moved\":%lu,\"missed\":%lu,\"slow\":%lu,"
         "\"slowestMs\":%.0f,"
         "\"atMs\":%.0f}\n",
         sent, answered, failed, moved, missed, slow_count, slowest_ms, now_ms());
  fflush(stdout);
}

static bool is_told_to_stop(void) {
  char line[16];
  ssize_t bytes = read(0, line, sizeof(line));

  return bytes == 0 || (bytes > 0 && !strncmp(line, "stop", 4));
}

int main(int count, char **arguments) {
  struct epoll_event events[BATCH];

  if (count != 7)
    return 2;
  for (int i = 0; i < 2; i++) {
    service[i] = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(arguments[2 + i]))};
    inet_pton(AF_INET, arguments[1], &service[i].sin_addr);
  }
  first_client.sin_family = AF_INET;
  inet_pton(AF_INET, arguments[4], &first_client.sin_addr);
  client_count = atoi(arguments[5]);
  double rate = atof(arguments[6]) / 1e3, due = 0, last = now_ms(), tell_at = last;

  if (client_count < 1 || client_count > CLIENTS_MAX)
    return 2;
  epoll = epoll_create1(0);
  fcntl(0, F_SETFL, O_NONBLOCK);
  for (int i = 0; i < client_count; i++)
    clients[i].fd = -1;
  puts("{\"ready\":true}");
  fflush(stdout);
  bool is_stopping = false;
  int next = 0, busy = 0;

  do {
    int ready = epoll_wait(epoll, events, BATCH, 1);
    double now = now_ms();

    for (int i = 0; i < ready; i++)
      take_event(&events[i]);
    due += (now - last) * rate;
    last = now;
    /* What is late is not caught up with: it would be a burst that no network has. */
    if (due > 64)
      due = 64;
    for (int tries = client_count; !is_stopping && due >= 1 && tries > 0; tries--) {
      struct client *it = &clients[next++ % client_count];

      if (it->is_busy)
        continue;
      begin(it);
      due--;
    }
    if (now < tell_at && !is_stopping)
      continue;
    tell_at = now + TELL_MS;
    busy = 0;
    for (int i = 0; i < client_count; i++) {
      if (clients[i].is_busy && now - clients[i].began_ms > TIMEOUT_MS)
        fails(&clients[i], "no answer");
      busy += clients[i].is_busy;
    }
    is_stopping = is_stopping || is_told_to_stop();
    if (!is_stopping || busy == 0)
      tell();
  } while (!is_stopping || busy > 0);
  puts("{\"done\":true}");
  return 0;
}
