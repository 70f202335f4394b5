// Running a pickle without running anything that it names. Used by unpickler.cpp.
#pragma once

#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "deepspeed/formats/byte_reader.h"
#include "deepspeed/formats/pickle_globals.h"
#include "deepspeed/formats/unpickler.h"

namespace deepspeed::formats {

/// "a tuple", for messages.
const char* pickle_kind_name(PickleValue::Kind kind);

/// A stack of values, marks in it, and a memo: what an opcode works on. Fills a Pickle.
class PickleMachine {
 public:
  PickleMachine(std::span<const std::byte> image, size_t begin, Pickle& made)
      : reader_(image, made.where_, begin), made_(made) {}
  /// Up to the opcode STOP.
  void run();

 private:
  using Value = PickleValue;
  using Kind = PickleValue::Kind;

  static Value of_kind(Kind kind);
  static Value of_index(Kind kind, size_t index);

  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    reader_.fail_at(at_, format, std::forward<Args>(args)...);
  }
  [[noreturn]] void refuse(char code) const;
  void stop();

  void push(Value value) { stack_.push_back(value); }
  void push_container(Kind kind, std::vector<Value> items);
  // Marks protect what lies below them.
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  Value& top();
  Value& top_of(Kind kind);
  Value pop();
  size_t pop_mark();
  std::vector<Value>& items(Value container) { return made_.containers_[container.index]; }

  // Whether the opcode is one of these, and then it is done.
  bool number(char code);
  bool text(char code);
  bool container(char code);
  bool memo(char code);
  bool object(char code);

  void push_long(uint32_t length);
  void push_text(Kind kind, uint64_t length);
  void tuple(size_t count);
  void add(Kind kind, size_t count);
  void put(size_t index);
  void get(size_t index);

  void protocol();
  void pop_one();
  void push_global(std::string_view module, std::string_view name);
  void build();
  std::vector<Value> tuple_of(Value value, size_t least, size_t most, const char* what);
  const PickleGlobalRow& global_of(Value value, PickleGlobal wanted, const char* what);
  void storage();
  void reduce();
  void call(const PickleGlobalRow& row, Value arguments);
  void ordered_dict(Value arguments);
  Value size_of(Value arguments);
  void tensor(const std::vector<Value>& values, std::optional<Dtype> dtype);

  ByteReader reader_;
  Pickle& made_;
  size_t at_ = 0;  // where the opcode being executed begins
  size_t opcodes_ = 0, copied_ = 0;
  std::vector<Value> stack_, memo_;
  std::vector<size_t> marks_;  // heights of the stack
};

}  // namespace deepspeed::formats
