// The thread that carries out a rank's collectives through shared memory. Internal to comm.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "deepspeed/comm/group_state.h"
#include "deepspeed/comm/shm_rounds.h"

namespace deepspeed::comm {

/// Carries out rounds in the order they were submitted. After a failure every later operation fails, and the
/// other ranks' too.
class ShmWorker {
 public:
  explicit ShmWorker(std::unique_ptr<ShmChannel> channel);
  /// Fails what is under way, here and at ranks that wait for it.
  ~ShmWorker();
  ShmWorker(const ShmWorker&) = delete;

  /// For building rounds.
  ShmChannel& channel() { return *channel_; }
  RawWork submit(ShmRounds rounds, std::chrono::milliseconds timeout);

 private:
  class Operation;
  using OperationPtr = c10::intrusive_ptr<Operation>;

  void serve();
  void carry_out(Operation& operation);

  std::unique_ptr<ShmChannel> channel_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<OperationPtr> queue_;
  bool stopping_ = false;
  bool failed_ = false;  // the thread's own
  std::thread thread_;
};

}  // namespace deepspeed::comm
