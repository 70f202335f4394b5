// Buckets are reduced while backward still runs.
#include "deepspeed/comm/fake.h"
#include "tests/engine/tiny.h"

namespace deepspeed::engine {
namespace {

// Marks in the fake group's log when each layer's backward starts.
struct Marker : nn::BlockObserver {
  Marker(comm::FakeLog* log, std::string name) : log(log), name(std::move(name)) {}
  void before_backward(nn::Block&) override { log->mark("backward " + name); }
  comm::FakeLog* log;
  std::string name;
};

TEST(Overlap, EachLayersBucketIsIssuedBeforeTheBackwardOfTheNextLayerStarts) {
  for (int stage : {0, 1, 2}) {
    comm::FakeLog log;
    const std::string config =
        fmt::format(R"({{"train_micro_batch_size_per_gpu": 1, "optimizer": {{"type": "Adam"}},
      "zero_optimization": {{"stage": {}, "reduce_bucket_size": 1}}}})",
                    stage);
    TinyRun run(comm::fake_group(0, 2, &log), config);
    for (auto& [name, block] : nn::blocks_of(*run.model))
      if (name.size() == 8 && name.rfind("layers.", 0) == 0)
        block->add_observer(std::make_shared<Marker>(&log, name));
    log.clear();
    run.micro_step();

    // Every parameter is a bucket: when a layer's backward starts, those of the final norm (2) and of the
    // layers after it (12 each) have been issued.
    const auto names = log.names();
    int reductions = 0, layers = 0;
    for (const auto& name : names) {
      if (name.rfind("backward", 0) == 0) {
        EXPECT_EQ(reductions, 2 + 12 * layers) << "stage " << stage << " before " << name;
        ++layers;
      } else if (name.find("reduce") != std::string::npos) {
        ++reductions;
      }
    }
    EXPECT_EQ(layers, 3) << "stage " << stage;
  }
}

}  // namespace
}  // namespace deepspeed::engine
