#include "deepspeed/config/overrides.h"

#include <algorithm>
#include <iterator>

#include "deepspeed/base/error.h"

namespace deepspeed::config {
namespace {

const PositionTree kFromCommandLine{.position = {.line = kCommandLine, .column = 0}, .children = {}};

struct Place {
  Json* json;
  PositionTree* positions;  // null where the document does not know positions
};

// The member of a block; it is made when it is missing.
Place member(const Place& block, const std::string& key) {
  const bool known = block.positions != nullptr && block.positions->children.size() == block.json->size();
  const auto found = block.json->find(key);
  const auto index = static_cast<size_t>(std::distance(block.json->begin(), found));
  if (found == block.json->end()) {
    (*block.json)[key] = Json::object();
    if (known) block.positions->children.push_back(kFromCommandLine);
  }
  return {&(*block.json)[key], known ? &block.positions->children[index] : nullptr};
}

Json value_of(const std::string& path, const std::string& text) {
  Json value = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (value.is_discarded()) value = text;
  try {
    static_cast<void>(value.dump());
  } catch (const Json::type_error&) {
    base::fail("the value of '{}' at the command line is not UTF-8", path);
  }
  // A block is read as one of a file is: no key may stand in it twice.
  return value.is_object() ? parse_text(text, "'" + path + "' at the command line").json : value;
}

void assign(Document& document, const std::string& assignment) {
  const size_t equals = assignment.find('=');
  DS_CHECK(equals != std::string::npos && equals > 0, "'{}' is no KEY=VALUE, as zero_optimization.stage=1 is",
           assignment);
  const std::string path = assignment.substr(0, equals), text = assignment.substr(equals + 1);
  Place place{&document.json, &document.positions};
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('.', begin), path.size());
    DS_CHECK(end > begin, "'{}': a part of the key is empty", assignment);
    DS_CHECK(place.json->is_object(), "'{}': '{}' is {} in {}, not a block with keys of its own", assignment,
             path.substr(0, begin - 1), place.json->dump(), document.name);
    place = member(place, path.substr(begin, end - begin));
    begin = end + 1;
  }
  *place.json = value_of(path, text);
  if (place.positions != nullptr) *place.positions = kFromCommandLine;
}

}  // namespace

Document with_overrides(Document document, std::span<const std::string> assignments) {
  for (const std::string& assignment : assignments) assign(document, assignment);
  return document;
}

}  // namespace deepspeed::config
