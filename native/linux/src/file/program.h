// The form of a program: a row of system calls on one storage that are executed together, with the rights of one caller,
// in memory shared with JavaScript. lib/file/program.ts writes it and reads the results; a test compares the two.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace file {

// One program with its operands and results.
constexpr size_t kSlotBytes = 8192;
constexpr size_t kHeaderBytes = 32;
constexpr size_t kInstructionsMax = 32;
constexpr size_t kRegisters = 8;

struct Header {
  uint32_t count;
  // Results: the first instruction that failed the program (-1: none), and why.
  int32_t failed_at;
  int32_t error;
  uint32_t reserved[5];
};
static_assert(sizeof(Header) == kHeaderBytes);

// Registers a, b, c name descriptors. `offset` and `length` name bytes of the slot (a name, a handle, a place for a
// result) or, for instructions that move data, of the data that came with the program.
struct Instruction {
  uint16_t operation;
  uint16_t flags;
  uint8_t a, b, c, reserved;
  uint32_t offset;
  uint32_t length;
  uint64_t x;
  uint32_t y;
  int32_t result; // what the call returned, or a negative errno value; kNotRun
};
static_assert(sizeof(Instruction) == 32);

constexpr int32_t kNotRun = -4096;

// Failing does not end the program.
constexpr uint16_t kMayFail = 1;
// Is executed even when the program has failed.
constexpr uint16_t kAlways = 2;
// The owner of the file passes, whatever its mode says.
constexpr uint16_t kOwnerPasses = 4;
// HANDLE_OF: keeps the descriptor for the next program that names this handle.
constexpr uint16_t kKeep = 8;
// OPEN_FILE: for writing.
constexpr uint16_t kWrites = 16;
// LIST: with attributes and handles.
constexpr uint16_t kPlus = 32;

// A handle in a slot: the number of bytes, the type, the bytes.
constexpr size_t kHandleBytesMax = 128;
constexpr size_t kHandleSpace = 8 + kHandleBytesMax;

#define FILE_OPERATIONS(X)                                                                                   \
  X(HANDLE)                                                                                                  \
  X(ROOT)                                                                                                    \
  X(STATX)                                                                                                   \
  X(OPENAT)                                                                                                  \
  X(PARENT)                                                                                                  \
  X(REOPEN)                                                                                                  \
  X(HANDLE_OF)                                                                                               \
  X(FORGET)                                                                                                  \
  X(PERMIT)                                                                                                  \
  X(SERIALISE)                                                                                               \
  X(OPEN_FILE)                                                                                               \
  X(READ_FILE)                                                                                               \
  X(WRITE_FILE)                                                                                              \
  X(FTRUNCATE)                                                                                               \
  X(FALLOCATE)                                                                                               \
  X(FSYNC)                                                                                                   \
  X(SYNC_RANGE)                                                                                              \
  X(COPY_RANGE)                                                                                              \
  X(SEEK)                                                                                                    \
  X(MKDIRAT)                                                                                                 \
  X(MKNODAT)                                                                                                 \
  X(SYMLINKAT)                                                                                               \
  X(LINKAT)                                                                                                  \
  X(RENAMEAT)                                                                                                \
  X(UNLINKAT)                                                                                                \
  X(READLINKAT)                                                                                              \
  X(CHMOD)                                                                                                   \
  X(CHOWN)                                                                                                   \
  X(UTIMENS)                                                                                                 \
  X(STATFS)                                                                                                  \
  X(LIST)                                                                                                    \
  X(GETXATTR)                                                                                                \
  X(SETXATTR)                                                                                                \
  X(LISTXATTR)                                                                                               \
  X(REMOVEXATTR)                                                                                             \
  X(GUARD)                                                                                                   \
  X(COUNT)

enum class Operation : uint16_t {
#define X(name) name,
  FILE_OPERATIONS(X)
#undef X
};

constexpr std::pair<const char *, Operation> kOperationNames[] = {
#define X(name) {#name, Operation::name},
    FILE_OPERATIONS(X)
#undef X
};

// An entry of LIST: this, then its name; with kPlus and kHasAttributes then, aligned to 8, struct statx and a handle
// (kHandleSpace bytes). Entries are aligned to 8.
struct ListEntry {
  uint64_t inode;
  uint64_t cookie; // continue after this entry
  uint32_t entry_bytes;
  uint16_t name_bytes;
  uint8_t type;
  uint8_t has_attributes;
};
static_assert(sizeof(ListEntry) == 24);

} // namespace file
