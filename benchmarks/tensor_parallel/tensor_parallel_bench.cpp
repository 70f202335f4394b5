// A LLaMA of 190M parameters in bf16 on one rank of one thread, one rank of two, and two ranks of one:
// reading its part of the files, a prompt of 256 tokens, and tokens one at a time.   tensor_parallel_bench
// [rounds]
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>

#include "deepspeed/base/cpu_features.h"
#include "deepspeed/base/file.h"
#include "deepspeed/comm/ranks.h"
#include "deepspeed/models/decoder.h"
#include "deepspeed/models/weights.h"
#include "deepspeed/nn/kv_cache.h"
#include "deepspeed/tensor_parallel/shard.h"

namespace {

using namespace deepspeed;
namespace fs = std::filesystem;

constexpr int64_t kPrompt = 256, kSteps = 24;

double since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// A folder with random weights, removed at the end.
struct Folder {
  Folder() : path(fs::temp_directory_path() / fmt::format("ds_tensor_parallel_bench_{}", ::getpid())) {
    fs::create_directories(path);
    base::write_text_file(path / "config.json",
                          R"({"model_type": "llama", "vocab_size": 32000, "hidden_size": 1024,
                              "intermediate_size": 2816, "num_hidden_layers": 12, "num_attention_heads": 16,
                              "num_key_value_heads": 4, "max_position_embeddings": 512})");
    models::Decoder model(models::read_arch_spec(path / "config.json"), nullptr);
    auto parameters = nn::list_parameters(model);
    for (auto& parameter : parameters) parameter.dtype = at::kBFloat16;
    nn::DenseMaterializer().materialize(parameters, nn::InitSource(1));
    models::export_hugging_face(path, model.spec(), model, {.source = path, .dtype = at::kBFloat16});
  }
  ~Folder() { fs::remove_all(path); }
  fs::path path;
};

struct Times {
  double load = 0, prompt = 0, token = 0, bytes = 0;
};

Times time_rank(const fs::path& folder, const comm::GroupPtr& group) {
  const at::NoGradGuard no_grad;
  const auto spec = models::read_arch_spec(folder / "config.json");
  const models::WeightSource weights(formats::ModelFiles::open(folder), spec);
  Times times;
  auto start = std::chrono::steady_clock::now();
  models::Decoder model(spec, nullptr);
  const auto sharding = tensor_parallel::shard(model, spec, group);
  auto parameters = nn::list_parameters(model);
  for (auto& parameter : parameters) parameter.dtype = at::kBFloat16;
  nn::DenseMaterializer().materialize(parameters, tensor_parallel::SliceSource(weights, sharding));
  model.eval();
  times.load = since(start);
  times.bytes = 2.0 * static_cast<double>(sharding.numel());
  nn::ContiguousKvCache cache(static_cast<size_t>(spec.layers), kPrompt + kSteps + 1);
  const at::Tensor ids = at::arange(kPrompt).mul(7919).remainder(spec.vocab).unsqueeze(0);
  const auto next = [&](const at::Tensor& some) {
    return model.logits_of(model.hidden_states(some, &cache).select(1, some.size(1) - 1)).argmax(-1, true);
  };
  group->barrier();
  start = std::chrono::steady_clock::now();
  at::Tensor token = next(ids);
  times.prompt = since(start);
  token = next(token);
  start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < kSteps - 1; ++i) token = next(token);
  times.token = since(start) / static_cast<double>(kSteps - 1);
  return times;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void print(const char* name, const std::vector<Times>& rounds) {
  const auto of = [&](double Times::*value) {
    std::vector<double> values;
    for (const Times& one : rounds) values.push_back(one.*value);
    return median(values);
  };
  fmt::print("{:<28} {:>9.1f} {:>9.3f} {:>11.1f} {:>11.2f}\n", name, of(&Times::bytes) / 1e6,
             of(&Times::load), static_cast<double>(kPrompt) / of(&Times::prompt), 1 / of(&Times::token));
}

}  // namespace

int main(int argc, char** argv) {
  const int count = argc > 1 ? std::atoi(argv[1]) : 3;
  const Folder folder;
  std::map<std::string, std::vector<Times>> rounds;
  for (int i = 0; i < count + 1; ++i) {  // the first one warms the page cache
    std::map<std::string, Times> round;
    for (const int threads : {1, 2}) {
      at::set_num_threads(threads);
      round[fmt::format("one rank, {} thread{}", threads, threads > 1 ? "s" : "")] =
          time_rank(folder.path, comm::single_group());
    }
    at::set_num_threads(1);
    comm::run_ranks(2, [&](comm::GroupPtr group) {
      at::set_num_threads(1);
      const Times times = time_rank(folder.path, group);
      if (group->rank() == 0) round["two ranks, 1 thread each"] = times;
    });
    for (const auto& [name, times] : round)
      if (i > 0) rounds[name].push_back(times);
  }
  fmt::print("LLaMA, 12 layers x 1024, bf16, medians of {} rounds; {}\n", count, base::cpu_summary());
  fmt::print("{:<28} {:>9} {:>9} {:>11} {:>11}\n", "", "MB a rank", "load s", "prompt t/s", "next t/s");
  for (const auto& [name, times] : rounds) print(name.c_str(), times);
}
