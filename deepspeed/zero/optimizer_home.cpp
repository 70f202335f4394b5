#include "deepspeed/zero/optimizer_home.h"

#include <fmt/ranges.h>

#include <cstring>
#include <utility>

#include "deepspeed/base/error.h"
#include "deepspeed/zero/memory_pieces.h"
#include "deepspeed/zero/nvme_states.h"
#include "deepspeed/zero/offload_plan.h"

namespace deepspeed::zero {
namespace {

// The optimizer keeps its states itself.
class InMemory : public OptimizerHome {
 public:
  InMemory(optim::Optimizer& optimizer, ModelValues values)
      : optimizer_(optimizer), pieces_(optimizer, std::move(values)) {}

  bool is_in_memory(size_t, size_t) const override { return true; }
  bool has_stored_master(size_t group, size_t piece) const override {
    return pieces_.has_stored_master(group, piece);
  }
  void read(size_t group, size_t piece, const std::string& state, std::span<std::byte> out) const override {
    copy_bytes(pieces_.values(group, piece, state), state, out);
  }
  at::Tensor values(size_t group, size_t piece, const std::string& state) const override {
    return pieces_.values(group, piece, state);
  }
  void write(size_t group, size_t piece, const std::string& state, int64_t begin,
             const at::Tensor& values) override {
    pieces_.write(group, piece, state, begin, values);
  }
  void add_bytes(StateBytes& bytes) const override {
    each([&](size_t g, size_t p) { bytes.optimizer += bytes_of(optimizer_.piece_state(g, p)); });
  }

 private:
  void step_all(double grad_scale) override {
    optimizer_.begin_step();
    each([&](size_t g, size_t p) { pieces_.step(g, p, grad_scale); });
    pieces_.finish();
  }
  void show_all(const Visit& visit) override {
    each([&](size_t g, size_t p) { pieces_.show(g, p, visit); });
    pieces_.finish();
  }
  void each(const std::function<void(size_t group, size_t piece)>& visit) const {
    for (size_t g = 0; g < optimizer_.groups().size(); ++g)
      for (size_t p = 0; p < optimizer_.groups()[g].pieces.size(); ++p) visit(g, p);
  }

  optim::Optimizer& optimizer_;
  MemoryPieces pieces_;
};

}  // namespace

void OptimizerHome::check() const {
  DS_CHECK(!broken_,
           "a step or a load failed half-way and left optimizer states of no step: load a checkpoint");
}

void OptimizerHome::step(double grad_scale) {
  check();
  broken_ = true;
  step_all(grad_scale);
  broken_ = false;
}

void OptimizerHome::change(const Visit& visit, Replaces replaces) {
  const bool was_broken = std::exchange(broken_, true);
  show_all(visit);
  broken_ = was_broken && replaces == Replaces::kSome;
}

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

void copy_bytes(const at::Tensor& values, const std::string& state, std::span<std::byte> out) {
  DS_CHECK(out.size() == values.nbytes(), "{} bytes are asked for of state '{}', which has {}", out.size(),
           state, values.nbytes());
  if (!out.empty()) std::memcpy(out.data(), values.const_data_ptr(), out.size());
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
