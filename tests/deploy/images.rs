//! The project's images: what they hold, and how they behave under the engine that runs them.

use std::sync::OnceLock;

use crate::engine::engine;

/// Makes sure that the engine has `debian:bookworm-slim`.
///
/// # Panics
///
/// It can't be made; the reason is shown.
pub(crate) fn base() {
    static READY: OnceLock<()> = OnceLock::new();
    READY.get_or_init(|| {
        let made = engine().command("tests/tools/base-images.sh").arg("debian").output();
        let made = made.expect("the script is part of the repository");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    });
}
