// Broken safetensors and PyTorch files of the corpus.
#include "tests/formats/pickles.h"
#include "tests/inference/broken_models.h"

namespace deepspeed::inference {
namespace {

namespace pickles = formats::pickles;
using formats::append;

std::string many(const std::string& text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

std::string safetensors(const std::string& header, size_t data_bytes = 0) {
  std::string out;
  append<uint64_t>(out, header.size());
  return out + header + std::string(data_bytes, '\1');
}

std::string tensor(const std::string& name, const std::string& shape, const std::string& offsets,
                   const std::string& dtype = "F32") {
  return "\"" + name + R"(":{"dtype":")" + dtype + R"(","shape":[)" + shape + R"(],"data_offsets":[)" +
         offsets + "]}";
}

std::string one(const std::string& shape, const std::string& offsets, size_t data_bytes,
                const std::string& dtype = "F32") {
  return safetensors("{" + tensor("a", shape, offsets, dtype) + "}", data_bytes);
}

std::string two(const std::string& first, const std::string& second, size_t data_bytes) {
  return safetensors("{" + tensor("a", "1", first) + "," + tensor("b", "1", second) + "}", data_bytes);
}

std::string claiming(uint64_t header_bytes) {
  std::string out;
  append<uint64_t>(out, header_bytes);
  return out + "{}";
}

struct Weights {
  const char* name;
  std::string content;
  const char* error;
};

// The safetensors library's SafetensorError, in its order, and what readers in C++ were found to miss.
std::vector<Weights> broken_safetensors() {
  return {{"SafetensorsOfSevenBytes", "{\"a\":1}", "truncated"},
          {"SafetensorsHeaderTooLarge", claiming(100000001), "more than the 100000000 allowed"},
          {"SafetensorsHeaderLengthOverflows", claiming(~uint64_t{0}), "allowed"},
          {"SafetensorsHeaderBeyondTheFile", claiming(5000), "truncated"},
          {"SafetensorsHeaderIsAList", safetensors("[]"), "header"},
          {"SafetensorsHeaderBeginsWithASpace", safetensors(" {}"), "header"},
          {"SafetensorsHeaderIsNotUtf8", safetensors("{\"\xff\":{}}"), "header"},
          {"SafetensorsHeaderIsNotJson", safetensors("{\"a\""), "header"},
          {"SafetensorsTensorsOverlap", two("0,4", "2,6", 6), "overlaps"},
          {"SafetensorsHole", two("0,4", "8,12", 12), "4 unused bytes before tensor 'b'"},
          {"SafetensorsRest", two("0,4", "4,8", 64), "56 bytes after the last tensor"},
          {"SafetensorsOffsetsBeyondTheFile", one("1024,1024", "0,4194304", 16), "truncated"},
          {"SafetensorsShapeLargerThanItsBytes", one("1000000,1000", "0,16", 16), "needs 4000000000 bytes"},
          {"SafetensorsShapeProductWraps", one("4611686018427387904,4", "0,16", 16), "overflows"},
          {"SafetensorsShapeTimesWidthWraps", one("4611686018427387905", "0,4", 4), "overflows"},
          {"SafetensorsNegativeShape", one("-1,4", "0,16", 16), "in 'shape'"},
          {"SafetensorsNegativeOffset", one("4", "-16,0", 16), "in 'data_offsets'"},
          {"SafetensorsOffsetsReversed", one("1", "4,0", 4), "data_offsets are [4, 0]"},
          {"SafetensorsUnknownType", one("1", "0,4", 4, "F31"), "dtype 'F31', which is not supported"},
          {"SafetensorsTensorTwice",
           safetensors("{" + tensor("a", "1", "0,4") + "," + tensor("a", "1", "4,8") + "}", 8),
           "tensor 'a' appears twice"},
          {"SafetensorsManyDimensions", one(many("1,", 64) + "1", "0,4", 4), "more than 64 dimensions"},
          {"SafetensorsNestedWithoutEnd", safetensors("{\"a\":" + many("[", 100000)), "header"},
          {"SafetensorsOfAnotherModel", one("4", "0,16", 16), "missing model.embed_tokens.weight"}};
}

// Nothing is ever executed, and no size is believed.
std::vector<Weights> broken_torch() {
  const std::string view = pickles::file_of(pickles::tensor(0, {1 << 20, 1 << 20}, {1 << 20, 1}));
  return {
      {"TorchCallsTheShell",
       pickles::file(pickles::call(pickles::global("posix", "system"), {pickles::text("true")})),
       "'posix.system'"},
      {"TorchCallsEval",
       pickles::file(pickles::call(pickles::global("builtins", "eval"), {pickles::text("1")})),
       "'builtins.eval'"},
      {"TorchMakesAnObject", pickles::file(pickles::global("torch", "FloatStorage") + ")\x81"), "NEWOBJ"},
      {"TorchSetsAttributes", pickles::file(pickles::tensor(0, {1}, {1}) + "}b"), "sets attributes"},
      {"TorchTextBeyondTheFile", pickles::file(std::string("X\xff\xff\xff\x7f", 5)), "truncated or damaged"},
      {"TorchMemoWithoutEnd", pickles::file(std::string("Nr\xff\xff\xff\xff", 6)), "memo"},
      {"TorchViewLargerThanItsStorage", view, "runs past"},
      {"TorchViewProductWraps", pickles::file_of(pickles::tensor(0, {INT64_MAX, INT64_MAX}, {0, 0})),
       "overflows"},
      {"TorchNegativeStride", pickles::file_of(pickles::tensor(0, {2}, {-1})), "strides holds -1"},
      {"TorchStorageThatIsNotThere",
       pickles::file_of(pickles::tensor(pickles::storage("7"), pickles::number(0), pickles::numbers({1}),
                                        pickles::numbers({1}))),
       "storage '7', which the file lacks"},
      {"TorchZipCutShort", pickles::file_of(pickles::tensor(0, {1}, {1})).substr(0, 60), "truncated"},
      {"TorchIsAnotherFile", "GIF89a", "not a PyTorch file"}};
}

}  // namespace

std::vector<BrokenModel> broken_weights() {
  std::vector<BrokenModel> out;
  for (const Weights& broken : broken_safetensors())
    out.push_back({broken.name, whole_model_with({{"model.safetensors", broken.content}}), broken.error});
  for (const Weights& broken : broken_torch())
    out.push_back({broken.name,
                   whole_model_with({{"model.safetensors", ""}, {"pytorch_model.bin", broken.content}}),
                   broken.error});
  const auto index = [&](const char* name, const char* content, const char* error) {
    out.push_back({name,
                   whole_model_with({{"model.safetensors", ""}, {"model.safetensors.index.json", content}}),
                   error});
  };
  index("IndexLeavesTheFolder", R"({"weight_map": {"a": "../../../etc/passwd"}})", "../../../etc/passwd");
  index("IndexNamesAnAbsolutePath", R"({"weight_map": {"a": "/etc/passwd"}})", "/etc/passwd");
  index("IndexIsNotJson", "{", "model.safetensors.index.json");
  index("IndexNamesAMissingFile", R"({"weight_map": {"a": "model-00001-of-00002.safetensors"}})",
        "model-00001-of-00002.safetensors");
  return out;
}

}  // namespace deepspeed::inference
