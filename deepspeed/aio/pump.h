// Carries parts of requests through a backend: keeps the queue as deep as wanted, resumes short transfers,
// copies what is not aligned, and turns results into errors that name file and offset. Internal to aio/.
#pragma once

#include <list>
#include <memory>
#include <vector>

#include "deepspeed/aio/buffer.h"
#include "deepspeed/aio/config.h"
#include "deepspeed/aio/request.h"

namespace deepspeed::aio {

/// Belongs to one thread, that of its backend.
class Pump {
 public:
  Pump(const AioConfig& config, std::unique_ptr<Backend> backend);

  void add(Part part);
  /// Starts what there is room for, waits for transfers to end, and returns the parts that are over, failed
  /// or not.
  std::vector<Part> turn();
  /// Parts that are not over.
  bool idle() const { return running_.empty(); }
  /// Gives up what has not been started. The parts end with a failure once their transfers have.
  void cancel();

 private:
  struct Running {
    Part part;
    BlockPlan plan;
    size_t next = 0;       // block to start
    size_t in_flight = 0;  // blocks
    bool over() const { return in_flight == 0 && next == plan.count(); }
  };
  /// A block in flight.
  struct Slot {
    Running* owner = nullptr;
    Block block;
    size_t moved = 0;
    int retries = 0;
    bool direct = false;  // what its last transfer was
    Buffer bounce;
  };

  void fill();
  void start_block(Running& running);
  void transfer_rest(uint32_t slot);
  size_t exchange();
  size_t wanted_completions(size_t in_flight) const;
  void settle(const Completion& completion);
  bool try_again(Slot& slot, int64_t result);
  void finish_block(Slot& slot);
  void fail_block(Slot& slot, std::string reason);
  void release(Slot& slot);
  std::vector<Part> take_over_parts();

  AioConfig config_;
  std::unique_ptr<Backend> backend_;
  std::list<Running> running_;
  std::vector<Slot> slots_;
  std::vector<uint32_t> free_;
  std::vector<Transfer> to_start_, started_;
  std::vector<Completion> done_;
};

}  // namespace deepspeed::aio
