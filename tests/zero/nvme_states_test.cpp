#include "deepspeed/zero/nvme_states.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>

#include "deepspeed/aio/faulty.h"
#include "deepspeed/base/error.h"

namespace deepspeed::zero {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

constexpr int64_t kLengths[] = {700, 1000, 1, 333, 1000};

at::Tensor values(int64_t numel, double start) { return at::arange(numel, at::kFloat) / 1000 + start; }

at::Tensor without_memory(int64_t numel) {
  at::Tensor empty = at::empty({0}, at::kFloat);
  empty.unsafeGetTensorImpl()->set_sizes_contiguous({numel});
  return empty;
}

class NvmeStatesTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("ds_nvme_states_" + std::to_string(::getpid()));
    fs::remove_all(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  NvmeOptions options(bool read = false, bool write = false) const {
    return {.folder = folder_,
            .tile_elements = 1000,
            .pipeline_read = read,
            .pipeline_write = write,
            .aio = {},
            .backend = {}};
  }

  fs::path folder_;
};

// The same pieces twice: with masters in memory, and for a disk.
struct Pieces {
  std::vector<at::Tensor> masters, gradients, copies;
  std::unique_ptr<optim::Optimizer> optimizer;

  Pieces(optim::OptimizerType type, bool stored) {
    optim::ParamGroup group{.lr = 0.01, .weight_decay = 0.1};
    for (const int64_t numel : kLengths) {
      const auto number = static_cast<double>(masters.size());
      masters.push_back(values(numel, 1 + number));
      gradients.push_back(values(numel, -0.4).sin());
      copies.push_back(at::zeros({numel}, at::kBFloat16));
      // The fourth is not offloaded.
      group.pieces.push_back({.name = std::to_string(masters.size()),
                              .param = stored && masters.size() != 4 ? without_memory(numel) : masters.back(),
                              .grad = gradients.back(),
                              .low_precision_copy = copies.back(),
                              .on_device = masters.size() == 4});
    }
    optim::OptimizerConfig config;
    config.type = type;
    optimizer = optim::make_optimizer(config, {group}, {.cpu_offload = true});
  }
  ModelValues first() const {
    return {.read = [this](size_t, size_t piece, at::Tensor master) { master.copy_(masters[piece]); },
            .publish = {}};
  }
};

TEST_F(NvmeStatesTest, StepsAsTheOptimizerDoesInMemoryBitForBit) {
  for (const auto type :
       {optim::OptimizerType::kAdamW, optim::OptimizerType::kAdagrad, optim::OptimizerType::kLion})
    for (const auto& [read, write] : std::vector<std::pair<bool, bool>>{{0, 0}, {1, 0}, {0, 1}, {1, 1}}) {
      Pieces here(type, false), there(type, true);
      NvmeStates home(*there.optimizer, options(read, write), there.first());
      for (int step = 0; step < 3; ++step) {
        here.optimizer->step(0.5);
        home.step(0.5);
      }
      size_t seen = 0;
      home.change(
          [&](const PieceInMemory& piece) {
            ++seen;
            EXPECT_TRUE(at::equal(piece.param, here.masters[piece.piece])) << piece.piece;
            EXPECT_TRUE(at::equal(here.copies[piece.piece], there.copies[piece.piece])) << piece.piece;
            for (const auto& [name, state] : here.optimizer->piece_state(0, piece.piece))
              EXPECT_TRUE(at::equal(piece.states.at(name), state)) << name;
          },
          OptimizerHome::Replaces::kSome);
      EXPECT_EQ(seen, std::size(kLengths));
    }
}

TEST_F(NvmeStatesTest, HoldsATileAndOneMoreForEitherPipeline) {
  for (const auto& [read, write] : std::vector<std::pair<bool, bool>>{{0, 0}, {1, 0}, {1, 1}}) {
    Pieces pieces(optim::OptimizerType::kAdamW, true);
    const NvmeStates home(*pieces.optimizer, options(read, write), pieces.first());
    EXPECT_EQ(home.bytes_in_memory(), 3 * 4096 * (1 + read + write));  // 1000 elements of 12 bytes
    EXPECT_EQ(home.bytes_on_disk(), (3 + 3 + 1 + 3) * 4096);
    EXPECT_TRUE(fs::is_empty(folder_));  // the file has no name
  }
}

TEST_F(NvmeStatesTest, GivesAndTakesSingleStates) {
  Pieces pieces(optim::OptimizerType::kAdamW, true);
  NvmeStates home(*pieces.optimizer, options(), pieces.first());
  EXPECT_TRUE(home.is_in_memory(0, 3));
  EXPECT_TRUE(home.has_stored_master(0, 1) && !home.is_in_memory(0, 1));
  home.write(0, 1, kMasterCopy, 7, at::full({3}, 99, at::kFloat));
  at::Tensor master = at::empty({1000}), moment = at::empty({1000});
  const auto bytes = [](at::Tensor& t) {
    return std::span(static_cast<std::byte*>(t.mutable_data_ptr()), t.nbytes());
  };
  home.read(0, 1, "", bytes(master));
  home.read(0, 1, "exp_avg_sq", bytes(moment));
  at::Tensor expected = pieces.masters[1].clone();
  expected.narrow(0, 7, 3).fill_(99);
  EXPECT_TRUE(at::equal(master, expected));
  EXPECT_TRUE(moment.eq(0).all().item<bool>());
  EXPECT_THROW(home.read(0, 1, "sum", bytes(moment)), base::Error);

  // The same of every piece, the one in memory (3) among them; neighbours stay as they are.
  for (const size_t piece : {1, 3}) {
    const at::Tensor first = home.values(0, piece, kMasterCopy).clone();
    EXPECT_TRUE(at::equal(first, piece == 1 ? expected : pieces.masters[3]));
    home.write(0, piece, "exp_avg", 0, at::full({kLengths[piece]}, 5, at::kFloat));
    home.write(0, piece, "exp_avg_sq", 2, at::full({4}, 6, at::kDouble));
    EXPECT_TRUE(home.values(0, piece, "exp_avg").eq(5).all().item<bool>());
    const at::Tensor square = home.values(0, piece, "exp_avg_sq");
    EXPECT_TRUE(square.narrow(0, 2, 4).eq(6).all().item<bool>());
    EXPECT_EQ(square.sum().item<double>(), 24);
    EXPECT_TRUE(at::equal(home.values(0, piece, kMasterCopy), first));
  }
  EXPECT_TRUE(home.values(0, 4, "exp_avg").eq(0).all().item<bool>());
  EXPECT_THROW(home.write(0, 1, "exp_avg", 999, at::ones({2})), base::Error);
  EXPECT_THROW(home.values(0, 3, "sum"), base::Error);
  EXPECT_THROW(pieces.optimizer->piece_state(0, 1), base::Error);
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const base::Error& error) {
    return error.what();
  }
  return "";
}

TEST_F(NvmeStatesTest, NamesTheFileOfADiskThatFailsAndGoesOnAfterALoad) {
  for (const auto& [direction, error, text] : std::vector<std::tuple<aio::Direction, int, const char*>>{
           {aio::Direction::kRead, EIO, "Input/output error"},
           {aio::Direction::kWrite, ENOSPC, "No space left"}}) {
    auto failing = std::make_shared<bool>(false);
    NvmeOptions with_fault = options(true, true);
    with_fault.backend =
        aio::with_faults(aio::make_thread_pool,
                         [failing, direction = direction, error = error](
                             const aio::Transfer& transfer, int64_t) -> std::optional<aio::Fault> {
                           if (!*failing || transfer.direction != direction || transfer.offset < 12288)
                             return std::nullopt;
                           return aio::Fault{.error = error};
                         });
    Pieces pieces(optim::OptimizerType::kAdamW, true);
    NvmeStates home(*pieces.optimizer, with_fault, pieces.first());
    home.step(1);
    *failing = true;
    const std::string message = error_of([&] { home.step(1); });
    EXPECT_THAT(message, HasSubstr(folder_.string()));
    EXPECT_THAT(message, HasSubstr(text));
    EXPECT_THAT(message, HasSubstr("12288"));
    *failing = false;
    EXPECT_THAT(error_of([&] { home.step(1); }), HasSubstr("load a checkpoint"));
    EXPECT_THAT(error_of([&] { home.check(); }), HasSubstr("load a checkpoint"));
    const auto fill = [&](const PieceInMemory& piece) { piece.param.fill_(1); };
    home.change(fill, OptimizerHome::Replaces::kSome);
    EXPECT_THAT(error_of([&] { home.step(1); }), HasSubstr("load a checkpoint"));
    home.change(fill, OptimizerHome::Replaces::kEverything);
    EXPECT_EQ(error_of([&] { home.step(1); }), "");
  }
}

TEST_F(NvmeStatesTest, SaysThatAFolderCannotBeMade) {
  Pieces pieces(optim::OptimizerType::kAdamW, true);
  NvmeOptions nowhere = options();
  nowhere.folder = "/proc/nothing/here";
  EXPECT_THAT(error_of([&] { NvmeStates(*pieces.optimizer, nowhere, pieces.first()); }),
              HasSubstr("/proc/nothing/here"));
}

}  // namespace
}  // namespace deepspeed::zero
