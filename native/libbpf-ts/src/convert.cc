#include "convert.h"

#include <bpf/libbpf.h>
#include <unistd.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

namespace libbpf_ts {
namespace {

// A verifier log can reach 16 MiB; beyond this the tail, which holds the reason, is what is worth keeping.
constexpr size_t kLogLimitBytes = 4 << 20;

// A pointer, not an object: a thread_local with a destructor would pin the library when a worker ends.
thread_local LogCapture *current_capture = nullptr;

int Print(enum libbpf_print_level level, const char *format, va_list arguments) {
  if (level == LIBBPF_DEBUG || current_capture == nullptr)
    return 0;
  char *line = nullptr;
  int length = vasprintf(&line, format, arguments);
  if (length < 0)
    return 0;
  // libbpf is C: an exception must not pass through it.
  try {
    std::string &text = current_capture->text;
    text.append(line, static_cast<size_t>(length));
    if (text.size() > kLogLimitBytes)
      text.erase(0, text.size() - kLogLimitBytes);
  } catch (...) {
  }
  free(line);
  return 0;
}

} // namespace

void UniqueFd::reset(int fd) {
  if (fd_ >= 0)
    close(fd_);
  fd_ = fd;
}

Bytes BytesOf(Napi::Value value) {
  if (value.IsUndefined() || value.IsNull())
    return {};
  napi_typedarray_type type;
  size_t length = 0;
  void *data = nullptr;
  napi_status status = napi_get_typedarray_info(value.Env(), value, &type, &length, &data, nullptr, nullptr);
  if (status != napi_ok || type != napi_uint8_array)
    throw Napi::TypeError::New(value.Env(), "expected a Uint8Array");
  return {static_cast<uint8_t *>(data), length};
}

Napi::Uint8Array CopyBytes(Napi::Env env, const void *data, size_t size) {
  Napi::Uint8Array copy = Napi::Uint8Array::New(env, size);
  if (size > 0)
    memcpy(copy.Data(), data, size);
  return copy;
}

LogCapture::LogCapture() : outer_(current_capture) {
  current_capture = this;
}

LogCapture::~LogCapture() {
  current_capture = outer_;
}

void LogCapture::Install() {
  // libbpf keeps the callback in a plain global: set it once, whichever thread loads the addon first.
  static std::once_flag once;
  std::call_once(once, [] { libbpf_set_print(Print); });
}

Napi::Error SystemError(Napi::Env env, int error, const char *stage, const std::string &log) {
  Napi::Error result = Napi::Error::New(env, std::string(stage) + ": " + strerror(error));
  result.Set("errno", Napi::Number::New(env, error));
  result.Set("stage", Napi::String::New(env, stage));
  result.Set("log", Napi::String::New(env, log));
  return result;
}

} // namespace libbpf_ts
