#include "deepspeed/data/prefetcher.h"

namespace deepspeed::data {

Prefetcher::Prefetcher(std::function<Batch(int64_t)> make, int workers)
    : make_(std::move(make)), workers_(workers) {}

Prefetcher::~Prefetcher() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  room_.notify_all();
  for (auto& thread : threads_) thread.join();
}

Prefetcher::Batch Prefetcher::take(int64_t position) {
  std::unique_lock lock(mutex_);
  if (position != taken_) {
    made_.clear();
    taken_ = started_ = position;
    ++beginning_;
    room_.notify_all();
  }
  while (static_cast<int>(threads_.size()) < workers_) threads_.emplace_back([this] { work(); });
  ready_.wait(lock, [&] { return made_.contains(position); });
  Made made = std::move(made_.extract(position).mapped());
  ++taken_;
  room_.notify_all();
  if (made.error) std::rethrow_exception(made.error);
  return std::move(made.batch);
}

void Prefetcher::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    room_.wait(lock, [&] { return stop_ || started_ < taken_ + 2 * workers_; });
    if (stop_) return;
    const int64_t position = started_++;
    const uint64_t beginning = beginning_;
    lock.unlock();
    Made made;
    try {
      made.batch = make_(position);
    } catch (...) {
      made.error = std::current_exception();
    }
    lock.lock();
    if (beginning != beginning_) continue;
    made_.emplace(position, std::move(made));
    ready_.notify_all();
  }
}

}  // namespace deepspeed::data
