// Whole models by packed weights, with random numbers in them: an encoder of MiniLM's size by batch and
// length, a decoder of Gemma-3 270M's size by prompt (512 tokens at once) and by single tokens, whose
// weights' bytes a second stand beside the bandwidth of a plain read. Times are medians.
//   packed_model_bench [--json] [--runs N] [encoder.|decoder.][SCHEME] ...
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
#include "deepspeed/models/decoder.h"
#include "deepspeed/models/encoder.h"
#include "deepspeed/models/packed_model.h"
#include "deepspeed/nn/materializer.h"

namespace {

namespace models = deepspeed::models;
namespace nn = deepspeed::nn;
namespace ops = deepspeed::ops;
using enum ops::PackedScheme;

struct Kind {
  std::string name;
  ops::PackedScheme scheme;
  std::optional<int64_t> group;
  at::ScalarType type;
};
const std::vector<Kind> kKinds = {{"fp32", kFp32, {}, at::kFloat},    {"bf16", kBf16, {}, at::kBFloat16},
                                  {"int8", kInt8, 0, at::kBFloat16},  {"w8a8", kInt8Dynamic, 0, at::kFloat},
                                  {"int4", kInt4, 32, at::kBFloat16}, {"fp6", kFp6, 64, at::kBFloat16}};

double seconds_of(const std::function<void()>& call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double median_seconds(int runs, const std::function<void()>& call) {
  call();
  std::vector<double> all;
  for (int i = 0; i < runs; ++i) all.push_back(seconds_of(call));
  std::sort(all.begin(), all.end());
  return all[all.size() / 2];
}

models::ArchSpec minilm() {
  return models::parse_arch_spec({{"model_type", "bert"},
                                  {"vocab_size", 30522},
                                  {"hidden_size", 384},
                                  {"num_hidden_layers", 6},
                                  {"num_attention_heads", 12},
                                  {"intermediate_size", 1536},
                                  {"hidden_dropout_prob", 0.0},
                                  {"attention_probs_dropout_prob", 0.0},
                                  {"max_position_embeddings", 512}},
                                 "config.json");
}

models::ArchSpec gemma() {
  return models::parse_arch_spec({{"model_type", "gemma3_text"},
                                  {"vocab_size", 262144},
                                  {"hidden_size", 640},
                                  {"intermediate_size", 2048},
                                  {"num_hidden_layers", 18},
                                  {"num_attention_heads", 4},
                                  {"num_key_value_heads", 1},
                                  {"head_dim", 256},
                                  {"query_pre_attn_scalar", 256},
                                  {"sliding_window", 512},
                                  {"max_position_embeddings", 32768}},
                                 "config.json");
}

template <class Model>
nn::PackedLinears prepare(Model& model, const Kind& kind, bool head) {
  nn::DenseMaterializer().materialize(nn::list_parameters(model), nn::InitSource(1));
  model.eval();
  model.to(kind.type);
  const ops::PackOptions weights{kind.scheme, kind.group, false};
  return models::pack_model(model, {{.weights = weights}, head ? std::optional(weights) : std::nullopt});
}

struct Report {
  bool json = false;
  int runs = 7;
  double bandwidth = 0;

  void row(const std::string& name, double seconds, double bytes) const {
    const double rate = bytes / seconds;
    if (json)
      fmt::print("{}\n", nlohmann::ordered_json{{"name", "packed_model." + name},
                                                {"unit", "s"},
                                                {"ours", seconds},
                                                {"of_reading", bytes > 0 ? nlohmann::json(rate / bandwidth)
                                                                         : nlohmann::json()},
                                                {"cpu", deepspeed::base::cpu_summary()}}
                             .dump());
    else if (bytes > 0)
      fmt::print("{:<26} {:>9.2f} ms  {:>6.1f} tokens/s, {:>5.1f} GB/s, {:.2f} of reading\n", name,
                 seconds * 1e3, 1 / seconds, rate / 1e9, rate / bandwidth);
    else
      fmt::print("{:<26} {:>9.2f} ms\n", name, seconds * 1e3);
    std::fflush(stdout);
  }
};

void measure_encoder(const Kind& kind, const Report& report) {
  models::Encoder model(minilm(), nullptr);
  prepare(model, kind, false);
  for (const auto& [batch, length] : std::vector<std::pair<int64_t, int64_t>>{{1, 16}, {1, 128}, {8, 128}}) {
    const at::Tensor ids = at::randint(30522, {batch, length}, at::kLong);
    const double took = median_seconds(
        report.runs, [&] { model.forward(ids, std::optional<at::Tensor>(), std::optional<at::Tensor>()); });
    report.row(fmt::format("encoder.{}.{}x{}", kind.name, batch, length), took, 0);
  }
}

void measure_decoder(const Kind& kind, const Report& report) {
  models::Decoder model(gemma(), nullptr);
  const nn::PackedLinears done = prepare(model, kind, true);
  const at::Tensor prompt = at::randint(262144, {1, 512}, at::kLong), one = prompt.narrow(1, 0, 1);
  const double prefill = median_seconds(std::min(report.runs, 5), [&] {
    nn::ContiguousKvCache cache(18, 512);
    model.logits_of(model.hidden_states(prompt, &cache).narrow(1, 511, 1));
  });
  report.row(fmt::format("decoder.{}.prompt", kind.name), prefill, 0);
  nn::ContiguousKvCache cache(18, 256);
  model.hidden_states(prompt.narrow(1, 0, 64), &cache);
  const double step =
      median_seconds(3 * report.runs, [&] { model.logits_of(model.hidden_states(one, &cache)); });
  report.row(fmt::format("decoder.{}.token", kind.name), step, static_cast<double>(done.packed_bytes));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Whole models by packed weights.");
  Report report;
  std::vector<std::string> names;
  app.add_flag("--json", report.json, "one JSON object a row");
  app.add_option("--runs", report.runs)->check(CLI::Range(1, 60))->capture_default_str();
  app.add_option("names", names, "only rows whose names contain one of these");
  CLI11_PARSE(app, argc, argv);
  deepspeed::accel::keep_freed_memory();
  const at::NoGradGuard guard;
  report.bandwidth = deepspeed::benchmarks::read_bandwidth();
  if (!report.json)
    fmt::print("{} threads, medians of {}, memory is read at {:.1f} GB/s; {}\n", at::get_num_threads(),
               report.runs, report.bandwidth / 1e9, deepspeed::base::cpu_summary());
  for (const char* model : {"encoder", "decoder"})
    for (const Kind& kind : kKinds) {
      const std::string full = fmt::format("{}.{}", model, kind.name);
      const auto wanted = [&](const std::string& part) { return full.find(part) != std::string::npos; };
      if (!names.empty() && std::none_of(names.begin(), names.end(), wanted)) continue;
      model == std::string("encoder") ? measure_encoder(kind, report) : measure_decoder(kind, report);
    }
}
