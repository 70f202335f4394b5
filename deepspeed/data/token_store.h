// Where token ids come from, whatever the file: one long row of ids, and the documents in it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace deepspeed::data {

/// Tokens [begin, end) of a store. Those before `learnt` are given, not learnt (a prompt); learnt == begin
/// for a plain document.
struct Document {
  int64_t begin = 0, end = 0, learnt = 0;
  bool operator==(const Document&) const = default;
};

/// Immutable: any number of threads may read.
class TokenStore {
 public:
  virtual ~TokenStore() = default;
  /// The file, for messages.
  const std::string& name() const { return name_; }
  virtual int64_t tokens() const = 0;
  /// Fills `out` with the ids from `position` on, which must exist.
  virtual void read(int64_t position, std::span<int64_t> out) const = 0;
  /// 0 where the file does not say where documents begin.
  virtual int64_t documents() const { return 0; }
  virtual Document document(int64_t index) const;

 protected:
  explicit TokenStore(std::string name) : name_(std::move(name)) {}

 private:
  std::string name_;
};

using TokenStorePtr = std::shared_ptr<const TokenStore>;

/// A .bin of little-endian ids, 2 or 4 bytes each, memory-mapped. Errors: a size that is no multiple.
TokenStorePtr map_token_file(const std::filesystem::path& path, int bytes_per_token);
/// A Megatron dataset (formats/megatron_index.h), memory-mapped: the row is all sequences in the index's
/// order. A negative id is given out as such; an unsigned one above 2^63 too.
TokenStorePtr map_megatron(const std::filesystem::path& index, const std::filesystem::path& data);
/// Ids in memory; `documents` may be empty.
TokenStorePtr hold_tokens(std::string name, std::vector<int32_t> ids, std::vector<Document> documents = {});

/// An Error naming the first of the ids at `position` of the store that lies outside [0, vocab).
void check_ids(const TokenStore& store, int64_t position, std::span<const int64_t> ids, int64_t vocab);
/// check_ids over a store's first 16M tokens, so that wrong data is seen at once without reading all of a
/// large file; what is behind them is checked as it is read.
void check_first_ids(const TokenStore& store, int64_t vocab);

}  // namespace deepspeed::data
