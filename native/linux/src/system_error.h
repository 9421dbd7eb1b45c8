// A failed system call as a JavaScript error: `errno` (positive), `code` (ENOENT) and `syscall`.
#pragma once

#include <napi.h>
#include <string>

Napi::Error MakeSystemError(Napi::Env env, int error, const std::string &operation);

// The symbolic name of an errno value; "E<number>" for one that the C library does not know.
std::string ErrnoName(int error);
