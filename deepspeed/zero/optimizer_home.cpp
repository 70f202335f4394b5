#include "deepspeed/zero/optimizer_home.h"

#include <fmt/ranges.h>

#include "deepspeed/base/error.h"
#include "deepspeed/zero/nvme_states.h"
#include "deepspeed/zero/offload_plan.h"

namespace deepspeed::zero {
namespace {

// The optimizer keeps its states itself.
class InMemory : public OptimizerHome {
 public:
  InMemory(optim::Optimizer& optimizer, const ModelValues& values) : optimizer_(optimizer), values_(values) {}

  void step(double grad_scale) override {
    if (!values_.publish_all) return optimizer_.step(grad_scale);
    // Each piece is on its way back while the next is stepped.
    optimizer_.begin_step();
    for (size_t g = 0; g < optimizer_.groups().size(); ++g)
      for (size_t p = 0; p < optimizer_.groups()[g].pieces.size(); ++p) {
        optimizer_.step_piece(g, p, grad_scale);
        const optim::Piece& piece = optimizer_.groups()[g].pieces[p];
        values_.publish(g, p, piece.low_precision_copy.defined() ? piece.low_precision_copy : piece.param);
      }
    values_.finish();
  }
  void change(const std::function<void(const PieceInMemory&)>& visit) override {
    for (size_t g = 0; g < optimizer_.groups().size(); ++g)
      for (size_t p = 0; p < optimizer_.groups()[g].pieces.size(); ++p)
        visit({g, p, optimizer_.groups()[g].pieces[p].param, optimizer_.piece_state(g, p)});
  }
  bool is_in_memory(size_t, size_t) const override { return true; }
  bool has_stored_master(size_t, size_t) const override { return false; }
  void read(size_t, size_t, const std::string& state, std::span<std::byte>) const override {
    base::fail("optimizer state '{}' is in memory", state);
  }
  at::Tensor values(size_t group, size_t piece, const std::string& state) const override {
    return values_in_memory(optimizer_, group, piece, state);
  }
  void write(size_t group, size_t piece, const std::string& state, int64_t begin,
             const at::Tensor& values) override {
    this->values(group, piece, state).narrow(0, begin, values.numel()).copy_(values);
  }
  void add_bytes(StateBytes& bytes) const override {
    for (size_t g = 0; g < optimizer_.groups().size(); ++g)
      for (size_t p = 0; p < optimizer_.groups()[g].pieces.size(); ++p)
        bytes.optimizer += bytes_of(optimizer_.piece_state(g, p));
  }

 private:
  optim::Optimizer& optimizer_;
  ModelValues values_;
};

}  // namespace

at::Tensor values_in_memory(optim::Optimizer& optimizer, size_t group, size_t piece,
                            const std::string& state) {
  if (state == kMasterCopy) return optimizer.groups().at(group).pieces.at(piece).param;
  const optim::PieceState states = optimizer.piece_state(group, piece);
  if (const auto found = states.find(state); found != states.end()) return found->second;
  std::vector<std::string> kept;
  for (const auto& [name, tensor] : states) kept.push_back(name);
  fail_unknown_state(optimizer, state, kept);
}

void fail_unknown_state(const optim::Optimizer& optimizer, const std::string& state,
                        const std::vector<std::string>& kept) {
  base::fail("optimizer {} keeps no state '{}'; it has {}", optimizer.type(), state,
             kept.empty() ? "none" : fmt::format("{}", fmt::join(kept, ", ")));
}

int64_t bytes_of(const optim::PieceState& states) {
  int64_t sum = 0;
  for (const auto& [name, state] : states) sum += static_cast<int64_t>(state.nbytes());
  return sum;
}

std::unique_ptr<OptimizerHome> make_optimizer_home(optim::Optimizer& optimizer, const ZeroConfig& config,
                                                   const aio::AioConfig& aio, const ModelValues& values) {
  const OffloadOptimizerConfig& offload = config.offload_optimizer;
  if (offload.device != Home::kNvme) return std::make_unique<InMemory>(optimizer, values);
  DS_CHECK(offload.nvme_path, "optimizer states on NVMe need offload_optimizer.nvme_path");
  return std::make_unique<NvmeStates>(optimizer,
                                      NvmeOptions{.folder = *offload.nvme_path,
                                                  .tile_elements = tile_elements(config),
                                                  .pipeline_read = offload.pipeline_read,
                                                  .pipeline_write = offload.pipeline_write,
                                                  .pin_memory = offload.pin_memory,
                                                  .aio = aio,
                                                  .backend = {}},
                                      values);
}

}  // namespace deepspeed::zero
