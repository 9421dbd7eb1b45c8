// Whose rights the calling thread has at the file system: fsuid, fsgid and supplementary groups, set by raw system calls.
// The C library's wrappers would change every thread of the process.
#pragma once

#include <cstdint>
#include <memory>
#include <sys/types.h>
#include <vector>

// A caller. The kernel takes CAP_DAC_OVERRIDE and its like from a thread whose fsuid becomes other than 0.
struct Credentials {
  uint64_t serial; // never used twice, so what is remembered about one caller is never taken for another's
  uid_t uid;
  gid_t gid;
  std::vector<gid_t> groups; // sorted

  bool SameRights(const Credentials &other) const {
    return uid == other.uid && gid == other.gid && groups == other.groups;
  }
};

// The calling thread's credentials; to be used by that thread alone.
class ThreadCredentials {
public:
  // Remembers what the thread has now as its own.
  ThreadCredentials();
  ~ThreadCredentials();
  ThreadCredentials(const ThreadCredentials &) = delete;
  ThreadCredentials &operator=(const ThreadCredentials &) = delete;

  // Acts for the caller from now on. On failure an errno value, and the thread has its own credentials. Taking the same
  // caller again costs nothing.
  int Assume(const std::shared_ptr<const Credentials> &caller);

  // Has its own again. A thread that cannot return would do others' work as this caller, or a caller's work as root: the
  // process aborts.
  void Return();

private:
  Credentials own_;
  std::shared_ptr<const Credentials> assumed_;
};

// Leaves the calling thread only what a file server needs: the capabilities of file access that root has, and those that
// change credentials. Without CAP_SYS_RESOURCE quotas and reserved blocks hold for every caller. The thread also gets a
// umask of its own, 0. An errno value.
int ConfineThread();
