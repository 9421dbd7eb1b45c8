#include "map.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <string>

namespace libbpf_ts {
namespace {

bool IsPerCpu(uint32_t type) {
  return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY ||
         type == BPF_MAP_TYPE_LRU_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE;
}

uint64_t RoundUp8(uint64_t size) {
  return (size + 7) / 8 * 8;
}

Napi::Value Status(const Napi::CallbackInfo &info, int status) {
  return Napi::Number::New(info.Env(), status);
}

Napi::Value BatchStatus(const Napi::CallbackInfo &info, int status, uint32_t count) {
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("status", Napi::Number::New(info.Env(), status));
  result.Set("count", Napi::Number::New(info.Env(), count));
  return result;
}

} // namespace

Napi::Function Map::Define(Napi::Env env) {
  return DefineClass(env, "NativeMap",
                     {
                         InstanceMethod<&Map::Close>("close"),
                         InstanceMethod<&Map::Fd>("fd"),
                         InstanceMethod<&Map::Info>("info"),
                         InstanceMethod<&Map::Lookup>("lookup"),
                         InstanceMethod<&Map::Update>("update"),
                         InstanceMethod<&Map::Delete>("delete"),
                         InstanceMethod<&Map::Take>("take"),
                         InstanceMethod<&Map::NextKey>("nextKey"),
                         InstanceMethod<&Map::LookupBatch>("lookupBatch"),
                         InstanceMethod<&Map::TakeBatch>("takeBatch"),
                         InstanceMethod<&Map::UpdateBatch>("updateBatch"),
                         InstanceMethod<&Map::DeleteBatch>("deleteBatch"),
                         InstanceMethod<&Map::Mmap>("mmap"),
                         InstanceMethod<&Map::Freeze>("freeze"),
                         InstanceMethod<&Map::Pin>("pin"),
                     });
}

// (fd: number): takes the descriptor over, also when it throws.
Map::Map(const Napi::CallbackInfo &info) : ObjectWrap(info), fd_(info[0].As<Napi::Number>().Int32Value()) {
  bpf_map_info kernel = {};
  uint32_t length = sizeof(kernel);
  if (bpf_obj_get_info_by_fd(fd_.get(), &kernel, &length) != 0)
    throw SystemError(info.Env(), errno, "read the map's information");
  key_bytes_ = kernel.key_size;
  value_bytes_ = kernel.value_size;
  if (IsPerCpu(kernel.type)) {
    int cpus = libbpf_num_possible_cpus();
    if (cpus < 0)
      throw SystemError(info.Env(), -cpus, "count the possible CPUs");
    value_bytes_ = RoundUp8(kernel.value_size) * static_cast<uint64_t>(cpus);
  }
}

Napi::Value Map::Create(const Napi::CallbackInfo &info) {
  auto number = [&](size_t index) { return info[index].As<Napi::Number>().Uint32Value(); };
  std::string name = info[1].As<Napi::String>().Utf8Value();
  LIBBPF_OPTS(bpf_map_create_opts, options);
  options.map_flags = number(5);
  if (!info[6].IsUndefined())
    options.inner_map_fd = number(6);
  if (!info[7].IsUndefined())
    options.numa_node = number(7);
  LogCapture log;
  int fd = bpf_map_create(static_cast<bpf_map_type>(number(0)), name.empty() ? nullptr : name.c_str(),
                          number(2), number(3), number(4), &options);
  return Status(info, fd);
}

Napi::Value Map::Close(const Napi::CallbackInfo &info) {
  fd_.reset();
  return info.Env().Undefined();
}

Napi::Value Map::Fd(const Napi::CallbackInfo &info) {
  return Status(info, fd_.get());
}

Napi::Value Map::Info(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  bpf_map_info kernel = {};
  uint32_t length = sizeof(kernel);
  if (bpf_obj_get_info_by_fd(fd_.get(), &kernel, &length) != 0)
    throw SystemError(env, errno, "read the map's information");
  Napi::Object result = Napi::Object::New(env);
  result.Set("type", Napi::Number::New(env, kernel.type));
  result.Set("id", Napi::Number::New(env, kernel.id));
  result.Set("keySize", Napi::Number::New(env, kernel.key_size));
  result.Set("valueSize", Napi::Number::New(env, kernel.value_size));
  result.Set("maxEntries", Napi::Number::New(env, kernel.max_entries));
  result.Set("flags", Napi::Number::New(env, kernel.map_flags));
  result.Set("name", Napi::String::New(env, kernel.name));
  result.Set("btfId", Napi::Number::New(env, kernel.btf_id));
  result.Set("btfKeyTypeId", Napi::Number::New(env, kernel.btf_key_type_id));
  result.Set("btfValueTypeId", Napi::Number::New(env, kernel.btf_value_type_id));
  result.Set("valueBytes", Napi::Number::New(env, static_cast<double>(value_bytes_)));
  return result;
}

// (key, out, flags)
Napi::Value Map::Lookup(const Napi::CallbackInfo &info) {
  Bytes key = BytesOf(info[0]);
  Bytes value = BytesOf(info[1]);
  if (key.size != key_bytes_ || value.size != value_bytes_)
    return Status(info, -EINVAL);
  return Status(info, bpf_map_lookup_elem_flags(fd_.get(), key.data, value.data,
                                                info[2].As<Napi::Number>().Uint32Value()));
}

// (key, value, flags)
Napi::Value Map::Update(const Napi::CallbackInfo &info) {
  Bytes key = BytesOf(info[0]);
  Bytes value = BytesOf(info[1]);
  if (key.size != key_bytes_ || value.size != value_bytes_)
    return Status(info, -EINVAL);
  return Status(
      info, bpf_map_update_elem(fd_.get(), key.data, value.data, info[2].As<Napi::Number>().Uint32Value()));
}

// (key)
Napi::Value Map::Delete(const Napi::CallbackInfo &info) {
  Bytes key = BytesOf(info[0]);
  if (key.size != key_bytes_)
    return Status(info, -EINVAL);
  return Status(info, bpf_map_delete_elem(fd_.get(), key.data));
}

// (key, out)
Napi::Value Map::Take(const Napi::CallbackInfo &info) {
  Bytes key = BytesOf(info[0]);
  Bytes value = BytesOf(info[1]);
  if (key.size != key_bytes_ || value.size != value_bytes_)
    return Status(info, -EINVAL);
  return Status(info, bpf_map_lookup_and_delete_elem(fd_.get(), key.data, value.data));
}

// (key | undefined, out)
Napi::Value Map::NextKey(const Napi::CallbackInfo &info) {
  bool first = info[0].IsUndefined();
  Bytes key = BytesOf(info[0]);
  Bytes next = BytesOf(info[1]);
  if ((!first && key.size != key_bytes_) || next.size != key_bytes_ || key_bytes_ == 0)
    return Status(info, -EINVAL);
  return Status(info, bpf_map_get_next_key(fd_.get(), first ? nullptr : key.data, next.data));
}

// (cursor in | undefined, cursor out, keys, values, count)
Napi::Value Map::ReadBatch(const Napi::CallbackInfo &info, bool remove) {
  Bytes from = BytesOf(info[0]);
  Bytes to = BytesOf(info[1]);
  Bytes keys = BytesOf(info[2]);
  Bytes values = BytesOf(info[3]);
  uint32_t count = info[4].As<Napi::Number>().Uint32Value();
  // A hash map's cursor is a bucket number, another map's a key: the kernel copies whichever it uses.
  size_t cursor_bytes = std::max<size_t>(key_bytes_, sizeof(uint32_t));
  if ((from.data != nullptr && from.size < cursor_bytes) || to.size < cursor_bytes ||
      keys.size < uint64_t{key_bytes_} * count || values.size / std::max<uint64_t>(value_bytes_, 1) < count)
    return BatchStatus(info, -EINVAL, 0);
  LIBBPF_OPTS(bpf_map_batch_opts, options);
  auto *call = remove ? bpf_map_lookup_and_delete_batch : bpf_map_lookup_batch;
  uint32_t done = count;
  int status = call(fd_.get(), from.data, to.data, keys.data, values.data, &done, &options);
  // On errors other than "end reached" the kernel may leave the count untouched.
  return BatchStatus(info, status, status == 0 || status == -ENOENT ? std::min(done, count) : 0);
}

Napi::Value Map::LookupBatch(const Napi::CallbackInfo &info) {
  return ReadBatch(info, false);
}

Napi::Value Map::TakeBatch(const Napi::CallbackInfo &info) {
  return ReadBatch(info, true);
}

// (keys, values, count, flags)
Napi::Value Map::UpdateBatch(const Napi::CallbackInfo &info) {
  Bytes keys = BytesOf(info[0]);
  Bytes values = BytesOf(info[1]);
  uint32_t count = info[2].As<Napi::Number>().Uint32Value();
  if (keys.size < uint64_t{key_bytes_} * count || values.size / std::max<uint64_t>(value_bytes_, 1) < count)
    return BatchStatus(info, -EINVAL, 0);
  LIBBPF_OPTS(bpf_map_batch_opts, options, .elem_flags = info[3].As<Napi::Number>().Uint32Value());
  uint32_t done = count;
  int status = bpf_map_update_batch(fd_.get(), keys.data, values.data, &done, &options);
  return BatchStatus(info, status, status == 0 ? count : (done < count ? done : 0));
}

// (keys, count)
Napi::Value Map::DeleteBatch(const Napi::CallbackInfo &info) {
  Bytes keys = BytesOf(info[0]);
  uint32_t count = info[1].As<Napi::Number>().Uint32Value();
  if (keys.size < uint64_t{key_bytes_} * count)
    return BatchStatus(info, -EINVAL, 0);
  LIBBPF_OPTS(bpf_map_batch_opts, options);
  uint32_t done = count;
  int status = bpf_map_delete_batch(fd_.get(), keys.data, &done, &options);
  return BatchStatus(info, status, status == 0 ? count : (done < count ? done : 0));
}

// (length) → ArrayBuffer over the kernel's pages, or a negative errno. Always writable: JavaScript cannot be
// given read-only memory, a store to it would end the process. The kernel refuses for maps that are frozen or
// read-only.
Napi::Value Map::Mmap(const Napi::CallbackInfo &info) {
  size_t length = static_cast<size_t>(info[0].As<Napi::Number>().Int64Value());
  void *memory = mmap(nullptr, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  if (memory == MAP_FAILED)
    return Status(info, -errno);
  try {
    return Napi::ArrayBuffer::New(info.Env(), memory, length,
                                  [length](Napi::Env, void *address) { munmap(address, length); });
  } catch (...) {
    munmap(memory, length);
    throw;
  }
}

Napi::Value Map::Freeze(const Napi::CallbackInfo &info) {
  return Status(info, bpf_map_freeze(fd_.get()));
}

Napi::Value Map::Pin(const Napi::CallbackInfo &info) {
  return Status(info, bpf_obj_pin(fd_.get(), info[0].As<Napi::String>().Utf8Value().c_str()));
}

} // namespace libbpf_ts
