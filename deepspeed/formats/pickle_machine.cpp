#include "deepspeed/formats/pickle_machine.h"

#include <array>
#include <bit>

namespace deepspeed::formats {
namespace {

using Value = PickleValue;
using Kind = PickleValue::Kind;

Value of_integer(Kind kind, int64_t integer) {
  Value value;
  value.kind = kind;
  value.integer = integer;
  return value;
}
Value of_float(double number) {
  Value value;
  value.kind = Kind::kFloat;
  value.number = number;
  return value;
}
Value of_text(Kind kind, std::string_view text) {
  Value value;
  value.kind = kind;
  value.data = text.data();
  value.size = static_cast<uint32_t>(text.size());
  return value;
}

struct Named {
  char code;
  const char* name;
};

// Opcodes that Python knows and that no pickle of tensors needs.
constexpr std::array kRefused = {
    Named{'F', "FLOAT"},
    Named{'I', "INT"},
    Named{'L', "LONG"},
    Named{'P', "PERSID"},
    Named{'S', "STRING"},
    Named{'V', "UNICODE"},
    Named{'d', "DICT"},
    Named{'g', "GET"},
    Named{'i', "INST"},
    Named{'l', "LIST"},
    Named{'o', "OBJ"},
    Named{'p', "PUT"},
    Named{'\x81', "NEWOBJ"},
    Named{'\x82', "EXT1"},
    Named{'\x83', "EXT2"},
    Named{'\x84', "EXT4"},
    Named{'\x8f', "EMPTY_SET"},
    Named{'\x90', "ADDITEMS"},
    Named{'\x91', "FROZENSET"},
    Named{'\x92', "NEWOBJ_EX"},
    Named{'\x96', "BYTEARRAY8"},
    Named{'\x97', "NEXT_BUFFER"},
    Named{'\x98', "READONLY_BUFFER"},
};

}  // namespace

const char* pickle_kind_name(PickleValue::Kind kind) {
  constexpr std::array kNames = {"nothing",       "None",     "a boolean",     "a number",
                                 "a long number", "a float",  "text",          "bytes",
                                 "a tuple",       "a list",   "a dict",        "a type or function",
                                 "a storage",     "a tensor", "another object"};
  return kNames[static_cast<size_t>(kind)];
}

void PickleMachine::run() {
  for (; opcodes_ < kMaxPickleOpcodes; ++opcodes_) {
    at_ = reader_.at();
    const char code = static_cast<char>(reader_.number<uint8_t>("the next opcode of the pickle"));
    if (code == '.') return stop();
    if (!number(code) && !text(code) && !container(code) && !memo(code) && !object(code)) refuse(code);
  }
  fail("the pickle has more than {} opcodes", kMaxPickleOpcodes);
}

void PickleMachine::refuse(char code) const {
  for (const Named& row : kRefused)
    if (row.code == code)
      fail("the pickle uses {}, which is not allowed: only tensors and containers are read", row.name);
  fail("the pickle has the unknown opcode 0x{:02x}", static_cast<uint8_t>(code));
}

void PickleMachine::stop() {
  if (stack_.size() != 1 || !marks_.empty())
    fail("the pickle ends with {} values and {} marks on its stack instead of one value", stack_.size(),
         marks_.size());
  made_.root_ = stack_.back();
  made_.end_ = reader_.at();
}

PickleValue PickleMachine::of_kind(Kind kind) {
  Value value;
  value.kind = kind;
  return value;
}

PickleValue PickleMachine::of_index(Kind kind, size_t index) {
  Value value = of_kind(kind);
  value.index = static_cast<uint32_t>(index);
  return value;
}

PickleValue& PickleMachine::top() {
  if (stack_.size() <= floor()) fail("the pickle takes a value from an empty stack");
  return stack_.back();
}

PickleValue& PickleMachine::top_of(Kind kind) {
  Value& value = top();
  if (value.kind != kind)
    fail("the pickle adds to {} as if it were {}", pickle_kind_name(value.kind), pickle_kind_name(kind));
  return value;
}

PickleValue PickleMachine::pop() {
  const Value value = top();
  stack_.pop_back();
  return value;
}

// Where the values above the last mark begin; the mark is gone.
size_t PickleMachine::pop_mark() {
  if (marks_.empty()) fail("the pickle takes a mark that was not set");
  const size_t begin = marks_.back();
  marks_.pop_back();
  return begin;
}

void PickleMachine::push_container(Kind kind, std::vector<Value> items) {
  made_.containers_.push_back(std::move(items));
  push(of_index(kind, made_.containers_.size() - 1));
}

bool PickleMachine::number(char code) {
  switch (code) {
    case 'N':
      return push(of_kind(Kind::kNone)), true;
    case '\x88':
      return push(of_integer(Kind::kBool, 1)), true;
    case '\x89':
      return push(of_integer(Kind::kBool, 0)), true;
    case 'J':
      return push(of_integer(Kind::kInt, reader_.number<int32_t>("BININT"))), true;
    case 'K':
      return push(of_integer(Kind::kInt, reader_.number<uint8_t>("BININT1"))), true;
    case 'M':
      return push(of_integer(Kind::kInt, reader_.number<uint16_t>("BININT2"))), true;
    case 'G':
      return push(of_float(std::bit_cast<double>(__builtin_bswap64(reader_.number<uint64_t>("BINFLOAT"))))),
             true;
    case '\x8a':
      return push_long(reader_.number<uint8_t>("LONG1")), true;
    case '\x8b':
      return push_long(reader_.number<uint32_t>("LONG4")), true;
    default:
      return false;
  }
}

void PickleMachine::push_long(uint32_t length) {
  const std::string_view bytes = reader_.text(length, "a long number");
  if (length > sizeof(int64_t)) return push(of_text(Kind::kLong, bytes));
  // Two's complement: the last byte's highest bit is the sign.
  uint64_t bits = length > 0 && (bytes.back() & 0x80) != 0 ? ~uint64_t{0} : 0;
  for (size_t i = length; i-- > 0;) bits = bits << 8 | static_cast<uint8_t>(bytes[i]);
  push(of_integer(Kind::kInt, static_cast<int64_t>(bits)));
}

void PickleMachine::push_text(Kind kind, uint64_t length) {
  const std::string_view text = reader_.text(length, "text");
  if (length > UINT32_MAX) fail("text of {} bytes is too long", length);
  push(of_text(kind, text));
}

bool PickleMachine::text(char code) {
  switch (code) {
    case 'U':
    case '\x8c':
      return push_text(Kind::kText, reader_.number<uint8_t>("length of text")), true;
    case 'T':
    case 'X':
      return push_text(Kind::kText, reader_.number<uint32_t>("length of text")), true;
    case '\x8d':
      return push_text(Kind::kText, reader_.number<uint64_t>("length of text")), true;
    case 'C':
      return push_text(Kind::kBytes, reader_.number<uint8_t>("length of bytes")), true;
    case 'B':
      return push_text(Kind::kBytes, reader_.number<uint32_t>("length of bytes")), true;
    case '\x8e':
      return push_text(Kind::kBytes, reader_.number<uint64_t>("length of bytes")), true;
    default:
      return false;
  }
}

bool PickleMachine::container(char code) {
  switch (code) {
    case '(':
      return marks_.push_back(stack_.size()), true;
    case ')':
      return push_container(Kind::kTuple, {}), true;
    case ']':
      return push_container(Kind::kList, {}), true;
    case '}':
      return push_container(Kind::kDict, {}), true;
    case '\x85':
    case '\x86':
    case '\x87':
      return tuple(static_cast<size_t>(static_cast<uint8_t>(code) - 0x84)), true;
    case 't': {
      const size_t begin = pop_mark();
      return tuple(stack_.size() - begin), true;
    }
    case 'a':
      return add(Kind::kList, 1), true;
    case 'e': {
      const size_t begin = pop_mark();
      return add(Kind::kList, stack_.size() - begin), true;
    }
    case 's':
      return add(Kind::kDict, 2), true;
    case 'u': {
      const size_t begin = pop_mark();
      return add(Kind::kDict, stack_.size() - begin), true;
    }
    default:
      return false;
  }
}

void PickleMachine::tuple(size_t count) {
  if (stack_.size() - floor() < count) fail("the pickle makes a tuple of more values than its stack holds");
  std::vector<Value> values(stack_.end() - static_cast<ptrdiff_t>(count), stack_.end());
  stack_.resize(stack_.size() - count);
  push_container(Kind::kTuple, std::move(values));
}

// Moves the last `count` values into the container below them.
void PickleMachine::add(Kind kind, size_t count) {
  if (stack_.size() - floor() < count) fail("the pickle adds more values than its stack holds");
  if (kind == Kind::kDict && count % 2 != 0) fail("the pickle sets a key without a value");
  const size_t begin = stack_.size() - count;
  const std::vector<Value> values(stack_.begin() + static_cast<ptrdiff_t>(begin), stack_.end());
  stack_.resize(begin);
  auto& into = items(top_of(kind));
  into.insert(into.end(), values.begin(), values.end());
}

bool PickleMachine::memo(char code) {
  switch (code) {
    case 'q':
      return put(reader_.number<uint8_t>("BINPUT")), true;
    case 'r':
      return put(reader_.number<uint32_t>("LONG_BINPUT")), true;
    case '\x94':
      return put(memo_.size()), true;
    case 'h':
      return get(reader_.number<uint8_t>("BINGET")), true;
    case 'j':
      return get(reader_.number<uint32_t>("LONG_BINGET")), true;
    default:
      return false;
  }
}

void PickleMachine::put(size_t index) {
  // Writers count from 0, so that an index is never larger than the number of opcodes.
  if (index > opcodes_ + 256) fail("the pickle's memo has no place {} after {} opcodes", index, opcodes_);
  if (index >= memo_.size()) memo_.resize(index + 1);
  memo_[index] = top();
}

void PickleMachine::get(size_t index) {
  if (index >= memo_.size() || memo_[index].kind == Kind::kMissing)
    fail("the pickle asks for place {} of its memo, which was never set", index);
  push(memo_[index]);
}

}  // namespace deepspeed::formats
