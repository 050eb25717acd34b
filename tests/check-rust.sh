#!/bin/sh
# Says what of Rust is missing, and how to get it: check-rust.sh [rustfmt] [clippy]
set -eu

version=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$(dirname "$0")/../Cargo.toml")
if ! cargo --version >/dev/null 2>&1; then
    echo "Rust is missing: install version $version or later with rustup, as https://rustup.rs says, then try again" >&2
    exit 1
fi
have=$(rustc --version | sed 's/^rustc \([0-9.]*\).*/\1/')
if [ "$(printf '%s\n%s\n' "$version" "$have" | sort -V | head -n 1)" != "$version" ]; then
    echo "Rust $have is too old, $version or later is needed: run \"rustup update stable\", then try again" >&2
    exit 1
fi
for component in "$@"; do
    case $component in
    rustfmt) command=fmt ;;
    *) command=$component ;;
    esac
    if ! cargo "$command" --version >/dev/null 2>&1; then
        echo "Rust's $component is missing: run \"rustup component add $component\", then try again" >&2
        exit 1
    fi
done
