#include "deepspeed/aio/faulty.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace deepspeed::aio {
namespace {

class Faulty final : public Backend {
 public:
  Faulty(std::unique_ptr<Backend> inner, FaultScript script)
      : inner_(std::move(inner)), script_(std::move(script)) {}

  size_t exchange(std::span<const Transfer> start, size_t least, std::span<Completion> done) override {
    size_t failed = 0;
    std::vector<Transfer> carried_out;
    for (Transfer transfer : start) {
      const Fault fault = script_(transfer, number_++).value_or(Fault{});
      transfer.bytes = std::min(transfer.bytes, fault.at_most);
      if (fault.error != 0)
        done[failed++] = {transfer.slot, -fault.error};
      else
        carried_out.push_back(transfer);
    }
    return failed + inner_->exchange(carried_out, least - std::min(least, failed), done.subspan(failed));
  }

 private:
  std::unique_ptr<Backend> inner_;
  FaultScript script_;
  int64_t number_ = 0;
};

}  // namespace

BackendFactory with_faults(BackendFactory inner, FaultScript script) {
  return [inner = std::move(inner), script = std::move(script)](int depth) {
    return std::make_unique<Faulty>(inner(depth), script);
  };
}

}  // namespace deepspeed::aio
