#include "object.h"

#include <bpf/btf.h>
#include <fcntl.h>

#include <cerrno>
#include <string>

namespace libbpf_ts {
namespace {

UniqueFd Duplicate(Napi::Env env, int fd) {
  UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy)
    throw SystemError(env, errno, "duplicate a descriptor");
  return copy;
}

// Descriptors become JavaScript numbers only once all of them exist: an error half-way closes what was made.
Napi::Array ReleaseAll(Napi::Env env, std::vector<UniqueFd> &fds) {
  Napi::Array numbers = Napi::Array::New(env, fds.size());
  for (size_t index = 0; index < fds.size(); index++)
    numbers.Set(static_cast<uint32_t>(index), Napi::Number::New(env, fds[index].get()));
  for (UniqueFd &fd : fds)
    fd.release();
  return numbers;
}

} // namespace

Napi::Function Object::Define(Napi::Env env) {
  return DefineClass(env, "NativeObject",
                     {
                         InstanceMethod<&Object::Close>("close"),
                         InstanceMethod<&Object::Btf>("btf"),
                         InstanceMethod<&Object::Programs>("programs"),
                         InstanceMethod<&Object::Maps>("maps"),
                         InstanceMethod<&Object::SetAutoload>("setAutoload"),
                         InstanceMethod<&Object::SetMaxEntries>("setMaxEntries"),
                         InstanceMethod<&Object::SetPinPath>("setPinPath"),
                         InstanceMethod<&Object::Reuse>("reuse"),
                         InstanceMethod<&Object::InitialValue>("initialValue"),
                         InstanceMethod<&Object::SetInitialValue>("setInitialValue"),
                         InstanceMethod<&Object::Load>("load"),
                     });
}

// (bytes: Uint8Array, name: string)
Object::Object(const Napi::CallbackInfo &info) : ObjectWrap(info) {
  Bytes bytes = BytesOf(info[0]);
  std::string name = info[1].As<Napi::String>().Utf8Value();
  LogCapture log;
  LIBBPF_OPTS(bpf_object_open_opts, options, .object_name = name.c_str());
  object_ = bpf_object__open_mem(bytes.data, bytes.size, &options);
  if (object_ == nullptr)
    throw SystemError(info.Env(), errno, "open", log.text);
  bpf_program *program;
  bpf_object__for_each_program(program, object_) {
    programs_.push_back(program);
  }
  bpf_map *map;
  bpf_object__for_each_map(map, object_) {
    maps_.push_back(map);
  }
}

Object::~Object() {
  Discard();
}

void Object::Discard() {
  programs_.clear();
  maps_.clear();
  if (object_ != nullptr)
    bpf_object__close(std::exchange(object_, nullptr));
}

bpf_program *Object::ProgramAt(const Napi::CallbackInfo &info) {
  uint32_t index = info[0].As<Napi::Number>().Uint32Value();
  if (index >= programs_.size())
    throw SystemError(info.Env(), EBADF, "find the program");
  return programs_[index];
}

bpf_map *Object::MapAt(const Napi::CallbackInfo &info) {
  uint32_t index = info[0].As<Napi::Number>().Uint32Value();
  if (index >= maps_.size())
    throw SystemError(info.Env(), EBADF, "find the map");
  return maps_[index];
}

Napi::Value Object::Close(const Napi::CallbackInfo &info) {
  Discard();
  return info.Env().Undefined();
}

// The bytes after libbpf filled in the section sizes and variable offsets, which the ELF file leaves at zero.
Napi::Value Object::Btf(const Napi::CallbackInfo &info) {
  struct btf *btf = object_ == nullptr ? nullptr : bpf_object__btf(object_);
  if (btf == nullptr)
    return info.Env().Undefined();
  uint32_t size = 0;
  const void *data = btf__raw_data(btf, &size);
  if (data == nullptr)
    throw SystemError(info.Env(), errno, "read the BTF");
  return CopyBytes(info.Env(), data, size);
}

Napi::Value Object::Programs(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  Napi::Array result = Napi::Array::New(env, programs_.size());
  for (size_t index = 0; index < programs_.size(); index++) {
    bpf_program *program = programs_[index];
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", bpf_program__name(program));
    entry.Set("section", bpf_program__section_name(program));
    entry.Set("type", Napi::Number::New(env, bpf_program__type(program)));
    entry.Set("autoload", Napi::Boolean::New(env, bpf_program__autoload(program)));
    result.Set(static_cast<uint32_t>(index), entry);
  }
  return result;
}

Napi::Value Object::Maps(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  Napi::Array result = Napi::Array::New(env, maps_.size());
  for (size_t index = 0; index < maps_.size(); index++) {
    bpf_map *map = maps_[index];
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", bpf_map__name(map));
    entry.Set("type", Napi::Number::New(env, bpf_map__type(map)));
    entry.Set("keySize", Napi::Number::New(env, bpf_map__key_size(map)));
    entry.Set("valueSize", Napi::Number::New(env, bpf_map__value_size(map)));
    entry.Set("maxEntries", Napi::Number::New(env, bpf_map__max_entries(map)));
    entry.Set("flags", Napi::Number::New(env, bpf_map__map_flags(map)));
    entry.Set("btfKeyTypeId", Napi::Number::New(env, bpf_map__btf_key_type_id(map)));
    entry.Set("btfValueTypeId", Napi::Number::New(env, bpf_map__btf_value_type_id(map)));
    entry.Set("internal", Napi::Boolean::New(env, bpf_map__is_internal(map)));
    result.Set(static_cast<uint32_t>(index), entry);
  }
  return result;
}

Napi::Value Object::SetAutoload(const Napi::CallbackInfo &info) {
  int error = bpf_program__set_autoload(ProgramAt(info), info[1].As<Napi::Boolean>().Value());
  return Napi::Number::New(info.Env(), error);
}

Napi::Value Object::SetMaxEntries(const Napi::CallbackInfo &info) {
  int error = bpf_map__set_max_entries(MapAt(info), info[1].As<Napi::Number>().Uint32Value());
  return Napi::Number::New(info.Env(), error);
}

Napi::Value Object::SetPinPath(const Napi::CallbackInfo &info) {
  std::string path = info[1].As<Napi::String>().Utf8Value();
  int error = bpf_map__set_pin_path(MapAt(info), path.c_str());
  return Napi::Number::New(info.Env(), error);
}

// libbpf duplicates the descriptor; the caller keeps its own.
Napi::Value Object::Reuse(const Napi::CallbackInfo &info) {
  LogCapture log;
  int error = bpf_map__reuse_fd(MapAt(info), info[1].As<Napi::Number>().Int32Value());
  return Napi::Number::New(info.Env(), error);
}

Napi::Value Object::InitialValue(const Napi::CallbackInfo &info) {
  size_t size = 0;
  const void *data = bpf_map__initial_value(MapAt(info), &size);
  if (data == nullptr)
    return info.Env().Undefined();
  return CopyBytes(info.Env(), data, size);
}

Napi::Value Object::SetInitialValue(const Napi::CallbackInfo &info) {
  Bytes bytes = BytesOf(info[1]);
  int error = bpf_map__set_initial_value(MapAt(info), bytes.data, bytes.size);
  return Napi::Number::New(info.Env(), error);
}

// Consumes the object: { programs: fd[] (-1 where not loaded), maps: fd[] (-1 where not created) }.
Napi::Value Object::Load(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  if (object_ == nullptr)
    throw SystemError(env, EBADF, "load");
  LogCapture log;
  int error = bpf_object__load(object_);
  if (error != 0) {
    Discard();
    throw SystemError(env, -error, "load", log.text);
  }
  try {
    std::vector<UniqueFd> programs;
    for (bpf_program *program : programs_) {
      int fd = bpf_program__fd(program);
      programs.push_back(fd < 0 ? UniqueFd() : Duplicate(env, fd));
    }
    std::vector<UniqueFd> maps;
    for (bpf_map *map : maps_) {
      int fd = bpf_map__fd(map);
      maps.push_back(fd < 0 ? UniqueFd() : Duplicate(env, fd));
    }
    Napi::Object result = Napi::Object::New(env);
    result.Set("programs", ReleaseAll(env, programs));
    result.Set("maps", ReleaseAll(env, maps));
    Discard();
    return result;
  } catch (...) {
    Discard();
    throw;
  }
}

} // namespace libbpf_ts
