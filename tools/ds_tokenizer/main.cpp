#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/text/bpe_trainer.h"
#include "deepspeed/text/token_file.h"
#include "deepspeed/text/tokenizer.h"
#include "deepspeed/text/utf8.h"
#include "tools/run_tool.h"

namespace {

namespace base = deepspeed::base;
namespace text = deepspeed::text;

constexpr const char* kExamples = R"(Examples:
  ds_tokenizer train --input book.txt --vocab-size 8000 --output model/tokenizer.json
  ds_tokenizer encode --tokenizer model/tokenizer.json --input book.txt --output book.bin
  ds_tokenizer decode --tokenizer model/tokenizer.json --input book.bin)";

struct Options {
  std::vector<std::string> inputs;
  std::string input, output, tokenizer, dtype = "u16";
  bool keep_special_tokens = false;
  text::BpeTrainOptions train;
};

void make_folder_of(const std::filesystem::path& path) {
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path());
}

void train(const Options& options) {
  std::string corpus;
  for (const std::string& path : options.inputs) {
    if (!corpus.empty() && corpus.back() != '\n') corpus += '\n';
    const std::string part = base::read_text_file(path);
    text::check_utf8(part, path);
    corpus += part;
  }
  const std::string json = text::train_byte_level_bpe(corpus, options.train);
  make_folder_of(options.output);
  base::write_text_file(options.output, json);
  const auto learnt = text::Tokenizer::from_json(json, options.output);
  fmt::print("{}: {} tokens learnt from {} bytes\n", options.output, learnt.vocab_size(), corpus.size());
}

void encode(const Options& options) {
  const auto width = text::parse_token_width(options.dtype);
  const auto tokenizer = text::Tokenizer::from_file(options.tokenizer);
  const std::string corpus = base::read_text_file(options.input);
  text::check_utf8(corpus, options.input);
  const std::vector<int32_t> ids = tokenizer.encode_ids(corpus);
  std::error_code error;
  DS_CHECK(!std::filesystem::equivalent(options.input, options.output, error),
           "--output '{}' is the input: it would be replaced", options.output);
  make_folder_of(options.output);
  text::write_token_file(options.output, ids, width);
  fmt::print("{}: {} tokens from {} bytes\n", options.output, ids.size(), corpus.size());
}

void decode(const Options& options) {
  const auto tokenizer = text::Tokenizer::from_file(options.tokenizer);
  const auto ids = text::read_token_file(options.input, text::parse_token_width(options.dtype));
  for (size_t i = 0; i < ids.size(); ++i)
    DS_CHECK(ids[i] >= 0 && ids[i] <= tokenizer.max_id(),
             "{}: token {} at position {} is not in the vocabulary of {}", options.input, ids[i], i,
             options.tokenizer);
  const std::string decoded = tokenizer.decode(ids, !options.keep_special_tokens);
  if (!options.output.empty()) {
    make_folder_of(options.output);
    base::write_text_file(options.output, decoded);
  } else if (std::fwrite(decoded.data(), 1, decoded.size(), stdout) != decoded.size() ||
             std::fflush(stdout) != 0) {
    base::fail("cannot write to standard output");
  }
}

void info(const Options& options) {
  const auto tokenizer = text::Tokenizer::from_file(options.tokenizer);
  fmt::print("tokens      {}\nlargest id  {}\ndtype       {}\n", tokenizer.vocab_size(), tokenizer.max_id(),
             tokenizer.max_id() <= 0xFFFF ? "u16" : "u32");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app(
      "Tokenizers: learn a byte-level BPE one from text, turn text into token ids and back with any "
      "tokenizer.json.",
      "ds_tokenizer");
  app.set_version_flag("--version", "ds_tokenizer " DS_VERSION);
  app.footer(kExamples);
  app.require_subcommand(1);
  Options options;

  auto* train_command = app.add_subcommand("train", "Learn a tokenizer.json from text");
  train_command->add_option("--input", options.inputs, "UTF-8 text files")->required();
  train_command
      ->add_option("--vocab-size", options.train.vocab_size, "Tokens, special ones and bytes included")
      ->capture_default_str();
  train_command->add_option("--min-frequency", options.train.min_frequency, "Rarer pairs are not merged")
      ->capture_default_str();
  train_command->add_option("--special-token", options.train.special_tokens, "May be repeated")
      ->capture_default_str();
  train_command->add_option("--output", options.output, "The tokenizer.json to write")->required();
  train_command->callback([&] { train(options); });

  auto* encode_command = app.add_subcommand("encode", "Write a text's token ids to a file");
  encode_command->add_option("--tokenizer", options.tokenizer, "tokenizer.json")->required();
  encode_command->add_option("--input", options.input, "UTF-8 text file")->required();
  encode_command->add_option("--output", options.output, "File of little-endian ids")->required();
  encode_command->add_option("--dtype", options.dtype, "u16 or u32")->capture_default_str();
  encode_command->callback([&] { encode(options); });

  auto* decode_command = app.add_subcommand("decode", "Turn a file of token ids into text");
  decode_command->add_option("--tokenizer", options.tokenizer, "tokenizer.json")->required();
  decode_command->add_option("--input", options.input, "File of little-endian ids")->required();
  decode_command->add_option("--output", options.output, "Text file; standard output when not given");
  decode_command->add_option("--dtype", options.dtype, "u16 or u32")->capture_default_str();
  decode_command->add_flag("--keep-special-tokens", options.keep_special_tokens,
                           "Write special tokens as well");
  decode_command->callback([&] { decode(options); });

  auto* info_command = app.add_subcommand("info", "Say what a tokenizer.json holds");
  info_command->add_option("--tokenizer", options.tokenizer, "tokenizer.json")->required();
  info_command->callback([&] { info(options); });

  // The subcommands do their work while the line is parsed.
  return deepspeed::tools::run_tool(app, argc, argv, [] {});
}
