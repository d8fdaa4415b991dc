// What tch does not bind, as C functions. Each returns 0, or 1 with the first line of the error in a thread-local.
#include <ATen/ATen.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

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

using Scalars = c10::List<std::optional<at::Scalar>>;
using Pointwise = at::Tensor(const at::Tensor &, const at::Tensor &, const std::optional<at::Tensor> &, std::string_view,
                             Scalars, std::optional<std::string_view>);

// x times the transpose of `weight`, by oneDNN's kernels, which use wider registers than the default ones do on some
// processors. Reads any strides.
at::Tensor product(const at::Tensor &x, const at::Tensor &weight, const std::optional<at::Tensor> &bias) {
  static auto kernel =
      c10::Dispatcher::singleton().findSchemaOrThrow("mkldnn::_linear_pointwise", "").typed<Pointwise>();
  return kernel.call(x, weight, bias, "none", Scalars(), "");
}

// A linear map with a graph, for training on a CPU in float32.
struct Linear : torch::autograd::Function<Linear> {
  using Context = torch::autograd::AutogradContext;

  static at::Tensor forward(Context *context, at::Tensor x, at::Tensor weight, std::optional<at::Tensor> bias) {
    at::AutoDispatchBelowADInplaceOrView guard;
    // a frozen weight needs no inputs kept
    context->save_for_backward({weight.requires_grad() ? x : at::Tensor(), weight});
    context->saved_data["bias"] = bias.has_value();
    return product(x, weight, bias);
  }

  static torch::autograd::variable_list backward(Context *context, torch::autograd::variable_list grads) {
    auto saved = context->get_saved_variables();
    const auto &x = saved[0], &weight = saved[1], &grad = grads[0];
    at::Tensor to_x, to_weight, to_bias;
    if (context->needs_input_grad(0)) to_x = product(grad, weight.t(), std::nullopt);
    if (context->needs_input_grad(1)) to_weight = product(grad.t(), x.t(), std::nullopt);
    // an absent bias has no edge to ask about
    if (context->saved_data["bias"].toBool() && context->needs_input_grad(2)) to_bias = grad.sum(0);
    return {to_x, to_weight, to_bias};
  }
};

}  // namespace

extern "C" {

int vivarium_shim_version() { return 3; }

// Valid until the next failing call on the same thread.
const char *vivarium_last_error() { return last_error.c_str(); }

// Makes `grad` the gradient of the leaf `tensor`, so that backward passes add into its storage.
int vivarium_set_grad(at::Tensor *tensor, at::Tensor *grad) {
  return guarded([&] { tensor->mutable_grad() = *grad; });
}

// Goes back from `tensor` with its gradient given; the gradients of leaves are added where they keep theirs.
int vivarium_backward(at::Tensor *tensor, at::Tensor *grad) {
  return guarded([&] { tensor->backward(*grad); });
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

// The caller owns `*result`. `bias` may be null. All float32 and on the CPU, `x` and `weight` with two axes.
int vivarium_linear(at::Tensor *x, at::Tensor *weight, at::Tensor *bias, at::Tensor **result) {
  return guarded([&] {
    auto added = bias ? std::optional<at::Tensor>(*bias) : std::nullopt;
    *result = new at::Tensor(Linear::apply(*x, *weight, added));
  });
}

}
