#include "deepspeed/config/json.h"

#include <filesystem>

#include "deepspeed/base/error.h"
#include "deepspeed/base/file.h"
#include "deepspeed/config/json_parser.h"

namespace deepspeed::config {
namespace {

constexpr size_t kLongestPath = 4096;

std::optional<std::string> decode_base64(std::string_view text) {
  while (!text.empty() && (text.back() == '=' || text.back() == '\n')) text.remove_suffix(1);
  std::string out;
  unsigned bits = 0, value = 0;
  for (char c : text) {
    unsigned digit = 0;
    if (c >= 'A' && c <= 'Z') {
      digit = c - 'A';
    } else if (c >= 'a' && c <= 'z') {
      digit = c - 'a' + 26;
    } else if (c >= '0' && c <= '9') {
      digit = c - '0' + 52;
    } else if (c == '-' || c == '+') {
      digit = 62;
    } else if (c == '_' || c == '/') {
      digit = 63;
    } else {
      return std::nullopt;
    }
    value = (value << 6 | digit) & 0xFFFFFF;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      out.push_back(static_cast<char>(value >> bits & 0xFF));
    }
  }
  return out;
}

bool looks_like_json(std::string_view text) {
  size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return false;
  text.remove_prefix(first);
  return text[0] == '{' || text[0] == '#' || text.starts_with("//") || text.starts_with("/*");
}

void check_depth(const Json& json, const std::string& name, int depth = 1) {
  DS_CHECK(depth <= kMaxDepth, "{}: nested deeper than {} levels", name, kMaxDepth);
  if (json.is_structured())
    for (const Json& child : json) check_depth(child, name, depth + 1);
}

}  // namespace

Document parse_text(std::string_view text, std::string name) {
  return JsonParser(text, std::move(name)).parse();
}

Document load(std::string_view source) {
  DS_CHECK(!source.empty(),
           "the configuration is an empty text; give a file, JSON text, or that in url-safe base64");
  bool maybe_path = source.size() <= kLongestPath && source.find('\n') == std::string_view::npos;
  std::error_code ignored;
  if (maybe_path && std::filesystem::exists(std::filesystem::path(source), ignored)) {
    std::string name(source);
    DS_CHECK(!std::filesystem::is_directory(name, ignored),
             "{}: is a folder; give the configuration file in it", name);
    return parse_text(base::read_text_file(name, kMaxTextBytes), name);
  }
  if (looks_like_json(source)) return parse_text(source, "config");
  std::optional<std::string> decoded = decode_base64(source);
  if (decoded && looks_like_json(*decoded)) return parse_text(*decoded, "config (base64)");
  base::fail("{}: no such file, and it is neither JSON text nor JSON text in url-safe base64",
             source.substr(0, source.size() > 200 ? 60 : source.size()));
}

Document from_json(Json json, std::string name) {
  DS_CHECK(json.is_object(), "{}: a configuration is a JSON object, not {}", name, json.type_name());
  check_depth(json, name);
  return {std::move(name), std::move(json), {}};
}

Node::Node(const Document& document)
    : document_(&document),
      json_(&document.json),
      positions_(&document.positions),
      position_(document.positions.position) {}

std::string Node::where() const {
  if (position_.line == kCommandLine) return "the command line";
  if (position_.line == 0) return document_->name;
  return fmt::format("{}:{}:{}", document_->name, position_.line, position_.column);
}

std::string Node::describe() const {
  std::string value = json_->dump(-1, ' ', false, Json::error_handler_t::replace);
  if (value.size() > 60) {
    size_t cut = 57;
    while (cut > 0 && (static_cast<unsigned char>(value[cut]) & 0xC0) == 0x80) --cut;
    value = value.substr(0, cut) + "...";
  }
  return fmt::format("{} = {} at {}", path_.empty() ? "the configuration" : path_, value, where());
}

Node Node::child(size_t index, const Json& json, std::string key) const {
  Node node = *this;
  node.json_ = &json;
  node.path_ = json_->is_array() ? path_ + key : path_.empty() ? key : path_ + "." + key;
  node.key_ = std::move(key);
  bool known = positions_ && positions_->children.size() == json_->size();
  node.positions_ = known ? &positions_->children[index] : nullptr;
  if (known) node.position_ = node.positions_->position;
  return node;
}

std::optional<Node> Node::find(std::string_view key) const {
  if (!json_->is_object()) return std::nullopt;
  size_t index = 0;
  for (auto it = json_->begin(); it != json_->end(); ++it, ++index)
    if (it.key() == key) return child(index, it.value(), it.key());
  return std::nullopt;
}

std::vector<Node> Node::children() const {
  std::vector<Node> out;
  if (!json_->is_structured()) return out;
  out.reserve(json_->size());
  size_t index = 0;
  for (auto it = json_->begin(); it != json_->end(); ++it, ++index)
    out.push_back(child(index, it.value(), json_->is_array() ? fmt::format("[{}]", index) : it.key()));
  return out;
}

Node Node::replaced_by(std::string_view key, Json value) const {
  Node node = *this;
  node.owned_ = std::make_shared<const Json>(std::move(value));
  node.json_ = node.owned_.get();
  node.positions_ = nullptr;
  node.path_.resize(path_.size() - key_.size());
  node.path_ += key;
  node.key_ = key;
  return node;
}

}  // namespace deepspeed::config
