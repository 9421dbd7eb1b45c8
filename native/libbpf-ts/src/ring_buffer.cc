#include "ring_buffer.h"

#include <bpf/bpf.h>
#include <fcntl.h>

#include <cerrno>
#include <new>

namespace libbpf_ts {
namespace {

// Stops libbpf's loop after a record that was taken. Not an errno the ring itself can produce.
constexpr int kEnough = -0x7001;

// One drain returns at most this much, whatever the record limit: a producer faster than the copy must not
// make the call endless.
constexpr size_t kDrainLimitBytes = 64 << 20;

} // namespace

Napi::Function RingBuffer::Define(Napi::Env env) {
  return DefineClass(env, "NativeRingBuffer",
                     {
                         InstanceMethod<&RingBuffer::Close>("close"),
                         InstanceMethod<&RingBuffer::Drain>("drain"),
                         InstanceMethod<&RingBuffer::StartWatch>("startWatch"),
                         InstanceMethod<&RingBuffer::StopWatch>("stopWatch"),
                         InstanceMethod<&RingBuffer::SetRef>("setRef"),
                     });
}

// (fd: number): takes the descriptor over. libbpf keeps using it, so it lives as long as the ring.
RingBuffer::RingBuffer(const Napi::CallbackInfo &info)
    : ObjectWrap(info), fd_(info[0].As<Napi::Number>().Int32Value()) {
  bpf_map_info kernel = {};
  uint32_t length = sizeof(kernel);
  if (bpf_obj_get_info_by_fd(fd_.get(), &kernel, &length) != 0)
    throw SystemError(info.Env(), errno, "read the map's information");
  ring_bytes_ = kernel.max_entries;
  LogCapture log;
  ring_ = ring_buffer__new(fd_.get(), OnRecord, this, nullptr);
  if (ring_ == nullptr)
    throw SystemError(info.Env(), errno, "map the ring buffer", log.text);
}

RingBuffer::~RingBuffer() {
  Free();
}

void RingBuffer::Free() {
  Stop();
  if (ring_ != nullptr)
    ring_buffer__free(std::exchange(ring_, nullptr));
  fd_.reset();
}

Napi::Value RingBuffer::Close(const Napi::CallbackInfo &info) {
  Free();
  return info.Env().Undefined();
}

int RingBuffer::OnRecord(void *context, void *data, size_t size) {
  auto *self = static_cast<RingBuffer *>(context);
  // Two readers of one ring race for its position, and the loser can read a length out of a record's middle.
  if (size > self->ring_bytes_)
    return -EBADMSG;
  try {
    auto *bytes = static_cast<uint8_t *>(data);
    self->data_.insert(self->data_.end(), bytes, bytes + size);
    self->offsets_.push_back(static_cast<uint32_t>(self->data_.size()));
  } catch (const std::bad_alloc &) {
    return -ENOMEM;
  }
  bool enough = self->offsets_.size() > self->limit_ || self->data_.size() >= kDrainLimitBytes;
  return enough ? kEnough : 0;
}

// (maxRecords) → { data, offsets, count } or a negative errno
Napi::Value RingBuffer::Drain(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  if (ring_ == nullptr)
    return Napi::Number::New(env, -EBADF);
  limit_ = info[0].As<Napi::Number>().Uint32Value();
  data_.clear();
  offsets_.assign(1, 0);
  int status = ring_buffer__consume(ring_);
  size_t count = offsets_.size() - 1;
  // Records taken before an error are gone from the ring: hand them over, the error comes back with the next
  // call.
  if (status < 0 && status != kEnough && count == 0)
    return Napi::Number::New(env, status);
  Napi::Uint32Array offsets = Napi::Uint32Array::New(env, offsets_.size());
  std::copy(offsets_.begin(), offsets_.end(), offsets.Data());
  Napi::Object result = Napi::Object::New(env);
  result.Set("data", CopyBytes(env, data_.data(), data_.size()));
  result.Set("offsets", offsets);
  result.Set("count", Napi::Number::New(env, static_cast<double>(count)));
  return result;
}

// (onReadable: () => void)
Napi::Value RingBuffer::StartWatch(const Napi::CallbackInfo &info) {
  Napi::Env env = info.Env();
  if (ring_ == nullptr || watch_ != nullptr)
    return Napi::Number::New(env, ring_ == nullptr ? -EBADF : -EALREADY);
  uv_loop_t *loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok)
    return Napi::Number::New(env, -ENOTSUP);
  auto *watch = new Watch;
  int status = uv_poll_init(loop, &watch->handle, ring_buffer__epoll_fd(ring_));
  if (status != 0) {
    delete watch;
    return Napi::Number::New(env, status);
  }
  watch->handle.data = watch;
  watch->owner = this;
  watch_ = watch;
  // Collected under a live poll handle, the object would be called back after its death: hold it until Stop.
  Ref();
  callback_ = Napi::Persistent(info[0].As<Napi::Function>());
  napi_add_async_cleanup_hook(env, OnCleanup, watch, &watch->hook);
  status = uv_poll_start(&watch->handle, UV_READABLE, OnReadable);
  if (status != 0)
    Stop();
  return Napi::Number::New(env, status);
}

Napi::Value RingBuffer::StopWatch(const Napi::CallbackInfo &info) {
  Stop();
  return info.Env().Undefined();
}

Napi::Value RingBuffer::SetRef(const Napi::CallbackInfo &info) {
  if (watch_ != nullptr) {
    auto *handle = reinterpret_cast<uv_handle_t *>(&watch_->handle);
    info[0].As<Napi::Boolean>().Value() ? uv_ref(handle) : uv_unref(handle);
  }
  return info.Env().Undefined();
}

void RingBuffer::Stop() {
  Watch *watch = std::exchange(watch_, nullptr);
  if (watch == nullptr)
    return;
  watch->owner = nullptr;
  uv_close(reinterpret_cast<uv_handle_t *>(&watch->handle), OnClosed);
  callback_.Reset();
  Unref();
}

// In plain Node-API: a worker that is being terminated fails every step of this, and nothing may be thrown
// through libuv.
void RingBuffer::OnReadable(uv_poll_t *handle, int, int) {
  RingBuffer *self = static_cast<Watch *>(handle->data)->owner;
  if (self == nullptr)
    return;
  napi_env env = self->Env();
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok)
    return;
  napi_value receiver;
  napi_value callback;
  // The receiver also keeps the object alive if the callback closes it.
  if (napi_get_reference_value(env, *self, &receiver) == napi_ok &&
      napi_get_reference_value(env, self->callback_, &callback) == napi_ok &&
      napi_make_callback(env, nullptr, receiver, callback, 0, nullptr, nullptr) == napi_pending_exception) {
    napi_value error;
    // The façade catches what user callbacks throw; this is for what it cannot, such as running out of
    // memory.
    if (napi_get_and_clear_last_exception(env, &error) == napi_ok)
      napi_fatal_exception(env, error);
  }
  napi_close_handle_scope(env, scope);
}

// The environment ends (process exit, worker terminated) with the watch still open.
void RingBuffer::OnCleanup(napi_async_cleanup_hook_handle, void *data) {
  auto *watch = static_cast<Watch *>(data);
  if (watch->owner == nullptr)
    return; // already closing; OnClosed removes the hook
  Napi::HandleScope scope(watch->owner->Env());
  watch->owner->Stop();
}

void RingBuffer::OnClosed(uv_handle_t *handle) {
  auto *watch = static_cast<Watch *>(handle->data);
  if (watch->hook != nullptr)
    napi_remove_async_cleanup_hook(watch->hook);
  delete watch;
}

} // namespace libbpf_ts
