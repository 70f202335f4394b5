#include "deepspeed/text/decoder.h"

#include "deepspeed/base/error.h"
#include "deepspeed/text/byte_alphabet.h"
#include "deepspeed/text/utf8.h"

namespace deepspeed::text {
namespace {

using Tokens = std::vector<std::string>;

// tokenizers' WordPiece::cleanup, which it applies to one token at a time.
std::string cleaned_up(std::string token) {
  constexpr std::pair<std::string_view, std::string_view> kReplacements[] = {
      {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
      {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [from, to] : kReplacements)
    for (size_t at = token.find(from); at != std::string::npos; at = token.find(from, at + to.size()))
      token.replace(at, from.size(), to);
  return token;
}

std::string replaced(const std::string& text, std::string_view from, std::string_view to) {
  if (from.empty()) return text;
  std::string out;
  size_t done = 0;
  for (size_t at = text.find(from); at != std::string::npos; at = text.find(from, done)) {
    out.append(text, done, at - done).append(to);
    done = at + from.size();
  }
  return out.append(text, done);
}

std::string run(const WordPieceDecoder& step, const std::string& token, bool first, bool) {
  std::string text = token;
  if (!first) text = text.starts_with(step.prefix) ? text.substr(step.prefix.size()) : " " + text;
  return step.cleanup ? cleaned_up(std::move(text)) : text;
}

std::string run(const MetaspaceDecoder& step, const std::string& token, bool first, bool) {
  return replaced(token, step.marker, first && step.drops_first ? "" : " ");
}

std::string run(const SuffixDecoder& step, const std::string& token, bool, bool last) {
  return replaced(token, step.suffix, last ? "" : " ");
}

std::string run(const StripDecoder& step, const std::string& token, bool, bool) {
  size_t begin = 0, end = token.size();
  for (size_t i = 0, at = 0; i < step.start && at < end && next_code_point(token, at) == step.content; ++i)
    begin = at;
  for (size_t i = 0, at = end; i < step.stop && at > begin && previous_code_point(token, at) == step.content;
       ++i)
    end = at;
  return token.substr(begin, end - begin);
}

std::string run(const ReplaceDecoder& step, const std::string& token, bool, bool) {
  std::string out;
  step.matcher.cut(token, [&](size_t begin, size_t end, bool is_match) {
    if (is_match)
      out += step.content;
    else
      out.append(token, begin, end - begin);
  });
  return out;
}

template <typename Step>
std::string run(const Step&, const std::string& token, bool, bool) {
  return token;
}

Tokens run_all(const SpacesDecoder&, Tokens tokens) {
  for (size_t i = 1; i < tokens.size(); ++i) tokens[i].insert(0, 1, ' ');
  return tokens;
}

Tokens run_all(const ByteLevelDecoder&, const Tokens& tokens) {
  std::string bytes;
  for (const std::string& token : tokens) append_token_bytes(token, bytes);
  return {utf8_lossy(std::move(bytes))};
}

Tokens run_all(const FuseDecoder&, const Tokens& tokens) {
  std::string out;
  for (const std::string& token : tokens) out += token;
  return {out};
}

Tokens run_all(const ByteFallbackDecoder&, Tokens tokens) {
  Tokens out;
  std::string bytes;
  const auto flush = [&] {
    if (bytes.empty()) return;
    if (find_invalid_utf8(bytes) == std::string_view::npos)
      out.push_back(bytes);
    else
      out.insert(out.end(), bytes.size(), "\xEF\xBF\xBD");
    bytes.clear();
  };
  for (std::string& token : tokens) {
    if (const int byte = byte_of_token(token); byte >= 0) {
      bytes += static_cast<char>(byte);
    } else {
      flush();
      out.push_back(std::move(token));
    }
  }
  flush();
  return out;
}

template <typename Step>
Tokens run_all(const Step& step, Tokens tokens) {
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = run(step, tokens[i], i == 0, i + 1 == tokens.size());
  return tokens;
}

}  // namespace

int byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
  const auto digit = [](char c) {
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
  };
  const int high = token[3] == '+' ? 0 : digit(token[3]),
            low = digit(token[4]);  // Rust reads "+A" as a number, too
  return high < 0 || low < 0 ? -1 : high * 16 + low;
}

std::string decode_token(const DecoderStep& step, const std::string& token, bool first, bool last) {
  return std::visit([&](const auto& s) { return run(s, token, first, last); }, step);
}

std::string decode_tokens(const std::vector<DecoderStep>& steps, Tokens tokens) {
  for (const DecoderStep& step : steps)
    tokens = std::visit([&](const auto& s) { return run_all(s, std::move(tokens)); }, step);
  std::string out;
  for (const std::string& token : tokens) out += token;
  return out;
}

}  // namespace deepspeed::text
