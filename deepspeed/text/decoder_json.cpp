#include <map>

#include "deepspeed/text/tokenizer_json.h"

namespace deepspeed::text {
namespace {

MetaspaceDecoder read_metaspace(const JsonView& view) {
  const JsonView replacement = view.at("replacement");
  read_character(replacement);
  return {replacement.text(), read_prepend_scheme(view) != PrependScheme::kNever};
}

StripDecoder read_strip(const JsonView& view) {
  return {read_character(view.at("content")), static_cast<size_t>(view.at("start").id()),
          static_cast<size_t>(view.at("stop").id())};
}

using Reader = DecoderStep (*)(const JsonView&);

const std::map<std::string, Reader>& readers() {
  static const std::map<std::string, Reader> table = {
      {"ByteLevel", [](const JsonView&) -> DecoderStep { return ByteLevelDecoder{}; }},
      {"ByteFallback", [](const JsonView&) -> DecoderStep { return ByteFallbackDecoder{}; }},
      {"Fuse", [](const JsonView&) -> DecoderStep { return FuseDecoder{}; }},
      {"Strip", [](const JsonView& view) -> DecoderStep { return read_strip(view); }},
      {"Replace",
       [](const JsonView& view) -> DecoderStep {
         return ReplaceDecoder{read_matcher(view.at("pattern")), view.at("content").text()};
       }},
      {"Metaspace", [](const JsonView& view) -> DecoderStep { return read_metaspace(view); }},
      {"WordPiece",
       [](const JsonView& view) -> DecoderStep {
         return WordPieceDecoder{view.at("prefix").text(), view.boolean_or("cleanup", true)};
       }},
      {"BPEDecoder",
       [](const JsonView& view) -> DecoderStep { return SuffixDecoder{view.at("suffix").text()}; }},
  };
  return table;
}

}  // namespace

void read_decoder(const JsonView& view, std::vector<DecoderStep>& steps, int depth) {
  if (view.is_null()) {
    steps.emplace_back(SpacesDecoder{});
    return;
  }
  const std::string type = type_of(view);
  if (const auto reader = readers().find(type); reader != readers().end()) {
    steps.push_back(reader->second(view));
  } else if (type == "Sequence" && depth < kMaxDepthOfSteps) {
    const JsonView parts = view.at("decoders");
    for (size_t i = 0; i < parts.array_size(); ++i) {
      if (parts.at(i).is_null()) refuse(parts.at(i), "a null decoder");
      read_decoder(parts.at(i), steps, depth + 1);
    }
  } else {
    refuse(view, "decoder " + quote(type));
  }
}

}  // namespace deepspeed::text
