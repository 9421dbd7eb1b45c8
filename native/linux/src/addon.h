// What one environment (the main thread or a worker) has of this addon.
#pragma once

#include <napi.h>

struct AddonData {
  Napi::FunctionReference netlink_socket;
};
