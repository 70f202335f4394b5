// Broken GGUF files of the corpus: as files (llama.cpp's tests/test-gguf.cpp), and as models.
#include <functional>

#include "tests/formats/gguf_images.h"
#include "tests/inference/broken_models.h"

namespace deepspeed::inference {
namespace {

using formats::append;
using formats::gguf_array;
using formats::gguf_pair;
using formats::gguf_pair_of;
using formats::gguf_tensor;
using formats::gguf_text;
using formats::GgufImage;
using formats::GgufType;

std::string text(const char* key, const std::string& value) {
  return gguf_pair(key, GgufType::kText, gguf_text(value));
}
std::string number(const char* key, uint32_t value) { return gguf_pair_of(key, GgufType::kU32, value); }
std::string texts(const char* key, const std::vector<std::string>& values) {
  std::string bytes;
  for (const auto& value : values) bytes += gguf_text(value);
  return gguf_array(key, GgufType::kText, values.size(), bytes);
}

// By key, so that one of them can be changed.
std::map<std::string, std::string> llama_values() {
  std::map<std::string, std::string> values;
  values["general.architecture"] = text("general.architecture", "llama");
  for (const auto& [key, value] :
       {std::pair("llama.context_length", 16u), std::pair("llama.embedding_length", 8u),
        std::pair("llama.block_count", 1u), std::pair("llama.feed_forward_length", 8u),
        std::pair("llama.attention.head_count", 2u)})
    values[key] = number(key, value);
  const char* epsilon = "llama.attention.layer_norm_rms_epsilon";
  values[epsilon] = gguf_pair_of(epsilon, GgufType::kF32, 1e-5f);
  return values;
}

GgufImage image_of(const std::map<std::string, std::string>& values) {
  GgufImage image;
  for (const auto& [key, pair] : values) image.values.push_back(pair);
  image.tensors = {gguf_tensor("token_embd.weight", {8, 4}),
                   gguf_tensor("blk.0.ffn_gate_inp.weight", {8, 1}, 0, 128)};
  image.data = std::string(160, '\0');
  return image;
}

// A LLaMA of one layer whose metadata has these pairs, of these keys, besides.
std::string llama(const std::map<std::string, std::string>& changed) {
  auto values = llama_values();
  for (const auto& [key, pair] : changed) values[key] = pair;
  std::erase_if(values, [](const auto& value) { return value.second.empty(); });
  return image_of(values).bytes();
}

std::string with(const std::function<void(GgufImage&)>& change) {
  GgufImage image = image_of(llama_values());
  change(image);
  return image.bytes();
}

std::string with_tensors(std::vector<std::string> tensors, size_t data_bytes) {
  return with([&](GgufImage& image) {
    image.tensors = std::move(tensors);
    image.data = std::string(data_bytes, '\0');
  });
}

struct Bytes {
  const char* name;
  std::string content;
  const char* error;
};

std::vector<Bytes> as_files() {
  const auto version = [](uint32_t number) {
    return with([=](GgufImage& image) { image.version = number; });
  };
  const auto value = [](const std::string& pair) {
    return with([&](GgufImage& image) { image.values.push_back(pair); });
  };
  constexpr int64_t kHuge = int64_t{1} << 62;
  return {
      {"GgufMagic", with([](GgufImage& image) { image.magic = "GGML"; }), "not a GGUF file"},
      {"GgufVersion0", version(0), "GGUF version 0 is not supported"},
      {"GgufVersion1", version(1), "GGUF version 1 is not supported"},
      {"GgufVersionOfTheFuture", version(4), "GGUF version 4 is not supported"},
      {"GgufBigEndian", version(0x03000000), "big-endian"},
      {"GgufTensorCount", with([](GgufImage& image) { image.tensor_count = ~uint64_t{0}; }), "claims"},
      {"GgufValueCount", with([](GgufImage& image) { image.value_count = uint64_t{1} << 60; }), "claims"},
      {"GgufKeyLength", value(std::string("\xff\xff\xff\xff\xff\xff\xff\x7f", 8) + "key"),
       "metadata key needs"},
      {"GgufKeyEmpty", value(number("", 1)), "key has 0 bytes"},
      {"GgufKeyTwice", value(number("llama.block_count", 1)), "'llama.block_count' appears twice"},
      {"GgufValueType", value(gguf_pair("k", static_cast<GgufType>(99), "1234")), "value type 99 is unknown"},
      {"GgufBoolean", value(gguf_pair_of<uint8_t>("k", GgufType::kBool, 2)), "a boolean is 2"},
      {"GgufTextLength", value(gguf_pair_of<uint64_t>("k", GgufType::kText, uint64_t{1} << 62)),
       "text needs"},
      {"GgufArrayCount", value(gguf_array("k", GgufType::kU64, uint64_t{1} << 61, "1234")), "bytes are left"},
      {"GgufArrayOfTexts", value(gguf_array("k", GgufType::kText, uint64_t{1} << 61, "1234")),
       "bytes are left"},
      {"GgufAlignmentZero", value(number("general.alignment", 0)), "not a power of 2"},
      {"GgufAlignmentOdd", value(number("general.alignment", 13)), "not a power of 2"},
      {"GgufAlignmentType", value(gguf_pair_of<float>("general.alignment", GgufType::kF32, 32)),
       "should be U32"},
      {"GgufTensorTwice", with_tensors({gguf_tensor("a", {4}), gguf_tensor("a", {4}, 0, 32)}, 64),
       "'a' appears twice"},
      {"GgufDimensions", with_tensors({gguf_tensor("a", {1, 1, 1, 1, 1})}, 32), "'a' has 5 dimensions"},
      {"GgufNegativeDimension", with_tensors({gguf_tensor("a", {-4, -1})}, 32), "negative or overflows"},
      {"GgufShapeWraps", with_tensors({gguf_tensor("a", {kHuge, 4})}, 32), "negative or overflows"},
      {"GgufBytesWrap", with_tensors({gguf_tensor("a", {kHuge})}, 32), "overflows"},
      {"GgufMoreElementsThanBytes", with_tensors({gguf_tensor("a", {1 << 20, 1 << 10})}, 32), "truncated"},
      {"GgufTensorType", with_tensors({gguf_tensor("a", {4}, 4096)}, 32), "type 4096, which is unknown"},
      {"GgufOffset", with_tensors({gguf_tensor("a", {4}, 0, 16)}, 64), "offset 16"},
      {"GgufOffsetBeyondTheFile", with_tensors({gguf_tensor("a", {4}, 0, uint64_t{1} << 40)}, 32),
       "is truncated"},
      {"GgufCutShort", llama({}).substr(0, 200), "'"}};
}

std::vector<Bytes> as_models() {
  const auto changed = [](const char* key, uint32_t value) { return llama({{key, number(key, value)}}); };
  const std::string tokens = texts("tokenizer.ggml.tokens", {"a", "b", "c", "d"});
  const auto tokenizer = [&](const char* model, std::map<std::string, std::string> more) {
    more["tokenizer.ggml.model"] = text("tokenizer.ggml.model", model);
    more.try_emplace("tokenizer.ggml.tokens", tokens);
    return llama(more);
  };
  const std::string rotary = text("llama.rope.scaling.type", "spiral");
  return {
      {"GgufWithoutArchitecture", llama({{"general.architecture", ""}}), "general.architecture"},
      {"GgufUnknownArchitecture", llama({{"general.architecture", text("general.architecture", "mamba")}}),
       "\"mamba\" are not available yet"},
      {"GgufArchitectureIsANumber", llama({{"general.architecture", number("general.architecture", 7)}}),
       "'general.architecture' should be text"},
      {"GgufManyLayers", changed("llama.block_count", 2000000000), "more than the file's 2 tensors"},
      {"GgufNoHeads", changed("llama.attention.head_count", 0), "must be positive"},
      {"GgufWidthContradictsTheTable", changed("llama.embedding_length", 1 << 30),
       "the rows of 'token_embd.weight' have 8 elements"},
      {"GgufWideLayers", changed("llama.feed_forward_length", 2000000000), "missing"},
      {"GgufManyExperts",
       llama({{"llama.expert_count", number("llama.expert_count", 1u << 30)},
              {"llama.expert_used_count", number("llama.expert_used_count", 2)}}),
       "'llama.expert_count' is 1073741824, but 'blk.0.ffn_gate_inp.weight' has 1 rows"},
      {"GgufUnknownScaling", llama({{"llama.rope.scaling.type", rotary}}), "\"spiral\" is not available yet"},
      {"GgufWithoutItsTensors", llama({}), "missing"},
      {"GgufUnknownTokenizer", tokenizer("words", {}), "the tokenizer model 'words' is not supported"},
      {"GgufTokensTwice",
       tokenizer("gpt2", {{"tokenizer.ggml.tokens", texts("tokenizer.ggml.tokens", {"a", "a"})}}),
       "both read 'a'"},
      {"GgufScoresTooFew", tokenizer("llama", {}), "0 scores for 4 tokens"},
      {"GgufEndOutsideTheVocabulary",
       tokenizer("gpt2", {{"tokenizer.ggml.eos_token_id", number("tokenizer.ggml.eos_token_id", 4)}}),
       "the special token 4 is not below the 4 tokens"},
      {"GgufMergeOfNothing",
       tokenizer("gpt2", {{"tokenizer.ggml.merges", texts("tokenizer.ggml.merges", {"ab"})}}),
       "has no space between two tokens"},
      {"GgufMergeOfUnknownTokens",
       tokenizer("gpt2", {{"tokenizer.ggml.merges", texts("tokenizer.ggml.merges", {"x y"})}}), "'x'"},
      {"GgufTemplateWithoutEnd",
       llama({{"tokenizer.chat_template", text("tokenizer.chat_template", "{% for a in b %}")}}),
       "chat_template"}};
}

}  // namespace

std::vector<BrokenModel> broken_gguf() {
  std::vector<BrokenModel> out;
  for (const auto& list : {as_files(), as_models()})
    for (const Bytes& broken : list)
      out.push_back({broken.name, {{"model.gguf", broken.content}}, broken.error});
  return out;
}

}  // namespace deepspeed::inference
