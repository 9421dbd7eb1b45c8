// Descriptors of files by their kernel handles: bounded, shared by all threads of a storage. What is evicted is closed
// once its last user is done, and by a thread that may block: the last close of a deleted file frees its blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <sys/stat.h>
#include <unordered_map>
#include <vector>

#include "../unique_fd.h"

// As name_to_handle_at(2) gives it: the type, then the bytes.
using HandleKey = std::string;

// An open file, read only (O_PATH) or for I/O. Its descriptor goes where `retire` takes it.
class OpenFile {
public:
  using Retire = std::function<void(UniqueFd)>;
  OpenFile(UniqueFd fd, Retire retire) : fd_(std::move(fd)), retire_(std::move(retire)) {
  }
  ~OpenFile() {
    retire_(std::move(fd_));
  }
  OpenFile(const OpenFile &) = delete;
  OpenFile &operator=(const OpenFile &) = delete;
  int fd() const {
    return fd_.get();
  }

private:
  UniqueFd fd_;
  Retire retire_;
};

// What decides about access; as long as it is the same, so is the kernel's verdict.
struct AccessStamp {
  int64_t ctime_sec;
  uint32_t ctime_nsec;
  uint32_t mode, uid, gid;
  static AccessStamp Of(const struct statx &attributes) {
    return {attributes.stx_ctime.tv_sec, attributes.stx_ctime.tv_nsec, attributes.stx_mode,
            attributes.stx_uid, attributes.stx_gid};
  }
  bool operator==(const AccessStamp &) const = default;
};

class DescriptorCache {
  struct Entry;

public:
  // A file in the cache; keeps its descriptors open, also when the cache has dropped it.
  using Ref = std::shared_ptr<Entry>;

  DescriptorCache(size_t capacity, OpenFile::Retire retire)
      : capacity_(capacity), retire_(std::move(retire)) {
  }

  Ref Find(const HandleKey &key);
  // Takes an O_PATH descriptor; another thread may have been first, and then that one's stays.
  Ref Insert(const HandleKey &key, UniqueFd path);
  static int PathFd(const Ref &ref);

  // Descriptors for I/O belong to a caller: some file systems act with the rights of who opened the file.
  std::shared_ptr<OpenFile> FindOpen(const Ref &ref, uint64_t credentials, bool writes);
  std::shared_ptr<OpenFile> InsertOpen(const Ref &ref, uint64_t credentials, bool writes, UniqueFd fd);

  // The kernel's verdict (0 or errno) about `mask` (R_OK, W_OK or X_OK), if nothing it depends on has changed; -1 if not
  // known.
  int FindVerdict(const Ref &ref, uint64_t credentials, int mask, const AccessStamp &stamp);
  void InsertVerdict(const Ref &ref, uint64_t credentials, int mask, const AccessStamp &stamp, int verdict);

  void Drop(const HandleKey &key);
  // Drops what nobody used for so long; and descriptors that write after `writer_idle_ms`, since they keep a program
  // from being executed and a file system from becoming read-only.
  void Expire(uint64_t idle_ms, uint64_t writer_idle_ms);
  void Clear();
  size_t descriptors();
  size_t files();

private:
  // Of one file: a caller that comes back after so many others opens anew.
  static constexpr size_t kOpensPerFile = 8;
  static constexpr size_t kVerdictsPerFile = 12;

  struct Opened {
    uint64_t credentials;
    bool writes;
    uint64_t used_ms;
    std::shared_ptr<OpenFile> file;
  };
  struct Verdict {
    uint64_t credentials;
    int mask;
    int verdict;
    AccessStamp stamp;
  };
  struct Entry {
    HandleKey key;
    std::shared_ptr<OpenFile> path;
    std::vector<Opened> opened;
    std::vector<Verdict> verdicts;
    size_t next_verdict = 0;
    uint64_t used_ms = 0;
    bool listed = false;
    std::list<Ref>::iterator place;
  };

  void Unlist(const Ref &ref, std::vector<Ref> &dropped);
  void Trim(std::vector<Ref> &dropped);

  const size_t capacity_;
  const OpenFile::Retire retire_;
  std::mutex mutex_;
  std::unordered_map<HandleKey, Ref> by_key_;
  std::list<Ref> by_use_; // the latest first
  size_t descriptors_ = 0;
};
