#include "deepspeed/inference/infer.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iostream>

#include "deepspeed/accel/memory.h"
#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/base/log.h"
#include "deepspeed/inference/bench.h"
#include "deepspeed/inference/infer_encoders.h"
#include "deepspeed/inference/infer_inputs.h"
#include "deepspeed/inference/perplexity.h"
#include "deepspeed/inference/results.h"

namespace deepspeed::inference {
namespace {

using config::Json;

Json generation_line(const Json& input, const Answer& answer, size_t prompt_tokens) {
  Json out = {
      {"input", input}, {"output", to_json(answer)}, {"prompt_tokens", prompt_tokens}, {"seed", answer.seed}};
  for (const TokenLogprob& one : answer.prompt_logprobs)
    out["prompt_logprobs"].push_back({{"token", one.token}, {"logprob", one.logprob}});
  return out;
}

void print_line(const Json& line) { print(line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"); }

// Prints what comes of the first sequence; told whether there is one only.
Listener streaming(bool on) {
  if (!on) return {};
  return [](const Progress& progress) {
    if (progress.sequence == 0) print(progress.text);
    return true;
  };
}

void generate_texts(InferenceEngine& engine, const InferOptions& options) {
  const std::vector<std::string> prompts = read_inputs(options);
  const Json generation = options.generation;
  const bool one = prompts.size() == 1 && generation.value("num_return_sequences", Json(1)) == 1 &&
                   generation.value("n", Json(1)) == 1;
  const bool streams = options.stream && !options.json && one;
  for (size_t begin = 0; begin < prompts.size(); begin += options.batch_size) {
    const std::vector<std::string> now(
        prompts.begin() + static_cast<std::ptrdiff_t>(begin),
        prompts.begin() + static_cast<std::ptrdiff_t>(std::min(begin + options.batch_size, prompts.size())));
    const std::vector<Answer> answers = engine.generate(now, generation, streaming(streams));
    for (size_t i = 0; i < now.size(); ++i) {
      if (options.json) {
        print_line(generation_line(now[i], answers[i], engine.tokenizer().encode(now[i]).size()));
      } else if (streams) {
        print("\n");
      } else {
        if (!one) print("> " + now[i] + "\n");
        for (const Sequence& sequence : answers[i].sequences) print(sequence.text + "\n");
      }
    }
  }
}

Json first_messages(const InferOptions& options) {
  Json messages = Json::array();
  if (!options.system.empty()) messages.push_back({{"role", "system"}, {"content", options.system}});
  if (options.messages.empty()) return messages;
  const Json given = Json::parse(base::read_text_file(options.messages), nullptr, false);
  DS_CHECK(given.is_array() && !given.empty(), "{}: must hold a list of {{\"role\", \"content\"}}",
           options.messages.string());
  for (const Json& message : given) messages.push_back(message);
  return messages;
}

void reply(InferenceEngine& engine, const InferOptions& options, Json& messages) {
  const Answer answer = engine.chat(messages, options.generation, streaming(options.stream && !options.json));
  const std::string text = answer.sequences.at(0).text;
  if (options.json)
    print_line(generation_line(messages, answer,
                               engine.tokenizer().encode(engine.chat_prompt(messages), false).size()));
  else
    print(options.stream ? "\n" : text + "\n");
  messages.push_back({{"role", "assistant"}, {"content", text}});
}

// Texts on the command line or in a file are a user's messages, one after the other; without any, lines of
// standard input are, until its end.
void chat(InferenceEngine& engine, const InferOptions& options) {
  Json messages = first_messages(options);
  if (!options.inputs.empty() || !options.file.empty()) {
    for (const std::string& text : read_inputs(options)) {
      messages.push_back({{"role", "user"}, {"content", text}});
      reply(engine, options, messages);
    }
    return;
  }
  if (!options.messages.empty()) return reply(engine, options, messages);
  const bool terminal = ::isatty(STDIN_FILENO) != 0;
  for (std::string line;;) {
    if (terminal) print("> ");
    if (!std::getline(std::cin, line)) break;
    if (line.empty()) continue;
    messages.push_back({{"role", "user"}, {"content", line}});
    reply(engine, options, messages);
  }
  if (terminal) print("\n");
}

}  // namespace

void infer(const InferOptions& given) {
  DS_CHECK(given.task == "chat" || (given.system.empty() && given.messages.empty()),
           "--system and --messages go with --task chat");
  if (given.quiet) base::set_log_level(base::LogLevel::kWarning);
  accel::keep_freed_memory();
  const auto engine = open_engine(given);
  InferOptions options = given;
  if (engine->group()) {
    const bool reads = given.inputs.empty() && given.questions.empty() && given.messages.empty() &&
                       !given.bench && given.perplexity.empty() && (given.file.empty() || given.file == "-");
    DS_CHECK(!reads,
             "standard input reaches one rank only: give texts or --file where several share a model");
    if (engine->group()->rank() != 0) {  // they all answer alike, the first one is heard
      options.quiet = true;
      DS_CHECK(std::freopen("/dev/null", "w", stdout) != nullptr, "cannot open /dev/null: {}",
               std::strerror(errno));
    }
  }
  if (options.bench) return bench(*engine, options);
  if (!options.perplexity.empty()) return measure_perplexity(*engine, options);
  if (options.task == "chat") return chat(*engine, options);
  if (writes(engine->task())) return generate_texts(*engine, options);
  infer_with_encoder(*engine, options);
}

}  // namespace deepspeed::inference
