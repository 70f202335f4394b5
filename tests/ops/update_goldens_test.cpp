// Ten steps of DeepSpeed's own CPU kernels, repeated by ours (goldens/make_updates.py).
#include <map>
#include <nlohmann/json.hpp>

#include "deepspeed/formats/safetensors.h"
#include "deepspeed/ops/adagrad.h"
#include "deepspeed/ops/adam.h"
#include "deepspeed/ops/lion.h"
#include "tests/ops/update_support.h"

namespace deepspeed::ops {
namespace {

using nlohmann::json;
using testing::same_bits;
using testing::State;

constexpr int64_t kCount = 301;
// What DeepSpeed computes by vectors. The rest goes through loops in plain C++, where the compiler chooses
// which product of a sum it fuses.
constexpr int64_t kVectors = kCount / 16 * 16;

at::ScalarType type_of(const json& golden, const char* key) {
  const std::string name = golden.value(key, "fp32");
  return name == "fp32" ? at::kFloat : name == "bf16" ? at::kBFloat16 : at::kHalf;
}

at::Tensor made(int64_t seed) {
  at::Tensor t = at::empty({kCount});
  for (int64_t i = 0; i < kCount; ++i) {
    const auto mixed = static_cast<uint32_t>(i * 2654435761 + seed * 40503 * 65537);
    t.data_ptr<float>()[i] = (static_cast<float>(mixed >> 20) - 2048) / 4096;
  }
  return t;
}

at::Tensor gradient(int64_t step) {
  at::Tensor g = made(step) / static_cast<double>(1 << (step % 4));
  g.slice(0, 0, kCount, 7).zero_();
  return g;
}

void update(const json& golden, const State& s, int64_t step) {
  const double lr = golden["lr"], decay = golden["weight_decay"];
  if (golden["op"] == "adam") {
    adam_step(s.param, s.grad, s.states[0], s.states[1],
              {.lr = lr,
               .beta1 = golden["betas"][0],
               .beta2 = golden["betas"][1],
               .eps = golden["eps"],
               .weight_decay = decay,
               .step = step,
               .adamw = golden["adamw_mode"],
               .bias_correction = golden["bias_correction"],
               .order = UpdateOrder::kCpu});
  } else if (golden["op"] == "adagrad") {
    adagrad_step(s.param, s.grad, s.states[0],
                 {.lr = lr, .eps = golden["eps"], .weight_decay = decay, .order = UpdateOrder::kCpu});
  } else {
    lion_step(s.param, s.grad, s.states[0],
              {.lr = lr,
               .beta1 = golden["betas"][0],
               .beta2 = golden["betas"][1],
               .weight_decay = decay,
               .order = UpdateOrder::kCpu});
  }
}

std::vector<std::string> state_names(const json& golden) {
  if (golden["op"] == "adam") return {"exp_avg", "exp_avg_sq"};
  return {golden["op"] == "adagrad" ? "exp_avg_sq" : "exp_avg"};
}

class UpdateGoldens : public ::testing::Test {
 protected:
  at::Tensor stored(const std::string& name, at::ScalarType type) const {
    const formats::TensorInfo* info = file_.find(name);
    EXPECT_TRUE(info) << name;
    at::Tensor t = at::empty({kCount}, type);
    EXPECT_EQ(file_.data(*info).size(), t.nbytes()) << name;
    std::memcpy(t.data_ptr(), file_.data(*info).data(), t.nbytes());
    return t;
  }
  void compare(const json& golden, const std::string& prefix, const State& s, int step) const;

  const formats::SafetensorsFile file_{DS_SOURCE_DIR "/tests/ops/goldens/updates.safetensors"};
};

// DeepSpeed multiplies beta^step up in fp32 while steps follow one another. From the third step on that may
// differ from the power by half a unit in its last place a step, which moves 1 - beta2^step by at most 2^-25
// / (1 - beta2) of itself, and a parameter by that share of the rate (doubled here for beta1 and for elements
// that move by more than the rate); in L2 mode also what comes of it.
void UpdateGoldens::compare(const json& golden, const std::string& prefix, const State& s, int step) const {
  const bool product = golden["op"] == "adam" && golden["bias_correction"] && !golden.contains("steps");
  const bool l2 = golden["op"] == "adam" && golden["weight_decay"] > 0 && !golden["adamw_mode"];
  const double drift =
      product ? step * golden["lr"].get<double>() * 0x1p-24 / (1 - golden["betas"][1].get<double>()) : 2e-8;
  const auto equal = [&](const std::string& name, const at::Tensor& ours, bool exact) {
    const at::Tensor theirs = stored(prefix + name, ours.scalar_type());
    const int64_t head = exact || step <= 2 ? kVectors : 0;
    EXPECT_TRUE(same_bits(ours.narrow(0, 0, head), theirs.narrow(0, 0, head)))
        << golden << " " << prefix << name;
    const at::ScalarType type = ours.scalar_type();
    const double ulp = type == at::kFloat ? 0x1p-23 : type == at::kHalf ? 0x1p-10 : 0x1p-7;
    EXPECT_TRUE(at::allclose(ours.to(at::kDouble), theirs.to(at::kDouble), 2 * ulp, drift))
        << golden << " " << prefix << name;
  };
  const auto names = state_names(golden);
  for (size_t k = 0; k < names.size(); ++k) equal(names[k], s.states[k], !(product && l2));
  equal("param", s.param, !product);
}

TEST_F(UpdateGoldens, HaveTheBitsOfDeepSpeedsCpuKernels) {
  const json cases = json::parse(file_.metadata().at("cases"));
  EXPECT_EQ(json::parse(file_.metadata().at("versions"))["deepspeed"], "0.19.8");
  std::map<std::string, int> seen;
  for (size_t c = 0; c < cases.size(); ++c) {
    const json& golden = cases[c];
    ++seen[golden["op"]];
    const at::ScalarType param = type_of(golden, "param"), state = type_of(golden, "state");
    State s{made(0).to(param), {}, {}, {}};
    for (size_t k = 0; k < state_names(golden).size(); ++k) s.states.push_back(at::zeros({kCount}, state));
    for (int step = 1; step <= 10; ++step) {
      s.grad = gradient(step).to(param);
      update(golden, s, golden.contains("steps") ? golden["steps"][step - 1].get<int64_t>() : step);
      if (step <= 2 || step == 10) compare(golden, fmt::format("{}/{}/", c, step), s, step);
    }
  }
  EXPECT_EQ(seen, (std::map<std::string, int>{{"adam", 10}, {"adagrad", 6}, {"lion", 6}}));
}

}  // namespace
}  // namespace deepspeed::ops
