#include "netns.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <sched.h>

#include "system_error.h"

// Not /proc/self: that is the main thread's view, and workers have their own namespace.
static constexpr const char *kThreadNetns = "/proc/thread-self/ns/net";

UniqueFd OpenNetns(Napi::Env env, const std::string &path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd)
    throw MakeSystemError(env, errno, "open " + path);
  return fd;
}

NetnsScope::NetnsScope(Napi::Env env, const UniqueFd &target, const std::string &what)
    : home_(OpenNetns(env, kThreadNetns)) {
  if (::setns(target.get(), CLONE_NEWNET) != 0)
    throw MakeSystemError(env, errno, "setns " + what);
}

NetnsScope::~NetnsScope() {
  if (::setns(home_.get(), CLONE_NEWNET) == 0)
    return;
  std::perror("holdfast: cannot return to this thread's network namespace, aborting");
  std::abort();
}

Napi::Value WithNetns(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  const std::string path = info[0].As<Napi::String>();
  const auto body = info[1].As<Napi::Function>();
  const UniqueFd target = OpenNetns(env, path);
  NetnsScope scope(env, target, path);
  return body.Call(env.Undefined(), {});
}
