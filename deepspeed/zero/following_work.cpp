#include "deepspeed/zero/following_work.h"

#include <utility>

namespace deepspeed::zero {
namespace {

class FollowedWork final : public comm::Work {
 public:
  FollowedWork(comm::WorkPtr work, std::function<void()> then)
      : work_(std::move(work)), then_(std::move(then)) {}

  void wait() override {
    work_->wait();
    if (auto then = std::exchange(then_, nullptr)) then();
  }
  bool is_completed() override { return !then_ && work_->is_completed(); }

 private:
  comm::WorkPtr work_;
  std::function<void()> then_;
};

}  // namespace

comm::WorkPtr followed_by(comm::WorkPtr work, std::function<void()> then) {
  return std::make_shared<FollowedWork>(std::move(work), std::move(then));
}

}  // namespace deepspeed::zero
