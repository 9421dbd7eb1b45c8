// Owns one descriptor of a loaded BPF program: information, pinning, test runs.
#pragma once

#include "convert.h"

namespace libbpf_ts {

class Program : public Napi::ObjectWrap<Program> {
public:
  static Napi::Function Define(Napi::Env env);
  explicit Program(const Napi::CallbackInfo &info);

private:
  Napi::Value Close(const Napi::CallbackInfo &info);
  Napi::Value Fd(const Napi::CallbackInfo &info);
  Napi::Value Info(const Napi::CallbackInfo &info);
  Napi::Value Pin(const Napi::CallbackInfo &info);
  Napi::Value TestRun(const Napi::CallbackInfo &info);

  UniqueFd fd_;
};

} // namespace libbpf_ts
