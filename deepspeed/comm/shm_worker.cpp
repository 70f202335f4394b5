#include "deepspeed/comm/shm_worker.h"

#include <utility>

#include "deepspeed/base/error.h"

namespace deepspeed::comm {

class ShmWorker::Operation final : public c10d::Work {
 public:
  Operation(ShmRounds rounds, std::chrono::milliseconds timeout)
      : rounds_(std::move(rounds)), timeout_(timeout) {}

  void carry_out(ShmChannel& channel) { run(channel, rounds_, timeout_); }
  // Tensors are given up first: who waits may then be their only owner.
  void complete(std::exception_ptr error) {
    rounds_ = {};
    finish(std::move(error));
  }

 private:
  ShmRounds rounds_;
  std::chrono::milliseconds timeout_;
};

ShmWorker::ShmWorker(std::unique_ptr<ShmChannel> channel)
    : channel_(std::move(channel)), thread_([this] { serve(); }) {}

ShmWorker::~ShmWorker() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  channel_->close();
  arrived_.notify_one();
  thread_.join();
}

RawWork ShmWorker::submit(ShmRounds rounds, std::chrono::milliseconds timeout) {
  auto operation = c10::make_intrusive<Operation>(std::move(rounds), timeout);
  {
    const std::lock_guard lock(mutex_);
    queue_.push_back(operation);
  }
  arrived_.notify_one();
  return operation;
}

void ShmWorker::serve() {
  std::unique_lock lock(mutex_);
  while (true) {
    arrived_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
    if (queue_.empty()) return;
    const OperationPtr operation = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    carry_out(*operation);
    lock.lock();
  }
}

void ShmWorker::carry_out(Operation& operation) {
  std::exception_ptr error;
  try {
    DS_CHECK(!failed_, "an earlier operation of the group has failed");
    operation.carry_out(*channel_);
  } catch (...) {
    error = std::current_exception();
    failed_ = true;
    channel_->close();
  }
  operation.complete(error);
}

}  // namespace deepspeed::comm
