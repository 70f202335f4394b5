// One side of the measurement of ZeRO-Inference (benchmarks/zero_inference/run.py).
//   zero_inference_bench make CONFIG.json FOLDER
//     writes a model of random bf16 weights, one tensor in memory at a time
//   zero_inference_bench answer FOLDER INFERENCE_CONFIG PROMPT_TOKENS NEW_TOKENS BATCH
//     continues prompts greedily and prints one line of JSON: the tokens, and what they took
#include <ATen/ATen.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>
#include <unordered_map>

#include "deepspeed/accel/memory.h"
#include "deepspeed/inference/engine.h"
#include "deepspeed/models/weights.h"

namespace {

using namespace deepspeed;
using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr uint64_t kSeed = 7;

double since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

void make(const std::filesystem::path& config, const std::filesystem::path& folder) {
  const models::ArchSpec spec = models::read_arch_spec(config);
  models::Decoder model(spec, nullptr);
  std::unordered_map<const void*, nn::ParameterSpec> specs;
  for (auto& parameter : nn::list_parameters(model))
    specs.emplace(parameter.tensor.unsafeGetTensorImpl(), parameter);
  const nn::InitSource source(kSeed);
  models::export_hugging_face(
      folder, spec, model,
      {.source = config.parent_path(), .dtype = at::kBFloat16, .values = [&](const at::Tensor& parameter) {
         const auto& wanted = specs.at(parameter.unsafeGetTensorImpl());
         at::Tensor values = at::empty({wanted.numel()}, at::kFloat);
         source.fill(wanted, 0, values);
         return values.view(wanted.shape);
       }});
}

std::vector<std::vector<int32_t>> prompts(int64_t count, int64_t length, int64_t vocabulary) {
  std::vector<std::vector<int32_t>> out(static_cast<size_t>(count));
  for (size_t i = 0; i < out.size(); ++i)
    for (int64_t t = 0; t < length; ++t)
      out[i].push_back(static_cast<int32_t>((t * 7919 + 13 + 101 * static_cast<int64_t>(i)) % vocabulary));
  return out;
}

void answer(const std::string& folder, const std::string& config, int64_t length, int64_t tokens,
            int64_t batch) {
  accel::keep_freed_memory();
  const auto begin = Clock::now();
  const auto engine = inference::init_inference(folder, config);
  json out = {{"load_s", since(begin)},
              {"parameters", engine->parameters()},
              {"memory_bytes", engine->parameter_bytes()}};
  const auto* streamed = engine->streamed();
  const auto used = [&] { return streamed ? streamed->stream().bytes_used() : 0; };
  const auto waited = [&] { return streamed ? streamed->stream().seconds_waited() : 0; };
  Clock::time_point first;
  int64_t steps = 0, bytes = 0;
  double waiting = 0;
  const auto asked = Clock::now();
  const auto answers = engine->generate_tokens(prompts(batch, length, engine->spec().vocab),
                                               {{"max_new_tokens", tokens}, {"ignore_eos", true}},
                                               [&](const inference::Progress& progress) {
                                                 if (progress.request == 0 && steps++ == 0) {
                                                   first = Clock::now();
                                                   bytes = used();
                                                   waiting = waited();
                                                 }
                                                 return true;
                                               });
  const double seconds = since(first);
  out["first_token_s"] = std::chrono::duration<double>(first - asked).count();
  out["decode_s"] = seconds;
  out["decode_tokens_per_s"] = static_cast<double>((steps - 1) * batch) / seconds;
  out["decode_gb_per_s"] = static_cast<double>(used() - bytes) / seconds / 1e9;
  out["decode_waited_s"] = waited() - waiting;
  out["round_bytes"] = streamed ? streamed->stream().round_bytes() : 0;
  out["written_bytes"] = streamed ? streamed->bytes_written() : 0;
  for (const auto& one : answers) out["tokens"].push_back(one.sequences.at(0).tokens);
  std::printf("%s\n", out.dump().c_str());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::string_view mode = argc > 1 ? argv[1] : "";
    if (mode == "make" && argc == 4) {
      make(argv[2], argv[3]);
    } else if (mode == "answer" && argc == 7) {
      answer(argv[2], argv[3], std::atoll(argv[4]), std::atoll(argv[5]), std::atoll(argv[6]));
    } else {
      std::fprintf(stderr,
                   "usage: zero_inference_bench make CONFIG.json FOLDER | answer FOLDER CONFIG PROMPT_TOKENS "
                   "NEW_TOKENS BATCH\n");
      return 2;
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "zero_inference_bench: %s\n", error.what());
    return 1;
  }
}
