//! Builds the C++ shim and tells the linker where libtorch is. Does nothing without the `server` feature.

use std::path::{Path, PathBuf};

fn main() {
    println!("cargo:rerun-if-changed=cpp");
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=migrations");
    if std::env::var_os("CARGO_FEATURE_SERVER").is_none() {
        return;
    }
    let Some(lib) = std::env::var_os("DEP_TCH_LIBTORCH_LIB").map(PathBuf::from) else {
        panic!("torch-sys did not say where libtorch is; run scripts/libtorch.sh first");
    };
    compile_shim(&lib);
    link(&lib);
}

/// The shim sees libtorch's CPU headers only, so one object file serves CPU and CUDA.
fn compile_shim(lib: &Path) {
    let include = lib.with_file_name("include");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .warnings(false)
        .opt_level(1)
        .debug(false)
        .include(&include)
        .include(include.join("torch/csrc/api/include"))
        .file("cpp/shim.cpp")
        .compile("vivarium_shim");
}

/// Runs from `target/<profile>/` and `target/<profile>/deps/` find `.libtorch` beside `target`; anything else finds
/// the folder that was linked against.
fn link(lib: &Path) {
    println!("cargo:rustc-link-lib=torch_cpu");
    println!("cargo:rustc-link-lib=c10");
    for folder in [
        "$ORIGIN/../../.libtorch/torch/lib",
        "$ORIGIN/../../../.libtorch/torch/lib",
    ] {
        println!("cargo:rustc-link-arg=-Wl,-rpath,{folder}");
    }
    println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
}
