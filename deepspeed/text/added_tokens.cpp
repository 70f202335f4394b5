#include "deepspeed/text/added_tokens.h"

#include <algorithm>

#include "deepspeed/base/error.h"
#include "deepspeed/base/log.h"
#include "deepspeed/text/code_point_set.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

bool ends_with_word(std::string_view text) {
  size_t end = text.size();
  return !text.empty() && is_word_character(previous_code_point(text, end));
}

bool starts_with_word(std::string_view text) {
  size_t at = 0;
  return !text.empty() && is_word_character(next_code_point(text, at));
}

size_t trailing_space_begin(std::string_view text) {
  size_t begin = text.size();
  for (size_t end = begin; end > 0 && is_white_space(previous_code_point(text, end));) begin = end;
  return begin;
}

size_t leading_space_end(std::string_view text) {
  size_t end = 0;
  for (size_t at = 0; at < text.size() && is_white_space(next_code_point(text, at));) end = at;
  return end;
}

}  // namespace

AddedTokenFinder::AddedTokenFinder(std::vector<const AddedToken*> tokens, const std::string& where)
    : empty_(tokens.empty()) {
  std::unordered_set<std::string_view> seen;
  for (const AddedToken* token : tokens) {
    DS_CHECK(seen.insert(token->normalized_content).second, "{}: two added_tokens read {} once normalized",
             where, quote(token->normalized_content));
    by_first_byte_[static_cast<unsigned char>(token->normalized_content[0])].push_back(token);
  }
  for (auto& candidates : by_first_byte_) {
    std::sort(candidates.begin(), candidates.end(), [](const AddedToken* a, const AddedToken* b) {
      return a->normalized_content.size() > b->normalized_content.size();
    });
  }
}

const AddedToken* AddedTokenFinder::match_at(std::string_view text, size_t at) const {
  for (const AddedToken* token : by_first_byte_[static_cast<unsigned char>(text[at])]) {
    if (text.substr(at).starts_with(token->normalized_content)) return token;
  }
  return nullptr;
}

void AddedTokenFinder::cut(const Piece& piece, const PieceSink& sink) const {
  if (empty_) return sink(piece);
  const std::string_view text = piece.text;
  size_t done = 0;
  for (size_t at = 0; at < text.size();) {
    const AddedToken* token = match_at(text, at);
    if (token == nullptr) {
      ++at;
      continue;
    }
    size_t begin = at, end = at + token->normalized_content.size();
    at = end;
    if (token->single_word && (ends_with_word(text.substr(0, begin)) || starts_with_word(text.substr(end))))
      continue;
    if (token->left_strip) begin = std::max(trailing_space_begin(text.substr(0, begin)), done);
    if (token->right_strip) end += leading_space_end(text.substr(end));
    if (begin >= end) continue;  // made of spaces that the token before has taken
    if (done < begin) sink(piece.slice(done, begin));
    Piece found = piece.slice(begin, end);
    found.token = token->id;
    sink(found);
    done = end;
  }
  if (done < text.size()) sink(piece.slice(done, text.size()));
}

AddedTokens::AddedTokens(std::vector<AddedToken> tokens, const Model& model, const std::string& where) {
  int32_t next_id = model.size();
  for (AddedToken& token : tokens) {
    if (token.content.empty()) continue;
    const int32_t listed = token.id;
    if (const auto known = ids_.find(token.content); known != ids_.end()) {
      token.id = known->second;
    } else if (const auto id = model.id_of(token.content)) {
      token.id = *id;
    } else {
      token.id = next_id++;
      const std::string* other = model.token_of(token.id);
      DS_CHECK(other == nullptr, "{}: added token {} would get id {}, which {} has; add it to model.vocab",
               where, quote(token.content), token.id, quote(*other));
    }
    if (listed != token.id) {
      base::log_warning("{}: added token {} is listed with id {} but has id {}", where, quote(token.content),
                        listed, token.id);
    }
    ids_[token.content] = token.id;
    if (token.special) special_.insert(token.content);
    by_id_.insert_or_assign(token.id, std::move(token));
  }
  std::vector<const AddedToken*> before, after;
  for (const auto& [id, token] : by_id_)
    if (!token.normalized_content.empty())  // else the normalizer removes it wherever it stands
      (token.normalized ? after : before).push_back(&token);
  before_ = AddedTokenFinder(std::move(before), where);
  after_ = AddedTokenFinder(std::move(after), where);
}

const AddedToken* AddedTokens::find(std::string_view content) const {
  const auto found = ids_.find(content);
  return found == ids_.end() ? nullptr : find(found->second);
}

const AddedToken* AddedTokens::find(int32_t id) const {
  const auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &found->second;
}

}  // namespace deepspeed::text
