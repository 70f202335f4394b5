// Optimizer states in memory beside parameters on a disk.
#include "deepspeed/zero/memory_pieces.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>

#include "deepspeed/aio/faulty.h"
#include "deepspeed/base/error.h"
#include "deepspeed/zero/part_store.h"

namespace deepspeed::zero {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

constexpr int64_t kLengths[] = {700, 1, 1000, 333};
constexpr int64_t kInMemory = 700;  // elements of the parameters that are not on the disk
constexpr int64_t kAll = 2034;

at::Tensor values(int64_t numel, double start) { return at::arange(numel, at::kFloat) / 1000 + start; }

at::Tensor without_memory(int64_t numel, at::ScalarType dtype) {
  at::Tensor empty = at::empty({0}, dtype);
  empty.unsafeGetTensorImpl()->set_sizes_contiguous({numel});
  return empty;
}

// One group of pieces over parameters that are their own masters, or have masters in fp32.
struct Updated {
  PartStore store;
  std::vector<at::Tensor> masters, gradients;
  std::vector<int64_t> begins;
  std::unique_ptr<optim::Optimizer> optimizer;
  std::unique_ptr<OptimizerHome> home;

  Updated(optim::OptimizerType type, at::ScalarType dtype, const std::optional<PartFileOptions>& file)
      : store(kAll, file ? kInMemory : kAll, dtype, file) {
    optim::ParamGroup group{.lr = 0.01, .weight_decay = 0.1};
    int64_t begin = 0;
    for (const int64_t numel : kLengths) {
      const auto number = static_cast<double>(masters.size());
      masters.push_back(values(numel, 1 + number));
      gradients.push_back(values(numel, -0.4).sin());
      begins.push_back(begin);
      store.write(begin, masters.back());
      const at::Tensor own =
          store.is_stored(begin) ? without_memory(numel, dtype) : store.memory().narrow(0, begin, numel);
      const bool rounds = dtype != at::kFloat;
      group.pieces.push_back({.name = std::to_string(begin),
                              .param = rounds ? masters.back() : own,
                              .grad = gradients.back(),
                              .low_precision_copy = rounds ? own : at::Tensor()});
      begin += numel;
    }
    optim::OptimizerConfig config;
    config.type = type;
    optimizer = optim::make_optimizer(config, {group}, {.cpu_offload = true});
    home = make_optimizer_home(
        *optimizer, {}, {},
        {.read = [this](size_t, size_t p, at::Tensor out) { out.copy_(store.read(begins[p], kLengths[p])); },
         .publish = [this](size_t, size_t p, const at::Tensor& v) { store.write(begins[p], v); },
         .finish = [this] { store.finish_writes(); }});
  }
};

class MemoryPiecesTest : public testing::Test {
 protected:
  void TearDown() override { fs::remove_all(folder_); }
  PartFileOptions file() const { return {.folder = folder_}; }
  fs::path folder_ = fs::temp_directory_path() / ("ds_memory_pieces_" + std::to_string(::getpid()));
};

TEST_F(MemoryPiecesTest, StepAsAllInMemoryDoesBitForBit) {
  for (const auto type :
       {optim::OptimizerType::kAdamW, optim::OptimizerType::kAdagrad, optim::OptimizerType::kLion})
    for (const auto dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
      Updated here(type, dtype, std::nullopt), there(type, dtype, file());
      for (int step = 0; step < 3; ++step) {
        here.home->step(0.5);
        there.home->step(0.5);
      }
      for (size_t p = 0; p < std::size(kLengths); ++p) {
        EXPECT_EQ(there.home->has_stored_master(0, p), p > 0 && dtype == at::kFloat);
        EXPECT_TRUE(at::equal(there.store.read(there.begins[p], kLengths[p]),
                              here.store.read(here.begins[p], kLengths[p])))
            << p;
        for (const char* state : {kMasterCopy, type == optim::OptimizerType::kAdagrad ? "sum" : "exp_avg"})
          EXPECT_TRUE(at::equal(there.home->values(0, p, state), here.home->values(0, p, state)));
        EXPECT_EQ(there.optimizer->groups()[0].pieces[p].param.storage().nbytes() == 0,
                  there.home->has_stored_master(0, p));
      }
    }
}

TEST_F(MemoryPiecesTest, AreReadAndWrittenInParts) {
  Updated run(optim::OptimizerType::kAdamW, at::kFloat, file());
  for (const size_t p : {0, 2}) {
    at::Tensor expected = run.masters[p].clone();
    expected.narrow(0, 7, 3).fill_(99);
    run.home->write(0, p, kMasterCopy, 7, at::full({3}, 99, at::kDouble));
    EXPECT_TRUE(at::equal(run.home->values(0, p, kMasterCopy), expected));
    at::Tensor bytes = at::empty_like(expected);
    run.home->read(0, p, kMasterCopy, {static_cast<std::byte*>(bytes.mutable_data_ptr()), bytes.nbytes()});
    EXPECT_TRUE(at::equal(bytes, expected));
    EXPECT_THROW(run.home->values(0, p, "sum"), base::Error);
  }
  run.home->change([](const PieceInMemory& piece) { piece.param.fill_(static_cast<double>(piece.piece)); },
                   OptimizerHome::Replaces::kSome);
  EXPECT_TRUE(run.store.read(run.begins[3], 333).eq(3).all().item<bool>());
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const base::Error& error) {
    return error.what();
  }
  return "";
}

TEST_F(MemoryPiecesTest, NameTheFileOfADiskThatFailsAndGoOnAfterALoad) {
  for (const auto dtype : {at::kFloat, at::kBFloat16})
    for (const auto& [direction, error, text] : std::vector<std::tuple<aio::Direction, int, const char*>>{
             {aio::Direction::kRead, EIO, "Input/output error"},
             {aio::Direction::kWrite, ENOSPC, "No space left"}}) {
      if (direction == aio::Direction::kRead && dtype != at::kFloat) continue;  // masters need no reading
      auto failing = std::make_shared<bool>(false);
      PartFileOptions broken = file();
      broken.backend =
          aio::with_faults(aio::make_thread_pool,
                           [failing, direction = direction, error = error](
                               const aio::Transfer& transfer, int64_t) -> std::optional<aio::Fault> {
                             if (!*failing || transfer.direction != direction) return std::nullopt;
                             return aio::Fault{.error = error};
                           });
      Updated run(optim::OptimizerType::kAdamW, dtype, broken);
      run.home->step(1);
      *failing = true;
      EXPECT_THAT(error_of([&] { run.home->step(1); }), AllOf(HasSubstr(folder_.string()), HasSubstr(text)));
      *failing = false;
      EXPECT_THAT(error_of([&] { run.home->step(1); }), HasSubstr("load a checkpoint"));
      run.home->change([&](const PieceInMemory& piece) { piece.param.copy_(run.masters[piece.piece]); },
                       OptimizerHome::Replaces::kEverything);
      run.home->step(1);
    }
}

}  // namespace
}  // namespace deepspeed::zero
