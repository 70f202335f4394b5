// Linear layers by packed weights beside libtorch's own, at the sizes of an encoder (MiniLM: hidden 384) and
// of a decoder (Gemma-3 270M: hidden 640, vocabulary 262144): products with one row against the bandwidth
// that a plain read of memory reaches here, products with many rows in GFLOP/s.
//   ops_packed_bench [--json] [--pairs N] [NAME ...]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <functional>
#include <nlohmann/json.hpp>

#include "benchmarks/ops/read_bandwidth.h"
#include "deepspeed/accel/memory.h"
#include "deepspeed/base/cpu_features.h"
#include "deepspeed/ops/packed_linear.h"

namespace {

namespace ops = deepspeed::ops;
using enum ops::PackedScheme;
using Call = std::function<at::Tensor()>;

struct Shape {
  std::string name;
  int64_t rows, in, out;
};

std::vector<Shape> shapes() {
  std::vector<Shape> all;
  for (int64_t rows : {16, 128, 1024})
    for (const auto& [name, in, out] : std::vector<std::tuple<std::string, int64_t, int64_t>>{
             {"qkv", 384, 1152}, {"output", 384, 384}, {"up", 384, 1536}, {"down", 1536, 384}})
      all.push_back({fmt::format("minilm.{}.{}", name, rows), rows, in, out});
  for (int64_t rows : {1, 512})
    for (const auto& [name, in, out] : std::vector<std::tuple<std::string, int64_t, int64_t>>{
             {"qkv", 640, 1536}, {"output", 1024, 640}, {"gate_up", 640, 4096}, {"down", 2048, 640}})
      all.push_back({fmt::format("gemma.{}.{}", name, rows), rows, in, out});
  all.push_back({"gemma.head.1", 1, 640, 262144});
  return all;
}

// More weights than the caches hold, taken in turn, where one row reads each once a token.
constexpr int64_t kTurnBytes = int64_t{768} << 20;

double seconds_of(const Call& call, int calls) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i) call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / calls;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

struct Kind {
  std::string name;
  ops::PackedScheme scheme;
  std::optional<int64_t> group;
  at::ScalarType type;  // of x
};

const std::vector<Kind> kKinds = {
    {"fp32", kFp32, {}, at::kFloat},       {"bf16", kBf16, {}, at::kBFloat16},
    {"int8", kInt8, 0, at::kBFloat16},     {"int8g64", kInt8, 64, at::kBFloat16},
    {"w8a8", kInt8Dynamic, 0, at::kFloat}, {"int4", kInt4, 32, at::kBFloat16},
    {"fp6", kFp6, 64, at::kBFloat16}};

struct Rival {
  std::string name;
  std::function<at::Tensor(const at::Tensor& x, int64_t turn)> call;
};

// libtorch's product in the same bits, or the widest that it has.
Rival rival(const Kind& kind, const at::Tensor& weight, int64_t turns) {
  std::vector<at::Tensor> weights, scales;
  const auto copies = [&](const at::Tensor& first) {
    for (int64_t i = 0; i < turns; ++i) weights.push_back(i == 0 ? first : first.clone());
  };
  if (kind.scheme == kInt8 && kind.group == 0) {
    const at::Tensor scale = weight.abs().amax(1) / 127;
    copies(at::round(weight / scale.unsqueeze(1)).to(at::kChar));
    const at::Tensor s = scale.to(at::kBFloat16);
    return {"_weight_int8pack_mm", [=](const at::Tensor& x, int64_t i) {
              return at::_weight_int8pack_mm(x, weights[static_cast<size_t>(i)], s);
            }};
  }
  if (kind.scheme == kInt4 && weight.size(0) % 16 == 0) {
    const int64_t out = weight.size(0), in = weight.size(1);
    const at::Tensor groups = weight.view({out, in / 32, 32}), scale = groups.abs().amax(2) / 7;
    const at::Tensor codes =
        (at::round(groups / scale.unsqueeze(2)) + 8).clamp(0, 15).view({out, in}).to(at::kInt);
    copies(at::_convert_weight_to_int4pack_for_cpu(codes, 1));
    const at::Tensor both =
        at::stack({scale, at::zeros_like(scale)}, 2).transpose(0, 1).contiguous().to(at::kBFloat16);
    return {"_weight_int4pack_mm", [=](const at::Tensor& x, int64_t i) {
              return at::_weight_int4pack_mm_for_cpu(x, weights[static_cast<size_t>(i)], 32, both);
            }};
  }
  copies(weight.to(kind.type));
  return {kind.type == at::kFloat ? "linear fp32" : "linear bf16",
          [=](const at::Tensor& x, int64_t i) { return at::linear(x, weights[static_cast<size_t>(i)]); }};
}

struct Options {
  bool json = false;
  int pairs = 5;
  double bandwidth = 0;
};

void measure(const Shape& s, const Kind& kind, const Options& o) {
  const at::Tensor weight = at::randn({s.out, s.in}) * 0.05, x = at::randn({s.rows, s.in}).to(kind.type);
  const ops::PackedWeight first = ops::PackedWeight::pack(weight, {kind.scheme, kind.group});
  const bool one = s.rows == 1;
  const int64_t turns = one ? std::clamp<int64_t>(kTurnBytes / first.bytes() + 1, 1, 400) : 1;
  std::vector<ops::PackedWeight> packed = {first};
  while (static_cast<int64_t>(packed.size()) < turns) packed.push_back(first.clone());
  const Rival other = rival(kind, weight, turns);
  int64_t turn = 0, other_turn = 0;
  const Call ours = [&] { return ops::packed_linear(x, packed[static_cast<size_t>(turn++ % turns)]); };
  const Call theirs = [&] { return other.call(x, other_turn++ % turns); };
  const int calls =
      one ? static_cast<int>(turns) : std::clamp(static_cast<int>(0.03 / seconds_of(theirs, 2)), 1, 500);
  seconds_of(ours, calls), seconds_of(theirs, calls);
  std::vector<double> mine, its, ratios;
  for (int i = 0; i < o.pairs; ++i) {
    mine.push_back(seconds_of(ours, calls));
    its.push_back(seconds_of(theirs, calls));
    ratios.push_back(its.back() / mine.back());
  }
  const double work =
      one ? static_cast<double>(first.bytes()) : 2.0 * static_cast<double>(s.rows * s.in * s.out);
  const double rate = work / median(mine) / 1e9;
  if (o.json) {
    fmt::print("{}\n",
               nlohmann::ordered_json{{"name", "packed." + s.name + "." + kind.name},
                                      {"unit", "s"},
                                      {"ours", median(mine)},
                                      {"rival", median(its)},
                                      {"rival_name", other.name},
                                      {"ratio", median(ratios)},
                                      {one ? "gbytes_s" : "gflop_s", rate},
                                      {"limit", one ? nlohmann::json(o.bandwidth / 1e9) : nlohmann::json()},
                                      {"cpu", deepspeed::base::cpu_summary()}}
                   .dump());
    return;
  }
  fmt::print("{:<20} {:<8} {:>9.3f} {:>9.3f} {:>6.2f}  {:<20} {:>8.1f} {}\n", s.name, kind.name,
             median(mine) * 1e3, median(its) * 1e3, median(ratios), other.name, rate,
             one ? fmt::format("GB/s, {:.2f} of reading", rate * 1e9 / o.bandwidth) : "GFLOP/s");
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Linear layers by packed weights beside libtorch's.");
  Options o;
  std::vector<std::string> names;
  app.add_flag("--json", o.json, "one JSON object a row");
  app.add_option("--pairs", o.pairs)->check(CLI::Range(1, 1000))->capture_default_str();
  app.add_option("names", names, "only rows whose names contain one of these");
  CLI11_PARSE(app, argc, argv);
  deepspeed::accel::keep_freed_memory();
  const at::InferenceMode guard;
  o.bandwidth = deepspeed::benchmarks::read_bandwidth();
  if (!o.json)
    fmt::print(
        "{} threads, medians of {} pairs, memory is read at {:.1f} GB/s; {}\n{:<20} {:<8} {:>9} {:>9} "
        "{:>6}\n",
        at::get_num_threads(), o.pairs, o.bandwidth / 1e9, deepspeed::base::cpu_summary(), "product", "bits",
        "ours ms", "ATen ms", "ratio");
  for (const Shape& shape : shapes())
    for (const Kind& kind : kKinds) {
      const std::string full = shape.name + "." + kind.name;
      const auto wanted = [&](const std::string& part) { return full.find(part) != std::string::npos; };
      if (!names.empty() && std::none_of(names.begin(), names.end(), wanted)) continue;
      measure(shape, kind, o);
    }
}
