#include "system_error.h"

#include <cstring>

std::string ErrnoName(int error) {
  const char *name = ::strerrorname_np(error);
  return name ? std::string(name) : std::string(1, 'E').append(std::to_string(error));
}

Napi::Error MakeSystemError(Napi::Env env, int error, const std::string &operation) {
  const char *text = ::strerrordesc_np(error);
  std::string message = operation + ": " + (text ? text : "unknown error") + " (" + ErrnoName(error) + ")";
  Napi::Error result = Napi::Error::New(env, message);
  result.Set("errno", Napi::Number::New(env, error));
  result.Set("code", Napi::String::New(env, ErrnoName(error)));
  result.Set("syscall", Napi::String::New(env, operation));
  return result;
}
