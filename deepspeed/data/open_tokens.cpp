#include "deepspeed/data/open_tokens.h"

#include <cstring>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/formats/megatron_index.h"
#include "deepspeed/text/json_lines.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::data {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxTextBytes = size_t{1} << 36;

std::optional<int32_t> end_of_text(const text::Tokenizer& tokenizer) {
  for (const char* name : {"<|endoftext|>", "<|end_of_text|>", "</s>"})
    if (auto id = tokenizer.token_to_id(name)) return id;
  return std::nullopt;
}

bool begins_as_megatron(const fs::path& path) {
  const base::MappedFile file(path);
  const auto magic = formats::MegatronIndex::kMagic;
  return file.bytes().size() >= magic.size() &&
         std::memcmp(file.bytes().data(), magic.data(), magic.size()) == 0;
}

fs::path with_suffix(fs::path path, const char* suffix) { return path.replace_extension(suffix); }

TokenStorePtr open_megatron(const fs::path& index, const fs::path& data) {
  DS_CHECK(fs::exists(data), "'{}' is half of a Megatron dataset: its tokens, '{}', are missing",
           index.string(), data.string());
  return map_megatron(index, data);
}

TokenStorePtr open_bin(const fs::path& path, const OpenOptions& options) {
  const fs::path index = with_suffix(path, ".idx");
  if (fs::exists(index)) return open_megatron(index, path);
  DS_CHECK(!begins_as_megatron(path), "'{}' is a Megatron index: name it .idx, beside its .bin of tokens",
           path.string());
  return map_token_file(path, options.bytes_per_token);
}

TokenStorePtr tokenize_text(const fs::path& path, const text::Tokenizer& tokenizer) {
  const std::string content = base::read_text_file(path, kMaxTextBytes);
  text::check_utf8(content, path.string());
  auto ids = tokenizer.encode_ids(content);
  const auto end = static_cast<int64_t>(ids.size());
  return hold_tokens(path.string(), std::move(ids), {{.begin = 0, .end = end, .learnt = 0}});
}

TokenStorePtr tokenize_lines(const fs::path& path, const OpenOptions& options) {
  const text::Tokenizer& tokenizer = options.tokenizer();
  const auto separator = end_of_text(tokenizer);
  std::vector<int32_t> ids;
  std::vector<Document> documents;
  auto append = [&](size_t line, const std::string& text) {
    try {
      const auto made = tokenizer.encode_ids(text);
      ids.insert(ids.end(), made.begin(), made.end());
    } catch (const base::Error& error) {
      base::fail("{}:{}: {}", path.string(), line, error.what());
    }
    return static_cast<int64_t>(ids.size());
  };
  const base::MappedFile file(path);
  const std::string_view content(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  text::read_json_lines(content, path.string(), options.text_field,
                        [&](size_t line, const text::Example& example) {
                          const auto begin = static_cast<int64_t>(ids.size());
                          const int64_t learnt = example.is_pair ? append(line, example.prompt) : begin;
                          append(line, example.text);
                          if (separator) ids.push_back(*separator);
                          documents.push_back({begin, static_cast<int64_t>(ids.size()), learnt});
                        });
  return hold_tokens(path.string(), std::move(ids), std::move(documents));
}

}  // namespace

TokenStorePtr open_tokens(const fs::path& path, const OpenOptions& options) {
  const fs::path suffix = path.extension();
  if (suffix == ".bin") return open_bin(path, options);
  if (suffix == ".idx") return open_megatron(path, with_suffix(path, ".bin"));
  if (suffix == ".txt") return tokenize_text(path, options.tokenizer());
  if (suffix == ".jsonl") return tokenize_lines(path, options);
  const fs::path index = path.string() + ".idx";
  if (!fs::exists(path) && fs::exists(index)) return open_megatron(index, path.string() + ".bin");
  base::fail(
      "'{}': its name must end in .txt, .jsonl, .bin (token ids) or .idx (Megatron), or be that of a "
      "Megatron "
      "dataset without the ending",
      path.string());
}

}  // namespace deepspeed::data
