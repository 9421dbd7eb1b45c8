#include "descriptor_cache.h"

#include <algorithm>
#include <ctime>

static uint64_t NowMs() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 + now.tv_nsec / 1'000'000;
}

DescriptorCache::Ref DescriptorCache::Find(const HandleKey &key) {
  const std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key);
  if (found == by_key_.end())
    return nullptr;
  const Ref &ref = found->second;
  ref->used_ms = NowMs();
  if (ref->place != by_use_.begin())
    by_use_.splice(by_use_.begin(), by_use_, ref->place);
  return ref;
}

DescriptorCache::Ref DescriptorCache::Insert(const HandleKey &key, UniqueFd path) {
  auto fresh = std::make_shared<Entry>();
  fresh->key = key;
  fresh->path = std::make_shared<OpenFile>(std::move(path), retire_);
  fresh->used_ms = NowMs();
  std::vector<Ref> dropped; // destroyed, and its descriptors retired, after the lock is released
  const std::lock_guard lock(mutex_);
  const auto [place, added] = by_key_.try_emplace(key, fresh);
  if (!added) {
    dropped.push_back(fresh);
    return place->second;
  }
  by_use_.push_front(fresh);
  fresh->place = by_use_.begin();
  fresh->listed = true;
  descriptors_ += 1;
  Trim(dropped);
  return fresh;
}

int DescriptorCache::PathFd(const Ref &ref) {
  return ref->path->fd();
}

std::shared_ptr<OpenFile> DescriptorCache::FindOpen(const Ref &ref, uint64_t credentials, bool writes) {
  const std::lock_guard lock(mutex_);
  for (Opened &opened : ref->opened) {
    if (opened.credentials != credentials || opened.writes != writes)
      continue;
    opened.used_ms = NowMs();
    return opened.file;
  }
  return nullptr;
}

std::shared_ptr<OpenFile> DescriptorCache::InsertOpen(const Ref &ref, uint64_t credentials, bool writes,
                                                      UniqueFd fd) {
  auto file = std::make_shared<OpenFile>(std::move(fd), retire_);
  std::shared_ptr<OpenFile> replaced;
  std::vector<Ref> dropped;
  const std::lock_guard lock(mutex_);
  // Dropped meanwhile: whoever has it open uses it once.
  if (!ref->listed)
    return file;
  if (ref->opened.size() == kOpensPerFile) {
    const auto oldest =
        std::min_element(ref->opened.begin(), ref->opened.end(),
                         [](const Opened &a, const Opened &b) { return a.used_ms < b.used_ms; });
    replaced = std::exchange(oldest->file, file);
    *oldest = {credentials, writes, NowMs(), file};
    return file;
  }
  ref->opened.push_back({credentials, writes, NowMs(), file});
  descriptors_ += 1;
  Trim(dropped);
  return file;
}

int DescriptorCache::FindVerdict(const Ref &ref, uint64_t credentials, int mask, const AccessStamp &stamp) {
  const std::lock_guard lock(mutex_);
  for (const Verdict &known : ref->verdicts) {
    if (known.credentials == credentials && known.mask == mask && known.stamp == stamp)
      return known.verdict;
  }
  return -1;
}

void DescriptorCache::InsertVerdict(const Ref &ref, uint64_t credentials, int mask, const AccessStamp &stamp,
                                    int verdict) {
  const std::lock_guard lock(mutex_);
  const Verdict fresh = {credentials, mask, verdict, stamp};
  for (Verdict &known : ref->verdicts) {
    if (known.credentials != credentials || known.mask != mask)
      continue;
    known = fresh;
    return;
  }
  if (ref->verdicts.size() < kVerdictsPerFile) {
    ref->verdicts.push_back(fresh);
    return;
  }
  ref->verdicts[ref->next_verdict] = fresh;
  ref->next_verdict = (ref->next_verdict + 1) % kVerdictsPerFile;
}

void DescriptorCache::Drop(const HandleKey &key) {
  std::vector<Ref> dropped;
  const std::lock_guard lock(mutex_);
  const auto found = by_key_.find(key);
  if (found != by_key_.end())
    Unlist(Ref(found->second), dropped);
}

void DescriptorCache::Expire(uint64_t idle_ms, uint64_t writer_idle_ms) {
  std::vector<Ref> dropped;
  std::vector<std::shared_ptr<OpenFile>> closed;
  const uint64_t now = NowMs();
  const std::lock_guard lock(mutex_);
  while (!by_use_.empty() && by_use_.back()->used_ms + idle_ms <= now)
    Unlist(Ref(by_use_.back()), dropped);
  for (const Ref &ref : by_use_) {
    const auto keeps = [&](const Opened &opened) {
      return opened.used_ms + (opened.writes ? writer_idle_ms : idle_ms) > now;
    };
    const auto gone = std::stable_partition(ref->opened.begin(), ref->opened.end(), keeps);
    for (auto opened = gone; opened != ref->opened.end(); ++opened)
      closed.push_back(std::move(opened->file));
    descriptors_ -= ref->opened.end() - gone;
    ref->opened.erase(gone, ref->opened.end());
  }
}

void DescriptorCache::Clear() {
  std::vector<Ref> dropped;
  const std::lock_guard lock(mutex_);
  while (!by_use_.empty())
    Unlist(Ref(by_use_.back()), dropped);
}

size_t DescriptorCache::descriptors() {
  const std::lock_guard lock(mutex_);
  return descriptors_;
}

size_t DescriptorCache::files() {
  const std::lock_guard lock(mutex_);
  return by_use_.size();
}

void DescriptorCache::Unlist(const Ref &ref, std::vector<Ref> &dropped) {
  dropped.push_back(ref);
  descriptors_ -= 1 + ref->opened.size();
  ref->listed = false;
  by_use_.erase(ref->place);
  by_key_.erase(ref->key);
}

void DescriptorCache::Trim(std::vector<Ref> &dropped) {
  // The latest stays, whatever the capacity.
  while (descriptors_ > capacity_ && by_use_.size() > 1)
    Unlist(Ref(by_use_.back()), dropped);
}
