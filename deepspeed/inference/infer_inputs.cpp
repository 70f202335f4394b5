#include "deepspeed/inference/infer_inputs.h"

#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <iterator>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/base/log.h"
#include "deepspeed/config/overrides.h"

namespace deepspeed::inference {
namespace {

using config::Json;

constexpr size_t kLongestInput = size_t{256} << 20;

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    std::string line = text.substr(begin, end - begin);
    if (line.ends_with('\r')) line.pop_back();
    if (!line.empty()) lines.push_back(std::move(line));
    begin = end + 1;
  }
  return lines;
}

std::string read_standard_input() {
  std::string text{std::istreambuf_iterator<char>(std::cin), {}};
  DS_CHECK(text.size() <= kLongestInput, "standard input holds {} bytes, more than {}", text.size(),
           kLongestInput);
  return text;
}

}  // namespace

std::unique_ptr<InferenceEngine> open_engine(const InferOptions& options) {
  config::Document given = options.config.empty() ? config::from_json(Json::object(), "the command line")
                                                  : config::load(options.config);
  std::vector<std::string> set = options.set;
  if (options.dtype != "auto") set.push_back("dtype=" + options.dtype);
  given = config::with_overrides(std::move(given), set);
  const bool chosen = given.json.contains("dtype");
  InferenceConfig config = parse_inference_config(given);
  for (const auto& warning : config.warnings) base::log_warning("{}", warning);
  ModelSource source = open_model(options.model, config);
  if (!chosen) config.dtype = source.stored_type == at::kBFloat16 ? WeightType::kBf16 : WeightType::kFp32;
  if (!given.json.contains("max_out_tokens") && !given.json.contains("max_tokens"))
    config.max_out_tokens = source.spec.max_positions;
  const bool guessed = options.task.empty();
  const Task task = guessed                  ? guess_task(source.config, usual_task(source.spec))
                    : options.task == "chat" ? Task::kTextGeneration
                                             : parse_task(options.task);
  comm::GroupPtr group = inference_group(config);
  const bool first = !group || group->rank() == 0;
  const at::Device device = inference_device(group);
  auto engine =
      std::make_unique<InferenceEngine>(std::move(source), std::move(config), task, std::move(group), device);
  if (first)
    note(options, fmt::format("{}: {}, {:.1f}M parameters, {}, {}{}", options.model,
                              engine->spec().model_type, static_cast<double>(engine->parameters()) / 1e6,
                              weight_type_name(engine->config().dtype), task_name(task),
                              device.is_cpu() ? "" : ", on " + device.str()));
  return engine;
}

std::vector<std::string> read_inputs(const InferOptions& options) {
  std::vector<std::string> inputs = options.inputs;
  if (!options.file.empty()) {
    const std::string text =
        options.file == "-" ? read_standard_input() : base::read_text_file(options.file, kLongestInput);
    for (std::string& line : lines_of(text)) inputs.push_back(std::move(line));
    DS_CHECK(!inputs.empty(), "'{}' holds no text", options.file.string());
  } else if (inputs.empty()) {
    DS_CHECK(::isatty(STDIN_FILENO) == 0, "nothing to answer: give a text, --file, or standard input");
    std::string text = read_standard_input();
    while (text.ends_with('\n') || text.ends_with('\r')) text.pop_back();
    DS_CHECK(!text.empty(), "nothing to answer: standard input is empty");
    inputs.push_back(std::move(text));
  }
  return inputs;
}

void note(const InferOptions& options, const std::string& line) {
  if (!options.quiet) std::fprintf(stderr, "ds_infer: %s\n", line.c_str());
}

void print(const std::string& text) {
  const bool written =
      std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0;
  DS_CHECK(written, "cannot write to standard output");
}

}  // namespace deepspeed::inference
