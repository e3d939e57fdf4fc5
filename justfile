# The steps of scripts/test, one by one. `just` alone lists them.

_list:
    @just --list --unsorted

# Everything that CI checks
test:
    ./scripts/test

# Build the program and serve the demo
demo *options:
    ./scripts/demo {{options}}

# Formatting and lints
lint:
    ./scripts/steps lint

# Rust's tests, with the rules of the house
unit:
    ./scripts/steps unit

# The program as its users meet it, e.g. `just acceptance -k tutorial`
acceptance *options:
    ./scripts/steps acceptance {{options}}

# Write formatted code
format:
    cargo fmt --all
