// Owns one descriptor of a BPF link, and what is needed to make one: attaching XDP, in another namespace too.
#pragma once

#include "convert.h"

namespace libbpf_ts {

class Link : public Napi::ObjectWrap<Link> {
public:
  static Napi::Function Define(Napi::Env env);
  explicit Link(const Napi::CallbackInfo &info);

  // (programFd, interface, mode flags, netns path, replaceExisting) → fd; throws
  static Napi::Value AttachXdp(const Napi::CallbackInfo &info);
  // (interface, netns path) → { mode, programId, nativeId, genericId, offloadId }; throws
  static Napi::Value QueryXdp(const Napi::CallbackInfo &info);

private:
  Napi::Value Close(const Napi::CallbackInfo &info);
  Napi::Value Fd(const Napi::CallbackInfo &info);
  Napi::Value Info(const Napi::CallbackInfo &info);
  Napi::Value Update(const Napi::CallbackInfo &info);
  Napi::Value Detach(const Napi::CallbackInfo &info);
  Napi::Value Pin(const Napi::CallbackInfo &info);

  UniqueFd fd_;
};

} // namespace libbpf_ts
