// SPDX-License-Identifier: Apache-2.0
//
// deadman: carries out the will of a program that does not say in time that it is alive. It owns reading the will,
// telling the time, and doing once what the will says: one file takes another's place, and BIRD is told. It does not
// know whose will it is, takes no memory while it runs, and waits for nobody for long.
//
//   deadman FILE
//
// FILE is replaced whole by its author; control/route/will_codec.ts says what is in it. Only root's word counts: FILE
// must be its own user's, and nobody else's to write. While it runs it writes the time, twice a second, to FILE.watched.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define WILL_BYTES_MAX 4096
#define PATH_BYTES_MAX 256
#define SENDS_MAX      8
#define LINE_BYTES_MAX 512

/* Between two looks at the will: so late it is carried out at most. */
#define LOOK_MS 50
#define SIGN_MS 500
/* Of a whole conversation with BIRD. */
#define ANSWER_MS      3000
#define RETRY_FIRST_MS 100
#define RETRY_LAST_MS  5000

/* BIRD: from here on a reply says that it was not done; this one, that there is nothing that it could be done to. */
#define REFUSED      8000
#define NO_PROTOCOLS 8003

struct will {
  uint64_t deadline_ms; /* UINT64_MAX: never */
  char boot[64];
  char from[PATH_BYTES_MAX];
  char to[PATH_BYTES_MAX];
  char socket[sizeof(((struct sockaddr_un *)0)->sun_path)];
  char send[SENDS_MAX][LINE_BYTES_MAX];
  unsigned int sends;
};

static volatile sig_atomic_t is_ending;

static void end(int signal) {
  (void)signal;
  is_ending = 1;
}

static void say(const char *format, ...) {
  va_list arguments;

  va_start(arguments, format);
  vdprintf(STDERR_FILENO, format, arguments);
  va_end(arguments);
}

static uint64_t now_ms(void) {
  struct timespec now;

  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Bytes of the file without its last newline, or -1; the buffer has room for one more. */
static ssize_t read_file(const char *path, char *buffer, size_t room, bool is_private) {
  struct stat status;
  ssize_t length;
  int file = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

  if (file < 0)
    return -1;
  if (is_private && (fstat(file, &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != geteuid() ||
                     (status.st_mode & (S_IWGRP | S_IWOTH)) != 0)) {
    close(file);
    errno = EPERM;
    return -1;
  }
  length = read(file, buffer, room);
  close(file);
  if (length >= 0)
    buffer[length] = '\0';
  return length;
}

static bool copy_word(char *to, size_t room, const char *from) {
  size_t length = strlen(from);

  if (length == 0 || length >= room)
    return false;
  memcpy(to, from, length + 1);
  return true;
}

static bool take_line(struct will *will, char *line) {
  char *rest = strchr(line, ' ');
  char *end;

  if (rest == NULL)
    return false;
  *rest++ = '\0';
  if (strcmp(line, "boot") == 0)
    return copy_word(will->boot, sizeof(will->boot), rest);
  if (strcmp(line, "socket") == 0)
    return copy_word(will->socket, sizeof(will->socket), rest);
  if (strcmp(line, "deadline") == 0) {
    if (strcmp(rest, "none") == 0)
      return true;
    errno = 0;
    will->deadline_ms = strtoull(rest, &end, 10);
    return errno == 0 && end != rest && *end == '\0';
  }
  if (strcmp(line, "rename") == 0) {
    char *to = strchr(rest, ' ');

    if (to == NULL)
      return false;
    *to++ = '\0';
    return strchr(to, ' ') == NULL && copy_word(will->from, sizeof(will->from), rest) &&
           copy_word(will->to, sizeof(will->to), to);
  }
  if (strcmp(line, "send") == 0)
    return will->sends < SENDS_MAX && copy_word(will->send[will->sends++], LINE_BYTES_MAX, rest);
  return false;
}

/* Half a will is none. */
static bool parse_will(char *text, struct will *will) {
  char *line, *next = text;

  memset(will, 0, sizeof(*will));
  will->deadline_ms = UINT64_MAX;
  line = strsep(&next, "\n");
  if (strcmp(line, "will 1") != 0)
    return false;
  while ((line = strsep(&next, "\n")) != NULL && strcmp(line, "end") != 0)
    if (!take_line(will, line))
      return false;
  /* A newline, and nothing behind it. */
  return line != NULL && next != NULL && *next == '\0' && will->boot[0] != '\0' && will->from[0] != '\0' &&
         will->socket[0] != '\0';
}

/* --- carrying it out --- */

static int connect_to(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

  if (fd < 0)
    return -1;
  strcpy(address.sun_path, path);
  if (connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
    return fd;
  close(fd);
  return -1;
}

/* The code of the next whole reply, whose text is dropped; -1 where none comes in time. */
static int next_reply(int fd, uint64_t until_ms) {
  char line[5];
  unsigned int length = 0;

  for (;;) {
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    uint64_t at_ms = now_ms();
    char byte;
    ssize_t got = read(fd, &byte, 1);

    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
      return -1;
    if (got < 0) {
      if (at_ms >= until_ms || poll(&waiting, 1, (int)(until_ms - at_ms)) < 0)
        return -1;
      continue;
    }
    if (byte != '\n') {
      if (length < sizeof(line))
        line[length++] = byte;
      continue;
    }
    if (length == sizeof(line) && line[4] == ' ' && line[0] >= '0' && line[0] <= '9')
      return (line[0] - '0') * 1000 + (line[1] - '0') * 100 + (line[2] - '0') * 10 + (line[3] - '0');
    length = 0;
  }
}

/* True where BIRD has done it all, or had nothing that it could be done to. A refusal of one line does not stop the rest. */
static bool tell_bird(const struct will *will) {
  uint64_t until_ms = now_ms() + ANSWER_MS;
  int fd = connect_to(will->socket);
  bool is_done = true;

  if (fd < 0) {
    /* Nobody is there who could announce anything; who comes reads the file. */
    bool is_absent = errno == ENOENT || errno == ECONNREFUSED;

    say(is_absent ? "<5>BIRD does not run\n" : "<3>BIRD cannot be reached: %m\n");
    return is_absent;
  }
  if (next_reply(fd, until_ms) < 0)
    is_done = false;
  for (unsigned int index = 0; index < will->sends && is_done; index++) {
    char line[LINE_BYTES_MAX + 1];
    int length = snprintf(line, sizeof(line), "%s\n", will->send[index]);
    int code = -1;

    if (send(fd, line, (size_t)length, MSG_NOSIGNAL) == length)
      code = next_reply(fd, until_ms);
    if (code < 0)
      is_done = false;
    else if (code >= REFUSED && code != NO_PROTOCOLS)
      say("<4>BIRD answers %04d to: %s\n", code, will->send[index]);
  }
  close(fd);
  if (!is_done)
    say("<3>BIRD does not answer\n");
  return is_done;
}

static bool put_in_place(const struct will *will) {
  if (rename(will->from, will->to) == 0)
    return true;
  /* It is there already, or the author is at it. */
  if (errno == ENOENT)
    return true;
  say("<2>%s cannot take the place of %s: %m\n", will->from, will->to);
  return false;
}

static bool carry_out(const struct will *will) {
  bool is_placed = put_in_place(will);

  return tell_bird(will) && is_placed;
}

/* --- watching --- */

struct watch {
  const char *path;
  char sign_path[PATH_BYTES_MAX];
  char boot[64];
  /* Carried out, or tried: for which deadline. */
  uint64_t done_ms;
  uint64_t tried_ms;
  uint64_t retry_at_ms;
  unsigned int pause_ms;
  uint64_t signed_ms;
  bool is_unreadable;
};

static bool is_due(const struct watch *watch, const struct will *will, uint64_t at_ms) {
  if (will->deadline_ms == UINT64_MAX)
    return false;
  /* Of an author that ran before the host did: its clock began again. */
  if (strcmp(will->boot, watch->boot) != 0)
    return true;
  return at_ms >= will->deadline_ms;
}

static bool read_will(struct watch *watch, struct will *will) {
  static char text[WILL_BYTES_MAX + 2];
  ssize_t length = read_file(watch->path, text, WILL_BYTES_MAX + 1, true);
  bool is_absent = length < 0 && errno == ENOENT;
  bool is_read = length >= 0 && length <= WILL_BYTES_MAX && parse_will(text, will);

  if (!is_read && !is_absent && !watch->is_unreadable)
    say("<3>%s is no will, or not root's alone: it is not carried out\n", watch->path);
  watch->is_unreadable = !is_read && !is_absent;
  return is_read;
}

static void look(struct watch *watch) {
  static struct will will;
  uint64_t at_ms = now_ms();

  if (!read_will(watch, &will) || !is_due(watch, &will, at_ms))
    return;
  if (watch->done_ms == will.deadline_ms)
    return;
  if (watch->tried_ms != will.deadline_ms) {
    say("<4>the deadline has passed, and nobody has set another: the will is carried out\n");
    watch->tried_ms = will.deadline_ms;
    watch->pause_ms = RETRY_FIRST_MS;
    watch->retry_at_ms = 0;
  }
  if (at_ms < watch->retry_at_ms)
    return;
  if (carry_out(&will)) {
    watch->done_ms = will.deadline_ms;
    say("<5>done\n");
    return;
  }
  watch->retry_at_ms = now_ms() + watch->pause_ms;
  if (watch->pause_ms < RETRY_LAST_MS)
    watch->pause_ms *= 2;
}

/* A datagram to the service manager: sd_notify(3). */
static void notify(const char *state) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const char *path = getenv("NOTIFY_SOCKET");
  size_t length;
  int fd;

  if (path == NULL || (path[0] != '/' && path[0] != '@'))
    return;
  length = strlen(path);
  if (length >= sizeof(address.sun_path))
    return;
  memcpy(address.sun_path, path, length);
  if (path[0] == '@')
    address.sun_path[0] = '\0';
  fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0)
    return;
  (void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&address,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length));
  close(fd);
}

/* Always as long, in one write: who reads it sees the one before or this one. */
static void sign(struct watch *watch) {
  uint64_t at_ms = now_ms();
  int file;

  if (at_ms - watch->signed_ms < SIGN_MS)
    return;
  watch->signed_ms = at_ms;
  notify("WATCHDOG=1");
  /* Its directory comes with the author. */
  file = open(watch->sign_path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (file < 0)
    return;
  dprintf(file, "%020llu\n", (unsigned long long)at_ms);
  close(file);
}

int main(int count, char **arguments) {
  struct watch watch = {.done_ms = UINT64_MAX, .tried_ms = UINT64_MAX};
  struct sigaction action = {.sa_handler = end};
  const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};

  if (count != 2 || arguments[1][0] != '/' ||
      snprintf(watch.sign_path, sizeof(watch.sign_path), "%s.watched", arguments[1]) >=
          (int)sizeof(watch.sign_path)) {
    say("usage: deadman FILE (an absolute path of at most %d bytes)\n", PATH_BYTES_MAX - 10);
    return 64;
  }
  watch.path = arguments[1];
  if (read_file("/proc/sys/kernel/random/boot_id", watch.boot, sizeof(watch.boot) - 1, false) <= 0) {
    say("<2>the id of this boot cannot be read: %m\n");
    return 71;
  }
  watch.boot[strcspn(watch.boot, "\n")] = '\0';
  /* Where memory runs out is where it is needed. */
  if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
    say("<5>memory cannot be locked: %m\n");
  sigaction(SIGTERM, &action, NULL);
  sigaction(SIGINT, &action, NULL);
  signal(SIGPIPE, SIG_IGN);
  notify("READY=1");
  while (!is_ending) {
    look(&watch);
    sign(&watch);
    nanosleep(&pause, NULL);
  }
  notify("STOPPING=1");
  unlink(watch.sign_path);
  return 0;
}
