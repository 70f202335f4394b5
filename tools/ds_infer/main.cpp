#include <c10/util/Exception.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <string_view>
#include <type_traits>

#include "deepspeed/base/error.h"
#include "deepspeed/base/version.h"
#include "deepspeed/inference/infer.h"
#include "tools/run_tool.h"

namespace {

using deepspeed::config::Json;
using deepspeed::inference::InferOptions;

constexpr const char* kExamples =
    R"(Texts are what is to be answered; without any, and without --file, standard input is. What follows -- is a text,
whatever it begins with.

Examples:
  ds_infer --model gpt2 "Once upon a time"
  ds_infer --model model.Q4_K_M.gguf --task chat
  ds_infer --model bert-base-uncased "Paris is the [MASK] of France."
  ds_infer --model ner-model --aggregation-strategy simple --file letters.txt --json
  ds_infer --model qa-model --question "Who wrote it?" --context "Ada wrote it."
  ds_infer --model gpt2 --bench --max-new-tokens 128)";

// Of counts: a negative one would come out as a huge one.
CLI::Range at_least(size_t least) { return {least, size_t{1} << 30}; }

// A key of generation_config.json under a flag.
template <class T>
CLI::Option* add_generation(CLI::App& app, InferOptions& o, const char* flag, const char* key,
                            const char* help) {
  return app
      .add_option_function<T>(
          flag,
          [&o, flag = std::string(flag), key](const T& value) {
            if constexpr (std::is_floating_point_v<T>)  // JSON has no others
              if (!std::isfinite(value))
                throw deepspeed::base::UsageError(fmt::format("{}: {} is not a finite number", flag, value));
            o.generation[key] = value;
          },
          help)
      ->group("Generation");
}

void add_model_options(CLI::App& app, InferOptions& o) {
  app.add_option("--model", o.model,
                 "Hugging Face folder, .gguf or other file of weights, or ORG/NAME in its cache")
      ->required()
      ->check(deepspeed::tools::not_empty());
  app.add_option(
         "--task", o.task,
         "text-generation, text2text-generation, chat, fill-mask, text-classification, token-classification, "
         "question-answering or feature-extraction; default: what config.json's architectures say")
      ->check(deepspeed::tools::not_empty());
  app.add_option("--file", o.file, "texts, one a line; '-' is standard input")
      ->check(deepspeed::tools::not_empty());
  app.add_option(
         "--dtype", o.dtype,
         "fp32, bf16, fp16, int8, or on GPUs fp8; auto: bf16 for weights that are stored so, else fp32")
      ->capture_default_str();
  app.add_option("--config", o.config,
                 "DeepSpeed inference configuration: a file, its text, or that in base64")
      ->check(deepspeed::tools::not_empty());
  app.add_option("--set", o.set, "set one of its keys; may be repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  app.add_flag("--json", o.json, "one line of JSON a result");
  app.add_flag("-q,--quiet", o.quiet, "no notes on standard error");
}

void add_generation_options(CLI::App& app, InferOptions& o) {
  app.add_option_function<int64_t>(
         "--max-new-tokens", [&o](int64_t n) { o.generation["max_new_tokens"] = n; },
         "longest answer (20 where nobody says)")
      ->check(at_least(1))
      ->group("Generation");
  add_generation<int64_t>(app, o, "--min-new-tokens", "min_new_tokens", "shortest answer");
  add_generation<double>(app, o, "--temperature", "temperature", "of draws; 0: the likeliest token");
  add_generation<double>(app, o, "--top-p", "top_p", "draw from the likeliest tokens that sum to this");
  add_generation<double>(app, o, "--min-p", "min_p", "and that are not below this part of the likeliest");
  add_generation<double>(app, o, "--repetition-penalty", "repetition_penalty", "above 1: fewer repetitions");
  add_generation<int64_t>(app, o, "--num-beams", "num_beams", "beam search");
  add_generation<int64_t>(app, o, "--num-return-sequences", "num_return_sequences", "answers to each text");
  add_generation<int64_t>(app, o, "--seed", "seed", "of draws")->check([](const std::string& text) {
    return text.size() > 18 ? "more than 18 digits" : std::string();
  });
  add_generation<int64_t>(app, o, "--logprobs", "logprobs",
                          "with --json: of each token and of so many likely ones");
  add_generation<std::vector<std::string>>(app, o, "--stop", "stop_strings",
                                           "end before this text; may be repeated")
      ->allow_extra_args(false);
  app.add_flag_callback(
         "--do-sample", [&o] { o.generation["do_sample"] = true; },
         "draw tokens; so do --temperature, --top-k, --top-p and --min-p")
      ->group("Generation");
  app.add_flag_callback(
         "--greedy", [&o] { o.generation["do_sample"] = false; },
         "take the likeliest token, whatever the model asks for")
      ->group("Generation");
  app.add_flag_callback(
         "--ignore-eos", [&o] { o.generation["ignore_eos"] = true; }, "go on behind the end")
      ->group("Generation");
  app.add_flag_callback(
         "--echo", [&o] { o.generation["echo"] = true; }, "show the prompt before the answer")
      ->group("Generation");
  app.add_option_function<std::string>(
         "--generation",
         [&o](const std::string& text) {
           const Json json = Json::parse(text, nullptr, false);
           if (!json.is_object()) throw deepspeed::base::UsageError("--generation takes a JSON object");
           o.generation.update(json);
         },
         "further keys of generation_config.json, as JSON")
      ->group("Generation");
  app.add_flag("!--no-stream", o.stream, "show an answer once it is whole")->group("Generation");
  app.add_option("--system", o.system, "of a chat: the first message")->group("Generation");
  app.add_option("--messages", o.messages, "of a chat: a file with a list of {\"role\", \"content\"}")
      ->group("Generation");
}

void add_encoder_options(CLI::App& app, InferOptions& o) {
  const char* group = "Encoders";
  app.add_option("--targets", o.targets, "fill-mask: only these tokens")
      ->allow_extra_args(false)
      ->group(group);
  app.add_option("--text-pair", o.text_pairs, "text-classification: the second text; once a text")
      ->allow_extra_args(false)
      ->group(group);
  app.add_option("--function-to-apply", o.score_function,
                 "text-classification: default, none, sigmoid or softmax")
      ->capture_default_str()
      ->group(group);
  app.add_option("--aggregation-strategy", o.aggregation,
                 "token-classification: none, simple, first, average or max")
      ->capture_default_str()
      ->group(group);
  app.add_option("--ignore-labels", o.ignored_labels, "token-classification: labels that are left out")
      ->capture_default_str()
      ->allow_extra_args(false)
      ->group(group);
  app.add_option("--stride", o.stride, "token-classification: tokens that parts of a long text share")
      ->check(at_least(0))
      ->group(group);
  app.add_option("--question", o.questions, "question-answering; may be repeated")
      ->allow_extra_args(false)
      ->group(group);
  app.add_option("--context", o.context, "what it is about; else the texts")->group(group);
  app.add_option("--max-seq-length", o.max_seq_length,
                 "question-answering, feature-extraction: tokens of a part")
      ->check(at_least(1))
      ->group(group);
  app.add_option("--doc-stride", o.doc_stride, "question-answering: tokens that parts share")
      ->check(at_least(0))
      ->group(group);
  app.add_option("--max-answer-length", o.max_answer_length, "question-answering: tokens")
      ->check(at_least(1))
      ->group(group);
  app.add_flag("--handle-impossible-answer", o.handle_impossible_answer,
               "question-answering: there may be none")
      ->group(group);
  app.add_flag("!--no-align-to-words", o.align_to_words, "question-answering: answers may end within words")
      ->group(group);
  app.add_option(
         "--pooling", o.pooling,
         "feature-extraction: none (a vector a token), cls, mean, max, mean_sqrt_len, weightedmean or "
         "lasttoken; auto: as the model's modules.json says")
      ->capture_default_str()
      ->group(group);
  app.add_flag_callback(
         "--normalize", [&o] { o.normalize = true; }, "feature-extraction: vectors of length 1")
      ->group(group);
  app.add_flag_callback(
         "--no-normalize", [&o] { o.normalize = false; }, "or as they are, whatever the model's files say")
      ->group(group);
  app.add_option("--batch-size", o.batch_size, "texts, or prompts of generation, at once")
      ->capture_default_str()
      ->check(CLI::Range(size_t{1}, size_t{4096}))
      ->group(group);
}

void add_bench_options(CLI::App& app, InferOptions& o) {
  const CLI::Range counts(size_t{1}, size_t{1} << 20);
  app.add_flag("--bench", o.bench, "measure instead: latencies in percentiles, tokens a second")
      ->group("Measuring");
  app.add_option("--bench-runs", o.bench_runs, "how often")
      ->capture_default_str()
      ->check(counts)
      ->group("Measuring");
  app.add_option("--bench-prompt-tokens", o.bench_prompt_tokens,
                 "of a made-up prompt, where no text is given")
      ->capture_default_str()
      ->check(counts)
      ->group("Measuring");
  app.add_option("--perplexity", o.perplexity,
                 "measure how well the model foretells this text, or .bin file of 32-bit token ids")
      ->check(deepspeed::tools::not_empty())
      ->excludes("--bench", "--file", "--messages")
      ->group("Measuring");
  app.add_option("--perplexity-window", o.perplexity_window, "tokens a window, whose second half is scored")
      ->capture_default_str()
      ->check(CLI::Range(size_t{4}, size_t{1} << 24))
      ->group("Measuring");
  app.add_option("--perplexity-windows", o.perplexity_windows, "so many at most; 0: all")
      ->capture_default_str()
      ->check(at_least(0))
      ->group("Measuring");
}

// Who says how to draw means to draw.
void draw_if_told_how(Json& generation) {
  if (generation.contains("do_sample")) return;
  for (const char* key : {"temperature", "top_k", "top_p", "min_p"})
    if (generation.contains(key)) generation["do_sample"] = true;
}

// A positional option would take a text in brackets for a list.
std::vector<std::string> texts_of(const CLI::App& app, char** begin, char** end) {
  std::vector<std::string> texts = app.remaining();
  for (const std::string& text : texts)
    if (text.size() > 1 && text[0] == '-')
      throw deepspeed::base::UsageError(
          fmt::format("The following argument was not expected: {} (see ds_infer --help)", text));
  texts.insert(texts.end(), begin, end);
  return texts;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Answers with a model: generates text, chats, fills masks, classifies, finds answers, makes vectors.",
      "ds_infer");
  InferOptions options;
  std::optional<size_t> top_k;
  app.set_version_flag("--version", fmt::format("ds_infer (deepspeed.cpp) {}", deepspeed::base::version()));
  app.footer(kExamples);
  add_model_options(app, options);
  app.add_option("--top-k", top_k, "how many answers; of generation: draw from so many tokens")
      ->check(at_least(0));
  add_generation_options(app, options);
  add_encoder_options(app, options);
  add_bench_options(app, options);
  int local_rank = 0;  // the launcher passes it to every program; the environment says the same
  app.add_option("--local_rank", local_rank)->group("");
  app.allow_extras();
  char** const end = argv + argc;
  char** const marker = std::find(argv, end, std::string_view("--"));
  return deepspeed::tools::run_tool(app, static_cast<int>(marker - argv), argv, [&] {
    options.inputs = texts_of(app, marker == end ? end : marker + 1, end);
    if (!options.perplexity.empty() && !options.inputs.empty())
      throw deepspeed::base::UsageError("--perplexity excludes texts (see ds_infer --help)");
    options.top_k = top_k;
    if (top_k) options.generation["top_k"] = *top_k;
    draw_if_told_how(options.generation);
    try {
      deepspeed::inference::infer(options);
    } catch (const c10::Error& error) {
      throw deepspeed::base::Error(deepspeed::tools::on_one_line(error.what_without_backtrace()));
    }
  });
}
