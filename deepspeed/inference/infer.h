// What the ds_infer command does, apart from its flags.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "deepspeed/config/json.h"

namespace deepspeed::inference {

struct InferOptions {
  std::string model;
  std::string task;                 // "": what the model was made for; "chat" or a name of task.h
  std::vector<std::string> inputs;  // texts
  std::filesystem::path file;       // or a file of one a line, "-" for standard input
  std::string config;               // a DeepSpeedInferenceConfig: a file, its text, or that in base64
  std::vector<std::string> set;     // KEY=VALUE of it
  std::string dtype = "auto";       // auto: bf16 for weights that are stored so, else fp32

  // Text generation and chat.
  config::Json generation = config::Json::object();  // keys of generation_config.json
  std::string system;                                // the conversation's first message
  std::filesystem::path messages;                    // a file with a conversation
  bool stream = true;                                // to a terminal or a file, as it is written

  // Encoders.
  std::optional<size_t> top_k;
  std::vector<std::string> targets;
  std::string aggregation = "none", score_function = "default";
  std::vector<std::string> ignored_labels = {"O"};
  std::optional<size_t> stride;
  std::vector<std::string> text_pairs;
  std::vector<std::string> questions;
  std::string context;
  std::optional<size_t> max_seq_length, doc_stride, max_answer_length;
  bool handle_impossible_answer = false, align_to_words = true;
  std::string pooling = "auto";  // auto: as sentence-transformers' files say, without them none
  std::optional<bool> normalize;
  size_t batch_size = 8;

  bool json = false, quiet = false;
  bool bench = false;
  size_t bench_runs = 10, bench_prompt_tokens = 128;
  std::filesystem::path perplexity;  // a text, or .bin of token ids
  size_t perplexity_window = 512, perplexity_windows = 0;
};

/// Prints results on standard output, notes on standard error.
void infer(const InferOptions& options);

}  // namespace deepspeed::inference
