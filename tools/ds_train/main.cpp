#include <c10/util/Exception.h>

#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <span>

#include "deepspeed/base/env.h"
#include "deepspeed/base/error.h"
#include "deepspeed/base/rank_discovery.h"
#include "deepspeed/base/version.h"
#include "deepspeed/engine/objective.h"
#include "deepspeed/engine/train.h"
#include "tools/ds_train/stop_signal.h"
#include "tools/run_tool.h"

namespace {

using deepspeed::engine::TrainOptions;

constexpr const char* kExamples = R"(Examples:
  ds_train --model gpt2 --data book.txt --deepspeed_config ds.json --steps 100
  deepspeed --num_accelerators 2 ds_train --model gpt2 --data tokens.bin --deepspeed_config ds.json \
      --eval-data held_out.bin --save checkpoints --save-every 500 --export trained)";

constexpr int64_t kMostSteps = int64_t{1} << 50;
const CLI::Range kSteps(int64_t{0}, kMostSteps);

// CLI11 takes "-1" for a number without a sign and makes 2^64 - 1 of it.
std::string check_seed(const std::string& text) {
  uint64_t value = 0;
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status == std::errc() && end == text.data() + text.size()) return "";
  return fmt::format("{} is no whole number from 0 to {}", text, UINT64_MAX);
}

void add_overrides(CLI::App& app, TrainOptions& o) {
  const auto append = [&o](const std::vector<std::string>& words) {
    o.overrides.insert(o.overrides.end(), words.begin(), words.end());
  };
  app.add_option_function<std::vector<std::string>>(
         "overrides", append,
         "set keys of the configuration, e.g. zero_optimization.stage=1; values are JSON")
      ->type_name("KEY=VALUE")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  app.add_option_function<std::vector<std::string>>("--set", append, "the same for one key; may be repeated")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
}

void add_options(CLI::App& app, TrainOptions& o, bool& no_shuffle) {
  app.add_option("--model", o.model,
                 "Hugging Face folder: config.json, tokenizer.json, *.safetensors when present (else "
                 "initialised from --seed)")
      ->required();
  app.add_option(
         "--data", o.data,
         ".txt, .jsonl (text, or prompt with response), .bin of little-endian token ids, or a Megatron "
         "dataset (.bin beside .idx); for mlm also .jsonl of \"input_ids\" and \"labels\"; for "
         "sequence-classification .jsonl (text, perhaps text_pair, label) or .tsv of the same columns; for "
         "token-classification .jsonl (tokens, labels) or .conll; for question-answering .json (SQuAD) or "
         ".jsonl (question, context, answers)")
      ->required();
  app.add_option("--deepspeed_config", o.config,
                 "DeepSpeed configuration: a file, its text, or that in base64")
      ->required();
  app.add_option("--data-dtype", o.data_dtype, "of .bin data: u16 or u32")->capture_default_str();
  app.add_option("--text-field", o.text_field, "field of .jsonl lines that holds the text")
      ->capture_default_str();
  app.add_option("--packing", o.packing,
                 "stream (cut into samples as it comes), documents (whole ones packed, none sees another), "
                 "single (one a sample); auto: documents for prompts with responses, else stream")
      ->capture_default_str();
  app.add_option("--data-workers", o.data_workers, "threads that prepare batches ahead; 0: none")
      ->capture_default_str()
      ->check(CLI::Range(0, 256));
  app.add_option("--objective", o.objective,
                 "clm (the next token: decoders), mlm (masked tokens: encoders), sequence-classification, "
                 "token-classification or question-answering")
      ->capture_default_str();
  app.add_option("--seq-length", o.seq_length, "tokens of a sample")
      ->capture_default_str()
      ->check(CLI::Range(2, 1 << 24));
  auto* steps =
      app.add_option("--steps", o.steps, "optimizer steps to reach, those of a resumed run included")
          ->check(CLI::Range(int64_t{1}, kMostSteps));
  app.add_option("--epochs", o.epochs, "instead of --steps")->excludes(steps)->check(CLI::Range(1, 1 << 30));
  app.add_option("--seed", o.seed, "of initialisation, dropout, shuffling and sampling")
      ->capture_default_str()
      ->check(check_seed);
  app.add_flag("--activation-checkpointing", o.activation_checkpointing,
               "keep only the layers' inputs for backward and compute the rest again: less memory, a third "
               "more time");
  app.add_flag("--no-shuffle", no_shuffle, "take the samples in file order");
  app.add_option("--eval-data", o.eval_data, "held-out data: loss and perplexity (or accuracy) at the end")
      ->check(deepspeed::tools::not_empty());
  app.add_option("--eval-every", o.eval_every, "and every so many steps")->check(kSteps);
  app.add_flag("--eval-baselines", o.eval_baselines,
               "beside the perplexity, those of a unigram and a trigram model of the training data");
  app.add_option("--save", o.save, "checkpoint folder, written at the end")
      ->check(deepspeed::tools::not_empty());
  app.add_option("--save-every", o.save_every, "and every so many steps")->check(kSteps);
  app.add_option("--load", o.load, "checkpoint folder to resume from")->check(deepspeed::tools::not_empty());
  app.add_option("--load-tag", o.load_tag, "checkpoint within it (default: what its file 'latest' names)")
      ->check(deepspeed::tools::not_empty());
  app.add_flag("--restart-data", o.restart_data,
               "with --load: begin with the first sample of the data, which may be other data, of another "
               "--seq-length or in another order; --epochs counts from there");
  app.add_option("--export", o.export_to, "write the trained model as a Hugging Face folder")
      ->check(deepspeed::tools::not_empty());
  app.add_option("--generate", o.generate, "prompt to continue at the end")
      ->check(deepspeed::tools::not_empty());
  app.add_option("--generate-tokens", o.generate_tokens, "how far")
      ->capture_default_str()
      ->check(CLI::Range(1, 1 << 20));
  app.add_option("--log-jsonl", o.log_jsonl, "one JSON line a step")->check(deepspeed::tools::not_empty());
  app.add_option("--report", o.report,
                 "HTML page with charts of the run, written at the end and on a stop signal")
      ->check(deepspeed::tools::not_empty());
  add_overrides(app, o);
  app.add_flag("--dry-run", o.dry_run, "print the plan and the memory it takes; train and write nothing");
  app.add_flag("-q,--quiet", o.quiet, "no progress, no notes");
}

// The command as a shell would take it.
std::string quoted(int argc, char** argv) {
  std::string out;
  for (const std::string word : std::span(argv, static_cast<size_t>(argc))) {
    if (!out.empty()) out += ' ';
    const bool plain =
        !word.empty() && word.find_first_of(" \t\n\"'\\$`&|;<>()*?[]{}~#!") == std::string::npos;
    if (plain) {
      out += word;
      continue;
    }
    out += '\'';
    for (const char c : word) out += c == '\'' ? "'\\''" : std::string(1, c);
    out += '\'';
  }
  return out;
}

// The launcher's rank, else mpirun's or srun's.
int rank_here() {
  if (const auto rank = deepspeed::base::env_int("RANK")) return static_cast<int>(*rank);
  const auto found = deepspeed::base::discover_rank();
  return found ? found->rank : 0;
}

// The report is rank 0's; other ranks end at once, which ends the collective that rank 0 may be waiting in.
void train(TrainOptions& options) {
  if (options.report.empty() || rank_here() != 0) return deepspeed::engine::train(options);
  deepspeed::train::StopSignal stop;
  options.stop_requested = [] { return deepspeed::train::StopSignal::received() != 0; };
  try {
    deepspeed::engine::train(options);
  } catch (const std::exception&) {
    if (deepspeed::train::StopSignal::received() == 0) throw;
  }
  stop.end_as_signalled();
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Trains a language model under a DeepSpeed configuration; one process a rank (see `deepspeed`), or "
      "alone.",
      "ds_train");
  TrainOptions options;
  bool no_shuffle = false;
  int local_rank = 0;  // the launcher passes it to every program; the environment says the same
  app.set_version_flag("--version", fmt::format("ds_train (deepspeed.cpp) {}", deepspeed::base::version()));
  app.footer(kExamples);
  app.option_defaults()->multi_option_policy(
      CLI::MultiOptionPolicy::TakeLast);  // scripts append their overrides
  add_options(app, options, no_shuffle);
  app.add_option("--local_rank", local_rank)->group("");
  app.add_flag("--deepspeed")->group("");  // scripts written for DeepSpeed pass it
  const auto rank = deepspeed::base::env("RANK");
  return deepspeed::tools::run_tool(
      app, argc, argv,
      [&] {
        options.shuffle = !no_shuffle;
        deepspeed::engine::check_objective(options.objective);
        options.command_line = quoted(argc, argv);
        try {
          train(options);
        } catch (const c10::Error& error) {
          throw deepspeed::base::Error(deepspeed::tools::on_one_line(error.what_without_backtrace()));
        }
      },
      rank ? "ds_train [rank " + *rank + "]" : "");
}
