//! Whether what a developer is only told of is an error.

/// True with `CI=true`.
pub(crate) fn is_strict() -> bool {
    std::env::var("CI").is_ok_and(|ci| ci == "true")
}
