// Tables of configuration keys. A module describes its struct once, as a Schema; parsing, checking, "did you
// mean" and docs/config.md all read that table.
//
//   Schema<ZeroConfig> schema() {
//     Schema<ZeroConfig> s("How model states are sharded.");
//     s.strict();
//     s.field("stage", &ZeroConfig::stage).range(0, 3).doc("0, 1, 2 or 3.");
//     s.finish([](const Node& block, ZeroConfig& zero, Warnings& warnings) { ... });
//     return s;
//   }
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "deepspeed/config/field.h"

namespace deepspeed::config {

/// How the value of a key came to be.
enum class Origin { kFile, kAlias, kDeprecated, kOldForm, kAuto, kDerived, kDefault };

/// One key of a block as parsing takes it: today's field and value at the place of what was written.
struct Reading {
  const Field* field;
  Node node;
  Origin origin = Origin::kFile;
  /// The spelling that was used, the reason of an "auto", or what became of the value.
  std::string note;
};

/// One block of keys, without the type of the struct it fills. Shared by value-like Schemas.
class Table {
 public:
  /// One line on the block for docs/config.md.
  std::string doc;
  /// Values "auto" are dropped and coercions are generous, as in the blocks DeepSpeed validates by a model.
  bool strict = false;
  /// The keys are names of the user's choice; fields[0] ("<name>") says what each holds.
  bool any_name = false;
  std::deque<Field> fields;
  std::function<void(const Node& block, void* target, Warnings& warnings)> finish;

  Field& add(Field field);
  Field* find(std::string_view key);
  const Field* find(std::string_view key) const;
  /// The keys given in the object at `node`, in its order, after aliases, deprecated keys, old forms and
  /// "auto". Errors: as parse().
  std::vector<Reading> readings(const Node& node, Warnings& warnings) const;
  /// Reads the object at `node` into `target`, the struct whose members the fields write. Errors: base::Error
  /// for a value that is no object, unknown keys (with the nearest name), a key given under two names, wrong
  /// values, and required keys that are absent.
  void parse(const Node& node, void* target, Warnings& warnings) const;

 private:
  std::vector<Reading> match(const Node& node) const;
  void replace_deprecated(Reading& old, const std::vector<Reading>& all, Warnings& warnings) const;
  void resolve_auto(Reading& reading, const Node& block, Warnings& warnings) const;
  std::vector<std::string> names() const;
};

/// A Table together with the struct that it fills.
template <class T>
class Schema {
 public:
  explicit Schema(std::string doc) : table_(std::make_shared<Table>()) { table_->doc = std::move(doc); }

  Schema& strict() {
    table_->strict = true;
    return *this;
  }

  /// A key stored in a member: bool, int, int64_t, double, std::string, std::vector<double>,
  /// std::array<double, 2> or std::optional of these (then null is allowed and means nothing). The member's
  /// initial value is the default.
  template <class M>
  Field& field(std::string key, M T::*member) {
    Field f(std::move(key), Value<M>::type(), Value<M>::to_json(T{}.*member));
    f.nullable = Value<M>::kNullable;
    f.read = [member](const Node& node, void* target, const Rules& rules, Warnings&) {
      static_cast<T*>(target)->*member = Value<M>::read(node, rules);
    };
    f.show = [member](const void* target) {
      return Value<M>::to_json(static_cast<const T*>(target)->*member);
    };
    return table_->add(std::move(f));
  }

  /// A key that takes one of several words, compared without regard to case, stored in an enum or
  /// std::optional of one.
  template <class E, class M>
  Field& choice(std::string key, M T::*member, std::vector<std::pair<std::string, E>> words) {
    std::vector<std::string> texts;
    for (auto& [text, value] : words) texts.push_back(text);
    auto show = [member, words](const void* target) {
      for (auto& [text, value] : words)
        if (static_cast<const T*>(target)->*member == value) return Json(text);
      return Json(nullptr);
    };
    T initial;
    Field f(std::move(key), join_choices(texts), show(&initial));
    f.show = show;
    f.nullable = std::is_same_v<M, std::optional<E>>;
    f.read = [member, texts, words](const Node& node, void* target, const Rules&, Warnings&) {
      static_cast<T*>(target)->*member = words[read_choice(node, texts)].second;
    };
    return table_->add(std::move(f));
  }

  /// A key that is a block of its own, stored in a member.
  template <class S>
  Field& object(std::string key, S T::*member, const Schema<S>& schema) {
    return block(std::move(key), schema.table(),
                 [member](void* target) -> void* { return &(static_cast<T*>(target)->*member); });
  }
  /// A block whose keys are stored in this same struct.
  Field& same_object(std::string key, const Schema<T>& schema) {
    return block(std::move(key), schema.table(), [](void* target) { return target; });
  }
  /// The keys of another struct, which lie in this same block; the struct is stored in a member. Its own
  /// finish() is not called.
  template <class S>
  void include(S T::*member, const Schema<S>& keys) {
    const auto place = [member](void* target) -> void* { return &(static_cast<T*>(target)->*member); };
    for (Field f : keys.table()->fields) {
      if (f.read)
        f.read = [place, read = f.read](const Node& node, void* target, const Rules& rules,
                                        Warnings& warnings) { read(node, place(target), rules, warnings); };
      const auto inside = [place](auto look) {
        return [place, look](const void* target) { return look(place(const_cast<void*>(target))); };
      };
      if (f.show) f.show = inside(f.show);
      if (f.place) f.place = inside(f.place);
      table_->add(std::move(f));
    }
  }
  /// A key with a reader of its own.
  Field& custom(
      std::string key, std::string type, Json initial,
      std::function<void(const Node& node, T& target, const Rules& rules, Warnings& warnings)> read) {
    Field f(std::move(key), std::move(type), std::move(initial));
    f.read = [read = std::move(read)](const Node& node, void* target, const Rules& rules,
                                      Warnings& warnings) {
      read(node, *static_cast<T*>(target), rules, warnings);
    };
    return table_->add(std::move(f));
  }
  Field& add(Field field) { return table_->add(std::move(field)); }

  /// Called after all fields of a block that is present: checks that need several keys.
  void finish(std::function<void(const Node& block, T& target, Warnings& warnings)> check) {
    table_->finish = [check = std::move(check)](const Node& block, void* target, Warnings& warnings) {
      check(block, *static_cast<T*>(target), warnings);
    };
  }

  T parse(const Node& node, Warnings& warnings) const {
    T out;
    table_->parse(node, &out, warnings);
    return out;
  }
  const std::shared_ptr<Table>& table() const { return table_; }

 private:
  Field& block(std::string key, std::shared_ptr<Table> table, std::function<void*(void*)> place) {
    Field f(std::move(key), "object", Json::object());
    f.table = table;
    f.place = [place](const void* target) -> const void* { return place(const_cast<void*>(target)); };
    f.read = [table, place = std::move(place)](const Node& node, void* target, const Rules&,
                                               Warnings& warnings) {
      table->parse(node, place(target), warnings);
    };
    return table_->add(std::move(f));
  }

  std::shared_ptr<Table> table_;
};

}  // namespace deepspeed::config
