// What a pickle may call, refer to and set: the functions that make tensors, storages, OrderedDicts.
#include "deepspeed/formats/pickle_machine.h"

namespace deepspeed::formats {

bool PickleMachine::object(char code) {
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

void PickleMachine::protocol() {
  const auto version = reader_.number<uint8_t>("protocol");
  if (version < 2 || version > 5) fail("the pickle has protocol {}; 2 to 5 can be read", version);
}

// POP takes a mark where one is uppermost.
void PickleMachine::pop_one() {
  if (!marks_.empty() && marks_.back() == stack_.size())
    marks_.pop_back();
  else
    pop();
}

void PickleMachine::push_global(std::string_view module, std::string_view name) {
  const auto number = find_pickle_global(module, name);
  if (!number)
    fail("the pickle asks for '{}.{}', which is not allowed: only tensors and containers are read",
         shown(module), shown(name));
  push(of_index(Kind::kGlobal, *number));
}

// BUILD gives an object its attributes. Those of an OrderedDict (a state_dict's _metadata) do not matter.
void PickleMachine::build() {
  pop();
  if (top().kind != Kind::kDict)
    fail("the pickle sets attributes of {}, which is not allowed", pickle_kind_name(top().kind));
}

// A copy, since making values may move the containers.
std::vector<PickleValue> PickleMachine::tuple_of(Value value, size_t least, size_t most, const char* what) {
  if (value.kind != Kind::kTuple) fail("{} takes a tuple, not {}", what, pickle_kind_name(value.kind));
  const auto& values = items(value);
  if (values.size() < least || values.size() > most)
    fail("{} takes {} to {} values, not {}", what, least, most, values.size());
  return values;
}

const PickleGlobalRow& PickleMachine::global_of(Value value, PickleGlobal wanted, const char* what) {
  if (value.kind != Kind::kGlobal || pickle_global(value.index).what != wanted)
    fail("{} is not what it should be but {}", what, pickle_kind_name(value.kind));
  return pickle_global(value.index);
}

// ('storage', type, key, location, count), in files before version 1.6 also view metadata.
void PickleMachine::storage() {
  const auto values = tuple_of(pop(), 5, 6, "a persistent id");
  if (values[0].kind != Kind::kText || values[0].text() != "storage")
    fail("the pickle refers to an object outside of it that is no storage");
  const auto& type = global_of(values[1], PickleGlobal::kStorageType, "a storage's type");
  if (values[2].kind != Kind::kText)
    fail("a storage's key is {}, not text", pickle_kind_name(values[2].kind));
  if (values[4].kind != Kind::kInt || values[4].integer < 0) fail("a storage's size is not a number");
  if (values.size() == 6 && values[5].kind != Kind::kNone)
    fail("storage '{}' is a view of another one, which is not supported", shown(values[2].text()));
  made_.storages_.push_back({values[2].text(), type.dtype, values[4].integer});
  push(of_index(Kind::kStorage, made_.storages_.size() - 1));
}

void PickleMachine::reduce() {
  const Value arguments = pop(), callee = pop();
  if (callee.kind != Kind::kGlobal) fail("the pickle calls {}", pickle_kind_name(callee.kind));
  const PickleGlobalRow& row = pickle_global(callee.index);
  if (row.what == PickleGlobal::kRebuildFromType) {
    const auto values = tuple_of(arguments, 4, 4, "_rebuild_from_type_v2");
    if (values[0].kind != Kind::kGlobal)
      fail("_rebuild_from_type_v2 calls {}", pickle_kind_name(values[0].kind));
    global_of(values[1], PickleGlobal::kTensorType, "a tensor's type");
    return call(pickle_global(values[0].index), values[2]);
  }
  call(row, arguments);
}

void PickleMachine::call(const PickleGlobalRow& row, Value arguments) {
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
      if (values[0].kind != Kind::kTensor) fail("a parameter is {}", pickle_kind_name(values[0].kind));
      return push(values[0]);
    }
    default:
      fail("the pickle calls '{}.{}', which is not a function", row.module, row.name);
  }
}

// Without arguments, or, of Python 2, with a list of pairs.
void PickleMachine::ordered_dict(Value arguments) {
  const auto values = tuple_of(arguments, 0, 1, "OrderedDict");
  std::vector<Value> into;
  if (!values.empty()) {
    if (values[0].kind != Kind::kList)
      fail("an OrderedDict is made from {}", pickle_kind_name(values[0].kind));
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

PickleValue PickleMachine::size_of(Value arguments) {
  const Value inner = tuple_of(arguments, 1, 1, "torch.Size")[0];
  if (inner.kind != Kind::kTuple) fail("torch.Size takes a tuple, not {}", pickle_kind_name(inner.kind));
  return inner;
}

void PickleMachine::tensor(const std::vector<Value>& values, std::optional<Dtype> dtype) {
  if (values[0].kind != Kind::kStorage)
    fail("a tensor views {}, not a storage", pickle_kind_name(values[0].kind));
  if (!dtype) dtype = made_.storages_[values[0].index].dtype;
  if (!dtype) fail("a tensor views a storage without a type");
  made_.tensors_.push_back({values[0], values[1], values[2], values[3], *dtype, at_});
  push(of_index(Kind::kTensor, made_.tensors_.size() - 1));
}

}  // namespace deepspeed::formats
