#include "credentials.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// setfsuid(2) and setfsgid(2) report no failure; asked for an impossible identity they say what holds.
static constexpr unsigned kAsk = 0xffffffff;

static int SetGroups(const std::vector<gid_t> &groups) {
  return ::syscall(SYS_setgroups, groups.size(), groups.data()) == 0 ? 0 : errno;
}

static int SetFsGid(gid_t gid) {
  ::syscall(SYS_setfsgid, gid);
  return static_cast<gid_t>(::syscall(SYS_setfsgid, kAsk)) == gid ? 0 : EPERM;
}

static int SetFsUid(uid_t uid) {
  ::syscall(SYS_setfsuid, uid);
  return static_cast<uid_t>(::syscall(SYS_setfsuid, kAsk)) == uid ? 0 : EPERM;
}

ThreadCredentials::ThreadCredentials() : own_{} {
  own_.uid = static_cast<uid_t>(::syscall(SYS_setfsuid, kAsk));
  own_.gid = static_cast<gid_t>(::syscall(SYS_setfsgid, kAsk));
  long count = ::syscall(SYS_getgroups, 0, nullptr);
  own_.groups.resize(count > 0 ? count : 0);
  if (count > 0)
    count = ::syscall(SYS_getgroups, own_.groups.size(), own_.groups.data());
  // Without the list there would be no way back.
  if (count < 0 || static_cast<size_t>(count) != own_.groups.size()) {
    std::perror("getgroups");
    std::abort();
  }
}

ThreadCredentials::~ThreadCredentials() {
  Return();
}

int ThreadCredentials::Assume(const std::shared_ptr<const Credentials> &caller) {
  const Credentials &current = assumed_ ? *assumed_ : own_;
  if (current.SameRights(*caller))
    return 0;
  Return();
  if (own_.SameRights(*caller))
    return 0;
  // From here on Return() undoes whatever of it was done. The fsuid comes last: with it the rights of root go.
  assumed_ = caller;
  int error = caller->groups == own_.groups ? 0 : SetGroups(caller->groups);
  if (error == 0)
    error = SetFsGid(caller->gid);
  if (error == 0)
    error = SetFsUid(caller->uid);
  if (error != 0)
    Return();
  return error;
}

void ThreadCredentials::Return() {
  if (!assumed_)
    return;
  int error = SetFsUid(own_.uid);
  if (error == 0)
    error = SetFsGid(own_.gid);
  if (error == 0 && assumed_->groups != own_.groups)
    error = SetGroups(own_.groups);
  if (error != 0) {
    errno = error;
    std::perror("cannot return to this thread's own credentials, aborting");
    std::abort();
  }
  assumed_.reset();
}

int ConfineThread() {
  // With this bit the kernel would leave a caller the capabilities of root.
  const int bits = ::prctl(PR_GET_SECUREBITS);
  if (bits < 0)
    return errno;
  if ((bits & SECBIT_NO_SETUID_FIXUP) != 0)
    return EPERM;
  if (::unshare(CLONE_FS) != 0)
    return errno;
  ::umask(0);
  static constexpr unsigned kKept[] = {CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER,
                                       CAP_FSETID, CAP_MKNOD,        CAP_SETUID,          CAP_SETGID};
  __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};
  if (::syscall(SYS_capget, &header, data) != 0)
    return errno;
  uint32_t kept[_LINUX_CAPABILITY_U32S_3] = {};
  for (const unsigned capability : kKept)
    kept[CAP_TO_INDEX(capability)] |= CAP_TO_MASK(capability);
  for (size_t i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
    data[i].effective &= kept[i];
    data[i].permitted &= kept[i];
    data[i].inheritable = 0;
  }
  return ::syscall(SYS_capset, &header, data) == 0 ? 0 : errno;
}
