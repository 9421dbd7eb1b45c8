#include "netns.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace libbpf_ts {

NetnsVisit::NetnsVisit(Napi::Env env, const std::string &path) {
  if (path.empty())
    return;
  // thread-self, not self: a worker thread may live in another namespace than the main thread.
  UniqueFd home(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (!home)
    throw SystemError(env, errno, "open the current network namespace");
  UniqueFd target(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!target)
    throw SystemError(env, errno, "open the network namespace");
  if (setns(target.get(), CLONE_NEWNET) != 0)
    throw SystemError(env, errno, "enter the network namespace");
  home_ = std::move(home);
}

NetnsVisit::~NetnsVisit() {
  if (home_ && setns(home_.get(), CLONE_NEWNET) != 0) {
    fprintf(stderr, "libbpf-ts: cannot return to the network namespace: %s\n", strerror(errno));
    abort();
  }
}

unsigned int InterfaceIndex(Napi::Env env, Napi::Value interface) {
  if (interface.IsNumber())
    return interface.As<Napi::Number>().Uint32Value();
  std::string name = interface.As<Napi::String>().Utf8Value();
  unsigned int index = if_nametoindex(name.c_str());
  if (index == 0)
    throw SystemError(env, errno, "find the interface");
  return index;
}

} // namespace libbpf_ts
