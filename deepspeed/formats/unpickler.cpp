#include "deepspeed/formats/unpickler.h"

#include <algorithm>
#include <array>
#include <bit>

#include "deepspeed/base/error.h"
#include "deepspeed/formats/byte_reader.h"
#include "deepspeed/formats/pickle_globals.h"
#include "deepspeed/formats/safetensors.h"

namespace deepspeed::formats {
namespace {

using Value = PickleValue;
using Kind = PickleValue::Kind;

Value of_kind(Kind kind) {
  Value value;
  value.kind = kind;
  return value;
}
Value of_integer(Kind kind, int64_t integer) {
  Value value = of_kind(kind);
  value.integer = integer;
  return value;
}
Value of_float(double number) {
  Value value = of_kind(Kind::kFloat);
  value.number = number;
  return value;
}
Value of_text(Kind kind, std::string_view text) {
  Value value = of_kind(kind);
  value.data = text.data();
  value.size = static_cast<uint32_t>(text.size());
  return value;
}
Value of_index(Kind kind, size_t index) {
  Value value = of_kind(kind);
  value.index = static_cast<uint32_t>(index);
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

const char* kind_name(Kind kind) {
  constexpr std::array kNames = {"nothing",       "None",     "a boolean",     "a number",
                                 "a long number", "a float",  "text",          "bytes",
                                 "a tuple",       "a list",   "a dict",        "a type or function",
                                 "a storage",     "a tensor", "another object"};
  return kNames[static_cast<size_t>(kind)];
}

}  // namespace

// Runs one pickle: a stack of values, marks in it, and a memo.
class PickleMachine {
 public:
  PickleMachine(std::span<const std::byte> image, size_t begin, Pickle& made)
      : reader_(image, made.where_, begin), made_(made) {}

  void run() {
    for (; opcodes_ < kMaxPickleOpcodes; ++opcodes_) {
      at_ = reader_.at();
      const char code = static_cast<char>(reader_.number<uint8_t>("the next opcode of the pickle"));
      if (code == '.') return stop();
      if (!number(code) && !text(code) && !container(code) && !memo(code) && !object(code)) refuse(code);
    }
    fail("the pickle has more than {} opcodes", kMaxPickleOpcodes);
  }

 private:
  template <class... Args>
  [[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) const {
    reader_.fail_at(at_, format, std::forward<Args>(args)...);
  }
  [[noreturn]] void refuse(char code) const {
    for (const Named& row : kRefused)
      if (row.code == code)
        fail("the pickle uses {}, which is not allowed: only tensors and containers are read", row.name);
    fail("the pickle has the unknown opcode 0x{:02x}", static_cast<uint8_t>(code));
  }

  void stop() {
    if (stack_.size() != 1 || !marks_.empty())
      fail("the pickle ends with {} values and {} marks on its stack instead of one value", stack_.size(),
           marks_.size());
    made_.root_ = stack_.back();
    made_.end_ = reader_.at();
  }

  void push(Value value) { stack_.push_back(value); }
  // Marks protect what lies below them.
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  Value& top() {
    if (stack_.size() <= floor()) fail("the pickle takes a value from an empty stack");
    return stack_.back();
  }
  Value pop() {
    const Value value = top();
    stack_.pop_back();
    return value;
  }
  // Where the values above the last mark begin; the mark is gone.
  size_t pop_mark() {
    if (marks_.empty()) fail("the pickle takes a mark that was not set");
    const size_t begin = marks_.back();
    marks_.pop_back();
    return begin;
  }
  std::vector<Value>& items(Value container) { return made_.containers_[container.index]; }
  void push_container(Kind kind, std::vector<Value> items) {
    made_.containers_.push_back(std::move(items));
    push(of_index(kind, made_.containers_.size() - 1));
  }
  Value& top_of(Kind kind) {
    Value& value = top();
    if (value.kind != kind)
      fail("the pickle adds to {} as if it were {}", kind_name(value.kind), kind_name(kind));
    return value;
  }

  bool number(char code) {
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

  void push_long(uint32_t length) {
    const std::string_view bytes = reader_.text(length, "a long number");
    if (length > sizeof(int64_t)) return push(of_text(Kind::kLong, bytes));
    // Two's complement: the last byte's highest bit is the sign.
    uint64_t bits = length > 0 && (bytes.back() & 0x80) != 0 ? ~uint64_t{0} : 0;
    for (size_t i = length; i-- > 0;) bits = bits << 8 | static_cast<uint8_t>(bytes[i]);
    push(of_integer(Kind::kInt, static_cast<int64_t>(bits)));
  }

  void push_text(Kind kind, uint64_t length) {
    const std::string_view text = reader_.text(length, "text");
    if (length > UINT32_MAX) fail("text of {} bytes is too long", length);
    push(of_text(kind, text));
  }

  bool text(char code) {
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

  bool container(char code) {
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

  void tuple(size_t count) {
    if (stack_.size() - floor() < count) fail("the pickle makes a tuple of more values than its stack holds");
    std::vector<Value> values(stack_.end() - static_cast<ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    push_container(Kind::kTuple, std::move(values));
  }

  // Moves the last `count` values into the container below them.
  void add(Kind kind, size_t count) {
    if (stack_.size() - floor() < count) fail("the pickle adds more values than its stack holds");
    if (kind == Kind::kDict && count % 2 != 0) fail("the pickle sets a key without a value");
    const size_t begin = stack_.size() - count;
    const std::vector<Value> values(stack_.begin() + static_cast<ptrdiff_t>(begin), stack_.end());
    stack_.resize(begin);
    auto& into = items(top_of(kind));
    into.insert(into.end(), values.begin(), values.end());
  }

  bool memo(char code) {
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

  void put(size_t index) {
    // Writers count from 0, so that an index is never larger than the number of opcodes.
    if (index > opcodes_ + 256) fail("the pickle's memo has no place {} after {} opcodes", index, opcodes_);
    if (index >= memo_.size()) memo_.resize(index + 1);
    memo_[index] = top();
  }
  void get(size_t index) {
    if (index >= memo_.size() || memo_[index].kind == Kind::kMissing)
      fail("the pickle asks for place {} of its memo, which was never set", index);
    push(memo_[index]);
  }

  bool object(char code) {
    switch (code) {
      case '\x80':
        return protocol(), true;
      case '\x95': {
        const auto length = reader_.number<uint64_t>("FRAME");
        if (length > reader_.remaining()) fail("a frame of {} bytes runs past the end of the file", length);
        return true;
      }
      case '0':
        return pop_one(), true;
      case '1':
        return stack_.resize(pop_mark()), true;
      case '2':
        return push(top()), true;
      case 'c': {
        const auto module = reader_.line("the module of a global");
        return push_global(module, reader_.line("the name of a global")), true;
      }
      case '\x93': {
        const Value name = pop(), module = pop();
        if (name.kind != Kind::kText || module.kind != Kind::kText) fail("a global's name is not text");
        return push_global(module.text(), name.text()), true;
      }
      case 'Q':
        return storage(), true;
      case 'R':
        return reduce(), true;
      case 'b':
        return build(), true;
      default:
        return false;
    }
  }

  void protocol() {
    const auto version = reader_.number<uint8_t>("protocol");
    if (version < 2 || version > 5) fail("the pickle has protocol {}; 2 to 5 can be read", version);
  }
  // POP takes a mark where one is uppermost.
  void pop_one() {
    if (!marks_.empty() && marks_.back() == stack_.size())
      marks_.pop_back();
    else
      pop();
  }

  void push_global(std::string_view module, std::string_view name) {
    const auto number = find_pickle_global(module, name);
    if (!number)
      fail("the pickle asks for '{}.{}', which is not allowed: only tensors and containers are read",
           shown(module), shown(name));
    push(of_index(Kind::kGlobal, *number));
  }

  // BUILD gives an object its attributes. Those of an OrderedDict (a state_dict's _metadata) do not matter.
  void build() {
    pop();
    if (top().kind != Kind::kDict)
      fail("the pickle sets attributes of {}, which is not allowed", kind_name(top().kind));
  }

  // A copy, since making values may move the containers.
  std::vector<Value> tuple_of(Value value, size_t least, size_t most, const char* what) {
    if (value.kind != Kind::kTuple) fail("{} takes a tuple, not {}", what, kind_name(value.kind));
    const auto& values = items(value);
    if (values.size() < least || values.size() > most)
      fail("{} takes {} to {} values, not {}", what, least, most, values.size());
    return values;
  }
  const PickleGlobalRow& global_of(Value value, PickleGlobal wanted, const char* what) {
    if (value.kind != Kind::kGlobal || pickle_global(value.index).what != wanted)
      fail("{} is not what it should be but {}", what, kind_name(value.kind));
    return pickle_global(value.index);
  }

  // ('storage', type, key, location, count), in files before version 1.6 also view metadata.
  void storage() {
    const auto values = tuple_of(pop(), 5, 6, "a persistent id");
    if (values[0].kind != Kind::kText || values[0].text() != "storage")
      fail("the pickle refers to an object outside of it that is no storage");
    const auto& type = global_of(values[1], PickleGlobal::kStorageType, "a storage's type");
    if (values[2].kind != Kind::kText) fail("a storage's key is {}, not text", kind_name(values[2].kind));
    if (values[4].kind != Kind::kInt || values[4].integer < 0) fail("a storage's size is not a number");
    if (values.size() == 6 && values[5].kind != Kind::kNone)
      fail("storage '{}' is a view of another one, which is not supported", shown(values[2].text()));
    made_.storages_.push_back({values[2].text(), type.dtype, values[4].integer});
    push(of_index(Kind::kStorage, made_.storages_.size() - 1));
  }

  void reduce() {
    const Value arguments = pop(), callee = pop();
    if (callee.kind != Kind::kGlobal) fail("the pickle calls {}", kind_name(callee.kind));
    const PickleGlobalRow& row = pickle_global(callee.index);
    if (row.what == PickleGlobal::kRebuildFromType) {
      const auto values = tuple_of(arguments, 4, 4, "_rebuild_from_type_v2");
      if (values[0].kind != Kind::kGlobal) fail("_rebuild_from_type_v2 calls {}", kind_name(values[0].kind));
      global_of(values[1], PickleGlobal::kTensorType, "a tensor's type");
      return call(pickle_global(values[0].index), values[2]);
    }
    call(row, arguments);
  }

  void call(const PickleGlobalRow& row, Value arguments) {
    switch (row.what) {
      case PickleGlobal::kOrderedDict:
        return ordered_dict(arguments);
      case PickleGlobal::kSize:
        return push(size_of(arguments));
      case PickleGlobal::kNotATensor:
        return push(of_kind(Kind::kOther));
      case PickleGlobal::kRebuildTensor:
        return tensor(tuple_of(arguments, 4, 4, "_rebuild_tensor"), std::nullopt);
      case PickleGlobal::kRebuildTensorV2:
        return tensor(tuple_of(arguments, 6, 7, "_rebuild_tensor_v2"), std::nullopt);
      case PickleGlobal::kRebuildTensorV3: {
        const auto values = tuple_of(arguments, 7, 8, "_rebuild_tensor_v3");
        return tensor(values, global_of(values[6], PickleGlobal::kDtype, "a tensor's type").dtype);
      }
      case PickleGlobal::kRebuildParameter: {
        const auto values = tuple_of(arguments, 3, 4, "_rebuild_parameter");
        if (values[0].kind != Kind::kTensor) fail("a parameter is {}", kind_name(values[0].kind));
        return push(values[0]);
      }
      default:
        fail("the pickle calls '{}.{}', which is not a function", row.module, row.name);
    }
  }

  // Without arguments, or, of Python 2, with a list of pairs.
  void ordered_dict(Value arguments) {
    const auto values = tuple_of(arguments, 0, 1, "OrderedDict");
    std::vector<Value> into;
    if (!values.empty()) {
      if (values[0].kind != Kind::kList) fail("an OrderedDict is made from {}", kind_name(values[0].kind));
      // Each pair took opcodes; only a file that means harm has the same list copied again and again.
      copied_ += items(values[0]).size();
      if (copied_ > opcodes_) fail("the pickle makes too many OrderedDicts of one list");
      for (const Value pair : items(values[0])) {
        const bool fits = (pair.kind == Kind::kList || pair.kind == Kind::kTuple) && items(pair).size() == 2;
        if (!fits) fail("an OrderedDict is made from a list that is not one of pairs");
        into.insert(into.end(), items(pair).begin(), items(pair).end());
      }
    }
    push_container(Kind::kDict, std::move(into));
  }

  Value size_of(Value arguments) {
    const Value inner = tuple_of(arguments, 1, 1, "torch.Size")[0];
    if (inner.kind != Kind::kTuple) fail("torch.Size takes a tuple, not {}", kind_name(inner.kind));
    return inner;
  }

  void tensor(const std::vector<Value>& values, std::optional<Dtype> dtype) {
    if (values[0].kind != Kind::kStorage) fail("a tensor views {}, not a storage", kind_name(values[0].kind));
    if (!dtype) dtype = made_.storages_[values[0].index].dtype;
    if (!dtype) fail("a tensor views a storage without a type");
    made_.tensors_.push_back({values[0], values[1], values[2], values[3], *dtype, at_});
    push(of_index(Kind::kTensor, made_.tensors_.size() - 1));
  }

  ByteReader reader_;
  Pickle& made_;
  size_t at_ = 0;  // where the opcode being executed begins
  size_t opcodes_ = 0, copied_ = 0;
  std::vector<Value> stack_, memo_;
  std::vector<size_t> marks_;  // heights of the stack
};

Pickle::Pickle(std::span<const std::byte> image, size_t begin, const std::string& where) : where_(where) {
  PickleMachine(image, begin, *this).run();
}

std::span<const PickleValue> Pickle::items(PickleValue container) const {
  const bool holds =
      container.kind == Kind::kTuple || container.kind == Kind::kList || container.kind == Kind::kDict;
  return holds ? std::span<const PickleValue>(containers_[container.index]) : std::span<const PickleValue>();
}

std::vector<int64_t> Pickle::numbers(PickleValue tuple, const char* what, size_t at) const {
  const auto values = items(tuple);
  DS_CHECK(tuple.kind == Kind::kTuple || tuple.kind == Kind::kList, "'{}' at byte {}: a tensor's {} is {}",
           where_, at, what, kind_name(tuple.kind));
  DS_CHECK(values.size() <= kMaxDimensions, "'{}' at byte {}: a tensor has more than {} dimensions", where_,
           at, kMaxDimensions);
  std::vector<int64_t> numbers;
  numbers.reserve(values.size());
  for (const PickleValue value : values) {
    DS_CHECK(value.kind == Kind::kInt && value.integer >= 0,
             "'{}' at byte {}: a tensor's {} holds {} where a number of at least 0 belongs", where_, at, what,
             value.kind == Kind::kInt ? std::to_string(value.integer) : kind_name(value.kind));
    numbers.push_back(value.integer);
  }
  return numbers;
}

PickledTensor Pickle::tensor(PickleValue value) const {
  DS_CHECK(value.kind == Kind::kTensor, "'{}': {} is no tensor", where_, kind_name(value.kind));
  const Tensor& found = tensors_[value.index];
  PickledTensor tensor{storages_[found.storage.index], found.dtype, 0,
                       numbers(found.shape, "shape", found.at), numbers(found.strides, "strides", found.at)};
  DS_CHECK(found.offset.kind == Kind::kInt && found.offset.integer >= 0,
           "'{}' at byte {}: a tensor's offset is not a number of at least 0", where_, found.at);
  tensor.offset = found.offset.integer;
  DS_CHECK(tensor.shape.size() == tensor.strides.size(),
           "'{}' at byte {}: a tensor has {} dimensions but {} strides", where_, found.at,
           tensor.shape.size(), tensor.strides.size());
  return tensor;
}

}  // namespace deepspeed::formats
