// Finds the tensors in what a forward takes and returns: tensors, optionals, pairs, tuples and vectors of
// them, nested.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <tuple>
#include <utility>
#include <vector>

namespace deepspeed::nn {

template <class T, class F>
void visit_tensors(T&, F&&) {}  // anything else carries no tensors

template <class F>
void visit_tensors(at::Tensor& tensor, F&& visit) {
  visit(tensor);
}
template <class T, class F>
void visit_tensors(std::optional<T>& value, F&& visit);
template <class T, class F>
void visit_tensors(std::vector<T>& values, F&& visit);
template <class A, class B, class F>
void visit_tensors(std::pair<A, B>& pair, F&& visit);
template <class... T, class F>
void visit_tensors(std::tuple<T...>& tuple, F&& visit);

template <class T, class F>
void visit_tensors(std::optional<T>& value, F&& visit) {
  if (value) visit_tensors(*value, visit);
}
template <class T, class F>
void visit_tensors(std::vector<T>& values, F&& visit) {
  if constexpr (!std::is_same_v<T, bool>)
    for (auto& value : values) visit_tensors(value, visit);
}
template <class A, class B, class F>
void visit_tensors(std::pair<A, B>& pair, F&& visit) {
  visit_tensors(pair.first, visit);
  visit_tensors(pair.second, visit);
}
template <class... T, class F>
void visit_tensors(std::tuple<T...>& tuple, F&& visit) {
  std::apply([&](auto&... values) { (visit_tensors(values, visit), ...); }, tuple);
}

/// The tensors of a value apart from the rest of it.
struct Tensors {
  std::vector<at::Tensor> defined;
  std::vector<char> filled;  // of every place for a tensor: whether it holds a defined one
};

template <class T>
Tensors copy_tensors(T& value) {
  Tensors tensors;
  visit_tensors(value, [&](at::Tensor& place) {
    tensors.filled.push_back(place.defined());
    if (place.defined()) tensors.defined.push_back(place);
  });
  return tensors;
}

/// Leaves `value` without tensors.
template <class T>
Tensors take_tensors(T& value) {
  Tensors tensors = copy_tensors(value);
  visit_tensors(value, [](at::Tensor& place) { place.reset(); });
  return tensors;
}

/// The opposite: `value` has as many places as when its tensors were taken.
template <class T>
void put_tensors(T& value, const Tensors& tensors) {
  size_t place = 0, next = 0;
  visit_tensors(value, [&](at::Tensor& tensor) {
    if (tensors.filled[place++]) tensor = tensors.defined[next++];
  });
}

}  // namespace deepspeed::nn
