// Network namespaces of the calling thread.
#pragma once

#include <napi.h>
#include <string>

#include "unique_fd.h"

// Opens a namespace file; throws a JavaScript error when it cannot.
UniqueFd OpenNetns(Napi::Env env, const std::string &path);

// While it lives, this thread is in another network namespace. The way back is opened before the way there is
// taken, so that only a failing setns(2) to a namespace we hold can leave the thread astray. Then the
// destructor aborts the process: every later socket of the thread would silently belong to the wrong network.
class NetnsScope {
public:
  NetnsScope(Napi::Env env, const UniqueFd &target, const std::string &what);
  ~NetnsScope();
  NetnsScope(const NetnsScope &) = delete;
  NetnsScope &operator=(const NetnsScope &) = delete;

private:
  UniqueFd home_;
};

// withNetns(path, fn): what fn returns; fn's exception passes through after the return to the thread's
// namespace.
Napi::Value WithNetns(const Napi::CallbackInfo &info);
