#include "deepspeed/comm/pending_work.h"

#include <algorithm>
#include <string_view>

#include "deepspeed/base/error.h"

namespace deepspeed::comm {
namespace {

using Clock = std::chrono::steady_clock;

// Everything an error message needs, by value: the group may be gone when the work is waited for.
struct Context {
  std::string name, group;
  uint64_t sequence;
  int rank;
  std::chrono::milliseconds timeout;
  bool on_device;
  Clock::time_point issued = Clock::now();

  std::string describe(const std::string& reason) const;
};

bool contains_any(const std::string& text, std::initializer_list<std::string_view> words) {
  return std::any_of(words.begin(), words.end(),
                     [&](std::string_view word) { return text.find(word) != std::string::npos; });
}

std::string Context::describe(const std::string& reason) const {
  const double seconds = std::chrono::duration<double>(Clock::now() - issued).count();
  const auto what = fmt::format("{} #{} of group '{}'", name, sequence, group);
  if (contains_any(reason, {"imed out", "imeout"})) {
    return fmt::format(
        "{} timed out on rank {} after {:.1f} s (limit {:.1f} s): some rank has not called it; see the other "
        "ranks' "
        "output, or raise the timeout",
        what, rank, seconds, static_cast<double>(timeout.count()) / 1000);
  }
  const bool peer = contains_any(reason, {"closed by peer", "reset by peer", "Broken pipe", "Socket closed"});
  return fmt::format("{} failed on rank {}: {}{}", what, rank, reason,
                     peer ? " (a peer has ended; its own output says why)" : "");
}

class PendingWork final : public Work {
 public:
  PendingWork(Context context, Started started)
      : context_(std::move(context)), started_(std::move(started)) {}

  void wait() override {
    if (done_) return;
    if (!error_.empty()) throw base::Error(error_);
    try {
      // NCCL would block this thread for as long as a wait has a limit; its own watch keeps the operation's.
      for (auto& work : started_.works) work->wait(context_.on_device ? kNoTimeout : context_.timeout);
      if (started_.finish) started_.finish();
    } catch (...) {
      error_ = context_.describe(reason_of(std::current_exception()));
      started_ = {};
      throw base::Error(error_);
    }
    done_ = true;
    started_ = {};
  }

  bool is_completed() override {
    return std::all_of(started_.works.begin(), started_.works.end(),
                       [](auto& work) { return work->isCompleted(); });
  }

 private:
  Context context_;
  Started started_;
  bool done_ = false;
  std::string error_;
};

class JoinedWork final : public Work {
 public:
  explicit JoinedWork(std::vector<WorkPtr> works) : works_(std::move(works)) {}
  void wait() override {
    for (auto& work : works_) work->wait();
  }
  bool is_completed() override {
    return std::all_of(works_.begin(), works_.end(), [](auto& work) { return work->is_completed(); });
  }

 private:
  std::vector<WorkPtr> works_;
};

std::vector<std::pair<int, int64_t>> sent_by(const GroupState& group, const Operation& operation) {
  std::vector<std::pair<int, int64_t>> sent;
  for (int peer = 0; operation.sent && peer < group.size; ++peer) {
    const int64_t bytes = peer == group.rank ? 0 : operation.sent(peer);
    if (bytes > 0) sent.emplace_back(group.global_ranks[static_cast<size_t>(peer)], bytes);
  }
  return sent;
}

void remember(GroupState& group, const std::vector<RawWork>& works) {
  std::erase_if(group.in_flight, [](auto& weak) {
    auto work = weak.lock();
    return !work || work->isCompleted();
  });
  group.in_flight.insert(group.in_flight.end(), works.begin(), works.end());
}

}  // namespace

WorkPtr issue(GroupState& group, const Operation& operation, const std::function<Started()>& start) {
  ++group.sequence;
  Context context{operation.name, group.name,    group.sequence,
                  group.rank,     group.timeout, !group.device.is_cpu()};
  if (group.observer) {
    group.observer({group.sequence, operation.name, group.name, operation.numel, operation.dtype,
                    operation.async, sent_by(group, operation)});
  }
  Started started;
  try {
    DS_CHECK(group.backend || group.size == 1, "the group was closed after a failure");
    started = start();
  } catch (...) {
    throw base::Error(context.describe(reason_of(std::current_exception())));
  }
  const bool waits = !operation.async && !group.coalesced;
  remember(group, started.works);
  auto work = std::make_shared<PendingWork>(std::move(context), std::move(started));
  if (group.coalesced) group.coalesced->push_back(work);
  if (waits) work->wait();
  return work;
}

WorkPtr join(std::vector<WorkPtr> works) { return std::make_shared<JoinedWork>(std::move(works)); }

}  // namespace deepspeed::comm
