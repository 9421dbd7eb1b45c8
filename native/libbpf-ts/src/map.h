// Owns one descriptor of a BPF map and the sizes that its calls must respect. Calls on the hot path return 0
// or a negative errno: building an error object is left to the caller who wants one.
#pragma once

#include "convert.h"

namespace libbpf_ts {

class Map : public Napi::ObjectWrap<Map> {
public:
  static Napi::Function Define(Napi::Env env);
  explicit Map(const Napi::CallbackInfo &info);

  // (type, name, keySize, valueSize, maxEntries, flags, innerMapFd, numaNode) → fd or negative errno
  static Napi::Value Create(const Napi::CallbackInfo &info);

private:
  Napi::Value Close(const Napi::CallbackInfo &info);
  Napi::Value Fd(const Napi::CallbackInfo &info);
  Napi::Value Info(const Napi::CallbackInfo &info);
  Napi::Value Lookup(const Napi::CallbackInfo &info);
  Napi::Value Update(const Napi::CallbackInfo &info);
  Napi::Value Delete(const Napi::CallbackInfo &info);
  Napi::Value Take(const Napi::CallbackInfo &info);
  Napi::Value NextKey(const Napi::CallbackInfo &info);
  Napi::Value LookupBatch(const Napi::CallbackInfo &info);
  Napi::Value TakeBatch(const Napi::CallbackInfo &info);
  Napi::Value UpdateBatch(const Napi::CallbackInfo &info);
  Napi::Value DeleteBatch(const Napi::CallbackInfo &info);
  Napi::Value Mmap(const Napi::CallbackInfo &info);
  Napi::Value Freeze(const Napi::CallbackInfo &info);
  Napi::Value Pin(const Napi::CallbackInfo &info);

  Napi::Value ReadBatch(const Napi::CallbackInfo &info, bool remove);

  UniqueFd fd_;
  uint32_t key_bytes_ = 0;
  // What one value takes in user space: for per-CPU maps, all CPUs' copies.
  uint64_t value_bytes_ = 0;
};

} // namespace libbpf_ts
