// See connection.h.
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/socket.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include "connection.h"

#define STALL_LIMIT_MS 30000
#define NS_PER_S       1000000000ull

_Noreturn void fail(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fputs("client: ", stderr);
  vfprintf(stderr, format, arguments);
  fputs("\n", stderr);
  exit(1);
}

uint64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static char verifier[NFS3_WRITEVERFSIZE];
static int has_verifier;

struct nfs_fh3 fh_of(struct handle *handle) {
  return (struct nfs_fh3){.data = {.data_len = handle->length, .data_val = handle->bytes}};
}

static void keep_handle(struct handle *handle, uint32_t length, const char *bytes) {
  if (length > HANDLE_BYTES_MAX)
    fail("a handle of %u bytes", length);
  handle->length = length;
  memcpy(handle->bytes, bytes, length);
}

void serve(struct rpc_context *context) {
  struct pollfd polled = {.fd = rpc_get_fd(context), .events = (short)rpc_which_events(context)};
  int ready = poll(&polled, 1, STALL_LIMIT_MS);
  if (ready == 0)
    fail("no answer for %d ms", STALL_LIMIT_MS);
  if (ready < 0 && errno != EINTR)
    fail("poll: %s", strerror(errno));
  if (ready > 0 && rpc_service(context, polled.revents) < 0)
    fail("the connection: %s", rpc_get_error(context));
}

// One call at a time, outside of what is measured.
struct single {
  int is_done;
  void (*take)(void *answer, void *to);
  void *to;
};

static void on_single(struct rpc_context *context, int status, void *answer, void *private) {
  struct single *single = private;
  if (status != RPC_STATUS_SUCCESS)
    fail("a call failed: %s", status == RPC_STATUS_ERROR && answer ? (char *)answer : rpc_get_error(context));
  if (single->take != NULL)
    single->take(answer, single->to);
  single->is_done = 1;
}

static void finish(struct rpc_context *context, int sent, struct single *single) {
  if (sent != 0)
    fail("a call cannot be sent: %s", rpc_get_error(context));
  while (!single->is_done)
    serve(context);
}

struct rpc_context *connected(const char *address, int port) {
  struct rpc_context *context = rpc_init_context();
  struct single single = {0};
  int on = 1;
  finish(context, rpc_connect_async(context, address, port, on_single, &single), &single);
  setsockopt(rpc_get_fd(context), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return context;
}

static void take_mount(void *answer, void *to) {
  struct mountres3 *result = answer;
  if (result->fhs_status != MNT3_OK)
    fail("MNT: status %d", result->fhs_status);
  fhandle3 *handle = &result->mountres3_u.mountinfo.fhandle;
  keep_handle(to, handle->fhandle3_len, handle->fhandle3_val);
}

struct handle mount_root(const char *address, int port, const char *path) {
  struct rpc_context *context = connected(address, port);
  struct handle root;
  struct single single = {.take = take_mount, .to = &root};
  finish(context, rpc_mount3_mnt_async(context, on_single, (char *)path, &single), &single);
  rpc_destroy_context(context);
  return root;
}

static void take_lookup(void *answer, void *to) {
  struct LOOKUP3res *result = answer;
  if (result->status != NFS3_OK)
    fail("LOOKUP: status %d", result->status);
  struct nfs_fh3 *object = &result->LOOKUP3res_u.resok.object;
  keep_handle(to, object->data.data_len, object->data.data_val);
}

struct handle lookup(struct rpc_context *rpc, struct handle *directory, const char *name) {
  struct handle handle;
  struct LOOKUP3args arguments = {.what = {.dir = fh_of(directory), .name = (char *)name}};
  struct single single = {.take = take_lookup, .to = &handle};
  finish(rpc, rpc_nfs3_lookup_async(rpc, on_single, &arguments, &single), &single);
  return handle;
}

void check_verifier(const char *from) {
  if (!has_verifier)
    memcpy(verifier, from, sizeof verifier);
  else if (memcmp(verifier, from, sizeof verifier) != 0)
    fail("the write verifier changed: the server lost what was not committed");
  has_verifier = 1;
}

static void take_commit(void *answer, void *to) {
  struct COMMIT3res *result = answer;
  (void)to;
  if (result->status != NFS3_OK)
    fail("COMMIT: status %d", result->status);
  check_verifier(result->COMMIT3res_u.resok.verf);
}

void commit(struct rpc_context *rpc, struct handle *file) {
  struct COMMIT3args arguments = {.file = fh_of(file)};
  struct single single = {.take = take_commit};
  finish(rpc, rpc_nfs3_commit_async(rpc, on_single, &arguments, &single), &single);
}

static void take_created(void *answer, void *to) {
  struct CREATE3res *result = answer;
  (void)to;
  if (result->status != NFS3_OK)
    fail("CREATE: status %d", result->status);
}

void create(struct rpc_context *rpc, struct handle *directory, const char *name) {
  struct CREATE3args arguments = {.where = {.dir = fh_of(directory), .name = (char *)name},
                                  .how = {.mode = UNCHECKED}};
  struct single single = {.take = take_created};
  finish(rpc, rpc_nfs3_create_async(rpc, on_single, &arguments, &single), &single);
}

static void take_mkdir(void *answer, void *to) {
  struct MKDIR3res *result = answer;
  (void)to;
  if (result->status != NFS3_OK)
    fail("MKDIR: status %d", result->status);
}

void make_directory(struct rpc_context *rpc, struct handle *directory, const char *name) {
  struct MKDIR3args arguments = {.where = {.dir = fh_of(directory), .name = (char *)name}};
  struct single single = {.take = take_mkdir};
  arguments.attributes.mode.set_it = 1;
  arguments.attributes.mode.set_mode3_u.mode = 0755;
  finish(rpc, rpc_nfs3_mkdir_async(rpc, on_single, &arguments, &single), &single);
}

static void take_rmdir(void *answer, void *to) {
  struct RMDIR3res *result = answer;
  (void)to;
  if (result->status != NFS3_OK)
    fail("RMDIR: status %d", result->status);
}

void remove_directory(struct rpc_context *rpc, struct handle *directory, const char *name) {
  struct RMDIR3args arguments = {.object = {.dir = fh_of(directory), .name = (char *)name}};
  struct single single = {.take = take_rmdir};
  finish(rpc, rpc_nfs3_rmdir_async(rpc, on_single, &arguments, &single), &single);
}
