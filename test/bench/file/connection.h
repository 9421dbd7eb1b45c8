// The benchmark's connection to an NFS server, and the calls that are made one at a time, outside of what is measured.
#pragma once
#include <stdint.h>
#include <nfsc/libnfs.h>
#include <nfsc/libnfs-raw.h>
#include <nfsc/libnfs-raw-mount.h>
#include <nfsc/libnfs-raw-nfs.h>

#define HANDLE_BYTES_MAX 64

struct handle {
  uint32_t length;
  char bytes[HANDLE_BYTES_MAX];
};

_Noreturn void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
uint64_t now_ns(void);

struct rpc_context *connected(const char *address, int port);
// Waits for what comes next, and has libnfs take it.
void serve(struct rpc_context *rpc);

struct handle mount_root(const char *address, int port, const char *path);
struct handle lookup(struct rpc_context *rpc, struct handle *directory, const char *name);
void create(struct rpc_context *rpc, struct handle *directory, const char *name);
void make_directory(struct rpc_context *rpc, struct handle *directory, const char *name);
void remove_directory(struct rpc_context *rpc, struct handle *directory, const char *name);
void commit(struct rpc_context *rpc, struct handle *file);

// All writes and commits must tell the same: https://www.rfc-editor.org/rfc/rfc1813#section-3.3.7
void check_verifier(const char *verifier);

struct nfs_fh3 fh_of(struct handle *handle);
