// deepspeed::init_inference over decoders in folders and GGUF files.
#include "deepspeed/inference/engine.h"

#include <unistd.h>

#include <filesystem>

#include "deepspeed/base/error.h"
#include "deepspeed/inference/generate.h"
#include "task_case.h"
#include "tiny_models.h"

namespace deepspeed::inference {
namespace {

namespace fs = std::filesystem;
using config::Json;
using ::testing::HasSubstr;

const fs::path kGguf = fs::path(DS_SOURCE_DIR) / "tests/models/goldens/gguf";

std::string error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const base::Error& error) {
    return error.what();
  }
  return "no error";
}

// The LLaMA of tests/parity with the tokenizer whose vocabulary is as large.
class Engine : public testing::Test {
 protected:
  void SetUp() override {
    folder = fs::temp_directory_path() / ("ds_engine_" + std::to_string(::getpid()));
    fs::remove_all(folder);
    fs::create_directories(folder);
    for (const auto& entry : fs::directory_iterator(tiny_folder("llama")))
      fs::copy(entry.path(), folder / entry.path().filename());
    fs::copy(kGguf.parent_path() / "tokenizer.json", folder / "tokenizer.json");
  }
  void TearDown() override { fs::remove_all(folder); }
  fs::path folder;
};

TEST_F(Engine, GeneratesWhatTheDecoderDoes) {
  const auto engine = init_inference(folder.string(), R"({"dtype": "fp32"})");
  EXPECT_EQ(engine->task(), Task::kTextGeneration);
  EXPECT_EQ(engine->spec().model_type, "llama");
  const auto model = tiny_model("llama");
  const auto prompt = engine->tokenizer().encode("Once upon").ids;
  const auto defaults = generation_defaults(folder);
  const auto want = generate(*model, {{prompt, parse_generation({{"max_new_tokens", 12}}, defaults)}},
                             {.tokenizer = &engine->tokenizer()});
  const auto got = engine->generate({"Once upon"}, {{"max_new_tokens", 12}});
  EXPECT_EQ(got[0].sequences[0].tokens, want[0].sequences[0].tokens);
  EXPECT_EQ(got[0].sequences[0].text, want[0].sequences[0].text);
  std::string heard;
  engine->generate({"Once upon"}, {{"max_new_tokens", 12}}, [&](const Progress& progress) {
    heard += progress.text;
    return true;
  });
  EXPECT_EQ(heard, got[0].sequences[0].text);
}

TEST_F(Engine, AGgufFileIsAModelOfItsOwn) {
  const auto theirs = init_inference(folder.string(), R"({"dtype": "fp32"})"),
             ours = init_inference((kGguf / "llama.gguf").string(), R"({"dtype": "fp32"})");
  EXPECT_EQ(ours->task(), Task::kTextGeneration);
  for (const char* prompt : {"Once upon", "x = 3;\n", "Größe"}) {
    EXPECT_EQ(ours->tokenizer().encode(prompt).ids, theirs->tokenizer().encode(prompt).ids) << prompt;
    EXPECT_EQ(ours->generate({prompt}, {{"max_new_tokens", 20}})[0].sequences[0].text,
              theirs->generate({prompt}, {{"max_new_tokens", 20}})[0].sequences[0].text);
  }
  const Json messages = {{{"role", "user"}, {"content", "hello"}}};
  EXPECT_EQ(ours->chat_prompt(messages), "<user>hello</s><assistant>");
  const auto answer = ours->chat(messages, {{"max_new_tokens", 8}});
  EXPECT_EQ(answer.sequences[0].tokens,
            ours->generate_tokens({ours->tokenizer().encode(ours->chat_prompt(messages), false).ids},
                                  {{"max_new_tokens", 8}})[0]
                .sequences[0]
                .tokens);
  EXPECT_THAT(error_of([&] { theirs->chat(messages); }), HasSubstr("has no chat template"));
}

TEST_F(Engine, TypesOfWeightsAreThoseAskedFor) {
  for (const auto& [name, type] :
       {std::pair("fp32", at::kFloat), std::pair("bf16", at::kBFloat16), std::pair("fp16", at::kHalf)}) {
    const auto engine = init_inference(folder.string(), "", {{"dtype", name}});
    for (const auto& parameter : engine->module().parameters()) {
      EXPECT_EQ(parameter.scalar_type(), type);
      EXPECT_FALSE(parameter.requires_grad());
    }
    EXPECT_EQ(engine->generate({"Once"}, {{"max_new_tokens", 4}})[0].sequences[0].tokens.size(), 4u) << name;
  }
  EXPECT_THAT(error_of([&] { init_inference(folder.string(), R"({"dtype": "int8"})"); }),
              HasSubstr("not available yet: weights of dtype int8"));
  EXPECT_THAT(error_of([&] { init_inference(folder.string(), R"({"tp": {"tp_size": 2}})"); }),
              HasSubstr("not available yet: tensor parallelism"));
}

TEST_F(Engine, SequencesKeepWithinMaxOutTokens) {
  const auto engine =
      init_inference(folder.string(), R"({"dtype": "fp32", "max_out_tokens": 20, "min_out_tokens": 4})");
  const auto tokens = [&](const std::vector<int32_t>& prompt, const Json& options) {
    return engine->generate_tokens({prompt}, options)[0].sequences[0].tokens.size();
  };
  EXPECT_EQ(tokens(std::vector<int32_t>(5, 40), {{"max_new_tokens", 100}, {"ignore_eos", true}}), 15u);
  EXPECT_EQ(tokens(std::vector<int32_t>(5, 40), {{"max_length", 100}, {"ignore_eos", true}}), 15u);
  EXPECT_EQ(tokens(std::vector<int32_t>(15, 40), {{"ignore_eos", true}}), 5u);
  EXPECT_EQ(error_of([&] { tokens(std::vector<int32_t>(17, 40), Json::object()); }),
            "a prompt of 17 tokens leaves no room for 4 more within max_out_tokens, which is 20");
}

TEST_F(Engine, ACheckpointStandsInForTheFoldersWeights) {
  fs::create_directories(folder / "other");
  fs::rename(folder / "model.safetensors.index.json", folder / "other/model.safetensors.index.json");
  for (int i = 1; i <= 3; ++i) {
    const std::string shard = fmt::format("model-0000{}-of-00003.safetensors", i);
    fs::rename(folder / shard, folder / "other" / shard);
  }
  EXPECT_THAT(error_of([&] { init_inference(folder.string()); }), HasSubstr("no model weights"));
  const auto engine = init_inference(
      folder.string(), "", {{"dtype", "fp32"}, {"checkpoint", "other"}, {"base_dir", folder.string()}});
  EXPECT_EQ(engine->generate({"Once"}, {{"max_new_tokens", 4}})[0].sequences[0].tokens.size(), 4u);
}

TEST_F(Engine, BadModelsAreOneLine) {
  EXPECT_THAT(error_of([&] { init_inference((folder / "gone").string()); }), HasSubstr("gone"));
  EXPECT_THAT(error_of([&] { init_inference(folder.string(), "", Json::object(), Task::kFillMask); }),
              HasSubstr("a llama is a decoder: it cannot do fill-mask"));
  fs::remove(folder / "tokenizer.json");
  const auto engine = init_inference(folder.string(), R"({"dtype": "fp32"})");
  EXPECT_EQ(error_of([&] { engine->generate({"x"}); }),
            folder.string() + " has no tokenizer (tokenizer.json)");
  EXPECT_EQ(engine->generate_tokens({{3, 4}}, {{"max_new_tokens", 3}})[0].sequences[0].tokens.size(), 3u);
  EXPECT_THAT(error_of([&] { engine->generate_tokens({{}}); }), HasSubstr("a prompt has no tokens"));
  EXPECT_THAT(error_of([&] {
                engine->generate_tokens({{3}}, {{"max_new_token", 3}});
              }),
              HasSubstr("did you mean 'max_new_tokens'?"));
}

}  // namespace
}  // namespace deepspeed::inference
