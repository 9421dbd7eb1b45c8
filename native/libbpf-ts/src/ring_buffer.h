// Owns a mapping of one ring-buffer map and, while watching, a libuv poll handle. Records leave packed into
// one buffer and JavaScript runs only after libbpf has returned: a callback may therefore close the ring.
#pragma once

#include "convert.h"

#include <bpf/libbpf.h>
#include <uv.h>

#include <vector>

namespace libbpf_ts {

class RingBuffer : public Napi::ObjectWrap<RingBuffer> {
public:
  static Napi::Function Define(Napi::Env env);
  explicit RingBuffer(const Napi::CallbackInfo &info);
  ~RingBuffer() override;

private:
  // The libuv side. It outlives its RingBuffer by the loop iteration that uv_close needs.
  struct Watch {
    uv_poll_t handle = {};
    RingBuffer *owner = nullptr;
    napi_async_cleanup_hook_handle hook = nullptr;
  };

  Napi::Value Close(const Napi::CallbackInfo &info);
  Napi::Value Drain(const Napi::CallbackInfo &info);
  Napi::Value StartWatch(const Napi::CallbackInfo &info);
  Napi::Value StopWatch(const Napi::CallbackInfo &info);
  Napi::Value SetRef(const Napi::CallbackInfo &info);

  static int OnRecord(void *self, void *data, size_t size);
  static void OnReadable(uv_poll_t *handle, int status, int events);
  static void OnCleanup(napi_async_cleanup_hook_handle hook, void *watch);
  static void OnClosed(uv_handle_t *handle);

  void Stop();
  void Free();

  UniqueFd fd_;
  ring_buffer *ring_ = nullptr;
  size_t ring_bytes_ = 0;

  Watch *watch_ = nullptr;
  Napi::FunctionReference callback_;

  // One drain's records. `offsets_` has one entry more than there are records.
  std::vector<uint8_t> data_;
  std::vector<uint32_t> offsets_;
  size_t limit_ = 0;
};

} // namespace libbpf_ts
