// Owns the visit of the calling thread to another network namespace. JavaScript never runs inside one.
#pragma once

#include "convert.h"

#include <string>

namespace libbpf_ts {

class NetnsVisit {
public:
  // An empty path stays where the thread is.
  NetnsVisit(Napi::Env env, const std::string &path);
  NetnsVisit(const NetnsVisit &) = delete;
  NetnsVisit &operator=(const NetnsVisit &) = delete;
  // Restores the thread's namespace. Aborts if the kernel refuses: every later socket of this thread would be
  // opened in a namespace nobody asked for, and no caller could tell.
  ~NetnsVisit();

private:
  UniqueFd home_;
};

// The index of an interface given by name or number, in the thread's current namespace.
unsigned int InterfaceIndex(Napi::Env env, Napi::Value interface);

} // namespace libbpf_ts
