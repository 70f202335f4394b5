#include "deepspeed/config/explain.h"

#include <fmt/format.h>

namespace deepspeed::config {
namespace {

std::string source_of(const Explained& key, const std::string& note) {
  if (key.origin == Origin::kDefault) return "default";
  if (key.origin == Origin::kDerived) return "derived from " + key.field->derived_from;
  return key.where + (note.empty() ? "" : ", " + note);
}

class Explainer {
 public:
  void block(const Table& table, const Node* node, const void* target, const std::string& path) {
    std::vector<Reading> given;
    Warnings said_before;
    if (node && node->json().is_object()) given = table.readings(*node, said_before);
    if (table.any_name) {
      for (const Reading& entry : given)
        field(*entry.field, &entry, nullptr, nullptr, path, entry.node.key());
      return;
    }
    for (const Field& f : table.fields) {
      const Reading* found = nullptr;
      for (const Reading& entry : given)
        if (entry.field == &f) found = &entry;
      const Reading* picked_by = nullptr;
      for (const Reading& entry : given)
        if (entry.field->key == f.picked_by) picked_by = &entry;
      field(f, found, target, picked_by, path, f.key);
    }
  }
  std::vector<Explained> take() { return std::move(out_); }

 private:
  // `target`: the struct of the surrounding block, null where there is none. `picked_by`: what the file says
  // for Field::picked_by.
  void field(const Field& f, const Reading* given, const void* target, const Reading* picked_by,
             const std::string& path, const std::string& name) {
    if (!given && (f.deprecated || !f.feature.empty())) return;
    const std::string key = path.empty() ? name : path + "." + name;
    const Node* node = given ? &given->node : nullptr;
    if (const Variant* variant = picked_variant(f, picked_by))
      return block(*variant->table, node, target ? variant->place(target) : nullptr, key);
    if (!f.variants.empty() && !given) return;
    const bool null = node && node->json().is_null();
    if (f.table && !f.is_list && !null) {
      if (!given && f.nullable && !f.place) return;
      return block(*f.table, node, target && f.place ? f.place(target) : nullptr, key);
    }
    leaf(f, given, target, key);
  }

  static const Variant* picked_variant(const Field& f, const Reading* picked_by) {
    if (!picked_by || !picked_by->node.json().is_string()) return nullptr;
    for (const Variant& variant : f.variants)
      if (lower(variant.name) == lower(picked_by->node.json().get<std::string>())) return &variant;
    return nullptr;
  }

  void leaf(const Field& f, const Reading* given, const void* target, const std::string& key) {
    Explained row{.key = key, .value = f.initial, .field = &f};
    if (given) {
      row.origin = given->origin;
      row.where = given->node.where();
      const bool dropped = given->origin == Origin::kAuto && given->node.json() == "auto";
      if (!dropped) row.value = given->node.json();
    }
    if (f.show && target) {
      row.value = f.show(target);
      if (!given && row.value != f.initial) row.origin = Origin::kDerived;
    }
    row.source = source_of(row, given ? given->note : "");
    out_.push_back(std::move(row));
  }

  std::vector<Explained> out_;
};

}  // namespace

std::vector<Explained> explain(const Table& root, const Document& document, const void* target) {
  Explainer explainer;
  const Node node(document);
  explainer.block(root, &node, target, "");
  return explainer.take();
}

const char* origin_name(Origin origin) {
  switch (origin) {
    case Origin::kFile:
      return "file";
    case Origin::kAlias:
      return "alias";
    case Origin::kDeprecated:
      return "deprecated";
    case Origin::kOldForm:
      return "old form";
    case Origin::kAuto:
      return "auto";
    case Origin::kDerived:
      return "derived";
    case Origin::kDefault:
      return "default";
  }
  return "";
}

}  // namespace deepspeed::config
