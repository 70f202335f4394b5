// fp16 training that overflows on purpose, step by step as DeepSpeed's
// (tests/parity/make_overflow_traces.py).
#include <cmath>
#include <set>

#include "deepspeed/base/file.h"
#include "tiny.h"

namespace deepspeed::engine {
namespace {

using Json = nlohmann::json;

struct Weighted : torch::nn::Module {
  explicit Weighted(int64_t width) { weight = register_parameter("weight", at::ones({width})); }
  at::Tensor forward(const at::Tensor& x) const { return (weight * x).sum(); }
  at::Tensor weight;
};

// As in the script: powers of two, so that overflow is a matter of arithmetic and not of rounding.
double input(int64_t step, int64_t micro, int rank, const std::set<int64_t>& injected) {
  const int64_t large = rank == 1 && injected.contains(step) ? 12 : 0;
  return std::ldexp(1.0, static_cast<int>((step * 7 + micro * 3 + rank * 5) % 4 + large));
}

TEST(OverflowTrace, ScaleSkippedStepsAndScheduleFollowDeepSpeedFor200Steps) {
  const Json golden = Json::parse(
      base::read_text_file(std::filesystem::path(DS_SOURCE_DIR) / "tests/parity/goldens/overflow.json"));
  const auto injected = golden["injected"].get<std::set<int64_t>>();
  for (const auto& run : golden["runs"]) {
    SCOPED_TRACE(run["config"].dump());
    ASSERT_EQ(run["steps"].size(), 200u);
    ASSERT_GT(run["steps"].back()[1].get<int>(), 20) << "the golden does not overflow";
    comm::run_ranks(golden["world_size"].get<int>(), [&](comm::GroupPtr group) {
      auto model = std::make_shared<Weighted>(golden["width"].get<int64_t>());
      auto ready = initialize({.model = model, .config = run["config"].dump(), .group = group});
      Engine& engine = *ready.engine;
      for (int64_t step = 0; step < 200; ++step) {
        for (int64_t micro = 0; micro < engine.gradient_accumulation_steps(); ++micro) {
          const at::Tensor x =
              at::full_like(model->weight, input(step, micro, group->rank(), injected)).detach();
          engine.backward(engine.forward([&] { return model->forward(x); }));
          engine.step();
        }
        const auto& want = run["steps"][static_cast<size_t>(step)];
        ASSERT_EQ(engine.loss_scale(), want[0].get<double>()) << "step " << step;
        ASSERT_EQ(engine.skipped_steps(), want[1].get<int64_t>()) << "step " << step;
        ASSERT_NEAR(engine.get_lr()[0], want[2].get<double>(), 1e-12) << "step " << step;
      }
    });
  }
}

}  // namespace
}  // namespace deepspeed::engine
