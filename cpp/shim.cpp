// What tch does not bind, as C functions. Each returns 0, or 1 with the first line of the error in a thread-local.
#include <ATen/ATen.h>
#include <c10/core/GradMode.h>

#include <exception>
#include <string>

namespace {

thread_local std::string last_error;

int fail(const char *text) {
  last_error.assign(text);
  auto end = last_error.find('\n');
  if (end != std::string::npos) last_error.resize(end);
  return 1;
}

template <typename F>
int guarded(F &&body) {
  try {
    body();
    return 0;
  } catch (const std::exception &error) {
    return fail(error.what());
  } catch (...) {
    return fail("unknown C++ exception");
  }
}

}  // namespace

extern "C" {

int vivarium_shim_version() { return 2; }

// Valid until the next failing call on the same thread.
const char *vivarium_last_error() { return last_error.c_str(); }

// Makes `grad` the gradient of the leaf `tensor`, so that backward passes add into its storage.
int vivarium_set_grad(at::Tensor *tensor, at::Tensor *grad) {
  return guarded([&] { tensor->mutable_grad() = *grad; });
}

// One update of AdamW with decoupled decay over one tensor and its state, all of one shape.
int vivarium_adamw(at::Tensor *weights, at::Tensor *grad, at::Tensor *first, at::Tensor *second, at::Tensor *updates,
                   double rate, double beta1, double beta2, double decay, double epsilon) {
  return guarded([&] {
    c10::NoGradGuard no_grad;
    at::_fused_adamw_({*weights}, {*grad}, {*first}, {*second}, {}, {*updates}, rate, beta1, beta2, decay, epsilon,
                      /*amsgrad=*/false, /*maximize=*/false);
  });
}

}
