#include "deepspeed/engine/whole_values.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <exception>
#include <unordered_map>
#include <vector>

#include "deepspeed/base/error.h"
#include "deepspeed/comm/together.h"

namespace deepspeed::engine {
namespace {

// What rank 0 announces instead of a parameter's number.
constexpr int64_t kDone = -1;

class GatherOnRank0 {
 public:
  GatherOnRank0(const ModelStates& states, comm::Group& group)
      : group_(group), shard_(*states.groups().shard), in_first_shard_(states.groups().saves()) {
    for (const auto& group_states : states.all()) add(group_states->shards());
    add(states.frozen());
  }

  // On rank 0.
  at::Tensor values(const at::Tensor& tensor) {
    const auto number = number_of_.find(tensor.unsafeGetTensorImpl());
    if (number == number_of_.end()) return tensor.detach();
    announce(static_cast<int64_t>(number->second));
    return gather(number->second);
  }
  void finish() { announce(kDone); }

  // On the other ranks, until finish().
  void serve() {
    for (int64_t number; (number = announce(kDone)) != kDone;) {
      if (!in_first_shard_) continue;
      try {
        gather(static_cast<size_t>(number));
      } catch (const base::Error&) {  // rank 0 has it, too, and says what becomes of it
      }
    }
  }

 private:
  void add(zero::ParameterShards* shards) {
    if (shards == nullptr) return;
    for (size_t p = 0; p < shards->parameters().size(); ++p) {
      const at::Tensor& tensor = shards->parameters()[p].tensor;
      if (shards->is_persistent(p) || tensor.numel() == 0) continue;
      number_of_[tensor.unsafeGetTensorImpl()] = sharded_.size();
      sharded_.emplace_back(shards, p);
    }
  }

  // Rank 0's number, everywhere.
  int64_t announce(int64_t number) {
    const at::Tensor message = at::full({1}, number, at::kLong);
    group_.broadcast(message, /*root=*/0);
    return message.item<int64_t>();
  }

  at::Tensor gather(size_t number) {
    const auto& [shards, param] = sharded_[number];
    const auto& [name, tensor] = shards->parameters()[param];
    at::Tensor part;
    comm::together(shard_, fmt::format("parameter '{}'", name),
                   [&, &shards = shards, &param = param] { part = shards->part(param).contiguous(); });
    if (shard_.rank() != 0) {
      shard_.gather({}, part, /*root=*/0);
      return {};
    }
    const at::Tensor whole = at::empty({shard_.size() * part.numel()}, part.options());
    shard_.gather(whole.chunk(shard_.size()), part, /*root=*/0);
    return whole.narrow(0, 0, tensor.numel()).view(tensor.sizes());
  }

  comm::Group& group_;
  comm::Group& shard_;
  bool in_first_shard_;
  std::vector<std::pair<zero::ParameterShards*, size_t>> sharded_;  // numbered alike on every rank
  std::unordered_map<const void*, size_t> number_of_;               // by tensor
};

}  // namespace

void with_whole_values(const ModelStates& states, comm::Group& group, const std::string& what,
                       const std::function<void(const WholeValues&)>& use) {
  at::NoGradGuard no_grad;
  GatherOnRank0 gather(states, group);
  std::exception_ptr failure;
  if (group.rank() != 0) {
    gather.serve();
  } else {
    try {
      use([&gather](const at::Tensor& tensor) { return gather.values(tensor); });
    } catch (...) {
      failure = std::current_exception();
    }
    gather.finish();
  }
  comm::together(group, what, [&] {
    if (failure) std::rethrow_exception(failure);
  });
}

}  // namespace deepspeed::engine
