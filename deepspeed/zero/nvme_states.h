// Optimizer states on a disk (ZeRO-Infinity): one file without a name, which is stepped through in tiles, so
// that memory holds a few tiles and never all states. Mirrors DeepSpeed's
// runtime/swap_tensor/pipelined_optimizer_swapper.py.
#pragma once

#include <filesystem>
#include <optional>
#include <unordered_map>
#include <vector>

#include "deepspeed/aio/buffer.h"
#include "deepspeed/aio/handle.h"
#include "deepspeed/zero/memory_pieces.h"
#include "deepspeed/zero/offload_plan.h"
#include "deepspeed/zero/optimizer_home.h"

namespace deepspeed::zero {

struct NvmeOptions {
  std::filesystem::path folder;  // made where it does not exist
  int64_t tile_elements = 1;
  bool pipeline_read = false, pipeline_write = false;
  bool pin_memory = true;
  aio::AioConfig aio;
  aio::BackendFactory backend;  // empty: the kernel's best
};

class NvmeStates : public OptimizerHome {
 public:
  /// Writes the first values of everything.
  NvmeStates(optim::Optimizer& optimizer, const NvmeOptions& options, ModelValues values);

  bool is_in_memory(size_t group, size_t piece) const override;
  bool has_stored_master(size_t group, size_t piece) const override;
  void read(size_t group, size_t piece, const std::string& state, std::span<std::byte> out) const override;
  at::Tensor values(size_t group, size_t piece, const std::string& state) const override;
  void write(size_t group, size_t piece, const std::string& state, int64_t begin,
             const at::Tensor& values) override;

  void add_bytes(StateBytes& bytes) const override;

  int64_t bytes_on_disk() const;
  int64_t bytes_in_memory() const;

 private:
  enum class First { kRead, kMake };
  using VisitPiece = std::function<void(const TilePiece&)>;

  /// read(t+1) | step(t) | write(t-1), as far as the pipelines are on.
  void step_all(double grad_scale) override;
  void show_all(const Visit& visit) override;
  void plan(int64_t tile_elements);
  void go_through(First first, const VisitPiece& visit);
  void start_read(size_t tile);
  void start_write(size_t tile);
  void wait(std::optional<aio::Ticket>& ticket);
  std::span<std::byte> memory_of(size_t tile);
  void lend(size_t tile);
  void take_back(size_t tile);
  void make(const TilePiece& piece);
  void step_piece(const TilePiece& piece, double grad_scale);
  /// One tensor of a piece: where it is in the file, and its format.
  struct Stored {
    int64_t offset, numel;
    at::ScalarType dtype;
  };
  Stored stored(size_t group, size_t piece, const std::string& state) const;
  bool is_stored(size_t group, size_t piece, const std::string& state) const;

  /// Where a tile is in memory.
  struct Slot {
    aio::Buffer memory;
    std::optional<aio::Ticket> reading, writing;
  };
  struct Place {
    size_t tile, index;
  };

  optim::Optimizer& optimizer_;
  NvmeOptions options_;
  ModelValues values_;
  MemoryPieces in_memory_;  // those that are not in the file
  std::vector<Tile> tiles_;
  std::vector<std::vector<std::optional<Place>>> places_;  // [group][piece]: nothing for what is in memory
  std::vector<std::vector<at::Tensor>> no_memory_;         // [group][piece]: params while they are elsewhere
  std::vector<Slot> slots_;                                // tile t is in slot t % slots
  aio::File file_;
  mutable aio::Handle handle_;
};

}  // namespace deepspeed::zero
