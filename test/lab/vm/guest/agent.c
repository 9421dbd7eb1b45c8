// Owns the guest's end of the channel between a test and its virtual machine: process 1 there, once init has set the
// machine up. It runs scripts, several at once, and sends back what they say and how they end. It knows nothing of
// what the scripts are for.
//
// Both ways the channel carries frames: id, kind, length (u32 little-endian each), then that many bytes. The host sends
// RUN (length of the script, script, standard input), KILL and OFF; the guest sends READY, OUT, ERR and EXIT. When
// the host's end closes, by plan or by a crash, the machine is switched off: it outlives nobody.
//
// agent PORT
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOBS_MAX        32
#define FRAME_BYTES_MAX (64u << 20)
#define CHUNK_BYTES     65536
#define SHELL           "/bin/sh"

enum kind { RUN = 1, KILL = 2, OFF = 3, READY = 16, OUT = 17, ERR = 18, EXIT = 19 };

struct header {
  uint32_t id;
  uint32_t kind;
  uint32_t length;
};

struct job {
  uint32_t id;
  pid_t pid; // 0: a free place
  int out, err;
};

static struct job jobs[JOBS_MAX];
static int port;

// Nothing is synchronized: a mount whose server is gone would keep the machine for ever.
static _Noreturn void power_off(void) {
  reboot(RB_AUTOBOOT);
  _exit(1);
}

static _Noreturn void fail(const char *what) {
  dprintf(STDERR_FILENO, "agent: %s: %s\n", what, strerror(errno));
  power_off();
}

static void read_all(void *to, size_t length) {
  for (size_t done = 0; done < length;) {
    ssize_t got = read(port, (char *)to + done, length - done);
    if (got == 0)
      power_off();
    if (got < 0 && errno != EINTR && errno != EAGAIN)
      fail("reading the channel");
    if (got > 0)
      done += (size_t)got;
  }
}

static void write_all(int fd, const void *from, size_t length) {
  for (size_t done = 0; done < length;) {
    ssize_t put = write(fd, (const char *)from + done, length - done);
    if (put < 0 && errno != EINTR && errno != EAGAIN)
      fail("writing");
    if (put > 0)
      done += (size_t)put;
  }
}

static void send_frame(uint32_t id, enum kind kind, const void *bytes, uint32_t length) {
  struct header header = {.id = id, .kind = kind, .length = length};
  write_all(port, &header, sizeof header);
  write_all(port, bytes, length);
}

static int input_of(const char *bytes, size_t length) {
  int fd = memfd_create("input", MFD_CLOEXEC);
  if (fd < 0)
    fail("memfd_create");
  write_all(fd, bytes, length);
  lseek(fd, 0, SEEK_SET);
  return fd;
}

static _Noreturn void become(const char *script, int in, int out, int err) {
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  // A session of its own: its processes are killed together.
  setsid();
  dup2(in, STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  execl(SHELL, SHELL, "-c", script, (char *)NULL);
  _exit(127);
}

static void start(uint32_t id, const char *body, uint32_t length) {
  struct job *job = jobs;
  uint32_t script_length;
  int out[2], err[2];
  while (job < jobs + JOBS_MAX && job->pid != 0)
    job++;
  memcpy(&script_length, body, sizeof script_length);
  if (job == jobs + JOBS_MAX || script_length > length - sizeof script_length) {
    errno = E2BIG;
    fail("starting a script");
  }
  char *script = strndup(body + sizeof script_length, script_length);
  int in =
      input_of(body + sizeof script_length + script_length, length - sizeof script_length - script_length);
  if (script == NULL || pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0)
    fail("pipe2");
  pid_t pid = fork();
  if (pid < 0)
    fail("fork");
  if (pid == 0)
    become(script, in, out[1], err[1]);
  free(script);
  close(in);
  close(out[1]);
  close(err[1]);
  fcntl(out[0], F_SETFL, O_NONBLOCK);
  fcntl(err[0], F_SETFL, O_NONBLOCK);
  *job = (struct job){.id = id, .pid = pid, .out = out[0], .err = err[0]};
}

static void receive(void) {
  struct header header;
  read_all(&header, sizeof header);
  if (header.length > FRAME_BYTES_MAX || (header.kind == RUN && header.length < sizeof(uint32_t))) {
    errno = EPROTO;
    fail("a frame's length");
  }
  char *body = malloc(header.length + 1);
  if (body == NULL)
    fail("malloc");
  read_all(body, header.length);
  if (header.kind == OFF)
    power_off();
  if (header.kind == RUN)
    start(header.id, body, header.length);
  if (header.kind == KILL) {
    for (struct job *job = jobs; job < jobs + JOBS_MAX; job++) {
      if (job->pid != 0 && job->id == header.id)
        kill(-job->pid, SIGKILL);
    }
  }
  free(body);
}

// Returns whether there may be more later.
static int pass_on(uint32_t id, enum kind kind, int fd) {
  static char chunk[CHUNK_BYTES];
  for (;;) {
    ssize_t got = read(fd, chunk, sizeof chunk);
    if (got <= 0)
      return got < 0 && (errno == EAGAIN || errno == EINTR);
    send_frame(id, kind, chunk, (uint32_t)got);
  }
}

static void pass_on_open(struct job *job, enum kind kind, int *fd) {
  if (*fd < 0 || pass_on(job->id, kind, *fd))
    return;
  close(*fd);
  *fd = -1;
}

// What a script left running in the background may hold its pipes: the end of the script itself counts.
static void finish(struct job *job, int status) {
  uint32_t code = (uint32_t)(WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
  pass_on_open(job, OUT, &job->out);
  pass_on_open(job, ERR, &job->err);
  if (job->out >= 0)
    close(job->out);
  if (job->err >= 0)
    close(job->err);
  job->pid = 0;
  send_frame(job->id, EXIT, &code, sizeof code);
}

// Process 1 also inherits everybody's orphans.
static void reap(int signals) {
  struct signalfd_siginfo info;
  int status;
  pid_t pid;
  while (read(signals, &info, sizeof info) > 0) {
  }
  while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
    for (struct job *job = jobs; job < jobs + JOBS_MAX; job++) {
      if (job->pid == pid)
        finish(job, status);
    }
  }
}

int main(int count, char **arguments) {
  sigset_t children;
  if (count != 2 || (port = open(arguments[1], O_RDWR | O_CLOEXEC)) < 0)
    fail("opening the channel");
  sigemptyset(&children);
  sigaddset(&children, SIGCHLD);
  sigprocmask(SIG_BLOCK, &children, NULL);
  int signals = signalfd(-1, &children, SFD_CLOEXEC | SFD_NONBLOCK);
  send_frame(0, READY, "", 0);
  for (;;) {
    struct pollfd polled[2 + 2 * JOBS_MAX] = {{.fd = port, .events = POLLIN},
                                              {.fd = signals, .events = POLLIN}};
    for (int i = 0; i < JOBS_MAX; i++) {
      polled[2 + 2 * i] = (struct pollfd){.fd = jobs[i].pid ? jobs[i].out : -1, .events = POLLIN};
      polled[3 + 2 * i] = (struct pollfd){.fd = jobs[i].pid ? jobs[i].err : -1, .events = POLLIN};
    }
    if (poll(polled, 2 + 2 * JOBS_MAX, -1) < 0 && errno != EINTR)
      fail("poll");
    for (int i = 0; i < JOBS_MAX; i++) {
      if (polled[2 + 2 * i].revents != 0)
        pass_on_open(&jobs[i], OUT, &jobs[i].out);
      if (polled[3 + 2 * i].revents != 0)
        pass_on_open(&jobs[i], ERR, &jobs[i].err);
    }
    if (polled[1].revents != 0)
      reap(signals);
    if (polled[0].revents & POLLHUP)
      power_off();
    if (polled[0].revents & POLLIN)
      receive();
  }
}
