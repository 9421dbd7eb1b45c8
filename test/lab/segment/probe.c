/*
 * How long clients of a segment wait for an answer to a datagram. Started as:
 *
 *   probe latency ADDRESS PORT FIRST-CLIENT CLIENTS            one datagram of each client, one after the other
 *   probe crash ADDRESS PORT FIRST-CLIENT CLIENTS SERVER       of each client that SERVER answers, one every 2 ms, until
 *                                                              another server has answered each
 *
 * Standard output, a line of JSON each: of `latency` all times in microseconds; of `crash` {"ready":true,"clients":N}, then
 * when, in milliseconds since the epoch, the last of them was first answered by another server.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CLIENTS_MAX    4096
#define VICTIMS_MAX    64
#define ANSWER_WAIT_MS 500
#define INTERVAL_US    2000
#define CRASH_LIMIT_S  30

static struct sockaddr_in service, first;

static double now_us(clockid_t clock) {
  struct timespec now;

  clock_gettime(clock, &now);
  return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static int open_client(int index) {
  struct sockaddr_in own = first;
  int fd = socket(AF_INET, SOCK_DGRAM, 0);

  own.sin_addr.s_addr = htonl(ntohl(own.sin_addr.s_addr) + index);
  if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof(own)) ||
      connect(fd, (struct sockaddr *)&service, sizeof(service))) {
    perror("client");
    exit(1);
  }
  return fd;
}

/* The name of who answers; false: nobody does in time. */
static bool ask(int fd, unsigned number, int wait_ms, char server[16]) {
  char line[64];
  struct pollfd ready = {.fd = fd, .events = POLLIN};
  unsigned count;
  ssize_t bytes;

  snprintf(line, sizeof(line), "%08u\n", number);
  if (send(fd, line, 9, 0) != 9 || poll(&ready, 1, wait_ms) != 1)
    return false;
  bytes = recv(fd, line, sizeof(line) - 1, 0);
  if (bytes <= 0)
    return false;
  line[bytes] = 0;
  return sscanf(line, "%*u %15s %u", server, &count) == 2;
}

static int measure_latency(int clients) {
  char server[16];

  printf("[");
  for (int i = 0; i < clients; i++) {
    int fd = open_client(i);
    double began = now_us(CLOCK_MONOTONIC);
    bool is_answered = ask(fd, i, ANSWER_WAIT_MS, server);

    printf("%s%.1f", i ? "," : "", is_answered ? now_us(CLOCK_MONOTONIC) - began : -1);
    close(fd);
  }
  puts("]");
  return 0;
}

static int measure_crash(int clients, const char *victim) {
  static int fds[VICTIMS_MAX];
  static bool is_found[VICTIMS_MAX];
  char server[16];
  int count = 0, left;
  unsigned number = 0;
  double last_us = 0, limit_us = now_us(CLOCK_MONOTONIC) + CRASH_LIMIT_S * 1e6;

  for (int i = 0; i < clients && count < VICTIMS_MAX; i++) {
    int fd = open_client(i);

    if (ask(fd, number++, ANSWER_WAIT_MS, server) && !strcmp(server, victim))
      fds[count++] = fd;
    else
      close(fd);
  }
  printf("{\"ready\":true,\"clients\":%d}\n", count);
  fflush(stdout);
  for (left = count; left && now_us(CLOCK_MONOTONIC) < limit_us;) {
    double began = now_us(CLOCK_MONOTONIC);

    for (int i = 0; i < count; i++) {
      if (is_found[i])
        continue;
      /* Of the time before, as long as nobody else answers. */
      if (!ask(fds[i], number++, 0, server) || !strcmp(server, victim))
        continue;
      is_found[i] = true;
      left--;
      last_us = now_us(CLOCK_REALTIME);
    }
    double rest = INTERVAL_US - (now_us(CLOCK_MONOTONIC) - began);

    if (rest > 0)
      usleep(rest);
  }
  printf("{\"left\":%d,\"atMs\":%.3f}\n", left, last_us / 1e3);
  return 0;
}

int main(int count, char **arguments) {
  if (count < 6)
    return 2;
  int clients = atoi(arguments[5]);

  service = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(atoi(arguments[3]))};
  first.sin_family = AF_INET;
  if (inet_pton(AF_INET, arguments[2], &service.sin_addr) != 1 ||
      inet_pton(AF_INET, arguments[4], &first.sin_addr) != 1 || clients < 1 || clients > CLIENTS_MAX)
    return 2;
  if (!strcmp(arguments[1], "latency"))
    return measure_latency(clients);
  return count == 7 && !strcmp(arguments[1], "crash") ? measure_crash(clients, arguments[6]) : 2;
}
