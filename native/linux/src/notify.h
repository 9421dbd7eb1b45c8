// sendNotification(address, state): one datagram to an AF_UNIX socket, for sd_notify(3).
#pragma once

#include <napi.h>

Napi::Value SendNotification(const Napi::CallbackInfo &info);
