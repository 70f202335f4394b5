// The ds_infer command: every task as a table and as JSON, streaming, measuring, and what it refuses.
#include <unistd.h>

#include <fmt/format.h>
#include <fstream>
#include <sstream>

#include "deepspeed/base/env.h"
#include "deepspeed/base/file.h"
#include "task_case.h"
#include "tests/support/command.h"

namespace deepspeed::inference {
namespace {

namespace fs = std::filesystem;
using config::Json;
using test_support::CommandResult;
using ::testing::ContainsRegex;
using ::testing::HasSubstr;

const std::string kLlama = DS_SOURCE_DIR "/tests/models/goldens/gguf/llama.gguf";

CommandResult ds_infer(const std::string& model, std::vector<std::string> arguments) {
  std::vector<std::string> argv = {DS_BIN_DIR "/ds_infer", "--model", model};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return test_support::run_command(argv, {"OMP_NUM_THREADS=1"});
}

std::vector<Json> lines_of(const CommandResult& result) {
  EXPECT_EQ(result.exit_code, 0) << result.err;
  std::vector<Json> lines;
  std::istringstream text(result.out);
  for (std::string line; std::getline(text, line);) lines.push_back(Json::parse(line));
  return lines;
}

// The first golden of the task whose options are these, and the command's answer to it as JSON.
Json golden(const std::string& file, const std::string& task, const Json& options) {
  for (const Json& one : golden_cases(file))
    if (one["task"] == task && one["options"] == options) return one;
  ADD_FAILURE() << "no golden of " << task << " with " << options;
  return {};
}

// As JSON it is the pipeline's answer; as a table it shows `shown` of each.
void expect_answer(const Json& one, std::vector<std::string> arguments, const char* shown) {
  const std::string model = model_of(one).string();
  const CommandResult table = ds_infer(model, arguments);
  EXPECT_EQ(table.exit_code, 0) << table.err;
  EXPECT_THAT(table.out, HasSubstr("score"));
  for (const Json& answer : one["output"]) {
    EXPECT_THAT(table.out, HasSubstr(answer[shown].get<std::string>()));
    EXPECT_THAT(table.out, HasSubstr(fmt::format("{:.4f}", answer["score"].get<double>())));
  }
  arguments.push_back("--json");
  const auto lines = lines_of(ds_infer(model, arguments));
  ASSERT_EQ(lines.size(), 1u);
  expect_like(lines[0]["output"], one["output"], "output");
}

TEST(DsInfer, RanksThatTheLauncherStartsAnswerAsOne) {
  const auto launched = [](std::vector<std::string> arguments) {
    std::vector<std::string> argv = {DS_BIN_DIR "/deepspeed",
                                     "-q",
                                     "--num_accelerators",
                                     "2",
                                     "--master_port",
                                     "0",
                                     DS_BIN_DIR "/ds_infer",
                                     "--model",
                                     kLlama,
                                     "--dtype",
                                     "fp32"};
    argv.insert(argv.end(), arguments.begin(), arguments.end());
    return test_support::run_command(argv, {"OMP_NUM_THREADS=1"});
  };
  const std::vector<std::string> text = {"Once upon", "--max-new-tokens", "12", "--greedy"};
  auto shared = text;
  shared.insert(shared.end(), {"--set", "tensor_parallel.tp_size=2", "--set",
                               "tensor_parallel.check_against_one_rank=true"});
  const CommandResult two = launched(shared);
  EXPECT_EQ(two.exit_code, 0) << two.err;
  EXPECT_THAT(two.err, HasSubstr("2 ranks give what one rank gives"));
  auto alone = text;
  alone.insert(alone.end(), {"--dtype", "fp32"});
  EXPECT_EQ(two.out, ds_infer(kLlama, alone).out);
  const CommandResult unasked = launched(text);
  EXPECT_EQ(unasked.exit_code, 1);
  EXPECT_THAT(unasked.err, HasSubstr("tensor_parallel.tp_size is 1, but 2 rank(s) were started"));
  const CommandResult unread = launched({"--set", "tensor_parallel.tp_size=2"});
  EXPECT_EQ(unread.exit_code, 1);
  EXPECT_THAT(unread.err, HasSubstr("standard input reaches one rank only"));
}

TEST(DsInfer, FillsMasks) {
  const Json one = golden("tasks.json", "fill-mask", {{"top_k", 2}});
  expect_answer(one, {one["input"], "--top-k", "2"}, "sequence");
}

TEST(DsInfer, ClassifiesTexts) {
  const Json one = golden("tasks.json", "text-classification", {{"top_k", 3}});
  expect_answer(one, {"--task", "text-classification", one["input"], "--top-k", "3"}, "label");
}

TEST(DsInfer, ClassifiesTokens) {
  const Json one = golden("tasks.json", "token-classification", {{"aggregation_strategy", "first"}});
  expect_answer(one, {one["input"], "--aggregation-strategy", "first"}, "entity_group");
}

TEST(DsInfer, AnswersQuestions) {
  const Json one = golden("answers.json", "question-answering", {{"top_k", 3}});
  expect_answer(
      one, {"--question", one["input"]["question"], "--context", one["input"]["context"], "--top-k", "3"},
      "answer");
}

TEST(DsInfer, MakesVectors) {
  const Json one = golden("tasks.json", "feature-extraction", Json::object());
  const std::string model = model_of(one).string();
  std::vector<Json> texts;  // two of them, for a cosine
  for (const Json& other : golden_cases("tasks.json"))
    if (other["task"] == "feature-extraction" && other["options"] == Json::object() && texts.size() < 2)
      texts.push_back(other);
  ASSERT_EQ(texts.size(), 2u);
  std::vector<std::string> arguments = {texts[0]["input"], texts[1]["input"]};
  std::string table;
  for (const Json& text : texts) {
    table += text["input"].get<std::string>() + "\n";
    for (size_t i = 0; i < 6; ++i)
      table += fmt::format("{}{:.4f}", i > 0 ? " " : "", text["output"][i].get<double>());
    double cosine = 0;  // they have length 1
    for (size_t i = 0; i < 32; ++i)
      cosine += text["output"][i].get<double>() * texts[0]["output"][i].get<double>();
    table += fmt::format(" ... (32)\ncosine to the first: {:.4f}\n\n", cosine);
  }
  EXPECT_EQ(ds_infer(model, arguments).out, table);
  arguments.push_back("--json");
  const auto lines = lines_of(ds_infer(model, arguments));
  ASSERT_EQ(lines.size(), 2u);
  for (size_t i = 0; i < 2; ++i) expect_like(lines[i]["output"], texts[i]["output"], "vector");
  const auto tokens = lines_of(ds_infer(model, {"god", "--pooling", "none", "--json"}));
  EXPECT_EQ(tokens[0]["output"].size(), 3u);  // with [CLS] and [SEP]
}

// What transformers' pipeline writes, as it is shown and as JSON; a conversation is one file.
TEST(DsInfer, WritesAndChatsAsTransformers) {
  const Json cases = golden_cases("writing.json");
  ASSERT_EQ(cases.size(), 7u);
  const fs::path messages = fs::path(testing::TempDir()) / fmt::format("conversation-{}.json", ::getpid());
  for (const Json& one : cases) {
    const std::string model = model_of(one).string();
    std::vector<std::string> arguments = {"-q", "--generation", one["options"].dump()};
    if (one["task"] == "chat") {
      base::write_text_file(messages, one["input"].dump());
      arguments.insert(arguments.end(), {"--task", "chat", "--messages", messages.string()});
    } else {
      arguments.push_back(one["input"]);
    }
    const Json& answers = one["output"];
    std::string shown = answers.size() > 1 ? "> " + one["input"].get<std::string>() + "\n" : "";
    for (const Json& answer : answers) shown += answer["generated_text"].get<std::string>() + "\n";
    EXPECT_EQ(ds_infer(model, arguments).out, shown);
    arguments.push_back("--json");
    const auto lines = lines_of(ds_infer(model, arguments));
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_EQ(lines[0]["input"], one["input"]);
    ASSERT_EQ(lines[0]["output"].size(), answers.size());
    for (size_t i = 0; i < answers.size(); ++i)
      EXPECT_EQ(lines[0]["output"][i]["generated_text"], answers[i]["generated_text"]);
  }
  fs::remove(messages);
}

// CLI11 takes "[a, b]" for a list of two where an option may have several.
TEST(DsInfer, TextsInBracketsAreTexts) {
  const auto lines =
      lines_of(ds_infer(kLlama, {"[INST] one, two [/INST]", "[]", "--json", "--max-new-tokens", "1"}));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0]["input"], "[INST] one, two [/INST]");
  EXPECT_EQ(lines[1]["input"], "[]");
  const Json mask =
      lines_of(ds_infer((inference_goldens() / "models/bert-masks").string(), {"[MASK]", "--json"})).at(0);
  EXPECT_EQ(mask["input"], "[MASK]");
  const auto stopped =
      lines_of(ds_infer(kLlama, {"--stop", "[a,b]", "hello", "--json", "--max-new-tokens", "1"}));
  ASSERT_EQ(stopped.size(), 1u);
  EXPECT_EQ(stopped[0]["input"], "hello");
  const auto dashed =
      lines_of(ds_infer(kLlama, {"--json", "--max-new-tokens", "1", "hello", "--", "--bench", "[a,b]"}));
  ASSERT_EQ(dashed.size(), 3u);
  EXPECT_EQ(dashed[1]["input"], "--bench");
  EXPECT_EQ(dashed[2]["input"], "[a,b]");
}

TEST(DsInfer, GeneratesFromGguf) {
  const auto lines =
      lines_of(ds_infer(kLlama, {"Once upon", "--max-new-tokens", "12", "--json", "--logprobs", "1"}));
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0]["input"], "Once upon");
  const Json sequence = lines[0]["output"][0];
  EXPECT_EQ(sequence["generated_tokens"], 12);
  EXPECT_EQ(sequence["finish_reason"], "length");
  EXPECT_EQ(sequence["logprobs"].size(), 12u);
  const std::string text = sequence["generated_text"];
  // Streamed, whole, from standard input and from a file it is the same text.
  EXPECT_EQ(ds_infer(kLlama, {"Once upon", "--max-new-tokens", "12"}).out, text + "\n");
  EXPECT_EQ(ds_infer(kLlama, {"Once upon", "--max-new-tokens", "12", "--no-stream"}).out, text + "\n");
  const auto piped = test_support::run_command(
      {"sh", "-c",
       "printf 'Once upon\\n' | " DS_BIN_DIR "/ds_infer --max-new-tokens 12 -q --model " + kLlama});
  EXPECT_EQ(piped.out, text + "\n");
  EXPECT_EQ(piped.err, "");
  const fs::path file = fs::temp_directory_path() / fmt::format("ds_infer_{}.txt", ::getpid());
  std::ofstream(file) << "Once upon\n\nTwice\n";
  const auto two = lines_of(ds_infer(kLlama, {"--file", file.string(), "--max-new-tokens", "12", "--json"}));
  ASSERT_EQ(two.size(), 2u);
  EXPECT_EQ(two[0]["output"][0]["generated_text"], text);
  fs::remove(file);
  const auto drawn = [&](const char* seed) {
    return ds_infer(kLlama, {"Once", "--max-new-tokens", "20", "--temperature", "1.5", "--seed", seed}).out;
  };
  EXPECT_EQ(drawn("1"), drawn("1"));
  EXPECT_NE(drawn("1"), drawn("2"));
}

TEST(DsInfer, AnswersWithAnEncoderAndADecoder) {
  const Json texts = golden_cases("text2text.json")["texts"];
  const std::string model = model_of(texts[0]).string();
  for (const Json& one : texts) {
    if (one["input"] != texts[0]["input"]) continue;
    std::vector<std::string> arguments = {
        "--task",       "text2text-generation", "--dtype", "fp32", one["input"],
        "--generation", one["options"].dump()};
    std::string shown;
    for (const Json& answer : one["output"]) shown += answer["generated_text"].get<std::string>() + "\n";
    const std::string asked = one["output"].size() > 1 ? "> " + one["input"].get<std::string>() + "\n" : "";
    EXPECT_EQ(ds_infer(model, arguments).out, asked + shown);
    arguments.push_back("--json");
    const auto lines = lines_of(ds_infer(model, arguments));
    ASSERT_EQ(lines.size(), 1u);
    ASSERT_EQ(lines[0]["output"].size(), one["output"].size());
    for (size_t i = 0; i < one["output"].size(); ++i)
      EXPECT_EQ(lines[0]["output"][i]["generated_text"], one["output"][i]["generated_text"]);
  }
  const auto rows = lines_of(ds_infer(model, {"--bench", "--bench-runs", "2", "--bench-prompt-tokens", "9",
                                              "--max-new-tokens", "5", "--json"}));
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[2]["name"], "between tokens");
  EXPECT_EQ(rows[2]["count"], 8);
}

TEST(DsInfer, Chats) {
  const auto one = lines_of(ds_infer(kLlama, {"--task", "chat", "hello", "--max-new-tokens", "6", "--json"}));
  ASSERT_EQ(one.size(), 1u);
  EXPECT_EQ(one[0]["input"], Json::parse(R"([{"role": "user", "content": "hello"}])"));
  const std::string text = one[0]["output"][0]["generated_text"];
  const auto talk = test_support::run_command({"sh", "-c",
                                               "printf 'hello\\nand now\\n' | " DS_BIN_DIR
                                               "/ds_infer --task chat --max-new-tokens 6 --json --model " +
                                                   kLlama});
  const auto lines = lines_of(talk);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1]["input"].size(), 3u);
  EXPECT_EQ(lines[1]["input"][1]["content"], text);
}

TEST(DsInfer, BytesThatAreNoUtf8DoNotEndAChat) {
  const auto talk = test_support::run_command({"sh", "-c",
                                               "printf '\\377\\nand now\\n' | " DS_BIN_DIR
                                               "/ds_infer --task chat --max-new-tokens 2 --json --model " +
                                                   kLlama});
  EXPECT_EQ(lines_of(talk).size(), 2u);
}

TEST(DsInfer, ConversationsAreChecked) {
  const fs::path file = fs::path(testing::TempDir()) / fmt::format("messages-{}.json", ::getpid());
  const auto refusal = [&](const std::string& messages) {
    base::write_text_file(file, messages);
    const CommandResult result = ds_infer(kLlama, {"-q", "--task", "chat", "--messages", file.string()});
    EXPECT_EQ(result.exit_code, 1) << messages;
    return result.err;
  };
  EXPECT_THAT(refusal("[]"), HasSubstr("must hold a list"));
  EXPECT_THAT(refusal("{}"), HasSubstr("must hold a list"));
  EXPECT_THAT(refusal(R"([{"role": 1, "content": "x"}])"),
              HasSubstr("message 1 of the conversation has no role"));
  EXPECT_THAT(refusal(R"([{"role": "user", "content": "x"}, {"role": "user", "content": 2}])"),
              HasSubstr("message 2 of the conversation has no content"));
  fs::remove(file);
}

TEST(DsInfer, Measures) {
  const auto rows = lines_of(ds_infer(kLlama, {"--bench", "--bench-runs", "3", "--bench-prompt-tokens", "9",
                                               "--max-new-tokens", "5", "--json"}));
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_EQ(rows[0]["name"], "first token");
  EXPECT_EQ(rows[0]["count"], 3);
  EXPECT_EQ(rows[2]["name"], "between tokens");
  EXPECT_EQ(rows[2]["count"], 12);
  for (const Json& row : rows) EXPECT_LE(row["p50"].get<double>(), row["p99"].get<double>());
  const std::string vectors = (inference_goldens() / "models/bert-vectors").string();
  EXPECT_THAT(ds_infer(vectors, {"--bench", "--bench-runs", "1", "--bench-prompt-tokens", "9"}).out,
              HasSubstr("texts/s"));
  const std::string classes = (inference_goldens() / "models/roberta-classes").string();
  EXPECT_THAT(ds_infer(classes, {"--bench", "--bench-runs", "2", "some text"}).out, HasSubstr("texts/s"));
}

TEST(DsInfer, MeasuresPerplexity) {
  const fs::path tiny = fs::path(DS_SOURCE_DIR) / "tests/parity/goldens/models/llama-sharp";
  const fs::path ids = fs::path(testing::TempDir()) / fmt::format("ids-{}.bin", ::getpid());
  std::string bytes;
  for (int i = 0; i < 24; ++i) bytes += std::string{static_cast<char>(i + 1), 0, 0, 0};
  base::write_text_file(ids, bytes);
  const auto measure = [&](const std::vector<std::string>& more) {
    std::vector<std::string> words = {"-q", "--perplexity", ids.string(), "--perplexity-window", "8"};
    words.insert(words.end(), more.begin(), more.end());
    return ds_infer(tiny.string(), words);
  };
  EXPECT_THAT(measure({}).out, testing::MatchesRegex("perplexity [0-9.]+ \\+- [0-9.]+ of 9 tokens\n"));
  EXPECT_EQ(lines_of(measure({"--json", "--perplexity-windows", "2"})).at(0)["tokens"], 6);
  base::write_text_file(ids, bytes + "x");
  EXPECT_THAT(measure({}).err, HasSubstr("no whole number of 32-bit token ids"));
  base::write_text_file(ids, "");
  EXPECT_THAT(measure({}).err, HasSubstr("holds no tokens"));
  fs::remove(ids);
}

// What transformers makes of the same file in fp32 (make_gemma_continuations.py), token by token, of a batch.
TEST(DsInfer, ARealQuantizedModelContinuesAsInTransformers) {
  const std::string folder = base::env("DEEPSPEED_MODELS")
                                 .value_or(base::env("HOME").value_or("") + "/.cache/deepspeed-models"),
                    file = folder + "/gemma-3-270m-q4_k_m.gguf";
  if (!fs::exists(file))
    GTEST_SKIP() << "SKIPPED, not tested: " << file << " is missing (./dev models fetches it)";
  const Json cases = golden_cases("gemma_continuations.json");
  std::vector<std::string> argv = {DS_BIN_DIR "/ds_infer",
                                   "--model",
                                   file,
                                   "--max-new-tokens",
                                   "64",
                                   "--ignore-eos",
                                   "--greedy",
                                   "--json",
                                   "--logprobs",
                                   "1",
                                   "--dtype",
                                   "fp32",
                                   "--echo"};
  for (const Json& one : cases) argv.push_back(one["text"]);
  test_support::Command command(argv, {"OMP_NUM_THREADS=1"});
  const auto lines = lines_of(command.wait(std::chrono::minutes(4)));  // 11 s where nothing else runs
  ASSERT_EQ(lines.size(), cases.size());
  for (size_t i = 0; i < cases.size(); ++i) {
    std::vector<int32_t> prompt = {cases[i]["prompt"][0]}, tokens;  // the first token follows nothing
    for (const Json& one : lines[i]["prompt_logprobs"]) prompt.push_back(one["token"]);
    for (const Json& one : lines[i]["output"][0]["logprobs"]) tokens.push_back(one["token"]);
    EXPECT_EQ(prompt, cases[i]["prompt"].get<std::vector<int32_t>>());
    auto wanted = cases[i]["tokens"].get<std::vector<int32_t>>();
    ASSERT_EQ(tokens.size(), wanted.size());
    const size_t sure = cases[i]["first_near_tie"];
    EXPECT_GE(sure, 24u);
    tokens.resize(sure);
    wanted.resize(sure);
    EXPECT_EQ(tokens, wanted) << cases[i]["text"];
  }
}

TEST(DsInfer, ExplainsItself) {
  const auto help = test_support::run_command({DS_BIN_DIR "/ds_infer", "--help"});
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.out, HasSubstr("Examples:\n  ds_infer "));
  EXPECT_EQ(test_support::count_lines(test_support::run_command({DS_BIN_DIR "/ds_infer", "--version"}).out),
            1u);
}

TEST(DsInfer, RefusesInOneLine) {
  const std::string masks = (inference_goldens() / "models/bert-masks").string();
  const auto refused = [](const CommandResult& result, int code, const std::string& what) {
    EXPECT_EQ(result.exit_code, code);
    EXPECT_EQ(result.out, "");
    EXPECT_EQ(test_support::count_lines(result.err), 1u) << result.err;
    EXPECT_THAT(result.err, HasSubstr("ds_infer: "));
    EXPECT_THAT(result.err, HasSubstr(what));
  };
  refused(ds_infer("/no/such", {"x"}), 1, "no model '/no/such'");
  refused(ds_infer(masks, {"--task", "fill-maks", "x"}), 1, "did you mean 'fill-mask'?");
  refused(ds_infer(masks, {"-q", "no mask"}), 1, "there is no [MASK] in the text");
  refused(ds_infer(masks, {"--task", "question-answering", "x"}), 1, "its weights lack qa_outputs.weight");
  refused(ds_infer(masks, {"--set", "max_token=3", "x"}), 1, "unknown key 'max_token'");
  refused(ds_infer(masks, {"--dtype", "int3", "x"}), 1, "dtype");
  refused(ds_infer(masks, {"-q", "--file", "/dev/null"}), 1, "'/dev/null'");
  refused(ds_infer(kLlama, {"-q", "x", "--generation", R"({"max_new_token": 2})"}), 1,
          "did you mean 'max_new_tokens'?");
  refused(ds_infer(kLlama, {"-q", "x", "--max-new-token", "2"}), 2, "not expected: --max-new-token");
  refused(ds_infer(kLlama, {"-q", "x", "--perplexity", "y"}), 2, "--perplexity excludes texts");
  refused(ds_infer(kLlama, {"-q", "x", "--generation", "[]"}), 2, "--generation takes a JSON object");
  refused(ds_infer(kLlama, {"-q", "x", "--temperature", "-1"}), 1, "temperature");
  refused(ds_infer(kLlama, {"-q", "x", "--seed", "99999999999999999999"}), 2, "--seed: more than 18 digits");
  refused(ds_infer(kLlama, {"-q", "x", "--system", "be kind"}), 1, "go with --task chat");
  refused(ds_infer(kLlama, {"-q", "x", "--temperature", "nan"}), 2,
          "--temperature: nan is not a finite number");
  refused(ds_infer(kLlama, {"-q", "x", "--top-k", "-3"}), 2, "--top-k: Value -3 not in range");
  refused(ds_infer(kLlama, {"-q", "x", "--max-new-tokens", "0"}), 2, "--max-new-tokens");
  refused(ds_infer(masks, {"-q", "[MASK]", "--top-k", "0"}), 1, "top_k must be at least 1");
  refused(test_support::run_command({DS_BIN_DIR "/ds_infer", "x"}), 2, "--model is required");
}

}  // namespace
}  // namespace deepspeed::inference
