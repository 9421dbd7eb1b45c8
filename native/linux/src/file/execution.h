// Executes one program. It knows no JavaScript: the same code runs on the event loop's thread, where it must not wait,
// and on the storage's threads, where it may.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "../unique_fd.h"
#include "credentials.h"
#include "descriptor_cache.h"
#include "program.h"

namespace file {

// What programs of one storage share.
struct Volume {
  Volume(UniqueFd root_fd, int mount, bool local_fs, bool memory_fs, size_t capacity, OpenFile::Retire retire)
      : root(std::move(root_fd)), mount_id(mount), local(local_fs), in_memory(memory_fs),
        cache(capacity, std::move(retire)) {
  }
  const UniqueFd root;
  const int mount_id;
  // The kernel answers for cached files without asking anybody: only then may the event loop's thread try.
  const bool local;
  // All data is in memory. What was swapped out is waited for, as any other page of the process is.
  const bool in_memory;
  DescriptorCache cache;
  // Programs that report attributes from before and after a change exclude each other, so that no other change of this
  // process lies between the two. Many files share a lock.
  static constexpr size_t kSerials = 64;
  std::array<std::mutex, kSerials> serials;
};

// An errno value of a program's own: this must be done by a thread that may wait.
constexpr int kWouldWait = 4000;

class Execution {
public:
  // `thread` null: must not wait, and does only what needs no rights but the verdicts that are remembered.
  Execution(Volume &volume, ThreadCredentials *thread, std::shared_ptr<const Credentials> caller,
            uint8_t *slot, uint8_t *data, size_t data_bytes)
      : volume_(volume), thread_(thread), caller_(std::move(caller)), slot_(slot), data_(data),
        data_bytes_(data_bytes) {
  }

  // False: it would have had to wait, and has changed nothing.
  bool Run();

private:
  struct Register {
    int fd = -1;
    UniqueFd owned;
    DescriptorCache::Ref ref;
    std::shared_ptr<OpenFile> open;
    bool searchable = false; // PERMIT has said so, in this program
  };
  using Step = int (Execution::*)(Instruction &);

  static Step StepOf(uint16_t operation);
  bool MayWait() const {
    return thread_ != nullptr;
  }
  int AsCaller();
  void AsServer();

  // Checked places; null where the program is wrong.
  Register *Reg(uint8_t index);
  uint8_t *Bytes(size_t offset, size_t length);
  uint8_t *Data(size_t offset, size_t length);
  bool Name(size_t offset, size_t length, std::string &name);
  bool HandleAt(size_t offset, size_t length, HandleKey &key);
  template <typename T> bool Operand(size_t offset, T &value);

  int Open(Register &target, int fd);
  int Resolve(Register &target, const HandleKey &key);
  int Verdict(Register &file, int mask, const struct statx &attributes);
  int Admit(Register &file, bool writes, uint16_t flags, const struct statx &attributes, bool &overrides);
  int FileFor(Register &file, bool writes, bool overrides, std::shared_ptr<OpenFile> &open);
  int Attributes(Register &file, struct statx &attributes);
  int ReadWithoutWaiting(Register &file, Instruction &step, uint8_t *into, uint8_t *attributes_at);

  int Handle(Instruction &step);
  int Root(Instruction &step);
  int Statx(Instruction &step);
  int OpenAt(Instruction &step);
  int Parent(Instruction &step);
  int Reopen(Instruction &step);
  int HandleOf(Instruction &step);
  int Forget(Instruction &step);
  int Permit(Instruction &step);
  int Serialise(Instruction &step);
  int OpenForIo(Instruction &step);
  int ReadFile(Instruction &step);
  int WriteFile(Instruction &step);
  int Ftruncate(Instruction &step);
  int Fallocate(Instruction &step);
  int Fsync(Instruction &step);
  int SyncRange(Instruction &step);
  int CopyRange(Instruction &step);
  int Seek(Instruction &step);
  int MkdirAt(Instruction &step);
  int MknodAt(Instruction &step);
  int SymlinkAt(Instruction &step);
  int LinkAt(Instruction &step);
  int RenameAt(Instruction &step);
  int UnlinkAt(Instruction &step);
  int ReadlinkAt(Instruction &step);
  int Chmod(Instruction &step);
  int Chown(Instruction &step);
  int Utimens(Instruction &step);
  int Statfs(Instruction &step);
  int List(Instruction &step);
  int GetXattr(Instruction &step);
  int SetXattr(Instruction &step);
  int ListXattr(Instruction &step);
  int RemoveXattr(Instruction &step);
  int Guard(Instruction &step);

  Volume &volume_;
  ThreadCredentials *thread_;
  std::shared_ptr<const Credentials> caller_;
  uint8_t *slot_;
  uint8_t *data_;
  size_t data_bytes_;
  std::array<Register, kRegisters> registers_;
  std::array<std::unique_lock<std::mutex>, 2> serials_;
};

// ---- system calls that both files of this class need --------------------------------------------------------

int StatxOf(int fd, struct statx &attributes);
// name_to_handle_at(2) of an open descriptor; -1 with errno.
int HandleOfFd(int fd, HandleKey &key, int &mount_id);
// Where an O_PATH descriptor can be opened, or changed, as the caller: /proc/self/fd/N.
std::string ProcPath(int fd);

template <typename T> bool Execution::Operand(size_t offset, T &value) {
  const uint8_t *place = Bytes(offset, sizeof(T));
  if (place != nullptr)
    __builtin_memcpy(&value, place, sizeof(T));
  return place != nullptr;
}

} // namespace file
