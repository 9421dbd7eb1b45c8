// Owns a bpf_object between open and load. Loading hands every descriptor out as a duplicate, so nothing
// outlives the object by pointing into it.
#pragma once

#include "convert.h"

#include <bpf/libbpf.h>

#include <vector>

namespace libbpf_ts {

class Object : public Napi::ObjectWrap<Object> {
public:
  static Napi::Function Define(Napi::Env env);
  explicit Object(const Napi::CallbackInfo &info);
  ~Object() override;

private:
  Napi::Value Close(const Napi::CallbackInfo &info);
  Napi::Value Btf(const Napi::CallbackInfo &info);
  Napi::Value Programs(const Napi::CallbackInfo &info);
  Napi::Value Maps(const Napi::CallbackInfo &info);
  Napi::Value SetAutoload(const Napi::CallbackInfo &info);
  Napi::Value SetMaxEntries(const Napi::CallbackInfo &info);
  Napi::Value SetPinPath(const Napi::CallbackInfo &info);
  Napi::Value Reuse(const Napi::CallbackInfo &info);
  Napi::Value InitialValue(const Napi::CallbackInfo &info);
  Napi::Value SetInitialValue(const Napi::CallbackInfo &info);
  Napi::Value Load(const Napi::CallbackInfo &info);

  void Discard();
  bpf_program *ProgramAt(const Napi::CallbackInfo &info);
  bpf_map *MapAt(const Napi::CallbackInfo &info);

  bpf_object *object_ = nullptr;
  std::vector<bpf_program *> programs_;
  std::vector<bpf_map *> maps_;
};

} // namespace libbpf_ts
