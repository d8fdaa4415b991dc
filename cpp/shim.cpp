// What tch does not bind, as C functions. Each returns 0, or 1 with the first line of the error in a thread-local.
#include <ATen/ATen.h>
extern "C" int vivarium_shim_version() { return 1; }
