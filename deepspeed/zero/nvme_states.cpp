#include "deepspeed/zero/nvme_states.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <torch/csrc/autograd/grad_mode.h>

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/zero/state_file.h"

namespace deepspeed::zero {

NvmeStates::NvmeStates(optim::Optimizer& optimizer, const NvmeOptions& options, ModelValues values)
    : optimizer_(optimizer),
      options_(options),
      values_(std::move(values)),
      in_memory_(optimizer, values_),
      file_(open_state_file(options.folder)),
      handle_(options.aio, state_file_backend(options.aio, options.backend)) {
  plan(options.tile_elements);
  int64_t largest = 0;
  for (const Tile& tile : tiles_) largest = std::max(largest, tile.bytes);
  const auto lock = options.pin_memory ? aio::Buffer::Lock::kWherePossible : aio::Buffer::Lock::kNo;
  const size_t most = 1 + size_t{options.pipeline_read} + size_t{options.pipeline_write};
  for (size_t i = 0; i < std::min(most, tiles_.size()); ++i)
    slots_.push_back({.memory = aio::Buffer(static_cast<size_t>(largest), lock)});
  file_.reserve(bytes_on_disk());
  go_through(First::kMake, [&](const TilePiece& piece) { make(piece); });
}

// Tensors of a piece: its master copy, if that is not the parameter itself, then its states.
void NvmeStates::plan(int64_t tile_elements) {
  std::vector<TilePiece> pieces;
  for (size_t g = 0; g < optimizer_.groups().size(); ++g) {
    const auto& group = optimizer_.groups()[g].pieces;
    places_.emplace_back(group.size());
    no_memory_.emplace_back(group.size());
    for (size_t p = 0; p < group.size(); ++p) {
      if (group[p].on_device) continue;
      TilePiece piece{.group = g, .piece = p, .numel = group[p].param.numel()};
      if (has_no_memory(group[p].param)) {
        no_memory_[g][p] = group[p].param;
        piece.element_bytes.push_back(static_cast<int64_t>(group[p].param.element_size()));
      }
      for (const auto& spec : optimizer_.state_specs(g, p))
        piece.element_bytes.push_back(static_cast<int64_t>(c10::elementSize(spec.dtype)));
      optimizer_.lend_states(g, p, {});
      pieces.push_back(std::move(piece));
    }
  }
  tiles_ = plan_tiles(std::move(pieces), tile_elements);
  for (size_t t = 0; t < tiles_.size(); ++t)
    for (size_t i = 0; i < tiles_[t].pieces.size(); ++i)
      places_[tiles_[t].pieces[i].group][tiles_[t].pieces[i].piece] = Place{t, i};
}

void NvmeStates::make(const TilePiece& piece) {
  if (has_stored_master(piece.group, piece.piece))
    values_.read(piece.group, piece.piece, optimizer_.groups()[piece.group].pieces[piece.piece].param);
  auto states = optimizer_.piece_state(piece.group, piece.piece);
  for (const auto& spec : optimizer_.state_specs(piece.group, piece.piece))
    states.at(spec.name).fill_(spec.initial);
}

void NvmeStates::step_all(double grad_scale) {
  optimizer_.begin_step();
  for (size_t g = 0; g < places_.size(); ++g)
    for (size_t p = 0; p < places_[g].size(); ++p)
      if (!places_[g][p]) in_memory_.step(g, p, grad_scale);
  go_through(First::kRead, [&](const TilePiece& piece) { step_piece(piece, grad_scale); });
  if (values_.finish) values_.finish();
}

void NvmeStates::step_piece(const TilePiece& place, double grad_scale) {
  step_in_memory(optimizer_, values_, place.group, place.piece, grad_scale);
  const optim::Piece& piece = optimizer_.groups()[place.group].pieces[place.piece];
  if (!piece.low_precision_copy.defined() && has_stored_master(place.group, place.piece))
    values_.publish(place.group, place.piece, piece.param);
}

void NvmeStates::show_all(const Visit& visit) {
  for (size_t g = 0; g < places_.size(); ++g)
    for (size_t p = 0; p < places_[g].size(); ++p)
      if (!places_[g][p]) in_memory_.show(g, p, visit);
  go_through(First::kRead, [&](const TilePiece& piece) {
    visit({piece.group, piece.piece, optimizer_.groups()[piece.group].pieces[piece.piece].param,
           optimizer_.piece_state(piece.group, piece.piece)});
  });
  in_memory_.finish();
}

// Tile t+1 takes the slot of tile t+1-slots, which must have been written by then.
void NvmeStates::go_through(First first, const VisitPiece& visit) {
  at::NoGradGuard no_grad;
  const bool reads = first == First::kRead;
  const auto prepare = [&](size_t tile) {
    if (tile >= tiles_.size()) return;
    wait(slots_[tile % slots_.size()].writing);
    if (reads) start_read(tile);
  };
  try {
    prepare(0);
    for (size_t t = 0; t < tiles_.size(); ++t) {
      Slot& slot = slots_[t % slots_.size()];
      wait(slot.reading);
      if (options_.pipeline_read) prepare(t + 1);
      lend(t);
      for (const TilePiece& piece : tiles_[t].pieces) visit(piece);
      take_back(t);
      start_write(t);
      if (!options_.pipeline_write) wait(slot.writing);
      if (!options_.pipeline_read) prepare(t + 1);
    }
    for (Slot& slot : slots_) wait(slot.writing);
  } catch (...) {
    handle_.cancel();
    for (Slot& slot : slots_) slot.reading.reset(), slot.writing.reset();
    for (size_t t = 0; t < tiles_.size(); ++t) take_back(t);
    throw;
  }
}

std::span<std::byte> NvmeStates::memory_of(size_t tile) {
  return slots_[tile % slots_.size()].memory.bytes().first(static_cast<size_t>(tiles_[tile].bytes));
}

void NvmeStates::start_read(size_t tile) {
  slots_[tile % slots_.size()].reading = handle_.async_pread(memory_of(tile), file_, tiles_[tile].offset);
}

void NvmeStates::start_write(size_t tile) {
  slots_[tile % slots_.size()].writing = handle_.async_pwrite(memory_of(tile), file_, tiles_[tile].offset);
}

void NvmeStates::wait(std::optional<aio::Ticket>& ticket) {
  if (ticket) handle_.wait(*std::exchange(ticket, std::nullopt));
}

void NvmeStates::lend(size_t tile) {
  std::byte* memory = memory_of(tile).data();
  for (const TilePiece& p : tiles_[tile].pieces) {
    optim::Piece& piece = optimizer_.groups()[p.group].pieces[p.piece];
    const auto tensor = [&](size_t i, at::ScalarType dtype) {
      return at::from_blob(memory + p.places[i], {p.numel}, at::TensorOptions(dtype));
    };
    size_t next = 0;
    if (has_stored_master(p.group, p.piece)) piece.param = tensor(next++, piece.param.scalar_type());
    std::vector<at::Tensor> states;
    for (const auto& spec : optimizer_.state_specs(p.group, p.piece))
      states.push_back(tensor(next++, spec.dtype));
    optimizer_.lend_states(p.group, p.piece, std::move(states));
  }
}

void NvmeStates::take_back(size_t tile) {
  for (const TilePiece& p : tiles_[tile].pieces) {
    if (has_stored_master(p.group, p.piece))
      optimizer_.groups()[p.group].pieces[p.piece].param = no_memory_[p.group][p.piece];
    optimizer_.lend_states(p.group, p.piece, {});
  }
}

bool NvmeStates::is_in_memory(size_t group, size_t piece) const {
  return !places_.at(group).at(piece).has_value();
}

bool NvmeStates::has_stored_master(size_t group, size_t piece) const {
  if (is_in_memory(group, piece)) return in_memory_.has_stored_master(group, piece);
  return no_memory_.at(group).at(piece).defined();
}

NvmeStates::Stored NvmeStates::stored(size_t group, size_t piece, const std::string& state) const {
  const auto& place = places_.at(group).at(piece);
  DS_CHECK(place, "piece {} of group {} is in memory", piece, group);
  const Tile& tile = tiles_[place->tile];
  const TilePiece& tensors = tile.pieces[place->index];
  const auto at = [&](size_t tensor, at::ScalarType dtype) {
    return Stored{tile.offset + tensors.places[tensor], tensors.numel, dtype};
  };
  const bool has_master = has_stored_master(group, piece);
  if (has_master && state == kMasterCopy) return at(0, no_memory_[group][piece].scalar_type());
  const auto specs = optimizer_.state_specs(group, piece);
  std::vector<std::string> kept;
  for (size_t i = 0; i < specs.size(); ++i) {
    if (specs[i].name == state) return at(i + (has_master ? 1 : 0), specs[i].dtype);
    kept.push_back(specs[i].name);
  }
  fail_unknown_state(optimizer_, state, kept);
}

bool NvmeStates::is_stored(size_t group, size_t piece, const std::string& state) const {
  return !is_in_memory(group, piece) && (state != kMasterCopy || has_stored_master(group, piece));
}

void NvmeStates::read(size_t group, size_t piece, const std::string& state, std::span<std::byte> out) const {
  if (is_in_memory(group, piece)) return copy_bytes(in_memory_.values(group, piece, state), state, out);
  const Stored tensor = stored(group, piece, state);
  DS_CHECK(out.size() == static_cast<size_t>(tensor.numel) * c10::elementSize(tensor.dtype),
           "{} bytes are asked for of state '{}'", out.size(), state);
  handle_.sync_pread(out, file_, tensor.offset);
}

at::Tensor NvmeStates::values(size_t group, size_t piece, const std::string& state) const {
  if (!is_stored(group, piece, state)) return in_memory_.values(group, piece, state);
  const Stored tensor = stored(group, piece, state);
  const at::Tensor copy = at::empty({tensor.numel}, tensor.dtype);
  read(group, piece, state, {static_cast<std::byte*>(copy.mutable_data_ptr()), copy.nbytes()});
  return copy;
}

void NvmeStates::write(size_t group, size_t piece, const std::string& state, int64_t begin,
                       const at::Tensor& values) {
  if (!is_stored(group, piece, state)) return in_memory_.write(group, piece, state, begin, values);
  const Stored tensor = stored(group, piece, state);
  const at::Tensor bytes = values.to(tensor.dtype).contiguous();
  DS_CHECK(begin >= 0 && begin + bytes.numel() <= tensor.numel, "elements {} to {} are not all in the piece",
           begin, begin + bytes.numel());
  handle_.sync_pwrite({static_cast<const std::byte*>(bytes.const_data_ptr()), bytes.nbytes()}, file_,
                      tensor.offset + begin * static_cast<int64_t>(bytes.element_size()));
}

void NvmeStates::add_bytes(StateBytes& bytes) const {
  for (size_t g = 0; g < places_.size(); ++g)
    for (size_t p = 0; p < places_[g].size(); ++p)
      if (!places_[g][p]) bytes.optimizer += bytes_of(optimizer_.piece_state(g, p));
  bytes.optimizer += bytes_in_memory();
  bytes.on_disk += bytes_on_disk();
}

int64_t NvmeStates::bytes_on_disk() const {
  return tiles_.empty() ? 0 : tiles_.back().offset + tiles_.back().bytes;
}

int64_t NvmeStates::bytes_in_memory() const {
  int64_t sum = 0;
  for (const Slot& slot : slots_) sum += static_cast<int64_t>(slot.memory.size());
  return sum;
}

}  // namespace deepspeed::zero
