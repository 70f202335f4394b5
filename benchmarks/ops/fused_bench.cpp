// Every fused op beside ATen's composition of the same work, forward and backward in turn, at the sizes of
// one rank of the 45M GPT-2 (2 x 256 tokens, width 512, 8 heads, vocabulary 50257): time and the tensor
// memory that a call needs beyond its inputs. One thread unless OMP_NUM_THREADS says otherwise.
//   ops_fused_bench [--json] [--pairs N] [NAME ...]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <functional>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>

#include "deepspeed/accel/memory.h"
#include "deepspeed/accel/tensor_memory.h"
#include "deepspeed/base/cpu_features.h"
#include "deepspeed/ops/adam.h"
#include "deepspeed/ops/attention.h"
#include "deepspeed/ops/dropout.h"
#include "deepspeed/ops/embedding.h"
#include "deepspeed/ops/gelu.h"
#include "deepspeed/ops/layer_norm.h"
#include "deepspeed/ops/linear.h"
#include "deepspeed/ops/linear_cross_entropy.h"
#include "deepspeed/ops/rms_norm.h"
#include "deepspeed/ops/rotary.h"
#include "deepspeed/ops/sum_squares.h"
#include "deepspeed/ops/swiglu.h"

namespace {

namespace ops = deepspeed::ops;
using Tensors = std::vector<at::Tensor>;
using Make = std::function<Tensors(at::ScalarType)>;
using Compute = std::function<at::Tensor(const Tensors&)>;

constexpr int64_t kBatch = 2, kLength = 256, kTokens = kBatch * kLength, kWidth = 512, kInner = 2048,
                  kHeads = 8, kHeadDim = 64, kVocabulary = 50257;
const deepspeed::accel::RngKey kKey{1, 2};

struct Op {
  std::string name;
  Make inputs;
  Compute ours, aten;
  bool differentiates = true;  // else only what it computes is timed
  bool fp32_only = false;
};

at::Tensor leaf(at::IntArrayRef sizes, at::ScalarType type) {
  return (at::randn(sizes) * 0.3).to(type).requires_grad_();
}
Make leaves(std::vector<std::vector<int64_t>> shapes) {
  return [shapes](at::ScalarType type) {
    Tensors out;
    for (const auto& shape : shapes) out.push_back(leaf(shape, type));
    return out;
  };
}

// As Hugging Face writes what ATen has no single op for.
at::Tensor llama_norm(const at::Tensor& x, const at::Tensor& weight) {
  const at::Tensor wide = x.to(at::kFloat);
  return weight * (wide * at::rsqrt(wide.pow(2).mean(-1, true) + 1e-6)).to(x.scalar_type());
}
at::Tensor rotate_half(const at::Tensor& x, const ops::RotaryTable& table) {
  const at::Tensor cos = at::cat({table.cos, table.cos}, -1).to(x.scalar_type()),
                   sin = at::cat({table.sin, table.sin}, -1).to(x.scalar_type());
  const auto halves = x.chunk(2, -1);
  return x * cos + at::cat({-halves[1], halves[0]}, -1) * sin;
}
at::Tensor tied_loss(const Tensors& t, const at::Tensor& ids, const at::Tensor& labels, bool ours) {
  const at::Tensor x =
      ours ? ops::embedding(t[0], ids, -1, ops::TableGradient::kRows) : at::embedding(t[0], ids);
  return ours ? ops::linear_cross_entropy(x, t[0], labels)
              : at::cross_entropy_loss(at::matmul(x, t[0].t()).to(at::kFloat), labels);
}

std::vector<Op> norms_and_activations() {
  return {
      {"layer_norm", leaves({{kTokens, kWidth}, {kWidth}, {kWidth}}),
       [](const Tensors& t) { return ops::layer_norm(t[0], t[1], t[2], 1e-5); },
       [](const Tensors& t) { return at::layer_norm(t[0], {kWidth}, t[1], t[2], 1e-5); }},
      {"rms_norm", leaves({{kTokens, kWidth}, {kWidth}}),
       [](const Tensors& t) { return ops::rms_norm(t[0], t[1], 1e-6); },
       [](const Tensors& t) { return llama_norm(t[0], t[1]); }},
      {"gelu_tanh", leaves({{kTokens, kInner}}),
       [](const Tensors& t) { return ops::gelu(t[0], ops::GeluKind::kTanh); },
       [](const Tensors& t) { return at::gelu(t[0], "tanh"); }},
      {"gelu_erf", leaves({{kTokens, kInner}}),
       [](const Tensors& t) { return ops::gelu(t[0], ops::GeluKind::kErf); },
       [](const Tensors& t) { return at::gelu(t[0]); }},
      {"swiglu", leaves({{kTokens, kInner}, {kTokens, kInner}}),
       [](const Tensors& t) { return ops::swiglu(t[0], t[1]); },
       [](const Tensors& t) { return at::silu(t[0]) * t[1]; }},
      {"dropout_add", leaves({{kTokens, kWidth}, {kTokens, kWidth}}),
       [](const Tensors& t) { return ops::dropout_add(t[0], t[1], 0.1, kKey); },
       [](const Tensors& t) { return t[0] + at::dropout(t[1], 0.1, true); }},
  };
}

std::vector<Op> attention_and_losses() {
  const std::vector<int64_t> heads{kBatch, kHeads, kLength, kHeadDim};
  const auto table = ops::rotary_table(kHeadDim, kLength, 0);
  const at::Tensor labels = at::randint(kVocabulary, {kTokens}, at::kLong);
  const at::Tensor ids = at::randint(kVocabulary, {kTokens}, at::kLong);
  const auto attention = [](double p) {
    ops::AttentionOptions options;
    options.dropout_p = p;
    options.rng = kKey;
    return options;
  };
  std::vector<Op> out;
  for (const double p : {0.0, 0.1})
    out.push_back({p == 0 ? "attention" : "attention_dropout", leaves({heads, heads, heads}),
                   [=](const Tensors& t) { return ops::attention(t[0], t[1], t[2], attention(p)); },
                   [p](const Tensors& t) {
                     return at::scaled_dot_product_attention(t[0], t[1], t[2], std::nullopt, p, true);
                   }});
  out.push_back({"rotary", leaves({heads}), [table](const Tensors& t) { return ops::rotary(t[0], table); },
                 [table](const Tensors& t) { return rotate_half(t[0], table); }});
  out.push_back({"linear_cross_entropy", leaves({{kTokens, kWidth}, {kVocabulary, kWidth}}),
                 [labels](const Tensors& t) { return ops::linear_cross_entropy(t[0], t[1], labels); },
                 [labels](const Tensors& t) {
                   return at::cross_entropy_loss(at::matmul(t[0], t[1].t()).to(at::kFloat), labels);
                 }});
  out.push_back({"tied_embedding_and_loss", leaves({{kVocabulary, kWidth}}),
                 [=](const Tensors& t) { return tied_loss(t, ids, labels, true); },
                 [=](const Tensors& t) { return tied_loss(t, ids, labels, false); }});
  return out;
}

// Who sees whom beyond causality, ours as options and ATen's as a mask of what is seen or a bias.
struct Masking {
  std::string name;
  ops::AttentionOptions options;
  at::Tensor mask;
};

std::vector<Masking> maskings() {
  constexpr int64_t kWindow = 64, kDocument = 64, kEnd = 192;
  const at::Tensor at = at::arange(kLength, at::kInt), query = at.unsqueeze(1), key = at.unsqueeze(0);
  const at::Tensor causal = key <= query, slopes = ops::alibi_slopes(kHeads);
  const at::Tensor first = at.div(kDocument, "floor") * kDocument;
  const auto options = [](auto set) {
    ops::AttentionOptions o;
    set(o);
    return o;
  };
  const at::Tensor bias = slopes.view({kHeads, 1, 1}) * (key - query).to(at::kFloat);
  return {
      {"attention_window", options([](auto& o) { o.window = kWindow; }), causal & (query - key < kWindow)},
      {"attention_packed", options([&](auto& o) {
         o.first_key = first.expand({kBatch, kLength}).contiguous();
       }),
       causal & (key >= first.unsqueeze(1))},
      {"attention_padded", options([](auto& o) {
         o.causal = false;
         o.end_key = at::full({kBatch}, kEnd, at::kInt);
       }),
       (key < kEnd).expand({kLength, kLength}).contiguous()},
      {"attention_alibi", options([&](auto& o) { o.alibi_slopes = slopes; }),
       bias.masked_fill(causal.logical_not(), -std::numeric_limits<float>::infinity())}};
}

std::vector<Op> masked_attention() {
  const std::vector<int64_t> heads{kBatch, kHeads, kLength, kHeadDim};
  std::vector<Op> out;
  for (const Masking& m : maskings())
    out.push_back({m.name, leaves({heads, heads, heads}),
                   [=](const Tensors& t) { return ops::attention(t[0], t[1], t[2], m.options); },
                   [=](const Tensors& t) {
                     const at::Tensor mask =
                         m.mask.scalar_type() == at::kBool ? m.mask : m.mask.to(t[0].scalar_type());
                     return at::scaled_dot_product_attention(t[0], t[1], t[2], mask);
                   }});
  return out;
}

// 4M parameters, as one rank's optimizer has them in fp32.
std::vector<Op> linear_and_updates() {
  constexpr int64_t kParameters = int64_t{4} << 20;
  const auto plain = [](std::vector<std::vector<int64_t>> shapes) {
    return [shapes](at::ScalarType type) {
      Tensors out;
      for (const auto& shape : shapes) out.push_back(at::rand(shape).to(type));
      return out;
    };
  };
  const auto step = std::make_shared<int64_t>(0);
  const auto steps = at::zeros({});
  const ops::AdamArgs args{.lr = 1e-4, .weight_decay = 0.1};
  return {
      {"linear", leaves({{kTokens, kWidth}, {kInner, kWidth}, {kInner}}),
       [](const Tensors& t) { return ops::linear(t[0], t[1], t[2], ops::WeightOrder::kOutIn); },
       [](const Tensors& t) { return at::linear(t[0], t[1], t[2]); }},
      {"adam", plain({{kParameters}, {kParameters}, {kParameters}, {kParameters}}),
       [=](const Tensors& t) {
         ops::AdamArgs now = args;
         now.step = ++*step;
         ops::adam_step(t[0], t[1], t[2], t[3], now);
         return t[0];
       },
       [=](const Tensors& t) {
         steps.add_(1);
         at::_fused_adamw_({t[0]}, {t[1]}, {t[2]}, {t[3]}, {}, {steps}, args.lr, args.beta1, args.beta2,
                           args.weight_decay, args.eps, /*amsgrad=*/false, /*maximize=*/false);
         return t[0];
       },
       /*differentiates=*/false, /*fp32_only=*/true},
      {"sum_squares", plain({{kParameters}}),
       [](const Tensors& t) { return at::full({}, ops::sum_squares(t[0]), at::kDouble); },
       [](const Tensors& t) { return at::linalg_vector_norm(t[0], 2, {}, false, at::kFloat).square(); },
       /*differentiates=*/false},
  };
}

struct Cost {
  double seconds = 0;
  int64_t bytes = 0;
};

// Without an upstream gradient the result alone.
Cost run(const Compute& compute, const Tensors& inputs, const at::Tensor& upstream, int calls) {
  const deepspeed::accel::TensorMemory memory;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i) {
    const at::Tensor result = compute(inputs);
    if (upstream.defined()) torch::autograd::grad({result}, inputs, {upstream});
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  return {took.count() / calls, memory.peak_bytes()};
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Row {
  std::string name, type;
  double ours, aten, ratio;  // seconds; the ratio is the median of the pairs'
  int64_t our_bytes, aten_bytes;
};

Row measure(const Op& op, at::ScalarType type, int pairs) {
  const Tensors inputs = op.inputs(type);
  at::Tensor a, b;
  if (op.differentiates)
    a = at::ones_like(op.ours(inputs).detach()), b = at::ones_like(op.aten(inputs).detach());
  const Cost once = run(op.aten, inputs, b, 1);
  const int calls = std::clamp(static_cast<int>(0.02 / once.seconds), 1, 200);
  run(op.ours, inputs, a, calls), run(op.aten, inputs, b, calls);
  std::vector<double> ours, aten, ratios;
  Cost mine, theirs;
  for (int i = 0; i < pairs; ++i) {
    mine = run(op.ours, inputs, a, calls);
    theirs = run(op.aten, inputs, b, calls);
    ours.push_back(mine.seconds), aten.push_back(theirs.seconds);
    ratios.push_back(theirs.seconds / mine.seconds);
  }
  return {op.name,        type == at::kFloat ? "fp32" : "bf16",
          median(ours),   median(aten),
          median(ratios), mine.bytes,
          theirs.bytes};
}

void print(const Row& r, bool json) {
  if (json) {
    fmt::print("{}\n", nlohmann::ordered_json{{"name", "ops." + r.name + "." + r.type},
                                              {"unit", "s"},
                                              {"ours", r.ours},
                                              {"rival", r.aten},
                                              {"rival_name", "ATen"},
                                              {"ratio", r.ratio},
                                              {"limit", nullptr},
                                              {"ours_bytes", r.our_bytes},
                                              {"rival_bytes", r.aten_bytes},
                                              {"cpu", deepspeed::base::cpu_summary()}}
                           .dump());
    return;
  }
  fmt::print("{:<24} {:<5} {:>10.3f} {:>10.3f} {:>7.2f} {:>9.2f} {:>9.2f} {:>7.2f}\n", r.name, r.type,
             r.ours * 1e3, r.aten * 1e3, r.ratio, static_cast<double>(r.our_bytes) / 1e6,
             static_cast<double>(r.aten_bytes) / 1e6,
             static_cast<double>(r.aten_bytes) / static_cast<double>(std::max<int64_t>(1, r.our_bytes)));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("The fused ops beside ATen's compositions.");
  bool json = false;
  int pairs = 9;
  std::vector<std::string> names;
  app.add_flag("--json", json, "one JSON object a row");
  app.add_option("--pairs", pairs)->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_option("names", names, "only ops whose names contain one of these");
  CLI11_PARSE(app, argc, argv);
  deepspeed::accel::keep_freed_memory();
  if (!json) {
    fmt::print(
        "forward + backward (adam, sum_squares: 4M elements once), {} threads, medians of {} pairs; {}\n",
        at::get_num_threads(), pairs, deepspeed::base::cpu_summary());
    fmt::print("{:<24} {:<5} {:>10} {:>10} {:>7} {:>9} {:>9} {:>7}\n", "op", "type", "ours ms", "ATen ms",
               "ratio", "ours MB", "ATen MB", "ratio");
  }
  auto all = norms_and_activations();
  for (const auto& more : {attention_and_losses(), masked_attention(), linear_and_updates()})
    all.insert(all.end(), more.begin(), more.end());
  for (const Op& op : all) {
    const auto wanted = [&](const std::string& part) { return op.name.find(part) != std::string::npos; };
    if (!names.empty() && std::none_of(names.begin(), names.end(), wanted)) continue;
    print(measure(op, at::kFloat, pairs), json);
    if (!op.fp32_only) print(measure(op, at::kBFloat16, pairs), json);
  }
}
