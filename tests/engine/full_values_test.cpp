// Values, gradients and optimizer states of parameters: read and written alike wherever they live.
#include "deepspeed/engine/full_values.h"

#include <gmock/gmock.h>
#include <torch/optim/sgd.h>

#include "deepspeed/base/error.h"
#include "deepspeed/optim/torch_optimizer.h"
#include "tests/engine/placings.h"
#include "tests/support/combinations.h"

namespace deepspeed::engine {
namespace {

using testing::HasSubstr;
using Tensors = std::vector<at::Tensor>;

const std::string kBf16 = R"(, "bf16": {"enabled": true})";
const std::string kFp16 = R"(, "fp16": {"enabled": true, "initial_scale_power": 8})";

// What a scenario saw, by name.
using Seen = std::map<std::string, Tensors>;

class FullValues : public Placings {
 protected:
  // With a small eps a gradient that is rounding noise around zero would make a step of full size. Without
  // decay and bias correction the step that 16-bit training takes first at stage 0
  // (Engine::take_first_step) changes nothing.
  std::string config(const Placing& placing, const std::string& more = "", const std::string& keys = "",
                     int accumulation = 1, const std::string& type = "AdamW") const {
    return fmt::format(
        R"({{"train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": {}, "gradient_clipping": 0,
            "optimizer": {{"type": "{}", "params": {{"lr": 1e-3, "weight_decay": 0{}}}}}, {}{}}})",
        accumulation, type, type == "AdamW" ? R"(, "bias_correction": false, "eps": 1e-3)" : "",
        zero_block(placing, keys), more);
  }
};

// Values for the n-th parameter, of every sign or none below zero.
at::Tensor pattern(const at::Tensor& parameter, double n, double size = 0.1) {
  return (at::arange(parameter.numel(), at::kFloat) * 0.7 + n).sin().mul(size).view(parameter.sizes());
}

at::Tensor backward(TinyRun& run) {
  const at::Tensor ids = run.ready.loader->next()[0];
  const at::Tensor loss = run.engine().forward([&] { return run.model->forward(ids, ids); });
  run.engine().backward(loss);
  return loss.detach().to(at::kFloat);
}

template <class Get>
Tensors all(TinyRun& run, const Get& get) {
  Tensors tensors;
  for (const auto& p : run.model->parameters()) {
    const auto tensor = get(run.engine(), p);
    EXPECT_TRUE(tensor.has_value());
    if (!tensor) continue;
    EXPECT_EQ(tensor->scalar_type(), at::kFloat);
    EXPECT_EQ(tensor->sizes(), p.sizes());
    tensors.push_back(*tensor);
  }
  return tensors;
}

Tensors states(TinyRun& run, const std::string& key) {
  return all(run, [&](Engine& e, const at::Tensor& p) { return safe_get_full_optimizer_state(e, p, key); });
}

// Everything that can be read and written, at every moment at which it can.
Seen scenario(TinyRun& run) {
  Seen seen;
  Engine& engine = run.engine();
  const auto parameters = run.model->parameters();
  const auto look = [&](const std::string& when) {
    seen[when + ": values"] = all(run, safe_get_full_fp32_param);
    seen[when + ": exp_avg"] = states(run, "exp_avg");
    seen[when + ": exp_avg_sq"] = states(run, "exp_avg_sq");
  };
  look("before the first step");
  seen["losses"].push_back(backward(run));
  seen["gradients"] = all(run, safe_get_full_grad);
  engine.step();
  look("after a step");

  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto n = static_cast<double>(i);
    safe_set_full_fp32_param(engine, parameters[i], pattern(parameters[i], n));
    safe_set_full_optimizer_state(engine, parameters[i], pattern(parameters[i], n + 0.3), "exp_avg");
    safe_set_full_optimizer_state(engine, parameters[i], pattern(parameters[i], n + 0.6).abs(), "exp_avg_sq");
  }
  look("set");
  for (const auto& weights : run.weights()) seen["set: parameters"].push_back(weights.to(at::kFloat));
  seen["losses"].push_back(backward(run));  // with what was set
  seen["gradients of what was set"] = all(run, safe_get_full_grad);
  for (size_t i = 0; i < parameters.size(); ++i)
    safe_set_full_grad(engine, parameters[i], pattern(parameters[i], -static_cast<double>(i), 3));
  seen["set: gradients"] = all(run, safe_get_full_grad);
  engine.step();
  look("stepped");
  seen["norm"] = {at::scalar_tensor(engine.get_global_grad_norm().value_or(-1), at::kDouble)};
  seen["losses"].push_back(backward(run));
  return seen;
}

Seen see(int world, const std::string& config) {
  Seen seen;
  std::vector<Seen> by_rank(static_cast<size_t>(world));
  comm::run_ranks(world, [&](comm::GroupPtr group) {
    TinyRun run(group, config);
    by_rank[static_cast<size_t>(group->rank())] = scenario(run);
  });
  for (const Seen& other : by_rank)
    for (const auto& [name, tensors] : other)
      if (name != "losses") {
        EXPECT_TRUE(same_bits(tensors, by_rank[0].at(name))) << "ranks differ: " << name;
      }
  return by_rank[0];
}

// The largest difference, relative to the largest element; 0 for the same bits.
double difference(const Tensors& a, const Tensors& b) {
  if (a.size() != b.size()) return INFINITY;
  double worst = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].sizes() != b[i].sizes()) return INFINITY;
    const double off = (a[i] - b[i]).abs().max().item<double>();
    if (off > 0) worst = std::max(worst, off / std::max(1e-30, b[i].abs().max().item<double>()));
  }
  return worst;
}

void expect_same(const Seen& seen, const Seen& wanted, double allowed) {
  for (const auto& [name, tensors] : wanted)
    EXPECT_LE(difference(seen.at(name), tensors), name.starts_with("set") ? 0 : allowed) << name;
}

TEST_F(FullValues, AreThoseOfStage0AtEveryPlacement) {
  for (const auto& [precision, allowed] :
       std::vector<std::pair<std::string, double>>{{"", 1e-6}, {kBf16, 2e-2}, {kFp16, 3e-3}}) {
    const Seen wanted = see(2, config({}, precision));
    for (const Placing& placing : testing_support::some_of(all_placings(), precision.empty() ? 4 : 9)) {
      SCOPED_TRACE(name_of(placing) + precision);
      expect_same(see(2, config(placing, precision)), wanted, allowed);
    }
  }
}

TEST_F(FullValues, AreWhatWasSetAndWhatAHandComputedStepMakesOfIt) {
  const Seen seen = see(2, config({3, "nvme", 1, "nvme"}, kBf16));
  for (size_t i = 0; i < seen.at("set: values").size(); ++i) {
    const auto n = static_cast<double>(i);
    const at::Tensor &like = seen.at("set: values")[i], value = pattern(like, n), m = pattern(like, n + 0.3),
                     v = pattern(like, n + 0.6).abs();
    EXPECT_TRUE(at::equal(like, value));
    EXPECT_TRUE(at::equal(seen.at("set: parameters")[i], value.to(at::kBFloat16).to(at::kFloat)));
    EXPECT_TRUE(at::equal(seen.at("set: exp_avg")[i], m));
    EXPECT_TRUE(at::equal(seen.at("set: exp_avg_sq")[i], v));
    const at::Tensor g = pattern(like, -n, 3).to(at::kBFloat16).to(at::kFloat);  // as they are accumulated
    EXPECT_TRUE(at::equal(seen.at("set: gradients")[i], g));
    const at::Tensor m1 = m * 0.9 + g * 0.1, v1 = v * 0.999 + g * g * 0.001;
    EXPECT_TRUE(at::allclose(seen.at("stepped: exp_avg")[i], m1, 1e-5, 1e-7));
    EXPECT_TRUE(at::allclose(seen.at("stepped: exp_avg_sq")[i], v1, 1e-5, 1e-7));
    EXPECT_TRUE(
        at::allclose(seen.at("stepped: values")[i], value - 1e-3 * m1 / (v1.sqrt() + 1e-3), 1e-5, 1e-6));
  }
}

TEST_F(FullValues, AreTheSameOnAnyNumberOfRanks) {
  for (int world : {1, 5}) {  // of five some own nothing of a parameter
    const Seen wanted = see(world, config({}));
    for (const Placing& placing : {Placing{1}, Placing{3, "nvme", 0.3, "nvme"}, Placing{3, "nvme", 1, "nvme"},
                                   Placing{3, "none", 1, "nvme"}}) {
      SCOPED_TRACE(name_of(placing) + fmt::format(", {} ranks", world));
      expect_same(see(world, config(placing)), wanted, 1e-5);
    }
  }
}

TEST_F(FullValues, OfMiCSAndZeroPlusPlusAreThoseOfStage3) {
  for (const std::string& precision : {std::string(), kBf16}) {
    const Seen wanted = see(4, config({3}, precision));
    for (const char* keys : {R"(, "mics_shard_size": 2)", R"(, "zero_hpz_partition_size": 2)"}) {
      SCOPED_TRACE(precision + keys);
      expect_same(see(4, config({3}, precision, keys)), wanted, precision.empty() ? 1e-6 : 2e-2);
      expect_same(see(4, config({3, "nvme", 1, "nvme"}, precision, keys)), wanted,
                  precision.empty() ? 1e-6 : 2e-2);
    }
    // Quantized forwards and gradients are others; what is set is met exactly all the same.
    const Seen quantized = see(
        4,
        config(
            {3}, precision,
            R"(, "zero_hpz_partition_size": 2, "zero_quantized_weights": true, "zero_quantized_gradients": true)"));
    for (const auto& [name, tensors] : wanted)
      if (name.starts_with("set")) {
        EXPECT_TRUE(same_bits(quantized.at(name), tensors)) << name;
      }
    EXPECT_LT(difference(quantized.at("stepped: values"), wanted.at("stepped: values")), 1e-5);
    EXPECT_LT(difference(quantized.at("losses"), wanted.at("losses")), 1e-2);
  }
}

TEST_F(FullValues, OfSixteenBitMastersAndOfOtherRulesAreReadAndSet) {
  const std::string masters =
      R"(, "bf16": {"enabled": true, "bf16_master_weights_and_grads": true, "bf16_optimizer_states": true})";
  struct Case {
    Placing placing;
    std::string type, key, precision;
  };
  for (const Case& c :
       {Case{{2}, "AdamW", "exp_avg", masters}, Case{{3, "nvme"}, "AdamW", "exp_avg_sq", masters},
        Case{{3, "nvme", 1, "nvme"}, "AdamW", "exp_avg", masters}, Case{{2}, "Adagrad", "sum", ""},
        Case{{3, "nvme"}, "Adagrad", "sum", kBf16}, Case{{3, "cpu"}, "Lion", "exp_avg", kBf16}})
    comm::run_ranks(2, [&](comm::GroupPtr group) {
      SCOPED_TRACE(name_of(c.placing) + c.type + c.precision);
      TinyRun run(group, config(c.placing, c.precision, "", 1, c.type));
      run.steps(1);
      const bool rounds = c.precision == masters;
      for (const auto& p : run.model->parameters()) {
        const at::Tensor state = pattern(p, 1).abs(), value = pattern(p, 2);
        const auto kept = [&](const at::Tensor& t) {
          return rounds ? t.to(at::kBFloat16).to(at::kFloat) : t;
        };
        safe_set_full_optimizer_state(run.engine(), p, state.to(at::kDouble), c.key);  // of any format
        safe_set_full_fp32_param(run.engine(), p, value);
        EXPECT_TRUE(at::equal(*safe_get_full_optimizer_state(run.engine(), p, c.key), kept(state)));
        EXPECT_TRUE(at::equal(*safe_get_full_fp32_param(run.engine(), p), kept(value)));
      }
      run.steps(1);
    });
}

TEST_F(FullValues, GradientsExistFromTheEndOfAWindowToItsStep) {
  for (const Placing& placing : {Placing{0}, Placing{1}, Placing{2}, Placing{3}, Placing{3, "nvme"}})
    comm::run_ranks(2, [&](comm::GroupPtr group) {
      SCOPED_TRACE(name_of(placing));
      TinyRun run(group, config(placing, "", "", 2));
      const at::Tensor p = run.model->parameters()[3];
      const auto exists = [&] { return safe_get_full_grad(run.engine(), p).has_value(); };
      const auto set = [&] { safe_set_full_grad(run.engine(), p, at::ones(p.sizes())); };
      const auto refused = [&] { EXPECT_THROW(set(), base::Error); };
      EXPECT_FALSE(exists());
      refused();
      backward(run);  // of two
      EXPECT_FALSE(exists());
      refused();
      run.engine().step();
      EXPECT_FALSE(exists());
      backward(run);
      EXPECT_TRUE(exists());
      set();
      run.engine().step();
      EXPECT_FALSE(exists());
      refused();
      backward(run), run.engine().step(), backward(run);
      EXPECT_TRUE(exists());
      run.engine().zero_grad();
      EXPECT_FALSE(exists());
    });
}

TEST_F(FullValues, GradientsCarryTheLossScaleAndTheirNormIsThatOfTheStep) {
  for (int stage : {0, 2, 3})
    comm::run_ranks(2, [&](comm::GroupPtr group) {
      TinyRun run(group, config({stage}, kFp16)), plain(group, config({stage}));
      backward(run), backward(plain);
      double sum = 0;
      const auto scaled = all(run, safe_get_full_grad), exact = all(plain, safe_get_full_grad);
      for (size_t i = 0; i < scaled.size(); ++i) {
        EXPECT_TRUE(at::allclose(scaled[i] / 256, exact[i], 2e-2, 2e-3)) << i;
        sum += scaled[i].to(at::kDouble).square().sum().item<double>();
      }
      run.engine().step();
      EXPECT_NEAR(*run.engine().get_global_grad_norm() / (std::sqrt(sum) / 256), 1, 1e-6) << stage;
    });
}

TEST_F(FullValues, AnInfiniteGradientThatIsSetSkipsTheStepEverywhere) {
  for (const Placing& placing : {Placing{0}, Placing{1}, Placing{2, "nvme"}, Placing{3}})
    comm::run_ranks(2, [&](comm::GroupPtr group) {
      TinyRun run(group, config(placing, kFp16));
      backward(run);
      const at::Tensor p = run.model->parameters()[0];
      const auto before = *safe_get_full_fp32_param(run.engine(), p);
      safe_set_full_grad(run.engine(), p, at::full(p.sizes(), INFINITY));
      run.engine().step();
      EXPECT_FALSE(run.engine().was_step_applied()) << name_of(placing);
      EXPECT_TRUE(at::equal(*safe_get_full_fp32_param(run.engine(), p), before));
    });
}

TEST_F(FullValues, GradientsAreUpdatedByAFunction) {
  for (const Placing& placing : {Placing{0}, Placing{1}, Placing{2}, Placing{3, "nvme"}})
    comm::run_ranks(2, [&](comm::GroupPtr group) {
      const auto freeze_first = [](models::Decoder& model) {
        model.parameters()[0].set_requires_grad(false);
      };
      TinyRun run(group, config(placing), tiny_spec(), false, freeze_first);
      const auto parameters = run.model->parameters();
      const auto twice = [](const at::Tensor& gradient, const at::Tensor& p) {
        EXPECT_EQ(gradient.sizes(), p.sizes());
        return gradient * 2;
      };
      EXPECT_THROW(safe_update_full_grad_vectorized(run.engine(), parameters, twice), base::Error);
      backward(run);
      const auto before = *safe_get_full_grad(run.engine(), parameters[1]);
      safe_update_full_grad_vectorized(run.engine(), parameters, twice);  // passes the first one by
      EXPECT_TRUE(at::equal(*safe_get_full_grad(run.engine(), parameters[1]), before * 2))
          << name_of(placing);
    });
}

// A parameter's parts, one a rank, padding included.
Tensors parts_of(const at::Tensor& whole, int world) {
  const int64_t part = (whole.numel() + world - 1) / world;
  const at::Tensor padded = at::zeros({part * world});
  padded.narrow(0, 0, whole.numel()).copy_(whole.reshape({-1}));
  return padded.chunk(world);
}

TEST_F(FullValues, LocalOnesAreThePartsOfTheFullOnes) {
  for (int world : {1, 5})
    for (const Placing& placing :
         {Placing{3}, Placing{3, "nvme", 0.3}, Placing{3, "nvme", 1, "nvme"}, Placing{3, "cpu", 1, "nvme"}})
      for (const std::string& precision : {std::string(), kBf16})
        comm::run_ranks(world, [&](comm::GroupPtr group) {
          SCOPED_TRACE(name_of(placing) + precision + fmt::format(", {} ranks", world));
          TinyRun run(group, config(placing, precision));
          Engine& engine = run.engine();
          run.steps(1);
          backward(run);
          const auto mine = [&](const at::Tensor& whole) {
            return parts_of(whole, world).at(static_cast<size_t>(group->rank()));
          };
          for (const auto& p : run.model->parameters()) {
            EXPECT_TRUE(
                at::equal(*safe_get_local_fp32_param(engine, p), mine(*safe_get_full_fp32_param(engine, p))));
            EXPECT_TRUE(at::equal(*safe_get_local_grad(engine, p), mine(*safe_get_full_grad(engine, p))));
            EXPECT_TRUE(at::equal(*safe_get_local_optimizer_state(engine, p, "exp_avg"),
                                  mine(*safe_get_full_optimizer_state(engine, p, "exp_avg"))));
            const at::Tensor value = pattern(p, 1), state = pattern(p, 2);
            const at::Tensor gradient = pattern(p, 3).to(at::kBFloat16).to(at::kFloat);
            safe_set_local_fp32_param(engine, p, mine(value));
            safe_set_local_grad(engine, p, mine(gradient));
            safe_set_local_optimizer_state(engine, p, mine(state), "exp_avg");
            EXPECT_TRUE(at::equal(*safe_get_full_fp32_param(engine, p), value));
            EXPECT_TRUE(at::equal(*safe_get_full_grad(engine, p), gradient));
            EXPECT_TRUE(at::equal(*safe_get_full_optimizer_state(engine, p, "exp_avg"), state));
            const auto whole = engine.gathered({p});  // persistent ones included
            EXPECT_TRUE(at::equal(p.detach().to(at::kFloat), value.to(p.scalar_type()).to(at::kFloat)));
          }
          engine.step();
        });
}

TEST_F(FullValues, SetAfterAnEvaluationAreUsedByTheNextOne) {
  for (const std::string& keys : {std::string(R"(, "stage3_max_reuse_distance": 1000000)"),
                                  std::string(R"(, "zero_hpz_partition_size": 2)")})
    comm::run_ranks(2, [&](comm::GroupPtr group) {
      TinyRun run(group, config({3}, "", keys)), other(group, config({0}));
      const at::Tensor ids = at::arange(16, at::kLong).view({1, 16}) * 5 % 61;
      at::NoGradGuard no_grad;
      const auto evaluate = [&](TinyRun& of) {
        return of.engine().forward([&] { return of.model->forward(ids, ids); }).item<double>();
      };
      for (int round = 0; round < 2; ++round) {
        EXPECT_EQ(evaluate(run), evaluate(other));
        for (TinyRun* of : {&run, &other})
          for (const auto& p : of->model->parameters())
            safe_set_full_fp32_param(of->engine(), p, pattern(p, round));
      }
      EXPECT_EQ(evaluate(run), evaluate(other));
    });
}

// Every rank's answer, which all of them give.
std::string error_of(comm::Group& group, const std::function<void()>& call) {
  std::string text;
  try {
    call();
  } catch (const base::Error& error) {
    text = error.what();
  }
  for (const auto& other : group.all_gather_object(text)) EXPECT_EQ(other, text);
  EXPECT_EQ(text.find('\n'), std::string::npos);
  return text;
}

TEST_F(FullValues, ErrorsSayWhatIsWrongOnEveryRank) {
  for (const Placing& placing : {Placing{0}, Placing{2, "nvme"}, Placing{3}, Placing{3, "nvme", 1, "nvme"}})
    comm::run_ranks(3, [&](comm::GroupPtr group) {
      SCOPED_TRACE(name_of(placing));
      const auto freeze_first = [](models::Decoder& model) {
        model.parameters()[0].set_requires_grad(false);
      };
      TinyRun run(group, config(placing), tiny_spec(), false, freeze_first);
      Engine& engine = run.engine();
      const auto parameters = run.model->parameters();
      const at::Tensor frozen = parameters[0], p = parameters[4];
      const auto error = [&](const std::function<void()>& call) { return error_of(*group, call); };

      EXPECT_THAT(
          error([&] { safe_get_full_fp32_param(engine, at::ones({2})); }),
          HasSubstr("safe_get_full_fp32_param: rank 0: the tensor is no parameter of the engine's model"));
      EXPECT_THAT(error([&] {
                    safe_set_full_fp32_param(engine, p, at::ones({2, 3}));
                  }),
                  testing::AllOf(HasSubstr("parameter 'layers.0."),
                                 HasSubstr("the value has shape [2, 3], wanted is [")));
      EXPECT_THAT(error([&] { safe_get_full_optimizer_state(engine, p, "momentum"); }),
                  HasSubstr("optimizer adamw keeps no state 'momentum'; it has exp_avg, exp_avg_sq"));
      EXPECT_THAT(error([&] { safe_set_full_optimizer_state(engine, p, at::ones(p.sizes()), "step"); }),
                  HasSubstr("keeps no state 'step'; it has exp_avg, exp_avg_sq"));
      EXPECT_THAT(error([&] { safe_get_full_optimizer_state(engine, p, ""); }), HasSubstr("needs a name"));
      EXPECT_THAT(error([&] { safe_set_full_grad(engine, p, at::ones(p.sizes())); }),
                  HasSubstr("there is no gradient to set: one exists from the backward"));
      EXPECT_THAT(error([&] { safe_set_full_fp32_param(engine, frozen, at::ones(frozen.sizes())); }),
                  HasSubstr("is not trained"));
      EXPECT_FALSE(safe_get_full_fp32_param(engine, frozen) || safe_get_full_grad(engine, frozen) ||
                   safe_get_full_optimizer_state(engine, frozen, "exp_avg"));
      // One rank's mistake.
      const std::vector<int64_t> sizes = group->rank() == 1 ? std::vector<int64_t>{7} : p.sizes().vec();
      EXPECT_THAT(error([&] { safe_set_full_fp32_param(engine, p, at::zeros(sizes)); }),
                  HasSubstr("rank 1: "));
      const std::string local = error([&] { safe_get_local_grad(engine, p); });
      EXPECT_EQ(local.find("at zero_optimization.stage 3 only") != std::string::npos, placing.stage < 3)
          << local;
      if (placing.stage == 3) {
        const auto whole = engine.gathered({p});
        EXPECT_THAT(error([&] { safe_set_full_fp32_param(engine, p, at::ones(p.sizes())); }),
                    HasSubstr("it is gathered"));
      }
      run.steps(1);  // it all went on
    });
}

TEST_F(FullValues, OfAnOptimizerOfTheCallersAreThere) {
  comm::run_ranks(2, [&](comm::GroupPtr group) {
    auto model = std::make_shared<models::Decoder>(tiny_spec(), std::make_shared<accel::Rng>(3, 0));
    nn::DenseMaterializer().materialize(nn::list_parameters(*model), nn::InitSource(5));
    const auto sgd = optim::torch_optimizer([](std::vector<torch::optim::OptimizerParamGroup> groups) {
      return std::make_unique<torch::optim::SGD>(std::move(groups),
                                                 torch::optim::SGDOptions(0.1).momentum(0.9));
    });
    auto ready =
        initialize({.model = model,
                    .config = R"({"train_micro_batch_size_per_gpu": 2, "zero_allow_untested_optimizer": true,
                                           "zero_optimization": {"stage": 2}})",
                    .group = group,
                    .optimizer = sgd});
    for (const auto& p : model->parameters()) {
      safe_set_full_optimizer_state(*ready.engine, p, pattern(p, 1), "momentum_buffer");
      EXPECT_TRUE(
          at::equal(*safe_get_full_optimizer_state(*ready.engine, p, "momentum_buffer"), pattern(p, 1)));
    }
  });
}

TEST_F(FullValues, OfTheWholeModelAreOnRank0AsSaved) {
  for (const Placing& placing : {Placing{0}, Placing{2}, Placing{3}, Placing{3, "nvme", 1, "nvme"}})
    comm::run_ranks(2, [&](comm::GroupPtr group) {
      TinyRun run(group, config(placing, kBf16));
      run.steps(1);
      const auto dict = run.engine().module_state_dict();
      const auto weights = run.weights();
      if (group->rank() != 0) {
        EXPECT_TRUE(dict.empty());
        return;
      }
      const auto named = run.model->named_parameters();
      ASSERT_EQ(named.size(), weights.size());
      EXPECT_EQ(dict.size(), named.size() + run.model->named_buffers().size());
      for (size_t i = 0; i < weights.size(); ++i) {
        const auto found =
            std::find_if(dict.begin(), dict.end(), [&](const auto& t) { return t.name == named[i].key(); });
        ASSERT_NE(found, dict.end()) << named[i].key();
        EXPECT_TRUE(at::equal(found->tensor, weights[i])) << named[i].key();
      }
    });
}

}  // namespace
}  // namespace deepspeed::engine
