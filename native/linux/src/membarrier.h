// membarrier(2), the commands that wait for every CPU.
#pragma once

#include <napi.h>

// membarrierQuery(): the bit mask of supported commands; throws ENOSYS where the kernel has none.
Napi::Value MembarrierQuery(const Napi::CallbackInfo &info);
// membarrierGlobalSync(): blocks this thread for a grace period.
Napi::Value MembarrierGlobalSync(const Napi::CallbackInfo &info);
// membarrierGlobal(): the same on a thread of the pool; a promise.
Napi::Value MembarrierGlobal(const Napi::CallbackInfo &info);
