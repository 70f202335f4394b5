#include "deepspeed/text/model.h"

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {

TokenTable::TokenTable(Vocabulary vocabulary, const std::string& where) : ids_(std::move(vocabulary)) {
  tokens_.resize(ids_.size() * 2);
  for (const auto& [token, id] : ids_) {
    const std::string* known = token_of(id);
    DS_CHECK(known == nullptr, "{}: model.vocab: {} and {} both have id {}; give each token its own", where,
             quote(token), quote(*known), id);
    if (id >= 0 && static_cast<size_t>(id) < tokens_.size())
      tokens_[static_cast<size_t>(id)] = &token;
    else
      sparse_.emplace(id, &token);
    max_id_ = std::max(max_id_, id);
  }
}

std::string byte_token(uint8_t byte) { return fmt::format("<0x{:02X}>", byte); }

}  // namespace deepspeed::text
