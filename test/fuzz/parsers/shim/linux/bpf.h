/* The kernel's header, with a context whose pointers are as wide as the host's. */
#pragma once

#define xdp_md kernel_xdp_md
#include_next <linux/bpf.h>
#undef xdp_md

struct xdp_md {
  unsigned long data;
  unsigned long data_end;
  unsigned int ingress_ifindex;
};
