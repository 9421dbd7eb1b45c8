// A thread that runs on each of some CPUs, one after the other.
#pragma once

#include <napi.h>

// cpuRound(cpus): a promise, resolved once a thread of this process has run on each of them since the call.
Napi::Value CpuRound(const Napi::CallbackInfo &info);
